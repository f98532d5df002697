"""What MLflow's tracking server wants of OTLP requests, where it refuses one. For ``mlflow-otel doctor``."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

from mlflow_otel import wording
from mlflow_otel.delivery.transport import Outcome
from mlflow_otel.settings import OtlpSettings, otlp_source
from mlflow_otel.waiting import call_with_timeout

HEADER: Final = "x-mlflow-experiment-id"
EXPERIMENT: Final = "/api/2.0/mlflow/experiments/get?experiment_id="
ASKING_SECONDS: Final = 3.0
OWN: Final = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
WHERE_IT_STANDS: Final = "the address of an experiment's page has its ID (/#/experiments/<ID>); 0 is the one named Default"


def wanted(environ: Mapping[str, str]) -> str:
    """Return how to name an experiment, in the variable that decides the headers.

    Args:
        environ: Where the settings were read from.
    """
    decides = otlp_source("traces", "HEADERS", environ)
    if decides is None:
        return f"set {OWN}={HEADER}=0 (0 is the ID of the experiment Default)"
    return f"add {HEADER}=0 to {decides} (0 is the ID of the experiment Default)"


def advice(outcome: Outcome, options: OtlpSettings, environ: Mapping[str, str]) -> str | None:
    """Return the one thing to do, or None if the refusal has nothing to do with the experiment.

    Args:
        outcome: The server's refusal.
        options: How it was sent.
        environ: Where the settings were read from.
    """
    given = dict(options.headers).get(HEADER)
    if outcome.status in {"400", "422"}:
        if not given:
            return wanted(environ)
        if not given.isdigit():
            return f"give {HEADER} the experiment's ID, a number, not its name: {WHERE_IT_STANDS}"
    if outcome.status == "404" and given:
        return f"correct the ID in {HEADER}, which no experiment has: {WHERE_IT_STANDS}"
    return None


def refusal(options: OtlpSettings) -> Outcome | None:
    """Ask the server for the experiment that the header names, as the server itself does for a span.

    Args:
        options: Where it is; its headers are sent along.

    Returns:
        What the server answers to a span, if it has no such experiment. None if it has, and also if
        nothing can be said: there is no header, or that place does not answer the question.
    """
    given = dict(options.headers).get(HEADER)
    url = urlsplit(options.endpoint)
    if not given or not url.netloc:
        return None
    place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{EXPERIMENT}{quote(given, safe='')}"
    return call_with_timeout(ASKING_SECONDS, lambda: _asked(place, options))


def _asked(url: str, options: OtlpSettings) -> Outcome | None:
    try:
        trusted = ssl.create_default_context(cafile=options.certificate)
        if options.client_certificate:
            trusted.load_cert_chain(options.client_certificate, options.client_key)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusted), _Stays())
        asked = urllib.request.Request(url, headers=dict(options.headers))  # noqa: S310 (http or https it is)
        opener.open(asked, timeout=ASKING_SECONDS).close()
    except HTTPError as error:
        with error:
            said = _read(error)
        if error.code in {400, 404} and b"error_code" in said:
            shown = wording.server_text(said, options.secrets)
            return Outcome("rejected", str(error.code), shown)
    except (OSError, ValueError, HTTPException):
        pass  # whoever answers there: it took the request without spans
    return None


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the headers are for this server alone."""

    def redirect_request(self, *_: object) -> None:
        """Return no request."""


def _read(error: HTTPError) -> bytes:
    try:
        body: bytes = error.read(4096)
    except (OSError, HTTPException):
        return b""
    return body
