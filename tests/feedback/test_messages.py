"""The messages in proto/: MLflow's entities through them, a real gRPC server, and buf's rules."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback
from mlflow.entities.assessment import IssueReference
from mlflow.exceptions import MlflowException

from mlflow_otel.feedback.client import AssessmentClient
from mlflow_otel.feedback.messages import to_entity, to_message
from mlflow_otel.v1 import assessment_pb2, assessment_service_pb2, assessment_service_pb2_grpc
from tests.conftest import ROOT

TRACE = f"tr-{7:032x}"
FULL = {
    "source": AssessmentSource("LLM_JUDGE", "gpt-4"),
    "trace_id": TRACE,
    "metadata": {"k": "v"},
    "span_id": "a" * 16,
    "create_time_ms": 1_700_000_000_123,
    "last_update_time_ms": 1_700_000_001_456,
}
ENTITIES = [
    Feedback(name="n", value=0.5, rationale="why", overrides="a-0", valid=False, **FULL),
    Feedback(name="n", value=True, source=AssessmentSource("HUMAN", "ann"), trace_id=TRACE),
    Feedback(name="n", value="text", source=AssessmentSource("CODE", "c"), trace_id=TRACE),
    Feedback(name="n", value=[1.0, "a", False], trace_id=TRACE),
    Feedback(name="n", value={"a": {"b": 0.5}}, trace_id=TRACE),
    Feedback(name="n", error=AssessmentError("E", "said", "trace"), trace_id=TRACE),
    Expectation(name="n", value="Paris", **FULL),
    Expectation(name="n", value={"list": [1, 2, {"deep": None}]}, trace_id=TRACE),
    Expectation(name="n", value=False, trace_id=TRACE),
    IssueReference(issue_id="iss-1", issue_name="Too slow", trace_id=TRACE),
]


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda e: f"{type(e).__name__}-{e.name}")
def test_mlflows_entities_come_back_from_the_message_as_they_were(entity):
    entity.assessment_id = "a-1"
    message = to_message(entity)
    parsed = type(message).FromString(message.SerializeToString())
    assert to_entity(parsed) == entity


def test_a_message_may_name_the_request_instead_of_the_trace():
    message = to_message(ENTITIES[0], client_request_id="req-1")
    assert message.WhichOneof("target") == "client_request_id"
    assert to_entity(message).trace_id is None


def test_a_message_with_the_least_in_it_is_an_entity_made_now():
    message = assessment_pb2.Assessment(assessment_name="n", trace_id=TRACE)
    message.feedback.value.bool_value = True
    entity = to_entity(message)
    assert (entity.value, entity.trace_id, entity.valid) == (True, TRACE, True)
    assert entity.create_time_ms > 1_700_000_000_000
    with pytest.raises(MlflowException):
        to_entity(assessment_pb2.Assessment(assessment_name="n", trace_id=TRACE))


class Service(assessment_service_pb2_grpc.AssessmentServiceServicer):
    def __init__(self):
        self.received = []

    def Export(self, request, context):
        self.received += request.assessments
        bad = [a for a in request.assessments if not a.WhichOneof("target")]
        answer = assessment_service_pb2.ExportResponse()
        if bad:
            answer.partial_success.rejected_assessments = len(bad)
            answer.partial_success.error_message = "no trace_id and no client_request_id"
        return answer


def test_the_client_sends_to_a_service_and_hears_what_was_rejected():
    service, server = Service(), grpc.server(ThreadPoolExecutor(2))
    assessment_service_pb2_grpc.add_AssessmentServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with AssessmentClient(f"127.0.0.1:{port}") as client:
        good = to_message(ENTITIES[0])
        answer = client.export([good, assessment_pb2.Assessment(assessment_name="lost")])
        assert (answer.rejected_assessments, "client_request_id" in answer.error_message) == (
            1,
            True,
        )
        assert client.export([good]).rejected_assessments == 0
    assert service.received[0] == good
    server.stop(0).wait()
    with AssessmentClient(f"127.0.0.1:{port}", timeout=2) as client, pytest.raises(grpc.RpcError):
        client.export([good])


FILES = sorted((ROOT / "proto").rglob("*.proto"))


def test_the_fields_are_named_as_mlflows():
    from mlflow.protos import assessments_pb2 as theirs

    for name in (
        "Assessment",
        "AssessmentSource",
        "AssessmentError",
        "Feedback",
        "Expectation",
        "IssueReference",
    ):
        here = {f.name for f in assessment_pb2.DESCRIPTOR.message_types_by_name[name].fields}
        there = {f.name for f in theirs.DESCRIPTOR.message_types_by_name[name].fields}
        assert here - there <= {"client_request_id"}
        assert there - here <= {"error"}  # deprecated there: it stands in the feedback


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_the_files_keep_bufs_rules(file):
    """Those of STANDARD and COMMENTS that a descriptor and the text tell; `buf lint proto` has them all."""
    text = file.read_text()
    package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)[1]
    assert re.fullmatch(r"([a-z_0-9]+\.)+v\d+", package)
    assert str(file.parent.relative_to(ROOT / "proto")) == package.replace(".", "/")
    assert re.fullmatch(r"[a-z0-9_]+\.proto", file.name)
    declared = re.compile(
        r"^\s*(message|enum|service|rpc|oneof|[\w.<>, ]+ \w+ = \d+;)", re.MULTILINE
    )
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if declared.match(line) and not line.strip().startswith("//"):
            assert lines[number - 1].strip().startswith("//"), f"{line} has no comment"
    for name in re.findall(r"^service (\w+)", text, re.MULTILINE):
        assert name.endswith("Service")
    for name, asked, answered in re.findall(r"rpc (\w+)\((\w+)\) returns \((\w+)\)", text):
        assert (asked, answered) == (f"{name}Request", f"{name}Response")
    for name, body in re.findall(r"enum (\w+) \{(.*?)\}", text, re.DOTALL):
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        values = re.findall(r"^\s*([A-Z_]+) = (\d+);", body, re.MULTILINE)
        assert (f"{prefix}_UNSPECIFIED", "0") in values
        assert all(value.startswith(prefix) for value, _ in values)
    fields = re.findall(
        r"^\s*[\w.<>, ]+ (\w+) = \d+;",
        re.sub(r"enum \w+ \{.*?\}", "", text, flags=re.DOTALL),
        re.MULTILINE,
    )
    assert fields or "service" in text
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", field) for field in fields)
