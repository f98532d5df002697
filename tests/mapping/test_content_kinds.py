"""With content off, what leaves depends on the key's kind and the value's: every kind beside every other."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest

from mlflow_otel.mapping import content
from mlflow_otel.mapping.model import EventView, MappingOptions
from mlflow_otel.mapping.values import Json, as_json

VALUES = {
    "word": "stop",
    "longest word": "w" * 128,
    "too long a word": "w" * 129,
    "sentence": "Ann said no.",
    "label": "x " * 32,
    "too long a label": "x " * 32 + "x",
    "int": 42,
    "double": 0.5,
    "bool": False,
    "bytes": b"x",
    "words": ("stop", "length"),
    "words and sentences": ["stop", "Ann said no.", 7],
    "sentences": ("Ann said no.", "Bob too."),
    "numbers": [0.1, 7, True],
    "nothing": [],
    "object": {"text": "x"},
    "objects": [{"text": "x"}],
}
NUMBERS = {"int", "double", "bool"}
TEXTS = {"word", "longest word", "too long a word", "sentence", "label", "too long a label"}
LISTS = {"words", "words and sentences", "sentences", "numbers", "nothing"}
EVERYTHING = set(VALUES)
KINDS = {
    "gen_ai.request.model": NUMBERS | TEXTS | LISTS,  # of the registry
    "mlflow.traceTag.team": NUMBERS | TEXTS | LISTS,  # by its prefix
    "llm.tools.0.tool.json_schema": set(),  # content by its prefix
    "mlflow.traceTag.mlflow.note.content": set(),
    "input.value": set(),  # content by its name
    "someones.answer": set(),  # content by its end
    "unheard.of": NUMBERS,
    "Is this a key?": set(),
    "k" * 128: NUMBERS,
    "k" * 129: set(),
    "gen_ai.evaluation.score.label": TEXTS
    - {"longest word", "too long a word", "too long a label"},
    "gen_ai.evaluation.score.value": NUMBERS,
    "error.message": set(),
    "shop.anything": EVERYTHING,  # by a pattern of the app's
}
OPTIONS = MappingOptions(capture_content=False, safe_attributes=("shop.*", "[!a-z]safe"))


@pytest.mark.parametrize("key", KINDS)
def test_of_each_kind_of_key_these_kinds_of_values_leave_unchanged_and_no_others(key):
    for kind, value in VALUES.items():
        left = content.attributes({key: value}, OPTIONS)
        assert left == ({key: value} if kind in KINDS[key] else {}), kind


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.response.finish_reasons",
        "llm.finish_reason",
        "x.stopReason",
        "gen_ai.response.id",
        "error.type",
    ],
)
def test_why_an_answer_ended_types_of_errors_and_ids_leave_in_words(key):
    lists = {"words": ["stop", "length"], "words and sentences": ["stop"]}
    unchanged = NUMBERS | {"word", "longest word"}
    for kind, value in VALUES.items():
        expected = lists.get(kind, value if kind in unchanged else None)
        assert content.attributes({key: value}, OPTIONS) == (
            {} if expected is None else {key: expected}
        )


DOCUMENT = {"id": "d", "score": 0.5, "content": "secret", "metadata": {"t": 1}}
PARTS = {
    "gen_ai.retrieval.documents": (DOCUMENT, {"id": "d", "score": 0.5}),
    "mlflow.linkedPrompts": (
        {"name": "p", "version": "3", "template": "secret"},
        {"name": "p", "version": "3"},
    ),
    "llm.invocation_parameters": (
        {"top_p": 0.5, "n": 1, "stream": True, "stop": ["secret"], "a secret": 5, "user": "secret"},
        {"top_p": 0.5, "n": 1, "stream": True},
    ),
    "mlflow.chat.tokenUsage": ({"input_tokens": 7, "said": "secret"}, {"input_tokens": 7}),
    "mlflow.llm.cost": ({"total_cost": 0.5, "said": "secret"}, {"total_cost": 0.5}),
}
EACH_PART = pytest.mark.parametrize("key", PARTS)


@EACH_PART
def test_of_a_structure_the_parts_leave_that_are_no_content_in_the_form_that_it_came_in(key):
    given, left = PARTS[key]
    for made, kept in ((given, left), ([given, "secret", given], [left, left])):
        assert content.attributes({key: made}, OPTIONS) == {key: kept}
        for written in (json.dumps(made), as_json(made)):
            found = content.attributes({key: written}, OPTIONS)[key]
            assert type(found) is Json
            assert json.loads(str(found)) == kept


@EACH_PART
def test_of_a_structure_that_is_none_nothing_leaves(key):
    for value in ("secret", '"secret"', "{secret", 5, b"secret", json.dumps("secret")):
        assert content.attributes({key: value}, OPTIONS) == {}


def test_a_part_of_the_wrong_kind_stays():
    wrong = {"id": {"secret": 1}, "score": "secret"}
    assert content.attributes({"gen_ai.retrieval.documents": [wrong]}, OPTIONS) == {
        "gen_ai.retrieval.documents": [{}]
    }


RAISED = MappingProxyType(
    {
        "exception.type": "shop.Declined",
        "exception.message": "no",
        "exception.stacktrace": "at",
        "gen_ai.request.model": "m",
        "count": 3,
        "shop.cart": "two",
    }
)


@pytest.mark.parametrize("asked", [False, True])
def test_of_an_event_the_errors_type_leaves_and_what_the_app_allows(asked):
    options = MappingOptions(safe_attributes=("shop.*",), content_in_errors=asked)
    events = [EventView("exception", 5, RAISED, 2), EventView("other", 6, {"count": 1})]
    first, second = content.events(events, options)
    spoken = {"exception.message": "no", "exception.stacktrace": "at"} if asked else {}
    assert first == EventView(
        "exception", 5, {"exception.type": "shop.Declined", "shop.cart": "two", **spoken}, 2
    )
    assert second == EventView("other", 6, {})
    of_span = content.attributes({"exception.message": "no", "error.message": "x"}, options)
    assert bool(of_span) is asked
