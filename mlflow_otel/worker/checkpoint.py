"""How far a backfill came, in a file, so that another run goes on there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

VERSION: Final = 1


class CheckpointError(Exception):
    """A checkpoint cannot be used. The message says why, and what to do."""


class Span(NamedTuple):
    """The time whose traces are judged: nanoseconds since the epoch, both included."""

    start: int
    end: int


class Checkpoint:
    """The file.

    Args:
        file: Where it is; None: nothing is kept.
        what: What the run is: its source, its scorers with their digests, its filter. Another run's
            checkpoint is refused.

    Raises:
        CheckpointError: It is another run's, or cannot be read.
    """

    def __init__(self, file: str | None, what: Mapping[str, Any]) -> None:
        self._file = None if file is None else Path(file)
        self._what = json.loads(json.dumps(what))
        self._span: Span | None = None
        if self._file is None or not self._file.exists():
            return
        try:
            said = json.loads(self._file.read_text(encoding="utf-8"))
            theirs, self._span = said["what"], Span(int(said["start"]), int(said["end"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{file} is no checkpoint ({type(error).__name__}): name another file"
            ) from error
        if theirs != self._what or said.get("version") != VERSION:
            raise CheckpointError(
                f"{file} is of a run with another source, filter or scorers: remove it, or name another file"
            )

    def span(self, asked: Span) -> Span:
        """Return what is left to do: what the file says, else what is asked."""
        return asked if self._span is None else self._span

    @property
    def found(self) -> bool:
        """Whether there was a file."""
        return self._span is not None

    def save(self, left: Span) -> None:
        """Note what is left to do. The file is replaced as a whole.

        Raises:
            CheckpointError: It cannot be written.
        """
        if self._file is None:
            return
        said = {"version": VERSION, "what": self._what, "start": left.start, "end": left.end}
        beside = self._file.with_name(f"{self._file.name}.new")
        try:
            beside.write_text(json.dumps(said) + "\n", encoding="utf-8")
            os.replace(beside, self._file)  # noqa: PTH105 (atomic on every system)
        except OSError as error:
            raise CheckpointError(f"{self._file} cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Forget the run: all is done."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
