"""The demo's traces, judged in the app, by the worker behind a Collector, and by backfill: the same assessment IDs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import pytest

from mlflow_otel.receiver.server import Receiver
from tests.backends import servers
from tests.backends.score_process import KEPT, run, scoring
from tests.backends.stack import eventually

pytestmark = [pytest.mark.backend, pytest.mark.timeout(200)]

SCORERS = "from mlflow_otel.cli.agent import all_steps_ok, tone\nSCORERS = [all_steps_ok, tone]\n"
LATER = """
from mlflow.entities import AssessmentSource, Feedback

def brief(outputs):
    return len(str(outputs)) < 1000

def kind(outputs):
    return Feedback(value=True, source=AssessmentSource("LLM_JUDGE", "scripted"))

SCORERS = [brief, kind]
"""
KINDS = ("mlflow_assessment_source_type", "gen_ai_evaluation_name")
ID = "mlflow.assessment.id"
SOURCE = "mlflow.assessment.source.type"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Collector with ``scoring.yaml``, Jaeger, Prometheus and the worker, with the demo's traces in them."""
    folder = tmp_path_factory.mktemp("ways")
    (folder / "demos_scorers.py").write_text(SCORERS)
    (folder / "later_scorers.py").write_text(LATER)
    gateway, scraped = servers.free_ports(2)
    sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{gateway}"}
    with (
        servers.jaeger(folder) as (jaeger, jaeger_grpc, _),
        Receiver() as logs,
        scoring(
            folder,
            "--scorers=demos_scorers:SCORERS",
            "--trace-idle=2",
            python=sys.executable,
            OTEL_METRIC_EXPORT_INTERVAL="1000",
            **sends,
        ) as worker,
        servers.configured(
            folder,
            "gateway.yaml",
            "scoring.yaml",
            OTLP_GRPC=f"127.0.0.1:{gateway}",
            SCORER_ENDPOINT=worker.grpc.removeprefix("http://"),
            JAEGER_ENDPOINT=f"127.0.0.1:{jaeger_grpc}",
            TEMPO_ENDPOINT=f"127.0.0.1:{logs.grpc_port}",
            LOGS_ENDPOINT=logs.http_endpoint,
            MLFLOW_ENDPOINT=logs.http_endpoint,
            PROMETHEUS_ENDPOINT=f"127.0.0.1:{scraped}",
        ),
        servers.prometheus(folder, scraped) as prometheus,
    ):
        run(folder, "demo", OTEL_BSP_SCHEDULE_DELAY="500", **sends)
        yield folder, jaeger, worker, prometheus, sends


def held_by(prometheus, query):
    """Return the labels of each series that Prometheus answers with."""
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
    return [row["metric"] for row in answer["data"]["result"]]


def said_in(jaeger):
    """Return the evaluations that Jaeger holds: attributes by trace."""
    asked = {"service": "mlflow-otel-demo", "lookback": "1h", "limit": 100}
    found = httpx.get(f"{jaeger}/api/traces", params=asked).json()["data"] or []
    held = defaultdict(list)
    for trace in found:
        for span in trace["spans"]:
            values = {tag["key"]: tag["value"] for tag in span["tags"]}
            if "gen_ai.evaluation.name" in values:
                held[trace["traceID"]].append(values)
    return held


def counted(jaeger):
    """Return how many times each assessment of a scorer is there, by trace and name."""
    return Counter(
        (trace, values["gen_ai.evaluation.name"], values[ID])
        for trace, several in said_in(jaeger).items()
        for values in several
        if values.get("mlflow.assessment.metadata.scorer_name") in {"all_steps_ok", "tone"}
    )


def test_the_demos_traces_carry_the_same_assessments_from_app_worker_and_backfill(running):
    folder, jaeger, worker, prometheus, sends = running
    names = Counter({"all_steps_ok": 5, "tone": 4})  # tone has nothing to say of a failure

    def all_times(number):
        found = counted(jaeger)
        per_name = Counter(name for _, name, _ in found)
        return per_name == names and set(found.values()) == {number} and found

    by_both = eventually(lambda: all_times(2), 60)
    past = ["score", "--scorers=demos_scorers:SCORERS", f"--from=jaeger+{jaeger}", "--since=1h"]
    past.append("--service=mlflow-otel-demo")
    assert "all_steps_ok: 0 to be judged, 5 judged before." in run(
        folder, *past, "--dry-run", **sends
    )
    out = run(folder, *past, "--again", **sends)
    assert "5 traces of the last 1h were read." in out
    assert "all_steps_ok: 5 judged, 0 failed" in out
    by_three = eventually(lambda: all_times(3), 30)
    assert by_three.keys() == by_both.keys()
    for several in said_in(jaeger).values():
        assert {values[SOURCE] for values in several} == {"HUMAN", "CODE", "LLM_JUDGE"}

    more = [f"--from=jaeger+{jaeger}", "--since=1h", "--service=mlflow-otel-demo"]
    run(folder, "score", "--scorers=later_scorers:SCORERS", *more, **sends)

    def counted_by(query):
        """Return what Prometheus has by process: the app's, the worker's, and those of backfill."""
        found = defaultdict(set)
        for labels in held_by(prometheus, query):
            found[labels["job"], labels["instance"]].add(tuple(labels[key] for key in KINDS))
        return sorted((job, sorted(kinds)) for (job, _), kinds in found.items())

    code, judge = ("CODE", "all_steps_ok"), ("LLM_JUDGE", "tone")
    human, scripted = ("HUMAN", "helpful"), ("LLM_JUDGE", "relevance")
    expected = [
        ("mlflow-otel-demo", sorted([code, judge, human, scripted])),
        ("mlflow-otel-score", [code, judge]),
        ("mlflow-otel-score", [("CODE", "brief"), ("LLM_JUDGE", "kind")]),
    ]
    eventually(lambda: counted_by("mlflow_assessment_count_total > 0") == expected, 30)
    runs = held_by(prometheus, "sum by (job, instance) (mlflow_otel_scorer_runs_total) > 0")
    assert len(runs) == 4  # the app, the worker, two backfills
    assert httpx.get(f"{worker.http}/readyz").text == "ok\n"


def test_the_store_shows_each_assessment_once(running):
    from mlflow_otel.backends.jaeger import JaegerBackend
    from mlflow_otel.store.rebuild import stored_trace

    _, jaeger, _, _, _ = running
    eventually(lambda: len(counted(jaeger)) == 9, 60)
    backend = JaegerBackend(jaeger)
    for trace in said_in(jaeger):
        views = stored_trace(backend.get(int(trace, 16), 10)).assessments
        assert len({view.assessment_id for view in views}) == len(views)
        assert {"helpful", "relevance", "all_steps_ok"} <= {view.name for view in views}


def test_a_worker_whose_backend_is_down_delivers_when_it_is_back(tmp_path):
    (tmp_path / "own.py").write_text("def good(outputs):\n    return True\nSCORERS = [good]\n")
    (port,) = servers.free_ports(1)
    down = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    with scoring(
        tmp_path, "--scorers=own:SCORERS", "--trace-idle=0.5", python=sys.executable, **down
    ) as worker:
        code = "import mlflow, mlflow_otel\nmlflow_otel.instrument()\nmlflow.trace(lambda: 'x', name='a')()"
        environ = {**KEPT, "OTEL_EXPORTER_OTLP_ENDPOINT": worker.grpc}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
        eventually(lambda: 'scorer.runs"} 1' in httpx.get(f"{worker.http}/metrics").text)
        with Receiver(grpc_port=port) as back:
            eventually(
                lambda: [s for s in back.store.spans() if s["name"] == "evaluation good"], 60
            )
            worker.end()
    assert worker.process.returncode == 0


def test_sessions_are_judged_by_mlflows_own_session_scorers(tmp_path):
    (tmp_path / "own.py").write_text(
        "from mlflow.genai.scorers import scorer\n"
        "@scorer\ndef turns(session):\n    return len(session)\n"
        "SCORERS = [turns]\n"
    )
    with Receiver() as results:
        sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": results.grpc_endpoint}
        with scoring(
            tmp_path, "--scorers=own:SCORERS", "--trace-idle=0.5", "--session-idle=1", **sends
        ) as worker:
            run(tmp_path, "demo", OTEL_EXPORTER_OTLP_ENDPOINT=worker.grpc)
            found = eventually(
                lambda: len(results.store.spans()) == 3 and results.store.spans(), 60
            )
            worker.end()
    turns = {s["attributes"]["session.id"]: s["attributes"] for s in found}
    scores = {session: v["gen_ai.evaluation.score.value"] for session, v in turns.items()}
    assert scores == {"s-alice-1": 2, "s-bob-1": 2, "s-carol-1": 1}
    key = "mlflow.assessment.metadata.mlflow.assessment.onlineScoringSessionId"
    assert all(values[key] == session for session, values in turns.items())


BAD = """
import os, sys, time
import mlflow

def good(outputs):
    return True

def exits(outputs):
    sys.exit(3)

def forks(outputs):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return 1

def hangs(outputs):
    time.sleep(1000)

def traced(outputs):
    mlflow.trace(good)(outputs)
    mlflow.log_feedback(trace_id=TRACE, name="own", value=True)
    return 2

def size(trace):
    return len(trace.data.spans)

TRACE = "tr-" + "7" * 32
SCORERS = [good, exits, forks, traced, size, {"scorer": hangs, "timeout": 0.2}]
"""
LARGE = """
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
with mlflow.start_span("wide"):
    for number in range(9_999):
        with mlflow.start_span(f"{number}"):
            pass
with mlflow.start_span("heavy") as span:
    span.set_inputs({"question": "x" * 5_000_000})
assert handle.force_flush(60_000), handle.stats()
"""


def test_bad_scorers_and_large_traces_do_not_disturb_the_worker(tmp_path):
    (tmp_path / "own.py").write_text(BAD)
    with Receiver() as results:
        sends = {"OTEL_EXPORTER_OTLP_ENDPOINT": results.grpc_endpoint}
        with scoring(
            tmp_path, "--scorers=own:SCORERS", "--trace-idle=3", python=sys.executable, **sends
        ) as worker:
            environ = {**KEPT, "OTEL_EXPORTER_OTLP_ENDPOINT": worker.grpc}
            subprocess.run([sys.executable, "-c", LARGE], env=environ, check=True, timeout=100)
            said = worker.end()
        assert worker.process.returncode == 0, said
        found = defaultdict(list)
        for span in results.store.spans():
            values = span["attributes"]
            found[values["gen_ai.evaluation.name"]].append(
                values.get("gen_ai.evaluation.score.value", values.get("error.type"))
            )
    assert found["good"] == [1.0, 1.0]
    assert found["exits"] == ["SystemExit"] * 2
    assert found["hangs"] == ["TimeoutError"] * 2
    assert found["forks"] == [1, 1]
    assert found["traced"] == [2, 2]
    assert sorted(found["size"]) == [1, 10_000]
    assert found["own"] == [1.0, 1.0]
    assert "12 runs, 4 failed" in said


def test_the_worker_of_compose_is_built_and_the_collector_sends_to_it():
    files = ("-f", "compose.yaml", "-f", "compose.scoring.yaml")
    services = servers.composed(*files)["services"]
    built = services["scorers"]["build"]
    assert (Path(built["context"]) / built["dockerfile"]).is_file()
    gateway = services["gateway"]
    assert gateway["environment"]["SCORER_ENDPOINT"] == "scorers:4337"
    arguments = [servers._here(gateway, part) for part in gateway["command"]]
    subprocess.run([str(servers.COLLECTOR), "validate", *arguments], check=True)


def test_the_images_command_serves_the_worker(tmp_path):
    dockerfile = (servers.ROOT / "examples/Dockerfile.scorers").read_text()
    command = json.loads(re.search(r"^CMD (.+)$", dockerfile, re.MULTILINE)[1])
    named = re.search(r"MLFLOW_OTEL_SCORERS=(\S+)", dockerfile)[1]
    assert command[0] == "mlflow-otel"
    grpc, http = servers.free_ports(2)
    moved = {"0.0.0.0:4337": f"127.0.0.1:{grpc}", "0.0.0.0:4338": f"127.0.0.1:{http}"}
    rest = [moved.get(part, part) for part in command[1:]]
    environ = {"PYTHONPATH": str(servers.ROOT), "MLFLOW_OTEL_SCORERS": named}
    url = f"http://127.0.0.1:{http}/readyz"
    with servers.running(
        [sys.executable, "-m", "mlflow_otel", *rest], url, tmp_path / "worker.log", **environ
    ):
        assert httpx.get(url).text == "ok\n"
