"""What waits is bounded in bytes, of text that is not ASCII too: the process's memory says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider

from mlflow_otel.tracing.otel_adapter import size_of
from mlflow_otel.tracing.size import ATTRIBUTE_BYTES, EVENT_BYTES, SPAN_BYTES, VALUE_BYTES

BOUND = 32_000_000
MULTIPLE = 5
"""Of the bound, in memory: four bytes a character at worst, and what Python's allocator keeps."""

FILL = """
import json, os, threading
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from mlflow_otel import MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.export.mapped import BatchContext
from mlflow_otel.measuring.recorder import Recorder
from mlflow_otel.signals.lazy_pipelines import LazyPipelines
from mlflow_otel.tracing.otel_adapter import size_of

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

gate = threading.Event()
class Waits(SpanExporter):
    def export(self, spans):
        gate.wait()
        return SpanExportResult.SUCCESS

settings, accounting = Settings(max_held_bytes=BOUND), Accounting()
where = WHERE
behind = BatchSpanProcessor(Waits(), max_queue_size=100_000, max_export_batch_size=8) if where == "waiting" else SpanProcessor()
processor = MlflowSpanProcessor(behind, settings, accounting=accounting)
signals = LazyPipelines(settings, Resource.get_empty, accounting)
recorder = Recorder(signals)
provider = TracerProvider(shutdown_on_exit=False)
if where != "measured":
    provider.add_span_processor(processor)
tracer = provider.get_tracer("mlflow.app")
signals.jobs.run(gate.wait)
root = tracer.start_span("root")
around = trace.set_span_in_context(root) if where == "held" else None
passed = {"held": "released_early.bytes", "waiting": "dropped.queue_full", "measured": "metrics.not_measured"}[where]
before, most, number = memory(), 0, 0
while not accounting.snapshot().get(passed):
    number += 1
    text = TEXT
    span = tracer.start_span("call", context=around)
    if number % 2:
        span.set_attribute("mlflow.spanInputs", text)
    else:
        span.add_event("said", {"text": text})
    span.end()
    if where == "measured":
        recorder.released([span], BatchContext(size=size_of(span)), None)
    most = max(most, memory() - before)
print(json.dumps({"bytes": most, "number": number, "each": size_of(span)}), flush=True)
os._exit(0)
"""
TEXTS = {
    "one emoji in ASCII": "'x' * 50_000 + '😀' + str(number)",
    "Chinese": "'漢字' * 10_000 + str(number)",
    "Latin": "'é' * 30_000 + str(number)",
}


@pytest.mark.parametrize(
    ("where", "text"),
    [
        *((where, "one emoji in ASCII") for where in ("held", "waiting", "measured")),
        *(("held", text) for text in ("Chinese", "Latin")),
    ],
)
def test_memory_is_bounded_by_a_multiple_of_what_is_counted(run_app, where, text):
    code = (
        FILL.replace("BOUND", str(BOUND)).replace("WHERE", repr(where)).replace("TEXT", TEXTS[text])
    )
    found = run_app(code)
    assert (found["number"] + 1) * (found["each"] + 1000) >= BOUND  # it was filled
    assert (found["number"] - 1) * found["each"] <= BOUND * 1.1
    assert found["bytes"] <= MULTIPLE * BOUND


VALUES = st.one_of(
    st.text(max_size=20), st.integers(-(2**60), 2**60), st.booleans(), st.lists(st.text(max_size=5))
)
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")


def utf8(value):
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return VALUE_BYTES + sum(utf8(one) + VALUE_BYTES for one in value)
    return VALUE_BYTES


@given(
    attributes=st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=5),
    events=st.lists(
        st.tuples(
            st.text(max_size=8),
            st.dictionaries(st.text(min_size=1, max_size=4), st.text(max_size=9), max_size=3),
        ),
        max_size=3,
    ),
    links=st.lists(
        st.dictionaries(st.text(min_size=1, max_size=4), st.text(max_size=9), max_size=3),
        max_size=3,
    ),
    said=st.text(min_size=1, max_size=9),
)
def test_every_text_of_a_span_counts_with_its_utf8_bytes(attributes, events, links, said):
    other = otel.SpanContext(1, 2, is_remote=True)
    span = tracer.start_span("call", links=[otel.Link(other, one) for one in links])
    span.set_attributes(attributes)
    for event, its in events:
        span.add_event(event, its)
    span.set_status(otel.StatusCode.ERROR, said)
    span.end()
    expected = SPAN_BYTES + utf8(said)
    for one in (attributes, *links, *(its for _, its in events)):
        expected += sum(ATTRIBUTE_BYTES + utf8(value) for value in one.values())
    expected += EVENT_BYTES * (len(events) + len(links))
    assert size_of(span) == expected
