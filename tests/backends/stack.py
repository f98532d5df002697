"""What compose.yaml starts, as processes: Collector, Jaeger, Prometheus, and the demo into them.

    make evidence

Tempo joins when a `tempo` is on the PATH; the tests have none.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from mlflow_otel.receiver.server import Receiver
from tests.backends import servers

WITHOUT_TEMPO = "--config=yaml:service::pipelines::traces/all::exporters: [otlp/jaeger]"


@dataclass
class Stack:
    """Where everything answers; ``tempo`` is None without Tempo, ``logs`` the store of the events."""

    otlp: str
    jaeger: str
    prometheus: str
    tempo: str | None
    logs: Receiver
    health: int = 0  # the gateway's port for it
    jaeger_otlp: int = 0  # Jaeger's own port for traces
    jaeger_http: int = 0  # the same over HTTP

    def demo(self, rounds, *, python=None, **environ):
        """Run the demo, batches and metrics every half second."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLFLOW_"))}
        subprocess.run(
            [python or sys.executable, "-m", "mlflow_otel", "demo", "--rounds", str(rounds)],
            env={
                **kept,
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp,
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                "OTEL_BSP_SCHEDULE_DELAY": "500",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                **environ,
            },
            check=True,
            timeout=120,
        )

    def traces(self, **tags):
        """Return the IDs of the demo's traces that Jaeger finds by tags."""
        return {trace["traceID"] for trace in self.search(tags)}

    def search(self, tags, **parameters):
        """Return the demo's traces that Jaeger finds."""
        asked = {"service": "mlflow-otel-demo", "lookback": "1h", "limit": 1000, **parameters}
        if tags:
            asked["tags"] = json.dumps(tags)
        return httpx.get(f"{self.jaeger}/api/traces", params=asked).json()["data"] or []

    def promql(self, expression):
        """Return the rows of a query over the last minute, as (labels, values) without NaN."""
        now = time.time()
        asked = {"query": expression, "start": now - 60, "end": now, "step": 1}
        answer = httpx.get(f"{self.prometheus}/api/v1/query_range", params=asked).json()
        assert answer["status"] == "success", (expression, answer)
        rows = []
        for row in answer["data"]["result"]:
            values = [float(v) for _, v in row["values"] if v not in ("NaN", "+Inf", "-Inf")]
            if values:
                rows.append((row["metric"], values))
        return rows

    def traceql(self, query):
        """Return the traces that Tempo finds."""
        found = httpx.get(f"{self.tempo}/api/search", params={"q": query, "limit": 100}).json()
        return found.get("traces") or []


@contextlib.contextmanager
def _tempo(folder):
    """Yield Tempo's OTLP address and URL, or None and None where there is no Tempo."""
    program = shutil.which("tempo")
    if program is None:
        yield None, None
        return
    grpc, http = servers.free_ports(2)
    text = (servers.CONFIG / "tempo.yaml").read_text()
    text = text.replace("0.0.0.0:4317", f"127.0.0.1:{grpc}").replace(
        "/var/tempo", f"{folder}/tempo"
    )
    text = text.replace(
        "http_listen_port: 3200", f"http_listen_port: {http}\n  http_listen_address: 127.0.0.1"
    )
    (folder / "tempo.yaml").write_text(text)
    url = f"http://127.0.0.1:{http}"
    command = [program, f"-config.file={folder}/tempo.yaml"]
    with servers.running(command, f"{url}/ready", folder / "tempo.log"):
        yield f"127.0.0.1:{grpc}", url


@contextlib.contextmanager
def stack(folder):
    """Yield all of it, running."""
    scraped, health = servers.free_ports(2)
    with (
        servers.jaeger(folder) as (jaeger, jaeger_grpc, jaeger_http),
        _tempo(folder) as (tempo_grpc, tempo),
        Receiver() as logs,
        servers.prometheus(folder, scraped) as prometheus,
        servers.gateway(
            folder,
            *(() if tempo else (WITHOUT_TEMPO,)),
            JAEGER_ENDPOINT=f"127.0.0.1:{jaeger_grpc}",
            TEMPO_ENDPOINT=tempo_grpc or "127.0.0.1:1",
            LOGS_ENDPOINT=logs.http_endpoint,
            PROMETHEUS_ENDPOINT=f"127.0.0.1:{scraped}",
            METRICS_INTERVAL="1s",
            HEALTH=f"127.0.0.1:{health}",
        ) as otlp,
    ):
        yield Stack(otlp, jaeger, prometheus, tempo, logs, health, jaeger_grpc, jaeger_http)


def eventually(find, seconds=30):
    """Return what ``find`` finds, as soon as it does."""
    until = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.2)
    return found


def main():
    """Show that a trace, a TraceQL answer and a dashboard's rows are there."""
    from tests.backends.dashboards import expressions

    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as running:
        running.demo(60)  # for some seconds: a rate needs two values of a counter
        found = eventually(lambda: running.traces(**{"session.id": "s-alice-1"}))
        print(f"\nJaeger: {len(found)} traces of session.id=s-alice-1, the first {min(found)}.")
        if running.tempo:
            query = '{ span.session.id = "s-alice-1" }'
            print(f"Tempo: {len(eventually(lambda: running.traceql(query)))} traces of {query}")
        else:
            print("Tempo: not asked; put `tempo` on the PATH to have it join.")
        until = time.monotonic() + 30
        for dashboard, panel, expression in expressions("prometheus"):
            while not (rows := running.promql(expression)) and time.monotonic() < until:
                time.sleep(0.5)
            shown = "; ".join(f"{_short(labels)} {values[-1]:.3g}" for labels, values in rows[:3])
            print(f"{dashboard}, {panel}: {len(rows)} rows: {shown}")
        print(f"Log store: {len(running.logs.store.logs())} evaluation events.")


def _short(labels):
    return "/".join(labels.values()) or "all"


if __name__ == "__main__":
    main()
