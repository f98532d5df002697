"""Remembers the assessments of an app without a tracking server, so that it can change them. Bounded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final

from mlflow_otel.forking import begin_anew_in_child

KEPT: Final = 10_000


class Ledger:
    """MLflow's assessments by ID, the newest kept.

    The lock guards the table. A forked child begins with a new lock and keeps what the parent kept.

    Args:
        limit: How many.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._limit = limit
        self._assessments: OrderedDict[str, Any] = OrderedDict()
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def put(self, assessment: Any) -> None:
        """Keep one, in the place of what had its ID."""
        with self._lock:
            self._assessments[assessment.assessment_id] = assessment
            self._assessments.move_to_end(assessment.assessment_id)
            while len(self._assessments) > self._limit:
                self._assessments.popitem(last=False)

    def get(self, assessment_id: str | None) -> Any | None:
        """Return one, or None."""
        with self._lock:
            return None if assessment_id is None else self._assessments.get(assessment_id)

    def pop(self, assessment_id: str) -> Any | None:
        """Return one and forget it."""
        with self._lock:
            return self._assessments.pop(assessment_id, None)
