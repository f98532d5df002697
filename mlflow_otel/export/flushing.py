"""Tells whether a span processor's ``force_flush`` calls the exporter.

By the specification ``BatchSpanProcessor.ForceFlush`` exports what waits, and then flushes the
exporter. The SDK (1.34 to 1.45) does only the first. So
``provider.force_flush()`` would be True while requests are still in flight.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Final

DEPTH: Final = 8
"""Calls between the processor's ``force_flush`` and the exporter: three in the SDK, some for wrappers."""


def called_by_force_flush() -> bool:
    """Tell whether a ``force_flush`` is among the nearest callers of the function that asks."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    for _ in range(DEPTH):
        if frame is None:
            return False
        if frame.f_code.co_name == "force_flush":
            return True
        frame = frame.f_back
    return False
