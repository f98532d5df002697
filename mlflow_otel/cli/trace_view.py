"""Received traces as a person reads them: who asked, what happened, how long it took, how it was judged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys

Span = Mapping[str, Any]
"""A span as ``receiver.records`` reads it."""

HEAD: Final = {
    genai.SESSION_ID: "session",
    genai.USER_ID: "user",
    keys.TRACE_CLIENT_REQUEST_ID: "request",
    keys.TRACE_STATE: "state",
}
BAR: Final = 16  # characters
NAME: Final = 34
LINE: Final = 100  # characters of a message or an explanation that is shortened


class Verdict(NamedTuple):
    """A judgement of a trace or span, from its evaluation event or span.

    Args:
        trace_id: The judged trace, hex.
        identity: The assessment's ID: its event and its span are one verdict.
        name: What is judged.
        value: The score, the label or the error's type, as text.
        good: Whether it speaks for the trace; None where it says neither.
        source: Who judged.
        explanation: Why.
    """

    trace_id: str
    identity: str
    name: str
    value: str
    good: bool | None
    source: str
    explanation: str


def verdict_of(record: Span) -> Verdict | None:
    """Return the verdict that a log record or span carries, or None."""
    found = record["attributes"]
    if genai.EVALUATION_NAME not in found:
        return None
    label, score = found.get(genai.EVALUATION_SCORE_LABEL), found.get(genai.EVALUATION_SCORE_VALUE)
    error = found.get(genai.ERROR_TYPE)
    plain = found.get(keys.ASSESSMENT_VALUE) if score is None else f"{score:g}"
    value = f"error {error}" if error else str(label if label is not None else plain)
    source = (found.get(keys.ASSESSMENT_SOURCE_TYPE), found.get(keys.ASSESSMENT_SOURCE_ID))
    return Verdict(
        trace_id=record["trace_id"],
        identity=str(found.get(keys.ASSESSMENT_ID, record.get("span_id"))),
        name=str(found[genai.EVALUATION_NAME]),
        value=value,
        good=False if error else {"true": True, "false": False}.get(str(label)),
        source=" ".join(str(part) for part in source if part),
        explanation=str(
            found.get(genai.EVALUATION_EXPLANATION)
            or found.get(keys.ASSESSMENT_ERROR_MESSAGE)
            or ""
        ),
    )


def verdict_line(verdict: Verdict, *, full: bool = False, about: str = "") -> Text:
    """Return a verdict in one line.

    Args:
        verdict: The verdict.
        full: Whether a long explanation stands whole.
        about: The trace, where the line does not stand below it.
    """
    sign, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("•", "yellow")}[verdict.good]
    line = Text(f"{sign} ", style=style).append(f"{verdict.name}: {verdict.value}")
    line.append(f"  {verdict.source}", style="dim")
    if verdict.explanation:
        line.append("  “" + _shortened(verdict.explanation, full=full) + "”", style="italic")
    return line.append(f"  {about}", style="dim") if about else line


def trace_view(
    spans: Sequence[Span], verdicts: Sequence[Verdict] = (), *, full: bool = False
) -> RenderableType:
    """Return one trace, ready to print.

    Args:
        spans: Its spans, in any order; at least one.
        verdicts: How it was judged.
        full: Whether messages and explanations stand whole, all of them.
    """
    spans = sorted(spans, key=lambda span: span["start_time"])
    lines = [*_head(spans), *_tree(spans, full=full)]
    lines += [verdict_line(one, full=full) for one in verdicts]
    return Group(*lines)


def _head(spans: Sequence[Span]) -> Iterator[Text]:
    merged: dict[str, Any] = {}
    for span in spans:
        merged |= span["attributes"]
    started, ended = spans[0]["start_time"], max(span["end_time"] for span in spans)
    when = datetime.fromtimestamp(started / 1e9).astimezone().strftime("%H:%M:%S")
    name = merged.get(keys.TRACE_NAME) or spans[0]["name"]
    yield Text(f"{name}", style="bold").append(
        f"  {_duration(ended - started)}  {when}  trace {spans[0]['trace_id']}", style="dim"
    )
    said = [f"service {spans[0]['resource'].get('service.name', '?')}"]
    said += [f"{label} {merged[key]}" for key, label in HEAD.items() if key in merged]
    yield Text("  " + "  ".join(said))
    tags = sorted(
        f"{key.removeprefix(keys.TRACE_TAG_PREFIX)}={value}"
        for key, value in merged.items()
        if key.startswith(keys.TRACE_TAG_PREFIX)
    )
    if tags:
        yield Text("  tags " + " ".join(tags), style="dim")


def _tree(spans: Sequence[Span], *, full: bool) -> Iterator[Text]:
    known = {span["span_id"] for span in spans}
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        parent = span["parent_span_id"]
        children[parent if parent in known else ""].append(span)
    started = spans[0]["start_time"]
    length = max(max(span["end_time"] for span in spans) - started, 1)
    seen: set[str] = set()  # spans of a ring of parents are shown once

    def branch(parent: str, indent: str) -> Iterator[Text]:
        here = [span for span in children.get(parent, ()) if span["span_id"] not in seen]
        seen.update(span["span_id"] for span in here)
        for index, span in enumerate(here):
            last = index == len(here) - 1
            below = "   " if last else "│  "
            failed_below = {_error(one) for one in children.get(span["span_id"], ())}
            line = Text(f"{indent}{'└─' if last else '├─'} {span['name']}")
            line.truncate(NAME, overflow="ellipsis", pad=True)
            yield _row(line, span, started, length, told=_error(span) in failed_below)
            for text in _messages(span, full=full):
                yield Text(f"{indent}{below}  {text}", style="dim")
            yield from branch(span["span_id"], indent + below)

    yield from branch("", "")


def _row(line: Text, span: Span, started: int, length: int, *, told: bool) -> Text:
    begin = min(int((span["start_time"] - started) / length * BAR), BAR - 1)
    width = max(round((span["end_time"] - span["start_time"]) / length * BAR), 1)
    bar = (" " * begin + "━" * width)[:BAR].ljust(BAR)
    error = _error(span)
    line.append(f" {_duration(span['end_time'] - span['start_time']):>8} ", style="cyan")
    line.append(bar, style="red" if error else "green")
    found = span["attributes"]
    used = found.get(genai.USAGE_INPUT_TOKENS), found.get(genai.USAGE_OUTPUT_TOKENS)
    if any(number is not None for number in used):
        line.append(f"  {used[0] or 0}→{used[1] or 0} tokens")
    cost = found.get(f"{keys.LLM_COST_PREFIX}total_cost")
    if cost is not None:
        line.append(f"  ${cost:.6f}")
    if error:
        line.append("  ERROR" if told else f"  ERROR {error}", style="red")
    return line


def _error(span: Span) -> str:
    """Return what failed in a span, empty when nothing did; a caller that it failed too says the same."""
    if span["status"] != "ERROR":
        return ""
    kind = str(span["attributes"].get(genai.ERROR_TYPE, ""))
    text = str(span["status_message"])
    return (text if text.startswith(kind) else f"{kind} {text}").strip() or "ERROR"


def _messages(span: Span, *, full: bool) -> Iterator[str]:
    """Yield what was said to a model and by it: the last message of each side, or all of them."""
    for key in (genai.INPUT_MESSAGES, genai.OUTPUT_MESSAGES):
        try:
            said = json.loads(span["attributes"].get(key) or "[]")
        except (TypeError, ValueError):
            continue
        for message in said if full else said[-1:]:
            yield f"{message.get('role', '?')}: {_shortened(_said(message), full=full)}"


def _said(message: Mapping[str, Any]) -> str:
    shown = []
    for part in message.get("parts") or ():
        kind = part.get("type")
        if kind == "tool_call":
            arguments = json.dumps(part.get("arguments"), ensure_ascii=False)
            shown.append(f"calls {part.get('name')}({arguments})")
        elif kind == "tool_call_response":
            shown.append(f"answers {part.get('response')}")
        else:
            shown.append(str(part.get("content") or f"[{kind}]"))
    return " ".join(shown)


def _shortened(text: str, *, full: bool) -> str:
    if full:
        return text
    line = " ".join(text.split())
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def _duration(nanoseconds: int) -> str:
    if nanoseconds >= 10**9:
        return f"{nanoseconds / 1e9:.2f} s"
    return f"{nanoseconds / 1e6:.1f} ms"
