"""Whom a spooled request is for: an endpoint with its headers, without a secret in it.

Several processes may share a spool, each with its own backend and credentials. A request goes to the
endpoint, and with the headers, that it was meant for, or stays where it is.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Final, NamedTuple

from mlflow_otel import wording
from mlflow_otel.settings import OtlpSettings

ROUNDS: Final = 50_000
"""Of PBKDF2: guessing a header's value from a fingerprint costs this much a guess, some 20 ms."""
FINGERPRINT_BYTES: Final = 8


class Addressee(NamedTuple):
    """An endpoint and its headers.

    Args:
        fingerprint: 16 hex digits: the same for the same endpoint, protocol and headers in one folder.
            Made with the folder's own salt, so it is another one elsewhere.
        shown: The endpoint and the names of the headers, as they may be shown.
    """

    fingerprint: str
    shown: str


def addressee_of(settings: OtlpSettings, salt: bytes) -> Addressee:
    """Return whom requests with these settings are for.

    Args:
        settings: Endpoint, protocol and headers.
        salt: The spool's own.
    """
    named = json.dumps([settings.endpoint, settings.protocol, sorted(settings.headers)])
    names = ", ".join(sorted(key for key, _ in settings.headers))
    shown = f"{wording.endpoint(settings.endpoint)} ({settings.protocol})"
    return Addressee(_fingerprint(named, salt), f"{shown} with {names}" if names else shown)


@functools.lru_cache(maxsize=32)
def _fingerprint(named: str, salt: bytes) -> str:
    return hashlib.pbkdf2_hmac("sha256", named.encode(), salt, ROUNDS, FINGERPRINT_BYTES).hex()
