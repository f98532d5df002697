"""Traces in Jaeger, by the HTTP JSON API of its query service.

``/api/services`` and ``/api/traces``, as Jaeger's UI calls them (https://www.jaegertracing.io/docs/ "APIs";
Jaeger 1.76 and 2.13). A search needs a service: ``?service=`` in the URL names it, else each that Jaeger
knows is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback.lookup import (
    LIMIT,
    Found,
    LookupFailedError,
    get_json,
    is_entry,
    stamp_of,
    without_credentials,
)
from mlflow_otel.settings import Settings

LOOK_BACK_SECONDS = 7 * 24 * 3600


class JaegerLookup:
    """Asks Jaeger.

    Args:
        url: Of its query service; ``?service=`` says which to search.
        settings: Which tags are promoted.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings
        self._services = parse_qs(urlsplit(url).query).get("service")
        self.where = f"Jaeger at {without_credentials(url)}"

    def find(self, client_request_id: str, timeout: float) -> list[Found]:
        """Return the traces of a request; all services together have ``timeout`` seconds."""
        until = time.monotonic() + timeout
        tags = json.dumps({keys.TRACE_CLIENT_REQUEST_ID: client_request_id})
        now = int(time.time() * 1e6)
        found: dict[int, Found] = {}
        for service in self._services or self._known_services(until):
            query = {
                "service": service,
                "tags": tags,
                "limit": LIMIT,
                "start": now - int(LOOK_BACK_SECONDS * 1e6),
                "end": now + int(60e6),
            }
            for trace in self._get("/api/traces", query, until):
                one = self._found(trace)
                if one is not None:
                    found[one.trace_id] = one
        return list(found.values())

    def _known_services(self, until: float) -> list[str]:
        return [str(service) for service in self._get("/api/services", {}, until)]

    def _get(self, path: str, query: Mapping[str, Any], until: float) -> list[Any]:
        left = until - time.monotonic()
        if left <= 0:
            raise LookupFailedError(
                f"{self.where} did not answer in time: raise MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT or name the "
                "service, as in jaeger+http://host:16686?service=chat"
            )
        answer = get_json(self._url, path, query, left)
        data = answer.get("data") if isinstance(answer, dict) else None
        return data if isinstance(data, list) else []

    def _found(self, trace: Any) -> Found | None:
        spans = [(span, _attributes(span)) for span in trace.get("spans") or ()]
        spans = [(span, tags) for span, tags in spans if genai.EVALUATION_NAME not in tags]
        spans.sort(key=lambda pair: pair[0].get("startTime", 0))
        entries = [pair for pair in spans if is_entry(pair[1])]
        if not spans:
            return None
        span, tags = (entries or spans)[0]
        return Found(
            int(trace["traceID"], 16),
            int(span["spanID"], 16) if entries else None,
            int(span.get("startTime", 0)) * 1000,
            stamp_of(tags, self._settings),
        )


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag.get("value") for tag in span.get("tags") or ()}


def open(url: str, settings: Settings) -> JaegerLookup:  # noqa: A001 (the word of every look-up)
    """Return the look-up."""
    return JaegerLookup(url, settings)
