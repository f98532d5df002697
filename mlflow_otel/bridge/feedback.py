"""Assessments of traces, whoever sends them: taken, kept for a while, and sent on.

MLflow's clients send them by its API. Everybody else sends ``mlflow_otel.v1.Assessment`` messages
(``proto/``), by gRPC or as JSON, and may name the request that a trace is of instead of the trace.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from mlflow_otel.backends.model import BackendError, Condition, TraceBackend, TraceQuery
from mlflow_otel.bridge import assessments, trace_info
from mlflow_otel.bridge.assessments import Kept
from mlflow_otel.bridge.bodies import JSON, PROTOBUF, RefusedError, read_json
from mlflow_otel.bridge.leaving import resource_with_service
from mlflow_otel.bridge.trace_info import MalformedError
from mlflow_otel.bridge.way_in import Made, WayIn
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.assessment import KINDS, Operation
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.otlp.evaluation import Evaluation
from mlflow_otel.v1.assessment_pb2 import Assessment
from mlflow_otel.v1.assessment_service_pb2 import ExportRequest, ExportResponse

SPAN_ID: Final = re.compile(r"[0-9a-fA-F]{16}")
BARE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
SOURCE_PREFIX: Final = "SOURCE_TYPE_"
MAX_ASSESSMENTS: Final = 10_000
"""Of one request."""
LOOK_BACK_SECONDS: Final = 7 * 24 * 3600
"""How old a trace may be that the backend is asked for."""
CLOCK_SECONDS: Final = 60
"""How far another machine's clock may be ahead."""


Told: TypeAlias = Callable[[int, Mapping[str, Any], Operation], None]


class UnknownTraceError(LookupError):
    """There is no trace of a client request ID. The message names the places that were asked."""


class Target(NamedTuple):
    """A judged trace, as far as it is known.

    Args:
        trace_id: OpenTelemetry's ID.
        root: The span ID of its root, or None.
        stamp: What every span of it carries.
        resource: ``ResourceSpans`` without spans, encoded.
    """

    trace_id: int
    root: int | None
    stamp: Mapping[str, Any]
    resource: bytes


class Stamped(NamedTuple):
    """What is known of a judged trace.

    Args:
        root: The span ID of its root, or None.
        stamp: What every span of it carries.
    """

    root: int | None = None
    stamp: Mapping[str, Any] = {}


class Feedback:
    """Takes assessments. Safe to call from any thread.

    The lock guards what is kept, so that one that comes twice at the same time leaves once.

    Args:
        intake: Knows the traces, and sends.
        signals: What an assessment leaves as: ``logs``, ``traces``.
        backend: Asked for traces that the bridge does not remember, or None.
        timeout: Seconds that the backend may take.
    """

    def __init__(
        self,
        intake: WayIn,
        signals: frozenset[str],
        backend: TraceBackend | None = None,
        timeout: float = 5.0,
    ) -> None:
        self.kept = Kept()
        self.told: Told = lambda _trace_id, _document, _operation: None
        """Called with each assessment that is sent: its trace's ID, itself, and what happened to it."""
        self._intake = intake
        self._signals = signals
        self._backend = backend
        self._timeout = timeout
        self._lock = threading.Lock()

    def export(self, request: ExportRequest) -> ExportResponse:
        """Take several assessments; return how many were not taken, and why the first was not.

        Raises:
            RefusedError: With 503: the backend did not answer, and nothing was taken. With 413: there
                are too many.
        """
        if len(request.assessments) > MAX_ASSESSMENTS:
            raise RefusedError(413, f"the request has more than {MAX_ASSESSMENTS} assessments")
        ready, wrong = [], []
        for message in request.assessments:
            try:
                ready.append((self._target(message), document_of(message)))
            except (MalformedError, UnknownTraceError) as error:
                wrong.append(f"{message.assessment_name[:100] or 'an assessment'}: {error}")
        for target, document in ready:
            self._put(target, document)
        answer = ExportResponse()
        if wrong:
            self._intake.count("refused.assessments", len(wrong))
            answer.partial_success.rejected_assessments = len(wrong)
            answer.partial_success.error_message = wrong[0]
        return answer

    def one(self, message: Assessment) -> dict[str, Any]:
        """Take one assessment; return it as it is kept, with its ID.

        Raises:
            MalformedError: It is not valid.
            UnknownTraceError: Its trace is not known, and not to be found.
            RefusedError: The backend did not answer.
        """
        return self._put(self._target(message), document_of(message))

    def create(self, trace_id: int, said: object, named: str) -> dict[str, Any]:
        """Take an assessment as MLflow's API has it. Its trace need not be known.

        Raises:
            MalformedError: It is not valid.
        """
        document = assessments.new(said, named)
        replaced = document.get("overrides")
        if replaced:
            self._override(trace_id, str(replaced))
        self.kept.put(trace_id, document)
        self.send(trace_id, document, "create")
        return document

    def send(self, trace_id: int, document: Mapping[str, Any], operation: Operation) -> None:
        """Send an assessment on."""
        self._send(self._remembered(trace_id), document, operation)

    def accepted(
        self, trace_id: int, document: Mapping[str, Any], operation: Operation, said: Stamped
    ) -> None:
        """Send on what another bridge accepted.

        Args:
            trace_id: OpenTelemetry's ID of the judged trace.
            document: The assessment, with its ID and its times.
            operation: What happened to it.
            said: What the other bridge knew of the trace; it holds where this one knows nothing.
        """
        target = self._remembered(trace_id)
        if target.root is None:
            target = target._replace(root=said.root, stamp={**target.stamp, **said.stamp})
        self._send(target, document, operation)

    def _put(self, target: Target, document: dict[str, Any]) -> dict[str, Any]:
        """Send an assessment whose ID its sender may have chosen: sent twice, it leaves once."""
        trace_id, identity = target.trace_id, document.get("assessment_id")
        with self._lock:
            known = self.kept.get(trace_id, identity) if identity else None
            if known is not None and document.items() <= known.items():
                return known
            made = assessments.new(document, trace_info.mlflow_id(trace_id), identity)
            if known is not None:
                made["create_time"] = known["create_time"]
            if made.get("overrides"):
                self._override(trace_id, made["overrides"])
            self.kept.put(trace_id, made)
        self._send(target, made, "create" if known is None else "update")
        return made

    def _override(self, trace_id: int, identity: str) -> None:
        before = self.kept.get(trace_id, identity)
        if before is not None:
            self.kept.put(trace_id, {**before, "valid": False})

    def _send(self, target: Target, document: Mapping[str, Any], operation: Operation) -> None:
        written = Evaluation(
            assessments.view(document, operation),
            target.stamp,
            target.trace_id,
            _span_id(document) or target.root,
            target.resource,
            self._intake.options,
            _own_id(document, operation),
        )
        self._intake.count("assessments")
        span = written.span()
        self._intake.send(
            Made(
                target.trace_id,
                span,
                written.event() if "logs" in self._signals else [],
                span if "traces" in self._signals else [],
            )
        )
        self.told(target.trace_id, document, operation)

    def _target(self, message: Assessment) -> Target:
        if message.WhichOneof("target") is None:
            raise MalformedError("name the judged trace: 'trace_id' or 'client_request_id'")
        if message.trace_id:
            return self._remembered(_trace_id(message.trace_id))
        if not message.client_request_id:
            raise MalformedError("'client_request_id' is empty")
        return self._of_request(message.client_request_id)

    def _remembered(self, trace_id: int) -> Target:
        known = self._intake.known(trace_id)
        context = TraceContext(trace_id=trace_info.mlflow_id(trace_id))
        if known is not None and known.info is not None:
            name = self._intake.experiments.name_of(known.info.experiment_id or "")
            context = trace_info.context(known.info, name)
        return Target(
            trace_id,
            None if known is None else known.root_id,
            trace.stamp(context, self._intake.options),
            resource_with_service(b"" if known is None else known.resource, context),
        )

    def _of_request(self, client_request_id: str) -> Target:
        trace_id = self._intake.of_request(client_request_id)
        if trace_id is not None:
            return self._remembered(trace_id)
        missing = f"there is no trace of client request ID {client_request_id[:100]!r} among those that the bridge remembers"
        if self._backend is None:
            raise UnknownTraceError(
                f"{missing}. Set MLFLOW_OTEL_TRACE_LOOKUP to have a trace backend asked too."
            )
        now = time.time_ns()
        condition = Condition(keys.TRACE_CLIENT_REQUEST_ID, client_request_id)
        window = (now - LOOK_BACK_SECONDS * 10**9, now + CLOCK_SECONDS * 10**9)
        try:
            found = self._backend.find(TraceQuery((condition,), *window), self._timeout)
        except BackendError as error:
            raise RefusedError(503, f"{missing}, and {error}") from error
        if not found:
            raise UnknownTraceError(
                f"{missing}, nor in {self._backend.where}. A backend has a trace some seconds after it ended."
            )
        summary = found[0]
        named = trace_info.mlflow_id(summary.trace_id)
        stamp = trace.stamp_in(summary.attributes, self._intake.options)
        context = TraceContext(
            trace_id=named,
            experiment_id=stamp.get(keys.EXPERIMENT_ID),
            experiment_name=stamp.get(keys.EXPERIMENT_NAME),
        )
        return Target(
            summary.trace_id,
            summary.root,
            {keys.TRACE_ID: named, **stamp},
            resource_with_service(b"", context),
        )


def read_request(body: bytes, content_type: str) -> ExportRequest | Assessment:
    """Return the assessments of a request, or the one that its JSON is.

    Args:
        body: Not compressed. In JSON ``{"assessments": […]}``, or one assessment.
        content_type: ``application/json`` or ``application/x-protobuf``.

    Raises:
        RefusedError: The body is none of these, or the type is another.
    """
    if content_type == PROTOBUF:
        try:
            return ExportRequest.FromString(body)
        except DecodeError as error:
            raise RefusedError(400, f"the body is no ExportRequest: {error}") from error
    if content_type != JSON:
        raise RefusedError(
            415, f"send application/json or application/x-protobuf, not {content_type[:100]!r}"
        )
    said = read_json(body)
    if not isinstance(said, dict):
        raise RefusedError(400, "the body must be a JSON object")
    several = "assessments" in said
    message = ExportRequest() if several else Assessment()
    items = said["assessments"] if several else [said]
    if isinstance(items, list):
        items = [_with_source(item) for item in items]
    try:
        return json_format.ParseDict({"assessments": items} if several else items[0], message)
    except (json_format.ParseError, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise RefusedError(400, f"the body is no assessment: {str(error)[:300]}") from error


def _with_source(said: object) -> object:
    """Return an assessment's JSON with protobuf's name of its source type; MLflow's is shorter."""
    source = said.get("source") if isinstance(said, dict) else None
    kind = source.get("source_type") if isinstance(source, dict) else None
    if not isinstance(kind, str) or kind.startswith(SOURCE_PREFIX):
        return said
    return {**said, "source": {**source, "source_type": SOURCE_PREFIX + kind}}  # type: ignore[dict-item]


def document_of(message: Assessment) -> dict[str, Any]:
    """Return a message as MLflow's API has an assessment in JSON, without its trace.

    Raises:
        MalformedError: It has no name, or no value, or says what JSON cannot say.
    """
    if not message.assessment_name or len(message.assessment_name) > assessments.MAX_NAME:
        raise MalformedError(f"'assessment_name' must have 1 to {assessments.MAX_NAME} characters")
    if message.WhichOneof("value") is None:
        raise MalformedError(f"give one of: {', '.join(KINDS)}")
    if message.span_id and not SPAN_ID.fullmatch(message.span_id):
        raise MalformedError("'span_id' must be 16 hex digits")
    try:
        said = json_format.MessageToDict(message, preserving_proto_field_name=True)
        for name in ("create_time", "last_update_time"):
            if message.HasField(name):
                said[name] = assessments.shown(getattr(message, name).ToNanoseconds())
    except (json_format.Error, ValueError, OverflowError, OSError) as error:
        raise MalformedError(
            "a number is NaN or infinite, or a time is not within the years 1 to 9999"
        ) from error
    for name in ("trace_id", "client_request_id"):
        said.pop(name, None)
    source = said.get("source", {})
    if "source_type" in source:
        source["source_type"] = source["source_type"].removeprefix(SOURCE_PREFIX)
    return said


def _own_id(document: Mapping[str, Any], operation: Operation) -> bytes:
    """Return the evaluation span's ID: the same one when the same is sent once more."""
    said = (document.get("assessment_id"), document.get("last_update_time"), operation)
    return sha256(repr(said).encode()).digest()[:8]


def _trace_id(named: str) -> int:
    return trace_info.otel_id(f"{trace_info.PREFIX}{named}" if BARE_ID.fullmatch(named) else named)


def _span_id(document: Mapping[str, Any]) -> int | None:
    said = document.get("span_id")
    return int(said, 16) if isinstance(said, str) and SPAN_ID.fullmatch(said) else None
