"""Asking the real MLflow server: what was logged there comes back in the words of OTLP."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from mlflow_otel.backends.mlflow_server import MlflowServerBackend
from mlflow_otel.backends.model import BackendError, Condition, TraceQuery
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.scoring.identity import assessment_id
from tests.backends import servers
from tests.backends.score_process import run

pytestmark = pytest.mark.backend

APP = """
import json, mlflow
mlflow.set_experiment("chats")
for number in range(3):
    with mlflow.start_span("chat", span_type="AGENT") as span:
        with mlflow.start_span("inner") as inner:
            inner.set_attributes({"nested": {"a": [1, 2.5, True]}})
        mlflow.update_current_trace(
            client_request_id=f"req-{number}", session_id="it's s-1", user="u-1",
            tags={"environment": "test", "number": str(number)},
        )
    print(span.trace_id, int(span.span_id, 16), int(inner.span_id, 16))
mlflow.flush_trace_async_logging()
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The server's URL, and trace ID, root and child of each trace that was logged."""
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
        environ |= {"MLFLOW_TRACKING_URI": url, "MLFLOW_DISABLE_TELEMETRY": "true"}
        command = [sys.executable, "-c", APP]
        done = subprocess.run(
            command, env=environ, text=True, capture_output=True, timeout=100, check=True
        )
        traces = []
        for line in done.stdout.splitlines():
            if line.startswith("tr-"):
                trace_id, root, child = line.split()
                traces.append((int(trace_id.removeprefix("tr-"), 16), int(root), int(child)))
        yield url, traces


def backend_at(url, **fields):
    named = {"experiment_id": None, "experiment_name": "chats", **fields}
    return MlflowServerBackend(url, options=MappingOptions(), **named)


def find(backend, limit=20, services=(), **conditions):
    now = time.time_ns()
    named = tuple(Condition(key.replace("__", "."), value) for key, value in conditions.items())
    query = TraceQuery(named, now - 3600 * 10**9, now + 60 * 10**9, services, limit)
    return [trace.trace_id for trace in backend.find(query, 20)]


def test_traces_are_found_by_whatever_mlflow_keeps_of_them(asked):
    url, traces = asked
    backend = backend_at(url)
    newest = [trace_id for trace_id, _, _ in reversed(traces)]
    assert find(backend, mlflow__trace__client_request_id="req-1") == [traces[1][0]]
    assert find(backend, session__id="it's s-1") == newest
    assert find(backend, session__id="it's s-1", limit=2) == newest[:2]
    assert find(backend, mlflow__traceTag__number="2", user__id="u-1") == [traces[2][0]]
    assert find(backend, mlflow__trace__state="OK", services=("chats",)) == newest
    assert find(backend, mlflow__trace__state="ERROR") == []
    assert find(backend, session__id="it's s-1", services=("no such experiment",)) == []
    assert find(backend_at(url, experiment_name=None), session__id="it's s-1") == []  # experiment 0


def test_a_trace_comes_back_with_its_spans(asked):
    url, traces = asked
    trace_id, root, child = traces[0]
    backend = backend_at(url)
    trace = backend.get(trace_id, 20)
    assert (trace.summary.trace_id, trace.summary.root) == (trace_id, root)
    assert abs(trace.summary.start - time.time_ns()) < 600 * 10**9
    assert trace.summary.attributes["session.id"] == "it's s-1"
    assert trace.summary.attributes["deployment.environment.name"] == "test"
    assert trace.summary.attributes["mlflow.traceTag.number"] == "0"
    spans = {span.span_id: span for span in trace.spans}
    assert set(spans) == {root, child}
    assert (spans[root].name, spans[root].parent_id, spans[child].parent_id) == ("chat", None, root)
    assert spans[child].attributes["nested"] == {"a": [1, 2.5, True]}
    assert spans[root].start <= spans[child].start <= spans[child].end <= spans[root].end
    assert backend.get(12345, 20) is None
    assert "chats" in backend.services(20)


def test_what_mlflow_cannot_be_asked_and_a_server_that_is_away_are_clear_errors(asked):
    url, _ = asked
    with pytest.raises(BackendError, match="cannot be searched by gen_ai"):
        find(backend_at(url), gen_ai__request__model="gpt")
    (port,) = servers.free_ports(1)
    away = backend_at(f"http://ann:s3cret-pw@127.0.0.1:{port}")
    with pytest.raises(BackendError, match=f"127.0.0.1:{port}") as raised:
        away.services(1)
    assert "s3cret" not in str(raised.value)


def test_past_traces_are_judged_with_the_ids_that_any_way_gives(asked, tmp_path):
    url, traces = asked
    (tmp_path / "own.py").write_text(
        "def number(trace):\n"
        "    return f\"{trace.info.tags['number']} of {len(trace.data.spans)}\"\n"
        "SCORERS = [number]\n"
    )
    past = ["score", "--scorers=own:SCORERS", f"--from=mlflow+{url}", "--since=1h"]
    past += ["--service=chats", "--filter=tags.number != '1'"]
    with Receiver() as results:
        sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": results.grpc_endpoint}
        assert "number: 2 to be judged." in run(tmp_path, *past, "--dry-run", **sends)
        assert results.store.spans() == []
        assert "number: 2 judged, 0 failed." in run(tmp_path, *past, **sends)
        said = {int(s["trace_id"], 16): s["attributes"] for s in results.store.spans()}
    assert set(said) == {traces[0][0], traces[2][0]}
    for trace_id, values in said.items():
        number = [trace[0] for trace in traces].index(trace_id)
        assert values["gen_ai.evaluation.score.label"] == f"{number} of 2"
        assert values["session.id"] == "it's s-1"
        digest = values["mlflow.assessment.metadata.scorer_digest"]
        wanted = assessment_id(f"tr-{trace_id:032x}", "number", digest)
        assert values["mlflow.assessment.id"] == wanted
