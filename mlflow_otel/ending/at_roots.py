"""A flush at the end of each local root."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor


class FlushAtRoots(SpanProcessor):
    """Flushes in the thread that ends a local root: a span without a parent, or with a remote one.

    It stands behind ``MlflowSpanProcessor``, which has handed the trace's spans on by then.

    Args:
        flush: Exports what was handed on, in bounded time.
    """

    def __init__(self, flush: Callable[[], object]) -> None:
        self._flush = flush

    def on_end(self, span: ReadableSpan) -> None:
        """Flush, if this is a local root."""
        if span.parent is None or span.parent.is_remote:
            self._flush()
