"""OTLP over HTTP/1.1, protobuf in the body.

Follows https://opentelemetry.io/docs/specs/otlp/#otlphttp for what is tried again.
"""

from __future__ import annotations

from typing import Final

from mlflow_otel.delivery.compress import decompress
from mlflow_otel.delivery.curl import ANSWER_BYTES, Answer, Client
from mlflow_otel.delivery.destination import http_destination
from mlflow_otel.delivery.retry import retry_after
from mlflow_otel.delivery.transport import USER_AGENT, Outcome
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.wording import server_text

PROXY_WANTS_CREDENTIALS: Final = 407
RETRYABLE: Final = frozenset({429, 502, 503, 504, PROXY_WANTS_CREDENTIALS})
"""The OTLP specification's list, and what is a proxy's refusal and never the server's."""
TOO_LARGE: Final = 413


class HttpTransport:
    """Requests to one endpoint.

    Args:
        settings: Endpoint, TLS files, headers, compression.

    Raises:
        ValueError: The endpoint names no host.
    """

    def __init__(self, settings: OtlpSettings) -> None:
        destination = http_destination(settings)
        encoding = settings.compression
        compressed = (("content-encoding", encoding),) if encoding != "none" else ()
        self._secrets = destination.secrets(settings.endpoint)
        self._client = Client(
            destination,
            http2=False,
            headers=(
                ("content-type", "application/x-protobuf"),
                ("user-agent", USER_AGENT),
                *compressed,
            ),
        )

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request, compressed as the settings say, and wait at most ``timeout`` seconds."""
        try:
            return outcome_of(self._client.post(request, timeout), self._secrets)
        except Exception as error:  # nothing is known of the request: it may be tried again
            said = server_text(str(error), self._secrets)
            return Outcome("retryable", type(error).__name__, said, reason="network")

    def close(self) -> None:
        """Close every connection; requests under way end."""
        self._client.close()


def open_transport(_signal: Signal, settings: OtlpSettings) -> HttpTransport:
    """Return the transport; it connects when there is something to send."""
    return HttpTransport(settings)


def outcome_of(answer: Answer, secrets: tuple[str, ...] = ()) -> Outcome:
    """Return what an answer says. A status that was read decides, whatever could not be read after it.

    Args:
        answer: What came back.
        secrets: What no message may show.
    """
    status = str(answer.status)
    if not answer.status:
        said = server_text(answer.message, secrets)
        return Outcome("retryable", answer.reason or "network", said, reason=answer.reason)
    body = decompress(answer.body, answer.headers.get("content-encoding", ""), ANSWER_BYTES)
    if 200 <= answer.status < 300:
        if answer.headers.get("content-type", "").lower().startswith("text/html"):
            return Outcome("accepted", status, "a web page", reason="no_otlp")
        return Outcome("accepted", status, response=body)
    retryable = answer.status in RETRYABLE
    return Outcome(
        "retryable" if retryable else "rejected",
        status,
        server_text(body, secrets),
        retry_after=retry_after(answer.headers.get("retry-after")) if retryable else None,
        too_large=answer.status == TOO_LARGE,
    )
