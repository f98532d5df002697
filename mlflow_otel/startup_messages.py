"""What is logged when ``instrument()`` takes effect: where traces go, and which server gets no more."""

from __future__ import annotations

from mlflow_otel import wording
from mlflow_otel.accounting import logger
from mlflow_otel.settings import Settings
from mlflow_otel.tracing import mlflow_adapter


def log_destination(settings: Settings, exporter: object | None) -> None:
    """Log one line at INFO: the destination, the protocol, the conventions, MLflow's own export.

    Args:
        settings: Those in force.
        exporter: The app's own exporter, or None.
    """
    otlp = settings.traces
    to = f"over OTLP to {wording.endpoint(otlp.endpoint)} ({otlp.protocol})"
    if exporter is not None:
        to = f"to {type(exporter).__name__}"
    elif not settings.isolated:
        to = f"through the global tracer provider: by the exporters that it has, else {to}"
    logger.info(
        "MLflow's traces are now exported %s. Conventions: %s. MLflow's own export %s.",
        to,
        ", ".join(sorted(settings.conventions)),
        "goes on as well" if settings.dual_export else "is off",
    )


class IdleServerWarning:
    """Warns once that a tracking server is configured and gets no traces.

    Args:
        settings: Those in force.
    """

    def __init__(self, settings: Settings) -> None:
        self._said = settings.dual_export

    def check(self) -> None:
        """Warn if there is such a server. Called whenever MLflow builds its provider anew."""
        uri = None if self._said else mlflow_adapter.tracking_server()
        if uri is None:
            return
        self._said = True
        logger.warning(
            "MLflow's tracking server %s gets no traces from now on, because mlflow-otel sends "
            "them over OTLP only. Set MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT=true to send them to "
            "both.",
            wording.endpoint(uri),
        )
