"""Which of the SDK's parts the settings ask for: sampler, resource, the signals of assessments."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from mlflow_otel.settings import SIGNALS, Settings
from mlflow_otel.tracing.sampler import MlflowSampler, from_environment
from mlflow_otel.version import __version__


def sampler(settings: Settings) -> Sampler | None:
    """Return MLflow's ratio if set, else what ``OTEL_TRACES_SAMPLER`` names (None: the SDK reads it)."""
    named = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if settings.sampling_ratio != 1.0 or os.environ.get("MLFLOW_TRACE_SAMPLING_RATIO", "").strip():
        return MlflowSampler(settings.sampling_ratio, record=settings.record_sampled_out)
    if named == "mlflow":
        return from_environment(os.environ.get("OTEL_TRACES_SAMPLER_ARG"))
    return None if named else MlflowSampler(1.0, record=settings.record_sampled_out)


def assessed_as(settings: Settings, exporter: SpanExporter | None) -> frozenset[str]:
    """Return the signals of assessments; beside an exporter of the app's own, those with an endpoint."""
    signals = settings.assessment_signals
    if exporter is None:
        return signals
    return frozenset(
        signal for signal in SIGNALS
        if signal in signals and (signal == "traces" or settings.otlp(signal).configured)
    )  # fmt: skip


def resource(settings: Settings) -> Resource:
    """Return what the SDK finds out about the service, with the name that the settings give it."""
    distro: dict[str, Any] = {
        "telemetry.distro.name": "mlflow-otel",
        "telemetry.distro.version": __version__,
    }
    named = OTELResourceDetector().detect().attributes.get(SERVICE_NAME)
    if settings.service_name:
        distro[SERVICE_NAME] = settings.service_name
    elif not named and settings.experiment_name:
        distro[SERVICE_NAME] = settings.experiment_name
    return Resource.create(distro)
