"""Names that stay the same: a scorer's digest, and the ID of what it says of a trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from mlflow_otel.mapping.assessment import AssessmentView

SCORER_NAME: Final = "scorer_name"
SCORER_DIGEST: Final = "scorer_digest"
SCORER_VERSION: Final = "scorer_version"
"""What an assessment's metadata says of the scorer that made it."""

VOLATILE: Final = frozenset({"mlflow_version", "serialization_version"})
"""Fields of a definition that change without the scorer being another one."""


def digest_of(definition: Any) -> str:
    """Return the digest of what a scorer is made of: its source, or its prompt and model.

    Args:
        definition: Plain values. What has no JSON counts with its type's name.
    """
    if isinstance(definition, dict):
        definition = {key: value for key, value in definition.items() if key not in VOLATILE}
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"), default=_name_of)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _name_of(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def assessment_id(
    trace_id: str, scorer: str, digest: str, name: str | None = None, number: int = 0
) -> str:
    """Return the ID of what a scorer says of a trace: whoever scores it again says the same.

    Args:
        trace_id: MLflow's ID of the trace.
        scorer: The scorer's name.
        digest: Its digest.
        name: The assessment's name, where a scorer returns several; else the scorer's.
        number: Which one of those with this name.
    """
    parts = json.dumps([trace_id, scorer, digest, scorer if name is None else name, number])
    return f"a-{hashlib.sha256(parts.encode()).hexdigest()[:32]}"


def overridden(said: Iterable[AssessmentView], scorer: str, digest: str, name: str) -> str | None:
    """Return the ID of what a former version of a scorer said, which the new version replaces.

    Args:
        said: What was said of the trace before.
        scorer: The scorer's name.
        digest: Its digest now.
        name: The assessment's name.
    """
    former = (
        one
        for one in said
        if one.name == name
        and one.valid is not False
        and one.metadata.get(SCORER_NAME) == scorer
        and one.metadata.get(SCORER_DIGEST) not in {None, digest}
    )
    newest = max(former, key=lambda one: one.time, default=None)
    return None if newest is None else newest.assessment_id
