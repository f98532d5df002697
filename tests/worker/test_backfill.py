"""Past traces: judged once, resumed where it ended, counted without being judged."""

from __future__ import annotations

import pytest

from mlflow_otel.backends.model import BackendError, trace_of
from mlflow_otel.cli.backfill import moment
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.worker.arrivals import arrivals
from mlflow_otel.worker.backfill import BackendSource, Backfill, StoppedError
from mlflow_otel.worker.checkpoint import Checkpoint, CheckpointError, Span
from tests.worker.conftest import Sent, answer, evaluations

SCORE = "gen_ai.evaluation.score.value"
ALL = Span(0, 2**62)


def length(outputs):
    return len(outputs)


class Held:
    """A backend that holds the spans of these requests."""

    where = "memory"

    def __init__(self, bodies):
        spans = {}
        for body in bodies:
            for one in arrivals(body):
                spans.setdefault(one.trace_id, []).append(one.read())
        self.traces = {trace_id: trace_of(trace_id, some) for trace_id, some in spans.items()}
        self.asked = []
        self.failing = set()

    def find(self, query, timeout):
        found = [t.summary for t in self.traces.values()]
        found = [t for t in found if query.start <= t.start <= query.end]
        return sorted(found, key=lambda t: -t.start)[: query.limit]

    def get(self, trace_id, timeout):
        if trace_id in self.failing:
            raise BackendError("it does not answer")
        self.asked.append(trace_id)
        return self.traces.get(trace_id)


def run(held, worker, file=None, **arguments):
    what = {"scorers": [[one.name, one.digest] for one in worker.scorers.list()]}
    checkpoint = Checkpoint(None if file is None else str(file), what)
    running = Backfill(BackendSource(held, 5), worker, (), checkpoint, max_bytes=10**9, **arguments)
    running.run(checkpoint.span(ALL), (), lambda: None)
    return running.progress


@pytest.fixture
def receiver():
    with Receiver(store=Sent()) as running:
        yield running


@pytest.fixture
def past(app):
    with app() as (_, sent):
        for number in range(12):
            answer(f"{number}", session_id=f"s-{number % 2}")
    return sent


def test_past_traces_are_judged_the_newest_first_and_not_twice(past, worker, receiver):
    held = Held(past.bodies)
    one = worker(length)
    assert run(held, one).wanted == {"length": 12}
    said = evaluations(receiver)["length"]
    assert len({span["trace_id"] for span in said}) == 12
    told = Held([*past.bodies, *receiver.store.bodies])
    assert run(told, one).said == {"length": 12}
    assert one.scorers.list()[0].runs == 12
    assert run(told, one, again=True).wanted == {"length": 12}
    ids = {s["attributes"]["mlflow.assessment.id"] for s in evaluations(receiver)["length"]}
    assert len(ids) == 12
    assert len(evaluations(receiver)["length"]) == 24


def test_a_run_that_ended_in_the_middle_goes_on_where_it_was(
    past, worker, receiver, tmp_path, monkeypatch
):
    monkeypatch.setattr("mlflow_otel.worker.backfill.TRIES", 1)
    held = Held(past.bodies)
    oldest = sorted(held.traces, key=lambda t: held.traces[t].summary.start)
    held.failing = set(oldest[:3])
    file = tmp_path / "checkpoint.json"
    one = worker(length)
    with pytest.raises(BackendError):
        run(held, one, file, page=4)
    held.failing = set()
    held.asked.clear()
    run(held, one, file, page=4)
    assert len({s["trace_id"] for s in evaluations(receiver)["length"]}) == 12
    assert len(held.asked) < 12
    assert not file.exists()


def test_a_checkpoint_of_another_run_or_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "checkpoint.json"
    Checkpoint(str(file), {"scorers": [["a", "1"]]}).save(Span(1, 2))
    assert Checkpoint(str(file), {"scorers": [["a", "1"]]}).span(ALL) == Span(1, 2)
    with pytest.raises(CheckpointError, match="another source"):
        Checkpoint(str(file), {"scorers": [["a", "2"]]})
    file.write_text("no JSON")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint(str(file), {})


def test_a_dry_run_counts_and_judges_nothing(past, worker, receiver):
    one = worker(length, {"scorer": lambda session: len(session), "name": "turns"})
    progress = run(Held(past.bodies), one, dry=True)
    assert progress.traces == 12
    assert progress.wanted == {"length": 12, "turns": 2}
    assert one.scorers.list()[0].runs == 0
    assert receiver.store.spans() == []


def test_sessions_of_the_past_are_judged_when_all_their_traces_were_read(past, worker, receiver):
    one = worker({"scorer": lambda session: len(session), "name": "turns"})
    run(Held(past.bodies), one)
    turns = evaluations(receiver)["turns"]
    assert [span["attributes"][SCORE] for span in turns] == [6, 6]


def test_a_run_waits_for_its_turn_and_stops_when_a_scorer_is_held_back(past, worker):
    one = worker({"scorer": length, "max_per_minute": 6000})
    run(Held(past.bodies), one)
    assert one.scorers.list()[0].dropped == {}
    other = worker({"scorer": length, "max_cost_per_day": 0.0})
    with pytest.raises(StoppedError, match="held back"):
        run(Held(past.bodies), other)


def test_times_are_ago_or_iso_8601():
    now = 1_800_000_000.0
    assert moment("24h", now) == int((now - 86400) * 1e9)
    assert moment("1.5m", now) == int((now - 90) * 1e9)
    assert moment("2026-01-01T00:00:00Z", now) == moment("2026-01-01", now)
    assert moment("2026-01-01T01:00:00+01:00", now) == moment("2026-01-01", now)
    for wrong in ("yesterday", "24", "h", ""):
        with pytest.raises(ValueError, match="is no time"):
            moment(wrong, now)
