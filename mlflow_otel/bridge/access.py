"""Who may send: credentials, the ``Host`` that was asked for and the ``Origin`` that asks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
WITH_PREFIX: Final = re.compile(r"(\S.*?)\s+experiments=(\S+)")
"""A line of the file of tokens that says what experiments are called."""


class Credential(NamedTuple):
    """Who one of those is that may send.

    Args:
        digest: SHA-256 of the ``Authorization`` value.
        prefix: What the names of this client's experiments begin with; empty: they are as the client says.
    """

    digest: bytes
    prefix: str = ""


@dataclass(frozen=True)
class Access:
    """Who may send.

    Args:
        credentials: Those that are accepted; empty: nobody is asked.
        hosts: Names that requests may be for, besides loopback and private addresses; ``*``: any.
    """

    credentials: tuple[Credential, ...] = ()
    hosts: frozenset[str] = frozenset()

    def may_send(self, authorization: str) -> bool:
        """Tell whether a request may come in; the time it takes says nothing of the credentials."""
        return not self.credentials or bool(self._known(authorization))

    @property
    def has_prefixes(self) -> bool:
        """Whether any client's experiments have a prefix."""
        return any(known.prefix for known in self.credentials)

    def prefix_of(self, authorization: str) -> str:
        """Return what the names of a client's experiments begin with, or an empty text."""
        found = self._known(authorization) if self.has_prefixes else []
        return found[0].prefix if found else ""

    def _known(self, authorization: str) -> list[Credential]:
        given = _digest(_normal(authorization))
        # Each is compared, each time.
        return [known for known in self.credentials if hmac.compare_digest(given, known.digest)]

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


def credentials(lines: Iterable[str]) -> tuple[Credential, ...]:
    """Return what is accepted, from lines that hold a token, or a user's name, a colon and a password.

    After it, ``experiments=team-a/`` says what the names of that client's experiments begin with. Empty lines
    and those that begin with ``#`` say nothing.
    """
    found = []
    for line in (raw.strip() for raw in lines):
        if not line or line.startswith("#"):
            continue
        with_prefix = WITH_PREFIX.fullmatch(line)
        said, prefix = (line, "") if with_prefix is None else with_prefix.groups()
        if ":" in said:
            pair = base64.b64encode(said.encode()).decode()
            found.append(Credential(_digest(f"basic {pair}"), prefix))
        found.append(Credential(_digest(f"bearer {said}"), prefix))
    return tuple(found)


def read_credentials(file: str) -> tuple[Credential, ...]:
    """Return what a file of tokens accepts.

    Raises:
        OSError: It cannot be read.
        ValueError: It has none: a server that was to ask everybody would ask nobody.
    """
    found = credentials(Path(file).read_text(encoding="utf-8").splitlines())
    if not found:
        raise ValueError(f"{file} holds no token")
    return found
