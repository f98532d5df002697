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
    "feedback": {
        "backends",
        "signals",
        "tracing",
        "export",
        "delivery",
        "mapping",
        "conventions",
        "v1",
    },
    "filtering": set(),
    "store": {
        "backends",
        "filtering",
        "feedback",
        "delivery",
        "otlp",
        "mapping",
        "conventions",
    },
    "scoring": {"filtering", "feedback", "signals", "tracing", "export", "mapping", "conventions"},
    "receiver": set(),
    "bridge": {
        "store",
        "filtering",
        "backends",
        "receiver",
        "holding",
        "delivery",
        "otlp",
        "mapping",
        "conventions",
        "v1",
    },
    "worker": {
        "wiring",
        "receiver",
        "holding",
        "scoring",
        "store",
        "backends",
        "filtering",
        "feedback",
        "signals",
        "export",
        "delivery",
        "otlp",
        "mapping",
        "conventions",
    },
    "pulling": {"bridge", "store", "backends", "delivery", "otlp", "mapping"},
    "v1": set(),
    "ending": set(),
    "declared": set(),
    "arguments": {"declared"},
    "wiring": {"declared", "tracing"},
    "startup_messages": {"tracing"},
    "handle": {
        "startup_messages",
        "wiring",
        "store",
        "ending",
        "scoring",
        "feedback",
        "measuring",
        "signals",
        "tracing",
        "export",
        "delivery",
    },
    "instrumentation": {"handle", "arguments", "tracing", "export", "mapping"},
    "instrumentor": {"instrumentation"},
    "testing": {"handle", "instrumentation", "mapping"},
    "flushing": {"instrumentation"},
    "api": {"instrumentation", "feedback"},
    "cli": {
        "instrumentation",
        "api",
        "conventions",
        "feedback",
        "backends",
        "tracing",
        "export",
        "delivery",
        "otlp",
        "receiver",
        "bridge",
        "pulling",
        "worker",
        "scoring",
        "filtering",
        "wiring",
        "store",
        "mapping",
    },
    "settings": set(),
    "accounting": set(),
    "forking": set(),
    "untraced": set(),
    "waiting": set(),
    "wording": set(),
    "version": set(),
    "__main__": {"cli"},
    "versions": set(),
    "__init__": {"scoring", "api", "flushing", "instrumentation", "tracing", "export"},
}
BY_ALL = {
    "settings",
    "accounting",
    "forking",
    "untraced",
    "version",
    "versions",
    "waiting",
    "wording",
}
MLFLOW = {
    "backends/mlflow_adapter.py",
    "store/mlflow_adapter.py",
    "store/tracking_store.py",
    "store/pages_server.py",
    "store/pages_store.py",
    "tracing/mlflow_adapter.py",
    "tracing/mlflow_provider.py",
    "tracing/store.py",
    "feedback/mlflow_adapter.py",
    "scoring/mlflow_adapter.py",
    "feedback/mlflow_client.py",
    "cli/agent.py",
}


def imported(file):
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (
                [f"{node.module}.{a.name}" for a in node.names]
                if node.module == "mlflow_otel"
                else [node.module]
            )


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_arrows_go_downwards_and_mlflow_is_met_in_its_adapters(file):
    place = file.relative_to(PACKAGE)
    room = place.parts[0].removesuffix(".py")
    for module in imported(file):
        top, _, rest = module.partition(".")
        if top == "mlflow_otel" and rest:
            other = rest.partition(".")[0]
            assert other == room or other in BELOW[room] | BY_ALL, f"{place} imports {module}"
        assert top != "mlflow" or str(place) in MLFLOW, f"{place} imports {module}"


WAY_IN = ("receiver", "bridge", "holding", "mapping", "otlp", "delivery", "conventions")


@pytest.mark.parametrize("room", WAY_IN)
def test_the_bridges_way_in_knows_neither_the_sdk_nor_mlflow(room):
    for file in (PACKAGE / room).rglob("*.py"):
        for module in imported(file):
            assert not module.startswith(("opentelemetry.sdk", "mlflow.")), (
                f"{file} imports {module}"
            )


PRIVATE = {
    "tracing/otel_adapter.py": "what the SDK has no public way for: its header says what and why",
    "export/mapped.py": "stock exporters read a span's private fields, and its properties take a lock each",
}
"""Where private parts of the OpenTelemetry SDK may be touched."""
MLFLOWS = {
    "backends/mlflow_adapter.py",
    "store/mlflow_adapter.py",
    "store/pages_store.py",
    "tracing/mlflow_adapter.py",
    "tracing/mlflow_provider.py",
    "feedback/mlflow_adapter.py",
    "scoring/mlflow_adapter.py",
}
"""Where those of MLflow may be."""


DOCUMENTED = {"_replace", "_asdict", "_fields", "_PARTITION_EOF", "_ALL_BROKERS_DOWN"}
"""Public, whatever they begin with: of named tuples, and of librdkafka's errors."""


def own_names(tree):
    """Return every name that code gives to an attribute, a method, a function or a variable."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"self", "cls"}
            and isinstance(node.ctx, ast.Store)
        ):
            yield node.attr
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


OF_THE_PACKAGE = frozenset(
    name
    for file in PACKAGE.rglob("*.py")
    if str(file.relative_to(PACKAGE)) not in {*PRIVATE, *MLFLOWS}
    for name in own_names(ast.parse(file.read_text()))
)


def private_parts(code):
    """Return the private attributes that code touches and that are not its own.

    A syntax tree does not know types, so names tell. What begins with an underscore is private to
    the file that defines it: any other object may be asked for it in that file alone. Through
    ``self`` a class may also use what its base class has, if a class of this package defines it; a
    private part that is inherited from the SDK is found, since the package defines no such name.
    """
    tree = ast.parse(code)
    of_the_file = set(own_names(tree)) | DOCUMENTED
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, over = node.attr, getattr(node.value, "id", "")
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in {"getattr", "setattr", "hasattr", "delattr"}
            and len(node.args) > 1
        ):
            name, over = getattr(node.args[1], "value", ""), getattr(node.args[0], "id", "")
        else:
            continue
        if over in {"sys", "os"}:
            continue  # Python's own, documented
        own = of_the_file | OF_THE_PACKAGE if over in {"self", "cls"} else of_the_file
        if (
            isinstance(name, str)
            and name.startswith("_")
            and not name.startswith("__")
            and name not in own
        ):
            found.append(name)
    return sorted(found)


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_private_parts_of_others_are_touched_in_their_adapters_alone(file):
    place = str(file.relative_to(PACKAGE))
    if place not in {*PRIVATE, *MLFLOWS} and not place.startswith("v1/"):
        assert private_parts(file.read_text()) == []


def test_the_look_for_private_parts_finds_them():
    code = """
class Ours(Theirs):
    def __init__(self):
        self._own = 1
        self._inherited_from_theirs
        self._accounting
other._own
span._attributes
provider._active_span_processor._lock
getattr(span, "_links", 0)
pair._replace(a=1)
"""
    assert private_parts(code) == [
        "_active_span_processor",
        "_attributes",
        "_inherited_from_theirs",
        "_links",
        "_lock",
    ]
