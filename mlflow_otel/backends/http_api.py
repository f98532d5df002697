"""Asking an HTTP API for JSON, within a time and a size."""

from __future__ import annotations

import base64
import functools
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from mlflow_otel import wording
from mlflow_otel.backends.model import BackendError, TooMuchError, TooSlowError
from mlflow_otel.mapping.values import loads
from mlflow_otel.untraced import untraced
from mlflow_otel.waiting import call_with_timeout

NOBODY: Final = "see that it runs, and that host and port are right"
ADVICE: Final[Mapping[int | str, str]] = {
    "ConnectionRefusedError": NOBODY,
    "gaierror": "correct the name of the host",
    401: "set MLFLOW_OTEL_TRACE_LOOKUP_HEADERS to what it wants for authentication",
    403: "set MLFLOW_OTEL_TRACE_LOOKUP_HEADERS to what it wants for authentication",
}
"""The one thing to do, by the status or the error. Else the address is not the API's."""
OVERLOADED: Final = 429
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 256 * 1024
"""Read at once: after each, the thread waits until the others let it go on."""
SLOWLY: Final = "it came too slowly"


class HttpApi:
    """The HTTP API of a trace backend.

    Args:
        name: What the backend is called in messages.
        port: Where its API listens as a rule.
        url: Where it is. User and password in it are sent as Basic authentication. Redirects are not
            followed.
        headers: Sent with every request.

    Raises:
        BackendError: The URL is not HTTP's.
    """

    def __init__(
        self, name: str, port: int, url: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._url = urlsplit(url)
        if self._url.scheme not in {"http", "https"}:
            raise BackendError(f"{name} is asked over HTTP", f"write http://host:{port}")
        self._elsewhere = (
            f"name {name}'s query API, as a rule at port {port} (4317 and 4318 only take traces)"
        )
        credentials = {**dict(headers), **_basic(self._url.netloc)}
        self._headers = {"Accept": "application/json", **credentials}
        self._secrets = wording.secrets_of(url, credentials.items())
        self.where = f"{name} at {wording.endpoint(url)}"

    def get(
        self,
        path: str,
        query: Mapping[str, Any],
        until: float,
        *,
        may_be_missing: bool = False,
        read: Callable[[bytes], Any] = loads,
    ) -> Any:
        """Return what the API answers to a GET.

        Args:
            path: Added to the path of the URL.
            query: Added to the path.
            until: When the whole answer must be there, by ``time.monotonic()``.
            may_be_missing: Whether 404 is an answer: None is returned for it.
            read: Makes of the answer's body what is returned; raises ``ValueError`` when it is no JSON.

        Raises:
            BackendError: There is no answer in time, or not 200, or no JSON, or too much of it.
        """
        base = self._url.path.rstrip("/")
        host = self._url.netloc.rpartition("@")[2]
        target = urlunsplit((self._url.scheme, host, base + path, urlencode(query), ""))
        shown = wording.endpoint(target)
        left = max(until - time.monotonic(), 0.0)
        # In a thread of its own: the client's time-out is one for each read, so an answer that
        # comes byte by byte would last for ever.
        answer = call_with_timeout(left, lambda: self._ask(target, until)) if left else None
        if answer is None:
            raise TooSlowError(
                f"{shown} did not answer in time",
                "raise MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT, or name the service, as in "
                "jaeger+http://host:16686?service=chat",
            )
        if answer == _too_much():
            raise TooMuchError(f"{shown} did not answer: {answer}")
        if answer == SLOWLY:
            raise TooSlowError(f"{shown} did not answer: {answer}", self._todo(answer))
        if isinstance(answer, str):
            raise BackendError(f"{shown} did not answer: {answer}", self._todo(answer))
        status, body = answer
        if status == 404 and may_be_missing:
            return None
        if status != 200:
            said = wording.server_text(body, self._secrets)
            what = f"{shown} answered {status}: {said or 'no reason given'}"
            raise BackendError(what, self._todo(status))
        try:
            return read(body)
        except (ValueError, RecursionError) as error:
            raise BackendError(f"{shown} did not answer with JSON", self._elsewhere) from error

    def _todo(self, answer: int | str) -> str:
        if isinstance(answer, int) and (answer >= 500 or answer == OVERLOADED):
            return ""  # the API it is, in trouble
        return ADVICE.get(answer, self._elsewhere)

    def _ask(self, target: str, until: float) -> tuple[int, bytes] | str:
        """Return status and body, or why there is none."""
        # The standard library's client: that of requests writes URLs to its log at DEBUG.
        request = urllib.request.Request(target, headers=self._headers)  # noqa: S310 (see __init__)
        left = max(until - time.monotonic(), 0.001)
        try:
            with untraced(), _opener().open(request, timeout=left) as answer:
                return _body(answer, answer.status, until)
        except urllib.error.HTTPError as error:
            with error:
                return _body(error, error.code, until)
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)  # of a URLError: what it is made of
            return type(reason if isinstance(reason, Exception) else error).__name__


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: the credentials would go along to whatever place is named."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Return no request."""


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)


def _body(answer: Any, status: int, until: float) -> tuple[int, bytes] | str:
    chunks, size = [], 0
    try:
        while chunk := answer.read1(CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                return _too_much()
            if time.monotonic() > until:
                return SLOWLY
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
    return status, b"".join(chunks)


def _too_much() -> str:
    return f"it is more than {MAX_ANSWER_BYTES} bytes"


def _basic(netloc: str) -> dict[str, str]:
    """Return the header for the user and password of a URL."""
    user, at, _ = netloc.rpartition("@")
    pair = unquote(user)
    whole = pair if ":" in pair else f"{pair}:"
    return {"Authorization": f"Basic {base64.b64encode(whole.encode()).decode()}"} if at else {}
