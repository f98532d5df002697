"""What ``MLFLOW_TRACKING_URI`` names: a bridge, a tracking server, or nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from mlflow_otel import wording
from mlflow_otel.cli.finding import Finding
from mlflow_otel.settings import Settings

SECONDS: Final = 3.0
BRIDGE: Final = "+bridge"
"""How the version ends that a bridge answers."""
NAME: Final = "MLFLOW_TRACKING_URI"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def tracking(settings: Settings) -> Iterator[Finding]:
    """Say who answers there, if it is a URL of HTTP's."""
    uri = settings.tracking_uri or ""
    if urlsplit(uri).scheme not in {"http", "https"}:
        return
    shown = wording.endpoint(uri)
    try:
        version = _asked(f"{uri.rstrip('/')}/version")
    except (OSError, ValueError):
        yield Finding(
            "note",
            NAME,
            f"nobody answers at {shown}",
            "start the server or the bridge, or correct the address",
        )
        return
    if not version.endswith(BRIDGE):
        yield Finding("ok", NAME, f"{shown} is an MLflow server, {version[:40]}")
        return
    try:
        _asked(f"{uri.rstrip('/')}/readyz")
    except HTTPError as error:
        said = error.read(200).decode("utf-8", "replace").strip()
        yield Finding(
            "problem",
            NAME,
            f"{shown} is a bridge that is not ready: {said}",
            "see whether its backend takes what it sends",
        )
        return
    except (OSError, ValueError):
        pass  # it answered a moment ago; what it is, is known
    yield Finding(
        "ok",
        NAME,
        f"{shown} is an mlflow-otel bridge: it sends OTLP for apps that do not call instrument()",
    )


def _asked(url: str) -> str:
    """Return what is answered.

    Raises:
        HTTPError: The status is an error's.
        OSError: Nobody answers.
    """
    opener = (
        build_opener(ProxyHandler({})) if urlsplit(url).hostname in LOOPBACK else build_opener()
    )
    with opener.open(url, timeout=SECONDS) as answer:
        return str(answer.read(1000).decode("utf-8", "replace")).strip()
