"""One signal's way from encoded items to the backend's answer, every item accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mlflow_otel import wording
from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.announce import ANNOUNCER
from mlflow_otel.delivery.destination import secrets_in_use
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.sender import Sender
from mlflow_otel.delivery.spool import open_spool
from mlflow_otel.delivery.transport import Outcome, Transport, load, open_transport
from mlflow_otel.otlp import envelope, split
from mlflow_otel.otlp.envelope import SHAPES, Group
from mlflow_otel.settings import Settings, Signal

SHUTDOWN_SECONDS: Final = 5.0
SMALLEST_LIMIT: Final = 4096
CAUSES: Final = {
    "stopped": "shutdown",
    "spool_bounds": "spool_bounds",
    "spool_corrupt": "spool_corrupt",
}
"""Causes of loss by our own words of an outcome; a server's are rejected or unreachable."""
NOT_THERE: Final = frozenset({"UNIMPLEMENTED", "404"})
"""What a server answers for a signal that it does not take at all."""


class SignalDelivery:
    """Delivers one signal's items, as ``OTEL_EXPORTER_OTLP_*`` and ``MLFLOW_*`` say. Nothing raises.

    What cannot be sent is counted and warned about, once a minute a cause.

    Args:
        signal: What is delivered.
        settings: The configuration.
        transport: Sends the bytes; opened by the settings when None.
        accounting: Gets the counters ``exported``, ``retried``, ``truncated``, ``dropped``,
            ``dropped.*`` by cause, ``rejected_by_server``, and of what other processes left in the
            spool ``recovered.exported``, ``recovered.dropped``, ``recovered.rejected_by_server``.
        optional: Whether a server need not take this signal: one that says it does not turns it off,
            with one line, and what comes then is counted as ``dropped.unsupported``.
        tried: Called with the seconds and the outcome of each try.
    """

    def __init__(
        self,
        signal: Signal,
        settings: Settings,
        *,
        transport: Transport | None = None,
        accounting: Accounting = ACCOUNTING,
        optional: bool = False,
        tried: Callable[[float, Outcome], None] = lambda _seconds, _outcome: None,
    ) -> None:
        self._signal = signal
        self._noun = SHAPES[signal].noun
        self._settings = settings
        self._otlp = settings.otlp(signal)
        self._shown = wording.endpoint(self._otlp.endpoint)
        accounting.hide(secrets_in_use(self._otlp))
        self._accounting = accounting
        self._optional = optional
        self._tried = tried
        self._limit = settings.max_request_bytes
        self._handing_over = 0
        self._stopped = False
        self.supported = True
        """Whether the server takes this signal, as far as it has said."""
        load(self._otlp.protocol)
        self._sender = Sender(
            lambda: transport or open_transport(signal, self._otlp),
            compression=self._otlp.compression,
            workers=settings.max_workers,
            timeout=self._otlp.timeout,
            retry_timeout=settings.retry_timeout,
            accounting=accounting,
            done=self._done,
            spool=open_spool(settings, signal, accounting),
            tried=self._heard,
        )

    def _heard(self, seconds: float, outcome: Outcome) -> None:
        spool = self._settings.spool_dir
        kept = (
            f"requests wait in {spool}"
            if spool
            else f"requests are retried for {self._settings.retry_timeout:g} s"
        )
        if not spool and (not self._settings.asynchronous or outcome.result == "unsent"):
            kept = "its requests are lost"
        ANNOUNCER.tried(self._otlp, outcome, kept=kept)
        self._tried(seconds, outcome)

    def deliver(self, encode: Callable[[], list[Group]], number: int) -> bool:
        """Take items; they are exported or counted as dropped from here on.

        Args:
            encode: Returns them encoded; what cannot be is left out, and counted, by it.
            number: How many they are.

        Returns:
            Whether they were taken (or, when exporting in the calling thread, accepted by the server).
        """
        if self._stopped:
            self._lost("dropped.already_shutdown", number, "the exporter is shut down")
            return False
        if not self.supported:
            self._accounting.count("dropped", number)
            self._accounting.count("dropped.unsupported", number)
            return True
        self._handing_over = number
        try:
            groups = encode()
            self._handing_over = sum(len(group.items) for group in groups)
            return self._hand_over(groups) if groups else not number
        except Exception as error:
            self._lost("dropped.error", self._handing_over, f"{type(error).__name__}: {error}")
            return False
        finally:
            self._handing_over = 0

    def _hand_over(self, groups: list[Group]) -> bool:
        taken = True
        for piece in split.cut(groups, self._limit, self._signal, self._accounting.count):
            request = Request(*piece)
            self._handing_over -= request.number
            if not self._settings.asynchronous:
                taken &= self._sender.send_now(request, retry=False)
            elif not self._sender.submit(request):
                taken = False
                why = "there was no time left to send them"
                self._lost("dropped.shutdown", request.number, why)
        return taken

    def _done(self, request: Request, outcome: Outcome) -> bool:
        if outcome.result == "accepted":
            self._account(request, outcome)
            return True
        if outcome.too_large and len(request.body) > SMALLEST_LIMIT:
            return self._smaller(request)
        if self._optional and outcome.status in NOT_THERE:
            self._turn_off(request, outcome)
            return True  # nothing that an app could mend by trying again
        cause = CAUSES.get(outcome.status, "unreachable" if outcome.unanswered else "rejected")
        self._lost(
            f"dropped.{cause}",
            request.number,
            f"{outcome.status} {outcome.message}".strip(),
            recovered=request.recovered,
        )
        return False

    def _turn_off(self, request: Request, outcome: Outcome) -> None:
        self.supported = False
        origin = "recovered." if request.recovered else ""
        self._accounting.count(f"{origin}dropped", request.number)
        self._accounting.count(f"{origin}dropped.unsupported", request.number)
        if not self._otlp.named:
            self._accounting.count("unsupported")
            ANNOUNCER.takes_not_all(self._signal, self._otlp, outcome)
            return
        self._accounting.warn(
            "unsupported",
            "%s takes no %s (%s): none are sent there from here on. Point "
            "OTEL_EXPORTER_OTLP_%s_ENDPOINT at a backend that does, or %sleave %s out of "
            "MLFLOW_OTEL_ASSESSMENT_SIGNALS.",
            self._shown,
            self._signal,
            outcome.status,
            self._signal.upper(),
            "set MLFLOW_OTEL_METRICS=false and " if self._signal == "metrics" else "",
            self._signal,
        )

    def _smaller(self, request: Request) -> bool:
        """Halve a request that the server found too large, and remember."""
        self._limit = min(self._limit, max(len(request.body) // 2, SMALLEST_LIMIT))
        self._accounting.warn(
            "request_too_large",
            "%s refused a request of %d bytes: requests are cut at %d from here on. "
            "MLFLOW_OTEL_MAX_REQUEST_BYTES sets this.",
            self._shown,
            len(request.body),
            self._limit,
        )
        parts = split.cut(
            envelope.parse(request.body, self._signal),
            self._limit,
            self._signal,
            self._accounting.count,
        )
        retry = self._settings.asynchronous
        sent = [
            self._sender.send_now(Request(*part, recovered=request.recovered), retry=retry)
            for part in parts
        ]
        return all(sent)

    def _account(self, request: Request, outcome: Outcome) -> None:
        if outcome.reason == "no_otlp":
            self._accounting.warn(
                "no_otlp",
                "%s answered with %s: it took the %s, but is no OTLP endpoint, it seems, and they may be "
                "lost. Check the endpoint with `mlflow-otel doctor`.",
                self._shown,
                outcome.message,
                self._noun,
            )
        rejected, said = self._rejected(outcome.response)
        rejected = min(rejected, request.number)
        origin = "recovered." if request.recovered else ""
        self._accounting.count(f"{origin}exported", request.number - rejected)
        if rejected:
            self._accounting.count(f"{origin}rejected_by_server", rejected)
        if rejected or said:
            self._accounting.warn(
                "partial_success",
                "The OTLP endpoint %s rejected %d of %d %s: %s",
                self._shown,
                rejected,
                request.number,
                self._noun,
                said or "no reason given",
            )

    def _rejected(self, response: bytes) -> tuple[int, str]:
        shape = SHAPES[self._signal]
        try:
            partial = shape.response.FromString(response).partial_success
            return max(getattr(partial, shape.rejected), 0), partial.error_message
        except Exception:
            return 0, ""  # an accepted request whose answer is not ours to read is accepted

    def _lost(self, cause: str, number: int, why: str, *, recovered: bool = False) -> None:
        self._accounting.count("recovered.dropped" if recovered else "dropped", number)
        cause = f"recovered.{cause}" if recovered else cause
        self._accounting.warn(
            cause,
            "%d %s could not be exported to %s: %s. Check the endpoint with `mlflow-otel doctor`.",
            number,
            self._noun,
            self._shown,
            why,
            number=number,
        )

    def force_flush(self, seconds: float) -> bool:
        """Wait for what is in flight; True if all taken since the last flush was accepted in time."""
        return self._sender.flush(seconds)

    @property
    def in_flight(self) -> int:
        """Items taken and neither exported, dropped nor spooled yet."""
        return self._handing_over + self._sender.in_flight

    @property
    def spooled(self) -> int:
        """Items of this process that are left to the spool; it is emptied in the background."""
        return self._sender.spooled

    def stop_by(self, seconds: float) -> None:
        """Begin to end: whatever is not delivered in ``seconds`` is given up and counted."""
        self._sender.stop(seconds)

    def shutdown(self) -> None:
        """Give what is in flight up to 5 seconds, close the connection; later items are dropped.

        With a spool what did not arrive by then is in it.
        """
        self._stopped = True
        self._sender.stop(SHUTDOWN_SECONDS)
        self._sender.close()
