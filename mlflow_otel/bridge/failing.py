"""A request that the bridge fails at: its client is told in the form that it asked in, the operator where it was."""

from __future__ import annotations

import logging
import traceback
from typing import Final

from mlflow_otel.bridge.bodies import RefusedError

MESSAGE: Final = "the bridge failed at this request; its log says where"
_logger: Final = logging.getLogger("mlflow_otel")


def failed(error: Exception) -> RefusedError:
    """Return what a client is answered when something failed that should not.

    The kind of the error and where it was raised are logged, and not what it says: that may be content.
    """
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    _logger.error("The bridge failed at a request: %s in %s", type(error).__name__, where)
    return RefusedError(500, MESSAGE)
