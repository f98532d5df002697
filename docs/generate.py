"""Writes the tables of the docs from the code's own tables; `python docs/generate.py` rewrites them in place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mlflow_otel.conventions.versions import LATEST, RELEASED, Version
from mlflow_otel.mapping import providers, request, span_types, tokens
from mlflow_otel.mapping.messages import FORMATS

DOCS: Final = Path(__file__).parent
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


TABLES: Final[dict[str, Callable[[], str]]] = {
    "span types": _span_types,
    "providers": _providers,
    "tokens": _tokens,
    "versions": _versions,
    "request": _request,
    "formats": _formats,
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
