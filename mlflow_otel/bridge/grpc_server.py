"""OTLP/gRPC and ``AssessmentService`` in, by grpcio's asynchronous server (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.bodies import PROTOBUF, RefusedError, otlp_message
from mlflow_otel.bridge.experiments import HEADER, Client
from mlflow_otel.bridge.failing import failed
from mlflow_otel.bridge.feedback import Feedback, read_request
from mlflow_otel.bridge.mlflow_api import Api
from mlflow_otel.bridge.patience import ANSWERS, PATIENCE, Patience
from mlflow_otel.bridge.soon import Soon, after, awaited, now
from mlflow_otel.bridge.way_in import Taken, WayIn
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.receiver.server import MAX_BODY_BYTES
from mlflow_otel.settings import Signal
from mlflow_otel.v1.assessment_service_pb2 import ExportRequest

SERVICES: Final[dict[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
ASSESSMENTS: Final = "mlflow_otel.v1.AssessmentService"
Take: TypeAlias = Callable[[bytes, Mapping[str, Any]], Soon[bytes]]
"""Takes a request's body and its metadata; returns the answer's body."""
CODES: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""By the HTTP status that says the same."""


def make_server(intake: WayIn, api: Api, feedback: Feedback, access: Access) -> Any:
    """Return the server; it has no port yet.

    Args:
        intake: Takes what comes.
        api: Sees the spans that were taken.
        feedback: Takes assessments.
        access: Who may send.
    """
    server = grpc.aio.server(
        options=(("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 0))
    )
    takers: dict[str, Take] = {
        service: functools.partial(_take_otlp, signal, intake, api)
        for signal, service in SERVICES.items()
    }
    takers[ASSESSMENTS] = functools.partial(_take_assessments, feedback)
    for service, take in takers.items():
        patience = ANSWERS if service == ASSESSMENTS else PATIENCE
        export = grpc.unary_unary_rpc_method_handler(_export(take, intake, access, patience))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Export": export}),)
        )
    return server


def _take_otlp(
    signal: Signal, intake: WayIn, api: Api, body: bytes, said: Mapping[str, Any]
) -> Soon[bytes]:
    shape = SHAPES[signal]
    message = otlp_message(signal, body, PROTOBUF)
    named = said.get(HEADER)
    taken = intake.otlp(signal, message, named)
    if signal == "traces" and api.waits:
        now(taken)
        api.spans(message, named, str(said.get("x-mlflow-workspace", "")))

    def answer(taken: Taken) -> bytes:
        message = shape.response()
        if taken.rejected:
            setattr(message.partial_success, shape.rejected, taken.rejected)
            message.partial_success.error_message = taken.message
        return bytes(message.SerializeToString())

    return after(taken, answer)


def _take_assessments(feedback: Feedback, body: bytes, _said: Mapping[str, Any]) -> bytes:
    request = read_request(body, PROTOBUF)
    assert isinstance(request, ExportRequest)  # noqa: S101 (protobuf is read as nothing else)
    return bytes(feedback.export(request).SerializeToString())


def _export(take_body: Take, intake: WayIn, access: Access, patience: Patience) -> Any:
    def take(body: bytes, said: dict[str, Any]) -> Soon[bytes]:
        if not access.may_send(str(said.get("authorization", ""))):
            raise RefusedError(401, "Credentials are missing or not known")
        intake.make_sure_of_room()
        named, prefix = said.get(HEADER), access.prefix_of(str(said.get("authorization", "")))
        if prefix and named:
            said[HEADER] = intake.experiments.own(str(named), Client(prefix=prefix))
        return take_body(body, said)

    async def export(body: bytes, context: Any) -> bytes:
        said = dict(context.invocation_metadata() or ())
        try:
            try:
                answer = await awaited(await asyncio.to_thread(take, body, said))
            except RefusedError:
                raise
            except Exception as error:  # whatever it is: grpcio would log and answer what it says
                raise failed(error) from error
        except RefusedError as refused:
            code = CODES.get(refused.status, grpc.StatusCode.INVALID_ARGUMENT)
            await context.abort(code, refused.message, _details(code, refused.message, patience))
            raise
        if patience is PATIENCE:
            patience.taken()
        return answer

    return export


def _details(code: Any, message: str, patience: Patience) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that asks a client to come again later."""
    if code is not grpc.StatusCode.UNAVAILABLE:
        return ()
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=patience.seconds())))
    return (("grpc-status-details-bin", status.SerializeToString()),)
