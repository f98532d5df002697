"""The bridge's application in this process, and requests of any kind to it.

The first byte of an input says which of ``FORMS`` it is, the rest is the body. What leaves is mapped and encoded
at once. Whatever the body is: no answer is a 500, nothing raises, and what leaves can be read.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import NamedTuple

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge import intake as intakes
from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.http import HttpFace
from mlflow_otel.bridge.joining import Joiner
from mlflow_otel.bridge.mlflow_api import MlflowApi
from mlflow_otel.bridge.reading import Reading
from mlflow_otel.bridge.remembering import Memory
from mlflow_otel.holding.held_trace import HoldBounds
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.otlp import envelope
from mlflow_otel.settings import Settings
from tests.bridge.parts import RESOURCE, Part, info_body, otlp_span, traces_json

JSON, PROTOBUF = "application/json", "application/x-protobuf"
TRACE = 5
NAMED = f"tr-{TRACE:032x}"
API = "/api/3.0/mlflow/traces"
PLACE = f"/api/2.0/mlflow-artifacts/artifacts/7/traces/{NAMED}/artifacts/traces.json"
BOUNDS = HoldBounds(100, 1000, 10**7, 60.0, 10_000, 60.0)


class Form(NamedTuple):
    """What stands around a body."""

    method: str
    path: str
    kind: str
    encoding: str = ""
    packed: bool = False


FORMS = (
    Form("POST", "/v1/traces", PROTOBUF),
    Form("POST", "/v1/traces", JSON),
    Form("POST", "/v1/logs", PROTOBUF),
    Form("POST", "/v1/logs", JSON),
    Form("POST", "/v1/metrics", PROTOBUF),
    Form("POST", "/v1/metrics", JSON),
    Form("POST", "/v1/traces", PROTOBUF, "gzip"),
    Form("POST", "/v1/traces", PROTOBUF, "gzip", packed=True),
    Form("POST", "/v1/traces", PROTOBUF, "deflate"),
    Form("POST", "/v1/traces", JSON, "deflate", packed=True),
    Form("POST", "/v1/traces", PROTOBUF, "zstd"),
    Form("POST", API, JSON),
    Form("PUT", PLACE, JSON),
    Form("GET", PLACE, ""),
    Form("POST", f"{API}/search", JSON),
    Form("PATCH", f"{API}/{NAMED}/tags", JSON),
    Form("DELETE", f"{API}/{NAMED}/tags", JSON),
    Form("POST", f"{API}/{NAMED}/assessments", JSON),
    Form("POST", "/v1/feedback", JSON),
    Form("POST", "/v1/feedback", PROTOBUF),
    Form("POST", "/api/2.0/mlflow/experiments/create", JSON),
)
"""In an order that stays: the corpus names them by their number."""
PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


class At:
    """Takes what leaves: it is mapped, encoded and read again, here and now."""

    bytes = items = 0

    def put(self, outlet, waiting):
        shape = envelope.SHAPES[outlet._signal]
        shape.request.FromString(envelope.request(waiting.groups()))

    def open(self):
        """There is nothing to open."""


class Bridge:
    """The bridge's application, without a port and without a backend."""

    def __init__(self):
        self.accounting = Accounting()
        settings = Settings.from_environment(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, self.accounting
        )
        options = MappingOptions()
        self.intake = intakes.Intake(settings, options, self.accounting)
        self.intake.gate = At()
        feedback = Feedback(self.intake, frozenset({"logs", "traces"}))
        api = MlflowApi(
            self.intake, feedback, Reading(Memory(self.intake.memory), None, options, 5)
        )
        self.application = HttpFace(self.intake, api, feedback, Access()).application()
        self.loop = asyncio.new_event_loop()

    def ask(self, form, body):
        """Return the status and the body of the answer."""
        if form.packed:
            body = PACKERS[form.encoding](body)
        headers = [
            (b"host", b"127.0.0.1"),
            (b"content-type", form.kind.encode()),
            (b"content-encoding", form.encoding.encode()),
            (b"x-mlflow-experiment-id", b"7"),
        ]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": form.method,
            "path": form.path,
            "raw_path": form.path.encode(),
            "query_string": b"",
            "headers": [pair for pair in headers if pair[1]],
            "server": ("127.0.0.1", 80),
            "scheme": "http",
        }
        said = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            said.append(message)

        # A trace that an input before had must not make this one's spans duplicates.
        self.intake._joiner = Joiner(BOUNDS, self.accounting, self.intake.experiments.name_of)
        self.loop.run_until_complete(self.application(scope, receive, send))
        whole = b"".join(message.get("body", b"") for message in said[1:])
        return said[0]["status"], dict(said[0]["headers"]), whole

    def check(self, data):
        """Send an input; raise when the answer is none that a bridge may give."""
        form, body = FORMS[data[0] % len(FORMS)], data[1:]
        status, headers, answer = self.ask(form, body)
        if status >= 500 or not status >= 200:
            raise AssertionError(f"{form} was answered with {status}: {answer[:500]!r}")
        if headers.get(b"content-type", b"").startswith(JSON.encode()):
            json.loads(answer)
        self.intake._leave(self.intake._joiner.release_all())


def seeds():
    """Yield the inputs to begin with: a good request of each form."""
    request = ExportTraceServiceRequest()
    holder = request.resource_spans.add(resource=RESOURCE.resource)
    holder.scope_spans.add().spans.extend(otlp_span(Part(TRACE, n, n // 2)) for n in (1, 2, 3))
    file = traces_json([Part(TRACE, 1, 0), Part(TRACE, 2, 1)])
    spans = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "0" * 31 + "5",
                                "spanId": "0" * 15 + "1",
                                "name": "s",
                                "startTimeUnixNano": "1",
                                "endTimeUnixNano": "2",
                                "attributes": [
                                    {
                                        "key": "mlflow.traceRequestId",
                                        "value": {"stringValue": json.dumps(NAMED)},
                                    }
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }
    verdict = {
        "trace_id": NAMED,
        "assessment_name": "good",
        "feedback": {"value": True},
        "rationale": "so",
        "source": {"source_type": "HUMAN", "source_id": "ann"},
    }
    search = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "7"}}],
        "filter": "status = 'OK' AND tag.env LIKE 'p%'",
        "order_by": ["timestamp DESC"],
        "max_results": 5,
    }
    bodies = {
        ("/v1/traces", PROTOBUF): [request.SerializeToString()],
        ("/v1/traces", JSON): [spans],
        ("/v1/logs", JSON): [{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {}}]}]}]}],
        ("/v1/metrics", JSON): [{"resourceMetrics": [{"scopeMetrics": [{"metrics": []}]}]}],
        (API, JSON): [info_body(TRACE)],
        (PLACE, JSON): [file, traces_json([Part(TRACE, 1, 0)], typescript=True)],
        (f"{API}/search", JSON): [search],
        (f"{API}/{NAMED}/tags", JSON): [{"key": "k", "value": "v"}],
        (f"{API}/{NAMED}/assessments", JSON): [{"assessment": verdict}],
        ("/v1/feedback", JSON): [verdict, {"assessments": [verdict]}],
        ("/api/2.0/mlflow/experiments/create", JSON): [{"name": "chat"}],
    }
    for number, form in enumerate(FORMS):
        for body in bodies.get((form.path, form.kind), [b""]):
            said = body if isinstance(body, bytes) else json.dumps(body).encode()
            if form.encoding in PACKERS and not form.packed:
                said = PACKERS[form.encoding](said)
            yield bytes([number]) + said
