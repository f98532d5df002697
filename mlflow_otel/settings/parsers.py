"""Parsers: the text of a variable to its value, or a ``ValueError`` that says what is accepted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from mlflow_otel.settings.choices import DEFAULT_PROMOTIONS


def text(value: str) -> str:
    """Take any text."""
    return value


def endpoint(value: str) -> str:
    """Take a URL, or what gRPC takes as a target: a host and a port, ``unix:/path``."""
    url = value if "://" in value else ""  # a target is read where it is used
    try:
        urlsplit(url).port  # noqa: B018 (it raises what is wrong with the URL)
    except ValueError:
        raise ValueError("a URL such as http://host:port") from None
    return value


def boolean(value: str) -> bool:
    """Take true or false, as words or as 1 and 0."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def number(low: float, high: float = math.inf) -> Callable[[str], float]:
    """Return a parser of numbers in a range."""
    expected = f"a number from {low:g}" + (f" to {high:g}" if high < math.inf else " up")

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(expected) from None
        if not low <= number <= high:  # NaN is in no range
            raise ValueError(expected)
        return number

    return parse


def integer(low: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``low`` up."""

    def parse(value: str) -> int:
        if not value.lstrip("+-").isdigit() or int(value) < low:
            raise ValueError(f"a whole number from {low} up")
        return int(value)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that takes one of some words."""

    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return value.lower()

    return parse


def protocol(value: str) -> str:
    """Take a protocol of OTLP's. ``http`` alone is none: it may mean protobuf or JSON, and JSON is not sent."""
    try:
        return one_of("grpc", "http/protobuf")(value)
    except ValueError:
        if value.lower().startswith("http"):
            raise ValueError("http/protobuf") from None
        raise


def some_of(*choices: str, nothing: str | None = None) -> Callable[[str], frozenset[str]]:
    """Return a parser that takes a list of some words, or the word for none of them."""

    def parse(value: str) -> frozenset[str]:
        if value.strip().lower() == nothing:
            return frozenset()
        chosen = {item.strip().lower() for item in value.split(",") if item.strip()}
        if not chosen or not chosen <= set(choices):
            raise ValueError("a comma-separated list of " + ", ".join(choices))
        return frozenset(chosen)

    return parse


class PartlyInvalidError(ValueError):
    """A list of which some entries are left out.

    Args:
        message: What is wrong with which.
        value: The others.
    """

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.value = value


HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
HEADER_VALUE: Final = re.compile(r"[^\0-\x08\x0a-\x1f\x7f]*")


def sendable(key: str, value: str) -> bool:
    """Tell whether a header can be sent (RFC 9110, section 5)."""
    return bool(HEADER_NAME.fullmatch(key.lower()) and HEADER_VALUE.fullmatch(value))


def headers(value: str) -> tuple[tuple[str, str], ...]:
    """Take W3C Baggage without properties, as the OTLP exporter specification has headers."""
    pairs: list[tuple[str, str]] = []
    bad: list[str] = []
    for number, item in enumerate(value.split(","), 1):
        if not item.strip():
            continue
        key, equals, content = item.partition("=")
        pair = (unquote(key).strip().lower(), unquote(content).strip())
        if equals and sendable(*pair):
            pairs.append(pair)
        else:  # without its value, which may be a secret
            name = (key if equals else item.partition(":")[0] if ":" in item else "").strip()
            bad.append(f"entry {number} ({name!r})" if name else f"entry {number}")
    if bad:
        raise PartlyInvalidError(", ".join(bad), tuple(pairs))
    return tuple(pairs)


def promotions(value: str) -> tuple[tuple[str, str], ...]:
    """Take tags to promote: ``tag`` or ``tag=attribute``, comma-separated."""
    pairs = []
    for item in value.split(","):
        if not item.strip():
            continue
        key, _, target = (part.strip() for part in item.partition("="))
        if not key:
            raise ValueError("tag or tag=attribute, comma-separated")
        pairs.append((key, target or DEFAULT_PROMOTIONS.get(key, key)))
    return tuple(pairs)


def patterns(value: str) -> tuple[str, ...]:
    """Take attribute keys, in which ``*`` stands for anything."""
    keys = tuple(item.strip() for item in value.split(",") if item.strip())
    if not keys or any(re.search(r"\s", key) for key in keys):
        raise ValueError("attribute keys, comma-separated; * stands for anything")
    return keys


def capture(value: str) -> bool:
    """Take whether content is captured."""
    # The boolean of the first conventions and the modes of the later ones, which differ in where
    # the content goes; ours always goes on spans, so all but NO_CONTENT capture.
    known = {
        "true": True,
        "false": False,
        "no_content": False,
        "span_only": True,
        "event_only": True,
        "span_and_event": True,
    }
    if value.lower() not in known:
        raise ValueError("true, false, NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT")
    return known[value.lower()]


OPT_IN: Final = "gen_ai_latest_experimental"


def opted_in(value: str) -> bool:
    """Tell whether the list of opt-ins has the newest GenAI conventions."""
    # The list has words for other kinds of telemetry as well, such as `http`.
    return OPT_IN in {item.strip().lower() for item in value.split(",")}
