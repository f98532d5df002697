"""The provider in MLflow's place gives each name its one tracer."""

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel.tracing.own_provider import MAX_TRACERS, OwnTracerProvider


def test_a_name_has_one_tracer():
    provider = OwnTracerProvider()
    assert provider.get_tracer("mlflow") is provider.get_tracer("mlflow")
    assert provider.get_tracer("mlflow") is not provider.get_tracer("app")


def test_a_described_scope_has_a_tracer_of_its_own():
    memory, provider = InMemorySpanExporter(), OwnTracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("app").start_span("plain").end()
    provider.get_tracer("app", "1.2").start_span("positional").end()
    provider.get_tracer(instrumenting_module_name="app", schema_url="https://schema").start_span(
        "named"
    ).end()
    scopes = {s.name: s.instrumentation_scope for s in memory.get_finished_spans()}
    assert [scope.name for scope in scopes.values()] == ["app"] * 3
    assert scopes["positional"].version == "1.2"
    assert scopes["named"].schema_url == "https://schema"
    assert not scopes["plain"].version


def test_many_names_are_not_all_kept():
    provider = OwnTracerProvider()
    for number in range(MAX_TRACERS * 2):
        assert provider.get_tracer(f"app-{number}") is not None
    assert len(provider._kept) == MAX_TRACERS


def test_a_processor_that_is_added_later_hears_of_all_spans():
    memory, provider = InMemorySpanExporter(), OwnTracerProvider()
    tracer = provider.get_tracer("mlflow")
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer.start_span("later").end()
    assert [s.name for s in memory.get_finished_spans()] == ["later"]
