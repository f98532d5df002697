"""What is known of a trace, in each place that hands it on: a new field of ``TraceContext`` fails here until all do."""

from __future__ import annotations

import dataclasses

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from mlflow_otel.backends import mlflow_adapter as of_server
from mlflow_otel.backends.model import BackendSpan, trace_of
from mlflow_otel.bridge import answers, mlflow_api, trace_info
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.scoring import mlflow_adapter as for_scorers
from mlflow_otel.store import mlflow_adapter as for_mlflow
from mlflow_otel.store.rebuild import stored_trace
from mlflow_otel.tracing.mlflow_adapter import facts
from mlflow_otel.tracing.snapshot import Said, known_context
from mlflow_otel.tracing.whole import EndedTrace

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
COST = {"input_cost": 0.5, "output_cost": 0.25, "total_cost": 0.75}
FACTS = {
    "trace_id": f"tr-{7:032x}",
    "client_request_id": "req-1",
    "tags": {"env": "prod", "mlflow.traceName": "ask"},
    "metadata": {"mlflow.trace.session": "s-1", "mlflow.trace.user": "ann", "shop": "x"},
    "experiment_id": "12",
    "experiment_name": "fish",
    "state": "ERROR",
    "request_preview": "When?",
    "response_preview": "At nine.",
    "token_usage": USAGE,
    "cost": COST,
}
CONTEXT = TraceContext(**FACTS)


def stored():
    """Return the trace after its way through a backend."""
    root = map_span(SpanView("ask", is_entry=True), CONTEXT, MappingOptions())
    return stored_trace(trace_of(7, [BackendSpan(1, None, "ask", 10, 20, root.attributes)]))


def by_the_app():
    said = Said(token_usage=USAGE, cost=COST)
    return known_context(facts(for_mlflow.trace_info(stored()), "fish"), said)


def by_a_client_of_the_bridge():
    body = {"trace": {"trace_info": answers.trace_info(stored())}}
    return trace_info.context(trace_info.read(body), "fish")


def by_mlflows_entity():
    return of_server._context(for_mlflow.trace_info(stored()))


def by_a_scorers_trace():
    times = {"start_time": 10, "end_time": 20, "attributes": {}}
    root = ReadableSpan("ask", SpanContext(7, 1, is_remote=False), **times)
    trace = for_scorers.trace_of(EndedTrace(7, root, [root], lambda: CONTEXT, [], 0))
    return of_server._context(trace.info)


def by_the_bridges_backend():
    return mlflow_api.context_of(stored(), FACTS["tags"])


# A place, and the fields that it leaves out on purpose.
PLACES = {
    by_the_app: set(),
    by_a_client_of_the_bridge: set(),
    # MLflow's entity has no name of the experiment; sums are in its metadata, and nobody judges by them.
    by_mlflows_entity: {"experiment_name", "token_usage", "cost"},
    by_a_scorers_trace: {"experiment_name", "token_usage", "cost"},
    # A later change says what changed, and whose trace it is.
    by_the_bridges_backend: {
        "state",
        "request_preview",
        "response_preview",
        "token_usage",
        "cost",
    },
}


@pytest.mark.parametrize("field", sorted(f.name for f in dataclasses.fields(TraceContext)))
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_each_place_that_hands_a_trace_on_has_every_fact_of_it(place, field):
    if field == "memo":  # worked out of the others
        return
    assert field in FACTS, "give the new field a value above"
    if field in PLACES[place]:
        return
    expected, found = FACTS[field], getattr(place(), field)
    if field in {"metadata", "tags"}:  # a place may add to these
        assert expected.items() <= found.items()
    else:
        assert found == expected
