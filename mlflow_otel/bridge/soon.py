"""What is there at once or comes soon: the same code serves a bridge of one process and one with workers.

A call that another process answers returns a future. What the same process knows is returned as it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")
Soon: TypeAlias = _T | Future[_T]


def after(found: Soon[_T], use: Callable[[_T], _U]) -> Soon[_U]:
    """Return what ``use`` makes of something, once it is there. ``use`` must not wait."""
    if not isinstance(found, Future):
        return use(found)
    later: Future[_U] = Future()

    def done(answered: Future[_T]) -> None:
        try:
            later.set_result(use(answered.result()))
        except BaseException as error:
            later.set_exception(error)

    found.add_done_callback(done)
    return later


def all_of(found: Sequence[Future[_T]]) -> Future[list[_T]]:
    """Return all results once the last one is there, or the first error then."""
    later: Future[list[_T]] = Future()
    left = len(found)

    def done(_answered: Future[_T]) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        try:
            later.set_result([one.result() for one in found])
        except BaseException as error:
            later.set_exception(error)

    for one in found:
        one.add_done_callback(done)
    return later


def now(found: Soon[_T]) -> _T:
    """Wait until something is there; in a thread that may wait."""
    return found.result() if isinstance(found, Future) else found


async def awaited(found: Soon[_T]) -> _T:
    """Wait until something is there, in an event loop. A client that goes away takes nothing back."""
    if not isinstance(found, Future):
        return found
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    waiting: asyncio.Future[None] = loop.create_future()

    def arrived() -> None:
        if not waiting.done():
            waiting.set_result(None)

    def done(_answered: Future[_T]) -> None:
        if threading.get_ident() == thread:
            arrived()
        else:
            loop.call_soon_threadsafe(arrived)

    found.add_done_callback(done)
    await waiting
    return found.result()
