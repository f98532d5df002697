"""Asking an HTTP API for JSON, within a time and a size."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from mlflow_otel import wording
from mlflow_otel.backends.model import BackendError
from mlflow_otel.waiting import call_with_timeout

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024


class HttpApi:
    """The HTTP API of a trace backend.

    Args:
        name: What the backend is called in messages.
        url: Where it is. User and password in it are sent as Basic authentication.
    """

    def __init__(self, name: str, url: str) -> None:
        self._url = urlsplit(url)
        self._secrets = wording.secrets_of(url)
        self.where = f"{name} at {wording.endpoint(url)}"

    def get(
        self, path: str, query: Mapping[str, Any], until: float, *, may_be_missing: bool = False
    ) -> Any:
        """Return what the API answers to a GET.

        Args:
            path: Added to the path of the URL.
            query: Added to the path.
            until: When the whole answer must be there, by ``time.monotonic()``.
            may_be_missing: Whether 404 is an answer: None is returned for it.

        Raises:
            BackendError: There is no answer in time, or not 200, or no JSON, or too much of it.
        """
        base = self._url.path.rstrip("/")
        target = urlunsplit((self._url.scheme, self._url.netloc, base + path, "", ""))
        shown = wording.endpoint(target)
        left = max(until - time.monotonic(), 0.0)
        # In a thread of its own: the time-out of requests is one for each read, so an answer that
        # comes byte by byte would last for ever.
        answer = call_with_timeout(left, lambda: self._ask(target, query, until)) if left else None
        if answer is None:
            raise BackendError(
                f"{shown} did not answer in time: raise MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT, or name the "
                "service, as in jaeger+http://host:16686?service=chat"
            )
        if isinstance(answer, str):
            raise BackendError(f"{shown} did not answer: {answer}")
        status, body = answer
        if status == 404 and may_be_missing:
            return None
        if status != 200:
            said = wording.server_text(body, self._secrets)
            raise BackendError(f"{shown} answered {status}: {said or 'no reason given'}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BackendError(f"{shown} did not answer with JSON") from error

    def _ask(self, target: str, query: Mapping[str, Any], until: float) -> tuple[int, bytes] | str:
        """Return status and body, or why there is none."""
        import requests  # noqa: PLC0415 (an app that never asks a backend need not load it)

        left = max(until - time.monotonic(), 0.001)
        try:
            with requests.get(target, params=dict(query), timeout=left, stream=True) as answer:
                body = bytearray()
                for chunk in answer.iter_content(CHUNK_BYTES):
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return f"it is more than {MAX_ANSWER_BYTES} bytes"
                    if time.monotonic() > until:
                        return "it came too slowly"
                return answer.status_code, bytes(body)
        except (requests.RequestException, ValueError) as error:
            return type(error).__name__
