"""Blocking calls in apps on gevent or eventlet: in a real thread, so that the app's hub goes on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


def _ended(call: Callable[[], T]) -> Callable[[], T]:
    """Call, and return what returns or raises what the call did.

    gevent prints the traceback of all that is raised in a thread of its pool: no app is to see that of
    each request that fails.
    """
    try:
        result = call()
    except Exception as error:
        return functools.partial(_raise, error)
    return lambda: result


def _raise(error: Exception) -> Any:
    raise error


class RealThreads:
    """Runs calls that block a whole thread.

    Where threads are real the call runs where it is. Where gevent or eventlet has put its own in
    their place, the call runs in one of its real threads and the calling greenlet waits. gevent's
    threads are not those that its hub looks names up in, so many calls that hang do not hold that up.

    Args:
        number: Calls under way at once, at most, for gevent; eventlet has one pool of its own.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._pools: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # gevent's, by hub

    def run(self, call: Callable[[], T]) -> T:
        """Call and return what it returns."""
        monkey = sys.modules.get("gevent.monkey")
        if monkey is not None and monkey.is_module_patched("threading"):
            result: T = self._gevent_pool().apply(_ended, (call,))()
            return result
        patcher = sys.modules.get("eventlet.patcher")
        if patcher is not None and patcher.is_monkey_patched("thread"):
            from eventlet import tpool  # noqa: PLC0415 (there, as its patcher is)

            done: T = tpool.execute(call)
            return done
        return call()

    def _gevent_pool(self) -> Any:
        import gevent  # noqa: PLC0415 (there, as its monkey is)
        from gevent.threadpool import ThreadPool  # noqa: PLC0415

        hub = gevent.get_hub()
        pool = self._pools.get(hub)
        if pool is None:
            pool = self._pools[hub] = ThreadPool(self._number, hub=hub)
        return pool
