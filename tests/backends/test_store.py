"""MLflow's tracking store on the real Jaeger, beside MLflow's own SQL store with the same traces."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter

import pytest
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.exceptions import MlflowException

from mlflow_otel.backends.model import BackendError, TraceQuery
from mlflow_otel.mapping.experiment import experiment_id
from mlflow_otel.store.opening import open_traces
from mlflow_otel.store.tracking_store import OtelTraceStore
from tests.backends import servers
from tests.backends.test_asking_jaeger import send, when

pytestmark = pytest.mark.backend
SECOND = 10**9
NOW = time.time_ns()
SHOP = "1"
"""The experiment's ID, which MLflow's SQL store gave it."""

APP = """
import json, mlflow, mlflow_otel, sys, time
handle = mlflow_otel.instrument()
experiment = mlflow.set_experiment("shop")
for number in range(12):
    try:
        with mlflow.start_span(f"chat {number % 3}", span_type="AGENT") as span:
            span.set_inputs({"question": f"Where is number {number}?"})
            mlflow.update_current_trace(
                client_request_id=f"r-{number}",
                session_id=f"s-{number % 4}" if number else None,
                user="ann" if number % 2 else "bob",
                tags={"team": "a" if number % 2 else "b", "n": str(number)},
                metadata={"version": str(number % 5)},
            )
            with mlflow.start_span("call", span_type="CHAT_MODEL") as call:
                call.set_inputs({"model": "m", "messages": [{"role": "user", "content": "Paris?"}]})
                call.set_outputs({"choices": [{"message": {"role": "assistant", "content": "Yes"}}]})
                call.set_attribute("mlflow.chat.tokenUsage",
                    {"input_tokens": number, "output_tokens": 2, "total_tokens": number + 2})
            with mlflow.start_span("look up", span_type="TOOL") as tool:
                tool.set_inputs({"key": "zebra" if number == 7 else "horse"})
                if number == 5:
                    raise ValueError("no such key")
            span.set_outputs({"answer": f"It is at {number}."})
    except ValueError:
        pass
    trace_id = span.trace_id
    mlflow.flush_trace_async_logging()
    if number % 3 == 0:
        mlflow.log_feedback(trace_id=trace_id, name="ok", value=bool(number % 2))
        mlflow.log_feedback(trace_id=trace_id, name="score", value=number / 10)
    if number == 4:
        mlflow.log_expectation(trace_id=trace_id, name="answer", value="Paris")
        first = mlflow.log_feedback(trace_id=trace_id, name="tone", value="good")
        mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value="bad")
    if number == 8:
        mlflow.set_trace_tag(trace_id, "late", "yes")
        mlflow.set_trace_tag(trace_id, "team", "c")
        mlflow.delete_trace_tag(trace_id, "n")
    time.sleep(0.01)
handle.force_flush()
"""

FILTERS = [
    None,
    "status = 'ERROR'",
    "trace.status != 'OK'",
    "status IN ('OK', 'ERROR')",
    "client_request_id = 'r-3'",
    "client_request_id LIKE 'r-1%'",
    "name = 'chat 1'",
    "name RLIKE '^chat [02]$'",
    "tags.team = 'a'",
    "tags.team = 'c'",
    "tags.team != 'a'",
    "tags.late = 'yes'",
    "tags.late IS NULL",
    "tags.n IS NOT NULL AND tags.team = 'b'",
    "tags.n ILIKE '1_'",
    "metadata.version = '2'",
    "metadata.`mlflow.trace.session` = 's-1'",
    "metadata.`mlflow.trace.session` IS NULL",
    "metadata.`mlflow.trace.user` = 'ann' AND tags.team = 'a'",
    "metadata.other = 'x'",
    "feedback.ok = 'true'",
    "feedback.ok = 'false'",
    "feedback.ok != 'true'",
    "feedback.score >= 0.6",
    "feedback.tone = 'good'",
    "feedback.tone = 'bad'",
    "feedback.tone LIKE '%ba%'",
    "feedback.ok IS NULL",
    "feedback.ok IS NOT NULL AND tags.team = 'b'",
    "expectation.answer = 'Paris'",
    "issue.id = 'none'",
    "span.type = 'TOOL' AND span.status = 'ERROR'",
    "span.name = 'call'",
    "span.name IN ('look up') AND status = 'ERROR'",
    "trace.text LIKE '%zebra%'",
    "trace.text ILIKE '%ZEBRA%'",
    "execution_time_ms < 600000",
    "timestamp_ms < 5",
    "end_time_ms > 5",
]
ORDERS = [None, ["timestamp ASC"], ["name", "timestamp DESC"], ["tag.team DESC"], ["status ASC"]]
REFUSED = [
    "color = 'red'",
    "status = OK",
    "status = 'OK' OR name = 'x'",
    "tags.team > 'a'",
    "feedback.ok > 'a'",
    "span.color = 'x'",
    "name IN ('a')",
    "prompt LIKE 'x/1'",
]

OTHER = """
import json, sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
store = SqlAlchemyStore(sys.argv[1], sys.argv[2])
asked = json.loads(sys.stdin.read())
experiment = store.get_experiment_by_name("shop").experiment_id
told = {"filters": [], "orders": [], "refused": [], "metrics": []}
for text in asked["filters"]:
    infos, _ = store.search_traces([experiment], text)
    told["filters"].append([info.client_request_id for info in infos])
for order in asked["orders"]:
    infos, _ = store.search_traces([experiment], None, order_by=order)
    told["orders"].append([info.client_request_id for info in infos])
for text in asked["refused"]:
    try:
        store.search_traces([experiment], text)
        told["refused"].append(None)
    except Exception as error:
        told["refused"].append(getattr(error, "error_code", type(error).__name__))
for view, metric, kinds, dimensions, filters in asked["metrics"]:
    points = store.query_trace_metrics(
        [experiment], MetricViewType(view), metric,
        [MetricAggregation(AggregationType(k), 50 if k == "PERCENTILE" else None) for k in kinds],
        dimensions, filters)
    told["metrics"].append([[p.dimensions, p.values] for p in points])
infos, _ = store.search_traces([experiment])
told["infos"] = {info.client_request_id: info.to_dict() for info in infos}
print(json.dumps(told))
"""
METRICS = [
    ("TRACES", "trace_count", ["COUNT"], ["trace_name"], []),
    ("TRACES", "trace_count", ["COUNT"], ["trace_status"], ["trace.tag.team = 'a'"]),
    ("TRACES", "session_count", ["COUNT"], [], []),
    ("TRACES", "total_tokens", ["SUM", "AVG", "MIN", "MAX", "PERCENTILE"], [], []),
    ("TRACES", "input_tokens", ["SUM"], ["trace_name"], ["trace.status = 'OK'"]),
    ("SPANS", "span_count", ["COUNT"], ["span_name", "span_type"], []),
    ("SPANS", "span_count", ["COUNT"], ["span_status"], ["span.type = 'TOOL'"]),
    ("ASSESSMENTS", "assessment_count", ["COUNT"], ["assessment_name", "assessment_value"], []),
    ("ASSESSMENTS", "assessment_value", ["AVG", "MAX"], ["assessment_name"], []),
    ("ASSESSMENTS", "assessment_count", ["COUNT"], [], ["assessment.name = 'none'"]),
]
DIFFERS = {
    "mlflow.artifactLocation",
    "mlflow.traceInputs",
    "mlflow.traceOutputs",
    "mlflow.trace.sizeBytes",
    "mlflow.trace.sizeStats",
    "mlflow.trace.infoFinalized",
    "mlflow.source.git.repoURL",  # empty there, without a remote
}
"""Tags and metadata of MLflow's server that do not come back (docs/mapping.md)."""
OF_THE_RESOURCE = ("service.", "telemetry.")
"""MLflow's server makes tags of the resource's attributes."""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Run the app with both; yields (our store, what MLflow's SQL store tells, Jaeger's HTTP port)."""
    folder = tmp_path_factory.mktemp("store")
    database = f"sqlite:///{folder}/mlflow.db"
    with servers.jaeger(folder) as (url, grpc, http):
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            "OTEL_SERVICE_NAME": "chats",
            "MLFLOW_TRACKING_URI": database,
            "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
            "MLFLOW_OTEL_METRICS": "false",
            "MLFLOW_OTEL_ASSESSMENT_SIGNALS": "traces",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        run(["-c", APP], environ)
        asked = {"filters": FILTERS, "orders": ORDERS, "refused": REFUSED, "metrics": METRICS}
        arguments = ["-c", OTHER, database, str(folder / "artifacts")]
        told = json.loads(run(arguments, {}, json.dumps(asked)).splitlines()[-1])
        uri = f"otel+jaeger://{url.removeprefix('http://')}?otlp=http://127.0.0.1:{grpc}"

        def ready():
            store = OtelTraceStore(open_traces(uri))
            return store if len(store.search_traces([SHOP])[0]) == 12 else None

        yield when(ready), told, http


def run(arguments, environ, text=None):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
    done = subprocess.run(
        [str(servers.MLFLOW_PYTHON), *arguments],
        env={**own, **environ},
        input=text,
        text=True,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def requests(store, text=None, **fields):
    infos, _ = store.search_traces([SHOP], text, **fields)
    return [info.client_request_id for info in infos]


def test_the_same_searches_have_the_same_answers(both):
    store, told, _ = both
    ours = {text: requests(store, text) for text in FILTERS}
    assert ours == dict(zip(FILTERS, told["filters"], strict=True))
    assert sum(map(bool, told["filters"])) > 25  # most of them find something


def test_an_experiment_of_a_tracking_server_is_found_by_its_name(both):
    store, _, _ = both
    found = store.get_experiment_by_name("shop")
    assert (found.experiment_id, found.name) == (SHOP, "shop")
    assert store.get_experiment(SHOP).name == "shop"


def test_the_same_orders_and_refusals(both):
    store, told, _ = both
    assert [requests(store, order_by=order) for order in ORDERS] == told["orders"]
    for text, theirs in zip(REFUSED, told["refused"], strict=True):
        assert theirs is not None, text
        with pytest.raises(MlflowException) as caught:
            requests(store, text)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_the_same_charts(both):
    store, told, _ = both
    for asked, theirs in zip(METRICS, told["metrics"], strict=True):
        view, metric, kinds, dimensions, filters = asked
        points = store.query_trace_metrics(
            [SHOP],
            MetricViewType(view),
            metric,
            [
                MetricAggregation(AggregationType(k), 50 if k == "PERCENTILE" else None)
                for k in kinds
            ],
            dimensions,
            filters,
        )
        assert [[p.dimensions, pytest.approx(p.values)] for p in points] == theirs, asked


def test_the_same_traces(both):
    store, told, _ = both
    for info in store.search_traces([SHOP])[0]:
        ours, theirs = info.to_dict(), told["infos"][info.client_request_id]
        for part in ("tags", "trace_metadata"):
            kept = {
                k: v
                for k, v in theirs[part].items()
                if k not in DIFFERS and not k.startswith(OF_THE_RESOURCE)
            }
            assert {k: v for k, v in ours[part].items() if k not in DIFFERS} == kept, part
        for part in ("state", "trace_id"):
            assert ours[part] == theirs[part], part
        for part in ("request_preview", "response_preview"):  # ours is compact JSON
            assert (ours.get(part) or "").replace(" ", "") == (theirs.get(part) or "").replace(
                " ", ""
            ), part
        told_of = {a["assessment_name"]: a for a in theirs.get("assessments", ())}
        for assessment in ours.get("assessments", ()):
            beside = told_of.get(assessment["assessment_name"])
            assert beside is not None
        assert len(ours.get("assessments", ())) == len(theirs.get("assessments", ()))


def test_changes_arrive_in_jaeger_and_come_back_to_another_process(both):
    store, _, _ = both
    info = store.search_traces([SHOP], "client_request_id = 'r-2'")[0][0]
    store.set_trace_tag(info.trace_id, "page", "seen")
    assert store.get_trace_info(info.trace_id).tags["page"] == "seen"
    fresh = type(store.traces)(store.traces.backend)
    held = int(info.trace_id.removeprefix("tr-"), 16)
    when(lambda: fresh.info(fresh.get(held)).tags.get("page") == "seen")
    store.delete_trace_tag(info.trace_id, "page")


def test_pages_over_thousands_of_traces_have_each_once(both):
    store, _, http = both
    starts = [NOW - (number % 1500) * SECOND // 10 for number in range(3000)]
    for part in range(0, 3000, 500):
        said = {"mlflow.trace.state": "OK", "mlflow.trace.entry": True}
        send(http, "busy", *([(start, said)] for start in starts[part : part + 500]))
    busy = experiment_id("busy")
    when(lambda: len(store.traces.backend.window(asked_for("busy"), 20).traces) == 3000)
    found, token, pages = [], None, 0
    while True:
        infos, token = store.search_traces([busy], max_results=700, page_token=token)
        found += [(info.request_time, info.trace_id) for info in infos]
        pages += 1
        if token is None:
            break
    assert pages == 5
    assert Counter(found).most_common(1)[0][1] == 1
    assert len(found) == 3000
    assert found == sorted(found, key=lambda one: (-one[0], one[1]))


def asked_for(service):
    return TraceQuery((), NOW - 3600 * SECOND, NOW + 3600 * SECOND, (service,), 5000)


def test_traces_that_are_broken_are_shown_as_far_as_they_are(both):
    store, _, http = both
    said = {"mlflow.trace.state": "OK", "mlflow.trace.entry": True}
    foreign, two_roots, long = send(
        http,
        "odd",
        [(NOW, {"http.route": "/"})],
        [(NOW, said), (NOW + 1000, said)],
        [(NOW, said), *((NOW + number * 1000, {}) for number in range(9999))],
    )
    odd = experiment_id("odd")
    when(lambda: len(store.search_traces([odd])[0]) == 2)
    assert len(store.get_trace(f"tr-{foreign:032x}").data.spans) == 1
    assert len(store.get_trace(f"tr-{two_roots:032x}").data.spans) == 2
    assert len(store.get_trace(f"tr-{long:032x}").data.spans) == 10_000


def test_a_trace_of_clocks_apart_a_span_sent_twice_and_a_trace_without_its_root(both):
    store, _, http = both
    said = {"mlflow.trace.state": "OK", "mlflow.trace.entry": True}
    apart, rootless = send(
        http,
        "torn",
        [(NOW, said), (NOW - 3600 * SECOND, {}), (NOW + 3600 * SECOND, {})],
        [(NOW, {}), (NOW + 1000, {"mlflow.trace.id": "tr-none"})],
    )
    (twice,) = send(http, "torn", [(NOW, said), (NOW + 1000, {})], times=2)
    torn = experiment_id("torn")
    listed = when(lambda: len(store.search_traces([torn])[0]) == 2 and store.search_traces([torn]))
    assert {info.request_time for info in listed[0]} == {NOW // 1_000_000}
    sizes = {
        one: len(store.get_trace(f"tr-{one:032x}").data.spans) for one in (apart, twice, rootless)
    }
    assert sizes == {apart: 3, twice: 2, rootless: 2}
    counted = store.query_trace_metrics(
        [torn], MetricViewType.SPANS, "span_count", [MetricAggregation(AggregationType.COUNT)]
    )
    assert [point.values for point in counted] == [{"COUNT": 5}]


def test_a_backend_that_is_gone_is_said_in_one_sentence():
    (port,) = servers.free_ports(1)
    store = OtelTraceStore(open_traces(f"otel+jaeger://127.0.0.1:{port}?timeout=1"))
    for call in (lambda: store.search_traces(["1"]), lambda: store.get_trace(f"tr-{1:032x}")):
        with pytest.raises(MlflowException, match="did not answer") as caught:
            call()
        assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE"
    with pytest.raises(BackendError):
        store.traces.get(1)
