"""``redact`` and ``should_export``: the user's own functions on the way out."""

from __future__ import annotations

import sys

import mlflow
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

import mlflow_otel
from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor, Settings
from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.receiver.server import Receiver

SECRET = "4929-1111"
LINKED = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1))


def without_secret(_name, _key, value):
    return value.replace(SECRET, "[card]") if isinstance(value, str) else value


@pytest.fixture
def start(monkeypatch):
    """Instrument MLflow with these arguments in front of an exporter that is not ours."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    memory = InMemorySpanExporter()

    def begin(**arguments):
        mlflow_otel.uninstrument()
        ACCOUNTING.begin_anew()
        return mlflow_otel.instrument(exporter=memory, **arguments), memory.get_finished_spans

    yield begin
    mlflow_otel.uninstrument()


def pay():
    """A trace with the secret in each place that a span has for text."""
    with mlflow.start_span("pay", span_type="TOOL") as root:
        mlflow.update_current_trace(tags={"card": SECRET}, session_id=f"session {SECRET}")
        root.set_inputs({"card": SECRET})
        with mlflow.start_span("ask", span_type="CHAT_MODEL") as chat:
            chat.set_inputs({"messages": [{"role": "user", "content": f"Charge {SECRET}"}]})
            chat.set_attribute("note", SECRET)
            chat._span.add_event("seen", {"card": SECRET})
        root._span.set_status(Status(StatusCode.ERROR, f"{SECRET} was declined"))


def test_redact_sees_every_value_that_leaves_with_the_mapped_name_and_key(start):
    calls = []
    _, finished = start(redact=lambda *call: calls.append(call) or call[2])
    pay()
    ask, root = finished()
    for span in (ask, root):
        _ = span.attributes, span.events, span.status
    seen = {(name, key): value for name, key, value in calls}
    assert seen["execute_tool pay", "gen_ai.tool.call.arguments"] == f'{{"card":"{SECRET}"}}'
    assert seen["execute_tool pay", "mlflow.traceTag.card"] == SECRET
    assert SECRET in seen["chat", "gen_ai.input.messages"]
    assert seen["seen", "card"] == SECRET
    assert seen["pay", "otel.status_description"] == f"{SECRET} was declined"
    assert seen["pay", "session.id"] == f"session {SECRET}"
    assert sum(key == "session.id" for _, key, _ in calls) == 1  # what a trace's spans share, once


def test_what_redact_returns_leaves_instead_and_none_is_left_out(start):
    _, finished = start(redact=lambda *call: None if call[1] == "note" else without_secret(*call))
    pay()
    ask, root = finished()
    assert "note" not in ask.attributes
    assert ask.events[0].attributes == {"card": "[card]"}
    assert root.status.description == "[card] was declined"
    assert {span.attributes["session.id"] for span in (ask, root)} == {"session [card]"}
    for span in (ask, root):
        assert SECRET not in span.to_json()


@pytest.mark.parametrize(("left", "name"), [("[card]", "chat [card]"), (None, "chat")])
def test_a_name_made_of_an_attribute_has_what_redact_left_of_it(start, left, name):
    _, finished = start(redact=lambda _name, _key, value: left if value == SECRET else value)
    with mlflow.start_span("ask", span_type="CHAT_MODEL") as chat:
        chat.set_inputs({"model": SECRET, "messages": [{"role": "user", "content": "Hello."}]})
    (span,) = finished()
    assert span.name == name
    assert SECRET not in span.to_json()


def test_a_value_that_redact_fails_on_stays_and_the_warning_does_not_quote_it(start, caplog):
    def fail(_name, key, value):
        if SECRET in str(value):
            raise ValueError(value)
        return value

    handle, finished = start(redact=fail)
    pay()
    ask, root = finished()
    for span in (ask, root):
        assert SECRET not in span.to_json()
    assert ask.attributes["gen_ai.operation.name"] == "chat"
    assert handle.stats()["redact_failed"] >= 6
    said = [r.getMessage() for r in caplog.records if r.name == "mlflow_otel"]
    assert len(said) == 1
    assert "MLFLOW_OTEL_REDACT" in said[0]
    assert SECRET not in said[0]


def exported(environ=None, provider_of=None, run=pay, **arguments):
    """Return the bytes of a request that our own exporter sends."""
    with Receiver() as receiver:
        settings = Settings.from_environment(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                **(environ or {}),
            },
            asynchronous=False,
        )
        accounting = Accounting()
        exporter = MlflowSpanExporter(settings, accounting=accounting, **arguments)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor((provider_of or SimpleSpanProcessor)(exporter))
        run(provider.get_tracer("app"))
        provider.shutdown()
        return receiver.store.spans(), accounting.snapshot()


def linked(tracer):
    with tracer.start_as_current_span("outer", links=[Link(LINKED, {"card": SECRET})]) as span:
        span.set_attribute("card", SECRET)
        span.add_event("seen", {"card": SECRET})
        tracer.start_span("inner").end()


@pytest.mark.parametrize(
    "provider_of",
    [
        SimpleSpanProcessor,
        lambda exporter: MlflowSpanProcessor(exporter, Settings(asynchronous=False)),
    ],
    ids=["alone", "behind the processor"],
)
def test_the_exporters_own_redact_holds_for_any_span_that_it_is_given(provider_of):
    spans, _ = exported(provider_of=provider_of, run=linked, redact=without_secret)
    assert SECRET not in str(spans)
    assert str(spans).count("[card]") == 2  # the receiver shows no attributes of links


@pytest.mark.parametrize(
    "provider_of",
    [
        SimpleSpanProcessor,
        lambda exporter: MlflowSpanProcessor(exporter, Settings(asynchronous=False)),
    ],
    ids=["alone", "behind the processor"],
)
def test_the_exporters_own_filter_counts_what_it_holds_back(provider_of):
    spans, counted = exported(
        provider_of=provider_of, run=linked, should_export=lambda span: span.name != "outer"
    )
    assert [span["name"] for span in spans] == ["inner"]
    assert counted == {"exported": 1, "filtered": 1}


def test_a_function_that_a_variable_names_is_used(tmp_path, monkeypatch):
    (tmp_path / "shop_hooks.py").write_text(
        "def redact(name, key, value):\n    return 'hidden' if key == 'card' else value\n"
        "class Only:\n    @staticmethod\n    def outer(span):\n        return span.name == 'outer'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spans, counted = exported(
        {
            "MLFLOW_OTEL_REDACT": "shop_hooks:redact",
            "MLFLOW_OTEL_SHOULD_EXPORT": "shop_hooks:Only.outer",
        },
        run=linked,
    )
    assert [span["name"] for span in spans] == ["outer"]
    assert SECRET not in str(spans)
    assert counted["filtered"] == 1
    sys.modules.pop("shop_hooks")


def test_a_redact_that_cannot_be_found_lets_no_value_out(caplog):
    spans, counted = exported({"MLFLOW_OTEL_REDACT": "no_such_module:redact"}, run=linked)
    assert sorted(span["name"] for span in spans) == ["inner", "outer"]
    assert SECRET not in str(spans)
    assert counted["redact_failed"] == 3
    assert "no_such_module:redact" in caplog.text


def test_a_filter_that_fails_or_cannot_be_found_keeps_nothing_back(caplog):
    spans, counted = exported({"MLFLOW_OTEL_SHOULD_EXPORT": "shop"}, run=linked)
    assert len(spans) == 2
    assert counted["should_export_failed"] == 2
    assert "MLFLOW_OTEL_SHOULD_EXPORT" in caplog.text


def test_should_export_stands_in_front_of_any_exporter_and_children_stay_whole(start):
    seen = []

    def keep(span):
        seen.append(span)
        return span.attributes.get("mlflow.spanType") != "TOOL"

    handle, finished = start(should_export=keep)
    pay()
    (ask,) = finished()
    assert ask.name == "chat"
    assert ask.parent.span_id  # its parent is missing, what the span says of it is not
    assert handle.stats()["filtered"] == 1
    assert [(s.name, s.scope.name, s.is_mlflow) for s in seen] == [
        ("chat", "mlflow_otel", True),
        ("execute_tool pay", "mlflow_otel", True),
    ]


def test_what_an_exporter_writes_into_a_spans_attributes_is_an_error(start):
    _, finished = start()
    pay()
    with pytest.raises(TypeError):
        finished()[0].attributes["mine"] = 1


def test_texts_of_an_evaluation_are_redacted_in_event_span_and_metrics(monkeypatch):
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint)
        mlflow_otel.uninstrument()
        handle = mlflow_otel.instrument(redact=without_secret)
        mlflow.log_feedback(
            trace_id=f"tr-{7:032x}",
            name="judge",
            value=f"no {SECRET}",
            rationale=f"It shows {SECRET}.",
        )
        assert handle.force_flush(10_000)
        mlflow_otel.uninstrument()
        sent = [receiver.store.spans(), receiver.store.logs(), receiver.store.metrics()]
    assert all(sent)
    for signal in sent:
        assert SECRET not in str(signal)
        assert "no [card]" in str(signal)


def test_spans_below_a_provider_of_the_apps_are_filtered_and_redacted_too(run_app):
    code = """
    import json
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument(
        redact=lambda name, key, value: "hidden" if key == "card" else value,
        should_export=lambda span: span.name != "noise",
    )
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("request", attributes={"card": "4929"}):
        with mlflow.start_span("answer"):
            tracer.start_span("noise").end()
    provider.force_flush()
    print(json.dumps([{s.name: s.attributes.get("card") for s in memory.get_finished_spans()}, handle.stats().get("filtered")]))
    """
    found = run_app(
        code,
        {
            "MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false",
            "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "none",
            "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "1",
        },
    )
    assert found == [{"answer": None, "request": "hidden"}, 1]
