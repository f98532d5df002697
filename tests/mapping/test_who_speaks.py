"""Whose each item is: by its role, by its type where it has none, and by the side on which it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_otel.mapping.messages import chat, convert, items

CALLED = {"call_id": "c-1"}
ITEMS = {
    # The client's, in a request and in a response.
    "function_call_output": "tool",
    "of_next_year_call_output": "tool",
    "tool_result": "tool",
    "mcp_approval_response": "user",
    "of_next_year_response": "user",
    # The model's.
    "function_call": "assistant",
    "of_next_year_call": "assistant",
    "of_next_year_output": "assistant",
    "of_next_year_tool_result": "assistant",
    "of_next_year_tool_use": "assistant",
    "tool_use": "assistant",
    "mcp_approval_request": "assistant",
    "mcp_list_tools": "assistant",
    "reasoning": "assistant",
    "thinking": "assistant",
    "compaction": "assistant",
    "output_text": "assistant",
    "refusal": "assistant",
    # Of whoever's side it is.
    "input_text": None,
    "input_image": None,
    "of_next_year": None,
    "": None,
}


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize(("key", "side"), [("input", "user"), ("output", "assistant")])
def test_an_item_without_a_role_is_of_whom_its_type_says(kind, key, side):
    ended = {"role": "user" if side == "user" else "assistant", "content": "x"}
    sides = {key: [{"type": kind, "zq": 1}, ended]}
    found = convert("openai", sides if key == "input" else None, sides if key == "output" else None)
    said = found.inputs if key == "input" else found.outputs
    assert said[0]["role"] == (ITEMS[kind] or side)


@pytest.mark.parametrize("kind", ["of_next_year_output", "tool_search_output"])
def test_an_output_that_names_its_call_is_the_clients(kind):
    (said,) = convert("openai", {"input": [{"type": kind, **CALLED, "output": "x"}]}, None).inputs
    assert said["role"] == "tool"
    assert [(p["type"], p["id"]) for p in said["parts"]] == [("tool_call_response", "c-1")]


@pytest.mark.parametrize("side", ["user", "assistant", "system"])
def test_an_item_without_any_type_is_of_its_side(side):
    for item in ({}, {"type": None}, {"type": 7}):
        assert items.role_of(item, side) == side


@pytest.mark.parametrize("role", [*chat.ROLES, "harbourmaster"])
@pytest.mark.parametrize("beside", [{}, {"zq": 1}, {"tool_calls": None}])
@pytest.mark.parametrize("spelt", [str, str.upper, str.title])
def test_a_role_is_the_conventions_word_wherever_a_message_stands(role, beside, spelt):
    """Words that the convention has none for stay as they are written."""
    said = {"role": spelt(role), "content": "x", **beside}
    word = chat.ROLES.get(role, spelt(role))
    places = [
        convert("openai", {"messages": [said]}, None).inputs,
        convert("openai", None, {"choices": [{"index": 0, "message": said}]}).outputs,
        convert("openai", None, {"choices": [{"delta": said, "finish_reason": "stop"}]}).outputs,
        convert("openai", None, {"message": said}).outputs,
        convert("openai", None, {"messages": [said]}).outputs,
        convert("openai", None, said).outputs,
    ]
    if word in chat.SYSTEM_ROLES:
        assert places.pop(0) == []  # it is the instructions
    for place in places:
        assert [message["role"] for message in place] == [word]


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (form, role)
        for word, role in chat.ROLES.items()
        for form in (word, f"{word.title()}Message", f"{word.title()}MessageChunk")
    ],
)
def test_a_type_of_langchains_is_a_role_and_no_type_of_a_part(kind, role):
    made = chat.message({"type": kind, "content": "x"})
    assert made["role"] == role
    assert "type" not in made
    assert all("item_type" not in part and part.get("type") != kind for part in made["parts"])
    wrapped = chat.message({"type": "constructor", "id": ["a", kind], "kwargs": {"content": "x"}})
    assert wrapped["role"] == role


TEXT = st.sampled_from(["Cross?", "user", ""])
MESSAGE = st.fixed_dictionaries({"role": TEXT})
PAIR = st.tuples(st.sampled_from(["user", "AI", "no role"]), TEXT).map(list)
LISTS = st.lists(
    TEXT | st.none() | st.integers() | MESSAGE | PAIR | st.lists(MESSAGE | TEXT | PAIR, max_size=3),
    max_size=3,
)


@given(LISTS | TEXT | st.none() | MESSAGE)
def test_a_batch_is_a_list_of_nothing_but_lists_that_are_no_pairs_of_role_and_content(given_):
    def is_pair(one):
        return (
            len(one) == 2 and isinstance(one[0], str) and one[0].lower() in {"user", "ai", "tool"}
        )

    lists = isinstance(given_, list) and all(isinstance(one, list) for one in given_)
    are_batches = bool(given_) and lists and not any(map(is_pair, given_))
    assert chat.batches(given_) == (given_ if are_batches else None)
    only = given_[0] if are_batches and len(given_) == 1 else given_
    assert chat.batch(given_) == only
