"""Every field that the mapping looks for is one that some payload of the tests has.

``test_approved`` then sees what becomes of it. A name that no payload has may as well be misspelt.
"""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from pathlib import Path

import pytest

from mlflow_otel import mapping
from mlflow_otel.mapping import messages
from mlflow_otel.mapping.messages.fields import Fields
from mlflow_otel.mapping.model import MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests import payloads
from tests.mapping.test_nothing_lost import ALL


class Watched(dict):
    """An object that notes which of its fields are looked for."""

    asked = defaultdict(set)
    payload = ""

    def _note(self, key):
        self.asked[key].add(self.payload)

    def get(self, key, default=None):
        self._note(key)
        return super().get(key, default)

    def pop(self, key, *default):
        self._note(key)
        return super().pop(key, *default)

    def __getitem__(self, key):
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        self._note(key)
        return super().__contains__(key)


def watched(value):
    if isinstance(value, dict):
        return Watched({key: watched(item) for key, item in value.items()})
    return [watched(item) for item in value] if isinstance(value, list) else value


def names(value):
    """Yield the name of every field of a structure; JSON in a text is a structure."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from names(item)
    elif isinstance(value, list):
        for item in value:
            yield from names(item)
    elif isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            yield from names(json.loads(value))
        except ValueError:
            return


def in_tables():
    """Yield the texts of the mapping's tables: a table's rows have tests of their own."""
    for file in Path(mapping.__file__).parent.rglob("*.py"):
        for statement in ast.parse(file.read_text()).body:
            if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                yield from (
                    node.value
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                )


THERE = {name for attributes, _ in ALL.values() for name in names(attributes)} | set(in_tables())


@pytest.fixture
def asked(monkeypatch):
    """Return what is looked for, by name, and in which payloads."""
    monkeypatch.setattr(Watched, "asked", defaultdict(set))
    begin = Fields.__init__

    def beginning(self, held):
        begin(self, held)
        self._left = Watched(self._left)

    monkeypatch.setattr(Fields, "__init__", beginning)
    return Watched.asked


def unknown(asked):
    return {name: sorted(where)[:3] for name, where in asked.items() if name not in THERE}


def test_each_field_that_a_converter_looks_for_is_in_a_payload(asked):
    for Watched.payload, (attributes, _) in ALL.items():
        given = watched(attributes)
        messages.convert(
            given.get("mlflow.message.format"),
            given.get("mlflow.spanInputs"),
            given.get("mlflow.spanOutputs"),
        )
    assert len(asked) > 100
    assert unknown(asked) == {}


def test_each_field_that_a_span_is_looked_through_for_is_in_a_payload(asked):
    options = MappingOptions(payloads.ALL)
    for Watched.payload, (attributes, ours) in ALL.items():
        map_span(
            SpanView("call", watched(attributes), made_by_mlflow=ours), TraceContext(), options
        )
    assert len(asked) > 200
    assert unknown(asked) == {}
