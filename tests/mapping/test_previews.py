"""What a list of traces shows of each: short forms of what went in and what came out."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from mlflow_otel.mapping.trace import PREVIEW_LENGTH, previews

TEXTS = st.text(min_size=1, max_size=PREVIEW_LENGTH + 5) | st.integers(
    PREVIEW_LENGTH - 2, PREVIEW_LENGTH + 2
).map(lambda length: "x" * length)


@given(TEXTS.filter(str.strip), TEXTS.filter(str.strip))
def test_texts_are_shown_whole_up_to_1000_characters_and_marked_beyond(inputs, outputs):
    for given_text, shown in zip(
        (inputs, outputs), previews(json.dumps(inputs), json.dumps(outputs)), strict=True
    ):
        assert len(shown) <= PREVIEW_LENGTH
        if len(given_text) <= PREVIEW_LENGTH:
            assert shown == given_text
        else:
            assert shown == given_text[: PREVIEW_LENGTH - 1] + "…"


@given(st.none() | st.dictionaries(st.text(max_size=3), st.integers(), min_size=1, max_size=3))
def test_what_is_no_chat_is_shown_as_json_and_nothing_as_nothing(value):
    request, response = previews(json.dumps(value) if value is not None else None, None)
    assert response is None
    assert request is None if value is None else json.loads(request) == value


def test_of_a_chat_the_text_of_the_last_message_is_shown():
    asked = {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "When?"}]}
    answered = {"choices": [{"message": {"role": "assistant", "content": "At nine."}}]}
    assert previews(json.dumps(asked), json.dumps(answered)) == ("When?", "At nine.")
