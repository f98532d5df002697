"""One span, mapped: the steps in order, each free to fail without taking the span with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import (
    calls,
    chunks,
    content,
    messages,
    openinference,
    placeholders,
    retrieval,
    span_types,
    tokens,
    trace,
)
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.model import (
    EventView,
    Mapped,
    MappingOptions,
    Shared,
    SpanKind,
    SpanView,
    TraceContext,
)
from mlflow_otel.mapping.providers import provider_name
from mlflow_otel.mapping.redaction import redacted
from mlflow_otel.mapping.tools import definitions
from mlflow_otel.mapping.values import PLAIN, as_dict, as_json, as_list, as_text, decode, to_otlp
from mlflow_otel.mapping.written import Written

INTERNAL_KEYS: Final = frozenset(
    {keys.TRACE_REQUEST_ID, keys.EXPERIMENT_ID_ATTRIBUTE, keys.SPAN_START_TIME_NS}
)
"""What MLflow keeps on spans for itself; the trace's identity leaves under its own keys."""

WRITTEN_KEYS: Final = frozenset({keys.SPAN_INPUTS, keys.SPAN_OUTPUTS, keys.CHAT_TOOLS})
UNREAD_KEYS: Final = INTERNAL_KEYS | WRITTEN_KEYS
"""What is decoded only where it is needed."""

HANDLED_KEYS: Final = frozenset(
    {
        keys.SPAN_INPUTS,
        keys.SPAN_OUTPUTS,
        keys.SPAN_TYPE,
        keys.CHAT_TOOLS,
        keys.CHAT_TOKEN_USAGE,
        keys.LLM_COST,
        keys.LLM_MODEL,
        keys.LLM_PROVIDER,
        keys.MESSAGE_FORMAT,
        keys.LINKED_PROMPTS,
        keys.SPAN_FUNCTION_NAME,
        *INTERNAL_KEYS,
    }
)


ANNOTATIONS: Final = frozenset(
    {
        keys.SPAN_INPUTS,
        keys.SPAN_OUTPUTS,
        keys.LLM_MODEL,
        keys.LLM_PROVIDER,
        keys.CHAT_TOKEN_USAGE,
        keys.LLM_COST,
        keys.CHAT_TOOLS,
    }
)
"""What MLflow's autologging writes on spans that another library's tracer made."""

NAMES: Final = frozenset(
    {
        genai.OPERATION_NAME,
        genai.PROVIDER_NAME,
        genai.REQUEST_MODEL,
        genai.RESPONSE_MODEL,
        genai.AGENT_NAME,
        genai.TOOL_NAME,
        genai.TOOL_TYPE,
        genai.TOOL_CALL_ID,
        genai.USAGE_INPUT_TOKENS,
        genai.USAGE_OUTPUT_TOKENS,
        genai.USAGE_CACHE_READ,
        genai.USAGE_CACHE_WRITE,
    }
)
"""What such a library writes itself, without writing the inputs or outputs."""


def map_span(view: SpanView, context: TraceContext, options: MappingOptions) -> Mapped:
    """Return what leaves in place of a span.

    Args:
        view: The span's plain values.
        context: What is known of its trace.
        options: How to map.

    Returns:
        Name, kind, attributes and events; ``failures`` names the steps that could not be done, for
        the caller to count. Never raises on account of a value.
    """
    draft = Draft(view, context, options)
    name, kind = view.name, None
    if view.made_by_mlflow:
        failures = _understand(draft)
        if view.failed or view.events:
            failures += _run(EVENT_STEPS, draft)
        if "genai" in options.conventions:
            name, kind = _name_and_kind(draft)
    else:
        failures = _run((_foreign,), draft)
        if "genai" in options.conventions and not ANNOTATIONS.isdisjoint(view.attributes):
            failures += _run((_annotated,), draft)
    own, shared = _attributes(draft, name)
    if options.redact is not None and name != view.name:
        name = _name_as_redacted(draft, own, name)
    events = _events(view, options) if view.events else ()
    is_counted = genai.OPERATION_NAME in draft.genai or genai.OPERATION_NAME in draft.own
    counted = _counted(draft) if is_counted and view.made_by_mlflow else {}
    return Mapped(name, kind, own, events, shared, (*failures, *draft.failures), counted)


def _understand(draft: Draft) -> list[str]:
    """Take the steps for what MLflow wrote; return the names of those that failed."""
    failures = _run(FIRST_STEPS, draft)
    steps = TYPE_STEPS.get(draft.treated_as, ())
    if not ASKED_FOR.isdisjoint(draft.raw):  # most spans are of no model
        numbers = [step for key, step in NUMBER_STEPS if key in draft.raw]
        steps = (*numbers, *steps, *(step for key, step in KEY_STEPS if key in draft.raw))
    return failures + _run(steps, draft) if steps else failures


def outline(view: SpanView) -> dict[str, Any]:
    """Return what is counted of a span: what it is, who answered, tokens, cost, error, first chunk.

    The attributes that ``map_span`` gives it, by the same steps, without what costs: its messages,
    documents and arguments. Never raises on account of a value.
    """
    draft = Draft(view, TraceContext(), MappingOptions())
    _run(FIRST_STEPS, draft)
    _run([step for key, step in NUMBER_STEPS if key in draft.raw], draft)
    _run(OUTLINE_STEPS.get(draft.treated_as, ()), draft)
    _run(EVENT_STEPS, draft)
    return _counted(draft)


COUNTED: Final = (
    genai.OPERATION_NAME,
    genai.PROVIDER_NAME,
    genai.REQUEST_MODEL,
    genai.RESPONSE_MODEL,
    genai.TOOL_NAME,
    genai.TOOL_TYPE,
    genai.AGENT_NAME,
    genai.WORKFLOW_NAME,
    genai.USAGE_INPUT_TOKENS,
    genai.USAGE_OUTPUT_TOKENS,
    genai.USAGE_CACHE_READ,
    genai.USAGE_CACHE_WRITE,
    genai.USAGE_REASONING,
    genai.ERROR_TYPE,
    genai.RESPONSE_TIME_TO_FIRST_CHUNK,
    keys.LLM_COST_PREFIX + "total_cost",
)
"""The attributes that metrics are made of."""


def _counted(draft: Draft) -> dict[str, Any]:
    found, own = draft.genai, draft.own
    return {
        key: own[key] if key in own else found[key] for key in COUNTED if key in own or key in found
    }


def _run(steps: Iterable[Step], draft: Draft) -> list[str]:
    """Take steps; return the names of those that failed."""
    failures = []
    for step in steps:
        try:
            step(draft)
        except Exception as error:
            failures.append(f"{step.__name__.strip('_')}: {type(error).__name__}")
    return failures


def _read(draft: Draft) -> None:
    raw, own = draft.raw, draft.own
    for key, value in draft.view.attributes.items():
        if key in HANDLED_KEYS:
            raw[key] = value if key in UNREAD_KEYS else decode(value)
        else:
            said = own[key] = decode(value)
            if type(said) is dict:
                if placeholders.may_have(value):
                    own[key] = placeholders.without_objects(said)
            elif type(said) is str and said[:1] == "<" and placeholders.is_object(said):
                del own[key]
    span_type = raw.get(keys.SPAN_TYPE)
    if isinstance(span_type, str):
        draft.span_type = draft.treated_as = span_type
    draft.message_format = raw.get(keys.MESSAGE_FORMAT)
    own[keys.SPAN_TYPE] = draft.span_type
    draft.row = span_types.row(draft.span_type)
    draft.given = draft.rest_inputs = Written(raw.get(keys.SPAN_INPUTS))
    draft.answered = draft.rest_outputs = Written(raw.get(keys.SPAN_OUTPUTS))
    # An unmapped span still says which trace it is of.
    if draft.trace.trace_id is None and keys.TRACE_REQUEST_ID in raw:
        own[keys.TRACE_ID] = decode(raw[keys.TRACE_REQUEST_ID])


def _model(draft: Draft) -> None:
    model = None
    if draft.given.may_have("model"):
        inputs = as_dict(draft.inputs)
        model = inputs.get("model")
        if not isinstance(model, str):
            model = inputs.get("modelId")
    answered = draft.raw.get(keys.LLM_MODEL)
    if not isinstance(model, str) or not model:
        model = answered
    elif isinstance(answered, str) and answered and answered != model:
        draft.genai[genai.RESPONSE_MODEL] = answered  # until the response itself says
    if isinstance(model, str) and model and not placeholders.is_placeholder(model):
        draft.genai[genai.REQUEST_MODEL] = model
    provider = draft.raw.get(keys.LLM_PROVIDER)
    if isinstance(provider, str) and provider:
        bedrock = draft.raw.get(keys.MESSAGE_FORMAT) == "bedrock"
        # MLflow names the model's maker there; the convention wants who was called.
        draft.genai[genai.PROVIDER_NAME] = "aws.bedrock" if bedrock else provider_name(provider)
        if bedrock:
            draft.own[keys.LLM_PROVIDER] = provider


def _operation(draft: Draft) -> None:
    if draft.row.operation is not None:
        draft.genai[genai.OPERATION_NAME] = draft.row.operation


def _llm(draft: Draft) -> None:
    draft.genai[genai.OPERATION_NAME] = span_types.llm_operation(draft.inputs)


def _memory(draft: Draft) -> None:
    operation = draft.own.get(genai.OPERATION_NAME)
    if isinstance(operation, str) and operation.endswith("_memory"):
        draft.genai[genai.OPERATION_NAME] = operation


def _tokens(draft: Draft) -> None:
    calls.place_tokens(draft, tokens.of_mlflow(draft.raw[keys.CHAT_TOKEN_USAGE]))


def _cost(draft: Draft) -> None:
    draft.own |= tokens.of_cost(draft.raw[keys.LLM_COST])


def _messages(draft: Draft) -> None:
    said = chunks.completed(draft.outputs, draft.view.events)
    found = messages.convert(draft.message_format, draft.inputs, said)
    if found is None:
        return
    draft.conversation = found
    draft.failures += [f"messages: {failure}" for failure in found.failures]
    if found.rest_inputs is not draft.inputs:
        draft.rest_inputs = found.rest_inputs
    if found.rest_outputs is not said:
        draft.rest_outputs = found.rest_outputs
    for key, value in (
        (genai.SYSTEM_INSTRUCTIONS, found.system),
        (genai.INPUT_MESSAGES, found.inputs),
        (genai.OUTPUT_MESSAGES, _answers(draft)),
        (genai.TOOL_DEFINITIONS, found.tools),
    ):
        if value:
            draft.genai[key] = as_json(value)
    if found.response_id:
        draft.genai[genai.RESPONSE_ID] = found.response_id
    if found.response_model:
        draft.genai[genai.RESPONSE_MODEL] = found.response_model
    if found.finish_reasons:
        draft.genai[genai.RESPONSE_FINISH_REASONS] = found.finish_reasons


def _answers(draft: Draft) -> list[dict[str, Any]]:
    said = [] if draft.conversation is None else draft.conversation.outputs
    if draft.options.version.finish_reason_in_messages:
        return said
    return [{k: v for k, v in message.items() if k != "finish_reason"} for message in said]


def _tools(draft: Draft) -> None:
    if genai.TOOL_DEFINITIONS not in draft.genai:
        defined = definitions(decode(draft.raw.get(keys.CHAT_TOOLS)))
        if defined:
            draft.genai[genai.TOOL_DEFINITIONS] = as_json(defined)


def _tool_name(draft: Draft) -> None:
    # A message of a tool's says so: `tool_name`, `tool_call_id`, or `tool` as its type.
    answer = as_dict(draft.outputs) if draft.answered.may_have("tool") else {}
    named = answer.get("tool_name") or (
        answer.get("name") if answer.get("type") == "tool" else None
    )
    draft.genai[genai.TOOL_NAME] = as_text(
        draft.own.get(genai.TOOL_NAME) or named or draft.view.name
    )
    draft.genai[genai.TOOL_TYPE] = "function"
    call_id = draft.own.get("tool_call_id") or answer.get("tool_call_id")
    if isinstance(call_id, str):
        draft.genai[genai.TOOL_CALL_ID] = call_id


def _tool(draft: Draft) -> None:
    _tool_name(draft)
    for key, written in (
        (genai.TOOL_CALL_ARGUMENTS, draft.given),
        (genai.TOOL_CALL_RESULT, draft.answered),
    ):
        if not written.is_nothing:
            draft.genai[key] = written.as_text()
    draft.rest_inputs = draft.rest_outputs = None


def _retriever(draft: Draft) -> None:
    query = retrieval.query(draft.inputs)
    if query is not None:
        draft.genai[genai.RETRIEVAL_QUERY] = query
        if retrieval.is_query_alone(draft.inputs):
            draft.rest_inputs = None
    if genai.RETRIEVAL_TOP_K in draft.options.version.added:
        number = retrieval.top_k(draft.inputs)
        if number is not None:
            draft.genai[genai.RETRIEVAL_TOP_K] = number
    found = retrieval.documents(draft.outputs)
    if found is not None:
        draft.documents = found.documents
        draft.genai[genai.RETRIEVAL_DOCUMENTS] = as_json(found.documents)
        draft.rest_outputs = found.rest


def _agent(draft: Draft) -> None:
    _named(draft, genai.AGENT_NAME)


def _asked_of_agent(draft: Draft) -> None:
    if draft.conversation is not None:
        calls.ask(draft)
        calls.use(draft)


def _workflow(draft: Draft) -> None:
    _named(draft, genai.WORKFLOW_NAME)


def _named(draft: Draft, key: str) -> None:
    named = draft.own.get(key) or draft.own.get("agent_name")
    draft.genai[key] = as_text(named or draft.view.name)


def _prompts(draft: Draft) -> None:
    linked = [as_dict(item) for item in as_list(draft.raw.get(keys.LINKED_PROMPTS))]
    if linked and linked[0].get("name"):
        draft.genai[genai.PROMPT_NAME] = as_text(linked[0]["name"])
        if linked[0].get("version") is not None:
            draft.genai[genai.PROMPT_VERSION] = as_text(linked[0]["version"])
        if len(linked) > 1 or linked[0].keys() - {"name", "version"}:
            draft.own[keys.LINKED_PROMPTS] = as_json(linked)


def _error(draft: Draft) -> None:
    if not draft.view.failed:
        return
    raised = [
        e.attributes.get(genai.EXCEPTION_TYPE)
        for e in draft.view.events
        if e.name == genai.EXCEPTION_EVENT
    ]
    named = next((decode(kind) for kind in reversed(raised) if kind), None)
    draft.genai[genai.ERROR_TYPE] = as_text(named) if named else genai.ERROR_TYPE_OTHER


def _stream(draft: Draft) -> None:
    ours = draft.view.made_by_mlflow
    first = next((e for e in draft.view.events if chunks.is_chunk(e, made_by_mlflow=ours)), None)
    if first is not None:
        draft.genai[genai.REQUEST_STREAM] = True
        waited = (first.timestamp - draft.view.start_time) / 1e9
        if waited >= 0:
            draft.genai[genai.RESPONSE_TIME_TO_FIRST_CHUNK] = waited


def _function(draft: Draft) -> None:
    function = draft.raw[keys.SPAN_FUNCTION_NAME]
    if function is not None:
        draft.own[genai.CODE_FUNCTION_NAME] = as_text(function)


def _foreign(draft: Draft) -> None:
    # Another library's span: only what MLflow's registry put on it is MLflow's to decode.
    for key, value in draft.view.attributes.items():
        if key not in INTERNAL_KEYS:
            draft.own[key] = decode(value) if key.startswith(keys.RESERVED_PREFIX) else value
    if draft.own.get(keys.SPAN_TYPE) in (None, "UNKNOWN"):
        draft.own.pop(keys.SPAN_TYPE, None)  # MLflow's registry writes one on every span it sees


def _annotated(draft: Draft) -> None:
    """Fill the gaps of another library's span from what MLflow's autologging wrote on it."""
    found = Draft(draft.view, draft.trace, draft.options)
    draft.failures += _understand(found)
    own, said = draft.own, found.genai
    theirs = said.keys() & own.keys()
    if genai.INPUT_MESSAGES in own:
        said.pop(genai.SYSTEM_INSTRUCTIONS, None)  # theirs stand among their messages
    for key, value in said.items():
        own.setdefault(key, value)
    for key, value in found.own.items():
        if key.startswith(keys.LLM_COST_PREFIX):
            own.setdefault(key, value)
    # What is in the messages now need not leave a second time; unless theirs was there before.
    if theirs <= NAMES:
        own[keys.SPAN_INPUTS] = _rest(found.rest_inputs)
        own[keys.SPAN_OUTPUTS] = _rest(found.rest_outputs)


Step = Callable[[Draft], None]

FIRST_STEPS: Final[tuple[Step, ...]] = (_read, calls.prepare, _model, _operation)
TYPE_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "CHAT_MODEL": (_messages, calls.ask, calls.answer, calls.use),
    "LLM": (_llm, _messages, calls.ask, calls.answer, calls.use),
    "EMBEDDING": (calls.ask, calls.use_of_embedding),
    "AGENT": (_agent, _messages, _asked_of_agent),
    "WORKFLOW": (_workflow,),
    "TOOL": (_tool,),
    "RETRIEVER": (_retriever,),
    "MEMORY": (_memory,),
}
"""What a span's type asks for."""
NUMBER_STEPS: Final = ((keys.CHAT_TOKEN_USAGE, _tokens), (keys.LLM_COST, _cost))
"""What MLflow counted, which comes before what the response says."""
KEY_STEPS: Final[tuple[tuple[str, Step], ...]] = (
    (keys.CHAT_TOOLS, _tools),
    (keys.LINKED_PROMPTS, _prompts),
    (keys.SPAN_FUNCTION_NAME, _function),
)
"""What an attribute of MLflow's asks for, after its type."""
ASKED_FOR: Final = frozenset(key for key, _ in (*NUMBER_STEPS, *KEY_STEPS))
OUTLINE_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    **TYPE_STEPS,
    "CHAT_MODEL": (calls.answer, calls.use),
    "LLM": (_llm, calls.answer, calls.use),
    "AGENT": (_agent,),
    "TOOL": (_tool_name,),
    "RETRIEVER": (),
}
EVENT_STEPS: Final[tuple[Step, ...]] = (_error, _stream)


def _name_and_kind(draft: Draft) -> tuple[str, SpanKind | None]:
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


def _name_as_redacted(draft: Draft, left: dict[str, Any], name: str) -> str:
    """Return a name that we made of an attribute with what ``redact`` left of that attribute."""
    key = draft.row.named_after
    target = key and (draft.own.get(key) or draft.genai.get(key))
    if not key or not target or left.get(key) == target:
        return name
    operation = as_text(draft.genai.get(genai.OPERATION_NAME))
    said = left.get(key)
    return operation if said is None else f"{operation} {as_text(said)}"


def _attributes(draft: Draft, name: str) -> tuple[dict[str, Any], Shared | None]:
    view, options = draft.view, draft.options
    shared = trace.shared(draft.trace, options)
    found = trace.entry(draft.trace, options) if view.is_entry else {}
    if name != view.name:
        found[keys.SPAN_NAME] = view.name
    if view.made_by_mlflow:
        if "genai" in options.conventions:
            found |= draft.genai
            found[keys.SPAN_INPUTS] = _rest(draft.rest_inputs)
            found[keys.SPAN_OUTPUTS] = _rest(draft.rest_outputs)
        if "openinference" in options.conventions:
            found |= openinference.attributes(
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
            found |= {k: v for k, v in draft.raw.items() if k not in UNREAD_KEYS}
            found |= {k: Written(draft.raw[k]).attribute() for k in WRITTEN_KEYS & draft.raw.keys()}
    if view.is_entry and "openinference" in options.conventions:
        found |= openinference.trace_attributes(draft.trace)
    found |= draft.own  # what the app or its instrumentation wrote stays as it was written
    if not options.capture_content:
        found = content.attributes(found, options)
    found = {
        key: value
        if type(value) in PLAIN or not (view.made_by_mlflow or key.startswith(keys.RESERVED_PREFIX))
        else to_otlp(value)
        for key, value in found.items()
        if value is not None
    }  # another library's values leave as they are
    if options.redact is not None:
        found = redacted(name, found, options.redact)
    if shared.attributes.keys().isdisjoint(found):
        return found, shared
    return {**shared.attributes, **found}, None


def _rest(left: Any) -> Any:
    return left.attribute() if isinstance(left, Written) else left


def _events(view: SpanView, options: MappingOptions) -> tuple[EventView, ...]:
    kept = options.capture_content and (options.keep_chunk_events or chunks.stand_alone(view))
    ours = view.made_by_mlflow
    events = tuple(e for e in view.events if kept or not chunks.is_chunk(e, made_by_mlflow=ours))
    if not options.capture_content:
        events = content.events(events, options)
    if options.redact is None:
        return events
    return tuple(
        e._replace(attributes=redacted(e.name, e.attributes, options.redact)) for e in events
    )
