"""MLflow Tracing over OpenTelemetry: every trace whole, in any OTLP backend.

``instrument()`` is the one line that an app needs. ``MlflowSpanProcessor`` and ``MlflowSpanExporter`` are
the pair for a ``TracerProvider`` of your own. ``MlflowSampler`` keeps whole traces by MLflow's ratio.
``log_feedback`` and ``log_expectation`` find the trace by the client's request ID.
"""

import typing as _typing

from mlflow_otel.api import TraceNotFoundError, log_expectation, log_feedback
from mlflow_otel.export.exporter import MlflowSpanExporter
from mlflow_otel.flushing import flush_after
from mlflow_otel.instrumentation import Handle, instrument, uninstrument
from mlflow_otel.scoring.model import ScorerError
from mlflow_otel.settings import Settings
from mlflow_otel.tracing.processor import MlflowSpanProcessor
from mlflow_otel.tracing.sampler import MlflowSampler
from mlflow_otel.version import __version__

if _typing.TYPE_CHECKING:
    from mlflow_otel.scoring.model import ScorerSamplingConfig

__all__ = [
    "Handle",
    "MlflowSampler",
    "MlflowSpanExporter",
    "MlflowSpanProcessor",
    "ScorerError",
    "ScorerSamplingConfig",
    "Settings",
    "TraceNotFoundError",
    "__version__",
    "flush_after",
    "instrument",
    "log_expectation",
    "log_feedback",
    "uninstrument",
]


def __getattr__(name: str) -> object:
    """Return ``ScorerSamplingConfig``: MLflow's own is looked for only when it is asked for."""
    if name == "ScorerSamplingConfig":
        from mlflow_otel.scoring.mlflow_adapter import sampling_config_class  # noqa: PLC0415

        return sampling_config_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
