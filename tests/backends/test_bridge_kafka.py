"""Bridges with a real Kafka between them, under real MLflow clients: whoever is killed, what was accepted arrives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from mlflow_otel.receiver.server import Receiver
from tests.backends import servers
from tests.backends.stack import eventually
from tests.bridge.parts import Part, info_body, traces_json
from tests.bridge.running import running
from tests.conftest import PREFIXES, ROOT
from tests.delivery import certificates

pytestmark = [pytest.mark.backend, pytest.mark.timeout(400)]

APP = Path(ROOT) / "tests" / "backends" / "kafka_client_app.py"
TRACES = 120
OLD_SOON = {"MLFLOW_TRACE_TIMEOUT_SECONDS": "30"}
"""What comes after its trace went to another bridge does not wait long for the rest."""
PATIENT = {"MLFLOW_TRACE_TIMEOUT_SECONDS": "120"}
"""A client that was refused comes again after up to 30 s, and may be refused once more. A trace that waits no longer
leaves without what its client still has to send."""
NAMES = {"answer", "look up", "read"}


@contextlib.contextmanager
def clients(uris, pause=0.02):
    """Yield apps that run, one for each URI."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    own = {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT)}
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(APP), str(TRACES), str(pause), f"app-{number}"],
                    env={**own, "MLFLOW_TRACKING_URI": uri},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for number, uri in enumerate(uris)
        ]


def ended(apps):
    """Return what the apps made, once they have ended."""
    made, judged, tagged = [], {}, []
    for app in apps:
        out, err = app.communicate(timeout=120)
        assert app.returncode == 0, err[-3000:]
        said = json.loads(out.splitlines()[-1])
        made += said["made"]
        judged |= said["judged"]
        tagged += said["tagged"]
    return made, judged, tagged


def arrived(sink):
    """Return the spans behind the bridges: those of the apps by trace, the others by name."""
    spans, others = {}, {}
    for span in sink.store.spans():
        place = (span["trace_id"], span["span_id"])
        if span["name"] == "trace update" or "gen_ai.evaluation.name" in span["attributes"]:
            others.setdefault(place, []).append(span)
        else:
            spans.setdefault(place, []).append(span)
    return spans, others


def whole(sink):
    """Return the traces of which all three spans are behind the bridges."""
    traces = Counter(trace for trace, _ in arrived(sink)[0])
    return {f"tr-{trace}" for trace, number in traces.items() if number == len(NAMES)}


def missing(sink, judged, tagged):
    """Return the assessments and the traces with a tag of their own that are not there yet."""
    found = set()
    for span in sink.store.spans():
        trace = f"tr-{span['trace_id']}"
        found.add((trace, span["attributes"].get("mlflow.assessment.id")))
        found.add((trace, span["attributes"].get("mlflow.traceTag.later")))
    return {*judged.items(), *((trace, "yes") for trace in tagged)} - found


def check(sink, made, judged, tagged):
    """See that all that was accepted is there, with its trace's meaning; return what is there twice."""
    eventually(lambda: whole(sink) >= set(made), 150)
    spans, _ = arrived(sink)
    assert {f"tr-{trace}" for trace, _ in spans} == set(made)
    roots = [one for copies in spans.values() for one in copies if not one["parent_span_id"]]
    assert [one for one in roots if one["attributes"].get("session.id") != "s-1"] == []

    eventually(lambda: not missing(sink, judged, tagged), 90)
    return sum(len(copies) - 1 for copies in spans.values())


def test_one_of_each_is_killed_under_load_and_all_that_was_accepted_arrives(tmp_path, capsys):
    port, controller = servers.free_ports(2)
    (tmp_path / "client.conf").write_text("session.timeout.ms=6000\n")
    common = [f"--kafka=127.0.0.1:{port}", f"--kafka-config={tmp_path / 'client.conf'}"]
    http = [f"--http=127.0.0.1:{one}" for one in servers.free_ports(2)]
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Receiver())

        def bridge(role, *more):
            return stack.enter_context(
                running(*common, f"--kafka-role={role}", *more, env=OLD_SOON, receiver=sink)
            )

        one, other = bridge("accept", http[0]), bridge("accept", http[1])
        # No broker yet: nothing is taken, and the clients are told when to come again.
        refused = httpx.post(f"{one.http}/api/3.0/mlflow/traces", json=info_body(7))
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 2) == (503, True)
        assert httpx.get(f"{one.http}/readyz").status_code == 503
        stack.enter_context(servers.kafka(tmp_path, (port, controller)))
        for accepting in (one, other):
            eventually(lambda b=accepting: httpx.get(f"{b.http}/readyz").status_code == 200, 60)
        mapping, killed = bridge("map"), bridge("map")
        with clients([one.http, one.http, other.http, other.http]) as apps:
            eventually(lambda: len(whole(sink)) > TRACES / 2, 60)
            one.stop(signal.SIGKILL)
            bridge("accept", http[0])
            eventually(lambda: len(whole(sink)) > TRACES, 60)
            killed.stop(signal.SIGKILL)
            made, judged, tagged = ended(apps)
        assert len(made) == 4 * TRACES
        twice = check(sink, made, judged, tagged)
        assert mapping.stop() == 0
        assert other.stop() == 0
        with capsys.disabled():
            print(f"\n{len(made)} traces, {3 * len(made)} spans: {twice} arrived twice")
        assert twice < len(made)


def test_a_bridge_that_comes_and_one_that_goes_lose_nothing_and_send_nothing_twice(tmp_path, capfd):
    with servers.kafka(tmp_path) as broker, Receiver() as sink:
        common = [f"--kafka={broker}"]
        with (
            running(*common, "--kafka-role=accept", env=OLD_SOON, receiver=sink) as accepting,
            running(*common, env=OLD_SOON, receiver=sink) as both,
        ):
            for one in (accepting, both):
                eventually(lambda b=one: httpx.get(f"{b.http}/readyz").status_code == 200, 60)
            # A trace without its root holds the commit of its partition back until the end.
            held = json.dumps(info_body(9))
            httpx.post(f"{accepting.http}/api/3.0/mlflow/traces", content=held).raise_for_status()
            with clients([accepting.http, both.http], pause=0.05) as apps:
                eventually(lambda: len(whole(sink)) > 30, 60)
                with running(*common, "--kafka-role=map", env=OLD_SOON, receiver=sink) as comes:
                    eventually(lambda: len(whole(sink)) > TRACES, 60)
                    assert comes.stop() == 0
                made, judged, tagged = ended(apps)
            twice = check(sink, made, judged, tagged)
        # A commit on its way while the group is put together anew may be refused: then its records are
        # read once more, and a bridge says so.
        assert twice == 0 or "did not take how far was read" in capfd.readouterr().err


def test_a_broker_that_is_away_for_a_while_under_load_loses_nothing(tmp_path):
    ports = servers.free_ports(2)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Receiver())
        with servers.kafka(tmp_path, ports) as broker:
            bridges = [
                stack.enter_context(
                    running(f"--kafka={broker}", f"--kafka-role={role}", env=PATIENT, receiver=sink)
                )
                for role in ("accept", "map")
            ]
            eventually(lambda: httpx.get(f"{bridges[0].http}/readyz").status_code == 200, 60)
            apps = stack.enter_context(clients([bridges[0].http] * 2, pause=0.05))
            eventually(lambda: len(whole(sink)) > TRACES / 4, 60)
        eventually(lambda: httpx.get(f"{bridges[0].http}/readyz").status_code == 503, 60)
        with servers.kafka(tmp_path, ports):
            check(sink, *ended(apps))
            for bridge in bridges:
                assert bridge.stop() == 0


def test_all_that_clients_send_goes_through_kafka(tmp_path):
    trace = 2**99 + 1
    named = f"tr-{trace:032x}"
    with (
        servers.kafka(tmp_path) as broker,
        Receiver() as sink,
        running(f"--kafka={broker}", env=OLD_SOON, receiver=sink) as bridge,
    ):
        eventually(lambda: httpx.get(f"{bridge.http}/readyz").status_code == 200, 60)
        api = f"{bridge.http}/api/3.0/mlflow/traces"
        parts = [Part(trace, 1, 0), Part(trace, 2, 1)]
        answer = httpx.post(api, json=info_body(trace)).json()["trace"]["trace_info"]
        assert "mlflow.trace.spansLocation" not in answer["tags"]  # no span of it came
        place = answer["tags"]["mlflow.artifactLocation"].removeprefix("mlflow-artifacts:")
        uploads = f"{bridge.http}/api/2.0/mlflow-artifacts/artifacts{place}/traces.json"
        httpx.put(uploads, content=json.dumps(traces_json(parts))).raise_for_status()
        again = httpx.post(api, json=info_body(trace)).json()["trace"]["trace_info"]
        assert again["tags"]["mlflow.trace.spansLocation"] == "TRACKING_STORE"
        spans = bridge.spans(2, trace_id=f"{trace:032x}")
        assert {span["span_id"] for span in spans} == {f"{n:016x}" for n in (1, 2)}
        # By the request's ID, as this bridge remembers it; then changed, and removed.
        said = {
            "client_request_id": f"req-{trace}",
            "assessment_name": "good",
            "feedback": {"value": True},
        }
        made = httpx.post(f"{bridge.http}/v1/feedback", json=said).json()["assessment"]
        assert made["trace_id"] == named
        one = f"{api}/{named}/assessments/{made['assessment_id']}"
        change = {"assessment": {"rationale": "so"}, "update_mask": "rationale"}
        httpx.patch(one, json=change).raise_for_status()
        httpx.request("DELETE", one).raise_for_status()
        assert httpx.get(one).status_code == 404
        told = bridge.logs(3, trace_id=f"{trace:032x}")
        operations = [log["attributes"].get("mlflow.assessment.operation") for log in told]
        assert sorted(operations, key=str) == [None, "delete", "update"]
        assert {log["attributes"]["session.id"] for log in told} == {"s-1"}
        tags = f"{bridge.http}/api/2.0/mlflow/traces/{named}/tags"
        httpx.patch(tags, json={"key": "k", "value": "v"}).raise_for_status()
        httpx.request("DELETE", tags, json={"key": "k"}).raise_for_status()
        updates = bridge.spans(2, name="trace update")
        assert {span["parent_span_id"] for span in updates} == {f"{1:016x}"}
        # What other clients send: their spans as they are, by gRPC; logs go past Kafka.
        other = ExportTraceServiceRequest()
        scoped = other.resource_spans.add().scope_spans.add()
        scoped.scope.name = "somebody"
        scoped.spans.add(trace_id=b"o" * 16, span_id=b"o" * 8, name="of others")
        with grpc.insecure_channel(bridge.grpc) as channel:
            TraceServiceStub(channel).Export(other, timeout=20)
        assert bridge.spans(1, name="of others")
        # Wrong is told at once, and is not written.
        assert httpx.put(uploads, content="[]").status_code == 400
        found = httpx.get(f"{api}/get", params={"trace_id": named}, timeout=20)
        assert len(found.json()["trace"]["spans"]) == 2
        counted = httpx.get(f"{bridge.http}/metrics").text
        assert 'what="accepted.traces"} 3' in counted
        assert 'what="dropped"' not in counted
        assert bridge.stop() == 0


def test_a_bridge_that_stood_still_longer_than_a_trace_may_wait_reads_the_rest_first(tmp_path):
    trace = 2**99 + 7
    with (
        servers.kafka(tmp_path) as broker,
        Receiver() as sink,
        running(f"--kafka={broker}", "--kafka-role=accept", receiver=sink) as accepting,
        running(
            f"--kafka={broker}",
            "--kafka-role=map",
            env={"MLFLOW_TRACE_TIMEOUT_SECONDS": "4"},
            receiver=sink,
        ) as mapping,
    ):
        eventually(lambda: httpx.get(f"{accepting.http}/readyz").status_code == 200, 60)
        api = f"{accepting.http}/api/3.0/mlflow/traces"
        uploads = f"{accepting.http}/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-{trace:032x}"
        root = json.dumps(traces_json([Part(trace, 1, 0)]))
        httpx.put(f"{uploads}/artifacts/traces.json", content=root).raise_for_status()
        eventually(lambda: 'what="held.items"} 1' in httpx.get(f"{mapping.http}/metrics").text, 60)
        mapping.process.send_signal(signal.SIGSTOP)
        httpx.post(api, json=info_body(trace)).raise_for_status()
        time.sleep(6)
        mapping.process.send_signal(signal.SIGCONT)
        (span,) = mapping.spans(1, trace_id=f"{trace:032x}")
        assert span["attributes"]["session.id"] == "s-1"
        assert 'what="released_early' not in httpx.get(f"{mapping.http}/metrics").text


def test_a_trace_does_not_age_while_the_brokers_are_away(tmp_path):
    trace, ports = 2**99 + 11, servers.free_ports(2)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Receiver())
        with servers.kafka(tmp_path, ports) as broker:
            accepting = stack.enter_context(
                running(f"--kafka={broker}", "--kafka-role=accept", receiver=sink)
            )
            mapping = stack.enter_context(
                running(
                    f"--kafka={broker}",
                    "--kafka-role=map",
                    env={"MLFLOW_TRACE_TIMEOUT_SECONDS": "4"},
                    receiver=sink,
                )
            )
            eventually(lambda: httpx.get(f"{accepting.http}/readyz").status_code == 200, 60)
            uploads = (
                f"{accepting.http}/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-{trace:032x}"
            )
            root = json.dumps(traces_json([Part(trace, 1, 0)]))
            httpx.put(f"{uploads}/artifacts/traces.json", content=root).raise_for_status()
            eventually(
                lambda: 'what="held.items"} 1' in httpx.get(f"{mapping.http}/metrics").text, 60
            )
        time.sleep(6)
        with servers.kafka(tmp_path, ports):
            api = f"{accepting.http}/api/3.0/mlflow/traces"
            eventually(lambda: httpx.post(api, json=info_body(trace)).status_code == 200, 60)
            (span,) = mapping.spans(1, trace_id=f"{trace:032x}")
        assert span["attributes"]["session.id"] == "s-1"
        assert 'what="released_early' not in httpx.get(f"{mapping.http}/metrics").text


PASSWORD = "of the bridge = hers"
CLIENT = """
# TLS, and a name and a password
security.protocol=SASL_SSL
sasl.mechanisms=PLAIN
sasl.username=bridge
sasl.password={password}
ssl.ca.location={ca}
"""


def test_a_kafka_with_tls_and_passwords_is_configured_by_a_file(tmp_path, capfd):
    files = certificates.make(tmp_path / "tls")
    secure = {
        "user": "bridge",
        "password": PASSWORD,
        "keystore": files["keystore.pem"],
        "ca": files["ca.pem"],
    }
    right, wrong = tmp_path / "right.conf", tmp_path / "wrong.conf"
    right.write_text(CLIENT.format(password=PASSWORD, ca=files["ca.pem"]))
    wrong.write_text(CLIENT.format(password="not this one", ca=files["ca.pem"]))
    with (
        servers.kafka(tmp_path, secure=secure) as broker,
        Receiver() as sink,
        running(
            f"--kafka={broker}", f"--kafka-config={right}", "--kafka-role=accept", receiver=sink
        ) as accepting,
        running(f"--kafka={broker}", f"--kafka-config={right}", "--kafka-role=map", receiver=sink),
        running(
            f"--kafka={broker}", f"--kafka-config={wrong}", "--kafka-role=accept", receiver=sink
        ) as refused,
    ):
        eventually(lambda: httpx.get(f"{accepting.http}/readyz").status_code == 200, 60)
        trace = 2**99 + 9
        uploads = f"{accepting.http}/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-{trace:032x}"
        spans = json.dumps(traces_json([Part(trace, 1, 0)]))
        httpx.put(f"{uploads}/artifacts/traces.json", content=spans).raise_for_status()
        httpx.post(
            f"{accepting.http}/api/3.0/mlflow/traces", json=info_body(trace)
        ).raise_for_status()
        (span,) = accepting.spans(1, trace_id=f"{trace:032x}")
        assert span["attributes"]["session.id"] == "s-1"
        eventually(lambda: "Authentication failed" in httpx.get(f"{refused.http}/readyz").text, 60)
        assert httpx.get(f"{refused.http}/readyz").status_code == 503
        said = capfd.readouterr().err + httpx.get(f"{refused.http}/readyz").text
        assert "not this one" not in said
