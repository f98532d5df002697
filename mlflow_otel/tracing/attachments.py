"""Images, sounds and files that MLflow took out of its spans, put back where a span leaves.

MLflow moves them to its tracking server and leaves a reference (``mlflow-attachment://…``), which leads
nowhere in a trace backend. So what it takes out is kept here until the span leaves. Bounded by bytes.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.forking import begin_anew_in_child

SCHEME: Final = "mlflow-attachment://"
REFERENCE: Final = re.compile(r"mlflow-attachment://[0-9a-fA-F-]{36}[^\"\\\s]*")
MOST_BYTES: Final = 64 * 1024 * 1024
WHERE: Final = (keys.SPAN_INPUTS, keys.SPAN_OUTPUTS)
"""The attributes that MLflow takes media out of."""


class Medium(NamedTuple):
    """What stood in a span.

    Args:
        content_type: Its MIME type.
        content: Its bytes.
    """

    content_type: str
    content: bytes


class Attachments:
    """Media by their reference; the newest are kept.

    The lock guards the table. A forked child begins with a new lock and keeps what the parent kept.

    Args:
        max_bytes: How much is kept.
        accounting: Gets what could not be put back.
    """

    def __init__(self, max_bytes: int = MOST_BYTES, accounting: Accounting = ACCOUNTING) -> None:
        self._max_bytes = max_bytes
        self._accounting = accounting
        self._kept: OrderedDict[str, Medium] = OrderedDict()
        self._bytes = 0
        self._took_one = False
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Make the lock anew. Called in a forked child too."""
        self._lock = threading.RLock()

    def put(self, reference: str, medium: Medium) -> None:
        """Keep one. Called in the app's thread."""
        with self._lock:
            self._took_one = True
            if reference in self._kept:
                return  # one attachment in inputs and outputs
            self._kept[reference] = medium
            self._bytes += len(medium.content)
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.content)

    def put_back(self, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a span's attributes with data URLs (RFC 2397) in the place of references."""
        if not self._took_one:
            return attributes
        found = {
            key: REFERENCE.sub(self._data_url, text)
            for key in WHERE
            if isinstance(text := attributes.get(key), str) and SCHEME in text
        }
        return {**attributes, **found} if found else attributes

    def _data_url(self, reference: re.Match[str]) -> str:
        with self._lock:
            medium = self._kept.get(reference.group())
        if medium is None:
            self._accounting.warn(
                "attachments.not_kept",
                "An image or file that MLflow took out of a span was not kept until the span left, so a "
                "reference to MLflow's server leaves in its place. Log smaller files, or fewer at a time.",
            )
            return reference.group()
        data = base64.b64encode(medium.content).decode("ascii")
        return f"data:{medium.content_type};base64,{data}"


ATTACHMENTS: Final = Attachments()
"""The process's own."""
