"""Scorers that misbehave: the app does not notice, the other scorers go on, all is counted."""

from __future__ import annotations

import os
import sys
import threading

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Feedback

import mlflow_otel
from tests.scoring.conftest import answer

ERROR = "error.type"
LABEL = "gen_ai.evaluation.score.label"
SCORE = "gen_ai.evaluation.score.value"


def good(outputs):
    return True


def raises(outputs):
    raise KeyError("no such key")


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def speechless(outputs):
    raise SpeechlessError


def exits(outputs):
    sys.exit(3)


def interrupts(outputs):
    raise KeyboardInterrupt


def nonsense(outputs):
    return object()


def too_many(outputs):
    return [1] * 101


def not_a_number(outputs):
    return float("nan")


def no_json(outputs):
    return Feedback(name="no_json", value=True, metadata={"x": object()})


def long_name(outputs):
    return Feedback(name="x" * 300, value=True)


def prints(outputs):
    print(outputs)
    sys.stderr.write("noise\n")
    return "printed"


@pytest.mark.parametrize(
    ("scorer", "error"),
    [
        (raises, "KeyError"),
        (speechless, "SpeechlessError"),
        (exits, "SystemExit"),
        (interrupts, "KeyboardInterrupt"),
        (nonsense, "ScorerError"),
        (too_many, "ScorerError"),
        (not_a_number, "MlflowException"),
        (long_name, "MlflowException"),
    ],
)
def test_what_a_scorer_raises_or_returns_amiss_is_an_assessment_with_the_errors_type(
    scored, scorer, error
):
    handle, said = scored
    handle.scorers.start(scorer)
    handle.scorers.start(good)
    assert answer("Rome") == "It is Rome."
    found = said()
    assert found[scorer.__name__][ERROR] == error
    assert SCORE not in found[scorer.__name__]
    assert found["good"][SCORE] == 1.0
    assert handle.stats()["scorer.failed"] == 1
    assert handle.stats()["scorer.runs"] == 2


def test_a_scorer_may_print_and_say_odd_things(scored, capsys):
    handle, said = scored
    handle.scorers.start(prints)
    answer("Rome")
    assert said()["prints"][LABEL] == "printed"
    assert "It is Rome." in capsys.readouterr().out


def test_a_scorer_that_hangs_is_given_up_and_the_others_go_on(scored):
    handle, said = scored
    go_on = threading.Event()
    returned = threading.Semaphore(0)

    def hangs(outputs):
        go_on.wait()
        returned.release()
        return "too late"

    handle.scorers.start(hangs, timeout=0.05)
    handle.scorers.start(good)
    for number in range(5):
        answer(str(number))
        assert said()["good"][SCORE] == 1.0
    assert said()["hangs"][ERROR] == "TimeoutError"
    hanging, fine = handle.scorers.list()
    assert fine.runs == 5
    assert hanging.runs == hanging.failed == 3
    assert hanging.dropped == {"hung": 2}
    go_on.set()
    for _ in range(3):
        returned.acquire()
    assert "too late" not in str(said())
    assert handle.stats()["scorer.dropped"] == 2


def test_a_scorer_that_forks_says_what_it_says_once(run_app, receiver):
    run_app(
        """
        import os, mlflow, mlflow_otel
        handle = mlflow_otel.instrument()
        def forks(outputs):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return os.getpid() == PARENT
        PARENT = os.getpid()
        handle.scorers.start(forks)
        mlflow.trace(lambda: 1, name="ask")()
        assert handle.force_flush()
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint},
    )
    assert [s["attributes"][LABEL] for s in receiver.store.spans() if LABEL in s["attributes"]] == [
        "true"
    ]


def test_a_scorer_may_log_feedback_itself(scored):
    handle, said = scored

    def logs(trace):
        mlflow.log_feedback(trace_id=trace.info.trace_id, name="by hand", value=2)

    handle.scorers.start(logs)
    answer("Rome")
    assert said()["by hand"][SCORE] == 2.0
    assert handle.stats()["scorer.runs"] == 1


def test_what_does_not_fit_the_queue_is_dropped_the_newest_first(memory, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE", "2")
    handle = mlflow_otel.instrument(exporter=memory)
    try:
        go_on = threading.Event()
        seen = []

        def slow(inputs):
            go_on.wait()
            seen.append(inputs["question"])

        handle.scorers.start(slow)
        for number in range(5):
            answer(str(number))
        go_on.set()
        assert handle.scorers.drain(60)
        assert sorted(seen) == ["0", "1"]
        assert handle.scorers.list()[0].dropped == {"queue_full": 3}
    finally:
        mlflow_otel.uninstrument()
    assert caplog.text.count("too many traces wait to be scored") == 1


def test_a_scorer_that_fails_again_and_again_is_not_run_for_a_while_and_that_is_said_once(
    scored, caplog
):
    handle, said = scored
    handle.scorers.start(raises)
    for number in range(9):
        answer(str(number))
        said()
    (status,) = handle.scorers.list()
    assert (status.runs, status.failed, status.open) == (5, 5, True)
    assert status.dropped == {"breaker": 4}
    assert caplog.text.count("tried once in 60 s") == 1


def returns_its_error(outputs):
    return Feedback(name="checked", error=ValueError("the model's answer has no JSON"))


def test_a_scorer_that_returns_errors_fails_as_one_that_raises(scored):
    handle, said = scored
    handle.scorers.start(returns_its_error)
    for number in range(6):
        answer(str(number))
        found = said()
    assert found["checked"][ERROR] == "ValueError"
    (status,) = handle.scorers.list()
    assert (status.runs, status.failed, status.open) == (5, 5, True)


def test_one_of_several_results_may_be_an_error(scored):
    handle, said = scored

    def several(outputs):
        return [Feedback(name="good", value=True), returns_its_error(outputs)]

    handle.scorers.start(several)
    answer("one")
    assert set(said()) == {"good", "checked"}
    (status,) = handle.scorers.list()
    assert (status.runs, status.failed) == (1, 0)


def test_a_scorer_runs_no_more_often_and_costs_no_more_than_it_may(scored):
    handle, said = scored

    def costly(outputs):
        return Feedback(value=True, metadata={"mlflow.assessment.judgeCost": 0.4})

    handle.scorers.start(costly, max_cost_per_day=1.0)
    handle.scorers.start(good, max_per_minute=2)
    for number in range(5):
        answer(str(number))
        said()
    by_name = {one.name: one for one in handle.scorers.list()}
    assert by_name["costly"].runs == 3
    assert by_name["costly"].dropped == {"cost": 2}
    assert by_name["costly"].cost == pytest.approx(1.2)
    assert by_name["good"].runs == 2
    assert by_name["good"].dropped == {"rate": 3}


@pytest.mark.parametrize("cost", ["nan", float("inf"), "a lot"])
def test_a_cost_that_is_no_number_costs_nothing(scored, cost):
    handle, said = scored

    def costly(outputs):
        return Feedback(value=True, metadata={"mlflow.assessment.judgeCost": cost})

    handle.scorers.start(costly, max_cost_per_day=1.0)
    for number in range(2):
        answer(str(number))
        said()
    (status,) = handle.scorers.list()
    assert (status.runs, status.cost) == (2, 0.0)


def test_a_cap_on_a_judge_that_does_not_say_what_it_costs_is_a_warning(scored, caplog):
    handle, said = scored
    judged = AssessmentSource(source_type="LLM_JUDGE", source_id="openai:/unknown")
    known = {"mlflow.assessment.judgeCost": 0.1}
    priced, free, unknown = (
        lambda outputs: Feedback(value=True, source=judged, metadata=known),
        lambda outputs: Feedback(value=True),
        lambda outputs: Feedback(value=True, source=judged),
    )
    handle.scorers.start(priced, name="priced", max_cost_per_day=1.0)
    handle.scorers.start(free, name="free", max_cost_per_day=1.0)
    handle.scorers.start(unknown, name="no_cap")
    handle.scorers.start(unknown, name="capped", max_cost_per_day=1.0)
    for number in range(3):
        answer(str(number))
        said()
    warned = [one.getMessage() for one in caplog.records if "max_cost_per_day" in one.getMessage()]
    assert len(warned) == 1
    assert "The scorer capped has max_cost_per_day" in warned[0]


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout": -1},
        {"max_per_minute": "9"},
        {"max_per_minute": float("nan")},
        {"max_cost_per_day": -0.5},
    ],
)
def test_limits_that_make_no_sense_are_refused(scored, limits):
    handle, _ = scored
    with pytest.raises(mlflow_otel.ScorerError, match=next(iter(limits))):
        handle.scorers.start(good, **limits)


def test_a_backend_that_is_down_and_a_scorer_that_hangs_do_not_keep_the_process(run_app):
    found = run_app(
        """
        import json, threading, mlflow, mlflow_otel
        handle = mlflow_otel.instrument()
        handle.scorers.start(lambda outputs: threading.Event().wait(), name="hangs")
        handle.scorers.start(lambda outputs: 1, name="never reached", max_per_minute=1)
        for _ in range(4):
            mlflow.trace(lambda: 1, name="ask")()
        handle.shutdown(4000)
        print(json.dumps([dict(one.dropped) for one in handle.scorers.list()]))
        """,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    )
    assert found[0] == {"shutdown": 2}


def test_a_child_that_a_scorer_leaves_behind_has_no_scorers_threads(scored):
    handle, said = scored
    read, write = os.pipe()

    def forks(outputs):
        child = os.fork()
        if not child:
            os.write(write, str(handle.stats()["scorer.running"]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        return "parent"

    handle.scorers.start(forks)
    answer("Rome")
    assert said()["forks"][LABEL] == "parent"
    assert os.read(read, 10) == b"0"
