"""When a request is tried again, and how long that waits, for whatever a server says."""

from __future__ import annotations

import email.utils
import math
import time

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.delivery import retry

HOUR = 3600.0
properties = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (6, 30), (20, 30), (10_000, 30)],
)
def test_the_waits_double_up_to_half_a_minute_and_clients_do_not_come_back_at_once(
    attempt, longest
):
    waits = [retry.backoff(attempt) for _ in range(300)]
    assert longest / 2 <= min(waits) < longest * 0.6
    assert longest * 0.9 < max(waits) <= longest


def packed(message):
    holder = Any()
    holder.Pack(message)
    return holder


def status(*details):
    return Status(code=14, details=map(packed, details)).SerializeToString()


@properties
@given(
    st.integers(-10, 5000) | st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 999_999_999),
    st.booleans(),
)
def test_what_grpc_asks_to_wait_is_waited_but_an_hour_at_most(seconds, nanos, first):
    info = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    details = (info, BadRequest()) if first else (BadRequest(), info)
    exactly = min(max(seconds + nanos / 1e9, 0.0), HOUR)
    assert retry.retry_info(status(*details)) == pytest.approx(exactly, abs=1e-9)


@pytest.mark.parametrize("details", [b"", status(), status(BadRequest()), b"\xff\xff", b"no proto"])
def test_details_that_ask_for_nothing_or_cannot_be_read_are_none(details):
    assert retry.retry_info(details) is None


@properties
@given(st.integers(0, 10**30), st.sampled_from(["", " ", "\t"]))
def test_http_may_ask_in_seconds(seconds, blank):
    assert retry.retry_after(f"{blank}{seconds}{blank}") == min(seconds, HOUR)


@properties
@given(st.integers(0, 2**32), st.integers(-7200, 7200))
def test_http_may_ask_by_a_date(now, ahead):
    until = max(now + ahead, 0)
    header = email.utils.formatdate(until, usegmt=True)
    assert retry.retry_after(header, now=now) == min(max(until - now, 0), HOUR)


def test_a_date_is_compared_with_the_clock():
    assert retry.retry_after(email.utils.formatdate(time.time() - 9, usegmt=True)) == 0
    assert retry.retry_after(email.utils.formatdate(time.time() + 9 * HOUR, usegmt=True)) == HOUR
    soon = retry.retry_after(email.utils.formatdate(time.time() + 600, usegmt=True))
    assert 0 < soon <= 600


@pytest.mark.parametrize(
    "header", [None, "", " ", "soon", "-5", "1.5", "1e3", "inf", "nan", "²", "٣", "5 s", "0x10"]
)
def test_what_is_neither_seconds_nor_a_date_asks_for_nothing(header):
    assert retry.retry_after(header) is None


@given(st.text(max_size=40))
def test_whatever_a_server_says_is_a_wait_within_bounds_or_none(header):
    found = retry.retry_after(header)
    assert found is None or (math.isfinite(found) and 0 <= found <= HOUR)


SAID_BY_SERVERS = {
    "grpc: received message larger than max (5242991 vs. 4194304)": True,  # gRPC in Go and Python
    "Received message exceeds: message too large": True,
    "Request Entity Too Large": True,  # nginx
    "http: request body too large": True,  # the Collector
    "Max size of a batch is 5000000": True,
    "rate limit": False,
    "too many requests": False,
    "": False,
}


@pytest.mark.parametrize("said", SAID_BY_SERVERS)
def test_a_refusal_for_a_requests_size_is_told_from_others_in_any_case(said):
    for text in (said, said.upper(), said.lower()):
        assert retry.says_too_large(text) is SAID_BY_SERVERS[said]
