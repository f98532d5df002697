"""Who may send: credentials, the ``Host`` that was asked for and the ``Origin`` that asks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Access:
    """Who may send.

    Args:
        credentials: SHA-256 of each ``Authorization`` value that is accepted; empty: nobody is asked.
        hosts: Names that requests may be for, besides loopback and private addresses; ``*``: any.
    """

    credentials: tuple[bytes, ...] = ()
    hosts: frozenset[str] = frozenset()

    def may_send(self, authorization: str) -> bool:
        """Tell whether a request may come in; the time it takes says nothing of the credentials."""
        if not self.credentials:
            return True
        given = _digest(_normal(authorization))
        return any([hmac.compare_digest(given, known) for known in self.credentials])  # noqa: C419 (all, each time)

    def is_for_us(self, host: str) -> bool:
        """Tell whether ``Host`` names this server: a page of another site must not reach it by a name."""
        name = _host_name(f"//{host}")
        if "*" in self.hosts or name in LOOPBACK or name in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_private or address.is_loopback

    def may_ask(self, method: str, origin: str) -> bool:
        """Tell whether a page of this ``Origin`` may change something here."""
        return (
            method in SAFE_METHODS or not origin or _host_name(origin) in {*LOOPBACK, *self.hosts}
        )

    def refused(self, method: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Return the status and the reason for which a request is refused, or None."""
        if not self.is_for_us(headers.get("host", "")):
            return 403, "Invalid Host header: name it with --allow-host"
        if not self.may_ask(method, headers.get("origin", "")):
            return 403, "Cross-origin request blocked"
        if not self.may_send(headers.get("authorization", "")):
            return 401, "Credentials are missing or not known"
        return None


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _normal(authorization: str) -> str:
    """Return an ``Authorization`` value in one spelling."""
    scheme, _, said = authorization.strip().partition(" ")
    return f"{scheme.lower()} {said.strip()}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def credentials(lines: Iterable[str]) -> tuple[bytes, ...]:
    """Return what is accepted, from lines that hold a token, or a user's name, a colon and a password.

    Empty lines and those that begin with ``#`` say nothing.
    """
    found = []
    for line in (raw.strip() for raw in lines):
        if not line or line.startswith("#"):
            continue
        if ":" in line:
            pair = base64.b64encode(line.encode()).decode()
            found.append(_digest(f"basic {pair}"))
        found.append(_digest(f"bearer {line}"))
    return tuple(found)


def read_credentials(file: str) -> tuple[bytes, ...]:
    """Return what a file of tokens accepts.

    Raises:
        OSError: It cannot be read.
        ValueError: It has none: a server that was to ask everybody would ask nobody.
    """
    found = credentials(Path(file).read_text(encoding="utf-8").splitlines())
    if not found:
        raise ValueError(f"{file} holds no token")
    return found
