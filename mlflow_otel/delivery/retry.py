"""When a request is tried again: the OTLP specification's rules, as pure functions.

https://opentelemetry.io/docs/specs/otlp/#failures and
https://opentelemetry.io/docs/specs/otlp/#failures-1
"""

from __future__ import annotations

import email.utils
import random
import time
from typing import Final

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0
STATUS_DETAILS: Final = "grpc-status-details-bin"
TOO_LARGE: Final = ("larger than max", "message too large", "too large", "max size")


def backoff(attempt: int) -> float:
    """Return the seconds to wait after the ``attempt``-th failure, the first being 0.

    Exponential, with jitter, so that many clients of one backend do not come back at once.
    """
    ceiling: float = min(FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 10), MAX_BACKOFF_SECONDS)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


def retry_info(details: bytes) -> float | None:
    """Return the seconds that gRPC's ``RetryInfo`` asks to wait, or None when there is none.

    Args:
        details: The ``google.rpc.Status`` of ``grpc-status-details-bin``.
    """
    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                delay = info.retry_delay
                return max(float(delay.seconds) + float(delay.nanos) / 1e9, 0.0)
    except Exception:
        return None  # details that cannot be read ask for nothing
    return None


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Return the seconds that HTTP's ``Retry-After`` asks to wait: a number, or until a date."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        until = email.utils.parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None
    return max(until - (time.time() if now is None else now), 0.0)


def says_too_large(message: str) -> bool:
    """Tell whether a server refused a request for its size, by what it said."""
    lowered = message.lower()
    return any(phrase in lowered for phrase in TOO_LARGE)
