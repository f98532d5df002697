"""Says when an endpoint stops answering, and when it answers again: once each, at once.

A request is retried for minutes before it is given up, and only then counted as dropped. Whoever has
set the wrong endpoint is to hear of it at the first try.
"""

from __future__ import annotations

import threading
from typing import Final

from mlflow_otel import wording
from mlflow_otel.accounting import logger
from mlflow_otel.delivery.transport import Outcome
from mlflow_otel.forking import begin_anew_in_child
from mlflow_otel.settings import OtlpSettings, Signal


class Announcer:
    """What is known of each endpoint of the process: whether it answers, whether it takes all signals.

    Signals that go to the same host and port have one endpoint: one line tells of all of them.
    """

    def __init__(self) -> None:
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Know nothing: also in a forked child, which makes tries of its own."""
        self._lock = threading.RLock()
        self._silent: set[str] = set()
        self._partial: set[str] = set()

    def tried(self, settings: OtlpSettings, outcome: Outcome, *, kept: str) -> None:
        """Hear of a try to send a request.

        Args:
            settings: Where it was sent.
            outcome: What became of it.
            kept: What becomes of a request that was not answered, for the reader.
        """
        answered = outcome.result in {"accepted", "rejected"}
        if outcome.status == "stopped" or (answered and not self._silent):
            return
        place = _place(settings)
        with self._lock:
            changed = answered == (place in self._silent)
            if changed:
                (self._silent.discard if answered else self._silent.add)(place)
        if not changed:
            return
        shown = wording.endpoint(settings.endpoint)
        if answered:
            logger.info("%s answers again.", shown)
            return
        secrets = wording.secrets_of(settings.endpoint, settings.headers)
        logger.warning(
            "%s does not answer (%s): %s. Check the endpoint with `mlflow-otel doctor`.",
            shown,
            wording.server_text(f"{outcome.status} {outcome.message}".strip(), secrets),
            kept,
        )

    def takes_not_all(self, signal: Signal, settings: OtlpSettings, outcome: Outcome) -> None:
        """Hear of a signal that an endpoint does not take, which was not set for it by name."""
        place = _place(settings)
        with self._lock:
            if place in self._partial:
                return
            self._partial.add(place)
        logger.info(
            "%s takes no %s (%s): only the signals that it takes are sent there. Set "
            "OTEL_EXPORTER_OTLP_%s_ENDPOINT to a backend for them, if you want them.",
            wording.endpoint(settings.endpoint),
            signal,
            outcome.status,
            signal.upper(),
        )


def _place(settings: OtlpSettings) -> str:
    _, is_url, rest = settings.endpoint.partition("://")
    return rest.partition("/")[0] if is_url else settings.endpoint


ANNOUNCER: Final = Announcer()
"""The process's own."""
