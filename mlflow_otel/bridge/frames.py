"""Frames between the bridge's own processes: a length, then a pickle, over a socket that no other process has.

Pickle, since both ends are this package in one version, and the socket is made with the worker: nothing that a
client sent is read as a pickle, it stands in one as bytes.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final, NamedTuple

LENGTH_BYTES: Final = 4


class Asked(NamedTuple):
    """What the accepting process asks a worker.

    Args:
        number: Of the question; 0: no answer is awaited.
        kind: What is asked, a name of the worker's table.
        said: Its values.
    """

    number: int
    kind: str
    said: tuple[Any, ...] = ()


class Answered(NamedTuple):
    """What a worker answers, or, with the number 0, tells of itself.

    Args:
        number: Of the question.
        value: The answer, or the error to raise.
        failed: Whether it is an error.
    """

    number: int
    value: Any
    failed: bool = False


class _Pickler(pickle.Pickler):
    dispatch_table = {  # noqa: RUF012 (pickle's way)
        **copyreg.dispatch_table,
        MappingProxyType: lambda proxy: (MappingProxyType, (dict(proxy),)),
    }


def frame(said: Asked | Answered) -> bytes:
    """Return a frame."""
    file = io.BytesIO(b"\x00" * LENGTH_BYTES)
    file.seek(LENGTH_BYTES)
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(tuple(said))
    file.getbuffer()[:LENGTH_BYTES] = (file.tell() - LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return file.getvalue()


def cut(buffer: bytearray) -> Iterator[Any]:
    """Take the whole frames off a buffer; yield what each says, as a tuple."""
    start = 0
    with memoryview(buffer) as view:
        while len(view) - start >= LENGTH_BYTES:
            begin = start + LENGTH_BYTES
            end = begin + int.from_bytes(view[start:begin], "big")
            if end > len(view):
                break
            yield pickle.loads(view[begin:end])  # noqa: S301 (our own process wrote it)
            start = end
    del buffer[:start]
