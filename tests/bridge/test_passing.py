"""What is not MLflow's passes through unchanged: any message that the schema of OTLP allows."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from mlflow_otel.v1.assessment_pb2 import Assessment
from tests.delivery.faults import Grpc

DEPTH = 9


def _is_repeated(field):
    """Tell whether a field is a list: older protobuf has no property for it, newer deprecates the label."""
    newer = getattr(field, "is_repeated", None)
    return field.label == Field.LABEL_REPEATED if newer is None else newer


SCALARS = {
    Field.CPPTYPE_STRING: st.text(st.characters(codec="utf-8"), max_size=6),
    Field.CPPTYPE_BOOL: st.booleans(),
    Field.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    Field.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    Field.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}


class Sent(Store):
    """Keeps the bytes of requests."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def add(self, signal, body):
        self.bodies.append(body)


def filled(draw, message, depth=0):
    """Set fields of a message at random, those of its parts too."""
    for field in message.DESCRIPTOR.fields:
        around = depth < 3  # what is around an item is there, or there would be nothing to see
        if not around and draw(st.integers(0, 3)) != 0:
            continue
        if field.message_type is not None:
            if depth >= DEPTH:
                continue
            inner = getattr(message, field.name)
            filled(draw, inner.add() if _is_repeated(field) else inner, depth + 1)
            continue
        value = SCALARS.get(field.cpp_type)
        if field.enum_type is not None:
            value = st.sampled_from([one.number for one in field.enum_type.values])
        elif field.type == Field.TYPE_BYTES:
            value = st.binary(max_size=16)
        drawn = draw(value)
        if _is_repeated(field):
            getattr(message, field.name).append(drawn)
        else:
            setattr(message, field.name, drawn)
    return message


@st.composite
def requests(draw, signal):
    return filled(draw, SHAPES[signal].request())


def items(request, signal):
    """Return each item with what is around it, as bytes."""
    (resources,) = (field.name for field in request.DESCRIPTOR.fields)
    found = []
    for holder in getattr(request, resources):
        scopes = holder.DESCRIPTOR.fields_by_number[2].name
        for scope in getattr(holder, scopes):
            inner = scope.DESCRIPTOR.fields_by_number[2].name
            around = (
                holder.resource.SerializeToString(deterministic=True),
                holder.schema_url,
                scope.scope.SerializeToString(deterministic=True),
                scope.schema_url,
            )
            found += [
                (*around, item.SerializeToString(deterministic=True))
                for item in getattr(scope, inner)
            ]
    return sorted(found)


@pytest.mark.parametrize("signal", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_is_not_mlflows_leaves_as_it_came(signal, data):
    request = data.draw(requests(signal))
    sent, accounting = Sent(), Accounting()
    with Receiver(store=sent) as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}
        intake = Intake(
            Settings.from_environment(environ, accounting), MappingOptions(), accounting
        )
        intake.otlp(signal, request)
        intake.close(10)
    left = [SHAPES[signal].request.FromString(body) for body in sent.bodies]
    assert [one for part in left for one in items(part, signal)] == items(request, signal)


def test_a_backend_that_takes_no_logs_loses_no_assessment_and_a_clients_own_logs_are_counted_as_lost():
    accounting = Accounting()
    with Receiver() as receiver, Grpc((grpc.StatusCode.UNIMPLEMENTED, None)) as refusing:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": refusing.environ["OTEL_EXPORTER_OTLP_ENDPOINT"],
        }
        intake = Intake(
            Settings.from_environment(environ, accounting), MappingOptions(), accounting
        )
        feedback = Feedback(intake, frozenset({"logs", "traces"}))
        verdict = Assessment(trace_id=f"tr-{7:032x}", assessment_name="correct")
        verdict.feedback.value.bool_value = True
        for _ in range(2):
            feedback.one(verdict)
        theirs = SHAPES["logs"].request()
        theirs.resource_logs.add().scope_logs.add().log_records.add(severity_text="theirs")
        intake.otlp("logs", theirs)
        intake.close(30)
        assert len(receiver.store.spans()) == 2
    counted = accounting.snapshot()
    assert counted["events.dropped"] == counted["events.dropped.unsupported"] == 2
    assert counted["dropped"] == 1
