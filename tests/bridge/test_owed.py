"""What is owed to a tracking server: in order, each once, whatever the server answers and whenever the bridge ends."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import lane as lanes
from mlflow_otel.bridge.lane import Lane
from mlflow_otel.bridge.upstream import Answer, Asked, Upstream, verdict
from mlflow_otel.delivery import retry
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.settings import OtlpSettings

BIG = 1_000_000


class Server:
    """Answers by a script, then takes everything; keeps what it took."""

    def __init__(self, script=(), *, up=True):
        self.script, self.took, self.up = list(script), [], up
        self.changed = threading.Condition()

    def __call__(self, asked):
        with self.changed:
            said = self.script.pop(0) if self.script else "delivered"
            if not self.up:
                return "later"
            if said == "delivered":
                self.took.append(asked.target)
                self.changed.notify_all()
            return said


def requests(number, start=0):
    return [Asked("POST", f"/{start + n}", b"body", {"Content-Type": "x"}) for n in range(number)]


def spool(folder, max_bytes=BIG):
    return Spool(Path(folder), OtlpSettings("http://h"), max_bytes, 1000, fsync=False)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.0)


@settings(max_examples=20, deadline=None)
@given(
    script=st.lists(
        st.sampled_from(["delivered", "later", "locked", "refused", "failed"]), max_size=12
    ),
    number=st.integers(0, 12),
    with_spool=st.booleans(),
)
def test_what_is_owed_comes_in_order_and_what_does_not_is_counted(script, number, with_spool):
    # "failed" is given up when it comes too often in a row.
    server, accounting = Server(script), Accounting()
    with tempfile.TemporaryDirectory() as folder:
        lane = Lane(server, spool(folder) if with_spool else None, BIG, accounting)
        for asked in requests(number):
            lane.put(asked)
        lane.close(60)
        counted = accounting.snapshot()
        assert len(server.took) == counted.get("upstream.delivered", 0)
        assert server.took == sorted(server.took, key=lambda target: int(target[1:]))
        assert len(set(server.took)) == len(server.took)
        assert len(server.took) + counted.get("upstream.refused", 0) == number
        assert not counted.get("upstream.dropped")
        assert not any(lane.stats().values())


@pytest.mark.parametrize("room", [BIG, 0], ids=["room", "no room in memory"])
def test_what_a_server_that_is_down_does_not_take_is_kept_for_the_next_bridge(tmp_path, room):
    accounting = Accounting()
    lane = Lane(Server(up=False), spool(tmp_path), room, accounting)
    for asked in requests(5):
        lane.put(asked)
    assert not lane.settle(time.monotonic() + 60)
    lane.close(0.1)
    server = Server()
    second = Lane(server, spool(tmp_path), BIG, accounting)
    for asked in requests(2, start=5):
        second.put(asked)
    assert second.settle(time.monotonic() + 60)
    assert server.took == [f"/{n}" for n in range(7)]
    second.close(10)
    assert not accounting.snapshot().get("upstream.dropped")
    assert not spool(tmp_path).entries()


def test_without_a_spool_what_is_beyond_the_bound_or_left_at_the_end_is_counted_as_dropped():
    accounting = Accounting()
    lane = Lane(Server(up=False), None, 3 * (lanes.OVERHEAD_BYTES + 4), accounting)
    for asked in requests(5):
        lane.put(asked)
    assert accounting.snapshot()["upstream.dropped"] == 2
    lane.close(0.1)
    assert accounting.snapshot()["upstream.dropped"] == 5


def test_a_full_spool_lets_the_oldest_go_and_counts_them(tmp_path):
    accounting = Accounting()
    lane = Lane(Server(up=False), spool(tmp_path, max_bytes=600), 0, accounting)
    for asked in requests(20):
        lane.put(asked)
    lane.close(0.1)
    left = spool(tmp_path).entries()
    assert 0 < len(left) < 20
    sizes = [entry.size for entry in left]
    assert sum(sizes) <= 600 + max(sizes), "one may be on its way"
    assert accounting.snapshot()["upstream.dropped"] == 20 - len(left)


@pytest.mark.parametrize(
    ("method", "status", "body", "meant"),
    [
        ("POST", 200, b"", "delivered"),
        ("POST", 400, b"QueuePool limit of size 5 overflow 10 reached", "later"),
        ("POST", 503, b"", "later"),
        ("POST", 401, b"", "locked"),
        ("POST", 500, b"due to a constraint violation.", "delivered"),
        ("POST", 500, b"", "failed"),
        ("POST", 404, b"", "refused"),
        ("DELETE", 404, b"", "delivered"),
    ],
)
def test_what_an_answer_means(method, status, body, meant):
    assert verdict(Asked(method, "/"), Answer(status, "", body)) == meant


def test_credentials_of_the_server_are_sent_and_never_shown():
    for url, environ in (
        ("http://ann:secret@127.0.0.1:9", {}),
        ("http://127.0.0.1:9", {"MLFLOW_TRACKING_TOKEN": "secret"}),
    ):
        upstream = Upstream(url, environ)
        assert "secret" not in upstream.where + upstream.url
        assert any("secret" in one for one in upstream.secrets)


@given(
    st.text(max_size=5),
    st.binary(max_size=50),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
)
def test_a_request_in_the_spool_is_read_as_it_was_written(target, body, headers):
    asked = Asked("PUT", target, body, headers)
    assert Asked.decoded(asked.encoded()) == asked
