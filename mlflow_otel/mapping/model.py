"""What passes through the mapping: a span's plain values in, what leaves in its place out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SpanKind = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]


@dataclass(frozen=True, slots=True)
class EventView:
    """A span's event: name, nanoseconds since the epoch, attributes."""

    name: str
    timestamp: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpanView:
    """The plain values of one ended span.

    Args:
        name: Its name.
        kind: Its kind, in the specification's word.
        attributes: As recorded; those MLflow wrote are JSON strings.
        events: In order.
        start_time: Nanoseconds since the epoch.
        failed: Whether its status is ERROR.
        made_by_mlflow: Whether MLflow made it; another library's span keeps its name and scope.
        is_local_root: Whether it is the first of its trace in this process.
        is_entry: Whether trace-level attributes belong on it: the local root, and the topmost
            MLflow span where another library's span is the local root.
    """

    name: str
    kind: SpanKind = "INTERNAL"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[EventView] = ()
    start_time: int = 0
    failed: bool = False
    made_by_mlflow: bool = True
    is_local_root: bool = False
    is_entry: bool = False


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What is known of a trace when its spans are passed on; every field may be missing.

    Args:
        trace_id: MLflow's ID, ``tr-`` and 32 hex digits.
        client_request_id: The application's ID of the request.
        tags: Trace tags, MLflow's own among them.
        metadata: Trace metadata, MLflow's own among them.
        experiment_id: MLflow's experiment.
        experiment_name: Its name.
        state: ``OK``, ``ERROR`` or ``IN_PROGRESS``.
        request_preview: Short form of the request, when the app set one.
        response_preview: Short form of the response, when the app set one.
        token_usage: Sums over the trace's spans, by MLflow's keys.
        cost: Sums in USD over the trace's spans, by MLflow's keys.
        sampled: Whether the trace was kept by the sampler.
    """

    trace_id: str | None = None
    client_request_id: str | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    experiment_id: str | None = None
    experiment_name: str | None = None
    state: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    token_usage: Mapping[str, int] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    sampled: bool = True


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """How to map.

    Args:
        conventions: The vocabularies to write: ``genai``, ``openinference``, ``mlflow``.
        capture_content: Whether inputs, outputs, messages, documents and previews leave.
        promote_tags: Trace tag to span attribute, for tags that belong on every span.
        keep_chunk_events: Whether the event of each stream chunk leaves.
    """

    conventions: frozenset[str] = frozenset({"genai"})
    capture_content: bool = True
    promote_tags: tuple[tuple[str, str], ...] = (("environment", "deployment.environment.name"),)
    keep_chunk_events: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """What leaves in place of a span; ``kind`` None means as it was."""

    name: str
    kind: SpanKind | None
    attributes: dict[str, Any]
    events: Sequence[EventView]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat span's inputs and outputs in the GenAI convention's form.

    Args:
        system: System instructions, a bare list of parts.
        inputs: Input messages.
        outputs: Output messages.
        tools: Tool definitions.
        request: ``gen_ai.request.*`` values by the name behind the prefix.
        response_id: The provider's ID of the response.
        response_model: The model that answered.
        finish_reasons: In the convention's words.
        rest_inputs: What of the inputs has no home in the convention, or None.
        rest_outputs: What of the outputs has none, or None.
    """

    system: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    rest_inputs: Any = None
    rest_outputs: Any = None
