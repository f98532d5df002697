"""Traces on MLflow's tracking server, by its own search."""

from __future__ import annotations

from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback import mlflow_adapter
from mlflow_otel.feedback.judged import known, parse_trace_id
from mlflow_otel.feedback.lookup import LIMIT, Found, LookupFailedError, without_credentials
from mlflow_otel.settings import Settings
from mlflow_otel.tracing.mlflow_adapter import facts
from mlflow_otel.tracing.recent import Known
from mlflow_otel.waiting import call_with_timeout


class MlflowLookup:
    """Asks MLflow's server.

    Args:
        url: The server; ``MLFLOW_TRACKING_URI`` when empty.
        settings: The experiment that is searched, and which tags are promoted.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url or settings.tracking_uri
        self._settings = settings
        shown = (
            without_credentials(self._url) if self._url else "MLFLOW_TRACKING_URI, which is not set"
        )
        self.where = f"MLflow's server at {shown}"

    def find(self, client_request_id: str, timeout: float) -> list[Found]:
        """Return the traces of a request in the configured experiment."""
        if self._url is None:
            raise LookupFailedError(
                "MLFLOW_OTEL_TRACE_LOOKUP=mlflow needs MLFLOW_TRACKING_URI to name the server"
            )
        url, settings = self._url, self._settings
        failed: list[Exception] = []

        def search() -> list[object]:
            try:
                return mlflow_adapter.search(
                    url, client_request_id, settings.experiment_id, settings.experiment_name, LIMIT
                )
            except Exception as error:
                failed.append(error)
                return []

        infos = call_with_timeout(timeout, search)  # MLflow's client retries for minutes by itself
        if infos is None:
            raise LookupFailedError(
                f"{self.where} did not answer in {timeout:g} s (MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT)"
            )
        if failed:
            raise LookupFailedError(f"{self.where} did not answer: {failed[0]}") from failed[0]
        return [self._found(info) for info in infos]

    def _found(self, info: object) -> Found:
        held = facts(info)
        trace_id = parse_trace_id(held.trace_id)
        judged = known(Known(trace_id, held, None), None, mapping_options(self._settings))
        started = getattr(info, "request_time", 0) or 0
        return Found(trace_id, None, started * 1_000_000, judged.stamp)


def open(url: str, settings: Settings) -> MlflowLookup:  # noqa: A001 (the word of every look-up)
    """Return the look-up."""
    return MlflowLookup(url, settings)
