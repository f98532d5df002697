"""The processor against MLflow itself: when spans leave, and what they carry."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
import time
import uuid
import weakref
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel import MlflowSampler, MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.tracing.attachments import Attachments, Medium

SESSION = {"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"}
STAMPS = {"session.id": "s-1", "user.id": "u-1", "mlflow.trace.client_request_id": "r-1"}


def stamp():
    mlflow.update_current_trace(client_request_id="r-1", metadata=SESSION)


def carry(spans, expected=STAMPS):
    return [{k: s.attributes.get(k) for k in expected} for s in spans] == [expected] * len(spans)


class Pair:
    """The processor on a provider of its own, with a clock that the test moves."""

    def __init__(self, **settings):
        self.memory = InMemorySpanExporter()
        self.now = 0.0
        self.accounting = Accounting()
        self.processor = MlflowSpanProcessor(
            SimpleSpanProcessor(self.memory),
            Settings(**settings),
            accounting=self.accounting,
            clock=lambda: self.now,
        )
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)
        self.tracer = self.provider.get_tracer("app")

    def names(self):
        return [span.name for span in self.memory.get_finished_spans()]


@pytest.fixture
def pair():
    made = []

    def make(**settings):
        made.append(Pair(**settings))
        return made[-1]

    yield make
    for one in made:
        one.provider.shutdown()


def test_what_is_set_in_the_last_line_is_on_every_span(instrumented):
    _, spans = instrumented
    with mlflow.start_span("root"):
        with mlflow.start_span("first"):
            pass
        assert spans() == ()
        stamp()
    assert [s.name for s in spans()] == ["first", "root"]
    assert carry(spans())


def test_a_span_is_never_changed(instrumented):
    with mlflow.start_span("root", span_type="TOOL") as live:
        live.set_inputs({"x": 1})
        stamp()
    before = dict(live._span.attributes)
    _, spans = instrumented
    assert spans()[0].name == "execute_tool root"
    assert live._span.name == "root"
    assert dict(live._span.attributes) == before
    assert before["mlflow.spanType"] == '"TOOL"'


def test_a_span_that_ends_after_its_root_follows_at_once_with_the_traces_context(instrumented):
    _, spans = instrumented
    with mlflow.start_span("root") as root:
        late = mlflow.start_span_no_context("late", parent_span=root)
        stamp()
    assert [s.name for s in spans()] == ["root"]
    late.end()
    assert [s.name for s in spans()] == ["root", "late"]
    assert carry(spans())


def test_a_span_that_starts_after_its_root_ended_follows_too(instrumented):
    _, spans = instrumented
    with mlflow.start_span("root") as root:
        stamp()
    child = mlflow.start_span_no_context("afterwards", parent_span=root)
    child.end()
    assert [s.name for s in spans()] == ["root", "afterwards"]
    assert carry(spans())


def test_threads_share_the_trace(instrumented):
    _, spans = instrumented

    def work(index):
        with mlflow.start_span(f"work-{index}"):
            time.sleep(0.001)

    with mlflow.start_span("root"), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: contextvars.copy_context().run(work, i), range(3)))
        futures = [pool.submit(contextvars.copy_context().run, work, i) for i in range(8)]
        for future in futures:
            future.result()
        stamp()
    assert carry([s for s in spans() if s.name == "root"])
    in_trace = [s for s in spans() if s.context.trace_id == spans()[-1].context.trace_id]
    assert len(in_trace) == 9
    assert carry(in_trace)


def test_asyncio_tasks_share_the_trace_and_do_not_mix(instrumented):
    _, spans = instrumented

    async def request(index):
        with mlflow.start_span(f"request-{index}"):

            async def step():
                with mlflow.start_span("step"):
                    await asyncio.sleep(0.001)

            await asyncio.gather(step(), step())
            mlflow.update_current_trace(metadata={"mlflow.trace.session": f"s-{index}"})

    async def main():
        await asyncio.gather(*(request(i) for i in range(10)))

    asyncio.run(main())
    assert len(spans()) == 30
    sessions = {}
    for span in spans():
        sessions.setdefault(span.context.trace_id, set()).add(span.attributes["session.id"])
    assert sorted(map(sorted, sessions.values())) == sorted([[f"s-{i}"] for i in range(10)])


def test_a_traced_generator_ends_with_its_last_item(instrumented):
    _, spans = instrumented

    @mlflow.trace
    def stream():
        stamp()
        yield from ("a", "b")

    items = stream()
    next(items)
    assert spans() == ()
    assert list(items) == ["b"]
    (span,) = spans()
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    assert list(span.events) == []
    assert carry([span])


def test_mlflows_own_distributed_tracing_keeps_the_trace_and_its_stamps(instrumented):
    from mlflow.tracing.distributed import set_tracing_context_from_http_request_headers

    _, spans = instrumented
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    with set_tracing_context_from_http_request_headers(headers), mlflow.start_span("served"):
        with mlflow.start_span("inner"):
            pass
        stamp()
    assert [s.name for s in spans()] == ["inner", "served"]
    assert {f"{s.context.trace_id:032x}" for s in spans()} == {"ab" * 16}
    assert carry(spans())


def test_a_remote_parent_makes_a_local_root(pair):
    here = pair()
    parent = otel.SpanContext(1, 2, is_remote=True, trace_flags=otel.TraceFlags(1))
    context = otel.set_span_in_context(otel.NonRecordingSpan(parent))
    root = here.tracer.start_span("served", context=context)
    child = here.tracer.start_span("child", context=otel.set_span_in_context(root))
    child.end()
    assert here.names() == []
    root.end()
    assert here.names() == ["child", "served"]


def test_a_root_that_never_ends_is_passed_on_when_it_is_old(pair):
    here = pair(trace_timeout=60.0)
    root = here.tracer.start_span("root")
    here.tracer.start_span("child", context=otel.set_span_in_context(root)).end()
    here.now = 59
    here.processor.release_aged()
    assert here.names() == []
    here.now = 61
    here.processor.release_aged()
    assert here.names() == ["child"]
    assert here.accounting.snapshot()["released_early.age"] == 1
    here.tracer.start_span("later", context=otel.set_span_in_context(root)).end()
    root.end()
    assert here.names() == ["child", "later", "root"]


def test_the_age_is_watched_by_a_thread(pair):
    here = pair(trace_timeout=0.2)
    clock = threading.Event()
    root = here.tracer.start_span("root")
    here.tracer.start_span("child", context=otel.set_span_in_context(root)).end()
    here.now = 10
    for _ in range(100):
        if here.names():
            break
        clock.wait(0.05)
    assert here.names() == ["child"]


def test_spans_past_the_bound_of_a_trace_are_released_early_and_none_is_lost(pair):
    here = pair(max_spans_per_trace=100)
    with here.tracer.start_as_current_span("root"):
        for _ in range(10_000):
            here.tracer.start_span("child").end()
    assert len(here.names()) == 10_001
    assert here.accounting.snapshot()["released_early.spans"] == 99
    assert not any(here.processor.stats().values())


def test_traces_and_bytes_past_their_bounds_are_released_early(pair):
    here = pair(max_traces=2, max_held_bytes=1000)
    roots = [here.tracer.start_span(f"root-{i}") for i in range(3)]
    big = here.tracer.start_span("big", context=otel.set_span_in_context(roots[2]))
    big.set_attribute("x", "y" * 2000)
    big.end()
    assert here.names() == ["big"]
    for root in roots:
        root.end()
    assert sorted(here.names()) == ["big", "root-0", "root-1", "root-2"]
    counted = here.accounting.snapshot()
    assert counted["released_early.traces"] >= 1
    assert counted["released_early.bytes"] == 1


def test_shutdown_passes_on_what_is_held(pair):
    here = pair()
    root = here.tracer.start_span("root")
    here.tracer.start_span("child", context=otel.set_span_in_context(root)).end()
    here.provider.shutdown()
    assert here.names() == ["child"]


def test_mlflows_registry_does_not_grow(instrumented):
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    for _ in range(20):
        with mlflow.start_span("root"), mlflow.start_span("child"):
            pass
    manager = InMemoryTraceManager.get_instance()
    assert len(manager._traces) == 0
    assert len(manager._otel_id_to_mlflow_trace_id) == 0


def test_tokens_and_cost_are_summed_on_the_root(instrumented):
    _, spans = instrumented
    with mlflow.start_span("root"):
        for _ in range(2):
            with mlflow.start_span("llm", span_type="CHAT_MODEL") as llm:
                llm.set_attribute(
                    "mlflow.chat.tokenUsage",
                    {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
                )
                llm.set_attribute(
                    "mlflow.llm.cost", {"input_cost": 0.5, "output_cost": 1.0, "total_cost": 1.5}
                )
    root = spans()[-1].attributes
    assert root["mlflow.trace.token_usage.total_tokens"] == 14
    assert root["mlflow.trace.cost.total_cost"] == 3.0


def test_an_exporter_that_raises_is_not_the_apps_problem(monkeypatch):
    import mlflow_otel

    class Broken(InMemorySpanExporter):
        def export(self, spans):
            raise RuntimeError("broken")

    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    mlflow_otel.instrument(exporter=Broken())
    try:
        with mlflow.start_span("root") as span:
            span.set_inputs({"x": 1})
    finally:
        mlflow_otel.uninstrument()


def test_a_mapping_that_raises_is_counted_and_the_span_leaves(instrumented, monkeypatch):
    from mlflow_otel.mapping import messages

    def broken(*_args):
        raise RuntimeError("broken")

    monkeypatch.setattr(messages, "convert", broken)
    handle, spans = instrumented
    before = handle.stats().get("mapping_failed", 0)
    with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": "hi"}]})
    (left,) = spans()
    assert "hi" in left.attributes["mlflow.spanInputs"]
    assert handle.stats()["mapping_failed"] == before + 1


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        2**80,
        "\ud800",
        b"\xff",
        None,
        "x" * 5_000_000,
        {"a": None},
        [None],
        {1: 2},
        {"k": {3}},
    ],
    ids=lambda v: type(v).__name__,
)
def test_values_of_every_kind_leave(instrumented, value):
    from mlflow_otel.export.spans import encode_spans

    _, spans = instrumented
    with mlflow.start_span("odd") as span:
        span.set_inputs({"value": value})
        span.set_attribute("value", value)
    assert encode_spans(spans())


def test_a_recursive_object_leaves(instrumented):
    _, spans = instrumented
    loop: list = []
    loop.append(loop)
    with mlflow.start_span("loop") as span:
        # MLflow's own set_inputs raises RecursionError in the app here (3.17, attachments).
        span.set_attribute("mlflow.spanInputs", loop)
    assert len(spans()) == 1


def test_a_long_trace_is_not_pushed_out_by_finished_ones(pair):
    here = pair(max_traces=10)
    root = here.tracer.start_span("long")
    here.tracer.start_span("child", context=otel.set_span_in_context(root)).end()
    for _ in range(100):
        here.tracer.start_span("short").end()
    assert "child" not in here.names()
    root.end()
    assert here.names()[-2:] == ["child", "long"]
    assert "released_early.traces" not in here.accounting.snapshot()


def test_a_later_request_of_the_same_upstream_trace_starts_anew(instrumented):
    from mlflow.tracing.distributed import set_tracing_context_from_http_request_headers

    _, spans = instrumented
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    for request in ("r-1", None, "r-3"):
        with set_tracing_context_from_http_request_headers(headers), mlflow.start_span("served"):
            if request:
                mlflow.update_current_trace(client_request_id=request)
    found = [s.attributes.get("mlflow.trace.client_request_id") for s in spans()]
    assert found == ["r-1", None, "r-3"]


def test_mlflows_registry_does_not_keep_late_spans_traces(instrumented):
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    with mlflow.start_span("root") as root:
        late = mlflow.start_span_no_context("late", parent_span=root)
    late.end()
    mlflow.start_span_no_context("afterwards", parent_span=root).end()
    manager = InMemoryTraceManager.get_instance()
    assert len(manager._traces) == len(manager._otel_id_to_mlflow_trace_id) == 0


PRICES = {"input_per_million_tokens": 0.15, "output_per_million_tokens": 0.6}
CATALOG = {"schema_version": "1.0", "models": {"gpt-4o-mini": {"mode": "chat", "pricing": PRICES}}}


@pytest.mark.parametrize("asked", [True, False])
def test_cost_is_worked_out_by_mlflows_prices_only_when_asked(memory, monkeypatch, tmp_path, asked):
    import mlflow_otel

    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    if asked:
        monkeypatch.setenv("MLFLOW_OTEL_COST", "true")
        (tmp_path / "openai.json").write_text(json.dumps(CATALOG))
        monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", tmp_path.as_uri())
    mlflow_otel.instrument(exporter=memory)
    try:
        with mlflow.start_span("root"), mlflow.start_span("llm", span_type="CHAT_MODEL") as llm:
            llm.set_attribute("mlflow.llm.model", "gpt-4o-mini")
            llm.set_attribute("mlflow.llm.provider", "openai")
            llm.set_attribute(
                "mlflow.chat.tokenUsage",
                {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000},
            )
        llm, root = memory.get_finished_spans()
    finally:
        mlflow_otel.uninstrument()
    expected = pytest.approx(0.00075) if asked else None
    assert llm.attributes.get("mlflow.llm.cost.total_cost") == expected
    assert root.attributes.get("mlflow.trace.cost.total_cost") == expected


@pytest.mark.parametrize("extract", [None, "true"])
def test_an_image_stays_in_its_span_unless_mlflow_is_told_to_move_it(
    instrumented, monkeypatch, extract
):
    if extract:
        monkeypatch.setenv("MLFLOW_TRACE_EXTRACT_ATTACHMENTS", extract)
    _, spans = instrumented
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}
    with mlflow.start_span("llm", span_type="CHAT_MODEL") as span:
        span.set_inputs({"model": "m", "messages": [{"role": "user", "content": [image]}]})
    ((message,),) = [json.loads(s.attributes["gen_ai.input.messages"]) for s in spans()]
    (part,) = message["parts"]
    if extract:
        assert part["uri"].startswith("mlflow-attachment://")
    else:
        assert part == {
            "type": "blob",
            "modality": "image",
            "content": "iVBORw0K",
            "mime_type": "image/png",
        }


def test_a_file_that_the_app_attached_leaves_in_its_span(instrumented):
    from mlflow.tracing.attachments import Attachment

    _, spans = instrumented
    with mlflow.start_span("read") as span:
        span.set_inputs({"file": Attachment(content_type="text/csv", content_bytes=b"a,b")})
    (left,) = spans()
    assert left.attributes["mlflow.spanInputs"] == '{"file":"data:text/csv;base64,YSxi"}'


def test_media_that_are_not_kept_any_more_leave_as_references_and_are_counted(caplog):
    accounting = Accounting()
    kept = Attachments(max_bytes=10, accounting=accounting)
    references = [f"mlflow-attachment://{uuid.uuid4()}?content_type=a%2Fb&size=8" for _ in "12"]
    for reference in references:
        kept.put(reference, Medium("a/b", b"12345678"))
    given = {"mlflow.spanInputs": json.dumps(references), "mlflow.own": references[1]}
    left = kept.put_back(given)
    assert json.loads(left["mlflow.spanInputs"]) == [references[0], "data:a/b;base64,MTIzNDU2Nzg="]
    assert left["mlflow.own"] == references[1]  # an app's own word
    assert accounting.snapshot() == {"attachments.not_kept": 1}
    assert json.loads(given["mlflow.spanInputs"]) == references


def test_a_medium_that_stands_in_two_places_counts_once_and_one_past_all_bounds_is_counted():
    accounting = Accounting()
    kept = Attachments(max_bytes=10, accounting=accounting)
    large, small = (f"mlflow-attachment://{uuid.uuid4()}?size=1" for _ in "12")
    kept.put(large, Medium("a/b", b"12345678901"))
    assert kept.put_back({"mlflow.spanInputs": large}) == {"mlflow.spanInputs": large}
    assert accounting.snapshot() == {"attachments.not_kept": 1}
    for _ in range(3):
        kept.put(small, Medium("a/b", b"12345678"))
    left = kept.put_back({"mlflow.spanOutputs": small})
    assert left == {"mlflow.spanOutputs": "data:a/b;base64,MTIzNDU2Nzg="}


@pytest.mark.parametrize("why", ["sampled out", "no room", "exported"])
def test_a_trace_that_was_passed_on_keeps_no_span_in_memory(why):
    accounting = Accounting()
    exported = InMemorySpanExporter()
    behind = BatchSpanProcessor(exported, max_queue_size=1, max_export_batch_size=1)
    if why == "exported":
        behind = SimpleSpanProcessor(Reads())
    processor = MlflowSpanProcessor(behind, Settings(), accounting=accounting)
    if why == "no room":
        processor.shutdown()
    sampler = MlflowSampler(0.0, record=True) if why == "sampled out" else None
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    with (
        tracer.start_as_current_span("root") as root,
        tracer.start_as_current_span("child") as child,
    ):
        pass
    left = [weakref.ref(span._attributes) for span in (root, child)]
    del root, child
    gc.collect()
    assert [ref() for ref in left] == [None, None]
    assert (
        accounting.snapshot().get({"sampled out": "sampled_out", "no room": "dropped"}.get(why), 2)
        == 2
    )
    provider.shutdown()


class Reads(SpanExporter):
    """Reads what it is given, as an exporter does, and keeps nothing."""

    def export(self, spans):
        assert [span.name for span in spans]
        return SpanExportResult.SUCCESS
