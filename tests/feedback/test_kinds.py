"""Every kind of assessment, in each place that knows the kinds: a new one fails here until all know it."""

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from mlflow_otel.bridge import answers, assessments
from mlflow_otel.bridge.trace_info import MalformedError
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback import mlflow_adapter as of_mlflow
from mlflow_otel.filtering import grammar
from mlflow_otel.filtering.matching import AssessmentValues, TraceValues, matches
from mlflow_otel.mapping.assessment import KINDS, AssessmentView, event_attributes
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.store import mlflow_adapter as for_mlflow
from mlflow_otel.v1.assessment_pb2 import Assessment

EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def judged(kind):
    return AssessmentView(
        name="ticket",
        kind=kind,
        value="late",
        time=1_790_000_000_000_000_000,
        source_type="HUMAN",
        source_id="ann",
        assessment_id="a-1",
        create_time_ms=1_790_000_000_000,
    )


def same(found, kind):
    return (found.name, found.kind, found.value) == ("ticket", kind, "late")


@EACH_KIND
def test_mlflows_entity_of_each_kind_is_made_and_read(kind):
    entity = for_mlflow.assessment("tr-1", judged(kind))
    assert getattr(entity, kind) is not None
    assert same(of_mlflow.view_of(entity), kind)


@EACH_KIND
def test_mlflows_own_message_of_each_kind_is_read_and_written(kind):
    message = for_mlflow.assessment("tr-1", judged(kind)).to_proto()
    document = MessageToDict(message, preserving_proto_field_name=True)
    assert same(assessments.view(document), kind)
    written = ParseDict(answers.assessment("tr-1", judged(kind)), type(message)())
    assert getattr(written, kind) == getattr(message, kind)


@EACH_KIND
def test_mlflows_api_answers_with_each_kind_and_takes_it(kind):
    document = answers.assessment("tr-1", judged(kind))
    assert kind in document
    assert same(assessments.view(document), kind)
    assert same(assessments.view(assessments.new(document, "tr-1", "a-1")), kind)


@EACH_KIND
def test_mlflows_api_takes_a_change_of_each_kind(kind):
    known = answers.assessment("tr-1", judged(kind))
    said = answers.assessment("tr-1", judged(kind)._replace(value="early"))
    after = assessments.changed(known, {kind: said[kind]}, kind)
    assert assessments.view(after).value == "early"


@EACH_KIND
def test_a_wrong_assessment_is_answered_with_each_kind(kind):
    with pytest.raises(MalformedError, match=kind):
        assessments.new({"assessment_name": "ticket"}, "tr-1")


@EACH_KIND
def test_the_event_names_each_kind(kind):
    assert event_attributes(judged(kind), {}, MappingOptions())[keys.ASSESSMENT_TYPE] == kind


@EACH_KIND
def test_a_message_of_proto_carries_each_kind(kind):
    assert kind in {field.name for field in Assessment.DESCRIPTOR.oneofs_by_name["value"].fields}


@EACH_KIND
def test_a_filter_string_may_ask_for_each_kind(kind):
    asked = "issue.id = 'ticket'" if kind == "issue" else f"{kind}.ticket = 'late'"
    clauses = grammar.parse(asked)
    assert [found.entity for found in clauses] == [kind]
    for there in KINDS:
        trace = TraceValues({}, assessments=[AssessmentValues(there, "ticket", "late")])
        assert matches(clauses, trace) is (there == kind)


def test_an_entity_of_a_kind_that_is_not_known_is_said():
    class Unknown:
        feedback = expectation = issue = None

    with pytest.raises(of_mlflow.UnknownKindError, match="Unknown is none of: feedback"):
        of_mlflow.view_of(Unknown())
