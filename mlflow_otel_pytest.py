"""pytest's entry point: the fixture ``mlflow_traces``.

Apart from the package, because pytest imports it at each start: the package, and with it
OpenTelemetry's SDK, are imported when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mlflow_otel.testing import CapturedTraces


@pytest.fixture
def mlflow_traces() -> Iterator[CapturedTraces]:
    """The MLflow traces that leave during a test, in memory: see ``mlflow_otel.testing``."""
    from mlflow_otel.testing import captured  # noqa: PLC0415

    with captured() as found:
        yield found
