"""One trace of MLflow's, and its parts as clients send them."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from mlflow_otel.bridge.joining import Arrival
from mlflow_otel.otlp import wire

RESOURCE = ResourceSpans()
RESOURCE.resource.attributes.add(key="telemetry.sdk.name").value.string_value = "mlflow"


class Part(NamedTuple):
    """One span of a trace: its number, which gives its ID, and its parent's; 0 for none."""

    trace: int
    number: int
    parent: int


def otlp_span(part):
    """As Python's client sends it to ``/v1/traces``: values decoded, no kind."""
    span = Span(
        trace_id=part.trace.to_bytes(16, "big"),
        span_id=part.number.to_bytes(8, "big"),
        parent_span_id=part.parent.to_bytes(8, "big") if part.parent else b"",
        name=f"step {part.number}",
        start_time_unix_nano=1_000,
        end_time_unix_nano=2_000,
    )
    attributes = {
        "mlflow.traceRequestId": f"tr-{part.trace:032x}",
        "mlflow.spanType": "CHAIN",
        "mlflow.spanInputs": {"q": "20", "n": 1.0},
        "text": "20",
        "number": 20,
    }
    span.MergeFromString(wire.attributes(b"\x4a", attributes))
    return span


def arrival(part):
    return Arrival(otlp_span(part), RESOURCE.SerializeToString(), decoded=True, experiment_id="7")


def info_body(trace, **said):
    return {
        "trace": {
            "trace_info": {
                "trace_id": f"tr-{trace:032x}",
                "client_request_id": f"req-{trace}",
                "trace_location": {
                    "type": "MLFLOW_EXPERIMENT",
                    "mlflow_experiment": {"experiment_id": "7"},
                },
                "state": "OK",
                "trace_metadata": {"mlflow.trace.session": "s-1", "mlflow.trace.user": "u-1"},
                "tags": {"env": "prod", "mlflow.traceName": "root"},
                **said,
            }
        }
    }


def traces_json(parts, *, typescript=False):
    """As Python's client uploads it, or TypeScript's: its trace ID is wrong, its values decoded."""
    spans = []
    for part in parts:
        trace = f"tr-{part.trace:032x}"
        attributes = {
            "mlflow.traceRequestId": trace,
            "mlflow.spanType": "CHAIN",
            "mlflow.spanInputs": {"q": "20", "n": 1.0},
            "text": "20",
            "number": 20,
        }
        wrong = b"\x00\xf2" + part.trace.to_bytes(16, "big")[:14]
        identity = wrong if typescript else part.trace.to_bytes(16, "big")
        spans.append(
            {
                "trace_id": base64.b64encode(identity).decode(),
                "span_id": base64.b64encode(part.number.to_bytes(8, "big")).decode(),
                "parent_span_id": base64.b64encode(part.parent.to_bytes(8, "big")).decode()
                if part.parent
                else ("" if typescript else None),
                "name": f"step {part.number}",
                "start_time_unix_nano": 1_000,
                "end_time_unix_nano": 2_000,
                "events": [],
                "links": [],
                "status": {"code": "STATUS_CODE_UNSET", "message": ""},
                "attributes": attributes
                if typescript
                else {key: json.dumps(value) for key, value in attributes.items()},
            }
        )
    return {"spans": spans}
