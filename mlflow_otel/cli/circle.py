"""Whether a process that receives would send to itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from mlflow_otel.bridge.access import LOOPBACK
from mlflow_otel.settings import SIGNALS, Settings


def sends_to_itself(settings: Settings, listening: tuple[tuple[str, int], ...]) -> str | None:
    """Return an endpoint that is one of this process's own addresses: what came would go in circles."""
    for name in SIGNALS:
        endpoint = settings.otlp(name).endpoint
        url = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        for host, port in listening:
            near = url.hostname == host or {url.hostname, host} <= {*LOOPBACK, "0.0.0.0", "::"}  # noqa: S104 (compared)
            if port and url.port == port and near:
                return endpoint
    return None
