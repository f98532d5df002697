"""The worker: which traces it judges, what a scorer sees, what leaves. Beside the same scorers in the app."""

from __future__ import annotations

import threading

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Feedback

import mlflow_otel
from mlflow_otel.receiver.server import BusyError
from mlflow_otel.receiver.tickets import Ticket
from mlflow_otel.worker.arrivals import arrivals
from tests.worker.conftest import answer, evaluations, judged

SCORE = "gen_ai.evaluation.score.value"
ID = "mlflow.assessment.id"
SEEN = []


def length(outputs):
    return len(outputs)


def tone(inputs, outputs):
    source = AssessmentSource("LLM_JUDGE", "a-model")
    return [
        Feedback(name="tone", value="dry", rationale="It only says where.", source=source),
        Feedback(value=inputs["question"] in outputs),
    ]


def steps(trace, expectations):
    SEEN.append((trace.to_dict(), expectations))
    return len(trace.data.spans)


def fails(outputs):
    raise KeyError("no such key")


SCORERS = (length, tone, steps, fails)


def make_traces():
    answer(
        "Paris",
        client_request_id="req-1",
        session_id="s-1",
        user="ada",
        tags={"environment": "production"},
        metadata={"build": "7"},
    )
    with mlflow.start_span("request", span_type="CHAIN") as span:
        span.set_inputs({"question": "Rome"})
        span.set_outputs({"said": ["It is Rome."]})
        answer("Rome")


def test_the_worker_says_what_the_app_says_with_the_same_ids(app, worker, receiver):
    SEEN.clear()
    with app(conventions=["genai", "mlflow"]) as (handle, sent):
        for scorer in SCORERS:
            handle.scorers.start(scorer)
        make_traces()
        assert handle.scorers.drain(20)
    in_app, SEEN[:] = list(SEEN), []
    beside = worker(*SCORERS)
    for body in sent.bodies:
        beside.add("traces", body)
    judged(beside, receiver)

    def said(spans):
        plain = {}
        for span in spans:
            values = dict(span["attributes"])
            if "gen_ai.evaluation.name" in values:
                values.pop("mlflow.assessment.create_time", None)
                # What came with the trace was said before: the worker says it again as an update.
                values.pop("mlflow.assessment.operation", None)
                stack = values.pop("mlflow.assessment.error.stack_trace", None)
                about = (span["trace_id"], span["parent_span_id"], span["resource"]["service.name"])
                plain[values[ID]] = (about, span["status"], values, stack is None)
        return plain

    assert len(said(sent.spans())) == 2 * 5
    assert said(receiver.store.spans()) == said(sent.spans())
    assert len(in_app) == len(SEEN) == 2
    for (theirs, _), (ours, _) in zip(sorted(in_app, key=str), sorted(SEEN, key=str), strict=True):
        assert (
            ours["info"]["tags"]["mlflow.traceName"] == theirs["info"]["tags"]["mlflow.traceName"]
        )
        assert ours["info"]["request_time"] == theirs["info"]["request_time"]
        assert [s["name"] for s in ours["data"]["spans"]] == [
            s["name"] for s in theirs["data"]["spans"]
        ]


TEXTS = ("5", "true", "null", "1.5", "NaN", "", "yes", None, 5, 1.5, True)


@mlflow.trace(span_type="CHAIN")
def says(value):
    return value


@pytest.mark.parametrize("conventions", [["genai"], ["genai", "mlflow"]])
def test_texts_stay_texts_and_times_are_the_same(app, worker, receiver, conventions):
    seen = []

    def look(inputs, outputs, trace):
        info = trace.info
        seen.append((info.trace_id, inputs, outputs, info.request_time, info.execution_duration))

    with app(conventions=conventions) as (handle, sent):
        handle.scorers.start(look)
        for value in TEXTS:
            says(value)
        assert handle.scorers.drain(20)
    in_app, seen[:] = sorted(seen), []
    beside = worker(look)
    for body in sent.bodies:
        beside.add("traces", body)
    judged(beside, receiver)
    assert sorted(seen) == in_app
    assert len(seen) == len(TEXTS)


def test_a_scorer_sees_the_trace_whole_and_what_was_expected_of_it(app, worker, receiver):
    SEEN.clear()
    with app() as (handle, sent):
        make_traces()
        trace_id = mlflow.get_last_active_trace_id()
        mlflow.log_expectation(trace_id=trace_id, name="city", value={"name": "Rome"})
        assert handle.force_flush(20_000)
    beside = worker(steps)
    for body in sent.bodies:
        beside.add("traces", body)
    judged(beside, receiver)
    by_name = {trace["info"]["tags"]["mlflow.traceName"]: (trace, e) for trace, e in SEEN}
    info = by_name["answer"][0]["info"]
    assert info["client_request_id"] == "req-1"
    assert info["trace_metadata"]["mlflow.trace.session"] == "s-1"
    assert info["trace_metadata"]["mlflow.trace.user"] == "ada"
    assert info["trace_metadata"]["build"] == "7"
    assert info["tags"]["environment"] == "production"
    assert by_name["answer"][1] is None
    assert by_name["request"][1] == {"city": {"name": "Rome"}}


def test_rates_and_filters_decide_and_what_no_sample_wants_is_not_held(app, worker, receiver):
    with app() as (_, sent):
        make_traces()
    only = "tags.environment = 'production' AND span.type = 'RETRIEVER'"
    config = mlflow_otel.ScorerSamplingConfig(1.0, only)
    beside = worker({"scorer": length, "sampling_config": config})
    for body in sent.bodies:
        beside.add("traces", body)
    assert len(judged(beside, receiver)["length"]) == 1
    assert beside.scorers.list()[0].sampled_out == 1
    never = worker({"scorer": length, "sampling_config": mlflow_otel.ScorerSamplingConfig(0.0)})
    for body in sent.bodies:
        never.add("traces", body)
    assert never.stats()["held.items"] == 0
    assert never.stats()["scorer.sampled_out"] == 2


def test_spans_that_come_again_or_late_are_not_judged_again(app, worker, receiver):
    with app() as (_, sent):
        answer("Oslo")
    beside = worker(length)
    for body in [*sent.bodies, *sent.bodies]:
        beside.add("traces", body)
    judged(beside, receiver)
    for body in sent.bodies:
        beside.add("traces", body)
    assert len(judged(beside, receiver)["length"]) == 1
    assert beside.stats()["duplicates"] == 4


def test_traces_of_scorers_and_of_evaluations_are_not_judged(app, worker, receiver):
    with app() as (_, sent):
        answer("Oslo", metadata={"mlflow.sourceRun": "r-1"})
        with mlflow.start_span("by a judge") as span:
            span.set_attribute("mlflow.scorer.name", "judge")
            answer("Rome")
    beside = worker(length)
    for body in sent.bodies:
        beside.add("traces", body)
    assert judged(beside, receiver) == {}


def test_its_own_results_do_not_keep_it_busy(app, worker, receiver):
    with app() as (_, sent):
        answer("Oslo")
    beside = worker(length)
    for body in sent.bodies:
        beside.add("traces", body)
    said = []
    taken = receiver.store.add
    receiver.store.add = lambda signal, body: (said.append((signal, body)), taken(signal, body))
    judged(beside, receiver)
    echo = worker(length)
    results = [body for signal, body in said if signal == "traces"]
    assert len(results) == 1
    for body in results:
        beside.add("traces", body)
        echo.add("traces", body)
    assert beside.stats()["held.items"] == echo.stats()["held.items"] == 0
    assert len(judged(beside, receiver)["length"]) == 1


def test_what_traces_lack_is_said_once(app, worker, receiver, caplog, monkeypatch):
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "false")
    with app() as (_, sent):
        answer("Oslo")
        answer("Rome")
    beside = worker(lambda_named())
    for body in sent.bodies:
        beside.add("traces", body)
    judged(beside, receiver)
    assert caplog.text.count("without inputs and outputs") == 1


def lambda_named():
    return {"scorer": lambda outputs: outputs is None, "name": "nothing"}


def test_a_session_is_judged_when_it_is_idle_on_its_first_trace_and_again_when_it_goes_on(
    app, worker, receiver
):
    def turns(session):
        return ",".join(trace.data.spans[0].inputs["question"] for trace in session)

    def make(*questions):
        with app() as (_, sent):
            for question in questions:
                answer(question, session_id="s-1")
            answer("alone")
        return sent

    sent = make("one", "two")
    beside = worker(turns, length)
    for body in sent.bodies:
        beside.add("traces", body)
    judged(beside, receiver)
    (span,) = judged(beside, receiver)["turns"]
    values = span["attributes"]
    first = min(
        (s for s in sent.spans() if s["attributes"].get("session.id") == "s-1"),
        key=lambda s: s["start_time"],
    )
    assert values["gen_ai.evaluation.score.label"] == "one,two"
    assert values["mlflow.trace.id"] == f"tr-{first['trace_id']}"
    assert values["mlflow.assessment.metadata.mlflow.trace.session"] == "s-1"
    assert values["session.id"] == "s-1"
    for body in make("three").bodies:
        beside.add("traces", body)
    judged(beside, receiver)
    before, after = judged(beside, receiver)["turns"]
    assert after["attributes"]["gen_ai.evaluation.score.label"] == "one,two,three"
    assert after["attributes"][ID] == before["attributes"][ID]
    assert after["attributes"]["mlflow.assessment.operation"] == "update"
    assert len(evaluations(receiver)["length"]) == 5


def test_a_new_version_of_a_scorer_overrides_what_the_former_one_said(app, worker, receiver):
    with app() as (handle, sent):
        handle.scorers.start(lambda outputs: 1, name="score")
        answer("Oslo")
        assert handle.scorers.drain(20)
    former = next(
        s["attributes"] for s in sent.spans() if "gen_ai.evaluation.name" in s["attributes"]
    )
    beside = worker({"scorer": lambda outputs: 2, "name": "score"})
    for body in sent.bodies:
        beside.add("traces", body)
    (span,) = judged(beside, receiver)["score"]
    assert span["attributes"][SCORE] == 2
    assert span["attributes"]["mlflow.assessment.overrides"] == former[ID]
    assert span["attributes"][ID] != former[ID]


def test_senders_are_told_when_their_traces_are_done_with(app, worker, receiver):
    with app() as (_, sent):
        answer("Oslo", session_id="s-1")
    told = []
    go_on = threading.Event()

    def waits(outputs):
        go_on.wait(20)

    beside = worker(waits, {"scorer": lambda session: 1, "name": "turns"}, session_idle=1000.0)
    for body in sent.bodies:
        ticket = Ticket(lambda: told.append(1))
        beside.add("traces", body, ticket)
        ticket.let_go()
    beside.sweep()
    assert told == []
    go_on.set()
    assert beside.scorers.drain(20)
    assert told == []  # its session is not judged
    assert beside.close(20)
    assert len(told) == len(sent.bodies)
    assert "turns" in evaluations(receiver)


def test_what_there_is_no_room_for_is_refused_and_nothing_is_dropped(app, worker, receiver):
    with app() as (_, sent):
        answer("Oslo")
    size = sum(arrival.size for body in sent.bodies for arrival in arrivals(body))
    beside = worker(length, trace_idle=1000.0, max_held_bytes=size)
    for body in sent.bodies:
        beside.add("traces", body)
    with pytest.raises(BusyError):
        beside.add("traces", sent.bodies[0])
    status, _, said = beside.pages()["/readyz"]()
    assert (status, said) == (503, "too many traces wait to be scored\n")
    assert beside.stats()["held.items"] == 2
    assert beside.close(20)
    assert len(evaluations(receiver)["length"]) == 1
