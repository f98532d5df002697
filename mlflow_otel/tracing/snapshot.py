"""A trace's context, as it was when its spans were released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of
from mlflow_otel.mapping import usage
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.trace import previews
from mlflow_otel.mapping.values import as_dict, decode
from mlflow_otel.tracing import store
from mlflow_otel.tracing.mlflow_adapter import TraceFacts


class Said(NamedTuple):
    """What a trace's spans say of it.

    Args:
        state: Where MLflow knew none that is final.
        previews: Short forms of the root's inputs and outputs.
        token_usage: Sums over the spans, by MLflow's keys.
        cost: Sums in USD, by MLflow's keys.
    """

    state: str | None = None
    previews: tuple[str | None, str | None] = (None, None)
    token_usage: Mapping[str, int] = {}
    cost: Mapping[str, float] = {}


NOTHING_SAID = Said()


def known_context(facts: TraceFacts, said: Said = NOTHING_SAID) -> TraceContext:
    """Return a trace's context: what MLflow knew of it, and what its spans say."""
    request, response = said.previews
    return TraceContext(
        trace_id=facts.trace_id,
        client_request_id=facts.client_request_id,
        tags=facts.tags,
        metadata=facts.metadata,
        experiment_id=facts.experiment_id,
        experiment_name=store.experiment_name(facts.experiment_id) or facts.experiment_name,
        state=said.state or facts.state,
        request_preview=facts.request_preview or request,
        response_preview=facts.response_preview or response,
        token_usage=said.token_usage,
        cost=said.cost,
    )


class Snapshot:
    """A trace's context at the moment when its spans are released. It is worked out when it is first read.

    Args:
        facts: What MLflow knew.
        root: The local root, if it ended.
        spans: The spans that were released.
        cost: Works out a span's cost from its raw attributes.
        learn_name: Sees to it that the experiment's name is known; may wait for a moment.
    """

    __slots__ = ("_context", "_cost", "_facts", "_learn_name", "_root", "_spans")

    def __init__(
        self,
        facts: TraceFacts,
        root: ReadableSpan | None,
        spans: Sequence[ReadableSpan],
        cost: Callable[[Mapping[str, Any]], Mapping[str, float]],
        learn_name: Callable[[str | None], None],
    ) -> None:
        self._cost = cost
        self._learn_name = learn_name
        self._facts = facts
        self._root = root
        self._spans: Sequence[ReadableSpan] = spans
        self._context: TraceContext | None = None

    def __call__(self) -> TraceContext:
        """Return the context."""
        spans, root = (
            self._spans,
            self._root,
        )  # before the look at the context: another thread may work it out meanwhile
        context = self._context
        if context is None:
            context = self._context = self._work_out(spans, root)
            self._spans, self._root = (), None
        return context

    def over(self, root: ReadableSpan, spans: Sequence[ReadableSpan]) -> Snapshot:
        """Return the context of the same trace with other spans: all of them, where these are a part."""
        return Snapshot(self._facts, root, spans, self._cost, self._learn_name)

    def forget_spans(self) -> None:
        """Drop the references to spans: nobody reads them. What MLflow knew stays, for late spans."""
        self._spans, self._root = (), None

    def _work_out(self, spans: Sequence[ReadableSpan], root: ReadableSpan | None) -> TraceContext:
        facts, metadata = self._facts, self._facts.metadata
        self._learn_name(facts.experiment_id)
        state = None
        if root is not None and facts.state in UNFINISHED:
            state = "ERROR" if root.status.status_code is StatusCode.ERROR else "OK"
        shown: tuple[str | None, str | None] = (None, None)
        if root is not None and not (facts.request_preview and facts.response_preview):
            held = attributes_of(root)
            shown = previews(held.get(keys.SPAN_INPUTS), held.get(keys.SPAN_OUTPUTS))
        tokens = as_dict(decode(metadata.get(keys.METADATA_TOKEN_USAGE)))
        cost = as_dict(decode(metadata.get(keys.METADATA_COST)))
        if not (tokens and cost):
            used, paid, parents = _numbers(spans, self._cost)
            tokens = tokens or usage.sum_tokens(used, parents)
            cost = cost or usage.sum_cost(paid, parents)
        return known_context(facts, Said(state, shown, tokens, cost))


UNFINISHED = frozenset({None, "IN_PROGRESS", "STATE_UNSPECIFIED"})


def _numbers(
    spans: Sequence[ReadableSpan], cost_of: Callable[[Mapping[str, Any]], Mapping[str, float]]
) -> tuple[usage.Numbers, usage.Numbers, usage.Parents]:
    """Return the spans' tokens, their cost, and their parents."""
    tokens, costs, parents = {}, {}, {}
    for span in spans:
        span_id, parent = span.context.span_id, span.parent
        parents[span_id] = None if parent is None else parent.span_id
        attributes = attributes_of(span)
        if keys.CHAT_TOKEN_USAGE in attributes:
            used = decode(attributes[keys.CHAT_TOKEN_USAGE])
            if used and isinstance(used, dict):
                tokens[span_id] = used
        elif keys.LLM_COST not in attributes:
            continue
        paid = (
            decode(attributes[keys.LLM_COST])
            if keys.LLM_COST in attributes
            else cost_of(attributes)
        )
        if paid and isinstance(paid, Mapping):
            costs[span_id] = paid
    return tokens, costs, parents
