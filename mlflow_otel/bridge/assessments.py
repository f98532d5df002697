"""Assessments as MLflow's REST API has them."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from mlflow_otel.bridge.trace_info import MalformedError
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.assessment import KINDS, AssessmentView, Kind, Operation
from mlflow_otel.mapping.values import as_dict, as_text, decode

MAX_TRACES: Final = 10_000
MAX_EACH: Final = 1000
MAX_NAME: Final = 250
MASK: Final[dict[str, str]] = {
    "assessmentName": "assessment_name",
    **{kind: kind for kind in KINDS},
    "rationale": "rationale",
    "metadata": "metadata",
    "valid": "valid",
}
"""The fields that an update may name."""


def now() -> str:
    """Return the time as MLflow's API writes it, so finely that a change comes after what it changes."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def shown(nanoseconds: int) -> str:
    """Return a time since the epoch as MLflow's API writes it."""
    at = datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new(said: object, trace_id: str, identity: str | None = None) -> dict[str, Any]:
    """Return an assessment as it is kept and answered: what a client said, an ID, both times.

    Args:
        said: As MLflow's API has it.
        trace_id: MLflow's ID of the judged trace.
        identity: Its ID; one is made when it is empty.

    Raises:
        MalformedError: It has no name, or no feedback, expectation or issue.
    """
    if not isinstance(said, dict):
        raise MalformedError("Missing value for required parameter 'assessment'")
    if not isinstance(said.get("assessment_name"), str) or not said["assessment_name"]:
        raise MalformedError("Missing value for required parameter 'assessment.assessment_name'")
    if not any(isinstance(said.get(kind), dict) for kind in KINDS):
        raise MalformedError(f"'assessment' must have one of: {', '.join(KINDS)}")
    at = now()
    return {
        "create_time": at,
        "last_update_time": at,
        **said,
        "trace_id": trace_id,
        "assessment_id": identity or f"a-{secrets.token_hex(16)}",
    }


def changed(known: Mapping[str, Any], said: object, mask: object) -> dict[str, Any]:
    """Return an assessment after an update: the fields that the mask names; metadata is merged."""
    if not isinstance(said, dict):
        raise MalformedError("Missing value for required parameter 'assessment'")
    named = [name.strip() for name in mask.split(",")] if isinstance(mask, str) else []
    fields = [MASK.get(name, name) for name in named if name] or [
        field for field in MASK.values() if field in said
    ]
    if not set(fields) <= set(MASK.values()):
        raise MalformedError(f"'update_mask' may name {', '.join(MASK)}")
    after = {**known, "last_update_time": now()}
    for field in fields:
        if field == "metadata":
            after[field] = {**as_dict(known.get(field)), **as_dict(said.get(field))}
        elif field in said:
            after[field] = said[field]
    return after


def view(document: Mapping[str, Any], operation: Operation = "create") -> AssessmentView:
    """Return the plain values of an assessment."""
    kind: Kind = next((one for one in KINDS if isinstance(document.get(one), dict)), "feedback")
    said = as_dict(document.get(kind))
    error, source = as_dict(said.get("error")), as_dict(document.get("source"))
    metadata = {str(k): v for k, v in as_dict(document.get("metadata")).items()}
    run = metadata.pop(keys.METADATA_SOURCE_RUN, None)
    valid = document.get("valid")
    return AssessmentView(
        name=as_text(document.get("assessment_name")),
        kind=kind,
        value=_value(kind, said),
        time=_nanoseconds(document.get("last_update_time")),
        rationale=_text(document.get("rationale")),
        error_code=_text(error.get("error_code")),
        error_message=_text(error.get("error_message")),
        error_stack_trace=_text(error.get("stack_trace")),
        source_type=_text(source.get("source_type")),
        source_id=_text(source.get("source_id")),
        assessment_id=_text(document.get("assessment_id")),
        run_id=_text(run),
        overrides=_text(document.get("overrides")),
        valid=valid if isinstance(valid, bool) else None,
        metadata=metadata,
        span_id=_text(document.get("span_id")),
        create_time_ms=_nanoseconds(document.get("create_time")) // 1_000_000,
        operation=operation,
    )


def _value(kind: Kind, said: Mapping[str, Any]) -> Any:
    if kind == "issue":
        return said.get("issue_name")
    serialized = as_dict(said.get("serialized_value"))
    return decode(serialized.get("value")) if serialized else said.get("value")


def _text(value: object) -> str | None:
    return None if value is None else as_text(value)


def _nanoseconds(value: object) -> int:
    """Return a time that is written as RFC 3339 says; without a zone it is UTC, and else it is now."""
    at = Timestamp()
    for text in (str(value), f"{value}Z"):
        try:
            at.FromJsonString(text)
        except (ValueError, OverflowError):
            continue
        return max(at.ToNanoseconds(), 0)
    return time.time_ns()


class Kept:
    """The assessments that clients made, for them to read, change and delete. The oldest go first.

    No lock: each step is one operation of a dict.

    Args:
        max_traces: Of how many traces they are kept.
        max_each: How many of one trace are.
    """

    def __init__(self, max_traces: int = MAX_TRACES, max_each: int = MAX_EACH) -> None:
        self._max_traces = max_traces
        self._max_each = max_each
        self._known: OrderedDict[int, OrderedDict[str, dict[str, Any]]] = OrderedDict()

    def put(self, trace_id: int, document: dict[str, Any]) -> None:
        """Keep one, in place of what was kept of it."""
        known = self._known.setdefault(trace_id, OrderedDict())
        known[document["assessment_id"]] = document
        if len(known) > self._max_each:
            known.popitem(last=False)
        if len(self._known) > self._max_traces:
            self._known.popitem(last=False)

    def get(self, trace_id: int, identity: str) -> dict[str, Any] | None:
        """Return one, or None."""
        known = self._known.get(trace_id)
        return None if known is None else known.get(identity)

    def remove(self, trace_id: int, identity: str) -> None:
        """Forget one."""
        known = self._known.get(trace_id)
        if known is not None:
            known.pop(identity, None)

    def of_trace(self, trace_id: int) -> list[dict[str, Any]]:
        """Return those of a trace."""
        known = self._known.get(trace_id)
        return [] if known is None else list(known.values())
