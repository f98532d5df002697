"""Traces in Tempo, by TraceQL over its HTTP API.

``GET /api/search`` with ``q``, ``start``, ``end`` and ``limit``
(https://grafana.com/docs/tempo/latest/api_docs/#search).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback.lookup import LIMIT, Found, get_json, stamp_of, without_credentials
from mlflow_otel.mapping.trace import STAMPED
from mlflow_otel.settings import Settings

LOOK_BACK_SECONDS = 7 * 24 * 3600
VALUES = {"stringValue": str, "intValue": int, "doubleValue": float, "boolValue": bool}


class TempoLookup:
    """Asks Tempo.

    Args:
        url: Of its HTTP API.
        settings: Which tags are promoted.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._settings = settings
        self.where = f"Tempo at {without_credentials(url)}"

    def find(self, client_request_id: str, timeout: float) -> list[Found]:
        """Return the traces of a request."""
        now = int(time.time())
        query = {
            "q": self._query(client_request_id),
            "limit": LIMIT,
            "start": now - LOOK_BACK_SECONDS,
            "end": now + 60,
        }
        answer = get_json(self._url, "/api/search", query, timeout)
        traces = answer.get("traces") if isinstance(answer, dict) else None
        return [self._found(trace) for trace in traces or ()]

    def _query(self, client_request_id: str) -> str:
        # Entry spans alone carry the trace's state: one span a trace, its local root.
        wanted = (*STAMPED, *(attribute for _, attribute in self._settings.promote_tags))
        selected = ", ".join(f'span."{key}"' for key in wanted)
        return (
            f'{{ span."{keys.TRACE_CLIENT_REQUEST_ID}" = {json.dumps(client_request_id)} '
            f'&& span."{keys.TRACE_STATE}" != nil }} | select({selected})'
        )

    def _found(self, trace: Mapping[str, Any]) -> Found:
        sets = trace.get("spanSets") or [trace.get("spanSet") or {}]
        spans = [span for one in sets for span in one.get("spans") or ()]
        spans.sort(key=lambda span: int(span.get("startTimeUnixNano", 0)))
        first = spans[0] if spans else {}
        return Found(
            int(trace["traceID"], 16),
            int(first["spanID"], 16) if first else None,
            int(trace.get("startTimeUnixNano", 0)),
            stamp_of(_attributes(first), self._settings),
        )


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    return {
        pair["key"]: parse(pair["value"][kind])
        for pair in span.get("attributes") or ()
        for kind, parse in VALUES.items()
        if kind in pair.get("value", {})
    }


def open(url: str, settings: Settings) -> TempoLookup:  # noqa: A001 (the word of every look-up)
    """Return the look-up."""
    return TempoLookup(url, settings)
