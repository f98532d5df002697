"""An MLflow tracking server, asked by its REST API for traces."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from urllib.request import ProxyHandler, Request, build_opener

from mlflow_otel import wording
from mlflow_otel.bridge.access import LOOPBACK
from mlflow_otel.bridge.upstream import BUSY, LATER, credentials

SECONDS: Final = 60.0
"""How long the server may take to answer."""
TRIES: Final = 6
TRIES_OF_FAILED: Final = 2
"""Of a request that may fail for what is asked, and not for the time: so often it is answered with 500."""
FAILED: Final = 500
LONGEST_PAUSE: Final = 30.0
PAGE: Final = 100
AT_ONCE: Final = 10
"""Traces of one request with their spans, as MLflow's own client asks for."""


class ServerError(Exception):
    """The server could not be asked. The message names it, without credentials."""


class Listed(NamedTuple):
    """A page of traces: their ``TraceInfo``, and the token of the next page or None."""

    infos: Sequence[Mapping[str, Any]]
    token: str | None


def headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what MLflow's own client would send: credentials and workspace, by its variables."""
    found = credentials(environ)
    if environ.get("MLFLOW_WORKSPACE"):
        found["X-MLFLOW-WORKSPACE"] = environ["MLFLOW_WORKSPACE"]
    return found


class TrackingServer:
    """Asks a tracking server. A request that may succeed later is tried again.

    Args:
        url: The server; a user and password in it are its credentials.
        sent: Headers of each request.
    """

    def __init__(self, url: str, sent: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._headers = dict(headers(os.environ) if sent is None else sent)
        if parts.username:
            pair = f"{parts.username}:{parts.password or ''}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        bare = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, bare, parts.path.rstrip("/"), "", ""))
        self.where = f"MLflow's server at {wording.endpoint(self._url)}"
        direct = parts.hostname in LOOPBACK
        self._opener = build_opener(ProxyHandler({})) if direct else build_opener()

    def experiments(self) -> dict[str, str]:
        """Return the names of the experiments by their IDs.

        Raises:
            ServerError: The server could not be asked.
        """
        found: dict[str, str] = {}
        token: str | None = ""
        while token is not None:
            asked = {"max_results": 1000, "view_type": "ACTIVE_ONLY", "page_token": token}
            said = self._ask("POST", "/api/2.0/mlflow/experiments/search", asked)
            found.update(
                {str(e["experiment_id"]): str(e["name"]) for e in said.get("experiments", ())}
            )
            token = said.get("next_page_token") or None
        return found

    def search(self, experiments: Sequence[str], filter_string: str, token: str | None) -> Listed:
        """Return a page of traces, the oldest first.

        Raises:
            ServerError: The server could not be asked.
        """
        said = self._ask(
            "POST",
            "/api/3.0/mlflow/traces/search",
            {
                "locations": [
                    {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one}}
                    for one in experiments
                ],
                "filter": filter_string,
                "max_results": PAGE,
                "order_by": ["timestamp_ms ASC"],
                **({} if token is None else {"page_token": token}),
            },
        )
        return Listed(said.get("traces", ()), said.get("next_page_token") or None)

    def spans(self, trace_ids: Sequence[str]) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield the spans of those traces that the server's own store has.

        Of ten traces the server answers none if it fails at one: then each is asked for by itself. Those
        that it fails at are left out.

        Raises:
            ServerError: The server could not be asked.
        """
        for start in range(0, len(trace_ids), AT_ONCE):
            asked = trace_ids[start : start + AT_ONCE]
            try:
                yield from self._batch(asked)
            except FailedError:
                for one in asked:
                    with contextlib.suppress(FailedError):
                        yield from self._batch([one])

    def _batch(self, trace_ids: Sequence[str]) -> Sequence[tuple[str, Sequence[Any]]]:
        named = urlencode([("trace_ids", one) for one in trace_ids])
        path = f"/api/3.0/mlflow/traces/batchGet?{named}"
        said = self._ask("GET", path, fails=TRIES_OF_FAILED)
        return [
            (one["trace_info"]["trace_id"], one.get("spans", ())) for one in said.get("traces", ())
        ]

    def file(self, experiment_id: str, trace_id: str) -> Any:
        """Return the ``traces.json`` of a trace that has its spans in a file, or None if it cannot be had.

        Raises:
            ServerError: The server could not be asked.
        """
        place = f"{quote(experiment_id)}/traces/{quote(trace_id)}/artifacts/traces.json"
        try:
            path = f"/api/2.0/mlflow-artifacts/artifacts/{place}"
            return self._ask("GET", path, fails=TRIES_OF_FAILED)
        except (NotThereError, FailedError):
            return None

    def _ask(
        self, method: str, path: str, said: Mapping[str, Any] | None = None, fails: int = TRIES
    ) -> Any:
        body = None if said is None else json.dumps(said).encode()
        sent = {**self._headers, "Content-Type": "application/json"}
        asked = Request(f"{self._url}{path}", body, sent, method=method)  # noqa: S310 (a server's URL)
        for left in reversed(range(TRIES)):
            pause = min(2.0 ** (TRIES - left), LONGEST_PAUSE)
            try:
                with self._opener.open(asked, timeout=SECONDS) as answer:
                    return json.loads(answer.read())
            except HTTPError as error:
                raw = error.read(2000)
                text = raw.decode("utf-8", "replace")
                busy = BUSY in raw
                failed = error.code == FAILED and not busy and TRIES - left >= fails
                if failed or not left or not (error.code in LATER or busy):
                    kind = KINDS.get(error.code, ServerError)
                    raise kind(f"{self.where} answered {error.code}: {text[:300]}") from None
                pause = min(_seconds(error.headers.get("Retry-After")) or pause, LONGEST_PAUSE)
            except OSError as error:
                if not left:
                    raise ServerError(f"{self.where} does not answer: {error}") from None
            except ValueError:
                raise ServerError(f"{self.where} answered what is no JSON") from None
            time.sleep(pause)
        raise AssertionError  # the last try raises


class NotThereError(ServerError):
    """The server does not have it."""


class FailedError(ServerError):
    """The server fails at it, whatever the reason."""


KINDS: Final = {404: NotThereError, FAILED: FailedError}


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
