"""A trace's tags, changed after the trace was sent (docs/mapping.md, "Late changes").

What was sent cannot be changed. The change leaves as a short span of the trace; whoever reads the
trace merges such spans in order of time, and the last one wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.trace import TAGS_SAID_ELSEWHERE
from mlflow_otel.mapping.values import as_text

SPAN_NAME: Final = "trace update"
OWN_KEYS: Final = {
    keys.TAG_TRACE_NAME: keys.TRACE_NAME,
    keys.LINKED_PROMPTS: keys.LINKED_PROMPTS,
}
"""Where the tags of ``TAGS_SAID_ELSEWHERE`` leave."""
assert OWN_KEYS.keys() == TAGS_SAID_ELSEWHERE  # noqa: S101 (one table cannot be forgotten)


def attributes(
    tags: Mapping[str, Any],
    removed: Sequence[str],
    stamp: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the attributes of the span that tells of changed tags, before it is mapped as all spans are.

    Args:
        tags: What was set.
        removed: The keys of what was removed.
        stamp: What every span of the trace carries (``trace.stamp``).
    """
    update: dict[str, Any] = {**stamp, keys.TRACE_UPDATE: True}
    for key, value in tags.items():
        update[OWN_KEYS.get(key) or f"{keys.TRACE_TAG_PREFIX}{key}"] = as_text(value)
    if removed:
        update[keys.TRACE_REMOVED_TAGS] = list(removed)
    return update
