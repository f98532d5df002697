"""The client of ``AssessmentService``: assessments to the bridge, from processes that run no exporter."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

import grpc
from typing_extensions import Self

from mlflow_otel.v1.assessment_pb2 import Assessment
from mlflow_otel.v1.assessment_service_pb2 import ExportPartialSuccess, ExportRequest
from mlflow_otel.v1.assessment_service_pb2_grpc import AssessmentServiceStub


class AssessmentClient:
    """Sends ``mlflow_otel.v1.Assessment`` messages to an ``AssessmentService``.

    Args:
        target: ``host:port`` of the service.
        timeout: Seconds one call may take.
        credentials: For TLS; plain when None.
        headers: Sent with every call.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._channel = (
            grpc.insecure_channel(target)
            if credentials is None
            else grpc.secure_channel(target, credentials)
        )
        self._stub = AssessmentServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout = timeout
        self._headers = tuple(headers)

    def export(self, assessments: Iterable[Assessment]) -> ExportPartialSuccess:
        """Send assessments and wait for the answer.

        Returns:
            How many were rejected, none as a rule, and why.

        Raises:
            grpc.RpcError: The service did not take the request; its code says whether to try again.
        """
        request = ExportRequest(assessments=assessments)
        answer = self._stub.Export(request, timeout=self._timeout, metadata=self._headers)
        partial: ExportPartialSuccess = answer.partial_success
        return partial

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
