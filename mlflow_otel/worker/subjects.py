"""What scorers judge here: a trace that was rebuilt from OTLP, and the traces of a session together."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from mlflow_otel.backends.model import BackendTrace, is_later, trace_of
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.feedback import assessment_target
from mlflow_otel.feedback.assessment_target import AssessmentTarget
from mlflow_otel.filtering.matching import SpanValues, TraceValues
from mlflow_otel.mapping.assessment import AssessmentView
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.otlp import wire
from mlflow_otel.store import mlflow_adapter
from mlflow_otel.store.model import StoredTrace
from mlflow_otel.store.rebuild import stored_trace
from mlflow_otel.worker.arrivals import Arrival, first_of

ONLINE_SESSION: Final = "mlflow.assessment.onlineScoringSessionId"
"""How MLflow marks what was said of a session, in an assessment's metadata."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
SIDES: Final = {"inputs": keys.SPAN_INPUTS, "outputs": keys.SPAN_OUTPUTS}


class PlacedSubject(ABC):
    """A ``Subject`` whose results have a place: the trace, its root, and the resource they come from."""

    metadata: Mapping[str, str] = NOTHING
    """What every result about it says besides."""
    size: int
    """Bytes that it holds on to."""
    resource: bytes
    """Whose trace it is: ``ResourceSpans`` without spans, encoded."""

    @property
    @abstractmethod
    def trace_id(self) -> str:
        """MLflow's ID of the trace that the results stand on."""

    @property
    @abstractmethod
    def start(self) -> int:
        """When it began: nanoseconds since the epoch."""

    @property
    @abstractmethod
    def session(self) -> str | None:
        """The session that it belongs to."""

    @property
    @abstractmethod
    def is_production(self) -> bool:
        """Whether it is an app's own: neither of an evaluation run nor of a scorer."""

    @property
    @abstractmethod
    def said(self) -> Sequence[AssessmentView]:
        """What is known to have been said of it before."""

    @abstractmethod
    def target(self, options: MappingOptions) -> AssessmentTarget:
        """Return where the results stand."""

    @abstractmethod
    def values(self) -> TraceValues:
        """Return its plain values, as filters see them."""

    @abstractmethod
    def argument(self, name: str) -> Any:
        """Return what a scorer gets by the name of a parameter. The caller may change it."""

    @property
    @abstractmethod
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of the trace, and the span ID of its root (0: not known)."""


class StoredSubject(PlacedSubject):
    """A trace that was rebuilt from what left over OTLP.

    Args:
        held: Its spans.
        resource: ``ResourceSpans`` without spans, encoded.
        size: Bytes of the spans.
    """

    def __init__(self, held: BackendTrace, resource: bytes, size: int) -> None:
        self._held = held
        self.resource = resource
        self.size = size
        self._root = first_of(held.spans)
        self._stored: StoredTrace | None = None

    @property
    def stored(self) -> StoredTrace:
        """The trace as MLflow knows it."""
        # No cached_property: until Python 3.11 it has a lock that all subjects share.
        if self._stored is None:
            self._stored = stored_trace(self._held)
        return self._stored

    @property
    def trace_id(self) -> str:
        """MLflow's ID of the trace."""
        return self.stored.trace_id

    @property
    def start(self) -> int:
        """When it began: nanoseconds since the epoch."""
        return self._held.summary.start

    @property
    def session(self) -> str | None:
        """The session that it belongs to; the first of several."""
        values = (span.attributes.get(genai.SESSION_ID) for span in self._held.spans)
        found = next((value for value in values if value is not None), None)
        return None if found is None else str(found)

    @property
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of the trace, and the span ID of its root (0: not known)."""
        return self._held.summary.trace_id, 0 if self._root is None else self._root.span_id

    @property
    def is_production(self) -> bool:
        """Whether it is an app's own: neither of an evaluation run nor of a scorer."""
        return (
            keys.METADATA_SOURCE_RUN not in self.stored.metadata
            and keys.TAG_SOURCE_SCORER not in self.stored.tags
            and not any(keys.SCORER_NAME in span.attributes for span in self._held.spans)
        )

    @property
    def said(self) -> Sequence[AssessmentView]:
        """The assessments that came with it."""
        return self.stored.assessments

    def target(self, options: MappingOptions) -> AssessmentTarget:
        """Return where the results stand: on its root."""
        found = assessment_target.target_in_backend(self._held.summary, None, options)
        trace_id = {keys.TRACE_ID: self.trace_id}
        return found._replace(span_id=self.location[1] or None, stamp={**found.stamp, **trace_id})

    def values(self) -> TraceValues:
        """Return its plain values, as filters see them."""
        stored = self.stored
        return TraceValues(
            attributes={
                "request_id": stored.trace_id,
                "client_request_id": stored.client_request_id,
                "status": stored.state,
                "timestamp_ms": stored.request_time_ms,
                "execution_time_ms": stored.duration_ms,
                "end_time_ms": stored.request_time_ms + stored.duration_ms,
            },
            tags=stored.tags,
            metadata=stored.metadata,
            spans=[
                SpanValues(
                    one.name, one.attributes.get(keys.SPAN_TYPE), one.span.status, one.attributes
                )
                for one in stored.spans
            ],
        )

    def argument(self, name: str) -> Any:
        """Return what a scorer gets by the name of a parameter. The caller may change it."""
        if name == "trace":
            return mlflow_adapter.trace(self.stored)
        if name == "expectations":
            return expectations(self.said)
        return copy.deepcopy(self._side(SIDES[name]))

    def _side(self, key: str) -> Any:
        """Return the inputs or outputs of the root; of the topmost span of MLflow's below another's."""
        stored = self.stored
        root = next((one for one in stored.spans if one.span is self._root), None)
        if root is None:
            return None
        found = root.attributes.get(key)
        if found is None and keys.SPAN_TYPE not in root.attributes:
            ours = (one for one in stored.spans if keys.SPAN_TYPE in one.attributes)
            found = next(ours, root).attributes.get(key)
        return found

    @property
    def missing(self) -> str | None:
        """What it lacks of what scorers need: a key of ``MISSING``, or None."""
        own = [span.attributes for span in self._held.spans if not is_later(span.attributes)]
        if not any(keys.SPAN_TYPE in said or keys.TRACE_ID in said for said in own):
            return "not_mlflow"
        if not any(keys.TRACE_STATE in said for said in own):
            return "no_trace_attributes"
        # Of outputs something may be left without content, such as the IDs of documents.
        if not any(keys.SPAN_INPUTS in one.attributes for one in self.stored.spans):
            return "no_content"
        return None


MISSING: Final[Mapping[str, str]] = {
    "no_trace_attributes": "Traces come without mlflow.trace.* attributes, so scorers do not see their "
    "state, tags, session, user and metadata. Send them with mlflow-otel, or through its bridge.",
    "no_content": "Traces come without inputs and outputs, so scorers have nothing to judge. See "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT in the app, and what a Collector redacts.",
}
"""What a trace may lack, and what to do."""


def expectations(said: Sequence[AssessmentView]) -> dict[str, Any] | None:
    """Return what was expected, by name, or None."""
    found = {
        one.name: copy.deepcopy(one.value)
        for one in said
        if one.kind == "expectation" and one.valid is not False
    }
    return found or None


def of_arrivals(trace_id: int, came: Sequence[Arrival], size: int) -> StoredSubject:
    """Return the trace that spans make which came over OTLP."""
    held = trace_of(trace_id, (one.read() for one in came))
    root = first_of(held.spans)
    sources = {one.span_id: one.source.encoded for one in came}
    resource = came[0].source.encoded if root is None else sources[root.span_id]
    return StoredSubject(held, resource, size)


def of_backend(held: BackendTrace) -> StoredSubject:
    """Return a trace that a backend gave."""
    root = first_of(held.spans)
    holder = ResourceSpans()
    if root is not None:
        holder.resource.MergeFromString(wire.attributes(b"\x0a", root.resource))
    size = sum(len(str(span.attributes)) for span in held.spans)
    return StoredSubject(held, holder.SerializeToString(), size)


class SessionSubject(PlacedSubject):
    """The traces of a session, in order of time. Results stand on the first of them.

    Args:
        session: The session's ID.
        traces: Its traces, one or more.
    """

    def __init__(self, session: str, traces: Sequence[PlacedSubject]) -> None:
        self._session = session
        self._traces = sorted(traces, key=lambda one: (one.start, one.trace_id))
        self._first = self._traces[0]
        self.size = sum(one.size for one in traces)
        self.resource = self._first.resource
        self.metadata = {keys.METADATA_SESSION: session, ONLINE_SESSION: session}

    @property
    def trace_id(self) -> str:
        """MLflow's ID of the first trace."""
        return self._first.trace_id

    @property
    def start(self) -> int:
        """When it began: nanoseconds since the epoch."""
        return self._first.start

    @property
    def session(self) -> str | None:
        """Its ID."""
        return self._session

    @property
    def location(self) -> tuple[int, int]:
        """OpenTelemetry's ID of the first trace, and the span ID of its root."""
        return self._first.location

    @property
    def is_production(self) -> bool:
        """Whether it is an app's own."""
        return self._first.is_production

    @property
    def said(self) -> Sequence[AssessmentView]:
        """The assessments that came with the first trace."""
        return self._first.said

    def target(self, options: MappingOptions) -> AssessmentTarget:
        """Return where the results stand: on the first trace's root."""
        return self._first.target(options)

    def values(self) -> TraceValues:
        """Return the first trace's plain values: a filter is about that, as in MLflow."""
        return self._first.values()

    def argument(self, name: str) -> Any:
        """Return the traces, or what was expected of the first."""
        if name == "session":
            return [one.argument("trace") for one in self._traces]
        return self._first.argument(name)
