"""A value as MLflow wrote it. It is decoded only when a step needs its content."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.values import Json, OtlpValue, as_json, compact, decode, to_otlp

_UNREAD: Final = object()


class Written:
    """An attribute's JSON text, and what it says.

    Args:
        text: As MLflow wrote it; anything that is no text stands for itself.
    """

    __slots__ = ("_value", "text")

    def __init__(self, text: Any) -> None:
        self.text = text
        self._value = _UNREAD

    @property
    def value(self) -> Any:
        """What it says, decoded the first time."""
        if self._value is _UNREAD:
            self._value = decode(self.text)
        return self._value

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to send."""
        return self.text is None or self.text == "null"

    def may_have(self, start: str) -> bool:
        """Tell whether it may be an object with a key or text of this beginning. False is certain."""
        text = self.text
        return not isinstance(text, str) or (text.startswith("{") and f'"{start}' in text)

    def attribute(self) -> OtlpValue | Json | None:
        """Return it as an OTLP attribute value."""
        text = self.text
        return (compact(text) if isinstance(text, str) else None) or to_otlp(self.value)

    def as_text(self) -> str | Json:
        """Return text as it is and anything else as JSON."""
        text = self.text
        squeezed = compact(text) if isinstance(text, str) else None
        if squeezed is not None:
            return squeezed
        value = self.value
        return value if isinstance(value, str) else as_json(value)
