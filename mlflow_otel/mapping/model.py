"""What passes through the mapping: a span's plain values in, what leaves in its place out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from mlflow_otel.conventions.versions import RELEASED, Version
from mlflow_otel.mapping.values import Json

LATER_SPAN_NANOSECONDS: Final = 1000
"""Duration of a span that is added to a sent trace: an evaluation or a late change.
Jaeger stretches a span of no length, and complains of it."""
SpanKind = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]

Redact: TypeAlias = Callable[[str, str, Any], Any]
"""Takes a name, a key and a value; returns the value that leaves instead, or None: nothing leaves."""


class EventView(NamedTuple):
    """A span's event.

    Args:
        name: Its name.
        timestamp: Nanoseconds since the epoch.
        attributes: By key.
        dropped_attributes: How many the SDK's limits dropped.
    """

    name: str
    timestamp: int
    attributes: Mapping[str, Any]
    dropped_attributes: int = 0


class SpanView(NamedTuple):
    """The plain values of one ended span.

    Args:
        name: Its name.
        attributes: As recorded; those MLflow wrote are JSON strings.
        events: In order.
        start_time: Nanoseconds since the epoch.
        failed: Whether its status is ERROR.
        made_by_mlflow: Whether MLflow made it; another library's span keeps its name and scope.
        is_entry: Whether trace-level attributes belong on it: the local root, and the topmost
            MLflow span where another library's span is the local root.
        dropped_events: How many events the SDK's limits dropped.
    """

    name: str
    attributes: Mapping[str, Any] = MappingProxyType({})
    events: Sequence[EventView] = ()
    start_time: int = 0
    failed: bool = False
    made_by_mlflow: bool = True
    is_entry: bool = False
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What is known of a trace when its spans are released. Every field may be missing.

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
        memo: What was worked out of the others, so that it is once a trace, not once a span.
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
    memo: list[Any] = field(default_factory=list, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MappingOptions:
    """How to map.

    Args:
        conventions: The vocabularies to write: ``genai``, ``openinference``, ``mlflow``.
        capture_content: Whether inputs, outputs, messages, documents and previews leave.
        promote_tags: Trace tag to span attribute, for tags that belong on every span.
        keep_chunk_events: Whether the event of each stream chunk leaves.
        version: Of the GenAI conventions.
        safe_attributes: Patterns of keys whose values leave with content capture off, too.
        content_in_errors: Whether messages and stack traces of errors leave with content capture off.
        redact: Called with each value that leaves. It must not raise.
    """

    conventions: frozenset[str] = frozenset({"genai"})
    capture_content: bool = True
    promote_tags: tuple[tuple[str, str], ...] = (("environment", "deployment.environment.name"),)
    keep_chunk_events: bool = False
    version: Version = RELEASED
    safe_attributes: tuple[str, ...] = ()
    content_in_errors: bool = False
    redact: Redact | None = None

    @property
    def errors_speak(self) -> bool:
        """Whether messages and stack traces of errors leave."""
        return self.capture_content or self.content_in_errors


class Shared:
    """What every span of a trace carries, worked out and encoded once for all of them.

    Args:
        attributes: By key.
    """

    __slots__ = ("_encoded", "attributes")

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        self._encoded: bytes | None = None

    def encoded(self, encode: Callable[[dict[str, Any]], bytes]) -> bytes:
        """Return the attributes encoded, by ``encode`` the first time."""
        if self._encoded is None:
            self._encoded = encode(self.attributes)
        return self._encoded


class Mapped(NamedTuple):
    """What leaves in place of a span.

    Args:
        name: Its name.
        kind: Its kind, or None: as it was.
        own: Its attributes, less those of ``shared``; JSON text may be ``Json``.
        events: Its events.
        shared: What its trace gives every span, or None.
        failures: The steps that could not be done.
        outline: What is counted of it, as ``mapping.span.outline`` returns it, if that was asked for.
    """

    name: str
    kind: SpanKind | None
    own: dict[str, Any]
    events: Sequence[EventView] = ()
    shared: Shared | None = None
    failures: tuple[str, ...] = ()
    outline: Mapping[str, Any] = MappingProxyType({})

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes that leave, JSON as text."""
        every = self.own if self.shared is None else {**self.shared.attributes, **self.own}
        return {k: str(v) if type(v) is Json else v for k, v in every.items()}


@dataclass(slots=True)
class Asked:
    """A call's inputs in the GenAI convention's form.

    Args:
        messages: Input messages.
        system: System instructions, a bare list of parts.
        tools: Tool definitions.
        rest: What of the inputs is none of these, the call's parameters among it, or None.
    """

    messages: list[dict[str, Any]]
    system: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    rest: Any = None


@dataclass(slots=True)
class Answered:
    """A call's outputs in the GenAI convention's form.

    Args:
        messages: Output messages.
        response_id: The provider's ID of the response.
        response_model: The model that answered.
        finish_reasons: In the convention's words.
        rest: What of the outputs is none of these, the usage among it, or None.
    """

    messages: list[dict[str, Any]]
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: list[str] = field(default_factory=list)
    rest: Any = None


class Conversation:
    """A chat span's inputs and outputs in the GenAI convention's form.

    Args:
        asked: Its inputs; those that are not understood are its rest, whole.
        answered: The same of its outputs.
    """

    __slots__ = ("answered", "asked", "failures")

    def __init__(self, asked: Asked, answered: Answered) -> None:
        self.asked = asked
        self.answered = answered
        self.failures: tuple[str, ...] = ()  # the kinds of error that parts left as they were for

    @property
    def system(self) -> list[dict[str, Any]]:
        """System instructions, a bare list of parts."""
        return self.asked.system

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Input messages."""
        return self.asked.messages

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Output messages."""
        return self.answered.messages

    @property
    def tools(self) -> list[dict[str, Any]]:
        """Tool definitions."""
        return self.asked.tools

    @property
    def response_id(self) -> str | None:
        """The provider's ID of the response."""
        return self.answered.response_id

    @property
    def response_model(self) -> str | None:
        """The model that answered."""
        return self.answered.response_model

    @property
    def finish_reasons(self) -> list[str]:
        """Why the answers ended, in the convention's words."""
        return self.answered.finish_reasons

    @property
    def rest_inputs(self) -> Any:
        """What of the inputs has no home in the messages, or None."""
        return self.asked.rest

    @property
    def rest_outputs(self) -> Any:
        """What of the outputs has no home in the messages, or None."""
        return self.answered.rest
