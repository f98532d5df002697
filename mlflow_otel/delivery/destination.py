"""Where requests go and by which way: endpoint, credentials, proxy and TLS files, as plain values.

Endpoints are URLs, as the OTLP exporter specification has them, and for gRPC also what its name
resolution takes: https://github.com/grpc/grpc/blob/master/doc/naming.md
"""

from __future__ import annotations

import base64
import contextlib
import netrc
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

import certifi

from mlflow_otel.settings import OtlpSettings, sendable
from mlflow_otel.wording import endpoint as shown
from mlflow_otel.wording import secrets_of

Headers = tuple[tuple[str, str], ...]

UNIX: Final = re.compile(r"(unix|unix-abstract):(.+)")
NAMED: Final = re.compile(r"(?:dns:(?://[^/]*/)?|ipv4:|ipv6:)(.+)")
"""gRPC's other targets: what they name is a host and a port."""
PLAIN_PORT: Final = 4317
TLS_PORT: Final = 443  # gRPC's, where a secure endpoint gives none
URL_SAFE: Final = "%/:=&?~#+!$,;'@()*[]|"
OURS: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "grpc-encoding",
        "grpc-timeout",
        "te",
        "transfer-encoding",
    }
)
"""Headers that say how a request is framed: not the user's to set."""

PROXIES: Final[Mapping[str, tuple[str, ...]]] = {
    "grpc": ("grpc", "https", "http"),
    "http": ("http", "all"),
    "https": ("https", "all"),
}
"""The ``*_proxy`` variables that count: gRPC's own for gRPC, by the endpoint's scheme for HTTP."""
NO_PROXY: Final[Mapping[str, tuple[str, ...]]] = {"grpc": ("no_grpc", "no")}
BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?!:)")
"""An IPv6 address as URLs have it; libcurl wants it without the brackets in a list of hosts."""
ROOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "grpc": ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",),
    "http/protobuf": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
}
"""Variables that name the trusted certificates, and no others, where OTLP's own does not: those of the
libraries that the stock exporters are built on. After them OpenSSL's: ``SSL_CERT_FILE``, and beside it
``SSL_CERT_DIR``."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where and how to connect.

    Args:
        url: The URL of the requests, without credentials.
        socket: Path of a Unix domain socket, or None; an abstract one begins with NUL.
        headers: Sent with each request.
        proxy: The proxy's URL, or nothing.
        no_proxy: Hosts that are reached without it, comma-separated.
        roots: File with the certificates to trust.
        roots_folder: Folder with more of them, or nothing.
        certificate: File with the client's certificate, or nothing.
        key: File with the client's key, or nothing.
        resolved: ``host:port:address,address``, the addresses of a host, or nothing. A later one is
            tried when those before it do not answer.
    """

    url: str
    socket: str | None = None
    headers: Headers = ()
    proxy: str = ""
    no_proxy: str = ""
    roots: str = ""
    roots_folder: str = ""
    certificate: str = ""
    key: str = ""
    resolved: str = ""

    def secrets(self, endpoint: str) -> tuple[str, ...]:
        """Return what no message may show: libcurl's own show the proxy's URL, and proxies what they got.

        Args:
            endpoint: As it was configured.
        """
        proxy = self.proxy if "://" in self.proxy else f"http://{self.proxy}"
        user = proxy.partition("://")[2].rpartition("@")[0]
        sent = (("proxy-authorization", _basic(user)),) if user else ()
        return (*secrets_of(endpoint, self.headers), *secrets_of(proxy, sent))


def grpc_destination(settings: OtlpSettings, path: str) -> Destination:
    """Return where an OTLP/gRPC endpoint's calls go.

    Args:
        settings: With the endpoint: ``host:port``, a URL, or a target of gRPC's.
        path: The method's.

    Raises:
        ValueError: The endpoint names no host.
    """
    scheme = "https" if settings.secure else "http"
    unix = UNIX.fullmatch(settings.endpoint)
    if unix:
        name = unix[2].removeprefix("//") if unix[2].startswith("///") else unix[2]
        name = f"\0{unix[2]}" if unix[1] == "unix-abstract" else name
        return _finish(settings, f"{scheme}://localhost{path}", "", name)
    named = NAMED.fullmatch(settings.endpoint)
    targets = named[1].split(",") if named else [settings.endpoint]
    if settings.endpoint.startswith("ipv6:"):
        targets = [target if "[" in target else f"[{target}]" for target in targets]
    parts, *others = [urlsplit(one if "://" in one else f"//{one}") for one in targets]
    host = _host(parts.hostname, settings)
    port = parts.port or (TLS_PORT if settings.secure else PLAIN_PORT)
    user = parts.netloc.rpartition("@")[0]
    destination = _finish(settings, f"{scheme}://{host}:{port}{path}", user)
    if not others:
        return destination
    hosts = [_host(one.hostname, settings) for one in (parts, *others)]
    if any(one.port and one.port != port for one in others):
        raise ValueError(
            f"{shown(settings.endpoint)!r} has addresses with different ports: give them one port"
        )
    return replace(destination, resolved=f"{host.strip('[]')}:{port}:{','.join(hosts)}")


def http_destination(settings: OtlpSettings) -> Destination:
    """Return where an OTLP/HTTP endpoint's requests go.

    Raises:
        ValueError: The endpoint is no URL of HTTP's.
    """
    given = settings.endpoint if "://" in settings.endpoint else f"http://{settings.endpoint}"
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"{shown(given)!r} is no URL for HTTP: write http://host:port")
    host = _host(parts.hostname, settings)
    port = f":{parts.port}" if parts.port else ""
    rest = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    user = parts.netloc.rpartition("@")[0] or _netrc(parts.hostname or "")
    url = f"{parts.scheme}://{host}{port}{quote(rest, safe=URL_SAFE)}"
    return _finish(settings, url, user)


def secrets_in_use(settings: OtlpSettings) -> tuple[str, ...]:
    """Return what no message may show: what is configured, of the netrc file and of the proxy too."""
    try:
        grpc = settings.protocol == "grpc"
        found = grpc_destination(settings, "/") if grpc else http_destination(settings)
    except ValueError:  # it names no host: nothing will be sent
        return settings.secrets
    return found.secrets(settings.endpoint)


def _host(name: str | None, settings: OtlpSettings) -> str:
    if not name:
        raise ValueError(f"{shown(settings.endpoint)!r} names no host: write http://host:port")
    return f"[{name}]" if ":" in name else name


def _finish(settings: OtlpSettings, url: str, user: str, socket: str | None = None) -> Destination:
    proxy, no_proxy = ("", "") if socket is not None else _proxy(settings.protocol, url)
    roots = settings.certificate or _environment(ROOTS[settings.protocol])
    roots, folder = _trusted(roots)
    return Destination(
        url,
        socket,
        _headers(settings.headers, user),
        proxy,
        no_proxy,
        roots=roots,
        roots_folder=folder,
        certificate=settings.client_certificate or "",
        key=settings.client_key or "",
    )


def _trusted(named: str) -> tuple[str, str]:
    """Return the file and the folder of trusted certificates.

    Args:
        named: The one file that alone is trusted, or nothing.
    """
    if named:
        return named, ""
    paths = ssl.get_default_verify_paths()
    file, folder = os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")
    if not file and not folder:
        folder = paths.capath or ""
    return file or paths.cafile or certifi.where(), folder


def _headers(headers: Headers, user: str) -> Headers:
    named = {key.lower() for key, _ in headers}
    if user and "authorization" not in named:
        headers = (*headers, ("authorization", _basic(user)))
    return tuple((k, v) for k, v in headers if k.lower() not in OURS and sendable(k, v))


def _basic(user: str) -> str:
    """Return the value of HTTP's Basic authentication for ``user:password`` as a URL has it."""
    pair = unquote(user).encode()
    return f"Basic {base64.b64encode(pair if b':' in pair else pair + b':').decode()}"


def _proxy(protocol: str, url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    kind = "grpc" if protocol == "grpc" else parts.scheme
    found = getproxies()
    proxy = next((found[name] for name in PROXIES[kind] if found.get(name)), "")
    excepted = next((found[n] for n in NO_PROXY.get(kind, ("no",)) if found.get(n)), "")
    bare = BRACKETED.sub(r"\1", excepted)
    return ("", "") if _names_with_port(parts.netloc, excepted) else (proxy, bare)


def _names_with_port(place: str, excepted: str) -> bool:
    """Tell whether a list of hosts has this one with its port; libcurl reads the entries without."""
    names = (entry.strip().lower().lstrip("*.") for entry in excepted.split(","))
    return any(":" in name and f".{place}".endswith(f".{name}") for name in names)


def _environment(names: tuple[str, ...]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _netrc(host: str) -> str:
    """Return user and password that the user's netrc file has for a host, as HTTP's clients do."""
    file = Path(os.environ.get("NETRC") or "~/.netrc")
    with contextlib.suppress(OSError, netrc.NetrcParseError, RuntimeError, UnicodeDecodeError):
        found = netrc.netrc(str(file.expanduser())).authenticators(host)
        if found is not None:
            return f"{quote(found[0] or found[1] or '')}:{quote(found[2] or '')}"
    return ""
