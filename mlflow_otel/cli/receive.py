"""``mlflow-otel receive``: an OTLP endpoint on loopback that shows each trace as it ends."""

from __future__ import annotations

import signal
import threading
from collections import OrderedDict
from typing import Final

from rich.console import Console
from rich.rule import Rule

from mlflow_otel.cli.live import LiveTraces, Shown
from mlflow_otel.cli.trace_view import trace_view, verdict_line
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import Receiver

LOOK_SECONDS: Final = 0.25
SESSION_IDLE_SECONDS: Final = 10.0


class Printer:
    """Prints traces.

    Args:
        console: Where.
        full: Whether messages and explanations stand whole.
    """

    def __init__(self, console: Console, *, full: bool = False) -> None:
        self._console = console
        self._full = full

    def show(self, found: Shown) -> None:
        """Print one trace, or what came late of one."""
        if not found.spans:
            for verdict in found.verdicts:
                about = f"on {found.name} {verdict.trace_id}".replace("  ", " ")
                self._line(verdict_line(verdict, full=self._full, about=about))
            return
        self._line("")
        if found.more:
            self._line(f"[dim]more of a trace shown before: {found.name}[/dim]")
        self._line(trace_view(found.spans, found.verdicts, full=self._full))

    def heading(self, session: str) -> None:
        """Print where a session begins."""
        title = f"session {session}" if session else "no session"
        self._console.print(Rule(title) if self._console.is_terminal else f"\n== {title}")

    def _line(self, line: object) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def receive(
    grpc_port: int,
    http_port: int,
    *,
    quiet: bool = False,
    full: bool = False,
    by_session: bool = False,
) -> int:
    """Receive until interrupted.

    Args:
        grpc_port: The gRPC port; 0 for a free one.
        http_port: The HTTP port; 0 for a free one.
        quiet: Print the endpoints and nothing else.
        full: Show messages whole.
        by_session: Show the traces of a session together, once it was idle for 10 seconds.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    live = LiveTraces()
    store = Store() if quiet else Store(listener=live.add)
    try:
        receiver = Receiver(grpc_port, http_port, store)
    except (OSError, RuntimeError) as error:
        Console(stderr=True).print(
            f"Cannot start: {error}. Choose free ports with --grpc-port 0 --http-port 0.",
            soft_wrap=True,
            highlight=False,
        )
        return 1
    console = Console()
    printer = Printer(console, full=full)
    sessions = Sessions(printer) if by_session else None
    with receiver:
        print(f"grpc {receiver.grpc_endpoint}\nhttp {receiver.http_endpoint}", flush=True)
        ended = False
        while not ended:
            ended = stop.wait(LOOK_SECONDS)
            for found in live.due(everything=ended):
                if sessions is None:
                    printer.show(found)
                else:
                    sessions.add(found)
            if sessions is not None:
                sessions.show(everything=ended)
            forgotten = live.forgotten()
            if forgotten:
                console.print(
                    f"{forgotten} spans are not shown: they came faster than they can be."
                )
    return 0


class Sessions:
    """Keeps the traces of each session together until nothing more of it comes.

    Args:
        printer: Prints them.
        looks: How many times ``show`` is called before an idle session is printed.
    """

    def __init__(
        self, printer: Printer, looks: int = int(SESSION_IDLE_SECONDS / LOOK_SECONDS)
    ) -> None:
        self._printer = printer
        self._looks = looks
        self._traces: OrderedDict[str, list[Shown]] = OrderedDict()
        self._idle: dict[str, int] = {}

    def add(self, found: Shown) -> None:
        """Take a trace."""
        self._traces.setdefault(found.session, []).append(found)
        self._idle[found.session] = 0

    def show(self, *, everything: bool = False) -> None:
        """Print the sessions that have been idle long enough."""
        for session in list(self._traces):
            self._idle[session] += 1
            if everything or self._idle[session] > self._looks:
                del self._idle[session]
                self._printer.heading(session)
                for found in self._traces.pop(session):
                    self._printer.show(found)
