"""Bodies as they go on the wire: a request's compressed, an answer's decompressed to a bound."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from mlflow_otel.settings import Compression

LEVEL: Final = 1  # a third of level 6's time for a sixth more bytes

try:  # the extra `speed`: ISA-L, whose gzip every gzip reads, at about five times zlib's speed
    from isal import igzip, isal_zlib
except ImportError:

    def _gzip(body: bytes) -> bytes:
        return gzip.compress(body, LEVEL, mtime=0)

    def _deflate(body: bytes) -> bytes:
        return zlib.compress(body, LEVEL)
else:

    def _gzip(body: bytes) -> bytes:
        return bytes(igzip.compress(body, LEVEL, mtime=0))

    def _deflate(body: bytes) -> bytes:
        return bytes(isal_zlib.compress(body, LEVEL))


def compress(body: bytes, compression: Compression) -> bytes:
    """Return ``body`` compressed as ``compression`` says."""
    if compression == "gzip":
        return _gzip(body)
    return _deflate(body) if compression == "deflate" else body


WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
"""How zlib is told which of its formats a body is in."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return an answer's body decompressed: at most ``limit`` bytes, nothing when it cannot be read.

    Args:
        body: As it came.
        encoding: ``gzip``, ``deflate``, or nothing or ``identity`` for a body as it is.
        limit: Bytes of the result, at most; the rest is left out.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body[:limit]
    try:
        return zlib.decompressobj(WINDOW_BITS[name]).decompress(body, limit)
    except (KeyError, zlib.error):
        return b""
