"""A TCP proxy that does to connections what networks do: delay, stand still, cut, refuse."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time: close() sends RST


class Proxy:
    """Forwards to ``upstream`` on loopback.

    ``delay`` seconds pass before each piece goes on; ``cut_after`` bytes from the client its
    connection is reset; while ``refusing`` every connection is reset at once; while ``gate`` is not
    set nothing goes on; after ``silence()`` what comes on the connections there are is swallowed.
    """

    def __init__(self, upstream, cut_after=None):
        self.upstream = upstream
        self.delay = 0.0
        self.cut_after = cut_after
        self.refusing = False
        self.gate = threading.Event()
        self.gate.set()
        self.accepted = 0
        self.lock = threading.Lock()
        self.sockets = set()
        self.silent = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = False
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True
        self.listener.close()
        self.cut()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refusing or self.closed:
                reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream), 5)
            except OSError:
                reset(client)
                continue
            with self.lock:
                self.sockets |= {client, server}
            for source, sink, limit in ((client, server, self.cut_after), (server, client, None)):
                threading.Thread(target=self.pump, args=(source, sink, limit), daemon=True).start()

    def pump(self, source, sink, limit):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                time.sleep(self.delay)
                self.gate.wait()
                if source in self.silent:
                    continue
                passed += len(data)
                if limit is not None and passed > limit:
                    break
                sink.sendall(data)
        for end in (source, sink):
            reset(end)

    def silence(self):
        """Swallow what comes on the connections there are: nobody hears that they ended."""
        with self.lock:
            self.silent |= self.sockets

    def cut(self):
        """Reset every connection there is."""
        with self.lock:
            sockets, self.sockets = self.sockets, set()
        for one in sockets:
            reset(one)


def reset(one):
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
