"""Experiments without a tracking server: an ID made of the name, the same in every process."""

from __future__ import annotations

import zlib
from typing import Final

DEFAULT_ID: Final = "0"
DEFAULT_NAME: Final = "Default"


def experiment_id(name: str) -> str:
    """Return the ID of the experiment with this name."""
    if name == DEFAULT_NAME:
        return DEFAULT_ID
    return str(zlib.crc32(name.encode("utf-8", "replace")) + 1)
