"""Spans from the JSON of Jaeger's own model, as ``/api/traces`` answers it.

https://www.jaegertracing.io/docs/1.76/architecture/apis/: times are microseconds, attributes are tags
with a type, lists and nested values are JSON text. What OpenTelemetry has fields for stands among the
tags (https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/) and is read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from mlflow_otel.backends.model import BackendSpan, SpanEvent
from mlflow_otel.backends.otlp_json import KINDS, SERVERS_OWN, identity_of, number_of

MICROSECOND: Final = 1000
"""Nanoseconds."""
STATUS_CODE: Final = "otel.status_code"
STATUS_MESSAGE: Final = "otel.status_description"
KIND: Final = "span.kind"
SCOPES: Final = ("otel.scope.name", "otel.library.name")
OF_JAEGER: Final = frozenset(
    {
        STATUS_CODE,
        STATUS_MESSAGE,
        KIND,
        *SCOPES,
        "otel.scope.version",
        "otel.library.version",
        "error",
        "internal.span.format",
        "w3c.tracestate",
    }
)
"""Tags that Jaeger makes of OpenTelemetry's fields."""
EVENT_NAME: Final = "event"


class ToldTrace(NamedTuple):
    """A trace of an answer.

    Args:
        trace_id: OpenTelemetry's ID, or None where it is none.
        start: When its first span began, in nanoseconds since the epoch; None when no span says it.
        spans: Returns its spans.
    """

    trace_id: int | None
    start: int | None
    spans: Callable[[], Iterable[BackendSpan]]


def read(answer: object) -> list[ToldTrace]:
    """Return the traces of an answer. One of another shape is there without ID and spans."""
    return [_told(trace) for trace in data_of(answer)]


def _told(trace: object) -> ToldTrace:
    if not isinstance(trace, Mapping):
        return ToldTrace(None, None, tuple)
    return ToldTrace(
        trace_id_of(trace.get("traceID", "")), start_of(trace), lambda: spans_of(trace)
    )


def data_of(answer: object) -> list[Any]:
    """Return what Jaeger puts into every answer."""
    data = answer.get("data") if isinstance(answer, Mapping) else None
    return data if isinstance(data, list) else []


def trace_id_of(text: object) -> int | None:
    """Return a trace's ID: Jaeger leaves out the zeros that it begins with."""
    return identity_of(str(text).rjust(32, "0"))


def spans_of(trace: Mapping[str, Any]) -> Iterator[BackendSpan]:
    """Return the spans of a trace. Parts of another shape are left out."""
    processes = trace.get("processes")
    resources = {
        key: _resource(process)
        for key, process in (processes.items() if isinstance(processes, Mapping) else ())
    }
    spans = trace.get("spans")
    for span in spans if isinstance(spans, list) else ():
        if isinstance(span, Mapping):
            identity = identity_of(span.get("spanID"))
            if identity is not None:
                yield _span(identity, span, resources.get(span.get("processID"), {}))


def start_of(trace: Mapping[str, Any]) -> int | None:
    """Return when the first span of a trace began, in nanoseconds since the epoch."""
    spans = trace.get("spans")
    starts = [
        number_of(span.get("startTime"))
        for span in (spans if isinstance(spans, list) else ())
        if isinstance(span, Mapping)
    ]
    return min(starts, default=0) * MICROSECOND or None


def _resource(process: object) -> dict[str, Any]:
    if not isinstance(process, Mapping):
        return {}
    return {"service.name": process.get("serviceName"), **_tags(process.get("tags"))}


def _span(identity: int, span: Mapping[str, Any], resource: Mapping[str, Any]) -> BackendSpan:
    said = _tags(span.get("tags"))
    status = said.get(STATUS_CODE)
    start = number_of(span.get("startTime")) * MICROSECOND
    parent, links = _references(span)
    kind = str(said.get(KIND, "")).upper()
    return BackendSpan(
        span_id=identity,
        parent_id=parent,
        name=str(span.get("operationName", "")),
        start=start,
        end=start + number_of(span.get("duration")) * MICROSECOND,
        attributes={k: v for k, v in said.items() if k not in OF_JAEGER},
        kind=kind if kind in KINDS else "",
        status=status if status in ("OK", "ERROR") else _by_error(said),
        status_message=str(said.get(STATUS_MESSAGE, "")),
        events=tuple(_events(span.get("logs"))),
        links=links,
        resource=resource,
        scope=str(next((said[key] for key in SCOPES if key in said), "")),
    )


def _by_error(said: Mapping[str, Any]) -> str:
    return "ERROR" if said.get("error") is True else "UNSET"


def _references(span: Mapping[str, Any]) -> tuple[int | None, tuple[tuple[int, int], ...]]:
    """Return the parent's ID and the links: Jaeger has both among a span's references."""
    parent = identity_of(span.get("parentSpanID"))
    links = []
    references = span.get("references")
    for reference in references if isinstance(references, list) else ():
        if not isinstance(reference, Mapping):
            continue
        other = identity_of(reference.get("spanID"))
        trace = trace_id_of(reference.get("traceID", ""))
        is_parent = reference.get("refType") == "CHILD_OF"
        if is_parent and parent is None and reference.get("traceID") == span.get("traceID"):
            parent = other
        elif not is_parent and other is not None and trace is not None:
            links.append((trace, other))
    return parent, tuple(links)


def _events(logs: object) -> Iterator[SpanEvent]:
    for log in logs if isinstance(logs, list) else ():
        if isinstance(log, Mapping):
            fields = _tags(log.get("fields"))
            name = str(fields.pop(EVENT_NAME, ""))
            yield SpanEvent(name, number_of(log.get("timestamp")) * MICROSECOND, fields)


def _tags(tags: object) -> dict[str, Any]:
    try:  # a list of traces has very many tags, and nearly all are as they should be
        return {
            tag["key"]: tag["value"]
            for tag in tags  # type: ignore[attr-defined]
            if not tag["key"].startswith(SERVERS_OWN)
        }
    except (TypeError, KeyError, AttributeError):
        return _odd_tags(tags)


def _odd_tags(tags: object) -> dict[str, Any]:
    """Return tags of which some have another shape: those that have none are left out."""
    return {
        str(tag["key"]): tag.get("value")
        for tag in (tags if isinstance(tags, list) else ())
        if isinstance(tag, Mapping) and "key" in tag and not str(tag["key"]).startswith(SERVERS_OWN)
    }
