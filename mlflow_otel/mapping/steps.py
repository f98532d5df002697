"""The steps that map a span of MLflow's. Each reads a draft and adds to it."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import calls, chunks, placeholders, retrieval, span_types
from mlflow_otel.mapping import messages as formats
from mlflow_otel.mapping import tokens as token_counts
from mlflow_otel.mapping.draft import Draft
from mlflow_otel.mapping.providers import provider_name
from mlflow_otel.mapping.tools import definitions
from mlflow_otel.mapping.values import as_dict, as_json, as_list, as_text, decode
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


def read(draft: Draft) -> None:
    """Sort the attributes: those that MLflow wrote for itself, and those of the app."""
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


def model(draft: Draft) -> None:
    """Say which model was asked, and of which provider."""
    model = None
    if draft.given.may_have("model"):
        inputs = as_dict(draft.inputs)
        model = _asked_model(inputs)
        for key in () if isinstance(model, str) else formats.ENVELOPES:
            inner = as_dict(inputs.get(key))
            model = _asked_model(inner) if inner else model
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


def _asked_model(inputs: dict[str, Any]) -> Any:
    model = inputs.get("model")
    return model if isinstance(model, str) else inputs.get("modelId")


def operation(draft: Draft) -> None:
    """Say which operation the span is, by its type."""
    if draft.row.operation is not None:
        draft.genai[genai.OPERATION_NAME] = draft.row.operation


def llm(draft: Draft) -> None:
    """Say which operation a span of type LLM is, by its inputs."""
    call_type = span_types.call_type(draft.own.get("call_type"))
    named = span_types.CALL_OPERATIONS.get(call_type)
    draft.genai[genai.OPERATION_NAME] = named or span_types.llm_operation(draft.inputs)


def memory(draft: Draft) -> None:
    """Take the operation that the app named for a memory."""
    operation = draft.own.get(genai.OPERATION_NAME)
    if isinstance(operation, str) and operation.endswith("_memory"):
        draft.genai[genai.OPERATION_NAME] = operation


def tokens(draft: Draft) -> None:
    """Place the token counts that MLflow made."""
    calls.place_tokens(draft, token_counts.of_mlflow(draft.raw[keys.CHAT_TOKEN_USAGE]))


def cost(draft: Draft) -> None:
    """Place the cost that MLflow worked out."""
    said = draft.raw[keys.LLM_COST]
    draft.own |= token_counts.of_cost(said) or ({keys.LLM_COST: said} if said else {})


def messages(draft: Draft) -> None:
    """Convert the inputs and outputs into the convention's messages."""
    conversation = formats.convert(draft.message_format, draft.inputs, draft.outputs)
    if conversation is None:
        return
    draft.conversation = conversation
    if conversation.failures:
        draft.failures += [f"messages: {failure}" for failure in conversation.failures]
    asked, answered, said = conversation.asked, conversation.answered, draft.genai
    if asked.rest is not draft.inputs:
        draft.rest_inputs = asked.rest
    if answered.rest is not draft.outputs:
        draft.rest_outputs = answered.rest
    for key, value in (
        (genai.SYSTEM_INSTRUCTIONS, asked.system),
        (genai.INPUT_MESSAGES, asked.messages),
        (genai.OUTPUT_MESSAGES, _answers(draft, answered.messages)),
        (genai.TOOL_DEFINITIONS, asked.tools),
    ):
        if value:
            said[key] = as_json(value)
    if answered.response_id:
        said[genai.RESPONSE_ID] = answered.response_id
    if answered.response_model:
        said[genai.RESPONSE_MODEL] = answered.response_model
    if answered.finish_reasons:
        said[genai.RESPONSE_FINISH_REASONS] = answered.finish_reasons


def _answers(draft: Draft, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if draft.options.version.finish_reason_in_messages:
        return said
    return [{k: v for k, v in message.items() if k != "finish_reason"} for message in said]


def tools(draft: Draft) -> None:
    """Say which tools the model was offered, where its request does not."""
    if genai.TOOL_DEFINITIONS not in draft.genai:
        defined = definitions(decode(draft.raw.get(keys.CHAT_TOOLS)))
        if defined:
            draft.genai[genai.TOOL_DEFINITIONS] = as_json(defined)


def tool_name(draft: Draft) -> None:
    """Say which tool was called, and by which call."""
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


def tool(draft: Draft) -> None:
    """Say which tool was called, with which arguments and result."""
    tool_name(draft)
    for key, written in (
        (genai.TOOL_CALL_ARGUMENTS, draft.given),
        (genai.TOOL_CALL_RESULT, draft.answered),
    ):
        if not written.is_nothing:
            draft.genai[key] = written.as_text()
    draft.rest_inputs = draft.rest_outputs = None


def retriever(draft: Draft) -> None:
    """Say what was searched for, and which documents came back."""
    query = retrieval.query(draft.inputs)
    if query is not None:
        draft.genai[genai.RETRIEVAL_QUERY] = query
        if retrieval.is_query_alone(draft.inputs):
            draft.rest_inputs = None
    if genai.RETRIEVAL_TOP_K in draft.options.version.added:
        number = retrieval.top_k(draft.inputs)
        if number is not None:
            draft.genai[genai.RETRIEVAL_TOP_K] = number
    retrieved = retrieval.documents(draft.outputs)
    if retrieved is not None:
        draft.documents = retrieved.documents
        draft.genai[genai.RETRIEVAL_DOCUMENTS] = as_json(retrieved.documents)
        draft.rest_outputs = retrieved.rest


def agent(draft: Draft) -> None:
    """Name the agent."""
    _named(draft, genai.AGENT_NAME)


def asked_of_agent(draft: Draft) -> None:
    """Read parameters and usage of an agent whose inputs and outputs are those of a model."""
    if draft.conversation is not None:
        calls.ask(draft)
        calls.use(draft)


def workflow(draft: Draft) -> None:
    """Name the workflow."""
    _named(draft, genai.WORKFLOW_NAME)


def _named(draft: Draft, key: str) -> None:
    named = draft.own.get(key) or draft.own.get("agent_name")
    draft.genai[key] = as_text(named or draft.view.name)


def prompts(draft: Draft) -> None:
    """Say which registered prompt was used."""
    linked = as_list(draft.raw.get(keys.LINKED_PROMPTS))
    first = as_dict(linked[0]) if linked else {}
    if first.get("name"):
        draft.genai[genai.PROMPT_NAME] = as_text(first["name"])
        if first.get("version") is not None:
            draft.genai[genai.PROMPT_VERSION] = as_text(first["version"])
        if len(linked) > 1 or first.keys() - {"name", "version"}:
            draft.own[keys.LINKED_PROMPTS] = as_json(linked)


def error(draft: Draft) -> None:
    """Say which error the span ended with."""
    if not draft.view.failed:
        return
    raised = [
        e.attributes.get(genai.EXCEPTION_TYPE)
        for e in draft.view.events
        if e.name == genai.EXCEPTION_EVENT
    ]
    named = next((decode(kind) for kind in reversed(raised) if kind), None)
    draft.genai[genai.ERROR_TYPE] = as_text(named) if named else genai.ERROR_TYPE_OTHER


def stream(draft: Draft) -> None:
    """Say that the answer was streamed, and how long its first chunk took."""
    ours = draft.view.made_by_mlflow
    first = next((e for e in draft.view.events if chunks.is_chunk(e, made_by_mlflow=ours)), None)
    if first is not None:
        draft.genai[genai.REQUEST_STREAM] = True
        waited = (first.timestamp - draft.view.start_time) / 1e9
        if waited >= 0:
            draft.genai[genai.RESPONSE_TIME_TO_FIRST_CHUNK] = waited


def function(draft: Draft) -> None:
    """Say which function was called."""
    called = draft.raw[keys.SPAN_FUNCTION_NAME]
    if called is not None:
        draft.own[genai.CODE_FUNCTION_NAME] = as_text(called)
