"""Request bodies to OTLP messages: decompressed, from protobuf or JSON."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.receiver.server import TooLargeError, decompress
from mlflow_otel.settings import Signal

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
IDS: Final = frozenset(
    {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}
)
HEX: Final = re.compile(r"(?:[0-9a-fA-F]{16}){1,2}")


class RefusedError(Exception):
    """A request that is not taken.

    Args:
        status: HTTP's.
        message: What is wrong with it, for whoever sent it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body as it was before compression.

    Raises:
        RefusedError: It is torn, too large, or compressed with what is not known.
    """
    try:
        return decompress(body, encoding.strip().lower(), limit)
    except TooLargeError:
        raise RefusedError(413, f"the body is larger than {limit} bytes") from None
    except (ValueError, zlib.error) as error:
        raise RefusedError(400, f"Failed to decompress the body: {error}") from error


def read_json(body: bytes) -> Any:
    """Return what JSON says.

    Raises:
        RefusedError: It is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is no JSON: {type(error).__name__}") from error


def otlp_message(signal: Signal, body: bytes, content_type: str) -> Any:
    """Return an export request.

    Args:
        signal: Of what.
        body: Not compressed.
        content_type: ``application/x-protobuf`` or ``application/json``.

    Raises:
        RefusedError: The body is none, or the type is another.
    """
    message = SHAPES[signal].request
    if content_type == PROTOBUF:
        try:
            return message.FromString(body)
        except DecodeError as error:
            raise RefusedError(400, f"Invalid OpenTelemetry format: {error}") from error
    if content_type != JSON:
        raise RefusedError(415, f"Invalid Content-Type: {content_type[:100]!r}")
    said = read_json(body)
    if not isinstance(said, dict):
        raise RefusedError(400, "Invalid OpenTelemetry format: the body must be a JSON object")
    try:
        return json_format.ParseDict(_with_base64(said), message(), ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, ValueError, TypeError, AttributeError) as error:
        why = type(error).__name__
        raise RefusedError(400, f"Invalid OpenTelemetry format: {why}") from error


def _with_base64(value: Any) -> Any:
    """Return OTLP's JSON in protobuf's: IDs are hex digits there and base64 here."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in IDS and isinstance(item, str) and HEX.fullmatch(item)
            else _with_base64(item)
            for key, item in value.items()
        }
    return [_with_base64(item) for item in value] if isinstance(value, list) else value
