"""``mlflow_otel.v1.Assessment``, and MLflow's entities."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from mlflow_otel.v1 import assessment_pb2 as pb

SOURCE_PREFIX: Final = "SOURCE_TYPE_"
UNSPECIFIED: Final = "SOURCE_TYPE_UNSPECIFIED"


def to_message(assessment: Any, client_request_id: str | None = None) -> pb.Assessment:
    """Return one of MLflow's assessments as a message.

    Args:
        assessment: MLflow's ``Feedback``, ``Expectation`` or ``IssueReference``.
        client_request_id: Names the judged trace, instead of the assessment's ``trace_id``.
    """
    fields = _fields(assessment.to_proto())
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
    from mlflow.entities import Assessment  # noqa: PLC0415
    from mlflow.protos.assessments_pb2 import Assessment as Theirs  # noqa: PLC0415

    fields = _fields(message)
    source = fields.setdefault("source", {})
    kind = source.get("source_type", UNSPECIFIED)
    source["source_type"] = kind if kind == UNSPECIFIED else kind.removeprefix(SOURCE_PREFIX)
    if "feedback" in fields:
        fields.setdefault("valid", True)
    theirs = ParseDict(fields, Theirs(), ignore_unknown_fields=True)
    for field in ("create_time", "last_update_time"):
        if field not in fields:  # MLflow reads an unset time as 1970
            getattr(theirs, field).GetCurrentTime()
    entity = Assessment.from_proto(theirs)
    entity.trace_id = message.trace_id or None
    return entity


def _fields(message: Message) -> dict[str, Any]:
    """Return a message's fields by name: the two messages agree in names, not in numbers."""
    return MessageToDict(message, preserving_proto_field_name=True)
