"""Spans from OTLP in JSON, as Jaeger and Tempo answer it.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: IDs are hex digits, 64-bit numbers
are text. Tempo writes IDs in base64, protobuf's own JSON, instead. Both are read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mlflow_otel.backends.model import BackendSpan, SpanEvent

KINDS: Final = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES: Final = ("UNSET", "OK", "ERROR")
SERVERS_OWN: Final = "@jaeger@"
"""Prefix of attributes that Jaeger adds when it reads a trace, such as warnings about clocks."""


def spans_of(traces: object) -> Iterator[BackendSpan]:
    """Return the spans of a ``TracesData`` message. Parts of another shape are left out.

    Args:
        traces: The message as JSON has it, with ``resourceSpans`` (older: ``batches``).
    """
    message = traces if isinstance(traces, Mapping) else {}
    for holder in _list(message, "resourceSpans") or _list(message, "batches"):
        resource = attributes_of(holder.get("resource"))
        for group in _list(holder, "scopeSpans"):
            scope = str(_mapping(group.get("scope")).get("name", ""))
            for span in _list(group, "spans"):
                identity = identity_of(span.get("spanId"))
                if identity is not None:
                    yield _span(identity, span, resource, scope)


def _span(
    identity: int, span: Mapping[str, Any], resource: Mapping[str, Any], scope: str
) -> BackendSpan:
    status = _mapping(span.get("status"))
    events = (
        SpanEvent(str(e.get("name", "")), number_of(e.get("timeUnixNano")), attributes_of(e))
        for e in _list(span, "events")
    )
    links = (
        (identity_of(link.get("traceId")), identity_of(link.get("spanId")))
        for link in _list(span, "links")
    )
    return BackendSpan(
        span_id=identity,
        parent_id=identity_of(span.get("parentSpanId")),
        name=str(span.get("name", "")),
        start=number_of(span.get("startTimeUnixNano")),
        end=number_of(span.get("endTimeUnixNano")),
        attributes=attributes_of(span),
        kind=_named(span.get("kind"), KINDS, "SPAN_KIND_"),
        status=_named(status.get("code"), STATUSES, "STATUS_CODE_"),
        status_message=str(status.get("message", "")),
        events=tuple(events),
        links=tuple((trace, span) for trace, span in links if trace and span),
        resource=resource,
        scope=scope,
    )


def _named(code: object, names: tuple[str, ...], prefix: str) -> str:
    """Return the name of an enum's value, which JSON has as number or as text."""
    if isinstance(code, str) and not code.isdigit():
        name = code.removeprefix(prefix)
        return name if name in names else names[0]
    number = number_of(code)
    return names[number] if number < len(names) else names[0]


def identity_of(text: object) -> int | None:
    """Return a trace's or span's ID; None when there is none, or all of it is zero."""
    if not isinstance(text, str) or not text:
        return None
    try:
        if len(text) in {16, 32}:
            return int(text, 16) or None
        return int.from_bytes(base64.b64decode(text, validate=True), "big") or None
    except (ValueError, binascii.Error):
        return None


def number_of(value: object) -> int:
    """Return a whole number that JSON has as number or as text; 0 for anything else."""
    try:
        return max(int(value), 0) if isinstance(value, (int, str)) else 0
    except ValueError:
        return 0


def attributes_of(holder: object) -> dict[str, Any]:
    """Return the attributes of a span, event or resource, in their own types."""
    pairs = (
        (str(pair["key"]), value_of(pair.get("value")))
        for pair in _list(_mapping(holder), "attributes")
        if "key" in pair
    )
    return {key: value for key, value in pairs if not key.startswith(SERVERS_OWN)}


def value_of(value: object) -> Any:
    """Return an OTLP value as a plain one."""
    for kind, content in _mapping(value).items():
        if kind in VALUES:
            try:
                return VALUES[kind](content)
            except (TypeError, ValueError):
                return None
    return None


def _array(content: Any) -> list[Any]:
    return [value_of(item) for item in _list(_mapping(content), "values")]


def _pairs(content: Any) -> dict[str, Any]:
    return {
        str(pair["key"]): value_of(pair.get("value"))
        for pair in _list(_mapping(content), "values")
        if "key" in pair
    }


VALUES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "stringValue": str,
    "intValue": int,
    "doubleValue": float,
    "boolValue": bool,
    "bytesValue": str,
    "arrayValue": _array,
    "kvlistValue": _pairs,
}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = holder.get(key)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
