"""A backend in this process's memory, and MLflow's store on it: what is sent is there at once."""

from __future__ import annotations

import itertools

from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.model import BackendSpan, trace_of
from mlflow_otel.store.traces import Traces
from mlflow_otel.store.tracking_store import OtelTraceStore

MILLISECOND = 1_000_000
SECOND = 1000 * MILLISECOND
NOW = 1_700_000_000 * SECOND
numbers = itertools.count(1)


class HeldTraces:
    """Spans by trace."""

    def __init__(self):
        self.spans = {}

    def summaries(self, conditions):
        return [self.get(trace_id).summary for trace_id in self.spans]

    def get(self, trace_id):
        spans = self.spans.get(trace_id)
        return None if spans is None else trace_of(trace_id, spans)

    def all(self):
        return [self.get(trace_id) for trace_id in self.spans]

    def services(self):
        return {s.resource["service.name"] for spans in self.spans.values() for s in spans}

    def __call__(self, later):
        self.spans[later.trace_id].append(later.span)

    def add(self, start=NOW - SECOND, service="shop", spans=(), **said):
        """Add a trace that began at ``start``, and return MLflow's ID of it."""
        identity = next(numbers)
        root = BackendSpan(
            next(numbers),
            None,
            "root",
            start,
            start + 5 * MILLISECOND,
            {"mlflow.trace.state": "OK", "mlflow.trace.entry": True, **said},
            resource={"service.name": service},
        )
        children = [s._replace(parent_id=root.span_id, resource=root.resource) for s in spans]
        self.spans[identity] = [root, *children]
        return f"tr-{identity:032x}"


def store_on(held, backend=None, **fields):
    now = fields.pop("now", lambda: NOW)
    return OtelTraceStore(Traces(backend or MemoryBackend(held), held, now=now, **fields))
