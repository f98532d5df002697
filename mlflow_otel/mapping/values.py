"""JSON in, OTLP values out: MLflow writes every attribute as a JSON string."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Scalar: TypeAlias = str | bool | int | float
OtlpValue: TypeAlias = Scalar | bytes | list[str] | list[bool] | list[int] | list[float]

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
UNREADABLE: Final = b"<unserializable>"

# NaN and the infinities stand in MLflow's JSON though JSON has no word for them: as text they stay.
_loads_exactly: Final = json.JSONDecoder(parse_constant=str).decode
NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})


JSONS_OWN: Final[tuple[type[Any], ...]] = (float, int, dict, list, tuple)
"""Types whose subclasses are written as they are, such as NumPy's ``float64``."""

_dumps_exactly: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=str
).encode


def _write_exactly(value: Any) -> bytes:
    return _dumps_exactly(value).encode("utf-8", "replace")


try:  # the same values as `json`, several times as fast
    import msgspec.json
except ImportError:
    _loads: Callable[[str], Any] = _loads_exactly
    _write: Callable[[Any], bytes] = _write_exactly

    def _squeeze(text: str) -> bytes:
        return _write_exactly(_loads_exactly(text))
else:
    _read = msgspec.json.Decoder().decode

    def _nearest(value: Any) -> Any:
        """Return what `json` writes for a value of a type that msgspec does not know."""
        kind = next((kind for kind in JSONS_OWN if isinstance(value, kind)), str)
        return kind(value)

    _write_quickly: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=_nearest).encode
    _format: Callable[..., bytes] = msgspec.json.format

    def _loads(text: str) -> Any:
        try:
            return _read(text)
        except ValueError:  # lone surrogates, NaN, numbers beyond a double's range, or no JSON
            return _loads_exactly(text)

    def _write(value: Any) -> bytes:
        try:
            return _write_quickly(value)
        except (TypeError, ValueError):  # keys that are no text, lone surrogates
            return _write_exactly(value)

    def _squeeze(text: str) -> bytes:
        return _format(text.encode(), indent=-1)


def loads(body: bytes) -> Any:
    """Return what JSON says; NaN and the infinities come back as text.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested deeper than Python goes.
    """
    return _loads(body.decode())


class Json:
    """JSON text that leaves as a string: in UTF-8 already, as it is written and as the wire has it.

    Args:
        utf8: The text.
    """

    __slots__ = ("utf8",)

    def __init__(self, utf8: bytes) -> None:
        self.utf8 = utf8

    def __str__(self) -> str:
        return str(self.utf8, "utf-8")


PLAIN: Final = frozenset({str, bool, bytes, Json, type(None)})
"""Types that leave as they are."""


def decode(value: Any) -> Any:
    """Decode what MLflow wrote as a JSON string; anything that is not JSON comes back as it is."""
    if type(value) is not str or not value:
        return value
    first = value[0]
    if first == '"' and value[-1] == '"' and len(value) > 1 and "\\" not in value:
        inner = value[1:-1]
        return inner if '"' not in inner else value
    if first not in '"{[-0123456789tfnNI':
        return value
    if value in NOT_FINITE:
        return float(value)
    try:
        return _loads(value)
    except (ValueError, RecursionError):  # half-JSON, or nested deeper than Python goes
        return value


def decode_nested(value: Any) -> Any:
    """Decode a JSON object or list that stands in a string, such as a tool call's arguments."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return decode(value)
    return value


def as_json(value: Any) -> Json:
    """Write compact JSON; whatever JSON has no word for leaves as its ``str()``."""
    try:
        return Json(_write(value))
    except Exception:  # too deep, or an object whose own code fails
        return _described(value)


def _described(value: Any) -> Json:
    try:
        return Json(str(value).encode("utf-8", "replace"))
    except Exception:
        return Json(UNREADABLE)


def dumps(value: Any) -> str:
    """Write compact JSON as ``as_json`` does, as text."""
    return str(as_json(value))


def compact(text: str) -> Json | None:
    """Return a JSON object, or a list of objects, without its blanks. Returns None for anything else.

    The same as decoding and writing it again, several times as fast; letters written as escapes
    stay so (MLflow writes none). None also for numbers that JSON has no word for.
    """
    if not text.startswith(("{", "[{")):
        return None
    try:
        return Json(_squeeze(text))
    except (ValueError, RecursionError):
        return None


def to_otlp(value: Any) -> OtlpValue | Json | None:
    """Return ``value`` as an OTLP attribute value, or None when there is nothing to send.

    Scalars and lists of one scalar type leave as they are; structures leave as a JSON string, since
    older SDKs and many backends take no nested maps. Integers beyond 64 bits leave as text, and so do
    NaN and infinities: Jaeger (1.76) cannot write them as JSON, and answers no search that finds the span.
    """
    if type(value) in PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (list, tuple)) and value:
        kinds = {type(item) for item in value}
        if len(kinds) == 1 and kinds <= {str, bool, int, float}:
            if kinds == {int} and not all(INT64_MIN <= item <= INT64_MAX for item in value):
                return [str(item) for item in value]
            if kinds == {float} and not all(map(math.isfinite, value)):
                return [str(item) if math.isfinite(item) else _not_finite(item) for item in value]
            return list(value)
    return as_json(value)


def _not_finite(value: float) -> str:
    """Return what JavaScript and protobuf's JSON write; ``decode`` reads it."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 (NaN alone is not)


def as_text(value: Any) -> str:
    """Return text as it is and anything else as JSON."""
    return value if isinstance(value, str) else dumps(value)


def as_int(value: Any) -> int | None:
    """Return a whole number, or None for anything that is none (booleans, NaN, text)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value)


def as_float(value: Any) -> float | None:
    """Return a finite number as a float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_dict(value: Any) -> dict[str, Any]:
    """Return a mapping as it is and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def present(held: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its null fields, which say as little as fields that are not there."""
    if None in held.values():
        return {key: value for key, value in held.items() if value is not None}
    return held


def as_list(value: Any) -> list[Any]:
    """Return a list as it is and an empty one for anything else."""
    return value if isinstance(value, list) else []


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return ``mapping`` without ``keys``, None and empty containers."""
    return {
        key: value
        for key, value in mapping.items()
        if key not in keys and (value or not (value is None or isinstance(value, (list, dict))))
    }
