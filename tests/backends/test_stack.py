"""What compose.yaml starts, as processes, with the demo's data in it: every query that we promise, asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from mlflow_otel.cli import doctor, probing, recognise
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from tests.backends import servers
from tests.backends.dashboards import expressions
from tests.backends.stack import WITHOUT_TEMPO, Stack, eventually, stack

pytestmark = [pytest.mark.backend, pytest.mark.timeout(300)]

README = (servers.CONFIG / "README.md").read_text()
ROW = re.compile(r"^\| ([^|]+) \| (`[^|]+`|—) \| (`[^|]+`|—) \| `({[^|]+)` \|$", re.MULTILINE)
QUESTIONS = [
    (asked, *(None if cell == "—" else cell.strip("`").strip() for cell in cells))
    for asked, *cells in ROW.findall(README.partition("## What to ask")[2])
]
SEARCH = """
import json, sys, mlflow
found = mlflow.search_traces(locations=["0"], filter_string=sys.argv[1], return_type="list")
print(json.dumps([trace.info.trace_id for trace in found]))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Everything, with MLflow's own server beside it, and some rounds of the demo in all of it."""
    folder = tmp_path_factory.mktemp("stack")
    with servers.mlflow_server(folder) as mlflow, stack(folder) as found:
        dual = {"MLFLOW_TRACKING_URI": mlflow, "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true"}
        found.demo(5, python=str(servers.MLFLOW_PYTHON), **dual)
        found.mlflow = mlflow
        eventually(lambda: len(found.traces()) == 25)
        eventually(lambda: found.promql("mlflow_span_calls_total"))
        yield found


@pytest.mark.parametrize(("dashboard", "panel", "query"), list(expressions("prometheus")))
def test_every_panel_on_prometheus_has_rows(running, dashboard, panel, query):
    rows = eventually(lambda: running.promql(query))
    assert all(value >= 0 for _, values in rows for value in values)
    if panel in ("Failed", "Mean score", "Negative feedback"):
        shown = {
            **dict.fromkeys(["all"], 0.2),
            "helpful": 0.6 if panel == "Mean score" else 0.4,
            "relevance": 0.75,
            "all_steps_ok": 0.6 if panel == "Mean score" else 0.4,
        }
        for labels, values in rows:
            name = next(iter(labels.values()), "all")
            assert values[-1] == pytest.approx(shown[name], abs=0.12)


def test_the_dashboards_offer_the_services(running):
    found = httpx.get(
        f"{running.prometheus}/api/v1/label/job/values",
        params={"match[]": "mlflow_trace_count_total"},
    )
    assert found.json()["data"] == ["mlflow-otel-demo"]


def test_from_a_slow_bucket_to_its_trace(running):
    query = {
        "query": "mlflow_trace_duration_seconds_bucket",
        "start": time.time() - 300,
        "end": time.time(),
    }
    (series, *_) = eventually(
        lambda: httpx.get(f"{running.prometheus}/api/v1/query_exemplars", params=query).json()[
            "data"
        ]
    )
    linked = {exemplar["labels"]["trace_id"] for exemplar in series["exemplars"]}
    assert linked
    assert linked <= running.traces()


def test_prometheus_evaluates_the_alerts(running):
    def evaluated():
        groups = httpx.get(f"{running.prometheus}/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] == "ok" for rule in rules) else None

    rules = {rule["name"]: rule for rule in eventually(evaluated)}
    assert len(rules) == 7
    assert rules["MlflowRequestsFail"]["state"] == "pending"  # one in five does, for 5 minutes yet


def recognised(monkeypatch, endpoint, *, protocol="grpc", headers="", **ports):
    """What doctor says of who answers, the ports of those beside it being others than usual."""
    beside = [b._replace(port=ports.get(b.name.rsplit(" ", 1)[-1], 1)) for b in recognise.BESIDE]
    monkeypatch.setattr(recognise, "BESIDE", beside)
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": headers,
    }
    settings = Settings.from_environment(environ)
    (found,) = doctor._who(settings, list(probing.probe_all(settings, environ)))
    return found


def test_doctor_recognises_the_gateway_jaeger_and_mlflow(running, monkeypatch):
    jaeger = int(running.jaeger.rsplit(":", 1)[1])
    found = recognised(monkeypatch, running.otlp, Collector=running.health, Jaeger=jaeger)
    place = f"http://127.0.0.1:{running.health}"
    assert found.text == (
        "an OTLP backend; takes traces, logs, metrics; on the same host: "
        f"an OpenTelemetry Collector at {place}"
    )
    assert not found.todo
    direct = f"http://127.0.0.1:{running.jaeger_otlp}"
    found = recognised(monkeypatch, direct, Jaeger=jaeger)
    place = f"http://127.0.0.1:{jaeger}"
    assert found.text == f"an OTLP backend; takes traces; on the same host: Jaeger at {place}"
    assert "MLFLOW_OTEL_METRICS=false" in found.todo
    found = recognised(
        monkeypatch, running.mlflow, protocol="http/protobuf", headers="x-mlflow-experiment-id=0"
    )
    assert found.text.startswith("MLflow's tracking server; takes traces")
    assert "MLFLOW_OTEL_CONVENTIONS=genai,mlflow" in found.todo


def findings(environ):
    return [one.finding for one in probing.probe_all(Settings.from_environment(environ), environ)]


def test_doctor_leaves_nothing_behind_in_jaeger_and_names_the_protocol_that_is_spoken(running):
    direct = f"http://127.0.0.1:{running.jaeger_otlp}"
    for endpoint in (direct, running.otlp):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        assert {found.level for found in findings(environ)} <= {"ok", "note"}
        (found,) = findings({**environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
        assert "gRPC is spoken there, and http/protobuf was sent" in found.text
    (found,) = findings({"OTEL_EXPORTER_OTLP_ENDPOINT": running.mlflow})
    assert "http/protobuf is spoken there, and gRPC was sent" in found.text
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{running.jaeger_http}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert {found.level for found in findings(environ)} <= {"ok", "note"}
    services = httpx.get(f"{running.jaeger}/api/services").json()["data"]
    assert services == ["mlflow-otel-demo"]


@pytest.mark.parametrize(
    ("headers", "level", "said"),
    [
        ("x-mlflow-experiment-id=0", "ok", "a request without content was accepted"),
        ("x-mlflow-experiment-id=77", "problem", "404"),
        ("x-mlflow-experiment-id=shop", "problem", "400"),
        ("", "problem", "422"),
    ],
)
def test_doctor_leaves_nothing_behind_in_mlflow_and_sees_whether_the_experiment_is_there(
    running, headers, level, said
):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": running.mlflow,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": headers,
    }
    traces = next(one for one in findings(environ) if one.about.startswith("traces"))
    assert (traces.level, said in traces.text) == (level, True), traces
    assert ("x-mlflow-experiment-id" in traces.todo) == (level == "problem")
    asked = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    }
    found = httpx.post(f"{running.mlflow}/api/3.0/mlflow/traces/search", json=asked).json()
    assert found["traces"]
    assert "doctor" not in json.dumps(found)


@pytest.mark.parametrize(("asked", "mlflow", "jaeger", "traceql"), QUESTIONS)
def test_what_is_asked_in_mlflow_is_answered_by_jaeger(running, asked, mlflow, jaeger, traceql):
    found = set()
    if jaeger is not None:
        tags = dict(pair.split("=", 1) for pair in jaeger.split())
        parameters = {k: tags.pop(k) for k in ("minDuration", "operation") if k in tags}
        found = {f"tr-{t['traceID']}" for t in running.search(tags, **parameters)}
        assert found, jaeger
    if mlflow is not None:
        environ = {**os.environ, "MLFLOW_TRACKING_URI": running.mlflow}
        command = [str(servers.MLFLOW_PYTHON), "-c", SEARCH, mlflow]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        assert set(json.loads(done.stdout)) == found
    if running.tempo:
        assert {f"tr-{t['traceID']}" for t in running.traceql(traceql)} >= found


def test_there_are_questions_in_the_readme():
    asked = {question for question, *_ in QUESTIONS}
    assert {
        "a user's",
        "a session's",
        "an environment's",
        "more tokens than N",
        "a low score",
    } <= asked


PARSE = """
import { parser } from './node_modules/@grafana/lezer-traceql/index.es.js'
for (const query of JSON.parse(process.argv[2])) {
  let fine = query.includes('{')
  parser.parse(query).iterate({ enter: node => { if (node.type.isError) fine = false } })
  console.log(JSON.stringify([query, fine]))
}
"""


def test_traceql_is_in_grafanas_grammar(tmp_path):
    queries = [query for _, _, query in expressions("tempo")] + [row[3] for row in QUESTIONS]
    assert len(queries) > 15
    script = servers.TRACEQL / "parse.mjs"
    script.write_text(PARSE)
    command = ["node", str(script), json.dumps([*queries, "{ not a query"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [query for query, fine in found if not fine] == ["{ not a query"]


def test_the_dashboards_are_what_the_generator_writes(tmp_path):
    command = [
        str(servers.MLFLOW_PYTHON),
        str(servers.CONFIG / "grafana/generate.py"),
        str(tmp_path),
    ]
    subprocess.run(command, check=True)
    made = {file.name: file.read_text() for file in tmp_path.glob("*.json")}
    kept = {f.name: f.read_text() for f in (servers.CONFIG / "grafana/dashboards").glob("*.json")}
    assert made == kept, "run `make dashboards`"


def test_every_panels_data_source_is_provisioned():
    provisioned = (servers.CONFIG / "grafana/provisioning/datasources/datasources.yaml").read_text()
    for file in (servers.CONFIG / "grafana/dashboards").glob("*.json"):
        for uid in set(re.findall(r'"uid": "(prometheus|tempo|jaeger|loki)"', file.read_text())):
            assert f"uid: {uid}\n" in provisioned


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else():
    rules = servers.CONFIG / "alerts-test.yaml"
    subprocess.run([str(servers.PROMTOOL), "test", "rules", str(rules)], check=True)
    tested = set(re.findall(r"alertname: (\w+)", rules.read_text()))
    assert tested == set(re.findall(r"alert: (\w+)", (servers.CONFIG / "alerts.yaml").read_text()))


def test_several_gateways_push_what_one_is_scraped_for(tmp_path):
    with (
        Receiver() as others,
        servers.prometheus(tmp_path, None, "--web.enable-otlp-receiver") as prometheus,
        servers.gateway(
            tmp_path,
            f"--config={servers.CONFIG / 'kubernetes/gateway-push.yaml'}",
            WITHOUT_TEMPO,
            JAEGER_ENDPOINT=f"127.0.0.1:{others.grpc_port}",
            LOGS_ENDPOINT=others.http_endpoint,
            PROMETHEUS_OTLP=f"{prometheus}/api/v1/otlp",
            METRICS_INTERVAL="1s",
        ) as endpoint,
    ):
        pushed = Stack(endpoint, "", prometheus, None, others)
        pushed.demo(3)
        for name in (
            "mlflow_trace_count_total",
            "mlflow_trace_duration_seconds_bucket",
            "mlflow_llm_cost_total",
            "mlflow_assessment_score_sum",
            "mlflow_span_calls_total",
            "gen_ai_client_token_usage_sum",
        ):
            assert eventually(lambda name=name: pushed.promql(f'{name}{{job="mlflow-otel-demo"}}'))


def test_compose_publishes_the_uis_alone_on_loopback_and_wants_a_password():
    services = servers.composed()["services"]
    published = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports", ())
    }
    assert published == {
        ("grafana", "127.0.0.1", "3000"),
        ("jaeger", "127.0.0.1", "16686"),
        ("prometheus", "127.0.0.1", "9090"),
        ("mlflow", "127.0.0.1", "5000"),
    }
    unset = {k: v for k, v in os.environ.items() if k != "GRAFANA_PASSWORD"}
    done = subprocess.run(
        [str(servers.COMPOSE), "config"],
        cwd=servers.CONFIG,
        env=unset,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "GRAFANA_PASSWORD" in done.stderr


def test_compose_pins_every_image_mounts_what_is_there_and_checks_health():
    services = servers.composed()["services"]
    for name, service in services.items():
        if "build" in service:
            assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).is_file()
        else:
            assert re.search(r":v?\d+\.\d+", service["image"]), name
        for volume in service.get("volumes", ()):
            assert volume["type"] == "volume" or Path(volume["source"]).exists(), volume
    checked = {name for name, service in services.items() if "healthcheck" in service}
    asked = services["ready"]["healthcheck"]["test"][-1]
    for name in services.keys() - {"app", "demo"}:
        assert name in checked or f"http://{name}:" in asked, name


@pytest.mark.parametrize("file", ["README.md", "compose.yaml"])
def test_the_compose_commands_that_are_told_are_composes_own(file):
    text = (servers.CONFIG / file).read_text()
    told = re.findall(r"^(?:#   )?docker compose (.*?)(?:  +.*)?$", text, re.MULTILINE)
    assert len(told) >= 3
    for line in told:
        words = line.split()
        place = next(n for n, word in enumerate(words) if word in {"up", "run"})
        services = servers.composed(*words[:place])["services"]
        assert {word for word in words[place + 1 :] if not word.startswith("-")} <= {*services}
        command = [str(servers.COMPOSE), words[place], "--help"]
        taken = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert all(word in taken for word in words[place + 1 :] if word.startswith("-"))


def test_compose_sends_to_mlflow_when_it_runs():
    with_mlflow = servers.composed("--env-file", "mlflow.env")["services"]["gateway"]["command"]
    assert with_mlflow[-1].endswith("exporters: [span_metrics, otlphttp/mlflow]")
    arguments = [
        servers._here(servers.composed()["services"]["gateway"], part) for part in with_mlflow
    ]
    subprocess.run([str(servers.COLLECTOR), "validate", *arguments, WITHOUT_TEMPO], check=True)


MAKE = "import mlflow, sys; print(mlflow.create_experiment(sys.argv[1]))"
READ = """
import json, sys, mlflow
found = mlflow.search_traces(locations=[sys.argv[1]], return_type="list")
print(json.dumps([[t.info.trace_metadata.get("mlflow.trace.session"), len(t.data.spans)] for t in found]))
"""


def test_the_gateway_of_compose_sends_traces_to_mlflows_server(running, tmp_path):
    def by_mlflow(code, argument):
        environ = {**os.environ, "MLFLOW_TRACKING_URI": running.mlflow}
        command = [str(servers.MLFLOW_PYTHON), "-c", code, argument]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    experiment = str(by_mlflow(MAKE, "gateway"))
    with (
        Receiver() as others,
        servers.gateway(
            tmp_path,
            WITHOUT_TEMPO,
            REQUESTS_TO="span_metrics, otlphttp/mlflow",
            MLFLOW_ENDPOINT=running.mlflow,
            MLFLOW_EXPERIMENT_ID=experiment,
            JAEGER_ENDPOINT=f"127.0.0.1:{others.grpc_port}",
            LOGS_ENDPOINT=others.http_endpoint,
            PROMETHEUS_ENDPOINT=f"127.0.0.1:{servers.free_ports(1)[0]}",
        ) as endpoint,
    ):
        Stack(endpoint, "", "", None, others).demo(1, MLFLOW_OTEL_CONVENTIONS="genai,mlflow")
        found = eventually(lambda: len(made := by_mlflow(READ, experiment)) == 5 and made)
    assert sorted(found)[:2] == [["s-alice-1", 3], ["s-alice-1", 5]]  # evaluation spans stay out


def test_the_images_command_serves_the_app(tmp_path):
    dockerfile = (servers.ROOT / "examples/Dockerfile").read_text()
    command = json.loads(re.search(r"^CMD (.+)$", dockerfile, re.MULTILINE)[1])
    (port,) = servers.free_ports(1)
    moved = {"0.0.0.0": "127.0.0.1", "8000": str(port)}
    command = [
        str(servers.ROOT / ".venv/bin/python"),
        "-m",
        *(moved.get(part, part) for part in command),
    ]
    environ = {"PYTHONPATH": str(servers.ROOT / "examples"), "OTEL_SDK_DISABLED": "true"}
    with servers.running(
        command, f"http://127.0.0.1:{port}/openapi.json", tmp_path / "app.log", **environ
    ):
        paths = httpx.get(f"http://127.0.0.1:{port}/openapi.json").json()["paths"]
    assert {"/chat", "/chat_feedback"} <= paths.keys()


def applied(source, folder):
    """Return what `kubectl apply -k` would send, checked against Kubernetes' own schemas."""
    built = subprocess.run(
        [str(servers.KUSTOMIZE), "build", str(source)], capture_output=True, text=True, check=True
    )
    file = folder / "all.yaml"
    file.write_text(built.stdout)
    validate = servers.MLFLOW_PYTHON.parent / "kubernetes-validate"
    subprocess.run([str(validate), "-k", "1.34", "--strict", str(file)], check=True)
    read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"
    command = [str(servers.MLFLOW_PYTHON), "-c", read, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    return applied(servers.CONFIG, tmp_path_factory.mktemp("kubernetes"))


@pytest.fixture(scope="module")
def with_kafka(tmp_path_factory):
    """The same from an overlay that has the component with Kafka."""
    overlay = tmp_path_factory.mktemp("overlay")
    there = os.path.relpath(servers.CONFIG.resolve(), overlay.resolve())
    (overlay / "kustomization.yaml").write_text(
        f"resources: ['{there}']\ncomponents: ['{there}/kubernetes/kafka']\n"
    )
    return applied(overlay, tmp_path_factory.mktemp("kubernetes"))


def workloads(manifests):
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] in ("Deployment", "DaemonSet")}


OTHERS = {"chat-app", "agent", "balance", "sampler", "gateway"}


@pytest.mark.parametrize(
    ("which", "bridges"),
    [("manifests", {"bridge"}), ("with_kafka", {"bridge-accept", "bridge-map"})],
)
def test_every_pod_has_probes_and_limits_and_runs_without_privileges(which, bridges, request):
    found = workloads(request.getfixturevalue(which))
    assert found.keys() == OTHERS | bridges
    for name, workload in found.items():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert {"readinessProbe", "livenessProbe"} <= container.keys(), name
        assert "memory" in container["resources"]["limits"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsNonRoot"] is (
            name != "agent"
        )  # its queue is the node's
        assert re.search(r":v?\d+\.\d+", container["image"])


def test_what_scales_and_what_names_every_pod(manifests):
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]
        for m in manifests
        if m["kind"] == "HorizontalPodAutoscaler"
    }
    assert scaled == {"chat-app", "bridge", "balance", "gateway"}
    headless = {
        m["metadata"]["name"]
        for m in manifests
        if m["kind"] == "Service" and m["spec"].get("clusterIP") == "None"
    }
    assert headless == {"balance", "sampler", "gateway"}


def test_with_kafka_both_roles_scale_and_any_accepting_bridge_takes_any_part(with_kafka):
    scaled = [
        m["spec"]["scaleTargetRef"]["name"]
        for m in with_kafka
        if m["kind"] == "HorizontalPodAutoscaler"
    ]
    assert {"bridge-accept", "bridge-map"} == {one for one in scaled if one.startswith("bridge")}
    (service,) = [
        m for m in with_kafka if m["kind"] == "Service" and m["metadata"]["name"] == "bridge"
    ]
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": "bridge-accept"}
    assert service["spec"]["sessionAffinity"] == "None"
    secrets = {m["metadata"]["name"] for m in with_kafka if m["kind"] == "Secret"}
    for name in ("bridge-accept", "bridge-map"):
        pod = workloads(with_kafka)[name]["spec"]["template"]["spec"]
        (file,) = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
        assert file in secrets


def test_no_secret_is_written_down(manifests, with_kafka):
    for secret in (m for m in [*manifests, *with_kafka] if m["kind"] == "Secret"):
        assert set(secret["data"].values()) == {""}


@pytest.mark.parametrize("name", ["agent", "balance", "sampler", "gateway"])
def test_each_collector_of_kubernetes_takes_its_files(manifests, tmp_path, name):
    (files,) = [
        m["data"]
        for m in manifests
        if m["kind"] == "ConfigMap" and m["metadata"]["name"].startswith("collector-files")
    ]
    (common,) = [
        m["data"]
        for m in manifests
        if m["kind"] == "ConfigMap" and not m["metadata"]["name"].startswith("collector-files")
    ]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    (container,) = workloads(manifests)[name]["spec"]["template"]["spec"]["containers"]
    own = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    arguments = [part.replace("/etc/otelcol", str(tmp_path)) for part in container["args"]]
    environ = {**os.environ, **common, **own, "QUEUE_DIR": str(tmp_path / "queue")}
    subprocess.run([str(servers.COLLECTOR), "validate", *arguments], env=environ, check=True)
    limit = int(re.match(r"\d+", container["resources"]["limits"]["memory"])[0])
    mebibytes = limit * 1024 if container["resources"]["limits"]["memory"].endswith("Gi") else limit
    assert int(own["MEMORY_MIB"]) < mebibytes  # it refuses before the kernel kills it


@pytest.mark.parametrize(
    ("file", "name"),
    [("compose.bridge.yaml", "bridge"), ("compose.bridge-kafka.yaml", "bridge-accept")],
)
def test_compose_with_the_bridge_sends_to_the_gateway_and_is_published_on_loopback_alone(
    file, name
):
    services = servers.composed("-f", "compose.yaml", "-f", file)["services"]
    assert not [one for one in ("kafka", "bridge-map") if services.get(one, {}).get("ports")]
    bridge = services[name]
    assert [port["host_ip"] for port in bridge["ports"]] == ["127.0.0.1"]
    assert bridge["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://gateway:4317"
    assert (Path(bridge["build"]["context"]) / bridge["build"]["dockerfile"]).is_file()


def test_all_requests_of_a_client_go_to_one_bridge(manifests):
    (service,) = [
        m for m in manifests if m["kind"] == "Service" and m["metadata"]["name"] == "bridge"
    ]
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_the_bridges_options_in_every_file_are_its_own(manifests, with_kafka):
    pods = [
        workloads(manifests)["bridge"],
        *(workloads(with_kafka)[f"bridge-{role}"] for role in ("accept", "map")),
    ]
    contained = [pod["spec"]["template"]["spec"]["containers"][0]["args"] for pod in pods]
    composed = [
        service["command"]
        for file in ("compose.bridge.yaml", "compose.bridge-kafka.yaml")
        for name, service in servers.composed("-f", "compose.yaml", "-f", file)["services"].items()
        if name.startswith("bridge")
    ]
    assert len(composed) == 3
    unit = (servers.ROOT / "examples" / "mlflow-otel-bridge.service").read_text()
    (started,) = re.findall(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)
    docker = (servers.ROOT / "examples" / "Dockerfile.bridge").read_text()
    (run,) = re.findall(r"^CMD (\[.*)$", docker, re.MULTILINE)
    python = str(servers.ROOT / ".venv/bin/python")
    for arguments in (
        *(one[1:] for one in (*contained, *composed)),
        started.split(),
        json.loads(run)[1:],
    ):
        command = [python, "-m", "mlflow_otel", *arguments, "--help"]
        assert arguments[0] == "bridge"
        subprocess.run(command, check=True, capture_output=True)


def test_systemd_takes_the_bridges_unit(tmp_path):
    unit = (servers.ROOT / "examples" / "mlflow-otel-bridge.service").read_text()
    file = tmp_path / "mlflow-otel-bridge.service"
    file.write_text(unit.replace("/opt/mlflow-otel/bin/mlflow-otel", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [x for x in done.stderr.splitlines() if "bridge" in x]) == (0, [])
