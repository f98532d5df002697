"""What MLflow's pages wait for over Jaeger, and over MLflow's own server on SQLite, with the same traces."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.copies import in_database, in_jaeger
from benchmarks.measure import ROOT, in_process, in_turn, table
from tests.backends import servers

MADE = 1000
"""Traces that an app makes; the others are copies of them."""
COPIES = 10
ROUNDS = 5
DAY = 24 * 3600
PATIENCE = 60
"""Seconds that an answer is waited for. MLflow's server takes minutes for a search by text: SQLite looks
through all spans of the experiment for each trace."""
AT_ONCE = 6
"""Requests that a browser has open to one server."""

FILL = """
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()
experiment = mlflow.set_experiment("bench")
for number in range({traces}):
    try:
        with mlflow.start_span("answer", span_type="AGENT") as root:
            mlflow.update_current_trace(session_id=f"s-{{number // 5}}", user=f"u-{{number % 50}}",
                client_request_id=f"r-{{number}}", tags={{"team": "ab"[number % 2]}})
            root.set_inputs({{"question": "x" * 300, "topic": "needle" if number == {traces} // 2 else "hay"}})
            with mlflow.start_span("look up", span_type="TOOL") as tool:
                tool.set_inputs({{"key": "y" * 200}})
                tool.set_outputs("z" * 300)
            with mlflow.start_span("call", span_type="CHAT_MODEL") as call:
                call.set_inputs({{"model": "m", "messages": [{{"role": "user", "content": "x" * 300}}]}})
                call.set_outputs({{"choices": [{{"message": {{"role": "assistant", "content": "y" * 300}}}}]}})
                call.set_attribute("mlflow.chat.tokenUsage",
                    {{"input_tokens": number, "output_tokens": 2, "total_tokens": number + 2}})
            if number % 10 == 0:
                raise ValueError("no answer")
            root.set_outputs("y" * 300)
    except ValueError:
        pass
    if number % 200 == 199:
        mlflow.flush_trace_async_logging()
        handle.force_flush()
mlflow.flush_trace_async_logging()
handle.force_flush()
assert handle.stats().get("dropped", 0) == 0
print(experiment.experiment_id, root.trace_id)
import os, sys; sys.stdout.flush(); os._exit(0)
"""


@contextlib.contextmanager
def pages(jaeger, folder):
    """Yield the address of ``mlflow-otel ui`` over Jaeger."""
    places = ["--jaeger", jaeger, "--port", "0", "--folder", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow_otel", "ui", *places],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


class Reader:
    """Asks one server what MLflow's pages ask.

    Args:
        address: The server's.
        experiment: The ID of the experiment.
    """

    def __init__(self, address, experiment):
        self._http = httpx.Client(base_url=f"{address}/ajax-api/3.0/mlflow", timeout=PATIENCE)
        self._experiment = experiment

    def search(self, condition=None):
        """Return the first page of traces that meet a condition."""
        where = {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": self._experiment},
        }
        body = {"locations": [where], "max_results": 100}
        if condition is not None:
            body["filter"] = condition
        return self._answer(self._http.post("/traces/search", json=body)).get("traces", [])

    def trace(self, trace):
        """Return a trace with its spans."""
        return self._answer(self._http.get("/traces/get", params={"trace_id": trace}))["trace"]

    def charts(self):
        """Return the numbers of the overview's charts, asked as a browser does."""
        end = int(time.time() * 1000) + 3_600_000
        stretch = {"start_time_ms": end - 7 * DAY * 1000, "end_time_ms": end}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda chart: self._chart({**chart, **stretch}), CHARTS))

    def _chart(self, chart):
        body = {"experiment_ids": [self._experiment], **chart}
        return self._answer(self._http.post("/traces/metrics", json=body)).get("data_points", [])

    @staticmethod
    def _answer(answer):
        if answer.status_code != 200:
            raise RuntimeError(answer.text[:500])
        return answer.json()


def chart(view, metric, *aggregations, by=(), daily=True):
    """Return what a chart asks for."""
    kinds = [
        {"aggregation_type": "PERCENTILE", "percentile_value": one}
        if isinstance(one, int)
        else {"aggregation_type": one}
        for one in aggregations
    ]
    body = {"view_type": view, "metric_name": metric, "aggregations": kinds, "dimensions": list(by)}
    return {**body, "time_interval_seconds": DAY} if daily else body


CHARTS = [
    chart("TRACES", "trace_count", "COUNT"),
    chart("TRACES", "trace_count", "COUNT", daily=False),
    chart("TRACES", "trace_count", "COUNT", by=["trace_status"]),
    chart("TRACES", "latency", 50, 90, 99),
    chart("TRACES", "latency", "AVG", daily=False),
    chart("TRACES", "total_tokens", "SUM"),
    chart("TRACES", "total_tokens", "SUM", daily=False),
    chart("TRACES", "input_tokens", "SUM"),
    chart("TRACES", "output_tokens", "SUM"),
    chart("TRACES", "total_tokens", "AVG", 50, 90),
    chart("SPANS", "span_count", "COUNT", by=["span_name", "span_status"], daily=False),
    chart("SPANS", "span_count", "COUNT", by=["span_name"]),
    chart("SPANS", "latency", "AVG", by=["span_name"], daily=False),
    chart("ASSESSMENTS", "assessment_count", "COUNT", by=["assessment_name"], daily=False),
]
"""What the overview's charts ask."""

ASKED = {
    "a page of 100": (lambda r, _: r.search(), 100),
    "search by session": (lambda r, _: r.search("metadata.`mlflow.trace.session` = 's-7'"), 5),
    "search by status": (lambda r, _: r.search("status = 'ERROR'"), 100),
    "one trace": (lambda r, trace: r.trace(trace)["spans"], 3),
    "search by text": (lambda r, _: r.search("trace.text ILIKE '%needle%'"), 1),
}
"""What is asked, and how many the answer must have. The last: a server that was given up works on."""


def timed(ask):
    """Return how many milliseconds a call took."""
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


def tables(tmp, traces=MADE, copies=COPIES):
    """Yield the table."""
    folder = Path(tmp) / "store"
    folder.mkdir()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with servers.jaeger(folder) as (jaeger, grpc, http):
        filled = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            "OTEL_SERVICE_NAME": "bench",
            "MLFLOW_OTEL_METRICS": "false",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT": "true",
        }
        said = in_process(FILL.format(traces=traces), filled, timeout=3600)
        experiment, trace = said.split()
        ids, millis = in_database(folder / "mlflow.db", copies)
        in_jaeger(jaeger, f"http://127.0.0.1:{http}", ids, copies, millis)
        with servers.mlflow_server(folder) as sqlite, pages(jaeger, folder / "ui") as ours:
            yield (
                _title(traces * copies),
                _measured(Reader(ours, experiment), Reader(sqlite, experiment), trace),
            )


def _title(traces):
    return f"MLflow's pages over {traces:,} traces: what one request waits"


def _measured(ours, theirs, trace):
    rows = []
    cold = [timed(reader.charts) for reader in (ours, theirs)]
    rows.append(["the overview's charts, for the first time", *_row(*cold)])
    peers = {"ours": lambda: timed(ours.charts), "theirs": lambda: timed(theirs.charts)}
    rows.append(["the overview's charts, again", *_row(*in_turn(peers, ROUNDS).values())])
    for name, (ask, number) in ASKED.items():
        asking = {"ours": ours, "theirs": theirs}
        for whose, reader in tuple(asking.items()):
            try:
                found = len(ask(reader, trace))
            except httpx.ReadTimeout:
                del asking[whose]
                continue
            if found != number:
                raise RuntimeError(f"{name}: {found} instead of {number}")
        peers = {
            whose: lambda ask=ask, reader=reader: timed(lambda: ask(reader, trace))
            for whose, reader in asking.items()
        }
        measured = in_turn(peers, ROUNDS)
        rows.append([name, *_row(measured.get("ours"), measured.get("theirs"))])
    return table(
        ["", "`mlflow-otel ui` over Jaeger, ms", "MLflow's server on SQLite, ms", "ratio"], rows
    )


def _row(ours, theirs):
    """Return a row's figures; None is an answer that did not come in time."""
    shown = [f"over {PATIENCE * 1000}" if one is None else f"{one:.0f}" for one in (ours, theirs)]
    if ours is None or theirs is None:
        return [*shown, "—" if ours is None else f"below {ours / PATIENCE / 1000:.2f}"]
    return [*shown, f"{ours / theirs:.1f}"]
