"""A backend that is away: the bridge takes what its bound allows, refuses the rest, and grows no further."""

from __future__ import annotations

import random
import re
from pathlib import Path

import httpx
import pytest

from tests.bridge.parts import Part, info_body, otlp_span
from tests.bridge.running import running
from tests.bridge.test_http import API, PROTOBUF, request
from tests.bridge.test_workers import counted
from tests.delivery.faults import free_port

MIB = 1024 * 1024
BOUND = 8 * MIB
TIMES = 5
"""What a byte that is counted may take of memory; as for the exporter (tests/tracing/test_bounds.py)."""
REST = 40 * MIB
"""What Python, its threads and their buffers take when there is work, whatever the bound."""
REFUSED = 60


def memory(bridge):
    """Bytes that all of its processes use."""
    texts = [
        Path(f"/proc/{pid}/status").read_text() for pid in (bridge.process.pid, *bridge.workers())
    ]
    return sum(int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024 for text in texts)


def whole(chance):
    """What a client sends of a trace, some 40 KB."""
    trace = chance.getrandbits(127) + 1
    spans = [otlp_span(Part(trace, number, number - 1)) for number in range(1, 5)]
    for span in spans:
        span.attributes.add(key="text").value.string_value = chance.randbytes(5000).hex()
    return request(*spans).SerializeToString(), info_body(trace)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_memory_is_bounded_however_long_the_backend_is_away(options):
    chance = random.Random(5)
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_OTEL_MAX_HELD_BYTES": str(BOUND),
    }
    with (
        running(*options, env=env) as bridge,
        httpx.Client(base_url=bridge.http, timeout=60) as http,
    ):
        statuses, before, most = [], None, 0
        while statuses.count(503) < REFUSED:
            body, info = whole(chance)
            spans = http.post("/v1/traces", content=body, headers=PROTOBUF)
            said = http.post(f"{API}/traces", json=info)
            statuses += [spans.status_code, said.status_code]
            before = before or memory(bridge)  # what it imports for its first request is there
            most = max(most, memory(bridge))
        found = counted(http)
    assert set(statuses) == {200, 503}
    assert not found.get("dropped")
    assert found["waiting.bytes"] < BOUND * 1.1
    grown = most - before
    print(f"{grown / MIB:.0f} MiB grown, {found}")
    assert grown < TIMES * BOUND + REST
