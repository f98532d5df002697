"""A draft, put together: the name, kind, attributes and events of what leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import chunks, content, openinference, streams, trace
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.model import EventView, Shared, SpanKind
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.mapping.steps import UNREAD_KEYS, WRITTEN_KEYS
from mlflow_otel.mapping.values import PLAIN, Json, as_text, decode, to_otlp
from mlflow_otel.mapping.written import Written


def name_and_kind(draft: Draft) -> tuple[str, SpanKind | None]:
    """Return the span's name by the convention, and its kind."""
    row = draft.row
    operation = draft.genai.get(genai.OPERATION_NAME)
    if operation is None or row.operation is None:
        return draft.view.name, row.kind
    target = row.named_after and (
        draft.own.get(row.named_after) or draft.genai.get(row.named_after)
    )
    if not target:
        return (draft.view.name if row.needs_target else operation), row.kind
    return f"{operation} {as_text(target)}", row.kind


def name_as_redacted(draft: Draft, left: dict[str, Any], name: str) -> str:
    """Return the span's name after ``redact``: the attribute's value in it is the redacted one."""
    key = draft.row.named_after
    target = key and (draft.own.get(key) or draft.genai.get(key))
    if not key or not target or left.get(key) == target:
        return name
    operation = as_text(draft.genai.get(genai.OPERATION_NAME))
    said = left.get(key)
    return operation if said is None else f"{operation} {as_text(said)}"


def attributes(draft: Draft, name: str) -> tuple[dict[str, Any], Shared | None]:
    """Return the attributes that leave: the span's own, and those that its trace's spans share."""
    view, options = draft.view, draft.options
    shared = trace.shared(draft.trace, options)
    leaving = trace.entry(draft.trace, options) if view.is_entry else {}
    if name != view.name:
        leaving[keys.SPAN_NAME] = view.name
    if view.made_by_mlflow:
        if "genai" in options.conventions:
            if not draft.own.keys().isdisjoint(draft.genai):
                keep_displaced(draft)
            keep_unsaid(draft)
            leaving |= draft.genai
            leaving[keys.SPAN_INPUTS] = rest(draft.rest_inputs)
            leaving[keys.SPAN_OUTPUTS] = rest(draft.rest_outputs)
        if "openinference" in options.conventions:
            leaving |= openinference.attributes(
                draft.treated_as,
                draft.inputs,
                draft.outputs,
                draft.genai,
                draft.conversation,
                draft.parameters,
                draft.raw.get(keys.CHAT_TOKEN_USAGE),
                draft.raw.get(keys.LLM_COST),
                draft.documents,
            )
        if "mlflow" in options.conventions:
            leaving |= {k: v for k, v in draft.raw.items() if k not in UNREAD_KEYS}
            leaving |= {
                k: Written(draft.raw[k]).attribute() for k in WRITTEN_KEYS & draft.raw.keys()
            }
    if view.is_entry and "openinference" in options.conventions:
        leaving |= openinference.trace_attributes(draft.trace)
    leaving |= draft.own  # what the app or its instrumentation wrote stays as it was written
    if not options.capture_content:
        leaving = content.attributes(leaving, options)
    if view.made_by_mlflow:
        leaving = {
            key: value if type(value) in PLAIN else to_otlp(value)
            for key, value in leaving.items()
            if value is not None
        }
    else:  # another library's values leave as they are
        leaving = {
            key: to_otlp(value) if key.startswith(keys.RESERVED_PREFIX) else value
            for key, value in leaving.items()
            if value is not None
        }
    if options.redact is not None:
        leaving = redacted(name, leaving, options.redact)
    if shared.attributes.keys().isdisjoint(leaving):
        return leaving, shared
    return {**shared.attributes, **leaving}, None


def keep_displaced(draft: Draft) -> None:
    """Keep our values where the app wrote others under the same keys: the inputs or outputs leave whole.

    The app's own ``gen_ai.*`` attributes are not overwritten. What the inputs or outputs say
    otherwise must not be lost with ours.
    """
    theirs = draft.own
    displaced = {
        key for key, said in draft.genai.items() if key in theirs and _differs(said, theirs[key])
    }
    if displaced & OF_OUTPUTS:
        draft.rest_outputs = draft.answered
    if displaced - OF_OUTPUTS - OF_NEITHER:
        draft.rest_inputs = draft.given
    for key, displacing in BESIDE.items():
        if key in draft.raw and not displacing.isdisjoint(displaced):
            theirs.setdefault(key, draft.raw[key])


def keep_unsaid(draft: Draft) -> None:
    """Keep MLflow's values that are said in no other way, such as a list of prompts without names."""
    for key in SAID_WHOLE & draft.raw.keys():
        said = BESIDE[key]
        if said.isdisjoint(draft.genai) and said.isdisjoint(draft.own):
            value = decode(draft.raw[key]) if key in UNREAD_KEYS else draft.raw[key]
            if value:
                draft.own.setdefault(key, value)


def _differs(said: Any, theirs: Any) -> bool:
    return bool((decode(str(said)) if type(said) is Json else said) != theirs)


OF_OUTPUTS: Final = frozenset(
    {
        genai.OUTPUT_MESSAGES,
        genai.RESPONSE_ID,
        genai.RESPONSE_MODEL,
        genai.RESPONSE_FINISH_REASONS,
        genai.TOOL_CALL_RESULT,
        genai.RETRIEVAL_DOCUMENTS,
    }
)
USAGE: Final = frozenset(
    {
        genai.USAGE_INPUT_TOKENS,
        genai.USAGE_OUTPUT_TOKENS,
        genai.USAGE_CACHE_READ,
        genai.USAGE_CACHE_WRITE,
        genai.USAGE_REASONING,
    }
)
OF_NEITHER: Final = USAGE | {
    genai.OPERATION_NAME,
    genai.PROVIDER_NAME,
    genai.AGENT_NAME,
    genai.WORKFLOW_NAME,
    genai.TOOL_NAME,
    genai.TOOL_TYPE,
    genai.TOOL_CALL_ID,
    genai.ERROR_TYPE,
    genai.PROMPT_NAME,
    genai.PROMPT_VERSION,
    genai.REQUEST_STREAM,
    genai.RESPONSE_TIME_TO_FIRST_CHUNK,
}
BESIDE: Final = {
    keys.LLM_MODEL: frozenset({genai.REQUEST_MODEL, genai.RESPONSE_MODEL}),
    keys.LLM_PROVIDER: frozenset({genai.PROVIDER_NAME}),
    keys.CHAT_TOKEN_USAGE: USAGE,
    keys.CHAT_TOOLS: frozenset({genai.TOOL_DEFINITIONS}),
    keys.LINKED_PROMPTS: frozenset({genai.PROMPT_NAME, genai.PROMPT_VERSION}),
}
"""MLflow's keys, and the attributes that their values leave as."""
SAID_WHOLE: Final = BESIDE.keys() - {keys.CHAT_TOKEN_USAGE}
"""Those whose value leaves as one of these attributes or not at all. Counts have a place each."""


def _stand_alone(draft: Draft) -> bool:
    """Tell whether a stream's answer is in its events alone, so that they must leave."""
    return draft.answered.may_have("body") and streams.is_unread(draft.outputs)


def rest(left: Any) -> Any:
    """Return inputs or outputs that no step used, as an attribute's value."""
    return left.attribute() if isinstance(left, Written) else left


def _as_otlp(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return attributes as they leave; None values say nothing."""
    if all(type(value) in PLAIN for value in values.values()):
        return values
    return {k: to_otlp(v) for k, v in values.items() if v is not None}


def events(draft: Draft) -> tuple[EventView, ...]:
    """Return the events that leave."""
    view, options = draft.view, draft.options
    kept = options.capture_content and (options.keep_chunk_events or _stand_alone(draft))
    ours = view.made_by_mlflow
    events = tuple(e for e in view.events if kept or not chunks.is_chunk(e, made_by_mlflow=ours))
    if not options.capture_content:
        events = content.events(events, options)
    if ours:
        events = tuple(e._replace(attributes=_as_otlp(e.attributes)) for e in events)
    if options.redact is None:
        return events
    return tuple(
        e._replace(attributes=redacted(e.name, e.attributes, options.redact)) for e in events
    )
