"""Requests kept in a folder: one gzip file each, complete or not there at all.

``<created, ns>-<items>-<bytes>-<random>-<addressee>.otlp.gz`` holds one encoded OTLP request. gzip's own
length and checksum tell a torn or changed file; ``zcat`` reads it. A file gets its name only when it
is whole (written beside under another name, then renamed), so ``kill -9`` leaves no half request.

The addressee is a salted fingerprint of endpoint and headers; ``.for-<addressee>`` says in words which
endpoint that is. No credential is written.
"""

from __future__ import annotations

import contextlib
import errno
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
from mlflow_otel.delivery.addressee import Addressee, addressee_of
from mlflow_otel.delivery.request import Request
from mlflow_otel.settings import OtlpSettings, Settings, Signal

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

NAME: Final = re.compile(r"(\d{20})-(\d+)-(\d+)-[0-9a-f]{16}-([0-9a-f]{16})\.otlp\.gz(\.corrupt)?")
UNFINISHED: Final = re.compile(r"\.unfinished-[0-9a-f]{16}")
UNFINISHED_SECONDS: Final = 60.0
LOCK: Final = ".lock"
SALT: Final = ".salt"
SALT_BYTES: Final = 16
FOR: Final = ".for-"
CLAIM: Final = ".claim"
CLAIM_SECONDS: Final = 600.0
"""A claim that was seen this long is of a process that was killed: a request is sent in less."""
HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})
"""What a lock that another process holds is answered with; anything else: there are no locks."""
EARLIEST_NS: Final = 1_750_000_000 * 10**9
"""Mid-2025, before this package: a file that says it is older was written by a wrong clock."""
MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Of one file, decompressed, unless requests may be larger."""


class CorruptError(Exception):
    """A file that does not hold what was written."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file of the spool; they order by age, oldest first.

    Args:
        created: Nanoseconds since the epoch, by the writer's clock.
        name: The file's name.
        number: Items in it.
        size: Bytes of the file.
        addressee: The fingerprint of whom it is for.
        corrupt: Whether it was set aside.
    """

    created: int
    name: str
    number: int
    size: int
    addressee: str
    corrupt: bool = False


class Spool:
    """A folder of requests, which several processes may share.

    Args:
        folder: Where; made, for its owner alone, when it is not there.
        destination: Whom requests are for.
        max_bytes: Bytes of all files together; the oldest go first.
        max_age: Seconds a file is kept.
        fsync: Whether each file is on the disk before it counts as written; without, it survives
            the process's end but perhaps not the machine's.
        max_request_bytes: Of one request, before compression.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(
        self,
        folder: Path,
        destination: OtlpSettings,
        max_bytes: int,
        max_age: float,
        *,
        fsync: bool = True,
        max_request_bytes: int = 0,
    ) -> None:
        if fcntl is None:  # pragma: no cover (Windows)
            raise OSError("it needs POSIX file locks")
        self._folder = folder
        self.max_bytes = max_bytes
        self._max_age = max_age
        self._fsync = fsync
        self._max_request_bytes = max(max_request_bytes, MAX_REQUEST_BYTES)
        self._lock: int | None = None
        self._born: dict[str, float] = {}  # when each file was made, by the monotonic clock
        self._claims: dict[str, float] = {}  # when each claim of others was first seen, likewise
        self._introduced = False
        self.orphans = 0
        """Requests that were here when the folder's salt was made: whom they are for is not known."""
        self.no_locks: OSError | None = None
        """Why this file system has no locks, once that is known."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.addressee: Addressee = addressee_of(destination, self._salt())
        """Whom this process's requests are for."""
        self._lock_file = folder / f"{LOCK}-{self.addressee.fingerprint}"
        os.close(self._open(self._lock_file, os.O_CREAT | os.O_RDWR))

    @staticmethod
    def _open(path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def _salt(self) -> bytes:
        """Return the folder's salt; the first process makes it."""
        path = self._folder / SALT
        made = self._folder / f".unfinished-{secrets.token_hex(8)}"
        if not path.exists():
            with os.fdopen(self._open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as target:
                target.write(secrets.token_bytes(SALT_BYTES))
                target.flush()
                os.fsync(target.fileno())
            try:
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.link(made, path)
                    self.orphans = sum(not entry.corrupt for entry in self.entries())
            except OSError:  # a file system without hard links
                made.replace(path)
            made.unlink(missing_ok=True)
        with os.fdopen(self._open(path, os.O_RDONLY), "rb") as source:
            return source.read(SALT_BYTES)

    def _introduce(self) -> None:
        """Write down once, in words, whom the files of this process are for."""
        if self._introduced:
            return
        path = self._folder / f"{FOR}{self.addressee.fingerprint}"
        with contextlib.suppress(OSError):
            file = self._open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            with os.fdopen(file, "w", encoding="utf-8") as target:
                target.write(self.addressee.shown)
            self._introduced = True

    def shown(self, fingerprint: str) -> str:
        """Return an addressee in words."""
        if fingerprint == self.addressee.fingerprint:
            return self.addressee.shown
        try:
            file = self._open(self._folder / f"{FOR}{fingerprint}", os.O_RDONLY)
            with os.fdopen(file, encoding="utf-8", errors="replace") as source:
                text = source.read(1000)
        except OSError:
            return "an endpoint that is not known here"
        return text if text.isprintable() else "an endpoint that cannot be shown"

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
        self._introduce()
        created, chance = max(time.time_ns(), 0), secrets.token_hex(8)
        to = self.addressee.fingerprint
        name = f"{created:020d}-{number}-{len(data)}-{chance}-{to}.otlp.gz"
        entry = Entry(created, name, number, len(data), to)
        unfinished = self._folder / f".unfinished-{chance}"
        try:
            file = self._open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            with os.fdopen(file, "wb") as target:
                target.write(data)
                target.flush()
                if self._fsync:
                    os.fsync(target.fileno())
            self._born[name] = time.monotonic()
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
        entries = []
        with os.scandir(self._folder) as files:
            for file in files:
                match = NAME.fullmatch(file.name)
                if match is not None and file.is_file(follow_symlinks=False):
                    created, number, said, to, corrupt = match.groups()
                    size = int(said)
                    if size > self._max_request_bytes:  # none is so large: the name is wrong
                        with contextlib.suppress(FileNotFoundError):
                            size = file.stat(follow_symlinks=False).st_size
                    entries.append(
                        Entry(int(created), file.name, int(number), size, to, corrupt is not None)
                    )
        entries.sort()
        self._note_ages(entries)
        return entries

    def _note_ages(self, entries: list[Entry]) -> None:
        """Note how old each file is when it is first seen: from then on no wall clock counts.

        A clock may be set while files wait. What seems to come from the future, or from before this
        package, was written by a wrong clock, and counts as new.
        """
        now, here = time.time_ns(), time.monotonic()
        born = self._born
        seen = {}
        for entry in entries:
            plausible = EARLIEST_NS <= entry.created <= now
            age = (now - entry.created) / 1e9 if plausible else 0.0
            seen[entry.name] = born.get(entry.name, here - age)
        for name, when in list(born.items()):  # of files that were put while the folder was listed
            if name not in seen and here - when < UNFINISHED_SECONDS:
                seen[name] = when
        self._born = seen

    def over_bounds(self, entries: list[Entry]) -> list[Entry]:
        """Return which of ``entries`` are too old, or too many for the bytes allowed, oldest first."""
        before = time.monotonic() - self._max_age
        kept = sum(entry.size for entry in entries)
        going = []
        for entry in entries:
            old = self._born.get(entry.name, before) < before
            if old or kept > self.max_bytes:
                going.append(entry)
                kept -= entry.size
        return going

    def read(self, entry: Entry) -> bytes:
        """Return the request.

        Raises:
            CorruptError: The file is torn or changed, or holds more than a request may have.
            OSError: It cannot be read, or is gone.
        """
        with os.fdopen(self._open(self._folder / entry.name, os.O_RDONLY), "rb") as source:
            # Never by the name alone: that may ask for more memory than there is.
            data = source.read() if os.fstat(source.fileno()).st_size == entry.size else b""
        if len(data) != entry.size:
            raise CorruptError("it has not the size that its name says")
        stream = zlib.decompressobj(wbits=31)
        try:
            body = stream.decompress(data, self._max_request_bytes)
        except zlib.error as error:
            raise CorruptError(str(error)) from error
        if stream.unconsumed_tail:
            raise CorruptError(f"it holds more than {self._max_request_bytes} bytes")
        if not stream.eof or stream.unused_data:
            raise CorruptError("it is torn")
        return body

    def remove(self, entry: Entry) -> bool:
        """Remove a file; True if it was there."""
        try:
            (self._folder / entry.name).unlink()
        except FileNotFoundError:
            return False
        finally:
            self.unclaim(entry)  # last: until then nobody else may take the file
        return True

    def set_aside(self, entry: Entry) -> None:
        """Keep a corrupt file for whoever wants to look; it counts as others do and ages as they do."""
        (self._folder / entry.name).rename(self._folder / f"{entry.name}.corrupt")
        self.unclaim(entry)

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
        """Be the one process that sends to this addressee; False when another is.

        The lock goes with its process, however that ends. Where the file system has no locks (NFS
        without its lock service) every process may send, and claims each file before it does.
        """
        lock = self._open(self._lock_file, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in HELD:
                self.no_locks = error
            yield error.errno not in HELD
            return
        self._lock = lock
        self.no_locks = None
        try:
            yield True
        finally:
            self._lock = None
            os.close(lock)

    def claim(self, entry: Entry) -> bool:
        """Make sure that no other process sends a file; False when one may be at it."""
        if self.no_locks is None:
            return True
        name = entry.name + CLAIM
        seen = self._claims.setdefault(name, time.monotonic())
        if time.monotonic() - seen > CLAIM_SECONDS:
            self.unclaim(entry)
        try:
            os.close(self._open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def unclaim(self, entry: Entry) -> None:
        """Take a claim back."""
        if self.no_locks is not None:
            name = entry.name + CLAIM
            self._claims.pop(name, None)
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def forked(self) -> None:
        """In a child: close the parent's lock, which would outlive the parent with us."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def open_spool(
    settings: Settings, signal: Signal, accounting: Accounting = ACCOUNTING
) -> Spool | None:
    """Return the spool that ``settings`` ask for, or None, with a warning when it cannot be used."""
    if settings.spool_dir is None:
        return None
    folder = Path(settings.spool_dir) / signal
    try:
        spool = Spool(
            folder,
            settings.otlp(signal),
            settings.spool_max_bytes,
            settings.spool_max_age,
            fsync=settings.spool_fsync,
            max_request_bytes=settings.max_request_bytes,
        )
    except OSError as error:
        accounting.warn(
            "spool_unusable",
            "MLFLOW_OTEL_SPOOL_DIR=%s cannot be used (%s). What cannot be delivered is retried from "
            "memory only. Name a folder that this process may write.",
            settings.spool_dir,
            error,
        )
        return None
    if spool.orphans:
        accounting.warn(
            "spool_orphans",
            "%s has lost its file %s, so whom its %d requests are for cannot be told, and they are not "
            "sent. Put the file back from a backup before MLFLOW_OTEL_SPOOL_MAX_AGE, or send them by "
            "hand: each is an OTLP request in gzip.",
            folder,
            SALT,
            spool.orphans,
        )
    return spool
