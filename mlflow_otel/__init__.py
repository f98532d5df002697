"""MLflow Tracing over OpenTelemetry: every trace whole, in any OTLP backend.

``instrument()`` is the one line that an app needs. ``MlflowSpanProcessor`` and ``MlflowSpanExporter`` are
the pair for a ``TracerProvider`` of your own. ``MlflowSampler`` keeps whole traces by MLflow's ratio.
``log_feedback`` and ``log_expectation`` find the trace by the client's request ID.
"""

import importlib as _importlib
import typing as _typing

from mlflow_otel.version import __version__

if _typing.TYPE_CHECKING:
    from mlflow_otel.api import TraceNotFoundError, log_expectation, log_feedback
    from mlflow_otel.export.exporter import MlflowSpanExporter
    from mlflow_otel.flushing import flush_after
    from mlflow_otel.instrumentation import Handle, instrument, uninstrument
    from mlflow_otel.scoring.model import ScorerError, ScorerSamplingConfig
    from mlflow_otel.settings import Settings
    from mlflow_otel.tracing.processor import MlflowSpanProcessor
    from mlflow_otel.tracing.sampler import MlflowSampler

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

_MODULES: _typing.Final = {
    "Handle": "instrumentation",
    "MlflowSampler": "tracing.sampler",
    "MlflowSpanExporter": "export.exporter",
    "MlflowSpanProcessor": "tracing.processor",
    "ScorerError": "scoring.model",
    "Settings": "settings",
    "TraceNotFoundError": "api",
    "flush_after": "flushing",
    "instrument": "instrumentation",
    "log_expectation": "api",
    "log_feedback": "api",
    "uninstrument": "instrumentation",
}
"""Where the public names are. They are imported when asked for (PEP 562): commands need few of them."""


def __getattr__(name: str) -> object:
    """Import a public name."""
    if name == "ScorerSamplingConfig":  # MLflow's own, where it is there
        return _importlib.import_module(
            "mlflow_otel.scoring.mlflow_adapter"
        ).sampling_config_class()
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
