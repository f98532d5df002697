"""Requests of our own, which instrumentations are to leave alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from opentelemetry import context

SUPPRESSED: Final = ("suppress_instrumentation", "suppress_http_instrumentation")
"""Keys by which instrumentations are told to leave a call alone."""


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Keep instrumentations off a request of ours: traced, it would be exported, and so on for ever."""
    silent = context.get_current()
    for key in SUPPRESSED:
        silent = context.set_value(key, value=True, context=silent)
    token = context.attach(silent)
    try:
        yield
    finally:
        context.detach(token)
