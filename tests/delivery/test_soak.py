"""Faults mixed at random, from a seed that is printed: the books balance, and what they say arrived did.

``MLFLOW_OTEL_TEST_SOAK_SECONDS`` (5) sets how long, ``MLFLOW_OTEL_TEST_SOAK_SEED`` repeats one; ``make soak``
runs for minutes.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider

from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import backlog, retry
from tests.delivery.faults import Grpc, Http
from tests.delivery.proxy import Proxy

SECONDS = float(os.environ.get("MLFLOW_OTEL_TEST_SOAK_SECONDS", "5"))
SEED = int(os.environ.get("MLFLOW_OTEL_TEST_SOAK_SEED", "0")) or random.SystemRandom().getrandbits(
    32
)


def partial(rejected):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    return ("partial taken", answer.SerializeToString())


class Moody:
    """A server's script that is never read twice alike."""

    def __init__(self, kind, chance):
        self.chance = chance
        code = grpc.StatusCode
        unavailable, refused, busy = (
            (
                (code.UNAVAILABLE, None),
                (code.INVALID_ARGUMENT, None),
                (code.RESOURCE_EXHAUSTED, 0.1),
            )
            if kind is Grpc
            else ((503, None), (400, None), (429, 0))
        )
        large = (
            (code.RESOURCE_EXHAUSTED, None, "message larger than max")
            if kind is Grpc
            else (413, None)
        )
        self.answers = ["ok"] * 8 + [("slow", 0.2), unavailable, busy, refused, partial(1), large]
        self.calm = False

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return "ok" if self.calm else self.chance.choice(self.answers)


def disturb(proxy, chance, until):
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.1, 0.6))
        match chance.randrange(5):
            case 0:
                proxy.cut()
            case 1:
                proxy.refusing = True
                proxy.cut()
                time.sleep(chance.uniform(0.1, 1.5))
                proxy.refusing = False
            case 2:
                proxy.delay = chance.choice([0, 0, 0.01, 0.1])
            case 3:
                proxy.cut_after = chance.choice([None, None, 50_000, 500_000])
            case _:
                pass
    proxy.refusing, proxy.delay, proxy.cut_after = False, 0.0, None


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("spool", [False, True], ids=["no spool", "spool"])
@pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])
def test_soak(kind, spool, tmp_path, monkeypatch):
    print(f"MLFLOW_OTEL_TEST_SOAK_SEED={SEED}")
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(retry, "MAX_BACKOFF_SECONDS", 0.5)
    monkeypatch.setattr(backlog, "LOOK_SECONDS", 0.5)
    chance = random.Random(SEED)
    accounting, ended, flushes = Accounting(), Counter(), Counter()
    with kind("ok") as server, Proxy(server.port) as proxy:
        server.script = mood = Moody(kind, random.Random(chance.random()))
        environ = {
            **server.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{proxy.port}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            **({"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path)} if spool else {}),
        }
        settings = Settings.from_environment(environ, accounting)
        exporter = MlflowSpanExporter(settings, accounting=accounting)
        processor = MlflowSpanProcessor(exporter, settings, accounting=accounting)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        until = time.monotonic() + SECONDS

        def work(number, mine):
            tracer = provider.get_tracer("app")
            count = 0
            while time.monotonic() < until:
                with tracer.start_as_current_span(f"{number}-{count}") as root:
                    root.set_attribute("text", mine.randbytes(mine.choice([10, 100, 3000])).hex())
                    for _ in range(mine.randrange(4)):
                        count += 1
                        tracer.start_span(f"{number}-{count}").end()
                count += 1
                if mine.random() < 0.02:
                    started = time.monotonic()
                    flushes[processor.force_flush(200)] += 1
                    assert time.monotonic() - started < 5
                time.sleep(0.002)
            ended[number] = count

        workers = [
            threading.Thread(target=work, args=(n, random.Random(chance.random())))
            for n in range(3)
        ]
        for worker in workers:
            worker.start()
        disturb(proxy, random.Random(chance.random()), until)
        for worker in workers:
            worker.join()
        mood.calm = True
        settled = time.monotonic() + 240  # a spool that goes on shrinking under load is no failure
        while time.monotonic() < settled:
            processor.force_flush(1000)
            stats = processor.stats()
            if not (stats["queued"] or stats["in_flight"] or stats["spooled"]):
                break
        provider.shutdown()
        names, stats = Counter(server.names), processor.stats()
    counted, total = accounting.snapshot(), sum(ended.values())
    print(f"{total} spans: {counted}, {len(names)} arrived, flushes {dict(flushes)}")
    assert not any(stats.values())
    exported, dropped = counted.get("exported", 0), counted.get("dropped", 0)
    assert exported + dropped + counted.get("rejected_by_server", 0) == total
    # By the server's word, or, where faults cost more than the network carries, for want of room.
    assert dropped == counted.get("dropped.rejected", 0) + counted.get("dropped.queue_full", 0)
    assert len(names) >= exported
    assert set(names) <= {f"{n}-{i}" for n, count in ended.items() for i in range(count)}
