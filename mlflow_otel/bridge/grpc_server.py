"""OTLP/gRPC in, by grpcio's asynchronous server (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.bodies import PROTOBUF, RefusedError, otlp_message
from mlflow_otel.bridge.intake import RETRY_SECONDS, Intake
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.receiver.server import MAX_BODY_BYTES
from mlflow_otel.settings import Signal

SERVICES: Final[dict[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
CODES: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""By the HTTP status that says the same."""


def make_server(intake: Intake, access: Access) -> Any:
    """Return the server; it has no port yet.

    Args:
        intake: Takes what comes.
        access: Who may send.
    """
    server = grpc.aio.server(
        options=(("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 0))
    )
    for signal, service in SERVICES.items():
        export = grpc.unary_unary_rpc_method_handler(_export(signal, intake, access))
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Export": export}),)
        )
    return server


def _export(signal: Signal, intake: Intake, access: Access) -> Any:
    shape = SHAPES[signal]

    def take(body: bytes, said: dict[str, Any]) -> bytes:
        if not access.may_send(str(said.get("authorization", ""))):
            raise RefusedError(401, "Credentials are missing or not known")
        intake.make_sure_of_room()
        message = otlp_message(signal, body, PROTOBUF)
        taken = intake.otlp(signal, message, said.get("x-mlflow-experiment-id"))
        answer = shape.response()
        if taken.rejected:
            setattr(answer.partial_success, shape.rejected, taken.rejected)
            answer.partial_success.error_message = taken.message
        return bytes(answer.SerializeToString())

    async def export(body: bytes, context: Any) -> bytes:
        said = dict(context.invocation_metadata() or ())
        try:
            return await asyncio.to_thread(take, body, said)
        except RefusedError as refused:
            code = CODES.get(refused.status, grpc.StatusCode.INVALID_ARGUMENT)
            await context.abort(code, refused.message, _details(code, refused.message))
            raise

    return export


def _details(code: Any, message: str) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that asks a client to come again later."""
    if code is not grpc.StatusCode.UNAVAILABLE:
        return ()
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)))
    return (("grpc-status-details-bin", status.SerializeToString()),)
