"""Requests by libcurl: kept connections, bounded answers, deadlines that hold.

One handle serves one thread at a time and keeps its connection for the next. A handle whose request
got no whole answer is thrown away, and so are the others that were idle then: what ended one
connection (a restart, a network that was cut) ended them too, as a rule.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import threading
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import pycurl

from mlflow_otel.delivery.destination import Destination, Headers
from mlflow_otel.delivery.green import RealThreads
from mlflow_otel.delivery.transport import Reason
from mlflow_otel.forking import begin_anew_in_child

ANSWER_BYTES: Final = 1024 * 1024
"""Of an answer's body that are read; OTLP's own has some hundred."""
IDLE_SECONDS: Final = 60  # longer unused, a load balancer may have let go of it without a word
MAX_MILLISECONDS: Final = 2**31 - 1
WANTED: Final = frozenset(
    {
        b"content-encoding",
        b"content-type",
        b"grpc-encoding",
        b"grpc-message",
        b"grpc-status",
        b"grpc-status-details-bin",
        b"retry-after",
    }
)
"""The headers and trailers that are kept. libcurl bounds each, and all of an answer together."""
KEPT_BODY_BYTES: Final = 64 * 1024  # a handle refers to its last body: let go of a larger one

# libcurl's options that pycurl has no names for.
SUPPRESS_CONNECT_HEADERS: Final = 265
CA_CACHE_TIMEOUT: Final = 321
E_HTTP2_STREAM: Final = 92  # an error that pycurl has no name for

REASONS: Final[Mapping[int, Reason]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "protocol",
    pycurl.E_COULDNT_RESOLVE_PROXY: "proxy",
    pycurl.E_COULDNT_RESOLVE_HOST: "name",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "protocol",  # its old name: an answer that is no HTTP
    pycurl.E_HTTP2: "protocol",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_SSL_ENGINE_NOTFOUND: "tls",
    pycurl.E_SSL_ENGINE_SETFAILED: "tls",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_USE_SSL_FAILED: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_CRL_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_SSL_PINNEDPUBKEYNOTMATCH: "tls",
    pycurl.E_SSL_INVALIDCERTSTATUS: "tls",
    pycurl.E_BAD_FUNCTION_ARGUMENT: "tls",  # a key that cannot be used
    97: "proxy",  # CURLE_PROXY: SOCKS, as a rule
    98: "tls",  # CURLE_SSL_CLIENTCERT
}
"""Why there is no whole answer, by libcurl's error; any other: the network."""


class Answer(NamedTuple):
    """What came back.

    Args:
        status: HTTP's status, or 0 when none came.
        headers: Those that are wanted, trailers among them, by lower-case name.
        body: As it came, at most ``ANSWER_BYTES``.
        reason: Why it is not whole, or nothing.
        message: libcurl's words for that.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: Reason = ""
    message: str = ""


class Client:
    """Sends POST requests to one destination, several at once.

    Threads: the lock guards which handles are idle and which are busy; nothing waits under it. In a
    forked child the handles are the parent's and are left alone.

    Args:
        destination: Where to.
        http2: HTTP/2 alone, without asking first when there is no TLS, or else HTTP/1.1 alone.
        headers: Sent with each request, before the destination's own.
    """

    def __init__(self, destination: Destination, *, http2: bool, headers: Headers) -> None:
        self._destination = destination
        self._http2 = http2
        self._headers = [_line(*pair) for pair in (*headers, *destination.headers)]
        self._closed = False
        self._idle: list[Handle] = []
        self._busy: set[Handle] = set()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Begin with a new lock and no handle: those of a forked child's parent are left alone."""
        left, self._idle, self._busy = [*self._idle, *self._busy], [], set()
        self._threads = RealThreads(64)
        self._lock = threading.RLock()
        for handle in left:
            handle.close()

    def post(self, body: bytes, timeout: float, headers: Headers = ()) -> Answer:
        """Send a request and return what came back.

        Args:
            body: The request's.
            timeout: Seconds for all of it, from the name's look-up to the answer's last byte.
            headers: Of this request.
        """
        until = time.monotonic() + timeout
        lines = [*self._headers, *(_line(*pair) for pair in headers)]
        answer, kept = self._try(body, timeout, lines)
        left = until - time.monotonic()
        if kept and not answer.status and answer.reason == "network" and left > 0:
            # A kept connection may have ended unseen: that is no failure of the server's.
            answer, _ = self._try(body, left, lines)
        return answer

    def _try(self, body: bytes, timeout: float, lines: list[bytes]) -> tuple[Answer, bool]:
        """Send once; return what came, and whether on a connection that was kept."""
        with self._lock:
            if self._closed:
                return Answer(0, {}, b"", "network", "the exporter is shut down"), False
            handle = self._idle.pop() if self._idle else None
            if handle is not None:
                self._busy.add(handle)
        if handle is None:  # without the lock: this is libcurl's code
            handle = Handle(self._destination, http2=self._http2)
            with self._lock:
                self._busy.add(handle)
        kept = handle.answered
        usable = False
        try:
            answer = handle.post(body, timeout, lines, self._threads)
            usable = not answer.reason
        finally:
            self._give_back(handle, usable=usable)
        return answer, kept

    def _give_back(self, handle: Handle, *, usable: bool) -> None:
        with self._lock:
            self._busy.discard(handle)
            if usable and not self._closed:
                self._idle.append(handle)
                return
            gone, self._idle = [handle, *self._idle], []
        for one in gone:
            one.close()

    def close(self) -> None:
        """Close the idle connections and break those in use off."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for handle in idle:
            handle.close()
        for handle in busy:
            handle.interrupt()


class Handle:
    """One of libcurl's easy handles, with its connection.

    Args:
        destination: Where to.
        http2: See ``Client``.
    """

    def __init__(self, destination: Destination, *, http2: bool) -> None:
        self._pid = os.getpid()
        self._curl = pycurl.Curl()
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._sockets: list[tuple[int, int]] = []  # file descriptor and inode of each opened
        self._sent_headers: list[bytes] = []
        self._abstract = ""
        self._strange: Reason = "network"  # why the first request may have had no answer
        if destination.url.startswith("https:"):
            self._strange = "tls"
        elif http2:
            self._strange = "protocol"
        self.answered = False
        self._set_up(destination, http2=http2)

    def _set_up(self, destination: Destination, *, http2: bool) -> None:
        options: dict[int, object] = {
            pycurl.URL: destination.url.encode(),
            pycurl.POST: 1,
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
            if http2
            else pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.HEADERFUNCTION: self._take_header,
            pycurl.WRITEFUNCTION: self._take_body,
            pycurl.SOCKOPTFUNCTION: self._opened,
            pycurl.NOSIGNAL: 1,
            pycurl.TCP_KEEPALIVE: 1,
            pycurl.MAXAGE_CONN: IDLE_SECONDS,
            pycurl.PATH_AS_IS: 1,
            # Said even when empty: libcurl would read the variables by rules of its own.
            pycurl.PROXY: destination.proxy.encode(),
            pycurl.NOPROXY: destination.no_proxy.encode(),
            pycurl.HTTPPROXYTUNNEL: int(http2),
            SUPPRESS_CONNECT_HEADERS: 1,
            pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
            pycurl.CAINFO: destination.roots.encode(),
            pycurl.PROXY_CAINFO: destination.roots.encode(),
            CA_CACHE_TIMEOUT: 0,  # the file is read at each connection: it may have been rotated
            pycurl.KEYPASSWD: b"",  # of an encrypted key: an error, and no question at the terminal
        }
        if destination.roots_folder:
            options[pycurl.CAPATH] = destination.roots_folder.encode()
            options[pycurl.PROXY_CAPATH] = destination.roots_folder.encode()
        if destination.resolved:
            options[pycurl.RESOLVE] = [destination.resolved]
        if destination.certificate:
            options[pycurl.SSLCERT] = destination.certificate.encode()
        if destination.key:
            options[pycurl.SSLKEY] = destination.key.encode()
        if destination.socket is not None and destination.socket.startswith("\0"):
            self._abstract = destination.socket
            options[pycurl.OPENSOCKETFUNCTION] = self._open_abstract
        elif destination.socket is not None:
            options[pycurl.UNIX_SOCKET_PATH] = destination.socket.encode()
        for option, value in options.items():
            self._curl.setopt(option, value)

    def post(
        self, body: bytes, timeout: float, headers: list[bytes], threads: RealThreads
    ) -> Answer:
        """Send a request and return what came back, whole or not."""
        self._headers, self._body, self._size = {}, [], 0
        curl = self._curl
        reason: Reason = ""
        number, message = 0, ""
        try:
            if headers != self._sent_headers:
                curl.setopt(pycurl.HTTPHEADER, headers)
                self._sent_headers = headers
            curl.setopt(pycurl.POSTFIELDS, body)
            curl.setopt(pycurl.TIMEOUT_MS, max(min(int(timeout * 1000), MAX_MILLISECONDS), 1))
            threads.run(curl.perform)
        except pycurl.error as error:
            number, message = error.args if len(error.args) == 2 else (-1, repr(error))
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        self.answered = self.answered or status >= 200
        if number:
            reason = self._reason(number)
        if self._size > ANSWER_BYTES:
            message = f"the answer is over {ANSWER_BYTES} bytes"
        if len(body) > KEPT_BODY_BYTES:
            curl.setopt(pycurl.POSTFIELDS, b"")
        return Answer(
            status if status >= 200 else 0, self._headers, b"".join(self._body), reason, message
        )

    def _reason(self, number: int) -> Reason:
        if self._curl.getinfo(pycurl.HTTP_CONNECTCODE) >= 300:
            return "proxy"
        reason = REASONS.get(number, "network")
        if number == E_HTTP2_STREAM or self._curl.getinfo(pycurl.NUM_CONNECTS) > 1:
            return (
                reason  # it speaks HTTP/2: it reset the call, or libcurl tried again as GOAWAY asks
            )
        # A server that wants TLS, a client's certificate or HTTP/1.1 closes without a word.
        return self._strange if reason == "network" and not self.answered else reason

    def _take_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):  # what came before was a 1xx or a proxy's
            self._headers = {}
            return
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in WANTED:
            self._headers[name.decode()] = value.strip().decode("latin-1")

    def _take_body(self, piece: bytes) -> int:
        self._size += len(piece)
        if self._size > ANSWER_BYTES:
            return 0  # ends the transfer
        self._body.append(piece)
        return len(piece)

    def _opened(self, descriptor: int, _purpose: int) -> int:
        if self._abstract:
            return int(pycurl.SOCKOPT_ALREADY_CONNECTED)
        self._sockets = [*self._sockets[-3:], (descriptor, os.fstat(descriptor).st_ino)]
        return int(pycurl.SOCKOPT_OK)

    def _open_abstract(self, _purpose: int, _address: object) -> socket.socket | int:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.connect(self._abstract)
        except OSError:
            opened.close()
            return int(pycurl.SOCKET_BAD)
        return opened

    def interrupt(self) -> None:
        """Break the request under way off, from another thread."""
        for descriptor, inode in self._sockets:
            # A copy first: then it cannot become another file between the look and the shutdown.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                if inode and os.fstat(copy.fileno()).st_ino == inode:
                    copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; in a child of the process that opened it, leave that alone."""
        if os.getpid() == self._pid:
            self._curl.close()
        else:
            self._abandon()

    def __del__(self) -> None:
        if os.getpid() != self._pid:
            self._abandon()

    def _abandon(self) -> None:
        """Never free libcurl's handle: that would say goodbye to the server on the parent's connection."""
        curl, self._curl = self._curl, None
        if curl is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(curl))
            self._let_go_of_sockets()

    def _let_go_of_sockets(self) -> None:
        """Hold the parent's connections open no longer than the parent does."""
        for descriptor, inode in self._sockets:
            with contextlib.suppress(OSError):
                here = os.fstat(descriptor)
                if inode and here.st_ino == inode and stat.S_ISSOCK(here.st_mode):
                    nothing = os.open(os.devnull, os.O_RDWR)
                    os.dup2(nothing, descriptor, inheritable=False)
                    os.close(nothing)


def _line(key: str, value: str) -> bytes:
    return f"{key}: {value}".encode() if value else f"{key};".encode()
