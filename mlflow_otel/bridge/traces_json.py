"""``traces.json``: the spans of one trace as MLflow's clients upload them, in two dialects.

Python writes each attribute as JSON text, IDs in base64. TypeScript writes decoded values and a
``trace_id`` that is wrong (it takes ``tr-`` for hex digits), so the trace's ID is taken from the path.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mlflow_otel.bridge.trace_info import MalformedError, mlflow_id
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.values import as_dict, as_list
from mlflow_otel.otlp import wire

STATUSES: Final = {
    "STATUS_CODE_UNSET": Status.STATUS_CODE_UNSET,
    "STATUS_CODE_OK": Status.STATUS_CODE_OK,
    "STATUS_CODE_ERROR": Status.STATUS_CODE_ERROR,
    "UNSET": Status.STATUS_CODE_UNSET,
    "OK": Status.STATUS_CODE_OK,
    "ERROR": Status.STATUS_CODE_ERROR,
}
UINT64: Final = 2**64


def read(body: object, trace_id: int) -> tuple[list[Span], bool]:
    """Return the spans of a ``traces.json``, and whether their attributes are decoded values.

    Args:
        body: The file, read from JSON.
        trace_id: Of the trace that the path names.

    Raises:
        MalformedError: It is none, or a span has no ID.
    """
    spans = body.get("spans") if isinstance(body, dict) else None
    if not isinstance(spans, list) or not all(isinstance(span, dict) for span in spans):
        raise MalformedError("traces.json must be an object with a list of 'spans'")
    return [_span(span, trace_id) for span in spans], not all(map(_as_python_writes, spans))


def _as_python_writes(span: Mapping[str, Any]) -> bool:
    """Tell whether attributes are JSON text: a trace's ID is a JSON string there, in quotes."""
    found = as_dict(span.get("attributes")).get(keys.TRACE_REQUEST_ID)
    return not isinstance(found, str) or found.startswith('"')


def _span(said: Mapping[str, Any], trace_id: int) -> Span:
    status = as_dict(said.get("status"))
    span = Span(
        trace_id=trace_id.to_bytes(16, "big"),
        span_id=_id(said.get("span_id")),
        name=_text(said.get("name")),
        start_time_unix_nano=_time(said, "start_time_unix_nano"),
        end_time_unix_nano=_time(said, "end_time_unix_nano"),
        status=Status(
            code=STATUSES.get(str(status.get("code")), Status.STATUS_CODE_UNSET),
            message=_text(status.get("message")),
        ),
    )
    if said.get("parent_span_id"):
        span.parent_span_id = _id(said["parent_span_id"])
    attributes = {keys.TRACE_REQUEST_ID: f'"{mlflow_id(trace_id)}"'}
    span.MergeFromString(wire.attributes(b"\x4a", {**attributes, **_attributes(said)}))
    for event in filter(_is_object, as_list(said.get("events"))):
        added = span.events.add(
            name=_text(event.get("name")), time_unix_nano=_time(event, "time_unix_nano")
        )
        added.MergeFromString(wire.attributes(b"\x1a", _attributes(event)))
    for link in filter(_is_object, as_list(said.get("links"))):
        linked = span.links.add(
            trace_id=_id(link.get("trace_id"), 16), span_id=_id(link.get("span_id"))
        )
        linked.MergeFromString(wire.attributes(b"\x22", _attributes(link)))
    return span


def _attributes(said: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in as_dict(said.get("attributes")).items()}


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _time(said: Mapping[str, Any], key: str) -> int:
    value = said.get(key)
    try:
        number = int(value) if isinstance(value, (int, float, str)) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number < UINT64 else 0


def _id(value: object, size: int = 8) -> bytes:
    """Return an ID that stands in base64, or, in links, in hex digits with or without ``tr-``."""
    text = value.removeprefix("tr-") if isinstance(value, str) else ""
    try:
        if len(text) == 2 * size:
            return bytes.fromhex(text)
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != size or not any(found):
        raise MalformedError(f"a span's ID must be {size} bytes in base64")
    return found
