"""MLflow's ``TraceInfo`` as its REST API has it in JSON, and the context that it gives its spans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.values import as_dict, as_text, decode

TRACE_ID: Final = re.compile(r"tr-([0-9a-f]{32})")
PREFIX: Final = "tr-"
SIZES: Final = frozenset({"mlflow.trace.sizeBytes", "mlflow.trace.sizeStats"})
"""Metadata in which a client says how large the trace is that it sends to a server. It says nothing of the trace."""


class MalformedError(ValueError):
    """What a client sent is not what MLflow's API defines; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class TraceInfo:
    """What a client said of a trace.

    Args:
        trace_id: OpenTelemetry's ID.
        document: The ``trace_info`` object as it came, for whoever asks for it.
    """

    trace_id: int
    document: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mlflow_id(self) -> str:
        """MLflow's ID."""
        return mlflow_id(self.trace_id)

    @property
    def experiment_id(self) -> str | None:
        """The experiment's ID."""
        location = as_dict(as_dict(self.document.get("trace_location")).get("mlflow_experiment"))
        found = location.get("experiment_id")
        return None if found is None else str(found)

    def in_experiment(self, identity: str) -> TraceInfo:
        """Return the same in another experiment."""
        location = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": identity}}
        return replace(self, document={**self.document, "trace_location": location})

    @property
    def client_request_id(self) -> str | None:
        """The app's ID of the request that the trace is of."""
        found = self.document.get("client_request_id")
        return None if found in (None, "") else as_text(found)

    @property
    def tags(self) -> dict[str, str]:
        """The tags."""
        return {str(k): as_text(v) for k, v in as_dict(self.document.get("tags")).items()}

    def with_tags(self, tags: Mapping[str, str]) -> TraceInfo:
        """Return the same with other tags."""
        return replace(self, document={**self.document, "tags": dict(tags)})


def mlflow_id(trace_id: int) -> str:
    """Return MLflow's ID of an OpenTelemetry trace."""
    return f"{PREFIX}{trace_id:032x}"


def otel_id(identity: object) -> int:
    """Return OpenTelemetry's ID of an MLflow trace.

    Raises:
        MalformedError: It is not ``tr-`` and 32 hex digits, or all of them are zero.
    """
    found = TRACE_ID.fullmatch(identity.lower()) if isinstance(identity, str) else None
    number = 0 if found is None else int(found[1], 16)
    if not number:
        raise MalformedError("trace_id must be 'tr-' and 32 hex digits, not all of them zero")
    return number


def read(body: object) -> TraceInfo:
    """Return the ``TraceInfo`` of a request to start a trace.

    Args:
        body: ``{"trace": {"trace_info": {…}}}``, read from JSON.

    Raises:
        MalformedError: It is none.
    """
    trace = body.get("trace") if isinstance(body, dict) else None
    info = trace.get("trace_info") if isinstance(trace, dict) else None
    if not isinstance(info, dict):
        raise MalformedError("Missing value for required parameter 'trace.trace_info'")
    for name in ("tags", "trace_metadata"):
        if not isinstance(info.get(name) or {}, dict):
            raise MalformedError(f"'trace.trace_info.{name}' must be an object")
    return TraceInfo(otel_id(info.get("trace_id")), info)


def context(info: TraceInfo, experiment_name: str | None = None) -> TraceContext:
    """Return what a ``TraceInfo`` says of its trace.

    Args:
        info: The ``TraceInfo``.
        experiment_name: The experiment's name, if it is known.
    """
    said = info.document
    metadata = {
        str(k): as_text(v) for k, v in as_dict(said.get("trace_metadata")).items() if k not in SIZES
    }
    return TraceContext(
        trace_id=info.mlflow_id,
        client_request_id=_text(said.get("client_request_id")),
        tags=info.tags,
        metadata=metadata,
        experiment_id=info.experiment_id,
        experiment_name=experiment_name,
        state=_text(said.get("state")),
        request_preview=_text(said.get("request_preview")),
        response_preview=_text(said.get("response_preview")),
        token_usage=as_dict(decode(metadata.get(keys.METADATA_TOKEN_USAGE))),
        cost=as_dict(decode(metadata.get(keys.METADATA_COST))),
    )


def _text(value: object) -> str | None:
    return None if value is None else as_text(value)
