"""A mapping process of the bridge: it takes the pieces of its traces, and joins, maps and delivers them.

It answers the accepting process over a socket (``frames``), in the order in which it is asked. It ends when it is
told to, or when that process is gone. It is told so by nobody else: signals are left to the accepting process.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlflow_otel.backends.model import BackendError
from mlflow_otel.bridge.bodies import RefusedError
from mlflow_otel.bridge.frames import Answered, Asked, cut, frame
from mlflow_otel.bridge.intake import Intake
from mlflow_otel.bridge.remembering import Memory
from mlflow_otel.bridge.trace_info import MalformedError
from mlflow_otel.bridge.way_in import Taken
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.settings import Signal

READ_BYTES: Final = 256 * 1024
ANSWER_SECONDS: Final = 0.001
"""How long an answer may wait for others: each write wakes the accepting process."""
TELL_SECONDS: Final = 0.05
"""How old what the accepting process knows of the counters may be while they change."""


class Worker:
    """Does what is asked. What comes of it goes out when the answer has left.

    When this process dies, the next one is asked what this one did not answer. So nothing of that may have been
    delivered. An answer that was written survives this process, in the socket.

    Args:
        own: The socket to the accepting process.
        intake: Takes the pieces.
    """

    def __init__(self, own: socket.socket, intake: Intake) -> None:
        self._socket = own
        self._intake = intake
        self._memory = Memory(intake.memory)
        self._reader = ThreadPoolExecutor(1, "bridge reads")
        intake.gate.close()
        self._lock = threading.Lock()  # answers are written whole
        self._out: list[bytes] = []
        self._flush_at = 0.0
        self._told: Mapping[str, int] = {}
        self._tell_at = 0.0

    def work(self, seconds: float) -> None:
        """Work until told to end, or until nobody is there any more.

        Args:
            seconds: How long delivery may take in the second case.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        buffer = bytearray()
        self._tell()
        try:
            while True:
                if poll.poll(TELL_SECONDS * 1000):
                    came = self._socket.recv(READ_BYTES)
                    if not came:
                        break
                    buffer += came
                    for said in cut(buffer):
                        asked = Asked(*said)
                        if asked.kind == "stop":
                            self._flush()
                            self._intake.close(asked.said[0])
                            self._tell()
                            return
                        if asked.kind == "tell":
                            self._tell()
                        self._take(asked)
                self._flush()
                if time.monotonic() >= self._tell_at:
                    self._tell()
        except OSError:  # the accepting process is gone
            pass
        self._intake.close(seconds)

    def _take(self, asked: Asked) -> None:
        if asked.kind in READS:
            self._reader.submit(self._read, asked)
            return
        answer = _answered(TAKES[asked.kind], self._intake, asked)
        if asked.number:
            self._put(answer)
            if time.monotonic() >= self._flush_at:
                self._flush()

    def _read(self, asked: Asked) -> None:
        encoded = frame(_answered(READS[asked.kind], self._memory, asked))
        with self._lock, contextlib.suppress(OSError):  # it is seen where the socket is read
            self._socket.sendall(encoded)

    def _tell(self) -> None:
        """Tell the counters, if they changed. In this thread alone: nothing is taken meanwhile."""
        self._tell_at = time.monotonic() + TELL_SECONDS
        stats = self._intake.stats()
        if stats != self._told:
            self._told = stats
            self._put(Answered(0, stats))
            self._flush()

    def _put(self, answer: Answered) -> None:
        if not self._out:
            self._flush_at = time.monotonic() + ANSWER_SECONDS
        self._out.append(frame(answer))

    def _flush(self) -> None:
        if self._out:
            with self._lock:
                self._socket.sendall(b"".join(self._out))
            self._out.clear()
        # All that was taken until now is answered; nothing is taken meanwhile.
        self._intake.gate.let_through()


def _answered(act: Callable[..., Any], of: Any, asked: Asked) -> Answered:
    try:
        return Answered(asked.number, act(of, *asked.said))
    except Exception as error:
        return Answered(asked.number, _portable(error), failed=True)


def _portable(error: Exception) -> Exception:
    """Return an error that can be raised in another process."""
    if isinstance(error, (RefusedError, MalformedError, KeyError, BackendError)):
        return error
    return RuntimeError(f"{type(error).__name__} in a worker: {error}")


def _spans(intake: Intake, body: bytes, experiment_id: str | None) -> Taken:
    return intake.otlp("traces", ExportTraceServiceRequest.FromString(body), experiment_id)


def _others(intake: Intake, signal: Signal, body: bytes) -> Taken:
    return intake.otlp(signal, SHAPES[signal].request.FromString(body))


def _learn(intake: Intake, names: list[tuple[str, str]]) -> None:
    for identity, name in names:
        intake.experiments.learn(identity, name)


TAKES: Final[dict[str, Callable[..., Any]]] = {
    "spans": _spans,
    "others": _others,
    "info": Intake.info,
    "uploaded": Intake.uploaded,
    "had": Intake.had,
    "send": Intake.send,
    "known": Intake.known,
    "met_by_request": Intake.met_by_request,
    "set_tag": Intake.set_tag,
    "delete_tag": Intake.delete_tag,
    "update": Intake.update,
    "learn": _learn,
    "tell": lambda _intake: None,
}
"""What is done at once, in order."""
READS: Final[dict[str, Callable[..., Any]]] = {
    name: getattr(Memory, name) for name in ("find", "window", "get", "services")
}
"""What may take a while: a thread does it."""
