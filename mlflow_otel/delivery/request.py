"""What is delivered: an encoded request, whose bytes are made and compressed once, not once a try."""

from __future__ import annotations

from mlflow_otel.delivery.compress import compress
from mlflow_otel.settings import Compression


class Request:
    """An encoded request.

    Args:
        body: Its protobuf bytes.
        number: How many items are in them.
        recovered: Whether another process, perhaps an earlier run, left it in the spool.
    """

    __slots__ = ("_compressed", "body", "number", "recovered")

    def __init__(self, body: bytes, number: int, *, recovered: bool = False) -> None:
        self.body = body
        self.number = number
        self.recovered = recovered
        self._compressed: tuple[Compression, bytes] = ("none", body)

    def compressed(self, compression: Compression) -> bytes:
        """Return the bytes compressed; the last form asked for is kept."""
        if self._compressed[0] != compression:
            self._compressed = (compression, compress(self.body, compression))
        return self._compressed[1]
