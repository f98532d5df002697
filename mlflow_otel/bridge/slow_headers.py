"""uvicorn's HTTP protocol with a limit on how long a client may take over its header lines.

uvicorn (0.30 and later) has none: a connection that never ends its header lines stays open. Its
protocol class, h11's or httptools', is public (``Config(http=…)``). What is read of it is ``cycle``, the
request that is being answered, which both classes have in every version since 0.30.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def limited(seconds: float) -> type[asyncio.Protocol]:
    """Return the protocol class.

    Args:
        seconds: How long a client may take from its first byte, or from being connected, to the end
            of the header lines. Then the connection is closed.
    """

    class Limited(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        """Closes a connection whose header lines do not come to an end."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """Begin to wait for header lines."""
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            """Take what came; wait on while header lines are not complete."""
            super().data_received(data)
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
