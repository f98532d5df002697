"""uvicorn's HTTP protocol with limits on how long a client may take over its header lines, and on their size.

uvicorn (0.30 and later) has none: a connection that never ends its header lines stays open. Its
protocol class, h11's or httptools', is public (``Config(http=…)``). What is read of it is ``cycle``, the
request that is being answered, which both classes have in every version since 0.30. h11 bounds the size of
header lines; httptools does not, and calls ``on_message_begin`` and ``on_headers_complete`` around them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

MAX_HEADER_BYTES: Final = 64 * 1024
"""Of the request line and the header lines that have come while more are awaited; as h11 has it."""
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def limited(seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol class.

    Args:
        seconds: How long a client may take from its first byte, or from being connected, to the end
            of the header lines. Then the connection is closed.
    """

    class Limited(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        """Closes a connection whose header lines do not come to an end."""

        _timer: asyncio.TimerHandle | None = None
        # That came of unfinished header lines; None: there are none.
        _header_bytes: int | None = None

        def on_message_begin(self) -> None:
            """Begin to count."""
            super().on_message_begin()
            self._header_bytes = 0

        def on_headers_complete(self) -> None:
            """Count no more: what follows is the body."""
            self._header_bytes = None
            super().on_headers_complete()

        def connection_made(self, transport: Any) -> None:
            """Begin to wait for header lines."""
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            """Take what came; wait on while header lines are not complete."""
            super().data_received(data)
            if self._header_bytes is not None:
                self._header_bytes += len(data)
                if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                    self.transport.write(TOO_LARGE)
                    self.transport.close()
            if self.cycle is None or self.cycle.response_complete:
                self._wait()
            else:
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            """Wait no longer."""
            self._stop()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(seconds, self._close)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _close(self) -> None:
            self._timer = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Limited
