"""Who may import whom: the arrows between the rooms, and the one place of each for MLflow."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "mlflow_otel"
BELOW = {
    "conventions": set(),
    "mapping": {"conventions"},
    "otlp": {"mapping", "conventions"},
    "delivery": {"otlp", "mapping", "conventions"},
    "export": {"declared", "delivery", "otlp", "mapping", "conventions"},
    "holding": set(),
    "tracing": {"declared", "holding", "export", "delivery", "otlp", "mapping", "conventions"},
    "signals": {"tracing", "export", "delivery", "mapping", "conventions"},
    "measuring": {"signals", "tracing", "export", "delivery", "mapping", "conventions"},
    "backends": {"mapping", "conventions"},
    "feedback": {"backends", "signals", "tracing", "export", "delivery", "mapping", "conventions", "v1"},
    "receiver": set(),
    "v1": set(),
    "ending": set(),
    "declared": set(),
    "arguments": {"declared"},
    "wiring": {"declared", "tracing"},
    "starting": {"tracing"},
    "handle": {"starting", "wiring", "ending", "feedback", "measuring", "signals", "tracing", "export", "delivery"},
    "instrumentation": {"handle", "arguments", "tracing", "export", "mapping"},
    "instrumentor": {"instrumentation"},
    "flushing": {"instrumentation"},
    "api": {"instrumentation", "feedback"},
    "cli": {"instrumentation", "api", "conventions", "feedback", "backends", "tracing", "export", "delivery", "otlp", "receiver", "mapping"},
    "settings": set(),
    "accounting": set(),
    "forking": set(),
    "waiting": set(),
    "wording": set(),
    "version": set(),
    "__main__": {"cli"},
    "versions": set(),
    "__init__": {"api", "flushing", "instrumentation", "tracing", "export"},
}  # fmt: skip
BY_ALL = {"settings", "accounting", "forking", "version", "versions", "waiting", "wording"}
MLFLOW = {"backends/mlflow_adapter.py", "tracing/mlflow_adapter.py", "tracing/store.py", "feedback/mlflow_adapter.py", "cli/agent.py"}  # fmt: skip


def imported(file):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ([f"{node.module}.{a.name}" for a in node.names] if node.module == "mlflow_otel" else [node.module])  # fmt: skip


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))  # fmt: skip
def test_arrows_go_downwards_and_mlflow_is_met_in_its_adapters(file):
    place = file.relative_to(PACKAGE)
    room = place.parts[0].removesuffix(".py")
    for module in imported(file):
        top, _, rest = module.partition(".")
        if top == "mlflow_otel" and rest:
            other = rest.partition(".")[0]
            assert other == room or other in BELOW[room] | BY_ALL, f"{place} imports {module}"
        assert top != "mlflow" or str(place) in MLFLOW, f"{place} imports {module}"
