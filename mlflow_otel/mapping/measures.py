"""What is measured of spans and traces: the GenAI convention's client metrics, and MLflow's of traces.

Source: the metrics of open-telemetry/semantic-conventions-genai (summer 2026, *Development*), with the
attributes that OpenTelemetry's own ``opentelemetry-util-genai`` 1.3b0 gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.conventions.versions import RELEASED, Version
from mlflow_otel.mapping.model import SpanView, TraceContext
from mlflow_otel.mapping.span import outline

CLIENT: Final = (
    genai.OPERATION_NAME,
    genai.PROVIDER_NAME,
    genai.REQUEST_MODEL,
    genai.RESPONSE_MODEL,
)
TOOL: Final = (genai.TOOL_NAME, genai.TOOL_TYPE, genai.AGENT_NAME)
AGENT: Final = (genai.AGENT_NAME, genai.REQUEST_MODEL)
WORKFLOW: Final = (genai.WORKFLOW_NAME,)

MODEL_CALLS: Final = frozenset({"chat", "text_completion", "generate_content"})

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((*sorted(MODEL_CALLS), "embeddings", "retrieval"), CLIENT),
    "execute_tool": TOOL,
    "invoke_agent": AGENT,
    "invoke_workflow": WORKFLOW,
}
"""The attributes that each operation's metrics have beside ``error.type``."""
DURATIONS: Final[Mapping[str, str]] = {
    "retrieval": genai.CLIENT_OPERATION_DURATION,
    "execute_tool": genai.EXECUTE_TOOL_DURATION,
    "invoke_agent": genai.INVOKE_AGENT_DURATION,
    "invoke_workflow": genai.INVOKE_WORKFLOW_DURATION,
}
"""How long each operation took, where all versions of the conventions say the same."""

TOKENS: Final = {"input": genai.USAGE_INPUT_TOKENS, "output": genai.USAGE_OUTPUT_TOKENS}
TOTAL_COST: Final = keys.LLM_COST_PREFIX + "total_cost"
TOKEN_KEYS: Final = (
    *TOKENS.values(),
    genai.USAGE_CACHE_READ,
    genai.USAGE_CACHE_WRITE,
    genai.USAGE_REASONING,
)

KEYS_FROM_INNER_SPANS: Final = frozenset(
    {*CLIENT, *TOKEN_KEYS, TOTAL_COST, genai.RESPONSE_TIME_TO_FIRST_CHUNK}
) - {genai.OPERATION_NAME}
"""What the outer span of a call takes over from an inner one."""


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


class MeasuredSpan(NamedTuple):
    """A span to measure.

    Args:
        view: Its plain values; None where ``known`` says what is counted.
        span_id: Its ID.
        parent_id: Its parent's.
        seconds: How long it took.
        known: Its outline, when it was mapped already.
    """

    view: SpanView | None
    span_id: int
    parent_id: int | None
    seconds: float
    known: Mapping[str, Any] | None = None


def measures_of_spans(
    spans: Sequence[MeasuredSpan], version: Version = RELEASED
) -> list[tuple[int, Measure]]:
    """Return what is measured of a trace's spans, each with the index of its span.

    A call of a model that another span of its call stands for is not measured again: LangChain's
    ``ChatOpenAI`` over OpenAI's ``Completions``, say, or Gemini's ``generate_content``, which MLflow
    traces twice. The outer one counts, with what only an inner one says.

    Args:
        spans: The spans, in the order they ended.
        version: Of the GenAI conventions, whose metrics they become.
    """
    outlines = {
        one.span_id: said
        for one in spans
        if (said := _outline(one)).get(genai.OPERATION_NAME) in ATTRIBUTES
    }
    measures = []
    counted: list[int] = []
    # Parents last, as spans end: what an inner one says has reached the outer one by then.
    for index, one in enumerate(spans):
        if one.span_id not in outlines:
            continue
        said = outlines[one.span_id]
        around = outlines.get(one.parent_id or 0)
        if around is not None and _calls_a_model(said) and _calls_a_model(around):
            for key in KEYS_FROM_INNER_SPANS & said.keys():
                around.setdefault(key, said[key])
        else:
            counted.append(one.span_id)
            measures += [(index, measure) for measure in _measures(said, one.seconds, version)]
    if version.agent_calls:
        measures += _agents_calls(spans, outlines, counted, version.agent_calls)
    return measures


def _outline(one: MeasuredSpan) -> dict[str, Any]:
    if one.known is not None:
        return dict(one.known)
    # The measures of other libraries' spans are their own instrumentation's.
    return outline(one.view) if one.view is not None and one.view.made_by_mlflow else {}


def _calls_a_model(said: Mapping[str, Any]) -> bool:
    return said[genai.OPERATION_NAME] in MODEL_CALLS


def _measures(said: Mapping[str, Any], seconds: float, version: Version) -> Iterator[Measure]:
    operation = said[genai.OPERATION_NAME]
    names = ATTRIBUTES[operation]
    about = {name: said[name] for name in names if name in said}
    failed = said.get(genai.ERROR_TYPE)
    if operation in MODEL_CALLS:
        duration = version.inference_duration
    elif operation == "embeddings":
        duration = version.embeddings_duration
    else:
        duration = DURATIONS[operation]
    yield Measure(
        duration, seconds, about if failed is None else {**about, genai.ERROR_TYPE: failed}
    )
    if names is not CLIENT:
        return  # tokens and cost are counted where the model is called
    yield from _tokens(operation, said, about, version)
    if genai.RESPONSE_TIME_TO_FIRST_CHUNK in said:
        first = said[genai.RESPONSE_TIME_TO_FIRST_CHUNK]
        yield Measure(version.first_chunk, first, dict(about))
    if TOTAL_COST in said:
        yield Measure(keys.COST, said[TOTAL_COST], dict(about))


def _tokens(
    operation: str, said: Mapping[str, Any], about: Mapping[str, Any], version: Version
) -> Iterator[Measure]:
    if version.token_usage is not None:
        for kind, attribute in TOKENS.items():
            if attribute in said:
                yield Measure(
                    version.token_usage, said[attribute], {**about, genai.TOKEN_TYPE: kind}
                )
        return
    if operation in MODEL_CALLS:
        for attribute, metric in version.token_counters.items():
            # A call without usage counts as 0 of what every call has, so that rates have a base.
            if attribute in said or attribute in version.token_histograms:
                spent = {**about, genai.TOKEN_MODALITY: "unknown"}
                yield Measure(metric, said.get(attribute, 0), spent)
        if genai.ERROR_TYPE not in said:
            for attribute, metric in version.token_histograms.items():
                if attribute in said:
                    yield Measure(metric, said[attribute], dict(about))
        return
    spent_by_embedding = said.get(genai.USAGE_INPUT_TOKENS) if operation == "embeddings" else None
    if spent_by_embedding is not None and version.embeddings_tokens is not None:
        yield Measure(version.embeddings_tokens, spent_by_embedding, dict(about))


def _agents_calls(
    spans: Sequence[MeasuredSpan],
    outlines: Mapping[int, Mapping[str, Any]],
    counted: Sequence[int],
    metrics: Mapping[str, str],
) -> Iterator[tuple[int, Measure]]:
    """Yield how many calls of models and tools each agent made itself."""
    parents = {one.span_id: one.parent_id for one in spans}
    places = {one.span_id: index for index, one in enumerate(spans)}
    agents = {s for s in counted if outlines[s][genai.OPERATION_NAME] == "invoke_agent"}
    calls = {agent: dict.fromkeys(metrics, 0) for agent in agents}
    for span_id in counted:
        operation = outlines[span_id][genai.OPERATION_NAME]
        kind = (
            "model" if operation in MODEL_CALLS else "tool" if operation == "execute_tool" else None
        )
        if kind is None:
            continue
        above, seen = parents.get(span_id), set[int]()
        while above is not None and above not in agents and above not in seen:
            seen.add(above)
            above = parents.get(above)
        if above in calls:
            calls[above][kind] += 1
    for agent, made in calls.items():
        said = outlines[agent]
        about = {name: said[name] for name in AGENT if name in said}
        for kind, number in made.items():
            yield places[agent], Measure(metrics[kind], number, dict(about))


def measures_of_trace(context: TraceContext, name: str, seconds: float) -> list[Measure]:
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
