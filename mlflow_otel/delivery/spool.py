"""Requests kept in a folder: one gzip file each, complete or not there at all.

``<created, ns>-<items>-<bytes>-<random>.otlp.gz`` holds one encoded OTLP request. gzip's own length
and checksum tell a torn or changed file; ``zcat`` reads it. A file gets its name only when it is
whole (written beside under another name, then renamed), so ``kill -9`` leaves no half request.
Nothing about the endpoint, credentials least, is written.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import secrets
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.delivery.request import Request
from mlflow_otel.settings import Settings, Signal

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

NAME: Final = re.compile(r"(\d{20})-(\d+)-(\d+)-[0-9a-f]{16}\.otlp\.gz(\.corrupt)?")
UNFINISHED: Final = re.compile(r"\.unfinished-[0-9a-f]{16}")
UNFINISHED_SECONDS: Final = 60.0
LOCK: Final = ".lock"


class CorruptError(Exception):
    """A file that does not hold what was written."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file of the spool; they order by age, oldest first.

    Args:
        created: Nanoseconds since the epoch.
        name: The file's name.
        number: Items in it.
        size: Bytes of the file.
        corrupt: Whether it was set aside.
    """

    created: int
    name: str
    number: int
    size: int
    corrupt: bool = False


class Spool:
    """A folder of requests, which several processes may share.

    Args:
        folder: Where; made, for its owner alone, when it is not there.
        max_bytes: Bytes of all files together; the oldest go first.
        max_age: Seconds a file is kept.
        fsync: Whether each file is on the disk before it counts as written; without, it survives
            the process's end but perhaps not the machine's.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path, max_bytes: int, max_age: float, *, fsync: bool = True) -> None:
        if fcntl is None:  # pragma: no cover (Windows)
            raise OSError("it needs POSIX file locks")
        self._folder = folder
        self.max_bytes = max_bytes
        self._max_age = max_age
        self._fsync = fsync
        self._lock: int | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(self._open(folder / LOCK, os.O_CREAT | os.O_RDWR))

    @staticmethod
    def _open(path: Path, flags: int) -> int:
        return os.open(path, flags, 0o600)

    def put(self, request: Request, named: Callable[[Entry], None] = lambda _: None) -> Entry:
        """Write one request; it is whole and on the disk when this returns.

        Args:
            request: What to write.
            named: Called just before the file can be seen, and sent, by others.

        Raises:
            OSError: It cannot be written, or is larger than the whole spool may be.
        """
        data, number = request.compressed("gzip"), request.number
        if len(data) > self.max_bytes:
            raise OSError(f"a request of {len(data)} bytes is more than the spool may hold")
        created, chance = time.time_ns(), secrets.token_hex(8)
        entry = Entry(created, f"{created:020d}-{number}-{len(data)}-{chance}.otlp.gz", number, len(data))  # fmt: skip
        unfinished = self._folder / f".unfinished-{chance}"
        try:
            file = self._open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            with os.fdopen(file, "wb") as target:
                target.write(data)
                target.flush()
                if self._fsync:
                    os.fsync(target.fileno())
            named(entry)
            unfinished.rename(self._folder / entry.name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        if self._fsync:
            self._fsync_folder()
        return entry

    def _fsync_folder(self) -> None:
        with contextlib.suppress(OSError):  # some file systems cannot; the file itself is there
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def entries(self) -> list[Entry]:
        """Return what is there, oldest first; files of other origin are not looked at."""
        found = []
        for name in os.listdir(self._folder):  # noqa: PTH208 (names are all that is needed)
            match = NAME.fullmatch(name)
            if match is not None:
                created, number, size, corrupt = match.groups()
                found.append(Entry(int(created), name, int(number), int(size), corrupt is not None))
        return sorted(found)

    def over_bounds(self, entries: list[Entry]) -> list[Entry]:
        """Return which of ``entries`` are too old, or too many for the bytes allowed, oldest first."""
        before = time.time_ns() - int(self._max_age * 1e9)
        kept = sum(entry.size for entry in entries)
        going = []
        for entry in entries:
            if entry.created >= before and kept <= self.max_bytes:
                break
            going.append(entry)
            kept -= entry.size
        return going

    def read(self, entry: Entry) -> bytes:
        """Return the request.

        Raises:
            CorruptError: The file is torn or changed.
            OSError: It cannot be read, or is gone.
        """
        data = (self._folder / entry.name).read_bytes()
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptError(str(error)) from error

    def remove(self, entry: Entry) -> bool:
        """Remove a file; True if it was there."""
        try:
            (self._folder / entry.name).unlink()
        except FileNotFoundError:
            return False
        return True

    def set_aside(self, entry: Entry) -> None:
        """Keep a corrupt file for whoever wants to look; it counts as others do and ages as they do."""
        (self._folder / entry.name).rename(self._folder / f"{entry.name}.corrupt")

    def remove_unfinished(self) -> None:
        """Remove what processes that were killed while writing left behind."""
        before = time.time() - UNFINISHED_SECONDS
        for name in os.listdir(self._folder):  # noqa: PTH208
            if UNFINISHED.fullmatch(name):
                path = self._folder / name
                with contextlib.suppress(FileNotFoundError):  # whole by now, and renamed
                    if path.stat().st_mtime < before:
                        path.unlink()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Be the one process that sends from the folder; False when another is.

        The lock goes with its process, however that ends.
        """
        lock = self._open(self._folder / LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            yield False
            return
        self._lock = lock
        try:
            yield True
        finally:
            self._lock = None
            os.close(lock)

    def forked(self) -> None:
        """In a child: let go of the parent's lock, which would outlive the parent with us."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def open_spool(
    settings: Settings, signal: Signal, accounting: Accounting = ACCOUNTING
) -> Spool | None:
    """Return the spool that ``settings`` ask for, or None, with a warning when it cannot be used."""
    if settings.spool_dir is None:
        return None
    try:
        return Spool(
            Path(settings.spool_dir) / signal,
            settings.spool_max_bytes,
            settings.spool_max_age,
            fsync=settings.spool_fsync,
        )
    except OSError as error:
        accounting.warn(
            "spool_unusable",
            "MLFLOW_OTEL_SPOOL_DIR=%s cannot be used (%s): what cannot be delivered is retried in "
            "memory only. Name a folder that this process may write.",
            settings.spool_dir, error,
        )  # fmt: skip
        return None
