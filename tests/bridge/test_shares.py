"""What each worker gets of a request: every span, once, with all others of its trace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.bridge.shares import shares, worker_of
from tests.bridge.parts import RESOURCE, Part, otlp_span

PARTS = st.builds(Part, st.integers(1, 6), st.integers(1, 2**40), st.sampled_from([0, 1]))
SCOPES = st.sampled_from(["", "mlflow", "mlflow.openai", "fastapi"])
GROUPS = st.lists(
    st.tuples(SCOPES, st.lists(PARTS, min_size=1, max_size=4)), min_size=1, max_size=4
)


def spans_of(request):
    return [
        (group.scope.name, span.SerializeToString(deterministic=True))
        for holder in request.resource_spans
        for group in holder.scope_spans
        for span in group.spans
    ]


@given(GROUPS, st.integers(1, 5))
def test_every_span_is_in_the_share_of_its_traces_worker_and_mlflows_are_known_by_id(said, workers):
    request = ExportTraceServiceRequest()
    for scope, parts in said:
        group = request.resource_spans.add(resource=RESOURCE.resource).scope_spans.add()
        group.scope.name = scope
        group.spans.extend(map(otlp_span, parts))
    found = shares(request, workers)
    came = []
    for number, share in found.items():
        part = ExportTraceServiceRequest.FromString(b"".join(share.bodies))
        spans = spans_of(part)
        assert share.items == len(spans)
        came += spans
        for holder in part.resource_spans:
            assert holder.resource == RESOURCE.resource
            for span in holder.scope_spans[0].spans:
                assert worker_of(span.trace_id, workers) == number
    assert sorted(came) == sorted(spans_of(request))
    seen = [one for share in found.values() for one in share.seen.values()]
    ids = sorted((one.trace_id, span_id) for one in seen for span_id in one.span_ids)
    roots = sorted((one.trace_id, span_id) for one in seen for span_id in one.roots)
    mlflows = [part for scope, parts in said if scope != "fastapi" for part in parts]
    assert ids == sorted((part.trace, part.number) for part in mlflows)
    assert roots == sorted((part.trace, part.number) for part in mlflows if not part.parent)
