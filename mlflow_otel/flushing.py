"""``flush_after``: a flush at the end of each handler, for processes that are frozen between two requests."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from mlflow_otel.instrumentation import current

_F = TypeVar("_F", bound=Callable[..., Any])


def flush_after(handler: _F) -> _F:
    """Flush each time a handler has returned or raised: a decorator, and an ASGI middleware.

    It is for functions as a service, whose process may be frozen or ended between two requests. The
    flush takes at most ``OTEL_EXPORTER_OTLP_TIMEOUT``. After an ``async`` handler it runs in a thread, so
    the event loop goes on. Spans whose local root is still open stay held, so make this the
    outermost decorator, and the outermost middleware.

    Args:
        handler: A function, an ``async`` function, or an ASGI app.

    Returns:
        The same, with a flush after each call.

    Example:
        >>> import mlflow_otel
        >>> @mlflow_otel.flush_after
        ... def handler(event, context):
        ...     return {"answer": event["question"].upper()}
        >>> handler({"question": "why"}, None)
        {'answer': 'WHY'}

        As a middleware: ``app.add_middleware(mlflow_otel.flush_after)``.
    """
    if not inspect.isroutine(handler) and inspect.iscoroutinefunction(type(handler).__call__):

        async def app(scope: Any, receive: Any, send: Any) -> None:
            # The signature of the ASGI specification. uvicorn would take a function without arguments for a factory.
            try:
                await handler(scope, receive, send)
            finally:
                await asyncio.to_thread(current().flush_in_time)

        return cast("_F", app)

    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def flushed_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await handler(*args, **kwargs)
            finally:
                await asyncio.to_thread(current().flush_in_time)

        return cast("_F", flushed_async)

    @functools.wraps(handler)
    def flushed(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        finally:
            current().flush_in_time()

    return cast("_F", flushed)
