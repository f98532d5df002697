"""What is measured of spans and traces: the GenAI convention's client metrics, and MLflow's of traces.

Source: the metrics of open-telemetry/semantic-conventions-genai (summer 2026, *Development*), with the
attributes that OpenTelemetry's own ``opentelemetry-util-genai`` 1.3b0 gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.model import SpanView, TraceContext
from mlflow_otel.mapping.span import outline

CLIENT: Final = (genai.OPERATION_NAME, genai.PROVIDER_NAME, genai.REQUEST_MODEL, genai.RESPONSE_MODEL)  # fmt: skip
TOOL: Final = (genai.TOOL_NAME, genai.TOOL_TYPE, genai.AGENT_NAME)
AGENT: Final = (genai.AGENT_NAME, genai.REQUEST_MODEL)
WORKFLOW: Final = (genai.WORKFLOW_NAME,)

DURATIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "chat": (genai.CLIENT_OPERATION_DURATION, CLIENT),
    "text_completion": (genai.CLIENT_OPERATION_DURATION, CLIENT),
    "generate_content": (genai.CLIENT_OPERATION_DURATION, CLIENT),
    "embeddings": (genai.CLIENT_OPERATION_DURATION, CLIENT),
    "retrieval": (genai.CLIENT_OPERATION_DURATION, CLIENT),
    "execute_tool": (genai.EXECUTE_TOOL_DURATION, TOOL),
    "invoke_agent": (genai.INVOKE_AGENT_DURATION, AGENT),
    "invoke_workflow": (genai.INVOKE_WORKFLOW_DURATION, WORKFLOW),
}
"""The duration of each operation, and the attributes it has beside ``error.type``."""

MODEL_CALLS: Final = frozenset({"chat", "text_completion", "generate_content"})

TOKENS: Final = {"input": genai.USAGE_INPUT_TOKENS, "output": genai.USAGE_OUTPUT_TOKENS}
TOTAL_COST: Final = keys.LLM_COST_PREFIX + "total_cost"

SAID: Final = frozenset(
    {*CLIENT, *TOKENS.values(), TOTAL_COST, genai.RESPONSE_TIME_TO_FIRST_CHUNK}
) - {genai.OPERATION_NAME}
"""What an inner span of a call may say for the outer one."""


class Measure(NamedTuple):
    """One measured value.

    Args:
        name: The metric's.
        value: In the metric's unit.
        attributes: Few values each: never a trace, a session or a user.
    """

    name: str
    value: float
    attributes: dict[str, Any]


class Timed(NamedTuple):
    """A span to measure: its plain values, its place in the trace, how long it took in seconds."""

    view: SpanView
    span_id: int
    parent_id: int | None
    seconds: float


def of_spans(spans: Sequence[Timed]) -> list[tuple[int, Measure]]:
    """Return what is measured of a trace's spans, each with the index of its span.

    A call of a model that another span of its call stands for is not measured again: LangChain's
    ``ChatOpenAI`` over OpenAI's ``Completions``, say, or Gemini's ``generate_content``, which MLflow
    traces twice. The outer one counts, with what only an inner one says.
    """
    outlines = {
        one.span_id: found
        for one in spans
        if one.view.made_by_mlflow  # the measures of others are their own instrumentation's
        and (found := outline(one.view)).get(genai.OPERATION_NAME) in DURATIONS
    }
    measures = []
    # Parents last, as spans end: what an inner one says has reached the outer one by then.
    for index, one in enumerate(spans):
        if one.span_id not in outlines:
            continue
        found = outlines[one.span_id]
        around = outlines.get(one.parent_id or 0)
        if around is not None and _calls_a_model(found) and _calls_a_model(around):
            for key in SAID & found.keys():
                around.setdefault(key, found[key])
        else:
            measures += [(index, measure) for measure in _measures(found, one.seconds)]
    return measures


def _calls_a_model(found: Mapping[str, Any]) -> bool:
    return found[genai.OPERATION_NAME] in MODEL_CALLS


def _measures(found: Mapping[str, Any], seconds: float) -> Iterator[Measure]:
    duration, names = DURATIONS[found[genai.OPERATION_NAME]]
    about = {name: found[name] for name in names if name in found}
    failed = found.get(genai.ERROR_TYPE)
    yield Measure(duration, seconds, about if failed is None else {**about, genai.ERROR_TYPE: failed})  # fmt: skip
    if names is not CLIENT:
        return  # tokens and cost are counted where the model is called
    for kind, attribute in TOKENS.items():
        if attribute in found:
            yield Measure(genai.CLIENT_TOKEN_USAGE, found[attribute], {**about, genai.TOKEN_TYPE: kind})  # fmt: skip
    if genai.RESPONSE_TIME_TO_FIRST_CHUNK in found:
        first = found[genai.RESPONSE_TIME_TO_FIRST_CHUNK]
        yield Measure(genai.CLIENT_TIME_TO_FIRST_CHUNK, first, dict(about))
    if TOTAL_COST in found:
        yield Measure(keys.COST, found[TOTAL_COST], dict(about))


def of_trace(context: TraceContext, name: str, seconds: float) -> list[Measure]:
    """Return what is measured of a trace that ended.

    Args:
        context: What is known of it.
        name: Its local root's, for a trace that MLflow gave no name.
        seconds: How long the local root took.
    """
    about = {
        keys.TRACE_NAME: context.tags.get(keys.TAG_TRACE_NAME) or name,
        keys.TRACE_STATE: context.state,
    }
    about = {key: value for key, value in about.items() if value is not None}
    measures = [Measure(keys.TRACE_COUNT, 1, about), Measure(keys.TRACE_DURATION, seconds, about)]
    cost = context.cost.get("total_cost")
    if cost is not None:
        measures.append(Measure(keys.TRACE_COST, cost, about))
    return [Measure(name, value, dict(attributes)) for name, value, attributes in measures]
