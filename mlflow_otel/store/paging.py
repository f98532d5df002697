"""Pages of traces, and the tokens by which the next one is asked for."""

from __future__ import annotations

import base64
import binascii
import json
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from mlflow_otel.filtering.grammar import FilterError
from mlflow_otel.filtering.matching import TraceValues
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.scan import Span


class Page(NamedTuple):
    """A page of traces, and the token of the next one, or None."""

    traces: list[StoredTrace]
    token: str | None


class Place(NamedTuple):
    """Where a page ends: the milliseconds and ID of its last trace, or how many came before.

    Args:
        millis: When the last trace began.
        identity: Its ID; empty when the next page begins at ``millis``.
        offset: Traces of the pages before, in an order other than time.
        end: The latest time of the first page; what came since is on no later one.
    """

    millis: int = 0
    identity: str = ""
    offset: int = 0
    end: int = 0


def came_before(stored: StoredTrace, place: Place, key: Callable[[TraceValues], Any]) -> bool:
    """Tell whether a trace stood on a page before."""
    if not place.identity or stored.request_time_ms != place.millis:
        return False
    last = TraceValues({"timestamp_ms": place.millis, "request_id": place.identity})
    this = TraceValues({"timestamp_ms": place.millis, "request_id": stored.trace_id})
    return not operator.lt(key(last), key(this))


def end_of(last: StoredTrace, span: Span) -> Place:
    """Return where a page ends."""
    return Place(last.request_time_ms, last.trace_id, 0, span.end)


def token_of(place: Place) -> str:
    """Return the token that names a place."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def place_of(token: str) -> Place:
    """Return the place that a token names.

    Raises:
        FilterError: It is none of ours.
    """
    try:
        millis, identity, offset, end = json.loads(base64.urlsafe_b64decode(token))
        return Place(int(millis), str(identity), int(offset), int(end))
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise FilterError("The page token is none that this store gave") from error
