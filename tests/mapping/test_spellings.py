"""Libraries spell one field in several ways (``mime_type``, ``mimeType``): a converter reads each of them alike.

Which spellings there are is seen from the converters themselves, as they read the payloads of the other tests.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

import pytest

from mlflow_otel.mapping import messages
from mlflow_otel.mapping.messages.fields import Fields
from tests.mapping.test_nothing_lost import ALL

READERS = ("take", "take_text", "take_id", "take_list", "inner")
TELLS_THE_SHAPE = {
    # Under another name the payload is of another shape, or of none that is known.
    ("_answer", "generated_text"),
    ("_answer", "text"),
    ("_block", "image"),
}


class Spelling(NamedTuple):
    """That ``reader`` takes ``field`` of an object of a payload, and would take ``other`` as well."""

    reader: str
    field: str
    other: str


def convert(attributes):
    return messages.convert(
        attributes.get("mlflow.message.format"),
        attributes.get("mlflow.spanInputs"),
        attributes.get("mlflow.spanOutputs"),
    )


def spellings():
    """Return each spelling with the payloads where it can be tried, and the objects there."""
    found: dict[Spelling, list[tuple[str, Any]]] = {}
    made_of: dict[int, Any] = {}
    kept = []
    payload = ""

    def watch(monkeypatch, name):
        read = getattr(Fields, name)

        def reading(self, *keys):
            before = dict(self._left)
            value = read(self, *keys)
            after = self._left
            took = [k for k in keys if k in before and after.get(k) is not before[k]]
            # `make mutants` runs a function under another name.
            caller = sys._getframe(1).f_code.co_name.removeprefix("x_").partition("__mutmut_")[0]
            for field in took[:1]:
                for other in keys:
                    if other != field and before.get(other) is None:
                        held = made_of.get(id(self))
                        found.setdefault(Spelling(caller, field, other), []).append((payload, held))
            return value

        monkeypatch.setattr(Fields, name, reading)

    with pytest.MonkeyPatch.context() as monkeypatch:
        begin = Fields.__init__

        def beginning(self, held):
            begin(self, held)
            kept.append(self)  # so that no other object gets its identity
            made_of[id(self)] = held

        monkeypatch.setattr(Fields, "__init__", beginning)
        for name in READERS:
            watch(monkeypatch, name)
        for name, (attributes, _) in ALL.items():
            payload = name
            convert(attributes)
    return found


def renamed(value, held, spelling):
    """Return the payload with the field of one object renamed."""
    if isinstance(value, dict):
        is_it = value is held
        return {
            spelling.other if is_it and key == spelling.field else key: renamed(v, held, spelling)
            for key, v in value.items()
        }
    return [renamed(v, held, spelling) for v in value] if isinstance(value, list) else value


def said(conversation):
    return json.dumps([conversation.system, conversation.inputs, conversation.outputs], default=str)


KNOWN = {
    spelling: where
    for spelling, where in spellings().items()
    if spelling[:2] not in TELLS_THE_SHAPE
}


@pytest.mark.parametrize("spelling", sorted(KNOWN), ids=":".join)
def test_each_spelling_of_a_field_is_read_alike(spelling):
    tried = 0
    for payload, held in KNOWN[spelling]:
        attributes = ALL[payload][0]
        other = renamed(attributes, held, spelling)
        if other == attributes:
            continue  # the converter read a copy of the object
        tried += 1
        if said(convert(other)) == said(convert(attributes)):
            return
    assert not tried
