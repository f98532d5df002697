"""The traces that this process received, under a tracking URI of their own: ``otel+memory://received``.

MLflow's server opens its store by a URI. So whoever receives traces offers them here, and the URI opens
them in the same process. Changes are kept where the traces are.
"""

from __future__ import annotations

from typing import Final, Protocol

from mlflow_otel.backends.memory import MemoryBackend, ProcessTraces
from mlflow_otel.backends.model import BackendError
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.store.changes import LaterSpan
from mlflow_otel.store.sending import encoded
from mlflow_otel.store.traces import Traces

SCHEME: Final = "otel+memory"
URI: Final = f"{SCHEME}://received"
LOOK_BACK_DAYS: Final = 3650.0
"""All that is kept: it is bounded by bytes, not by age."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""Asking memory for its services costs little: a new one is seen soon."""


class Received(ProcessTraces, Protocol):
    """Traces that were received, and what is received next."""

    def add(self, signal: str, body: bytes) -> None:
        """Take an encoded export request of a signal (``traces``)."""
        ...


class ReceivedBackend(MemoryBackend):
    """What this server received."""

    where = "the traces that this server received"


_offered: dict[str, Received] = {}


def offer(received: Received) -> str:
    """Return the tracking URI that opens traces in this process. What was offered before is let go."""
    _offered[URI] = received
    return URI


def open_received(timeout: float, options: MappingOptions) -> Traces:
    """Return the traces that were offered.

    Args:
        timeout: Seconds for each call; memory never waits.
        options: How what is added is mapped.

    Raises:
        BackendError: This process offers none.
    """
    received = _offered.get(URI)
    if received is None:
        raise BackendError(
            f"{URI} is opened by `mlflow-otel ui` alone, in whose memory the traces are"
        )

    def keep(later: LaterSpan) -> None:
        received.add("traces", encoded(later))

    return Traces(
        ReceivedBackend(received),
        keep,
        options,
        timeout=timeout,
        look_back_days=LOOK_BACK_DAYS,
        look_again_seconds=LOOK_AGAIN_SECONDS,
    )
