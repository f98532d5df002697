"""When a request is tried again: the OTLP specification's rules, as pure functions.

https://opentelemetry.io/docs/specs/otlp/#failures and
https://opentelemetry.io/docs/specs/otlp/#failures-1
"""

from __future__ import annotations

import email.utils
import random
import re
import time
from typing import Final

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

FIRST_BACKOFF_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 30.0
MAX_ASKED_SECONDS: Final = 3600.0
"""Of what a server asks to wait, at most: a longer wait is asked for again then."""
SECONDS: Final = re.compile(r"[0-9]+", re.ASCII)
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
                return _bounded(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except Exception:
        return None  # details that cannot be read ask for nothing
    return None


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Return the seconds that HTTP's ``Retry-After`` asks to wait: a number, or until a date.

    RFC 9110, section 10.2.3. What is neither asks for nothing.
    """
    text = (header or "").strip()
    if SECONDS.fullmatch(text):
        return _bounded(float(text[:20]))
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
    except Exception:
        return None  # a server's text: whatever is wrong with it
    return _bounded(until - (time.time() if now is None else now))


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_ASKED_SECONDS)


def says_too_large(message: str) -> bool:
    """Tell whether a server refused a request for its size, by what it said."""
    lowered = message.lower()
    return any(phrase in lowered for phrase in TOO_LARGE)
