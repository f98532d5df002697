"""A request with spans, cut into the share of each worker: pure, and no span is read further than its IDs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

from mlflow_otel.bridge.pieces import split
from mlflow_otel.bridge.way_in import Seen


@dataclass(slots=True)
class Share:
    """What one worker gets of a request.

    Args:
        bodies: Requests that say it together; joined, they are one.
        items: How many spans.
        seen: Those that MLflow may have made, by trace.
    """

    bodies: list[bytes] = field(default_factory=list)
    items: int = 0
    seen: dict[bytes, Seen] = field(default_factory=dict)


def worker_of(trace_id: bytes, workers: int) -> int:
    """Return which worker has a trace. IDs of one sender may begin alike, so they are hashed."""
    return zlib.crc32(trace_id) % workers


def shares(request: Any, workers: int) -> dict[int, Share]:
    """Return the shares of a request, by the number of the worker. It has one span at least.

    Args:
        request: An ``ExportTraceServiceRequest``. It is not changed.
        workers: How many there are.
    """
    found: dict[int, Share] = {}
    for holder in request.resource_spans:
        for group in holder.scope_spans:
            name = group.scope.name
            maybe_mlflows = not name or name == "mlflow" or name.startswith("mlflow.")
            for span in group.spans:
                trace_id = span.trace_id
                number = worker_of(trace_id, workers)
                share = found.get(number)
                if share is None:
                    share = found[number] = Share()
                share.items += 1
                if maybe_mlflows and len(trace_id) == 16:
                    _see(share, trace_id, span)
    if len(found) == 1:
        ((_, share),) = found.items()
        share.bodies.append(request.SerializeToString())
        return found
    for part in split(request):
        found[worker_of(part.trace_id, workers)].bodies.append(part.body)
    return found


def _see(share: Share, trace_id: bytes, span: Any) -> None:
    seen = share.seen.get(trace_id)
    if seen is None:
        seen = share.seen[trace_id] = Seen(int.from_bytes(trace_id, "big"), [], [])
    seen.span_ids.append(int.from_bytes(span.span_id, "big"))
    if not any(span.parent_span_id):
        seen.roots.append(seen.span_ids[-1])
