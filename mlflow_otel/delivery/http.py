"""OTLP over HTTP, protobuf in the body, one kept-alive connection."""

from __future__ import annotations

import requests
import requests.adapters
import requests.utils

from mlflow_otel.delivery.retry import retry_after
from mlflow_otel.delivery.transport import USER_AGENT, Outcome
from mlflow_otel.settings import OtlpSettings, Signal
from mlflow_otel.version import __version__

RETRYABLE = frozenset({429, 502, 503, 504})
"""The OTLP specification's list."""
TOO_LARGE = 413


class HttpTransport:
    """A session with one endpoint.

    Args:
        settings: Endpoint, TLS files, headers, compression.
        connections: How many to keep open at once, at most.
    """

    def __init__(self, settings: OtlpSettings, connections: int) -> None:
        self._url = (
            settings.endpoint if "://" in settings.endpoint else f"http://{settings.endpoint}"
        )
        self._session = requests.Session()
        pool = requests.adapters.HTTPAdapter(pool_maxsize=connections)
        self._session.mount("http://", pool)
        self._session.mount("https://", pool)
        # Given with each request: a session's own is beaten by REQUESTS_CA_BUNDLE in the environment.
        self._verify = settings.certificate or True
        if settings.client_certificate:
            key = settings.client_key
            self._session.cert = (
                (settings.client_certificate, key) if key else settings.client_certificate
            )
        self._session.headers.update(
            {"User-Agent": f"{USER_AGENT}/{__version__}", "Content-Type": "application/x-protobuf"}
        )
        if settings.compression != "none":
            self._session.headers["Content-Encoding"] = settings.compression
        self._session.headers.update(dict(settings.headers))
        # requests looks into ~/.netrc at each request, and lets it beat a header that was set.
        named = any(key == "authorization" for key, _ in settings.headers)
        found = None if named else requests.utils.get_netrc_auth(self._url)
        self._session.auth = found or _as_it_is

    def send(self, request: bytes, timeout: float) -> Outcome:
        """Send one request and wait, at most ``timeout`` seconds for each of its stages."""
        try:
            answer = self._session.post(
                self._url, request, timeout=timeout, allow_redirects=False, verify=self._verify
            )
        except requests.exceptions.SSLError as error:
            return Outcome("rejected", "SSLError", str(error))
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            return Outcome("retryable", type(error).__name__, str(error))
        except Exception as error:
            return Outcome("rejected", type(error).__name__, str(error))
        status = str(answer.status_code)
        if 200 <= answer.status_code < 300:
            return Outcome("accepted", status, response=answer.content)
        retryable = answer.status_code in RETRYABLE
        return Outcome(
            "retryable" if retryable else "rejected",
            status,
            answer.text[:500],
            retry_after=retry_after(answer.headers.get("Retry-After")) if retryable else None,
            too_large=answer.status_code == TOO_LARGE,
        )

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def open_transport(_signal: Signal, settings: OtlpSettings, connections: int) -> HttpTransport:
    """Return the transport."""
    return HttpTransport(settings, connections)
