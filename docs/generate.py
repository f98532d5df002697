"""Writes the tables of the docs from the code's own tables; `python docs/generate.py` rewrites them in place."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from mlflow_otel.cli import env
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions.versions import LATEST, RELEASED, Version
from mlflow_otel.mapping import providers, request, span_types, tokens
from mlflow_otel.mapping.messages import FORMATS
from mlflow_otel.mapping.model import EventView, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from mlflow_otel.measuring.instruments import INSTRUMENTS
from mlflow_otel.settings import OTLP_OPTIONS, SDK_VARIABLES, VARIABLES

DOCS: Final = Path(__file__).parent
FIXTURES: Final = DOCS.parent / "tests" / "fixtures"
DIFFERENCES: Final = DOCS.parent / "tests" / "export" / "test_spans_of_others.py"
BLOCK: Final = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def code(value: str | None) -> str:
    """Return a value in code quotes, or a dash for none."""
    return f"`{value}`" if value else "none"


def _span_types() -> str:
    head = (
        "MLflow type",
        "`gen_ai.operation.name`",
        "Span name",
        "Kind",
        "`openinference.span.kind`",
    )
    rows = [
        (
            name,
            code(row.operation),
            _span_name(row),
            row.kind or "as MLflow has it",
            row.openinference,
        )
        for name, row in span_types.TYPES.items()
    ]
    other = span_types.OTHER
    rows.append(
        (
            "CHAIN, TASK, PARSER, your own",
            "none",
            "MLflow's",
            "as MLflow has it",
            other.openinference,
        )
    )
    return table(head, rows)


def _span_name(row: span_types.TypeRow) -> str:
    if row.operation is None or row.named_after is None:
        return "MLflow's"
    return f"`{row.operation} {{{row.named_after}}}`" + (
        " if known, else MLflow's" if row.needs_target else ""
    )


def _providers() -> str:
    spellings: dict[str, list[str]] = {}
    for spelling, name in providers._BY_SPELLING.items():  # noqa: SLF001
        spellings.setdefault(name, []).append(spelling)
    rows = ((code(name), ", ".join(map(code, found))) for name, found in spellings.items())
    return table(("`gen_ai.provider.name`", "MLflow writes"), rows)


def _tokens() -> str:
    rows = (
        (
            code(key),
            ", ".join(code(name) for name, target in tokens.BY_MLFLOW.items() if target == key)
            or "none",
            ", ".join(map(code, names)),
        )
        for key, names in tokens.SPELLINGS.items()
    )
    return table(("Attribute", "In `mlflow.chat.tokenUsage`", "In the response's `usage`"), rows)


def _request() -> str:
    rows = (
        (code(key), reader.__name__, ", ".join(map(code, names)))
        for key, (reader, names) in request.ATTRIBUTES.items()
    )
    return table(("Attribute", "Type", "In the request"), rows)


def _version(version: Version) -> dict[str, Iterable[str | None]]:
    return {
        "schema of the scope": [version.schema_url],
        "how long models took": [version.inference_duration],
        "how long embeddings took": [version.embeddings_duration],
        "time to the first chunk": [version.first_chunk],
        "tokens of each call": version.token_histograms.values() or [version.token_usage],
        "tokens spent": version.token_counters.values() or [version.token_usage],
        "tokens of embeddings": [version.embeddings_tokens or version.token_usage],
        "what an agent called itself": version.agent_calls.values() or [None],
        "further attributes": sorted(version.added) or [None],
    }


def _versions() -> str:
    released, latest = _version(RELEASED), _version(LATEST)
    rows = (
        (name, *(", ".join(map(code, of[name])) for of in (released, latest))) for name in latest
    )
    return table(("", "Default", "Newest"), rows)


def _formats() -> str:
    rows = (
        (code(name), ", ".join(code(one.__name__.rpartition(".")[2]) for one in converters))
        for name, converters in FORMATS.items()
    )
    return table(
        (
            "`mlflow.message.format`",
            "Modules of `mapping/messages`, the first that knows the shape",
        ),
        rows,
    )


DEFAULT: Final = re.compile(r" \(([^()]+)\)$")


def _otlp_options() -> str:
    rows = (
        (code(option.name), option.effect, option.accepts or "any text") for option in OTLP_OPTIONS
    )
    return table(("`OTEL_EXPORTER_OTLP_…`", "Effect", "Takes"), rows)


def _variables(kind: Callable[[str], bool]) -> str:
    rows = {row.name: row for row in env.table({})}
    found = []
    for variable in VARIABLES:
        if kind(variable.name):
            row = rows[variable.name]
            said = DEFAULT.search(row.effect)
            default = said[1] if said else code(row.default) if row.default != "-" else "none"
            effect = DEFAULT.sub("", row.effect)
            found.append((code(row.name), effect, row.accepts or "any text", default))
    return table(("Variable", "Effect", "Takes", "Default"), found)


def _sdk_variables() -> str:
    return table(("Variable", "Effect"), ((code(k), v) for k, v in SDK_VARIABLES.items()))


def _metrics() -> str:
    rows = (
        (
            code(one.name),
            code(one.unit),
            "histogram" if one.boundaries else "counter",
            one.description.removesuffix("."),
        )
        for one in sorted(INSTRUMENTS)
    )
    return table(("Metric", "Unit", "Kind", "What"), rows)


def _recorded() -> Iterable[tuple[str, SpanView]]:
    """Yield each span that was recorded from a real library, with its type."""
    for file in sorted(FIXTURES.glob("*.json")):
        for scenario in json.loads(file.read_text())["scenarios"].values():
            for span in scenario["spans"]:
                attributes: dict[str, Any] = span["attributes"]
                type_ = json.loads(attributes.get(keys.SPAN_TYPE, '""'))
                events = [EventView(e["name"], 2, e["attributes"]) for e in span.get("events", ())]
                yield (
                    type_ or "none",
                    SpanView(
                        span["name"],
                        attributes=attributes,
                        events=events,
                        start_time=1,
                        failed=span.get("status") == "ERROR",
                        made_by_mlflow=span["scope"].startswith("mlflow"),
                        is_entry=span.get("parent_id") is None,
                    ),
                )


@functools.cache
def _arriving() -> str:
    known = {v for of in (genai, keys) for v in vars(of).values() if isinstance(v, str)}
    known |= set(request.ATTRIBUTES) | set(tokens.SPELLINGS)
    seen: dict[str, set[str]] = {}
    for type_, view in _recorded():
        mapped = map_span(view, TraceContext(), MappingOptions(frozenset({"genai"})))
        seen.setdefault(type_, set()).update(known & set(mapped.attributes))
    rows = (
        (name, ", ".join(map(code, sorted(seen[name] - {keys.TRACE_ID}))))
        for name in [*span_types.TYPES, *sorted(seen.keys() - span_types.TYPES.keys())]
        if name in seen and name != "none"
    )
    return table(("MLflow type", "Attributes"), rows)


def _differences() -> str:
    """Return the intended differences from the stock exporter: the rows of the test that proves them."""
    held = {
        node.targets[0].id: node.value
        for node in ast.parse(DIFFERENCES.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    rows, only = held["DIFFERENCES"], ast.literal_eval(held["ONLY_IN_OLD_SDKS"])
    assert isinstance(rows, ast.Dict)  # noqa: S101 (the test's table is one)
    said = [ast.literal_eval(key) for key in rows.keys if key is not None]
    head = ("What leaves", "The stock exporter")
    return table(
        head,
        [
            (
                row,
                "depends on the SDK: " + only[row]
                if row in only
                else "sends something else, or fails",
            )
            for row in said
        ],
    )


TABLES: Final[dict[str, Callable[[], str]]] = {
    "span types": _span_types,
    "providers": _providers,
    "tokens": _tokens,
    "versions": _versions,
    "request": _request,
    "formats": _formats,
    "otlp options": _otlp_options,
    "general variables": lambda: _variables(lambda name: name.startswith("OTEL_")),
    "variables of MLflow": lambda: _variables(
        lambda name: name.startswith("MLFLOW_") and not name.startswith("MLFLOW_OTEL_")
    ),
    "variables of mlflow-otel": lambda: _variables(lambda name: name.startswith("MLFLOW_OTEL_")),
    "variables of the SDK": _sdk_variables,
    "metrics": _metrics,
    "arriving": _arriving,
    "differences": _differences,
}
"""The tables by the name in their mark."""


def rendered(text: str) -> str:
    """Return a page with each generated table written anew."""
    return BLOCK.sub(lambda m: f"{m[1]}{TABLES[m[2]]()}{m[3]}", text)


def main() -> None:
    """Rewrite the pages."""
    for page in DOCS.glob("*.md"):
        page.write_text(rendered(page.read_text()))


if __name__ == "__main__":
    main()
