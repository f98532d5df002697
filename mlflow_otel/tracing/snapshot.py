"""A trace's context, as it was when its spans were released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of
from mlflow_otel.mapping import usage
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.trace import previews
from mlflow_otel.mapping.values import as_dict, decode
from mlflow_otel.tracing.mlflow_adapter import TraceFacts


def known_context(facts: TraceFacts) -> TraceContext:
    """Return a trace's context as far as MLflow knew it, without what its spans say."""
    return TraceContext(
        trace_id=facts.trace_id,
        client_request_id=facts.client_request_id,
        tags=facts.tags,
        metadata=facts.metadata,
        experiment_id=facts.experiment_id,
        experiment_name=facts.experiment_name,
        state=facts.state,
        request_preview=facts.request_preview,
        response_preview=facts.response_preview,
    )


class Snapshot:
    """A trace's context at the moment when its spans are released. It is worked out when it is first read.

    Args:
        facts: What MLflow knew.
        root: The local root, if it ended.
        spans: The spans that were released.
        cost: Works out a span's cost from its raw attributes.
    """

    __slots__ = ("_context", "_cost", "_facts", "_root", "_spans")

    def __init__(
        self,
        facts: TraceFacts,
        root: ReadableSpan | None,
        spans: Sequence[ReadableSpan],
        cost: Callable[[Mapping[str, Any]], Mapping[str, float]],
    ) -> None:
        self._cost = cost
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

    def forget_spans(self) -> None:
        """Drop the references to spans: nobody reads them. What MLflow knew stays, for late spans."""
        self._spans, self._root = (), None

    def _work_out(self, spans: Sequence[ReadableSpan], root: ReadableSpan | None) -> TraceContext:
        facts = self._facts
        state = facts.state
        if root is not None and state in (None, "IN_PROGRESS", "STATE_UNSPECIFIED"):
            state = "ERROR" if root.status.status_code is StatusCode.ERROR else "OK"
        attributes = attributes_of(root) if root is not None else {}
        request, response = previews(
            attributes.get(keys.SPAN_INPUTS), attributes.get(keys.SPAN_OUTPUTS)
        )
        parents = {
            span.context.span_id: None if span.parent is None else span.parent.span_id
            for span in spans
        }
        return replace(
            known_context(facts),
            state=state,
            request_preview=facts.request_preview or request,
            response_preview=facts.response_preview or response,
            token_usage=as_dict(decode(facts.metadata.get(keys.METADATA_TOKEN_USAGE)))
            or usage.sum_tokens(_numbers(spans, keys.CHAT_TOKEN_USAGE, lambda _: {}), parents),
            cost=as_dict(decode(facts.metadata.get(keys.METADATA_COST)))
            or usage.sum_cost(_numbers(spans, keys.LLM_COST, self._cost), parents),
        )


def _numbers(
    spans: Sequence[ReadableSpan],
    key: str,
    otherwise: Callable[[Mapping[str, Any]], Mapping[str, float]],
) -> usage.Numbers:
    """Return the spans' numbers under ``key``."""
    numbers = {}
    for span in spans:
        attributes = attributes_of(span)
        found = decode(attributes[key]) if key in attributes else otherwise(attributes)
        if found and isinstance(found, Mapping):
            numbers[span.context.span_id] = found
    return numbers
