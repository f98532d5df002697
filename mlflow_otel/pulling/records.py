"""What was sent of each trace: a file of JSON lines, so that a pull goes on where it ended."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Judged(NamedTuple):
    """An assessment that was sent: what it was, its name and its kind."""

    digest: str
    name: str
    kind: str


class Record(NamedTuple):
    """What was sent of a trace: its tags, and its assessments by ID."""

    tags: Mapping[str, str]
    assessments: Mapping[str, Judged]


def digest(said: object) -> str:
    """Return a short text that is another when ``said`` is another."""
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Records:
    """Remembers what was sent, in a file if one is named.

    Args:
        file: It; a line for each trace, the last one of a trace counts. None: nothing is written.

    Raises:
        ValueError: The file holds something else.
        OSError: It cannot be read or written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, Record] = {}
        self._torn_at: int | None = None
        if file is not None and not os.access(file if file.exists() else file.parent, os.W_OK):
            raise OSError(f"{file} cannot be written")
        if file is not None and file.exists():
            said = file.read_bytes()
            whole = said[: said.rfind(b"\n") + 1]  # a line that was cut off says nothing
            self._torn_at = None if whole == said else len(whole)
            for line in whole.splitlines():
                trace_id, record = _read(line, file)
                self._known[trace_id] = record

    def __len__(self) -> int:
        return len(self._known)

    def get(self, trace_id: str) -> Record | None:
        """Return what was sent of a trace, or None."""
        return self._known.get(trace_id)

    def put(self, sent: Iterable[tuple[str, Record]]) -> None:
        """Remember what was sent.

        Raises:
            OSError: The file cannot be written.
        """
        lines = []
        for trace_id, record in sent:
            self._known[trace_id] = record
            said = {"trace": trace_id, "tags": record.tags, "assessments": record.assessments}
            lines.append(json.dumps(said) + "\n")
        if self._file is not None and lines:
            if self._torn_at is not None:
                os.truncate(self._file, self._torn_at)
                self._torn_at = None
            with self._file.open("a", encoding="utf-8") as target:
                target.writelines(lines)


def _read(line: bytes, file: Path) -> tuple[str, Record]:
    try:
        said: Any = json.loads(line)
        judged = {str(k): Judged(*map(str, v)) for k, v in said["assessments"].items()}
        return str(said["trace"]), Record(dict(said["tags"]), judged)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is no checkpoint of mlflow-otel pull") from error
