"""What an assessment judges, worked out without any backend; and what the app remembers of its assessments."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.backends.model import TraceSummary
from mlflow_otel.feedback import assessment_target as target
from mlflow_otel.feedback.ledger import Ledger
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.tracing.mlflow_adapter import TraceFacts
from mlflow_otel.tracing.recent import KnownTrace

PROMOTING = MappingOptions(promote_tags=(("team", "app.team"),))
MEANING = {
    "session.id": "s",
    "gen_ai.conversation.id": "s",
    "user.id": "u",
    "mlflow.trace.client_request_id": "r",
    "mlflow.experiment.id": "7",
    "mlflow.experiment.name": "shop",
    "app.team": "blue",
}
"""What a trace that says everything gives to each of its spans, its ID aside."""
FACTS = TraceFacts(
    client_request_id="r",
    tags={"team": "blue", "other": "no"},
    metadata={"mlflow.trace.session": "s", "mlflow.trace.user": "u"},
    experiment_id="7",
    experiment_name="shop",
    state="OK",
)
SHOWN_BYTES = 80

trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
maybe_span_ids = st.none() | span_ids
properties = settings(max_examples=50, deadline=None)


@properties
@given(trace_ids, span_ids)
def test_every_way_to_write_an_id_is_read(trace_id, span_id):
    digits = f"{trace_id:032x}"
    assert target.mlflow_trace_id(trace_id) == f"tr-{digits}"
    for text in (digits, f"tr-{digits}", f"trace:/a.b.c/{digits}"):
        assert target.parse_trace_id(text) == trace_id
    assert target.parse_span_id(f"{span_id:016x}") == span_id


def nearly(digits):
    """Return what is almost an ID of so many digits."""
    one = "1" * digits
    wrong = ("0" * digits, one[1:], one + "1", "g" + one[1:], f" {one}", f"{one}\n", f"tr-{one}1")
    return [*wrong, "", "tr-", None, 1, 1.5, [one], one.encode(), f"TR-{one}", f"x{one}"]


@pytest.mark.parametrize(
    ("parse", "said"), [(target.parse_trace_id, "trace ID"), (target.parse_span_id, "span ID")]
)
def test_what_is_nearly_an_id_is_refused_by_the_name_of_what_was_asked_for(parse, said):
    for wrong in nearly(32 if parse is target.parse_trace_id else 16):
        with pytest.raises(ValueError, match=f"is no {said}: give ") as raised:
            parse(wrong)
        assert str(raised.value).startswith(f"{wrong!r} is no")


@pytest.mark.parametrize("length", [0, 1, 77, 78, 79, 80, 10_000])  # and its two quotes
def test_an_id_that_is_refused_is_shown_whole_or_up_to_a_bound(length):
    text = "x" * length
    for parse in (target.parse_trace_id, target.parse_span_id):
        with pytest.raises(ValueError, match="is no") as raised:
            parse(text)
        shown = str(raised.value).partition(" is no ")[0]
        whole = repr(text)
        if len(whole) > SHOWN_BYTES:
            assert len(shown) == SHOWN_BYTES
            assert shown.endswith("…")
            assert whole.startswith(shown[:-1])
        else:
            assert shown == whole


@properties
@given(trace_ids, maybe_span_ids, maybe_span_ids, st.booleans())
def test_a_trace_of_this_process_gives_all_it_knows_and_its_root_where_no_span_is_named(
    trace_id, root, span_id, sampled
):
    for own in (None, "tr-of-its-own"):
        facts = TraceFacts(**{name: getattr(FACTS, name) for name in said(FACTS)}, trace_id=own)
        here = KnownTrace(trace_id, facts, root, sampled)
        found = target.target_in_process(here, span_id, PROMOTING)
        its_id = own or f"tr-{trace_id:032x}"
        assert found == target.AssessmentTarget(
            trace_id,
            root if span_id is None else span_id,
            {**MEANING, "mlflow.trace.id": its_id},
            sampled,
        )
        assert target.context_of(here).trace_id == its_id
        assert target.context_of(here).state == "OK"


def said(facts):
    """Return the names of what facts know."""
    return [name for name in facts.__dataclass_fields__ if name != "trace_id"]


@properties
@given(trace_ids, maybe_span_ids, maybe_span_ids, st.sets(st.sampled_from(sorted(MEANING))))
def test_a_trace_of_a_backend_gives_what_its_span_carries_and_no_attribute_of_the_span_alone(
    trace_id, root, span_id, carried
):
    meaning = {key: MEANING[key] for key in carried}
    attributes = {**meaning, "mlflow.spanType": "TOOL", "team": "blue", "http.route": "/"}
    found = target.target_in_backend(
        TraceSummary(trace_id, root, 1, attributes), span_id, PROMOTING
    )
    assert found == target.AssessmentTarget(
        trace_id,
        root if span_id is None else span_id,
        {**meaning, "mlflow.trace.id": f"tr-{trace_id:032x}"},
        True,  # what a backend has was exported
    )


def test_the_id_that_a_backends_span_carries_is_kept_as_it_is():
    summary = TraceSummary(7, None, 1, {"mlflow.trace.id": "trace:/a.b.c/7"})
    found = target.target_in_backend(summary, None, PROMOTING)
    assert found.stamp == {"mlflow.trace.id": "trace:/a.b.c/7"}


@properties
@given(trace_ids, maybe_span_ids, st.booleans())
def test_of_a_trace_that_is_known_by_its_id_no_root_is_guessed(trace_id, span_id, sampled):
    stamp = {"mlflow.trace.id": f"tr-{trace_id:032x}"}
    assert target.target_by_id(trace_id, span_id, sampled=sampled) == (
        trace_id,
        span_id,
        stamp,
        sampled,
    )
    assert target.target_by_id(trace_id, span_id).sampled


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "pop", "get"]), st.integers(0, 6)),
    min_size=10,
    max_size=30,
)


@properties
@given(STEPS, st.integers(1, 3))
def test_the_newest_assessments_are_kept_each_in_its_last_form(steps, limit):
    ledger, expected = Ledger(limit), OrderedDict()
    for number, (step, key) in enumerate(steps):
        name = f"a-{key}"
        if step == "put":
            one = SimpleNamespace(assessment_id=name, number=number)
            ledger.put(one)
            expected.pop(name, None)
            expected[name] = one
            while len(expected) > limit:
                expected.popitem(last=False)
        elif step == "pop":
            assert ledger.pop(name) is expected.pop(name, None)
        else:
            assert ledger.get(name) is expected.get(name)
    for key in range(7):
        assert ledger.get(f"a-{key}") is expected.get(f"a-{key}")
    assert ledger.get(None) is None


def test_an_assessment_without_an_id_is_not_found_by_none():
    ledger = Ledger()
    ledger.put(SimpleNamespace(assessment_id=None))
    assert ledger.get(None) is None
