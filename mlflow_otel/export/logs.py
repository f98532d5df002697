"""Log records to an OTLP endpoint: encoded here, delivered as spans are.

The SDK's log record changed its class (``LogData`` before 1.39, ``ReadableLogRecord`` since), but not the
names of its values. They are read by name, so this needs no base class of the SDK.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.signal_delivery import SignalDelivery
from mlflow_otel.delivery.transport import Transport
from mlflow_otel.otlp import envelope, wire
from mlflow_otel.otlp.envelope import ITEM, Group
from mlflow_otel.settings import Settings

EVENT_NAME: Final = "event.name"
"""Where an event's name stands in SDKs whose log records have no field for it (before 1.35)."""
TIMES: Final = struct.Struct("<BQ").pack
FLAGS: Final = struct.Struct("<BI").pack


class MlflowLogExporter:
    """Exports log records over OTLP, as ``OTEL_EXPORTER_OTLP_[LOGS_]*`` say; see ``SignalDelivery``.

    A backend that takes no logs turns this off, with one warning. Stands behind the SDK's
    ``BatchLogRecordProcessor``.

    Args:
        settings: The configuration.
        transport: Sends the bytes; opened by the settings when None.
        accounting: Gets ``SignalDelivery``'s counters.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
    ) -> None:
        self._accounting = accounting
        self.delivery = SignalDelivery(
            "logs", settings, transport=transport, accounting=accounting, optional=True
        )

    def export(self, batch: Sequence[Any]) -> None:
        """Take log records for delivery. Each is exported, or counted as dropped."""
        self.delivery.deliver(lambda: encode_logs(batch, self._accounting), len(batch))

    def force_flush(self, timeout_millis: float = 30000) -> bool:
        """Wait for what is in flight; True if all taken since the last flush was accepted in time."""
        return self.delivery.force_flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Give what is in flight up to 5 seconds and close the connection."""
        self.delivery.shutdown()


def encode_logs(batch: Iterable[Any], accounting: Accounting = ACCOUNTING) -> list[Group]:
    """Return log records encoded, by resource and scope.

    One that cannot be encoded is left out and counted as ``dropped`` and ``dropped.unencodable``.
    """
    groups: dict[tuple[int, int], Group] = {}
    for item in batch:
        try:
            record, scope = item.log_record, item.instrumentation_scope
            resource = getattr(item, "resource", None) or record.resource
            place = (id(resource), id(scope))
            if place not in groups:
                groups[place] = Group(envelope.resource(resource), envelope.scope(scope))
            groups[place].items.append(wire.field(ITEM, encode_log(record)))
        except Exception as error:
            accounting.count("dropped")
            accounting.warn(
                "dropped.unencodable",
                "A log record could not be encoded and was dropped (%s: %s). Please report it to mlflow-otel.",
                type(error).__name__,
                error,
            )
    return [group for group in groups.values() if group.items]


def encode_log(record: Any) -> bytes:
    """Return one ``LogRecord`` (``opentelemetry/proto/logs/v1/logs.proto``)."""
    attributes = dict(record.attributes or {})
    event_name = getattr(record, "event_name", None) or attributes.pop(EVENT_NAME, None)
    severity = getattr(record.severity_number, "value", 0)
    pieces = [
        TIMES(0x09, record.timestamp or 0),
        b"\x10" + wire.varint(severity) if severity else b"",
        wire.string(b"\x1a", record.severity_text),
        b"" if record.body is None else wire.field(b"\x2a", wire.any_value(record.body)),
        wire.attributes(b"\x32", attributes),
        FLAGS(0x45, int(record.trace_flags or 0)),
        TIMES(0x59, record.observed_timestamp or record.timestamp or 0),
        wire.string(b"\x62", event_name),
    ]
    if record.trace_id:
        pieces.append(wire.field(b"\x4a", record.trace_id.to_bytes(16, "big")))
    if record.span_id:
        pieces.append(wire.field(b"\x52", record.span_id.to_bytes(8, "big")))
    return b"".join(pieces)
