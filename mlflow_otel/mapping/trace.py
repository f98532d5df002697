"""What a trace says of itself: stamped on every span, and in full on its entry spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import messages
from mlflow_otel.mapping.messages import parts
from mlflow_otel.mapping.model import MappingOptions, Shared, TraceContext
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.mapping.values import as_text, decode, dumps

METADATA_ATTRIBUTES: Final[Mapping[str, str]] = {
    keys.METADATA_SOURCE_RUN: keys.RUN_ID,
    keys.METADATA_MODEL_ID: keys.MODEL_ID,
    keys.METADATA_GIT_COMMIT: genai.VCS_REVISION,
    keys.METADATA_GIT_BRANCH: genai.VCS_BRANCH,
    keys.METADATA_GIT_REPOSITORY: genai.VCS_REPOSITORY,
}

TAGS_SAID_ELSEWHERE: Final = frozenset({keys.TAG_TRACE_NAME, keys.LINKED_PROMPTS})
"""Tags that leave under a key of their own."""
OF_A_SERVER: Final = frozenset(
    {
        keys.TAG_ARTIFACT_LOCATION,
        keys.TAG_SPANS_LOCATION,
        keys.TAG_ARCHIVE_LOCATION,
        keys.TAG_ARCHIVAL_FAILURE,
        keys.METADATA_FINALIZED,
    }
)
"""Tags and metadata that say where MLflow's own server keeps a trace; they mean nothing elsewhere."""
METADATA_SAID_ELSEWHERE: Final = frozenset(
    {
        keys.METADATA_SESSION,
        keys.METADATA_USER,
        keys.METADATA_TOKEN_USAGE,
        keys.METADATA_COST,
        keys.METADATA_INPUTS,
        keys.METADATA_OUTPUTS,
        keys.METADATA_SCHEMA_VERSION,
    }
)
"""Metadata that leaves under keys of its own, as a preview, or that every trace has."""

PREVIEW_LENGTH: Final = 1000


def shared(trace: TraceContext, options: MappingOptions) -> Shared:
    """Return what every span of the trace carries, worked out once for all of them."""
    for known, remembered in trace.memo:
        if known is options:
            return remembered  # type: ignore[no-any-return]
    stamped = stamp(trace, options)
    if options.redact is not None:
        name = as_text(trace.tags.get(keys.TAG_TRACE_NAME) or "")
        stamped = redacted(name, stamped, options.redact)
    made = Shared(stamped)
    trace.memo.append((options, made))
    return made


def _session(trace: TraceContext) -> str | None:
    session = _either(trace, keys.METADATA_SESSION)
    several = _sessions(session)
    return session if several is None else several[0]


STAMPS: Final[Mapping[str, Callable[[TraceContext], Any]]] = {
    genai.SESSION_ID: _session,
    genai.CONVERSATION_ID: _session,
    keys.TRACE_SESSIONS: lambda trace: _sessions(_either(trace, keys.METADATA_SESSION)),
    genai.USER_ID: lambda trace: _either(trace, keys.METADATA_USER),
    keys.TRACE_CLIENT_REQUEST_ID: lambda trace: trace.client_request_id,
    keys.TRACE_ID: lambda trace: trace.trace_id,
    keys.EXPERIMENT_ID: lambda trace: trace.experiment_id,
    keys.EXPERIMENT_NAME: lambda trace: trace.experiment_name,
}
"""The attributes that every span of a trace carries, promoted tags aside, and where each comes from."""


def stamp(trace: TraceContext, options: MappingOptions) -> dict[str, Any]:
    """Return what every span of the trace carries (docs/mapping.md)."""
    stamped = {attribute: value_of(trace) for attribute, value_of in STAMPS.items()}
    for tag, attribute in options.promote_tags:
        if tag in trace.tags:
            stamped[attribute] = as_text(trace.tags[tag])
    return {key: value for key, value in stamped.items() if value is not None}


def stamp_in(attributes: Mapping[str, Any], options: MappingOptions) -> dict[str, Any]:
    """Return what every span of a trace carries, from the attributes of one of them."""
    promoted = (attribute for _, attribute in options.promote_tags)
    return {key: attributes[key] for key in (*STAMPS, *promoted) if key in attributes}


def entry(trace: TraceContext, options: MappingOptions) -> dict[str, Any]:
    """Return what the trace's entry spans carry besides (docs/mapping.md, "On the entry span")."""
    attributes: dict[str, Any] = {}
    for key, value in trace.tags.items():
        if key not in TAGS_SAID_ELSEWHERE and key not in OF_A_SERVER:
            attributes[f"{keys.TRACE_TAG_PREFIX}{key}"] = as_text(value)
    for key, value in trace.metadata.items():
        if key in METADATA_ATTRIBUTES:
            if value:
                attributes[METADATA_ATTRIBUTES[key]] = as_text(value)
        elif key not in METADATA_SAID_ELSEWHERE and key not in OF_A_SERVER:
            attributes[f"{keys.TRACE_METADATA_PREFIX}{key}"] = as_text(value)
    for key, tokens in trace.token_usage.items():
        attributes[keys.TRACE_TOKEN_USAGE_PREFIX + key] = tokens
    for key, dollars in trace.cost.items():
        attributes[keys.TRACE_COST_PREFIX + key] = float(dollars)
    linked = trace.tags.get(keys.LINKED_PROMPTS)
    if linked:
        attributes[keys.LINKED_PROMPTS] = linked if isinstance(linked, str) else dumps(linked)
    attributes[keys.TRACE_NAME] = trace.tags.get(keys.TAG_TRACE_NAME)
    attributes[keys.TRACE_STATE] = trace.state
    if trace.state is not None:  # else nothing is known of the trace: a span that was added to it
        attributes[keys.TRACE_ENTRY] = True
    if options.capture_content:
        attributes[keys.TRACE_REQUEST_PREVIEW] = trace.request_preview
        attributes[keys.TRACE_RESPONSE_PREVIEW] = trace.response_preview
    return {key: value for key, value in attributes.items() if value is not None}


def _either(trace: TraceContext, key: str) -> str | None:
    # MLflow's newer style keeps session and user in metadata, the older one (and MLflow's own
    # production guide) in tags.
    value = trace.metadata.get(key)
    if value is None:
        value = trace.tags.get(key)
    return None if value is None else as_text(value)


def _sessions(session: str | None) -> list[str] | None:
    """Return the sessions where there are several: MLflow 3.18 writes them as a JSON list."""
    sessions = decode(session) if session is not None and session.startswith("[") else None
    if not isinstance(sessions, list) or not sessions:
        return None
    return [as_text(item) for item in sessions]


def previews(inputs: Any, outputs: Any) -> tuple[str | None, str | None]:
    """Return short forms of a root span's inputs and outputs, at most 1000 characters each.

    The text of the last message where they are a chat, else their JSON; MLflow's server does alike.
    """
    decoded = decode(inputs), decode(outputs)
    talk = messages.convert(None, *decoded)
    sides = (talk.inputs, talk.outputs) if talk is not None else ([], [])
    shown = (
        parts.preview(side) or (None if value is None else as_text(value))
        for side, value in zip(sides, decoded, strict=True)
    )
    request, response = (
        text if text is None or len(text) <= PREVIEW_LENGTH else text[: PREVIEW_LENGTH - 1] + "…"
        for text in shown
    )
    return request, response
