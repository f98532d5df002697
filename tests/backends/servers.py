"""Real servers as processes on free loopback ports, started for the tests and stopped after them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent.parent
CACHE = Path(
    os.environ.get("MLFLOW_OTEL_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlflow-otel"
)
HERE = Path(__file__).parent


def _built(recipe):
    return CACHE / f"otelcol-{hashlib.sha256((HERE / recipe).read_bytes()).hexdigest()[:8]}"


COLLECTOR = _built("collector-builder.yaml")
KAFKA_COLLECTOR = _built("collector-kafka-builder.yaml")
KAFKA = CACHE / "kafka-4.1.0"
JAEGER = CACHE / "jaeger-1.76.0"
PROMETHEUS = CACHE / "prometheus-0.316.0"
PROMTOOL = CACHE / "promtool-0.316.0"
COMPOSE = CACHE / "docker-compose-2.40.3"
KUSTOMIZE = CACHE / "kustomize-5.8.1"
TRACEQL = CACHE / "traceql-1.0.0"
CONFIG = ROOT / "collector-config"
MLFLOW_PYTHON = ROOT / ".venv-backends/bin/python"
PATIENCE_SECONDS = 240  # a cold start of the MLflow server on a busy machine took 97


BELOW_EPHEMERAL = range(15_000, 32_000)
_given = set()


def free_ports(number):
    """Return ports that nothing listens on, none of them twice.

    Below those the system gives to connections and to servers that ask for any: one of these
    would be taken by the next before the server that is meant to have it is up.
    """
    ports = []
    while len(ports) < number:
        port = random.choice(BELOW_EPHEMERAL)
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.add(port)
            ports.append(port)
    return ports


@contextlib.contextmanager
def running(command, ready, log, **environ):
    """Run a server until the block ends; ``ready`` is a URL that answers, or a port that listens."""
    with log.open("wb") as target:
        server = subprocess.Popen(
            command, stdout=target, stderr=subprocess.STDOUT, env={**os.environ, **environ}
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(ready):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(ready):
    try:
        if isinstance(ready, int):
            socket.create_connection(("127.0.0.1", ready), 1).close()
            return True
        return httpx.get(ready, timeout=2).status_code < 500
    except (OSError, httpx.HTTPError):
        return False


JAEGER_CONFIG = """
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], processors: [], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}}}
extensions:
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: 127.0.0.1:{query}}}
    grpc: {{endpoint: 127.0.0.1:{query_grpc}}}
  jaeger_storage:
    backends: {{memory: {{memory: {{max_traces: {traces}}}}}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:{grpc}}}
      http: {{endpoint: 127.0.0.1:{http}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""

COLLECTOR_CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:{grpc}}}
      http: {{endpoint: 127.0.0.1:{http}}}
processors:
  batch: {{timeout: 200ms, send_batch_size: 150, send_batch_max_size: 150}}  # counts spans, not bytes
exporters:
  otlp/jaeger:
    endpoint: 127.0.0.1:{jaeger}
    tls: {{insecure: true}}
  otlp/records:
    endpoint: 127.0.0.1:{records}
    tls: {{insecure: true}}
  otlphttp/mlflow:
    traces_endpoint: {mlflow}/v1/traces
    headers: {{x-mlflow-experiment-id: "{experiment}"}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [batch], exporters: [otlp/jaeger, otlphttp/mlflow]}}
    logs: {{receivers: [otlp], processors: [batch], exporters: [otlp/records]}}
    metrics: {{receivers: [otlp], processors: [batch], exporters: [otlp/records]}}
"""


def jaeger_command(folder, query, query_grpc, grpc, http, traces=10_000):
    """Return the command of a Jaeger in memory; its configuration is written into the folder.

    Args:
        folder: Its own.
        query, query_grpc: The ports that are asked.
        grpc, http: The ports that take OTLP.
        traces: How many it holds; the oldest are dropped.
    """
    config = folder / "jaeger.yaml"
    config.write_text(
        JAEGER_CONFIG.format(
            query=query, query_grpc=query_grpc, grpc=grpc, http=http, traces=traces
        )
    )
    return [str(JAEGER), "--config", str(config)]


@contextlib.contextmanager
def jaeger(folder, grpc=None, traces=10_000):
    """Yield Jaeger's query URL and its OTLP gRPC (the one given, if any) and HTTP ports.

    Args:
        folder: Its own.
        grpc: Where it listens; a free port when None.
        traces: How many it holds; the oldest are dropped.
    """
    query, query_grpc, free, http = free_ports(4)
    grpc = grpc or free
    command = jaeger_command(folder, query, query_grpc, grpc, http, traces)
    url = f"http://127.0.0.1:{query}"
    with running(command, f"{url}/api/services", folder / "jaeger.log"):
        yield url, grpc, http


@contextlib.contextmanager
def mlflow_server(folder, port=None, store=None, more=()):
    """Yield the URL of a real MLflow tracking server.

    Args:
        folder: Its own.
        port: Where it listens; a free port when None.
        store: Its backend store's URI; SQLite when None.
        more: Arguments after the others.
    """
    port = port or free_ports(1)[0]
    command = [
        str(MLFLOW_PYTHON),
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        store or f"sqlite:///{folder}/mlflow.db",
        "--default-artifact-root",
        str(folder / "artifacts"),
        "--artifacts-destination",
        str(folder / "artifacts"),
        *more,
    ]
    environ = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, f"http://127.0.0.1:{port}/health", folder / "mlflow.log", **environ):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def collector(folder, jaeger_port, mlflow, experiment, records_port):
    """Yield the OTLP gRPC and HTTP ports of a Collector that sends traces to Jaeger and MLflow.

    Logs and metrics go on to ``records_port``, over OTLP gRPC.
    """
    grpc, http = free_ports(2)
    config = folder / "collector.yaml"
    config.write_text(
        COLLECTOR_CONFIG.format(
            grpc=grpc,
            http=http,
            jaeger=jaeger_port,
            mlflow=mlflow,
            experiment=experiment,
            records=records_port,
        )
    )
    subprocess.run([str(COLLECTOR), "validate", "--config", str(config)], check=True)
    with running([str(COLLECTOR), "--config", str(config)], grpc, folder / "collector.log"):
        yield grpc, http


@contextlib.contextmanager
def configured(folder, *files, program=COLLECTOR, **environ):
    """Yield the OTLP gRPC endpoint of a Collector on files of ``collector-config/``, checked first."""
    arguments = [f"--config={CONFIG / file}" for file in files]
    with _collecting(folder, arguments, environ, program) as endpoint:
        yield endpoint


@contextlib.contextmanager
def _collecting(folder, arguments, environ, program=COLLECTOR):
    grpc, http, health = free_ports(3)
    own = {
        "OTLP_GRPC": f"127.0.0.1:{grpc}",
        "OTLP_HTTP": f"127.0.0.1:{http}",
        "HEALTH": f"127.0.0.1:{health}",
        "QUEUE_DIR": str(folder / "queue"),
        **environ,
    }
    command = [str(program)]
    subprocess.run([*command, "validate", *arguments], check=True, env={**os.environ, **own})
    quiet = ["--config=yaml:service::telemetry::metrics::level: none"]
    log = folder / f"collector-{grpc}.log"
    with running([*command, *arguments, *quiet], f"http://{own['HEALTH']}", log, **own):
        yield f"http://127.0.0.1:{grpc}"


def composed(*arguments, **environ):
    """Return compose.yaml as docker compose understands it."""
    command = [str(COMPOSE), "--profile", "*", *arguments, "config", "--format", "json"]
    done = subprocess.run(
        command,
        cwd=CONFIG,
        env={**os.environ, "GRAFANA_PASSWORD": "secret", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _here(service, text):
    """Return a container's path as the file that is mounted there."""
    for volume in service.get("volumes", ()):
        if volume["type"] == "bind":
            text = text.replace(volume["target"], volume["source"])
    return text


@contextlib.contextmanager
def gateway(folder, *more, **environ):
    """Yield the OTLP gRPC endpoint of the gateway, run as its container in compose.yaml is.

    Args:
        folder: Its own.
        more: Arguments after the container's.
        environ: Where the others are: what differs between a network of containers and processes.
    """
    service = composed(**environ)["services"]["gateway"]
    arguments = [_here(service, part) for part in service["command"]]
    # Where a container listens in its network, this listens on loopback.
    own = {k: v for k, v in service["environment"].items() if not v.startswith("0.0.0.0")}
    with _collecting(folder, [*arguments, *more], {**own, **environ}) as endpoint:
        yield endpoint


@contextlib.contextmanager
def prometheus(folder, scraped=None, *more):
    """Yield the URL of Prometheus, run as its container in compose.yaml is, every second."""
    (port,) = free_ports(1)
    service = composed()["services"]["prometheus"]
    config = folder / "prometheus.yaml"
    text = (CONFIG / "prometheus.yaml").read_text().replace("_interval: 15s", "_interval: 1s")
    config.write_text(text.replace("gateway:8889", f"127.0.0.1:{scraped or port}"))
    (folder / "alerts.yaml").write_text((CONFIG / "alerts.yaml").read_text())
    moved = {"/etc/prometheus": str(folder), "=/prometheus": f"={folder}/tsdb"}
    command = [str(PROMETHEUS)]
    for part in service["command"]:
        for there, here in moved.items():
            part = part.replace(there, here)
        command.append(part)
    url = f"http://127.0.0.1:{port}"
    command += [f"--web.listen-address=127.0.0.1:{port}", *more]
    with running(command, f"{url}/-/ready", folder / "prometheus.log"):
        yield url


KAFKA_CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map={listener}:{listener},CONTROLLER:PLAINTEXT
inter.broker.listener.name={listener}
controller.listener.names=CONTROLLER
log.dirs={folder}/kafka
num.partitions=4
message.max.bytes=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
"""
KAFKA_WITH_TLS_AND_PASSWORDS = """
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="broker" password="of the broker" user_broker="of the broker" user_{user}="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
"""


def kafka_command(folder, port, controller, secure=None):
    """Return what starts a broker whose topics have 4 partitions, in a folder that is made ready for it."""
    config = folder / "kafka.properties"
    text = KAFKA_CONFIG.format(
        port=port,
        controller=controller,
        folder=folder,
        listener="SASL_SSL" if secure else "PLAINTEXT",
    )
    config.write_text(text + KAFKA_WITH_TLS_AND_PASSWORDS.format(**secure) if secure else text)
    java = ["java", "-Xmx384m", "-cp", f"{KAFKA}/*"]
    identity = base64.urlsafe_b64encode(b"mlflow-otel-test").decode().rstrip("=")
    formatting = [*java, "kafka.tools.StorageTool", "format", "-t", identity]
    formatting += ["--ignore-formatted", "-c", str(config)]
    subprocess.run(formatting, check=True, capture_output=True)
    return [*java, "kafka.Kafka", str(config)]


@contextlib.contextmanager
def kafka(folder, ports=None, secure=None):
    """Yield the address of a Kafka broker whose topics have 4 partitions.

    In the same folder and on the same ports it goes on with what it has.

    Args:
        folder: Its own.
        ports: Its own, and its controller's.
        secure: ``user``, ``password``, ``keystore`` and ``ca``: it asks for TLS and SASL/PLAIN.
    """
    port, controller = ports or free_ports(2)
    with running(kafka_command(folder, port, controller, secure), port, folder / "kafka.log"):
        yield f"127.0.0.1:{port}"
