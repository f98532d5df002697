"""Received spans as text: one tree a trace, what a person wants to see of each span."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

TRACE_KEYS: Final = {
    "session.id": "session",
    "user.id": "user",
    "mlflow.trace.client_request_id": "request",
    "mlflow.trace.state": "state",
}
TAG_PREFIX: Final = "mlflow.traceTag."


def render(spans: Iterable[dict[str, Any]]) -> str:
    """Return all traces among ``spans``, the earliest first."""
    traces: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in spans:
        traces[span["trace_id"]].append(span)
    ordered = sorted(traces.values(), key=lambda trace: min(s["start_time"] for s in trace))
    return "\n\n".join("\n".join(_trace(trace)) for trace in ordered)


def _trace(spans: list[dict[str, Any]]) -> Iterator[str]:
    known = {span["span_id"] for span in spans}
    children: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in sorted(spans, key=lambda s: s["start_time"]):
        parent = span["parent_span_id"]
        children[parent if parent in known else ""].append(span)
    head = [
        f"trace {spans[0]['trace_id']}",
        f"service {spans[0]['resource'].get('service.name', '?')}",
    ]
    merged: dict[str, Any] = {}
    for span in spans:
        merged |= span["attributes"]
    head += [f"{label} {merged[key]}" for key, label in TRACE_KEYS.items() if key in merged]
    tags = sorted(
        f"{k.removeprefix(TAG_PREFIX)}={v}" for k, v in merged.items() if k.startswith(TAG_PREFIX)
    )
    if tags:
        head.append("tags " + " ".join(tags))
    yield "  ".join(head)
    yield from _branch("", children, "")


def _branch(parent: str, children: dict[str, list[dict[str, Any]]], indent: str) -> Iterator[str]:
    here = children.get(parent, [])
    for index, span in enumerate(here):
        last = index == len(here) - 1
        yield f"{indent}{'└─' if last else '├─'} {_line(span)}"
        yield from _branch(span["span_id"], children, indent + ("   " if last else "│  "))


def _line(span: dict[str, Any]) -> str:
    found = span["attributes"]
    line = f"{span['name']}  {(span['end_time'] - span['start_time']) / 1e6:.1f} ms"
    tokens = found.get("gen_ai.usage.input_tokens"), found.get("gen_ai.usage.output_tokens")
    if any(number is not None for number in tokens):
        line += f"  tokens {tokens[0] or 0} in, {tokens[1] or 0} out"
    if "mlflow.llm.cost.total_cost" in found:
        line += f"  ${found['mlflow.llm.cost.total_cost']:.6f}"
    if span["status"] == "ERROR":
        line += f"  ERROR {found.get('error.type', '')} {span['status_message']}".rstrip()
    return line
