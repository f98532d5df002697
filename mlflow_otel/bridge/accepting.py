"""The accepting side of bridges with Kafka between them: what clients send is written, and then answered.

Nothing is put together here. What can be known of a trace without that is remembered for a while: that spans of it
came, so that clients need not upload them again, and of which request it is.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import span_message, traces_json
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.feedback import Feedback, Target
from mlflow_otel.bridge.intake import PYTHON, Intake, is_whole, spans_in
from mlflow_otel.bridge.pieces import Kind, Piece, split
from mlflow_otel.bridge.topic import Topic
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.bridge.way_in import Known, Taken
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.mapping.model import MappingOptions, TraceContext
from mlflow_otel.settings import Settings, Signal

PIECE_BYTES: Final = 900_000
"""Spans of a trace are written in pieces of about so much: brokers take 1 MiB by default."""
MAX_REMEMBERED: Final = 100_000
"""Traces of which spans came, and client request IDs; the oldest are forgotten."""


class Accepting(Intake):
    """Writes what clients send to a topic. Logs and metrics go to the backend directly.

    Args:
        settings: Where logs and metrics go.
        options: How to map.
        accounting: Gets ``accepted.*``.
        topic: Where all else goes.
    """

    waits = True

    def __init__(
        self, settings: Settings, options: MappingOptions, accounting: Accounting, topic: Topic
    ) -> None:
        super().__init__(settings, options, accounting)
        self._topic = topic
        self.beside: Callable[[], Mapping[str, int]] = dict
        """Returns the counters of what maps in the same process."""
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._request_traces: OrderedDict[str, int] = OrderedDict()

    @property
    def unready(self) -> str | None:
        """Why clients should send to another bridge for now, or None."""
        return self._topic.down or super().unready

    def make_sure_of_room(self) -> None:
        """Refuse what comes while Kafka does not answer.

        Raises:
            RefusedError: With 503.
        """
        super().make_sure_of_room()
        down = self._topic.down
        if down is not None:
            self.count("kafka.refused")
            raise RefusedError(503, down)

    def otlp(self, signal: Signal, request: Any, experiment_id: str | None = None) -> Taken:
        """Write the spans of a request, each trace apart. Logs and metrics are passed on."""
        if signal != "traces":
            return super().otlp(signal, request, experiment_id)
        number = spans_in(request)
        rejected = _without_broken(request)
        self._write_spans(request, experiment_id, None)
        self.count("accepted.traces", number - rejected)
        return self.rejection(rejected)

    def _write_spans(
        self,
        request: ExportTraceServiceRequest,
        experiment_id: str | None,
        decoded: bool | None,
    ) -> None:
        name = None if experiment_id is None else self.experiments.name_of(experiment_id)
        parts = split(request, PIECE_BYTES)
        self._topic.write(
            [
                Piece("spans", part.trace_id, part.body, experiment_id, name, decoded=decoded)
                for part in parts
            ]
        )
        for part in parts:
            _remember(self._seen, int.from_bytes(part.trace_id, "big"), None)

    def info(self, info: TraceInfo) -> Known | None:
        """Write a ``TraceInfo``; return whether spans of its trace were seen here."""
        self.make_sure_of_room()
        experiment = info.experiment_id
        name = None if experiment is None else self.experiments.name_of(experiment)
        body = {"trace": {"trace_info": info.document}}
        self._write("trace_info", info.trace_id, body, experiment, name)
        self.count("accepted.trace_infos")
        if info.client_request_id is not None:
            _remember(self._request_traces, info.client_request_id, info.trace_id)
        return Known(info, seen=info.trace_id in self._seen)

    def uploaded(self, trace_id: int, body: Any, experiment_id: str | None) -> None:
        """Write the spans of a ``traces.json``.

        Raises:
            MalformedError: It is none.
        """
        spans, decoded = traces_json.read(body, trace_id)
        resource = ResourceSpans() if decoded else ResourceSpans.FromString(PYTHON)
        resource.scope_spans.add().spans.extend(spans)
        request = ExportTraceServiceRequest(resource_spans=[resource])
        self._write_spans(request, experiment_id, decoded)
        self.count("accepted.traces", len(spans))

    def _write(
        self,
        kind: Kind,
        trace_id: int,
        said: Mapping[str, Any],
        experiment_id: str | None = None,
        experiment_name: str | None = None,
    ) -> None:
        value = json.dumps(said, separators=(",", ":")).encode()
        identity = trace_id.to_bytes(16, "big")
        self._topic.write([Piece(kind, identity, value, experiment_id, experiment_name)])

    def known(self, trace_id: int) -> Known | None:  # noqa: ARG002 (as of Intake)
        """Return None: mapping bridges know the traces."""
        return None

    def of_request(self, client_request_id: str) -> int | None:
        """Return the ID of a request's newest trace that was accepted here, or None."""
        return self._request_traces.get(client_request_id)

    def set_tag(self, trace_id: int, key: str, value: str) -> None:
        """Write that a tag was set. The trace need not be known."""
        self._write_tags(trace_id, {key: value})

    def delete_tag(self, trace_id: int, key: str) -> None:
        """Write that a tag was removed. The trace need not be known."""
        self._write_tags(trace_id, {}, (key,))

    def _write_tags(
        self, trace_id: int, tags: Mapping[str, str], removed: Sequence[str] = ()
    ) -> None:
        self._write("tags", trace_id, {"set": dict(tags), "deleted": list(removed)})

    def update(
        self,
        trace_id: int,
        root_id: int | None,  # noqa: ARG002 (as of Intake: the mapping bridge asks the backend)
        context: TraceContext,
        removed: tuple[str, ...],
    ) -> None:
        """Write which tags were set and removed."""
        self._write_tags(trace_id, context.tags, removed)

    def assessed(self, trace_id: int, said: Mapping[str, Any]) -> None:
        """Write an assessment."""
        self._write("assessment", trace_id, said)
        self.count("accepted.assessments")

    def stats(self) -> Mapping[str, int]:
        """Return all counters, those of the mapping side among them if it is in this process."""
        own, others = super().stats(), self.beside()
        shared = self._accounting.snapshot()
        both = {n: own.get(n, 0) + others.get(n, 0) for n in {*own, *others} - shared.keys()}
        return {**both, **shared}

    def close(self, seconds: float) -> None:
        """Wait for what is on its way to Kafka, and to the backend."""
        self._topic.close(seconds / 2)
        super().close(seconds / 2)


class AcceptingFeedback(Feedback):
    """Takes assessments, and writes them. Those of traces that other bridges accepted need a backend."""

    def __init__(self, intake: Accepting, *others: Any) -> None:
        super().__init__(intake, *others)
        self._accepting = intake

    def _send(self, target: Target, document: Mapping[str, Any], operation: Operation) -> None:
        said = {
            "operation": operation,
            "document": document,
            "root": target.root,
            "stamp": target.stamp,
        }
        try:
            self._accepting.assessed(target.trace_id, said)
        except RefusedError:
            # It comes again, and must not be taken for one that was sent.
            self.kept.remove(target.trace_id, str(document.get("assessment_id")))
            raise


def _remember(known: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_REMEMBERED:
        known.popitem(last=False)


def _without_broken(request: ExportTraceServiceRequest) -> int:
    """Take MLflow's spans without valid IDs out of a request; return how many they were."""
    taken_out = 0
    for holder in request.resource_spans:
        for scoped in holder.scope_spans:
            broken = [
                n
                for n, span in enumerate(scoped.spans)
                if not is_whole(span) and span_message.made_by_mlflow(span, scoped.scope)
            ]
            for n in reversed(broken):
                del scoped.spans[n]
            taken_out += len(broken)
    return taken_out
