"""A real MLflow tracking server behind the bridge, asked over HTTP."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPException, InvalidURL
from typing import IO, Final, Literal, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from mlflow_otel import wording
from mlflow_otel.bridge.access import LOOPBACK
from mlflow_otel.untraced import untraced

LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses with which the same request may succeed later."""
LOCKED: Final = frozenset({401, 403, 407})
"""Statuses that say the bridge's credentials are wrong: somebody can mend that."""
BUSY: Final = b"QueuePool limit"
"""What MLflow's server answers with 400 when more requests come than it has connections to its database."""
TWICE: Final = b"constraint violation"
"""What it answers with 500 to an assessment whose ID it has already."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024

Verdict = Literal["delivered", "later", "locked", "failed", "refused"]


class NoAnswerError(Exception):
    """The tracking server gave no answer. The message names it, without credentials."""


class Asked(NamedTuple):
    """A request to the tracking server.

    Args:
        method: HTTP's.
        target: Path and query.
        body: Not compressed.
        headers: What the client said of it; no credentials.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def encoded(self) -> bytes:
        """Return it as bytes, for a file: a line of JSON, then the body."""
        said = {"method": self.method, "target": self.target, "headers": dict(self.headers)}
        return json.dumps(said).encode() + b"\n" + self.body

    @classmethod
    def decoded(cls, encoded: bytes) -> Asked:
        """Return what ``encoded`` wrote.

        Raises:
            ValueError: It is something else.
        """
        head, _, body = encoded.partition(b"\n")
        said = json.loads(head)
        try:
            return cls(str(said["method"]), str(said["target"]), body, dict(said["headers"]))
        except (KeyError, TypeError) as error:
            raise ValueError("the file holds no request") from error


class Answer(NamedTuple):
    """What the tracking server answered.

    Args:
        status: HTTP's.
        kind: Its content type.
        body: Its body.
    """

    status: int
    kind: str
    body: bytes


def verdict(asked: Asked, answer: Answer) -> Verdict:
    """Tell what an answer means for a request that is owed.

    ``later``: try again. ``locked``: try again, once the credentials are right. ``failed``: try again, but
    not for ever: the request itself may be at fault. ``refused``: never.
    """
    if 200 <= answer.status < 300:
        return "delivered"
    if asked.method == "DELETE" and answer.status == 404:
        return "delivered"  # it is gone
    if answer.status == 500:
        return "delivered" if TWICE in answer.body else "failed"
    if answer.status in LATER or BUSY in answer.body:
        return "later"
    return "locked" if answer.status in LOCKED else "refused"


def credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the ``Authorization`` that MLflow's own client would send, by its variables."""
    name, password = (environ.get(f"MLFLOW_TRACKING_{w}") for w in ("USERNAME", "PASSWORD"))
    if name and password:
        return {"Authorization": _basic(f"{name}:{password}")}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


class _NoRedirects(HTTPRedirectHandler):
    """Follows none: urllib would send the credentials along, and a POST as a GET."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


class Upstream:
    """Asks a tracking server, with the bridge's own credentials. Safe to call from any thread.

    Args:
        url: The server; a user and password in it are its credentials.
        environ: Where the credentials are otherwise.

    Raises:
        ValueError: The URL is not HTTP's.
    """

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("--mlflow-upstream names no server: write http://host:port")
        self._headers = credentials(environ)
        if parts.username:
            self._headers = {"Authorization": _basic(f"{parts.username}:{parts.password or ''}")}
        bare = parts.netloc.rpartition("@")[2]
        self.url = urlunsplit((parts.scheme, bare, parts.path.rstrip("/"), "", ""))
        self.secrets = wording.secrets_of(url, self._headers.items())
        """What no message may show."""
        self.where = f"the tracking server at {wording.endpoint(self.url)}"
        """The server, as it may be shown."""
        direct = [ProxyHandler({})] if parts.hostname in LOOPBACK else []
        self._opener = build_opener(_NoRedirects(), *direct)

    def ask(self, asked: Asked, timeout: float) -> Answer:
        """Send a request and return the answer, whatever its status.

        Args:
            asked: The request.
            timeout: Seconds that each part of the answer may take.

        Raises:
            NoAnswerError: There is none.
        """
        body = asked.body if asked.body or asked.method in {"POST", "PUT", "PATCH"} else None
        request = Request(  # noqa: S310 (a server's URL, checked above)
            f"{self.url}{asked.target}",
            body,
            {**asked.headers, **self._headers},
            method=asked.method,
        )
        try:
            with untraced(), self._opener.open(request, timeout=timeout) as found:
                return _read(found.status, found.headers, found)
        except HTTPError as error:
            with error:
                return _read(error.code, error.headers, error)
        except (ValueError, InvalidURL) as error:  # no request of HTTP's: no server would take it
            return Answer(400, "text/plain", f"it cannot be sent: {type(error).__name__}".encode())
        except (OSError, HTTPException) as error:
            said = wording.server_text(str(error), self.secrets)
            raise NoAnswerError(f"{self.where} does not answer: {said}") from None


def _read(status: int, headers: Message, source: IO[bytes]) -> Answer:
    body = source.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise OSError(f"the answer is over {MAX_ANSWER_BYTES} bytes")
    return Answer(status, headers.get("Content-Type") or "", body)
