"""What ``mlflow-otel doctor`` finds, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Args:
        level: ``problem`` makes the exit status 1.
        about: What was looked at.
        text: What it is like.
        todo: The one thing to do, for a problem or a note.
    """

    level: Level
    about: str
    text: str
    todo: str = ""
