"""What a service logs, for people or for a log store: never what is in a trace, nor who sent it."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Final

FORMATS: Final = ("text", "json")


class JsonLines(logging.Formatter):
    """Writes each record as one line of JSON: ``time``, ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


def log_to_stderr(form: str) -> None:
    """Write what is logged, from warnings on, to standard error.

    Args:
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
