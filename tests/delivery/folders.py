"""What stands in a spool's folder besides the requests."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from mlflow_otel.delivery import spool as room
from mlflow_otel.settings import OtlpSettings

HERE: Final = OtlpSettings("http://127.0.0.1:9", headers=(("tenant", "a"),))
ELSEWHERE: Final = OtlpSettings("http://127.0.0.1:10")
MUCH: Final = 10**9
HOUR: Final = 3600.0


def names(folder):
    """Return the names of what is in a folder."""
    return {file.name for file in Path(folder).iterdir()}


def beside(folder):
    """Return what is in a folder besides requests, lock, salt and whom they are for."""
    known = (room.LOCK, room.SALT, room.FOR)
    return [name for name in names(folder) if name.startswith(".") and not name.startswith(known)]


def is_open(path):
    """Tell whether this process holds a file open."""
    found = set()
    for number in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(number.readlink())
    return path in found
