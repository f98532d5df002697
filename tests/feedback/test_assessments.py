"""MLflow's calls and ours, unmodified, to a real OTLP receiver."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback
from mlflow.exceptions import MlflowException
from mlflow.tracing.trace_manager import InMemoryTraceManager

import mlflow_otel
from mlflow_otel.accounting import ACCOUNTING

HUMAN = AssessmentSource("HUMAN", "ann@example.com")
EVENT = "gen_ai.evaluation.result"
UNKNOWN = f"tr-{7:032x}"


class Backend:
    """What arrived."""

    def __init__(self, receiver, handle):
        self.receiver, self.handle = receiver, handle

    def flush(self):
        assert self.handle.force_flush(10_000)
        return self.receiver.store

    def evaluations(self):
        return [s for s in self.flush().spans() if s["name"].startswith("evaluation ")]

    def events(self):
        return self.flush().logs()

    def points(self, name="mlflow.assessment.count"):
        """Return the last of each series; they are cumulative."""
        points = (p for p in self.flush().metrics() if p["name"] == name)
        return list({str(sorted(p["attributes"].items())): p for p in points}.values())


@pytest.fixture
def backend(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
    mlflow_otel.uninstrument()
    yield Backend(receiver, mlflow_otel.instrument())
    mlflow_otel.uninstrument()


@mlflow.trace
def chat(request="req-1"):
    mlflow.update_current_trace(
        client_request_id=request, session_id="s-1", user="u-1", tags={"environment": "test"}
    )
    with mlflow.start_span("inner") as span:
        return mlflow.get_active_trace_id(), span.span_id


def test_feedback_on_an_ended_trace_is_an_event_and_a_span_in_it_and_counts(backend):
    trace_id, _ = chat()
    made = mlflow.log_feedback(
        trace_id=trace_id, name="correct", value=True, source=HUMAN, rationale="It is Paris."
    )
    assert made.assessment_id
    assert made.trace_id == trace_id
    (root,) = [s for s in backend.flush().spans() if s["name"] == "chat"]
    (event,), (span,) = backend.events(), backend.evaluations()
    assert event["event_name"] == EVENT
    for one in (event, span):
        assert one["trace_id"] == root["trace_id"] == trace_id.removeprefix("tr-")
        assert (
            one["attributes"]
            | {
                "gen_ai.evaluation.name": "correct",
                "gen_ai.evaluation.score.value": 1.0,
                "gen_ai.evaluation.score.label": "true",
                "gen_ai.evaluation.explanation": "It is Paris.",
                "mlflow.assessment.id": made.assessment_id,
                "mlflow.assessment.source.type": "HUMAN",
                "mlflow.assessment.source.id": "ann@example.com",
                "session.id": "s-1",
                "user.id": "u-1",
                "mlflow.trace.client_request_id": "req-1",
                "mlflow.trace.id": trace_id,
                "deployment.environment.name": "test",
            }
            == one["attributes"]
        )
    assert event["span_id"] == span["parent_span_id"] == root["span_id"]
    assert event["time"] == span["start_time"] == made.create_time_ms * 10**6
    assert span["end_time"] == span["start_time"] + 1000
    assert span["links"] == [{"trace_id": root["trace_id"], "span_id": root["span_id"]}]
    assert event["resource"] == root["resource"] == span["resource"]
    (count,), (score,) = backend.points(), backend.points("mlflow.assessment.score")
    assert count["value"] == 1
    assert (score["count"], score["sum"]) == (1, 1.0)
    assert count["attributes"] == {
        "gen_ai.evaluation.name": "correct",
        "gen_ai.evaluation.score.label": "true",
        "mlflow.assessment.type": "feedback",
        "mlflow.assessment.source.type": "HUMAN",
    }


def test_feedback_on_one_span_hangs_on_that_span(backend):
    trace_id, span_id = chat()
    mlflow.log_feedback(trace_id=trace_id, value=0.5, span_id=span_id)
    (event,), (span,) = backend.events(), backend.evaluations()
    assert event["span_id"] == span["parent_span_id"] == span_id
    assert event["attributes"]["mlflow.assessment.span_id"] == span_id


def test_what_is_logged_on_the_active_trace_leaves_when_it_ends_once_and_with_all_it_came_to_know(
    backend,
):
    with mlflow.start_span("root"):
        made = mlflow.log_feedback(trace_id=mlflow.get_active_trace_id(), name="early", value=1)
        assert made.assessment_id
        assert backend.events() == []
        mlflow.update_current_trace(session_id="late")
    (event,) = backend.events()
    assert event["attributes"]["mlflow.assessment.id"] == made.assessment_id
    assert event["attributes"]["session.id"] == "late"
    assert len(backend.evaluations()) == 1
    assert backend.points()[-1]["value"] == 1


def test_feedback_on_a_trace_under_way_elsewhere_in_the_process_leaves_at_once(backend):
    root = mlflow.start_span_no_context("root", metadata={"mlflow.trace.session": "s-9"})
    mlflow.log_feedback(trace_id=root.trace_id, value=1)
    (event,) = backend.events()
    root.end()
    assert event["span_id"] == root.span_id
    assert event["attributes"]["session.id"] == "s-9"


def test_feedback_from_another_process_knows_the_trace_by_its_id_alone(backend):
    mlflow.log_feedback(trace_id=UNKNOWN, value=1)
    (event,), (span,) = backend.events(), backend.evaluations()
    assert event["trace_id"] == span["trace_id"] == UNKNOWN.removeprefix("tr-")
    assert event["span_id"] == span["parent_span_id"] == ""
    assert span["links"] == []
    assert event["attributes"]["mlflow.trace.id"] == UNKNOWN


def test_expectations_assessments_and_errors_leave_too(backend):
    trace_id, _ = chat()
    mlflow.log_expectation(trace_id=trace_id, name="answer", value={"city": "Paris"}, source=HUMAN)
    mlflow.log_assessment(trace_id, Expectation(name="plain", value="Paris"))
    mlflow.log_feedback(trace_id=trace_id, name="judge", error=AssessmentError("TIMEOUT", "slow"))
    mlflow.log_feedback(trace_id=trace_id, name="judge", error=ValueError("no answer"))
    found = {
        e["attributes"]["gen_ai.evaluation.name"]: e["attributes"] for e in backend.events()[:3]
    }
    assert found["answer"]["mlflow.assessment.value"] == '{"city":"Paris"}'
    assert found["plain"]["mlflow.assessment.value"] == '"Paris"'
    assert found["judge"]["error.type"] == "TIMEOUT"
    assert found["judge"]["mlflow.assessment.error.message"] == "slow"
    failed = [s for s in backend.evaluations() if s["status"] == "ERROR"]
    assert [s["attributes"]["error.type"] for s in failed] == ["TIMEOUT", "ValueError"]


def test_an_assessment_can_be_changed_overridden_and_deleted(backend):
    trace_id, _ = chat()
    first = mlflow.log_feedback(trace_id=trace_id, name="grade", value=1, rationale="so-so")
    mlflow.update_assessment(trace_id, first.assessment_id, Feedback(name="grade", value=2))
    second = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=first.assessment_id, value=3, source=HUMAN
    )
    assert mlflow.get_assessment(trace_id, first.assessment_id).valid is False
    mlflow.delete_assessment(trace_id, second.assessment_id)
    made, changed, overriding, deleted = (e["attributes"] for e in backend.events())
    assert made["gen_ai.evaluation.score.value"] == 1.0
    assert "mlflow.assessment.operation" not in made
    assert changed["mlflow.assessment.id"] == first.assessment_id
    assert changed["mlflow.assessment.operation"] == "update"
    assert changed["gen_ai.evaluation.score.value"] == 2.0
    assert changed["gen_ai.evaluation.explanation"] == "so-so"
    assert overriding["mlflow.assessment.overrides"] == first.assessment_id
    assert deleted["mlflow.assessment.id"] == second.assessment_id
    assert deleted["mlflow.assessment.operation"] == "delete"
    assert deleted["mlflow.assessment.valid"] is False
    assert sum(p["value"] for p in backend.points()) == 2  # two were made
    with pytest.raises(MlflowException, match="was not logged by this process"):
        mlflow.delete_assessment(trace_id, second.assessment_id)
    with pytest.raises(MlflowException, match="cannot be changed"):
        mlflow.update_assessment(trace_id, first.assessment_id, Expectation(name="g", value=1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"trace_id": "nope"}, "no trace ID"),
        ({"trace_id": "tr-" + "0" * 32}, "no trace ID"),
        ({"trace_id": "tr-" + "x" * 10_000}, "no trace ID"),
        ({"span_id": "zz"}, "no span ID"),
        ({"value": object()}, "must be JSON"),
        ({"value": {"a": {1, 2}}}, "must be JSON"),
        ({"value": float("nan")}, "no JSON"),
        ({"value": {"a": float("inf")}}, "no JSON"),
        ({"name": "n" * 10_000}, "250 are allowed"),
        ({"name": ""}, "must be text"),
        ({"name": None}, "must be text"),
        ({"rationale": 7}, "not logged"),
    ],
)
@pytest.mark.parametrize("active", [False, True], ids=["ended", "active"])
def test_bad_input_is_a_clear_error_at_the_call_and_nothing_is_sent(backend, bad, message, active):
    with mlflow.start_span("root"):
        trace_id = mlflow.get_active_trace_id()
        if active and "trace_id" not in bad:
            with pytest.raises(MlflowException, match=message) as raised:
                mlflow.log_feedback(**{"trace_id": trace_id, "value": 1, **bad})
    if not active or "trace_id" in bad:
        with pytest.raises(MlflowException, match=message) as raised:
            mlflow.log_feedback(**{"trace_id": trace_id, "value": 1, **bad})
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"
    assert len(str(raised.value)) < 400
    assert backend.events() == []
    assert backend.evaluations() == []


@pytest.mark.parametrize("millis", [4_102_444_800_000, -1, 10**30])  # the first: the year 2100
def test_a_time_in_the_future_is_a_clear_error(backend, millis):
    late = Feedback(name="n", value=1, create_time_ms=millis)
    with pytest.raises(MlflowException, match="not in the past"):
        mlflow.log_assessment(UNKNOWN, late)
    assert backend.events() == []


def test_a_megabyte_of_rationale_arrives(backend):
    mlflow.log_feedback(trace_id=UNKNOWN, value=1, rationale="r" * 2**20)
    (event,) = backend.events()
    assert len(event["attributes"]["gen_ai.evaluation.explanation"]) == 2**20


def test_a_rationale_beyond_a_request_is_truncated_and_says_so(backend):
    mlflow.log_feedback(trace_id=UNKNOWN, value=1, rationale="r" * 5 * 2**20)
    mlflow.log_feedback(trace_id=UNKNOWN, value=2)
    events = sorted(
        backend.events(), key=lambda e: e["attributes"]["gen_ai.evaluation.score.value"]
    )
    first, second = events
    assert first["attributes"]["mlflow_otel.truncated"] == ["gen_ai.evaluation.explanation=5242880"]
    assert second["attributes"]["gen_ai.evaluation.score.value"] == 2.0
    assert backend.handle.stats()["logs.truncated"] >= 1


def test_feedback_by_client_request_id_finds_a_recent_trace_the_newest_of_several(backend):
    chat("req-2")
    newest, _ = chat("req-2")
    chat("other")
    before = ACCOUNTING.snapshot().get("feedback.several_traces", 0)
    made = mlflow_otel.log_feedback(client_request_id="req-2", name="n", value=0.5, source=HUMAN)
    wanted = mlflow_otel.log_expectation(client_request_id="req-2", name="answer", value="Paris")
    assert made.trace_id == wanted.trace_id == newest
    assert {e["trace_id"] for e in backend.events()} == {newest.removeprefix("tr-")}
    assert ACCOUNTING.snapshot()["feedback.several_traces"] == before + 2


def test_feedback_by_client_request_id_finds_a_trace_under_way(backend):
    root = mlflow.start_span_no_context("root")
    with InMemoryTraceManager.get_instance().get_trace(root.trace_id) as trace:
        trace.info.client_request_id = "open"
    made = mlflow_otel.log_feedback(client_request_id="open", value=1)
    root.end()
    assert made.trace_id == root.trace_id
    assert backend.events()[0]["span_id"] == root.span_id


def test_a_request_that_is_not_found_is_an_error_that_says_where_was_looked(backend):
    with pytest.raises(
        mlflow_otel.TraceNotFoundError,
        match=r"'gone'.*this process's recent traces.*MLFLOW_OTEL_TRACE_LOOKUP",
    ):
        mlflow_otel.log_feedback(client_request_id="gone", value=1)
    with pytest.raises(MlflowException, match="either"):
        mlflow_otel.log_feedback(value=1)
    with pytest.raises(MlflowException, match="either"):
        mlflow_otel.log_feedback(client_request_id="a", trace_id=UNKNOWN, value=1)


def test_recent_traces_are_bounded(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
    monkeypatch.setenv("MLFLOW_OTEL_RECENT_TRACES", "2")
    mlflow_otel.uninstrument()
    mlflow_otel.instrument()
    try:
        for number in range(3):
            chat(f"bounded-{number}")
        with pytest.raises(LookupError):
            mlflow_otel.log_feedback(client_request_id="bounded-0", value=1)
        mlflow_otel.log_feedback(client_request_id="bounded-1", value=1)
    finally:
        mlflow_otel.uninstrument()
        mlflow_otel.instrument()
        mlflow_otel.uninstrument()


@pytest.mark.parametrize("signals", ["traces", "logs", "metrics", "logs,metrics"])
def test_the_signals_are_those_asked_for(receiver, monkeypatch, signals):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
    monkeypatch.setenv("MLFLOW_OTEL_ASSESSMENT_SIGNALS", signals)
    mlflow_otel.uninstrument()
    handle = mlflow_otel.instrument()
    mlflow.log_feedback(trace_id=UNKNOWN, value=1)
    assert handle.force_flush(10_000)
    mlflow_otel.uninstrument()
    store = receiver.store
    arrived = {"traces": store.spans(), "logs": store.logs(), "metrics": store.metrics()}
    assert {name for name, found in arrived.items() if found} == set(signals.split(","))


def test_metric_labels_are_bounded(backend):
    for number in range(60):
        mlflow.log_feedback(trace_id=UNKNOWN, name="comment", value=f"said {number}")
    labels = {
        p["attributes"]["gen_ai.evaluation.score.label"]: p["value"] for p in backend.points()
    }
    assert len(labels) == 51
    assert labels["_OTHER"] == 10
    assert len({e["attributes"]["gen_ai.evaluation.score.label"] for e in backend.events()}) == 60


def test_feedback_needs_no_instrument_call(run_app, receiver):
    code = f"""
    import mlflow_otel, json
    made = mlflow_otel.log_feedback(trace_id="{UNKNOWN}", value=True)
    print(json.dumps([made.assessment_id]))
    """
    run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    (event,), (span,) = receiver.store.logs(), receiver.store.spans()
    assert event["trace_id"] == span["trace_id"] == UNKNOWN.removeprefix("tr-")
    assert receiver.store.metrics()


def test_a_sampled_out_trace_that_is_recorded_gets_its_event_and_metrics_marked_and_no_span(
    run_app, receiver
):
    code = """
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()

    @mlflow.trace
    def chat():
        mlflow.update_current_trace(client_request_id="req-1", session_id="s-1")
        mlflow.log_feedback(trace_id=mlflow.get_active_trace_id(), name="inside", value=1)
        with mlflow.start_span("inner"):
            pass

    chat()
    mlflow_otel.log_feedback(client_request_id="req-1", name="after", value=False)
    assert handle.stats()["sampled_out"] == 2, handle.stats()
    """
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
        "MLFLOW_OTEL_RECORD_SAMPLED_OUT": "true",
    }
    run_app(code, env)
    assert receiver.store.spans() == []
    events = receiver.store.logs()
    assert {e["attributes"]["gen_ai.evaluation.name"] for e in events} == {"inside", "after"}
    scores = [m for m in receiver.store.metrics() if m["name"].startswith("mlflow.assessment.")]
    for found in [*events, *scores]:
        assert found["attributes"]["mlflow.trace.sampled"] is False
    assert scores
    assert {e["attributes"]["session.id"] for e in events} == {"s-1"}


def test_feedback_on_a_trace_that_the_sampler_dropped_is_marked_and_makes_no_span(
    run_app, receiver
):
    code = """
    import mlflow, mlflow_otel
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from mlflow_otel import MlflowSampler
    trace.set_tracer_provider(TracerProvider(sampler=MlflowSampler(0.0)))
    mlflow_otel.instrument()
    with trace.get_tracer("web").start_as_current_span("request") as span:
        context = span.get_span_context()
    mlflow.log_feedback(trace_id=f"{context.trace_id:032x}", value=1)
    """
    run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    (event,) = receiver.store.logs()
    assert event["attributes"]["mlflow.trace.sampled"] is False
    assert receiver.store.spans() == []


def test_without_recording_feedback_on_a_sampled_out_trace_is_ignored_as_mlflow_does(
    run_app, receiver
):
    code = """
    import mlflow, mlflow_otel
    mlflow_otel.instrument()
    with mlflow.start_span("root") as span:
        pass
    mlflow.log_feedback(trace_id=span.trace_id, value=1)
    """
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_TRACE_SAMPLING_RATIO": "0",
    }
    run_app(code, env)
    assert receiver.store.spans() == []
    assert receiver.store.logs() == []


def test_forked_children_log_feedback_of_their_own(run_app, receiver):
    code = f"""
    import os, mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    mlflow.log_feedback(trace_id="{UNKNOWN}", name="parent", value=1)
    assert handle.force_flush(5000)
    pid = os.fork()
    if pid == 0:
        mlflow.log_feedback(trace_id="{UNKNOWN}", name="child", value=1)
        os._exit(0 if handle.force_flush(5000) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    """
    run_app(code, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    names = sorted(e["attributes"]["gen_ai.evaluation.name"] for e in receiver.store.logs())
    assert names == ["child", "parent"]
    counted = [
        (p["attributes"]["gen_ai.evaluation.name"], p["value"])
        for p in receiver.store.metrics()
        if p["name"] == "mlflow.assessment.count"
    ]
    assert set(counted) == {("parent", 1), ("child", 1)}  # neither reports what the other counted
    by_name = {
        p["attributes"]["gen_ai.evaluation.name"]: p["resource"].get("service.instance.id")
        for p in receiver.store.metrics()
    }
    assert by_name["parent"] != by_name["child"]


def test_in_a_shared_app_events_and_metrics_go_through_the_apps_own_providers(run_app, receiver):
    code = f"""
    import json
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    try:
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as Memory
    except ImportError:
        from opentelemetry.sdk._logs.export import InMemoryLogExporter as Memory
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    memory, reader = Memory(), InMemoryMetricReader()
    logs = LoggerProvider()
    logs.add_log_record_processor(SimpleLogRecordProcessor(memory))
    _logs.set_logger_provider(logs)
    metrics.set_meter_provider(MeterProvider([reader]))
    trace.set_tracer_provider(TracerProvider())
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    mlflow.log_feedback(trace_id="{UNKNOWN}", name="n", value=1)
    assert handle.force_flush(5000)
    (record,) = memory.get_finished_logs()
    (held,) = [record.log_record]
    found = [m.name for r in reader.get_metrics_data().resource_metrics for s in r.scope_metrics for m in s.metrics]
    print(json.dumps([held.trace_id, dict(held.attributes)["gen_ai.evaluation.name"], found]))
    """
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
    }
    trace_id, name, found = run_app(code, env)
    assert (trace_id, name) == (7, "n")
    assert {"mlflow.assessment.count", "mlflow.assessment.score"} <= set(found)
    assert receiver.store.logs() == []
    assert receiver.store.metrics() == []
    assert [s["name"] for s in receiver.store.spans()] == ["evaluation n"]


def test_one_assessment_that_cannot_be_sent_does_not_keep_the_next_from_leaving(
    backend, monkeypatch
):
    from mlflow_otel.mapping import assessment

    attributes = assessment.event_attributes

    def broken(view, *rest):
        if view.name == "broken":
            raise TypeError("it cannot be mapped")
        return attributes(view, *rest)

    monkeypatch.setattr(assessment, "event_attributes", broken)
    mlflow.log_feedback(trace_id=UNKNOWN, name="broken", value=1)
    mlflow.log_feedback(trace_id=UNKNOWN, name="next", value=1)
    assert [e["attributes"]["gen_ai.evaluation.name"] for e in backend.events()] == ["next"]
    assert backend.handle.stats()["assessments.failed"] >= 1


def test_an_assessment_of_a_kind_that_is_not_known_is_left_out_with_a_warning(backend, caplog):
    """A later MLflow may have kinds that we do not know: none of them is an issue."""
    unknown = Feedback(name="later", value=1, trace_id=UNKNOWN, source=HUMAN)
    unknown.feedback = None
    with pytest.raises(MlflowException, match="none of: feedback, expectation, issue"):
        mlflow.log_assessment(UNKNOWN, unknown)
    backend.handle.assessments.send(unknown)  # as after a tracking server took it
    mlflow.log_feedback(trace_id=UNKNOWN, name="known", value=1)
    names = [event["attributes"]["gen_ai.evaluation.name"] for event in backend.events()]
    assert names == ["known"]
    assert "newer mlflow-otel knows this kind" in caplog.text


def test_an_evaluation_names_the_experiment_as_its_trace_does(run_app, receiver):
    code = """
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    with mlflow.start_span("root"):
        mlflow.update_current_trace(client_request_id="r")
    mlflow_otel.log_feedback(client_request_id="r", name="good", value=True)
    handle.force_flush(20_000)
    """
    run_app(
        code,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "MLFLOW_EXPERIMENT_ID": "7",  # no server is asked for its name
            "MLFLOW_EXPERIMENT_NAME": "shop",
        },
    )
    spans = {
        s["name"]: s["attributes"].get("mlflow.experiment.name") for s in receiver.store.spans()
    }
    assert spans == {"root": "shop", "evaluation good": "shop"}
