"""What is owed to the tracking server: sent in order, tried again until it is taken, kept in a spool meanwhile.

What concerns one trace goes by one lane, in the order in which it came: an assessment is refused by a server
that does not know its trace yet.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from mlflow_otel import wording
from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.lane import Lane
from mlflow_otel.bridge.upstream import Asked, NoAnswerError, Upstream, Verdict, verdict
from mlflow_otel.delivery.spool import Spool
from mlflow_otel.settings import Settings

LANES: Final = 4
TIMEOUT_SECONDS: Final = 60.0
"""Of one request: MLflow's server takes 30 to say that it has no connection to its database left."""
FOLDER: Final = "mlflow-upstream"


class Owed:
    """All lanes to one tracking server.

    Args:
        upstream: The server.
        settings: Bounds, and where the spool is.
        accounting: Gets ``upstream.*``.
    """

    def __init__(self, upstream: Upstream, settings: Settings, accounting: Accounting) -> None:
        self._upstream = upstream
        self._accounting = accounting
        accounting.hide(upstream.secrets)
        self._locks = contextlib.ExitStack()
        self._lanes = [
            Lane(
                self._send,
                self._spool(settings, number),
                settings.max_held_bytes // LANES,
                accounting,
            )
            for number in range(LANES)
        ]

    def _spool(self, settings: Settings, number: int) -> Spool | None:
        if settings.spool_dir is None:
            return None
        try:
            spool = Spool(
                Path(settings.spool_dir) / FOLDER / str(number),
                replace(settings.otlp("traces"), endpoint=self._upstream.url, headers=()),
                settings.spool_max_bytes // LANES,
                settings.spool_max_age,
                fsync=settings.spool_fsync,
            )
            if self._locks.enter_context(spool.exclusive()):
                return spool
            error = OSError("another bridge uses it")
        except OSError as found:
            error = found
        self._accounting.warn(
            "upstream.spool_unusable",
            "MLFLOW_OTEL_SPOOL_DIR cannot be used for what is owed to the MLflow tracking server (%s). "
            "It waits in memory only. Name a folder of its own that this process may write.",
            error,
        )
        return None

    def _send(self, asked: Asked) -> Verdict:
        try:
            answer = self._upstream.ask(asked, TIMEOUT_SECONDS)
        except NoAnswerError as error:
            self._say("upstream.down", str(error))
            return "later"
        said = verdict(asked, answer)
        if said != "delivered":
            text = wording.server_text(answer.body, self._upstream.secrets)
            what = f"{self._upstream.where} answered {answer.status} to {asked.method}: {text}"
            self._say(f"upstream.{'refusals' if said == 'refused' else 'not_taken'}", what)
        return said

    def _say(self, cause: str, what: str) -> None:
        self._accounting.warn(
            cause,
            "%s. What goes over OTLP is not touched. What the tracking server may take later waits.",
            what,
        )

    def put(self, trace_id: int, asked: Asked) -> None:
        """Owe a request that concerns a trace."""
        self._lanes[trace_id % LANES].put(asked)

    def settle(self, seconds: float) -> bool:
        """Wait until the server has what is owed now; False when it has not in time, or is down."""
        until = time.monotonic() + seconds
        return all([lane.settle(until) for lane in self._lanes])  # noqa: C419 (each has its chance)

    def stats(self) -> dict[str, int]:
        """Return how many requests wait in memory and in the spool."""
        found: Counter[str] = Counter({"upstream.waiting": 0, "upstream.spooled": 0})
        for lane in self._lanes:
            found.update(lane.stats())
        return dict(found)

    def close(self, seconds: float) -> None:
        """Send what can be sent in time; the rest is spooled, or counted as dropped."""
        closing = [threading.Thread(target=lane.close, args=(seconds,)) for lane in self._lanes]
        for one in closing:
            one.start()
        for one in closing:
            one.join()
        self._locks.close()
