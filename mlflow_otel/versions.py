"""The supported versions of other packages, as this package's metadata has them: from ``pyproject.toml``."""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, requires

REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*\(?([<>=!~0-9.,a-z ]*)\)?")


@functools.cache
def supported(distribution: str) -> str:
    """Return the supported versions of a package, such as ``>=3.13,<4``.

    Empty when this package has no metadata (it runs from a folder), or does not know the other.
    """
    try:
        stated = requires("mlflow-otel") or []
    except PackageNotFoundError:
        return ""
    for requirement in stated:
        match = REQUIREMENT.match(requirement.partition(";")[0].strip())
        if match is not None and match[1] == distribution:
            return ",".join(sorted((part.strip() for part in match[2].split(",")), reverse=True))
    return ""


def oldest(distribution: str) -> tuple[int, ...]:
    """Return the oldest supported version of a package, number by number; empty when it has none."""
    match = re.search(r">=\s*([0-9.]+)", supported(distribution))
    return tuple(map(int, match[1].strip(".").split("."))) if match else ()
