"""A spool in a folder of its own, and a clock that a test sets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlflow_otel.delivery import spool as room
from mlflow_otel.delivery.spool import Spool
from tests.delivery.folders import HERE, HOUR, MUCH


@pytest.fixture
def new(tmp_path):
    """Make spools in one folder, or in a fresh one for each example."""
    folders = iter(range(10_000))

    def make(destination=HERE, max_bytes=MUCH, max_age=HOUR, *, fresh=False, **others):
        folder = tmp_path / (f"fresh-{next(folders)}" if fresh else "spool")
        return Spool(folder, destination, max_bytes, max_age, **{"fsync": False, **others})

    return make


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    """Return a new folder for each example: hypothesis lets a test's own folder be used again."""
    return lambda: tmp_path_factory.mktemp("spool") / "in" / "it"


@pytest.fixture
def clock(monkeypatch):
    """Stand still, until a test says how many seconds have gone."""
    clock = SimpleNamespace(monotonic=1000.0, wall=1_900_000_000.0)
    monkeypatch.setattr(
        room,
        "time",
        SimpleNamespace(
            monotonic=lambda: clock.monotonic,
            time_ns=lambda: int(clock.wall * 1e9),
            time=lambda: clock.wall,
        ),
    )
    return clock
