"""Waiting for calls of other people's code that take their own time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def call_with_timeout(seconds: float, call: Callable[[], _T]) -> _T | None:
    """Return what ``call`` returns, or None after ``seconds``: the call then goes on by itself.

    The SDK's ``force_flush`` and ``shutdown`` do not keep the time they are given
    (opentelemetry-python #4568).
    """
    answers: list[_T] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # Python starts no threads while it exits (3.12 and later)
        return call()
    thread.join(seconds)
    return answers[0] if answers else None


def beside(call: Callable[[], _T]) -> Callable[[], _T]:
    """Start a call in a thread of its own.

    Returns:
        What waits for the call, and returns or raises what it did.
    """
    answer: Future[_T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:  # as above
        run()
    return answer.result
