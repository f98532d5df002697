"""Whatever order the parts of a trace come in, and however often: each span leaves once, with its trace's meaning."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import trace_info, traces_json
from mlflow_otel.bridge.joining import Arrival, Joiner
from mlflow_otel.bridge.leaving import Mapper
from mlflow_otel.holding.held_trace import HoldBounds
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.otlp import envelope
from mlflow_otel.receiver.records import plain_spans
from tests.bridge.parts import Part, arrival, info_body
from tests.bridge.parts import traces_json as uploaded

WIDE = HoldBounds(1000, 1000, 10**9, 60.0, 10_000, 1e9)


def leaves(joiner_out, mapper):
    """The spans that leave, as a backend gets them."""
    for leaving in joiner_out:
        body = envelope.request(mapper.groups(leaving))
        yield from plain_spans(envelope.SHAPES["traces"].request.FromString(body))


def json_arrivals(trace, parts, *, typescript):
    spans, decoded = traces_json.read(uploaded(parts, typescript=typescript), trace)
    return [Arrival(span, decoded=decoded) for span in spans]


class Clients(RuleBasedStateMachine):
    """Clients that send the parts of a few traces in any order, again and again."""

    @initialize(
        shapes=st.lists(st.lists(st.integers(0, 3), min_size=0, max_size=4), min_size=1, max_size=3)
    )
    def begin(self, shapes):
        self.now = 0.0
        self.accounting = Accounting()
        self.joiner = Joiner(WIDE, self.accounting, clock=lambda: self.now)
        self.mapper = Mapper(MappingOptions(), self.accounting)
        self.parts = {
            trace: [Part(trace, 1, 0)]
            + [Part(trace, i + 2, min(above, i) + 1) for i, above in enumerate(parents)]
            for trace, parents in enumerate(shapes, 1)
        }
        self.came = {trace: set() for trace in self.parts}
        self.told = set()
        self.aged = set()
        self.left = Counter()

    def take(self, out):
        for span in leaves(out, self.mapper):
            trace, number = int(span["trace_id"], 16), int(span["span_id"], 16)
            attributes = span["attributes"]
            if span["name"] == "trace update":
                assert trace in self.aged
                assert attributes["session.id"] == "s-1"
                continue
            self.left[trace, number] += 1
            assert self.complete(trace)
            assert attributes["mlflow.trace.id"] == f"tr-{trace:032x}"
            assert attributes["mlflow.spanInputs"] == '{"q":"20","n":1.0}'
            assert (attributes["text"], attributes["number"]) == ("20", 20)
            if trace in self.told:
                assert attributes["session.id"] == "s-1"
                assert attributes["user.id"] == "u-1"
                assert attributes["mlflow.trace.client_request_id"] == f"req-{trace}"
                if number == 1:
                    assert attributes["mlflow.traceTag.env"] == "prod"

    def some(self, data):
        trace = data.draw(st.sampled_from(sorted(self.parts)))
        some = data.draw(st.lists(st.sampled_from(self.parts[trace]), min_size=1, max_size=4))
        self.came[trace] |= {part.number for part in some}
        return trace, some

    @rule(data=st.data())
    def by_otlp(self, data):
        _, some = self.some(data)
        self.take(self.joiner.add_spans(map(arrival, some)))

    @rule(data=st.data())
    def by_upload(self, data):
        trace, some = self.some(data)
        self.take(self.joiner.add_spans(json_arrivals(trace, some, typescript=False)))

    @rule(data=st.data())
    def info(self, data):
        trace = data.draw(st.sampled_from(sorted(self.parts)))
        self.told.add(trace)
        self.take(self.joiner.add_info(trace_info.read(info_body(trace))))

    @precondition(lambda self: any(not self.complete(trace) for trace in self.parts))
    @rule()
    def time_passes(self):
        """A trace that waits too long leaves with what is known. None is forgotten."""
        self.now += 61.0
        self.aged |= {trace for trace in self.parts if not self.complete(trace)}
        self.take(self.joiner.release_aged())

    def complete(self, trace):
        return trace in self.aged or (trace in self.told and 1 in self.came[trace])

    @invariant()
    def none_twice(self):
        assert all(number == 1 for number in self.left.values())

    def teardown(self):
        if not hasattr(self, "parts"):
            return
        self.aged |= set(self.parts)
        self.take(self.joiner.release_all())
        assert set(self.left) == {(t, n) for t, numbers in self.came.items() for n in numbers}


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def joined(*, bounds=WIDE, clock=lambda: 0.0):
    accounting = Accounting()
    return Joiner(bounds, accounting, clock=clock), Mapper(MappingOptions(), accounting), accounting


def test_typescripts_wrong_trace_id_is_not_believed():
    joiner, mapper, _ = joined()
    part = Part(0xEE0466C1A790DB61, 1, 0)
    joiner.add_info(trace_info.read(info_body(part.trace)))
    (span,) = leaves(joiner.add_spans(json_arrivals(part.trace, [part], typescript=True)), mapper)
    assert span["trace_id"] == f"{part.trace:032x}"
    assert span["parent_span_id"] == ""
    assert span["attributes"]["mlflow.spanInputs"] == '{"q":"20","n":1.0}'
    assert span["attributes"]["text"] == "20"


def test_a_trace_info_that_comes_after_the_window_leaves_as_a_trace_update():
    now = [0.0]
    joiner, mapper, accounting = joined(clock=lambda: now[0])
    assert joiner.add_spans([arrival(Part(5, 1, 0))]) == []
    now[0] = 61.0
    (alone,) = leaves(joiner.release_aged(), mapper)
    assert "session.id" not in alone["attributes"]
    assert alone["attributes"]["mlflow.trace.id"] == f"tr-{5:032x}"
    (update,) = leaves(joiner.add_info(trace_info.read(info_body(5))), mapper)
    assert (update["name"], update["parent_span_id"]) == ("trace update", f"{1:016x}")
    assert update["attributes"]["session.id"] == "s-1"
    assert update["attributes"]["mlflow.traceTag.env"] == "prod"
    assert accounting.snapshot()["released_early.age"] == 1


def test_a_second_trace_info_with_other_tags_leaves_as_a_trace_update_and_the_same_one_does_not():
    joiner, mapper, _ = joined()
    joiner.add_info(trace_info.read(info_body(5)))
    assert len(list(leaves(joiner.add_spans([arrival(Part(5, 1, 0))]), mapper))) == 1
    assert joiner.add_info(trace_info.read(info_body(5))) == []
    (update,) = leaves(joiner.add_info(trace_info.read(info_body(5, tags={"env": "test"}))), mapper)
    assert update["attributes"]["mlflow.traceTag.env"] == "test"


def test_the_topmost_spans_are_the_entry_where_the_root_is_elsewhere():
    now = [0.0]
    joiner, mapper, _ = joined(clock=lambda: now[0])
    joiner.add_info(trace_info.read(info_body(5)))
    joiner.add_spans([arrival(Part(5, 2, 9)), arrival(Part(5, 3, 2))])
    now[0] = 61.0
    found = {s["span_id"][-1]: s["attributes"] for s in leaves(joiner.release_aged(), mapper)}
    assert "mlflow.traceTag.env" in found["2"]
    assert "mlflow.traceTag.env" not in found["3"]


def test_the_clients_span_leaves_with_our_scope_the_experiment_as_service_and_the_kind_internal():
    joiner, mapper, _ = joined()
    joiner.add_info(trace_info.read(info_body(5)))
    (span,) = leaves(joiner.add_spans([arrival(Part(5, 1, 0))]), mapper)
    assert span["scope"]["name"] == "mlflow_otel"
    assert span["kind"] == "INTERNAL"
    assert span["resource"]["service.name"] == "7"
    assert span["resource"]["telemetry.sdk.name"] == "mlflow"
    assert span["resource"]["telemetry.distro.name"] == "mlflow-otel"


def test_content_that_is_off_is_off_in_updates_and_status_texts():
    options = MappingOptions(capture_content=False)
    joiner = Joiner(WIDE, Accounting())
    mapper = Mapper(options, Accounting())
    joiner.add_info(trace_info.read(info_body(5, request_preview="secret words")))
    sent = arrival(Part(5, 1, 0))
    sent.span.status.code, sent.span.status.message = 2, "secret words"
    sent.span.attributes.add(key="mlflow.spanOutputs").value.string_value = "secret words"
    link = sent.span.links.add(trace_id=b"1" * 16, span_id=b"1" * 8)
    link.attributes.add(key="said").value.string_value = "secret words"
    out = joiner.add_spans([sent])
    out += joiner.add_info(trace_info.read(info_body(5, response_preview="secret words")))
    assert len(out) == 2
    for leaving in out:
        assert b"secret words" not in envelope.request(mapper.groups(leaving))


@pytest.mark.parametrize("capture", [False, True])
def test_what_others_say_of_their_scope_leaves_as_their_spans_do(capture):
    mapper = Mapper(MappingOptions(capture_content=capture), Accounting())
    holder = ScopeSpans(schema_url="https://schema")
    holder.scope.name, holder.scope.version = "library", "1"
    holder.scope.attributes.add(key="about").value.string_value = "secret words"
    holder.scope.attributes.add(key="parts").value.int_value = 3
    found = ScopeSpans.FromString(mapper.others_scope(holder))
    assert (found.scope.name, found.scope.version) == ("library", "1")
    assert found.schema_url == "https://schema"
    kept = ["about", "parts"] if capture else ["parts"]
    assert [a.key for a in found.scope.attributes] == kept


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"trace": 1}, {"trace": {"trace_info": {"trace_id": "tr-" + "0" * 32}}},
     {"trace": {"trace_info": {"trace_id": "tr-1"}}}, {"trace": {"trace_info": {}}},
     {"trace": {"trace_info": {"trace_id": "tr-" + "1" * 32, "tags": [1]}}}],
)  # fmt: off
def test_a_trace_info_that_is_none_is_refused(body):
    with pytest.raises(trace_info.MalformedError):
        trace_info.read(body)


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"spans": 1}, {"spans": [1]}, {"spans": [{}]}, {"spans": [{"span_id": "AAAAAAAAAAA="}]},
     {"spans": [{"span_id": "no base64"}]}],
)  # fmt: off
def test_a_traces_json_that_is_none_is_refused(body):
    with pytest.raises(trace_info.MalformedError):
        traces_json.read(body, 1)


def test_an_empty_span_leaves_as_it_is():
    joiner, mapper, _ = joined()
    joiner.add_spans([Arrival(Span(trace_id=b"1" * 16, span_id=b"1" * 8))])
    (span,) = leaves(joiner.release_all(), mapper)
    assert span["name"] == ""
