"""Whether a server may listen at an address, and in plain words why not.

gRPC's own server says it in several lines of its own to standard error: so the address is tried before.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "this user may not use that port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
}


def listen(address: tuple[str, int], backlog: int = 512) -> socket.socket:
    """Return a socket that listens. Its connections send small pieces at once.

    Connections take that over from the socket that listens. asyncio sets it by itself only where it makes
    the socket. Without it an answer in two pieces, its header and its body, takes 40 ms: the second waits
    until the client acknowledges the first.

    Args:
        address: Host and port; port 0 for a free one.
        backlog: How many connections may wait.

    Raises:
        OSError: It cannot listen. The message is one line that names the address and says why.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family, backlog=backlog)
    except OSError as error:
        raise OSError(
            f"cannot listen on {shown_host(address[0])}:{address[1]}: {_why(error)}"
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def try_to_listen(address: tuple[str, int]) -> None:
    """Listen for a moment.

    Args:
        address: Host and port; with port 0 there is nothing to try.

    Raises:
        OSError: It cannot listen there; as of ``listen``.
    """
    if address[1]:
        listen(address).close()


def shown_host(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "nobody knows a host of that name"
    number = error.errno or 0
    return REASONS.get(number) or os.strerror(number)
