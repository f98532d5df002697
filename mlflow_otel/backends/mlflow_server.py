"""Traces on MLflow's tracking server, by its own search."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from mlflow_otel import wording
from mlflow_otel.backends import mlflow_adapter
from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    Condition,
    TraceQuery,
    TraceSummary,
    Window,
    newest,
    trace_of,
)
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import trace as trace_mapping
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.untraced import untraced
from mlflow_otel.waiting import call_with_timeout

_T = TypeVar("_T")

FIELDS: Final[Mapping[str, str]] = {
    keys.TRACE_CLIENT_REQUEST_ID: "trace.client_request_id",
    keys.TRACE_STATE: "trace.status",
    keys.TRACE_NAME: "trace.name",
    genai.SESSION_ID: f"metadata.`{keys.METADATA_SESSION}`",
    genai.USER_ID: f"metadata.`{keys.METADATA_USER}`",
}
"""What an attribute is called in MLflow's filters."""
PREFIXES: Final[Mapping[str, str]] = {
    keys.TRACE_TAG_PREFIX: "tag",
    keys.TRACE_METADATA_PREFIX: "metadata",
}
CREDENTIALS: Final = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
MILLISECOND: Final = 1_000_000
OF_THE_SEARCH: Final = frozenset({keys.TRACE_ENTRY, keys.EXPERIMENT_ID, keys.EXPERIMENT_NAME})
"""What the server's search sees to by itself."""


class MlflowServerBackend:
    """Asks an MLflow server.

    Args:
        url: The server.
        experiment_id: The experiment that is searched when a query names none.
        experiment_name: Its name, where the ID is not known.
        options: Which tags are promoted.
    """

    def __init__(
        self,
        url: str,
        experiment_id: str | None,
        experiment_name: str | None,
        options: MappingOptions,
    ) -> None:
        self._url = url
        self._experiment_id = experiment_id
        self._experiment_name = experiment_name
        self._options = options
        self.where = f"MLflow's server at {wording.endpoint(url)}"

    def find(self, query: TraceQuery, timeout: float) -> list[TraceSummary]:
        """Return the newest traces that match, of those that MLflow's server gives in one answer.

        Raises:
            BackendError: The server did not answer in time or as expected, or has no field for a
                condition.
        """
        clauses = [clause_of(condition, self.where) for condition in query.conditions]
        if None in clauses:
            return []
        clauses.append(f"timestamp_ms >= {query.start // MILLISECOND}")
        clauses.append(f"timestamp_ms <= {query.end // MILLISECOND}")
        text = " AND ".join(filter(None, clauses))

        def search() -> list[TraceSummary]:
            searched = self._experiments(query)
            traces = (
                mlflow_adapter.search(self._url, searched, text, query.limit) if searched else []
            )
            return [self._summary(context, start) for context, start in traces]

        return newest(self._call(search, timeout), query.limit)

    def window(self, query: TraceQuery, timeout: float) -> Window:
        """Return the traces that match, whole: a search, and a call for each trace that it finds.

        Raises:
            BackendError: The server did not answer in time or as expected, or has no field for a
                condition.
        """
        if any(condition.key == keys.TRACE_UPDATE for condition in query.conditions):
            return Window((), complete=True)  # a server changes the trace itself
        until = time.monotonic() + timeout
        # Its search gives traces alone that began in MLflow, of the experiment that was configured.
        asked = query._replace(
            conditions=[c for c in query.conditions if c.key not in OF_THE_SEARCH],
            limit=min(query.limit, mlflow_adapter.MAX_RESULTS),
        )
        found = self.find(asked, timeout)
        held = (self.get(s.trace_id, max(until - time.monotonic(), 0.001)) for s in found)
        return Window([trace for trace in held if trace is not None], len(found) < asked.limit)

    def _experiments(self, query: TraceQuery) -> list[str]:
        """Return the IDs of the experiments to search: MLflow's servers know no services."""
        if not query.services and (self._experiment_id or not self._experiment_name):
            return [self._experiment_id or "0"]
        known = mlflow_adapter.experiments(self._url)
        wanted = query.services or [self._experiment_name or ""]
        return [known[name] for name in wanted if name in known]

    def get(self, trace_id: int, timeout: float) -> BackendTrace | None:
        """Return a trace, or None when the server does not hold it."""

        def ask() -> BackendTrace | None:
            trace = mlflow_adapter.get(self._url, f"tr-{trace_id:032x}")
            if trace is None:
                return None
            context, start, spans = trace
            root = next((span.span_id for span in spans if span.parent_id is None), None)
            summary = self._summary(context, start)._replace(root=root)
            spans = [
                span._replace(attributes={**summary.attributes, **span.attributes})
                if span.span_id == root
                else span
                for span in spans
            ]
            return BackendTrace(summary, trace_of(trace_id, spans).spans)

        return self._call(ask, timeout)

    def entity(self, trace_id: int, timeout: float) -> tuple[Any, TraceContext] | None:
        """Return a trace as MLflow's own ``Trace``, and what is known of it; None when it is not there.

        Raises:
            BackendError: The server did not answer in time or as expected.
        """
        return self._call(lambda: mlflow_adapter.entity(self._url, f"tr-{trace_id:032x}"), timeout)

    def services(self, timeout: float) -> list[str]:
        """Return the names of the server's experiments."""
        return sorted(self._call(lambda: mlflow_adapter.experiments(self._url), timeout))

    def _summary(self, context: TraceContext, start: int) -> TraceSummary:
        attributes = {
            **trace_mapping.stamp(context, self._options),
            **trace_mapping.entry(context, self._options),
        }
        return TraceSummary(int((context.trace_id or "0")[-32:], 16), None, start, attributes)

    def _call(self, ask: Callable[[], _T], timeout: float) -> _T:
        """Call MLflow's client, which by itself retries for minutes, for ``timeout`` seconds."""

        def caught() -> tuple[_T] | Exception:
            try:
                with untraced():
                    return (ask(),)
            except Exception as error:
                return error

        answer = call_with_timeout(timeout, caught)
        if answer is None:
            raise BackendError(
                f"{self.where} did not answer in {timeout:g} s (MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT)"
            )
        if isinstance(answer, Exception):
            configured = [(name, os.environ.get(name, "")) for name in CREDENTIALS]
            said = wording.server_text(str(answer), wording.secrets_of(self._url, configured))
            raise BackendError(f"{self.where} did not answer: {said}") from None
        return answer[0]


def clause_of(condition: Condition, where: str) -> str | None:
    """Return a condition in MLflow's grammar; None when the grammar cannot say its value.

    Raises:
        BackendError: MLflow has no field for the attribute.
    """
    field = FIELDS.get(condition.key)
    for prefix, kind in PREFIXES.items():
        if field is None and condition.key.startswith(prefix):
            field = f"{kind}.`{condition.key.removeprefix(prefix)}`"
    if field is None or "`" in condition.key:
        raise BackendError(f"{where} cannot be searched by {condition.key}")
    if "'" in condition.value and '"' in condition.value:
        return None  # text is in quotes of one kind, and there is no escape
    quote = '"' if "'" in condition.value else "'"
    return f"{field} = {quote}{condition.value}{quote}"
