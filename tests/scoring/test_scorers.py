"""``handle.scorers``: which traces are scored, what a scorer sees, what leaves of what it says."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Feedback
from mlflow.tracing.provider import _get_tracer
from opentelemetry.trace import set_span_in_context

import mlflow_otel
from mlflow_otel.scoring.identity import assessment_id
from tests.scoring.conftest import answer

SCORE = "gen_ai.evaluation.score.value"
LABEL = "gen_ai.evaluation.score.label"


def rated(rate=None, only=None):
    return mlflow_otel.ScorerSamplingConfig(sample_rate=rate, filter_string=only)


class Half(float):
    pass


def length(outputs):
    return len(outputs)


def test_what_a_scorer_returns_leaves_as_assessments_of_the_trace(scored):
    handle, said = scored

    def judge(inputs, outputs):
        source = AssessmentSource(source_type="LLM_JUDGE", source_id="some-model")
        return [
            Feedback(name="tone", value="friendly", rationale="It says it is.", source=source),
            Feedback(value=inputs["question"] in outputs),
        ]

    handle.scorers.start(length)
    handle.scorers.start(judge)
    answer("Paris")
    trace_id = mlflow.get_last_active_trace_id()
    found = said()
    digests = {one.name: one.digest for one in handle.scorers.list()}
    assert found["length"][SCORE] == 12
    assert found["length"]["mlflow.assessment.source.type"] == "CODE"
    assert found["length"]["mlflow.assessment.source.id"] == "length"
    assert found["length"]["mlflow.trace.id"] == trace_id
    assert found["length"]["mlflow.assessment.id"] == assessment_id(
        trace_id, "length", digests["length"]
    )
    assert found["length"]["mlflow.assessment.metadata.scorer_digest"] == digests["length"]
    assert found["tone"][LABEL] == "friendly"
    assert found["tone"]["mlflow.assessment.source.type"] == "LLM_JUDGE"
    assert found["tone"]["mlflow.assessment.metadata.scorer_name"] == "judge"
    assert found["judge"][SCORE] == 1.0


def test_a_scorer_sees_the_whole_trace_as_get_trace_shows_it(scored):
    handle, said = scored
    seen = []

    def look(trace, inputs, outputs, expectations):
        seen.append((trace, inputs, outputs, expectations))

    handle.scorers.start(look)
    with mlflow.start_span("request", span_type="CHAIN") as span:
        span.set_inputs({"question": "Paris"})
        mlflow.log_expectation(trace_id=span.trace_id, name="city", value={"name": "Paris"})
        mlflow.update_current_trace(
            tags={"a": "b"},
            metadata={"m": "n", "mlflow.trace.session": "s-1", "mlflow.trace.user": "ada"},
            client_request_id="req-1",
        )
        with mlflow.start_span("call", span_type="CHAT_MODEL") as call:
            usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
            call.set_attribute("mlflow.chat.tokenUsage", usage)
        span.set_outputs(["It is Paris."])
    said()
    ((trace, inputs, outputs, expectations),) = seen
    assert inputs == {"question": "Paris"}
    assert outputs == ["It is Paris."]
    assert expectations == {"city": {"name": "Paris"}}
    info = trace.info
    assert info.trace_id == span.trace_id
    assert info.state == "OK"
    assert info.client_request_id == "req-1"
    assert info.tags["a"] == "b"
    assert info.trace_metadata["m"] == "n"
    assert info.trace_metadata["mlflow.trace.session"] == "s-1"
    assert info.trace_metadata["mlflow.trace.user"] == "ada"
    assert info.token_usage == usage
    assert info.execution_duration >= 0
    assert [one.name for one in trace.data.spans] == ["request", "call"]
    assert [one.span_type for one in trace.data.spans] == ["CHAIN", "CHAT_MODEL"]
    assert trace.data.spans[0].outputs == ["It is Paris."]
    assert trace.data.spans[1].parent_id == trace.data.spans[0].span_id
    assert trace.search_assessments(type="expectation")[0].expectation.value == {"name": "Paris"}
    assert json.loads(trace.to_json())["info"]["trace_id"] == span.trace_id


def test_a_trace_below_another_librarys_span_is_scored_by_mlflows_topmost_span(run_app):
    found = run_app(
        """
        import json, mlflow, mlflow_otel
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        handle = mlflow_otel.instrument()
        found = {}
        def look(inputs, outputs, trace):
            root = trace.data._get_root_span()
            found.update(inputs=inputs, outputs=outputs, root=root.name)
            found.update(method=root.get_attribute("http.request.method"))
        handle.scorers.start(look)
        parent = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1))
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        tracer = trace.get_tracer("http")
        attributes = {"http.request.method": "GET"}
        with tracer.start_as_current_span("GET /ask", context, attributes=attributes):
            mlflow.trace(lambda question: "It is Rome.", name="answer")("where")
        assert handle.scorers.drain(20)
        print(json.dumps(found))
        """,
        {
            "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        },
    )
    assert found == {
        "inputs": {"question": "where"},
        "outputs": "It is Rome.",
        "root": "GET /ask",
        "method": "GET",
    }


def test_a_trace_that_is_released_in_parts_is_scored_whole(scored):
    handle, said = scored
    seen = []
    handle.scorers.start(lambda trace: seen.append(trace), name="look")
    with mlflow.start_span("long"):
        answer("Rome")
        handle.processor._holder._max_age = -1
        handle.processor.release_aged()
        handle.processor._holder._max_age = 60
        answer("Oslo")
    said()
    assert sorted(span.name for span in seen[0].data.spans) == sorted(
        ["long", "answer", "search", "answer", "search"]
    )


def test_each_scorer_has_values_of_its_own_to_change(scored):
    handle, said = scored
    seen = []

    def spoil(inputs, trace):
        seen.append(inputs["question"])
        inputs["question"] = "spoilt"
        trace.data.spans[0].inputs["question"] = "spoilt"
        trace.info.tags.clear()
        trace.info.assessments.append("nonsense")
        trace.data.spans.clear()

    def look(inputs, trace):
        seen.append((inputs["question"], trace.data.spans[0].inputs["question"]))
        seen.append((bool(trace.info.tags), trace.info.assessments))

    handle.scorers.start(spoil)
    said()
    handle.scorers.start(look)
    answer("Rome")
    said()
    assert "Rome" in seen
    assert ("Rome", "Rome") in seen
    assert (True, []) in seen


def test_a_filter_and_a_rate_decide_which_traces_are_scored(scored):
    handle, said = scored
    seen = []
    handle.scorers.start(
        lambda inputs: seen.append(inputs["question"]),
        rated(only="tags.environment = 'production' AND span.type = 'TOOL'"),
        name="production",
    )
    handle.scorers.start(length, rated(0.0))
    answer("one", tags={"environment": "production"})
    answer("two", tags={"environment": "test"})
    assert said() == {}
    assert seen == ["one"]
    by_name = {one.name: one for one in handle.scorers.list()}
    assert by_name["production"].sampled_out == 1
    assert by_name["length"].sampled_out == 2
    assert handle.stats()["scorer.sampled_out"] == 3


def test_scorers_are_updated_stopped_and_listed(scored):
    handle, said = scored
    assert handle.scorers.list() == []
    handle.scorers.start(length, rated(0.0))
    answer("one")
    assert said() == {}
    handle.scorers.update("length", rated(1.0))
    answer("two")
    assert said()["length"][SCORE] == 10
    assert [
        (one.name, one.sampling_config.sample_rate, one.runs) for one in handle.scorers.list()
    ] == [("length", 1.0, 1)]
    handle.scorers.stop("length")
    answer("three")
    assert said()["length"][SCORE] == 10
    assert handle.processor.whole.wanting is None
    for call in (
        lambda: handle.scorers.stop("length"),
        lambda: handle.scorers.update("x", rated()),
    ):
        with pytest.raises(mlflow_otel.ScorerError, match="No scorer named"):
            call()


async def asynchronous(outputs):
    return outputs


def wants_more(outputs, color):
    return outputs


@pytest.mark.parametrize(
    ("scorer", "config", "said"),
    [
        (lambda outputs: 1, None, "needs a name"),
        (asynchronous, None, "async"),
        (wants_more, None, "color"),
        ("length", None, "cannot be called"),
        (length, rated(1.5), "from 0 to 1"),
        (length, rated(only="feedback.tone = 'good'"), "feedback.tone = 'good'"),
        (length, rated(only="status = 'OK' OR 1"), "OR"),
    ],
)
def test_what_cannot_be_scored_with_is_refused_at_start(scored, scorer, config, said):
    handle, _ = scored
    with pytest.raises(mlflow_otel.ScorerError, match=said):
        handle.scorers.start(scorer, config)
    assert handle.scorers.list() == []


def test_a_name_is_started_once(scored):
    handle, _ = scored
    handle.scorers.start(length)
    with pytest.raises(mlflow_otel.ScorerError, match="stop it first"):
        handle.scorers.start(length)


def test_a_trace_that_is_scored_again_keeps_its_assessment(scored):
    handle, said = scored
    handle.scorers.start(length)
    answer("Oslo")
    said()
    ended = []
    wanting = handle.processor.whole.wanting

    def watch(trace_id):
        take = wanting(trace_id)
        return lambda trace: ended.append((take, trace)) or take(trace)

    handle.processor.whole.wanting = watch
    answer("Rome")
    first = said()["length"]
    ((take, trace),) = ended
    assert take(trace)
    again = said()["length"]
    assert again["mlflow.assessment.id"] == first["mlflow.assessment.id"]
    assert "mlflow.assessment.operation" not in first
    assert again["mlflow.assessment.operation"] == "update"


def test_a_results_id_does_not_depend_on_what_else_was_said(scored):
    handle, said = scored
    before = []

    def several(outputs):
        return [*before, Feedback(name="last", value=1)]

    handle.scorers.start(several)
    (status,) = handle.scorers.list()
    for some in ([], [Feedback(name="first", value=0), 2]):
        before[:] = some
        answer("Oslo")
        found = said()["last"]
        expected = assessment_id(found["mlflow.trace.id"], "several", status.digest, "last")
        assert found["mlflow.assessment.id"] == expected


@pytest.mark.parametrize("value", [Half(0.5), [Half(0.5)]])
def test_a_number_of_a_type_of_its_own_stays_a_number(scored, value):
    """As NumPy's ``float64`` is."""
    handle, said = scored

    def half(outputs):
        return Feedback(value=value)

    handle.scorers.start(half)
    answer("Oslo")
    assert json.loads(said()["half"]["mlflow.assessment.value"]) == value


def test_traces_that_are_sampled_out_but_recorded_are_scored(memory, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACE_SAMPLING_RATIO", "0")
    monkeypatch.setenv("MLFLOW_OTEL_RECORD_SAMPLED_OUT", "true")
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        seen = []
        handle.scorers.start(lambda trace: seen.append(len(trace.data.spans)), name="look")
        answer("Rome")
        assert handle.force_flush()
    finally:
        mlflow_otel.uninstrument()
    assert seen == [2]
    assert memory.get_finished_spans() == ()


def test_what_a_scorer_calls_is_not_scored_and_does_not_leave(scored, memory):
    handle, said = scored
    called = []

    def judge(outputs):
        called.append(outputs)
        answer("by the judge")
        return True

    handle.scorers.start(judge)
    answer("Rome")
    assert said()["judge"][SCORE] == 1.0
    assert called == ["It is Rome."]
    assert len({span.context.trace_id for span in memory.get_finished_spans()}) == 1
    assert handle.stats()["scorer.spans_not_exported"] == 2


def in_a_pool(work):
    with ThreadPoolExecutor(2) as pool:
        return pool.submit(work).result()


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_thread_of_a_class(work):
    class Works(threading.Thread):
        def run(self):
            work()

    thread = Works()
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    "way",
    [
        in_a_pool,
        in_a_thread,
        in_a_thread_of_a_class,
        lambda work: in_a_pool(lambda: in_a_thread(work)),
        lambda work: asyncio.run(asyncio.to_thread(work)),
    ],
)
def test_what_a_scorer_calls_in_threads_is_not_scored_either(scored, memory, way):
    handle, said = scored
    called = []

    def judge(outputs):
        called.append(outputs)
        if len(called) < 9:
            way(lambda: answer("by the judge"))
        return True

    handle.scorers.start(judge)
    answer("Rome")
    assert said()["judge"][SCORE] == 1.0
    assert called == ["It is Rome."]
    assert len({span.context.trace_id for span in memory.get_finished_spans()}) == 1
    assert handle.stats()["scorer.spans_not_exported"] == 2


def test_a_thread_that_a_scorer_has_started_is_the_apps_when_the_scorer_is_done(scored):
    handle, said = scored
    seen = []
    with ThreadPoolExecutor(1) as shared:

        def judge(outputs):
            seen.append(outputs)
            return shared.submit(lambda: True).result()

        handle.scorers.start(judge)
        answer("Rome")
        said()
        shared.submit(answer, "Oslo").result()
        said()
    assert seen == ["It is Rome.", "It is Oslo."]


def test_what_a_scorer_calls_leaves_if_asked_for_in_a_linked_trace_that_is_not_scored(
    memory, monkeypatch
):
    monkeypatch.setenv("MLFLOW_OTEL_SCORER_TRACES", "true")
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        runs = []

        def judge(outputs):
            runs.append(outputs)
            answer("by the judge")

        handle.scorers.start(judge)
        answer("Rome")
        assert handle.force_flush()
    finally:
        mlflow_otel.uninstrument()
    roots = {
        s.attributes.get("mlflow.scorer.name"): s
        for s in memory.get_finished_spans()
        if not s.parent
    }
    assert set(roots) == {None, "judge"}
    assert roots["judge"].links[0].context.trace_id == roots[None].context.trace_id
    assert roots["judge"].links[0].context.span_id == roots[None].context.span_id
    assert runs == ["It is Rome."]


def test_with_content_off_the_scorer_sees_all_and_its_words_stay(memory, monkeypatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "false")
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        handle.scorers.start(
            lambda outputs: Feedback(value=len(outputs), rationale=outputs), name="length"
        )
        answer("Rome")
        assert handle.force_flush()
    finally:
        mlflow_otel.uninstrument()
    (said,) = (s.attributes for s in memory.get_finished_spans() if SCORE in s.attributes)
    assert said[SCORE] == 11
    assert said["mlflow.assessment.metadata.scorer_name"] == "length"
    assert "mlflow.assessment.metadata.scorer_digest" in said
    assert "It is Rome." not in str(dict(said))


def test_traces_of_an_evaluation_run_are_not_scored(scored):
    handle, said = scored
    handle.scorers.start(length)
    answer("Rome", metadata={"mlflow.sourceRun": "r-1"})
    assert said() == {}


def test_scorers_that_a_variable_names_are_started(run_app, receiver, tmp_path):
    (tmp_path / "my_scorers.py").write_text(
        "import mlflow_otel\n"
        "def length(outputs):\n    return len(outputs)\n"
        "def never(outputs):\n    return 1\n"
        "def bad(color):\n    return 1\n"
        "SCORERS = [length, (never, mlflow_otel.ScorerSamplingConfig(0.0)), bad,"
        " {'scorer': lambda trace: len(trace.data.spans), 'name': 'spans', 'max_per_minute': 60}]\n"
    )
    run_app(
        "import mlflow, mlflow_otel\n"
        "handle = mlflow_otel.instrument()\n"
        "assert [one.name for one in handle.scorers.list()] == ['length', 'never', 'spans']\n"
        "mlflow.trace(lambda q: 'It is Rome.', name='answer')('q')\n",
        {
            "MLFLOW_OTEL_SCORERS": "my_scorers:SCORERS",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
        },
    )
    scores = {
        span["attributes"]["gen_ai.evaluation.name"]: span["attributes"][SCORE]
        for span in receiver.store.spans()
        if SCORE in span["attributes"]
    }
    assert scores == {"length": 11, "spans": 1}


def test_scorers_that_cannot_be_imported_yet_are_looked_for_when_a_trace_ends(
    memory, monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_OTEL_SCORERS", "scorers_to_come:SCORERS")
    monkeypatch.syspath_prepend(tmp_path)
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        assert handle.scorers.list() == []
        (tmp_path / "scorers_to_come.py").write_text(
            "def one(outputs):\n    return 1\nSCORERS = one\n"
        )
        answer("Rome")
        assert handle.force_flush()
    finally:
        mlflow_otel.uninstrument()
    assert "evaluation one" in [span.name for span in memory.get_finished_spans()]


def test_what_a_variable_names_may_be_wrong_in_any_way(memory, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("MLFLOW_OTEL_SCORERS", "wrong_scorers:SCORERS")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong_scorers.py").write_text(
        "import mlflow_otel\n"
        "mlflow_otel.instrument()\n"  # it may be the app itself
        "class Broken(list):\n"
        "    def __iter__(self):\n        raise RuntimeError('broken')\n"
        "SCORERS = Broken()\n"
    )
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        answer("Rome")
        assert handle.scorers.list() == []
    finally:
        mlflow_otel.uninstrument()
    assert "is not started (broken)" in caplog.text


def test_a_forked_child_scores_its_own_traces(run_app, receiver):
    run_app(
        """
        import os, mlflow, mlflow_otel
        handle = mlflow_otel.instrument()
        def pid(outputs):
            return str(os.getpid())
        handle.scorers.start(pid)
        ask = mlflow.trace(lambda: os.getpid(), name="ask")
        ask()
        child = os.fork()
        ask()
        assert handle.force_flush()
        if child == 0:
            handle.shutdown()
            os._exit(0)
        os.waitpid(child, 0)
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint},
    )
    spans = receiver.store.spans()
    labels = [s["attributes"][LABEL] for s in spans if LABEL in s["attributes"]]
    assert len(labels) == 3
    assert len(set(labels)) == 2


def test_runs_are_counted_by_scorer_in_metrics(run_app, receiver):
    run_app(
        """
        import mlflow, mlflow_otel
        handle = mlflow_otel.instrument()
        def good(outputs):
            return 1
        def bad(outputs):
            raise KeyError("x")
        handle.scorers.start(good)
        handle.scorers.start(bad)
        handle.scorers.start(lambda outputs: 1, mlflow_otel.ScorerSamplingConfig(0.0), name="never")
        handle.scorers.start(lambda outputs: 1, name="rare", max_per_minute=1)
        for _ in range(3):
            mlflow.trace(lambda: 1, name="ask")()
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint},
    )
    found = metrics_of(receiver)
    assert found["mlflow_otel.scorer.runs"] == {
        ("good",): 3,
        ("bad",): 3,
        ("never",): 0,
        ("rare",): 1,
    }
    assert found["mlflow_otel.scorer.failed"][("bad",)] == 3
    assert found["mlflow_otel.scorer.sampled_out"][("never",)] == 3
    assert found["mlflow_otel.scorer.dropped"] == {("rare", "rate"): 2}
    assert found["mlflow_otel.scorer.duration"] == {
        ("good",): 3,
        ("bad", "KeyError"): 3,
        ("rare",): 1,
    }


def metrics_of(receiver):
    """The last value of each metric of scorers, by scorer and error type."""
    found = {}
    for point in receiver.store.metrics():
        if point["name"].startswith("mlflow_otel.scorer."):
            attributes = point["attributes"]
            key = (attributes["mlflow.scorer.name"], attributes.get("error.type"))
            value = point.get("count", point.get("value"))
            found.setdefault(point["name"], {})[tuple(k for k in key if k)] = value
    return found


@pytest.mark.parametrize("spans", [10_000])
def test_a_trace_of_many_spans_and_one_of_5_mb_are_scored(scored, spans):
    handle, said = scored
    handle.scorers.start(lambda trace, inputs: len(trace.data.spans), name="spans")
    handle.scorers.start(lambda inputs: len(inputs["text"]), name="bytes")
    with mlflow.start_span("many") as span:
        span.set_inputs({"text": "x" * 5_000_000})
        tracer, context = _get_tracer("other"), set_span_in_context(span._span)
        for _ in range(spans - 1):
            tracer.start_span("step", context).end()
    found = said()
    assert found["spans"][SCORE] == spans
    assert found["bytes"][SCORE] == 5_000_000
