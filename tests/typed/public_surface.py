"""How the public names are used, as a type checker sees it: strict mypy reads this file, nothing runs it."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from typing_extensions import assert_type

import mlflow_otel
from mlflow_otel import (
    Handle,
    MlflowSampler,
    MlflowSpanExporter,
    MlflowSpanProcessor,
    ScorerError,
    ScorerSamplingConfig,
    Settings,
    TraceNotFoundError,
)


def the_one_line() -> None:
    """Instrument, flush, read the counters, shut down."""
    handle = mlflow_otel.instrument()
    assert_type(handle, Handle)
    assert_type(handle.force_flush(), bool)
    assert_type(handle.force_flush(500), bool)
    assert_type(handle.stats(), dict[str, int])
    handle.shutdown()
    mlflow_otel.uninstrument()


def the_pair(provider: TracerProvider) -> None:
    """Put the pair into a provider of one's own, or the processor before another exporter."""
    exporter: SpanExporter = MlflowSpanExporter()
    processor: SpanProcessor = MlflowSpanProcessor(exporter)
    provider.add_span_processor(processor)
    provider.add_span_processor(MlflowSpanProcessor(ConsoleSpanExporter(), Settings()))


def settings() -> None:
    """Read the environment, beat it with arguments."""
    found = Settings.from_environment()
    assert_type(found, Settings)
    assert_type(found.conventions, frozenset[str])
    assert_type(found.traces.endpoint, str)
    mlflow_otel.instrument(settings=Settings.from_environment({"MLFLOW_OTEL_CONVENTIONS": "genai"}))


def sampler() -> Sampler:
    """Keep a tenth of the traces."""
    return MlflowSampler(0.1)


def feedback() -> Any:
    """Log feedback by the client's request ID."""
    try:
        return mlflow_otel.log_feedback(client_request_id="req-1", name="helpful", value=True)
    except TraceNotFoundError as error:
        return str(error)


def short(outputs: object) -> bool:
    """Score as a plain function does."""
    return len(str(outputs)) < 200


def scorers() -> list[str]:
    """Start, change and stop a scorer."""
    running = mlflow_otel.instrument().scorers
    try:
        running.start(short, ScorerSamplingConfig(sample_rate=0.5), timeout=5, max_per_minute=60)
    except ScorerError as error:
        return [str(error)]
    running.update("short", ScorerSamplingConfig(filter_string="status = 'OK'"))
    running.stop("short")
    return [one.name for one in running.list()]
