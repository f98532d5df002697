"""OTLP over gRPC: one channel, requests as bytes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import grpc

from mlflow_otel.delivery.retry import retry_info, says_too_large
from mlflow_otel.delivery.transport import SERVICE_METHODS, USER_AGENT, Outcome
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.version import __version__

RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""The OTLP specification's table; RESOURCE_EXHAUSTED is retryable only with RetryInfo."""

MAYBE_TOO_LARGE = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE})

COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


class GrpcTransport:
    """A channel to one endpoint.

    Args:
        signal: Whose service is called.
        settings: Endpoint, TLS files, headers, compression.

    Raises:
        OSError: A certificate or key file cannot be read.
    """

    def __init__(self, signal: Signal, settings: OtlpSettings) -> None:
        target = (
            urlsplit(settings.endpoint).netloc if "://" in settings.endpoint else settings.endpoint
        )
        options = (("grpc.primary_user_agent", f"{USER_AGENT}/{__version__}"),)
        compression = COMPRESSION[settings.compression]
        if settings.secure:
            files = (settings.certificate, settings.client_key, settings.client_certificate)
            root, key, chain = (Path(f).read_bytes() if f else None for f in files)
            credentials = grpc.ssl_channel_credentials(root, key, chain)
            self._channel = grpc.secure_channel(target, credentials, options, compression)
        else:
            self._channel = grpc.insecure_channel(target, options, compression)
        self._metadata = settings.headers
        # No serializers: bytes go as they are, so encoding happens once, not once a try.
        self._export = self._channel.unary_unary(SERVICE_METHODS[signal])

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request and wait, at most ``timeout`` seconds."""
        try:
            response = self._export(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            return _failed(error)
        except Exception as error:  # a closed channel is a ValueError
            return Outcome("rejected", type(error).__name__, str(error))
        return Outcome("accepted", "OK", response=response)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def _failed(error: grpc.RpcError) -> Outcome:
    code, said = error.code(), error.details() or ""
    if code in MAYBE_TOO_LARGE and says_too_large(said):
        return Outcome("rejected", code.name, said, too_large=True)
    asked = retry_info(error.trailing_metadata())
    exhausted = code is grpc.StatusCode.RESOURCE_EXHAUSTED
    retryable = asked is not None if exhausted else code in RETRYABLE
    return Outcome("retryable" if retryable else "rejected", code.name, said, retry_after=asked)
