"""Flushes the app's own providers. The SDK flushes them in ``atexit`` only.

Spans of other libraries wait in them. With ``MLFLOW_USE_DEFAULT_TRACER_PROVIDER=false`` our events and
metrics wait there too.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from typing import Final

from opentelemetry import _logs, metrics, trace

from mlflow_otel.waiting import call_with_timeout

GETTERS: Final = (
    ("opentelemetry.sdk.trace", trace.get_tracer_provider),
    ("opentelemetry.sdk._logs", _logs.get_logger_provider),
    ("opentelemetry.sdk.metrics", metrics.get_meter_provider),
)


def flush(seconds: float) -> None:
    """Flush the global providers of the SDK, one after the other, in time.

    Args:
        seconds: For all of them.
    """
    until = time.monotonic() + seconds
    for module, get in GETTERS:
        force_flush = getattr(get(), "force_flush", None) if module in sys.modules else None
        left = until - time.monotonic()
        if callable(force_flush) and left > 0:
            call_with_timeout(left, functools.partial(_quietly, force_flush, int(left * 1000)))


def _quietly(force_flush: Callable[[int], object], millis: int) -> None:
    # The app's own pipeline: its exporter says what went wrong.
    with contextlib.suppress(Exception):
        force_flush(millis)
