"""Whether a process that receives would send to itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from mlflow_otel.bridge.access import LOOPBACK
from mlflow_otel.settings import SIGNALS, Settings


def sends_to_itself(
    settings: Settings, listening: tuple[tuple[str, int], ...], other: str | None = None
) -> str | None:
    """Return an endpoint that is one of this process's own addresses: what came would go in circles.

    Args:
        settings: Where traces, logs and metrics go.
        listening: Hosts and ports of this process.
        other: A URL that they go to as well.
    """
    for endpoint in (*(settings.otlp(name).endpoint for name in SIGNALS), *filter(None, [other])):
        url = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        for host, port in listening:
            near = url.hostname == host or {url.hostname, host} <= {*LOOPBACK, "0.0.0.0", "::"}  # noqa: S104 (compared)
            if port and url.port == port and near:
                return endpoint
    return None
