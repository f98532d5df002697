"""``flush_after``: a flush at the end of each handler, for processes that are frozen between two requests."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final, NamedTuple, TypeVar, cast

from mlflow_otel.instrumentation import current

_F = TypeVar("_F", bound=Callable[..., Any])
ASGI: Final = ["scope", "receive", "send"]


def flush_after(handler: _F) -> _F:
    """Flush each time a handler has returned or raised: a decorator, and an ASGI middleware.

    It is for functions as a service, whose process may be frozen or ended between two requests. The
    flush takes at most ``OTEL_EXPORTER_OTLP_TIMEOUT``. After an ``async`` handler it runs in a thread, so
    asyncio's event loop goes on. A generator is flushed when it ends. Spans whose local root is still open
    stay held, so make this the outermost decorator, and the outermost middleware.

    Args:
        handler: A function, an ``async`` function, a generator function of either kind, an object that
            can be called as one of these, or an ASGI app.

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
    called = handler if inspect.isroutine(handler) else type(handler).__call__
    for kind in KINDS:
        # An instance of `functools.partial` is of the kind of its function.
        if kind.is_function(handler) or kind.is_function(called):
            if kind.wrap is _coroutine and _is_asgi_app(handler):
                return cast("_F", _asgi_app(handler))
            return cast("_F", _named(handler, kind.wrap(handler)))
    return cast("_F", _named(handler, _function(handler)))


def _named(handler: Callable[..., Any], flushed: Callable[..., Any]) -> Callable[..., Any]:
    return functools.update_wrapper(flushed, handler)


def _is_asgi_app(handler: Callable[..., Any]) -> bool:
    try:
        names = list(inspect.signature(handler).parameters)
    except (TypeError, ValueError):
        return False
    return names == ASGI or (not inspect.isroutine(handler) and len(names) == len(ASGI))


def _asgi_app(handler: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        # These arguments and no others: uvicorn calls what takes none, as a factory of apps.
        try:
            await handler(scope, receive, send)
        finally:
            await _flush_beside_the_loop()

    # An object's fields are not a function's.
    return _named(handler, app) if inspect.isroutine(handler) else app


def _function(handler: Callable[..., Any]) -> Callable[..., Any]:
    def flushed(*args: Any, **kwargs: Any) -> Any:
        try:
            result = handler(*args, **kwargs)
        except BaseException:
            _flush()
            raise
        for kind in KINDS:
            if kind.is_result(result):  # it runs only after this function has returned
                return kind.wrap(lambda: result)()
        _flush()
        return result

    return flushed


def _coroutine(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def flushed(*args: Any, **kwargs: Any) -> Any:
        try:
            return await handler(*args, **kwargs)
        finally:
            await _flush_beside_the_loop()

    return flushed


def _generator(handler: Callable[..., Any]) -> Callable[..., Any]:
    def flushed(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        try:
            return (yield from handler(*args, **kwargs))
        finally:
            _flush()

    return flushed


def _async_generator(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def flushed(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = handler(*args, **kwargs)
        try:
            item = await inner.asend(None)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await _flush_beside_the_loop()

    return flushed


class _Kind(NamedTuple):
    """One kind of what runs only after its function has returned.

    Args:
        is_function: Tells whether a call makes one.
        is_result: Tells whether a value is one.
        wrap: Makes a function that flushes at its end.
    """

    is_function: Callable[[Any], bool]
    is_result: Callable[[Any], bool]
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]]


KINDS: Final = (
    _Kind(inspect.iscoroutinefunction, inspect.iscoroutine, _coroutine),
    _Kind(inspect.isasyncgenfunction, inspect.isasyncgen, _async_generator),
    _Kind(inspect.isgeneratorfunction, inspect.isgenerator, _generator),
)


async def _flush_beside_the_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another library's loop, such as trio's: it has no thread for us
        _flush()
        return
    try:
        await asyncio.to_thread(_flush)
    except RuntimeError:  # Python ends, and starts no thread
        _flush()


def _flush() -> None:
    current().flush_in_time()
