"""One trace as MLflow knows it, put together of the spans that a backend holds."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mlflow_otel.backends.model import BackendSpan, BackendTrace, is_later
from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import trace, trace_update
from mlflow_otel.mapping.values import as_list, as_text, decode
from mlflow_otel.store.assessments import assessments_of
from mlflow_otel.store.model import StoredSpan, StoredTrace
from mlflow_otel.store.span_values import stored_span

MILLISECOND: Final = 1_000_000
SCHEMA_VERSION: Final = "3"
"""Of MLflow's traces: what ``TraceInfo`` of every supported version has."""
SERVICE: Final = "service.name"
METADATA_OF: Final = {attribute: key for key, attribute in trace.METADATA_ATTRIBUTES.items()}
NUMBERS: Final = (
    (keys.METADATA_TOKEN_USAGE, keys.TRACE_TOKEN_USAGE_PREFIX),
    (keys.METADATA_COST, keys.TRACE_COST_PREFIX),
)
PREFIXES: Final = (
    keys.TRACE_TAG_PREFIX,
    keys.TRACE_METADATA_PREFIX,
    *(prefix for _, prefix in NUMBERS),
)
"""Of the attributes that say something of the trace under a name of someone's choice. None begins another."""
TRACE_IDS: Final = ("tr-", "trace:/")
"""How MLflow's trace IDs begin. Anything else in their place came from someone else."""
CHANGED_LATER: Final = frozenset(
    {
        *trace.STAMPS,
        *trace.METADATA_ATTRIBUTES.values(),
        keys.TRACE_STATE,
        keys.TRACE_REQUEST_PREVIEW,
        keys.TRACE_RESPONSE_PREVIEW,
    }
)
CHANGED_LATER_PREFIXES: Final = (
    keys.TRACE_METADATA_PREFIX,
    keys.TRACE_TOKEN_USAGE_PREFIX,
    keys.TRACE_COST_PREFIX,
)
"""What a later change may say, beside tags: docs/mapping.md, "Late changes"."""
_dumps: Final = json.JSONEncoder().encode
TAG_OF: Final = {attribute: tag for tag, attribute in trace_update.OWN_KEYS.items()}


def stored_trace(held: BackendTrace) -> StoredTrace:
    """Return a trace as MLflow knows it, with its spans."""
    return stored_info(held)._replace(spans=stored_spans(held))


def stored_spans(held: BackendTrace) -> list[StoredSpan]:
    """Return a trace's spans as MLflow knows them, without those that were added later."""
    return [stored_span(span) for span in held.spans if not is_later(span.attributes)]


def stored_info(held: BackendTrace) -> StoredTrace:
    """Return a trace as MLflow knows it, without its spans: what a list of traces shows.

    What is missing is worked out as far as it can be: a trace of which no span says anything of the
    whole has the state, time and previews of its first span without a parent.
    """
    own = [span for span in held.spans if not is_later(span.attributes)]
    entries = [span for span in own if keys.TRACE_STATE in span.attributes]
    roots = () if entries else [span for span in own if span.parent_id is None]
    first = next(iter([*entries, *roots, *own]), None)
    updates = sorted(
        [span for span in held.spans if keys.TRACE_UPDATE in span.attributes],
        key=lambda span: (span.start, span.span_id),
    )
    later = _said_later(updates)
    said = {**_said(entries), **later}
    below = _below_prefixes(said)
    stamps = {**_stamped([*entries, *own]), **later}
    previews = _previews(said, first)
    tags = _tags(said, below, first)
    _change(tags, updates)
    return StoredTrace(
        otel_trace_id=held.summary.trace_id,
        trace_id=_trace_id(stamps.get(keys.TRACE_ID), held.summary.trace_id),
        experiment_id=_text(stamps, keys.EXPERIMENT_ID),
        experiment_name=_text(stamps, keys.EXPERIMENT_NAME),
        service="" if first is None else as_text(first.resource.get(SERVICE, "")),
        request_time_ms=0 if first is None else first.start // MILLISECOND,
        duration_ms=0 if first is None else max(first.end - first.start, 0) // MILLISECOND,
        state=_state(said, first),
        client_request_id=_text(stamps, keys.TRACE_CLIENT_REQUEST_ID),
        request_preview=previews[0],
        response_preview=previews[1],
        metadata=_metadata(said, below, stamps, tags),
        tags=tags,
        assessments=assessments_of(held.spans),
    )


def _said(spans: Iterable[BackendSpan]) -> dict[str, Any]:
    """Return what spans say of their trace; the first that says something wins."""
    said: dict[str, Any] = {}
    for span in spans:
        said = {**span.attributes, **said}
    return said


def _stamped(spans: Sequence[BackendSpan]) -> dict[str, Any]:
    """Return what every span says of its trace; the first that says something wins."""
    said: dict[str, Any] = {}
    for key in trace.STAMPS:
        for span in spans:
            if key in span.attributes:
                said[key] = span.attributes[key]
                break
    return said


def _said_later(updates: Iterable[BackendSpan]) -> dict[str, Any]:
    """Return what later changes say of the trace, tags aside; the last one wins."""
    return {
        key: value
        for update in updates
        for key, value in update.attributes.items()
        if key in CHANGED_LATER or key.startswith(CHANGED_LATER_PREFIXES)
    }


def _text(said: Mapping[str, Any], key: str) -> str | None:
    value = said.get(key)
    return None if value is None else as_text(value)


def _state(said: Mapping[str, Any], first: BackendSpan | None) -> str:
    state = said.get(keys.TRACE_STATE)
    if isinstance(state, str):
        return state
    return "ERROR" if first is not None and first.status == "ERROR" else "OK"


def _previews(said: Mapping[str, Any], first: BackendSpan | None) -> tuple[str | None, str | None]:
    worked_out: tuple[str | None, str | None] = (None, None)
    if first is not None and keys.TRACE_STATE not in said:
        wrote = stored_span(first).attributes
        worked_out = trace.previews(wrote.get(keys.SPAN_INPUTS), wrote.get(keys.SPAN_OUTPUTS))
    return (
        _text(said, keys.TRACE_REQUEST_PREVIEW) or worked_out[0],
        _text(said, keys.TRACE_RESPONSE_PREVIEW) or worked_out[1],
    )


def _tags(
    said: Mapping[str, Any], below: Mapping[str, Mapping[str, Any]], first: BackendSpan | None
) -> dict[str, str]:
    tags = {key: as_text(value) for key, value in below[keys.TRACE_TAG_PREFIX].items()}
    for attribute, tag in TAG_OF.items():
        if attribute in said:
            tags[tag] = as_text(said[attribute])
    if keys.TAG_TRACE_NAME not in tags and first is not None:
        tags[keys.TAG_TRACE_NAME] = as_text(first.attributes.get(keys.SPAN_NAME) or first.name)
    return tags


def _change(tags: dict[str, str], updates: Iterable[BackendSpan]) -> None:
    """Apply late changes of tags."""
    for update in updates:
        said = update.attributes
        for key, value in said.items():
            if key in TAG_OF:
                tags[TAG_OF[key]] = as_text(value)
            elif key.startswith(keys.TRACE_TAG_PREFIX):
                tags[key.removeprefix(keys.TRACE_TAG_PREFIX)] = as_text(value)
        for key in _texts(said.get(keys.TRACE_REMOVED_TAGS)):
            tags.pop(key, None)


def _texts(value: Any) -> list[str]:
    """Return the texts of an array, which a backend may give back as JSON text."""
    return [as_text(item) for item in as_list(decode(value))]


def _metadata(
    said: Mapping[str, Any],
    below: Mapping[str, Mapping[str, Any]],
    stamps: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dict[str, str]:
    metadata = {key: as_text(value) for key, value in below[keys.TRACE_METADATA_PREFIX].items()}
    for attribute, key in METADATA_OF.items():
        if attribute in said:
            metadata[key] = as_text(said[attribute])
    whose = {
        keys.METADATA_SESSION: _session(stamps),
        keys.METADATA_USER: _text(stamps, genai.USER_ID),
    }
    # What is among the tags was set as one.
    metadata |= {k: v for k, v in whose.items() if v is not None and k not in tags}
    for key, prefix in NUMBERS:
        if below[prefix]:
            metadata[key] = _dumps(below[prefix])  # in MLflow's own spelling
    metadata[keys.METADATA_SCHEMA_VERSION] = SCHEMA_VERSION
    return metadata


def _below_prefixes(said: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what is said under each prefix, by the rest of its name."""
    below: dict[str, dict[str, Any]] = {prefix: {} for prefix in PREFIXES}
    for key, value in said.items():
        place = _place(key)
        if place is not None:
            below[place[0]][place[1]] = value
    return below


@functools.lru_cache(4096)
def _place(key: str) -> tuple[str, str] | None:
    """Return the prefix of a name and the rest of it, or None. All traces have nearly the same names."""
    for prefix in PREFIXES:
        if key.startswith(prefix):
            return prefix, key[len(prefix) :]
    return None


def _session(stamps: Mapping[str, Any]) -> str | None:
    several = stamps.get(keys.TRACE_SESSIONS)
    if several is not None:
        return json.dumps(_texts(several))
    return _text(stamps, genai.SESSION_ID)


def _trace_id(said: object, otel_trace_id: int) -> str:
    if isinstance(said, str) and said.startswith(TRACE_IDS):
        return said
    return f"tr-{otel_trace_id:032x}"
