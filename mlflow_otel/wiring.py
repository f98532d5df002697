"""Which of the SDK's parts the settings ask for: sampler, resource, the signals of assessments."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from mlflow_otel import declared
from mlflow_otel.settings import SIGNALS, Settings
from mlflow_otel.tracing.sampler import MlflowSampler, from_environment, from_file
from mlflow_otel.version import __version__


def sampler(settings: Settings) -> Sampler | None:
    """Return the sampler of MLflow's own tracer provider; None: the SDK reads it.

    MLflow's ratio, where it is set; else what the file at ``OTEL_CONFIG_FILE`` describes; else what
    ``OTEL_TRACES_SAMPLER`` names.
    """
    if declared.declared().sampler is not None:
        return from_file()
    if settings.sampling_ratio != 1.0 or os.environ.get("MLFLOW_TRACE_SAMPLING_RATIO", "").strip():
        return MlflowSampler(settings.sampling_ratio, record=settings.record_sampled_out)
    described: Sampler | None = declared.other_sampler()
    if described is not None:
        return described
    named = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    if named == "mlflow":
        return from_environment(os.environ.get("OTEL_TRACES_SAMPLER_ARG"))
    return None if named else MlflowSampler(1.0, record=settings.record_sampled_out)


def signals_of_assessments(settings: Settings, exporter: SpanExporter | None) -> frozenset[str]:
    """Return the signals of assessments; beside an exporter of the app's own, those with an endpoint."""
    signals = settings.assessment_signals
    if exporter is None:
        return signals
    return frozenset(
        signal
        for signal in SIGNALS
        if signal in signals and (signal == "traces" or settings.otlp(signal).configured)
    )


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
    described: Resource | None = declared.resource()
    if described is not None:  # a name in the file beats the variables, as all that stands there
        name = described.attributes.get(SERVICE_NAME)
        if name and settings.service_name == os.environ.get("OTEL_SERVICE_NAME"):
            distro[SERVICE_NAME] = name
        return Resource.create(dict(described.attributes)).merge(Resource(distro))
    return Resource.create(distro)
