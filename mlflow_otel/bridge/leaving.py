"""Spans that leave, mapped by the same functions as the exporter's, and encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import span_message
from mlflow_otel.bridge.joining import Arrival, Leaving
from mlflow_otel.bridge.updates import update_span
from mlflow_otel.mapping import content
from mlflow_otel.mapping.model import Mapped, MappingOptions, TraceContext
from mlflow_otel.mapping.redaction import STATUS_TEXT, redacted
from mlflow_otel.mapping.span import map_span
from mlflow_otel.otlp import wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.version import __version__

Keep: TypeAlias = Callable[[str, Mapping[str, Any], str, bool], bool]
"""Takes a span's name, attributes, scope's name and whether it is MLflow's; tells whether it leaves."""
SERVICE_NAME: Final = "service.name"
NO_CONTEXT: Final = TraceContext()


@dataclass(frozen=True)
class Mapper:
    """Maps what leaves. Never raises on account of a value.

    Args:
        options: How to map.
        accounting: Gets ``mapping_failed``.
        keep: Tells whether a span leaves, or None: all do.
    """

    options: MappingOptions
    accounting: Accounting
    keep: Keep | None = None
    scope: bytes = field(init=False)
    scope_name: str = field(default="mlflow_otel", init=False)

    def __post_init__(self) -> None:
        scope = ScopeSpans(
            scope=InstrumentationScope(name=self.scope_name, version=__version__),
            schema_url=self.options.version.schema_url,
        )
        object.__setattr__(self, "scope", scope.SerializeToString())

    @property
    def changes_others(self) -> bool:
        """Whether spans that MLflow did not make are looked at, too: something is held back."""
        options = self.options
        return not options.capture_content or options.redact is not None or self.keep is not None

    def groups(self, leaving: Leaving) -> list[Group]:
        """Return the spans of a trace encoded, by resource."""
        groups: dict[bytes, Group] = {}
        for arrival in leaving.arrivals:
            encoded = self._encoded(arrival, leaving)
            if encoded is not None:
                self._group(groups, arrival.resource, leaving.context).items.append(encoded)
        if leaving.update:
            made = update_span(
                leaving.trace_id,
                leaving.root_id,
                leaving.context,
                leaving.removed,
                self.options,
                leaving.update_id,
            )
            item = wire.field(ITEM, made.SerializeToString())
            self._group(groups, leaving.resource, leaving.context).items.append(item)
        return list(groups.values())

    def _group(self, groups: dict[bytes, Group], resource: bytes, context: TraceContext) -> Group:
        if resource not in groups:
            groups[resource] = Group(resource_with_service(resource, context), self.scope)
        return groups[resource]

    def _encoded(self, arrival: Arrival, leaving: Leaving) -> bytes | None:
        span = Span()
        span.CopyFrom(arrival.span)  # what the joiner remembers is never changed
        is_entry = arrival.span_id in leaving.entries
        if not self._map(
            span,
            leaving.context,
            decoded=arrival.decoded,
            by_mlflow=True,
            is_entry=is_entry,
            scope_name=self.scope_name,
        ):
            return None
        return wire.field(ITEM, span.SerializeToString())

    def other(self, span: Span, scope_name: str) -> bool:
        """Hold back what must be of a span that MLflow did not make; tell whether it leaves."""
        return self._map(
            span, NO_CONTEXT, decoded=False, by_mlflow=False, is_entry=False, scope_name=scope_name
        )

    def others_scope(self, holder: ScopeSpans) -> bytes:
        """Return what the holder of other libraries' spans says of their scope, less what is held back."""
        held = ScopeSpans(scope=holder.scope, schema_url=holder.schema_url)
        if held.scope.attributes and self.changes_others:
            said = span_message.plain_attributes(held.scope.attributes)
            held.scope.ClearField("attributes")
            held.scope.MergeFromString(
                wire.attributes(b"\x1a", self._guarded(held.scope.name, said))
            )
        return held.SerializeToString()

    def _map(
        self,
        span: Span,
        context: TraceContext,
        *,
        decoded: bool,
        by_mlflow: bool,
        is_entry: bool,
        scope_name: str,
    ) -> bool:
        view = span_message.view(span, decoded=decoded, by_mlflow=by_mlflow, is_entry=is_entry)
        try:
            mapped = map_span(view, context, self.options)
        except Exception as error:
            mapped = Mapped(span.name, None, self._guarded(span.name, view.attributes))
            self._failed(span.name, type(error).__name__)
        if mapped.failures:
            self._failed(span.name, ", ".join(mapped.failures))
        if self.keep is not None and not self.keep(
            mapped.name, mapped.attributes, scope_name, by_mlflow
        ):
            return False
        before = span.name
        span_message.write(span, mapped, by_mlflow=by_mlflow)
        self._guard_rest(span, before)
        return True

    def _guard_rest(self, span: Span, name: str) -> None:
        """Hold back what must be of links and of the status text, which the mapping does not see."""
        options = self.options
        if span.status.message:
            span.status.CopyFrom(self._status(name, span.status))
        if options.capture_content and options.redact is None:
            return
        for link in span.links:
            left = self._guarded(name, span_message.plain_attributes(link.attributes))
            link.ClearField("attributes")
            link.MergeFromString(wire.attributes(b"\x22", left))

    def _status(self, name: str, status: Status) -> Status:
        options = self.options
        if not options.errors_speak:
            return Status(code=status.code)
        if options.redact is None:
            return status
        left = redacted(name, {STATUS_TEXT: status.message}, options.redact).get(STATUS_TEXT)
        return Status(code=status.code, message="" if left is None else str(left))

    def _guarded(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        options = self.options
        left = dict(attributes)
        if not options.capture_content:
            left = content.attributes(left, options)
        return left if options.redact is None else redacted(name, left, options.redact)

    def _failed(self, name: str, steps: str) -> None:
        self.accounting.warn(
            "mapping_failed",
            "A span of %r could not be mapped in full (%s). It is sent with what could be; "
            "please report its inputs' shape to mlflow-otel.",
            name,
            steps,
        )


def resource_with_service(resource: bytes, context: TraceContext) -> bytes:
    """Return a resource's holder that names a service and this distribution.

    Args:
        resource: As it came, encoded.
        context: Of the trace; the experiment is the service where the client names none.
    """
    holder = ResourceSpans.FromString(resource)
    said = span_message.plain_attributes(holder.resource.attributes)
    added = {
        SERVICE_NAME: context.experiment_name or context.experiment_id or "unknown_service",
        "telemetry.distro.name": "mlflow-otel",
        "telemetry.distro.version": __version__,
    }
    missing = {key: value for key, value in added.items() if not said.get(key)}
    holder.resource.MergeFromString(wire.attributes(b"\x0a", missing))
    return holder.SerializeToString()
