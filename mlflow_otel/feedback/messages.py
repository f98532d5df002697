"""``mlflow_otel.v1.Assessment``, and MLflow's entities: they agree in their fields' names, not numbers."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict

from mlflow_otel.feedback import mlflow_adapter
from mlflow_otel.v1 import assessment_pb2 as pb

SOURCE_PREFIX: Final = "SOURCE_TYPE_"
UNSPECIFIED: Final = "SOURCE_TYPE_UNSPECIFIED"


def to_message(assessment: Any, client_request_id: str | None = None) -> pb.Assessment:
    """Return one of MLflow's assessments as a message.

    Args:
        assessment: MLflow's ``Feedback``, ``Expectation`` or ``IssueReference``.
        client_request_id: Names the judged trace, instead of the assessment's ``trace_id``.
    """
    fields = mlflow_adapter.to_fields(assessment)
    kind = fields["source"].get("source_type", UNSPECIFIED)
    fields["source"]["source_type"] = kind if kind == UNSPECIFIED else SOURCE_PREFIX + kind
    if client_request_id is not None:
        fields.pop("trace_id", None)
        fields["client_request_id"] = client_request_id
    return ParseDict(fields, pb.Assessment(), ignore_unknown_fields=True)


def to_entity(message: pb.Assessment) -> Any:
    """Return a message as MLflow's entity; its ``trace_id`` is None when the message names a request.

    Raises:
        MlflowException: The message has no value.
    """
    fields = MessageToDict(message, preserving_proto_field_name=True)
    source = fields.setdefault("source", {})
    kind = source.get("source_type", UNSPECIFIED)
    source["source_type"] = kind if kind == UNSPECIFIED else kind.removeprefix(SOURCE_PREFIX)
    if "feedback" in fields:
        fields.setdefault("valid", True)
    entity = mlflow_adapter.from_fields(fields)
    entity.trace_id = message.trace_id or None
    return entity
