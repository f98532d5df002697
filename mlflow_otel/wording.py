"""How endpoints and the text of servers are shown: in logs, exceptions, ``repr`` and on the terminal.

An endpoint may carry credentials: a user and password, a key in its query, a token in its path. A
server may repeat what it was sent. Whatever shows either goes through this module.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote

MAX_TEXT: Final = 300
"""Characters of a server's text that are shown."""
MAX_SEARCHED: Final = 64 * 1024
"""Characters of a server's text that are searched for secrets; the rest is cut off before."""
HIDDEN: Final = "…"

TARGET: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://|(?:unix|unix-abstract|dns|ipv4|ipv6|vsock):)?"
    r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)",
    re.DOTALL,
)
"""A URL, a gRPC target (``unix:/run/otel.sock``), or a host and port. ``rest``: query and fragment."""
HOST: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.%]+\]|[0-9A-Fa-f:.]+)(?::\d{1,5})?", re.ASCII)
WORD: Final = r"(?:[A-Z]?[a-z]{2,20})+\d{0,3}|[a-z]\d{0,3}|\d{1,5}"
PLAIN_PART: Final = re.compile(rf"(?:{WORD})(?:[-_.:](?:{WORD}))*")
"""A part of a path that is made of words and short numbers: ``v1``, ``otlp-http``, ``OtelTraces``."""
HTML: Final = re.compile(
    r"\s*(?:<!doctype html|<html)\b(?:(?!<title).)*(?:<title[^>]*>(?P<title>[^<]*))?",
    re.IGNORECASE | re.DOTALL,
)
"""A page, as proxies and web servers answer where they should say what is wrong: its title says it."""
PLAIN_HEADERS: Final = frozenset(
    {"x-mlflow-experiment-id", "x-mlflow-run-id", "x-mlflow-workspace"}
)
"""Headers of MLflow's server that say where a trace goes. Nobody gets in by them."""
SHORT_NUMBER: Final = re.compile(r"[0-9]{1,3}")
"""No secret: anybody guesses it, and hidden it would leave gaps in ``after 0 ms`` or ``status 404``."""
WORD_LENGTH: Final = 6
"""A shorter secret is hidden where it stands alone: ``a`` is no part of ``unavailable``."""
TAIL: Final = r"[^\s\"'<>,;&)\]}]*"


def endpoint(url: str) -> str:
    """Return an endpoint as it may be shown.

    Kept are the scheme, host and port, and the parts of the path that are plain words. User,
    password, query and fragment are left out. A part of the path that may be a token, and a host
    that cannot be told from a torn password, are shown as ``…``.

    Args:
        url: A URL, a gRPC target, or a host and port.
    """
    found = TARGET.fullmatch(url)
    if found is None:  # pragma: no cover (every text matches)
        return HIDDEN
    scheme, authority, path, rest = (found[name] or "" for name in TARGET.groupindex)
    host = authority.rpartition("@")[2]
    torn = "@" in path + rest  # a password with a slash or a question mark in it
    if torn or not (HOST.fullmatch(host) or (not host and path)):
        return f"{scheme}{HIDDEN}"
    parts = (p if not p or PLAIN_PART.fullmatch(p) else HIDDEN for p in path.split("/"))
    return f"{scheme}{host}{'/'.join(parts)}"


def secrets_of(url: str, headers: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Return what of an endpoint and its headers must not be shown.

    Args:
        url: The endpoint: its user, password, values of the query and token-like parts of the path.
        headers: Sent with every request: their values, whole and word by word; of HTTP's Basic
            authentication also the user and password inside. Those of ``PLAIN_HEADERS`` may be shown.
    """
    secrets: list[str] = []
    before, at, _ = url.partition("://")[2].rpartition("@")
    if at:
        secrets += (before, *before.split(":", 1))
    _, _, query = url.partition("?")
    secrets += (value for _, value in parse_qsl(query))
    path = url.partition("://")[2].partition("?")[0].partition("/")[2]
    secrets += (part for part in path.split("/") if part and not PLAIN_PART.fullmatch(part))
    for name, value in headers:
        if name.lower() in PLAIN_HEADERS:
            continue
        words = value.split()
        secrets += (value, *(words if len(words) == 1 else words[1:]))
        if len(words) == 2 and words[0].lower() == "basic":
            pair = _basic(words[1])
            secrets += (pair, *pair.split(":", 1))
    decoded = (unquote(secret) for secret in secrets)
    found = {s for s in (*secrets, *decoded) if s.strip() and not SHORT_NUMBER.fullmatch(s.strip())}
    return tuple(sorted(found, key=len, reverse=True))


def _basic(word: str) -> str:
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def server_text(text: str | bytes, secrets: Iterable[str] = (), limit: int = MAX_TEXT) -> str:
    """Return a server's text, or an error's, as it may be shown: one line, without secrets, short.

    Args:
        text: What was said; bytes are read as UTF-8.
        secrets: What must not be shown, by ``secrets_of``. Each is hidden as it is, percent-encoded,
            and where a server cut it short behind its first half.
        limit: Characters of the result, at most.
    """
    if isinstance(text, bytes):
        text = text[:MAX_SEARCHED].decode(errors="replace")
    if page := HTML.match(text[:MAX_SEARCHED]):
        text = page["title"] or "a page of HTML"
    kept = [cleaned for cleaned in map(_cleaned, secrets) if cleaned]
    shown = _cleaned(text[:MAX_SEARCHED])
    if kept:
        pattern = re.compile("|".join(_patterns(kept)), re.IGNORECASE)
        if len(text) > MAX_SEARCHED:  # the cut may go through a secret: leave out the last of them
            sure = max(len(shown) - 3 * max(map(len, kept)), 0)
            ends = (m.end() for m in pattern.finditer(shown) if m.start() < sure)
            shown = shown[: max(sure, *ends, 0)]
        shown = pattern.sub(HIDDEN, shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _cleaned(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _patterns(secrets: Iterable[str]) -> list[str]:
    whole = {form for s in secrets for form in (s, quote(s, safe=""), quote(s), quote_plus(s))}
    begun = {form[: max(8, len(form) // 2)] for form in whole if len(form) > 8}
    ordered = sorted(whole, key=len, reverse=True)
    return [
        *(
            re.escape(form) if len(form) >= WORD_LENGTH else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in ordered
        ),
        *(re.escape(form) + TAIL for form in sorted(begun, key=len, reverse=True)),
    ]
