"""The bridge beside a real MLflow server and a Collector: traces a second, CPU a trace, and how long a client waits.

Each client sends a trace's spans and its ``TraceInfo`` at the same time, on a connection each, and the
next trace when all are answered. A trace counts when all of it is stored: MLflow's server answers then;
what the bridge takes must have arrived behind it. The Collector gets what MLflow's own OTLP export sends of the
same trace, one request without a ``TraceInfo``; it need not put anything together.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import mlflow_requests
from benchmarks.measure import OWN, ROOT, table
from tests.backends import servers

CLIENTS = 16
MANY = (64, 256)
ROUNDS = int(os.environ.get("MLFLOW_OTEL_BENCH_BRIDGE_ROUNDS", "3"))
BRIDGE_TRACES, SERVER_TRACES, COLLECTOR_TRACES = 800, 80, 3000
"""Of one round: some seconds of each."""
START_SECONDS = 240
OVERLOAD, OVERLOAD_CLIENTS, OVERLOAD_SECONDS = 2, 256, 10
OVERLOAD_BYTES = 2 * 1024 * 1024
"""What may wait for the backend meanwhile: a bound that is reached in these seconds."""
MOST_TRIES = 8
"""Of MLflow's Python client; then it gives a request up."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
AFTER = re.compile(rb"retry-after: *(\d+)", re.IGNORECASE)
TICKS = os.sysconf("SC_CLK_TCK")


class Found(NamedTuple):
    """What a round found.

    Args:
        rate: Traces a second, from the first request until the last trace was stored.
        cpu: Milliseconds of the server's processes, a trace.
        waits: Seconds that each trace's answers took.
        busiest: Milliseconds of the process that used most, a trace.
        first: Those of the process that accepts.
        refused: How many requests were answered with 503.
        tries: How often a request was sent at most.
    """

    rate: float
    cpu: float
    waits: list[float]
    busiest: float
    first: float
    refused: int
    tries: int


class Peer:
    """A server in a process of its own.

    Args:
        command: Starts it.
        url: Where it then listens.
        environ: Its own variables.
        stored: Returns how many spans were stored behind it, or None: they are when it answers.
        health: URL that answers once it works.
    """

    def __init__(self, command, url, environ, stored=None, health=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
        self.host = url.removeprefix("http://")
        self.stored = stored
        self.process = subprocess.Popen(
            command,
            env={**clean, **environ},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_SECONDS
        while not _answers(health or f"{url}/health"):
            assert self.process.poll() is None, command
            assert time.monotonic() < until, command
            time.sleep(0.2)

    def close(self):
        """End it."""
        self.process.terminate()
        self.process.wait(60)

    def cpu(self):
        """Return the seconds of CPU that it and its children used."""
        return sum(self.each().values())

    def counted(self, what):
        """Return one of the bridge's counters."""
        with urllib.request.urlopen(f"http://{self.host}/metrics") as answer:
            found = re.search(rf'{{what="{what}"}} (\d+)', answer.read().decode())
        return int(found[1]) if found else 0

    def each(self):
        """Return the seconds of CPU that each of its processes used, its own first."""
        return {pid: _spent(pid) for pid in family(self.process.pid)}


def _answers(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return answer.status == 200
    return False


def family(pid):
    """Yield a process and those below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def _spent(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(peer, said, traces, clients=CLIENTS, rate=None, *, patient=False):
    """Send traces to a server; return what was found.

    Args:
        peer: The server.
        said: What a trace's requests say.
        traces: How many.
        clients: At once.
        rate: Traces a second, or None: as fast as they are answered.
        patient: Whether a client that is answered with 503 comes again, as it is asked to; else that is an error.
    """
    spans = sum(
        len(group.spans)
        for request in said.spans
        for holder in request.resource_spans
        for group in holder.scope_spans
    )
    work = [mlflow_requests.requests(said, peer.host) for _ in range(traces)]
    waits: list[float] = []
    failed: list[Any] = []
    tries: list[int] = []
    stored, before = peer.stored and peer.stored(), peer.each()
    began = time.monotonic()
    threads = [
        threading.Thread(
            target=_client, args=(peer.host, work[n::clients], pace, patient, waits, tries, failed)
        )
        for n in range(clients)
        for pace in [None if rate is None else (began + n / rate, clients / rate)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while peer.stored and peer.stored() < stored + traces * spans and not failed:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    assert not failed, failed[:1]
    assert len(waits) == traces
    spent = [(seconds - before.get(pid, 0)) / traces * 1000 for pid, seconds in peer.each().items()]
    assert not peer.stored or peer.stored() == stored + traces * spans, "more arrived than was sent"
    again = sum(tries) - len(tries)
    return Found(traces / seconds, sum(spent), waits, max(spent), spent[0], again, max(tries))


class Line:
    """A kept connection. One that the server closed while it was idle is opened anew, as clients do.

    Args:
        host: Of the server.
        patient: As of ``run``.
    """

    def __init__(self, host, *, patient):
        name, _, port = host.partition(":")
        self._where = name, int(port)
        self._patient = patient
        self._open()

    def _open(self):
        self._socket = socket.create_connection(self._where, 120)

    def send(self, request):
        """Send a request."""
        self._request = request
        self._socket.sendall(request)

    def read(self):
        """Read the answer; return how often the request was sent."""
        for number in range(1, MOST_TRIES + 1):
            head = self._read()
            if head.startswith(b"HTTP/1.1 200"):
                return number
            after = AFTER.search(head)
            assert self._patient, head[:300]
            assert after, head[:300]
            time.sleep(int(after[1]))
            self.send(self._request)
        raise AssertionError("given up")

    def _read(self):
        came = self._socket.recv(65536)
        if not came:
            self._open()
            self.send(self._request)
        while b"\r\n\r\n" not in came:
            piece = self._socket.recv(65536)
            assert piece, "closed"
            came += piece
        head, _, body = came.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        left = int(length[1]) - len(body) if length else 0
        while left > 0:
            left -= len(self._socket.recv(min(left, 65536)))
        return head

    def close(self):
        """Close it."""
        self._socket.close()


def _client(host, work, pace, patient, waits, tries, failed):
    try:
        with contextlib.ExitStack() as stack:
            lines = [
                stack.enter_context(contextlib.closing(Line(host, patient=patient)))
                for _ in work[0]
            ]
            for number, requests in enumerate(work):
                if pace is not None:
                    time.sleep(max(pace[0] + number * pace[1] - time.monotonic(), 0))
                began = time.monotonic()
                order = list(zip(lines, requests, strict=True))
                random.shuffle(order)
                for line, request in order:
                    line.send(request)
                tries += [line.read() for line in lines]
                waits.append(time.monotonic() - began)
    except (OSError, AssertionError) as error:
        failed.append(error)


def bridge(sink, *arguments, **environ):
    """Return a bridge in front of the sink."""
    port, grpc = _free_port(), _free_port()
    command = [sys.executable, "-m", "mlflow_otel", "bridge", "--grpc", f"127.0.0.1:{grpc}"]
    return Peer(
        [*command, "--http", f"127.0.0.1:{port}", *arguments],
        f"http://127.0.0.1:{port}",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint("grpc"), **environ},
        sink.taken,
    )


def collector(sink):
    """Return a Collector with ``mlflow-native.yaml`` in front of the sink."""
    port, grpc, health = (_free_port() for _ in range(3))
    return Peer(
        [str(servers.COLLECTOR), "--config", str(servers.CONFIG / "mlflow-native.yaml")],
        f"http://127.0.0.1:{port}",
        {
            "OTLP_HTTP": f"127.0.0.1:{port}",
            "OTLP_GRPC": f"127.0.0.1:{grpc}",
            "HEALTH": f"127.0.0.1:{health}",
            "GATEWAY_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
        },
        sink.taken,
        f"http://127.0.0.1:{health}/",
    )


def server(tmp):
    """Return MLflow's server on SQLite, with a pool of connections that these clients do not exhaust."""
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", f"sqlite:///{tmp}/mlflow.db"]
    return Peer(
        [*command, "--workers", "1", *store, "--default-artifact-root", f"{tmp}/artifacts"],
        f"http://127.0.0.1:{port}",
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "100",
            "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "100",
        },
    )


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def p99(waits):
    """Return the 99th percentile, in ms."""
    return sorted(waits)[math.ceil(len(waits) * 0.99) - 1] * 1000


def tables(sink, tmp):
    """Yield the tables."""
    said = mlflow_requests.recorded()
    yield beside(sink, tmp, said)
    yield more_clients(sink, said)
    yield overload(sink, said)
    yield workers(sink, said)


def beside(sink, tmp, said):
    """Return the table of the bridge, MLflow's server and the Collector."""
    exported = mlflow_requests.recorded(otlp=True)
    with contextlib.ExitStack() as stack:
        peers = {
            "MLflow's server, SQLite": (server(tmp), said, SERVER_TRACES),
            "mlflow-otel bridge": (bridge(sink), said, BRIDGE_TRACES),
            "Collector with mlflow-native.yaml, MLflow's OTLP export": (
                collector(sink),
                exported,
                COLLECTOR_TRACES,
            ),
        }
        for peer, what, traces in peers.values():
            stack.callback(peer.close)
            run(peer, what, traces // 4)  # warm
        found = {name: [] for name in peers}
        for _ in range(ROUNDS):
            for name, (peer, what, traces) in peers.items():
                found[name].append(run(peer, what, traces))
        rows, first = [], None
        for name, (peer, what, traces) in peers.items():
            rate, cpu = (
                statistics.median(getattr(f, w) for f in found[name]) for w in ("rate", "cpu")
            )
            waits = [wait for f in found[name] for wait in f.waits]
            half = run(peer, what, traces, rate=rate / 2)
            first = first or (rate, cpu)
            rows.append(
                [
                    name,
                    f"{rate:.0f}",
                    f"{rate / first[0]:.1f}",
                    f"{cpu:.2f}",
                    f"1/{first[1] / cpu:.1f}",
                    f"{p99(waits):.0f}",
                    f"{p99(half.waits):.0f}",
                ]
            )
    return (
        f"MLflow's clients into the bridge, MLflow's server and a Collector, {CLIENTS} clients, 8 spans and 20 KB a trace",
        table(
            [
                "",
                "traces/s",
                "times the server's",
                "CPU ms a trace",
                "of the server's",
                "p99 ms, full load",
                "p99 ms, half load",
            ],
            rows,
        ),
    )


def more_clients(sink, said):
    """Return the table of a bridge with many clients."""
    peer, rows = bridge(sink), []
    with contextlib.closing(peer):
        run(peer, said, BRIDGE_TRACES // 4)  # warm
        for clients in (CLIENTS, *MANY):
            one = run(peer, said, BRIDGE_TRACES, clients)
            rows.append([clients, f"{one.rate:.0f}", f"{one.cpu:.2f}", f"{p99(one.waits):.0f}"])
    return (
        "The bridge with more clients",
        table(["clients", "traces/s", "CPU ms a trace", "p99 ms"], rows),
    )


def overload(sink, said):
    """Return the table of a bridge that is offered more than it can take: nothing is lost, nothing comes twice."""
    with contextlib.closing(bridge(sink)) as peer:
        run(peer, said, BRIDGE_TRACES // 4)  # warm
        full = run(peer, said, BRIDGE_TRACES).rate
    offered = OVERLOAD * full
    traces = int(offered * OVERLOAD_SECONDS)
    with contextlib.closing(bridge(sink, MLFLOW_OTEL_MAX_HELD_BYTES=str(OVERLOAD_BYTES))) as peer:
        # What left before its ``TraceInfo`` came has a span more, which says what the ``TraceInfo`` says.
        # The sink is asked first: an update is counted before it arrives.
        peer.stored = lambda: sink.taken() - peer.counted("updates")
        found = run(peer, said, traces, OVERLOAD_CLIENTS, offered, patient=True)
        updates = peer.counted("updates")
    return (
        f"{OVERLOAD} times what the bridge takes for {OVERLOAD_SECONDS} s, {OVERLOAD_CLIENTS} clients",
        table(
            [
                "traces/s at full load",
                "offered, traces/s",
                "traces sent",
                "spans lost or twice",
                "traces that left before their TraceInfo",
                "requests answered with 503",
                "tries at most",
                "s until all had arrived",
            ],
            [
                [
                    f"{full:.0f}",
                    f"{offered:.0f}",
                    traces,
                    0,  # else ``run`` fails
                    updates,
                    found.refused,
                    found.tries,
                    f"{traces / found.rate:.0f}",
                ]
            ],
        ),
    )


def workers(sink, said):
    """Return the table of a bridge with workers.

    Its clients and the sink share the machine's cores with it. So what more cores would give is told by the
    CPU of the busiest process, which is the limit when each process has a core.
    """
    with contextlib.ExitStack() as stack:
        peers = {
            "one process": bridge(sink),
            "--workers 1": bridge(sink, "--workers", "1"),
            "--workers 2": bridge(sink, "--workers", "2"),
        }
        for peer in peers.values():
            stack.callback(peer.close)
            run(peer, said, BRIDGE_TRACES // 4)  # warm
        found = {name: [] for name in peers}
        for _ in range(2 * ROUNDS):
            for name, peer in peers.items():
                found[name].append(run(peer, said, BRIDGE_TRACES))
    rows, allowed = [], []
    for name, rounds in found.items():
        rate, cpu, busiest, first = (
            statistics.median(getattr(one, what) for one in rounds)
            for what in ("rate", "cpu", "busiest", "first")
        )
        allowed.append(1000 / busiest)
        rows.append(
            [
                name,
                f"{rate:.0f}",
                f"{cpu:.2f}",
                f"{first:.2f}",
                f"{busiest:.2f}",
                f"{allowed[-1]:.0f}",
                f"{allowed[-1] / allowed[0]:.1f}",
            ]
        )
    return (
        f"The bridge with workers, {CLIENTS} clients; clients and backend on the same cores",
        table(
            [
                "",
                "traces/s",
                "CPU ms a trace",
                "of the accepting process",
                "of the busiest process",
                "traces/s that this allows, a core each",
                "of one process's",
            ],
            rows,
        ),
    )
