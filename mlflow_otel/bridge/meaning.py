"""What a trace's spans say of the trace where its ``TraceInfo`` does not: state, previews, sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mlflow_otel.bridge.span_message import plain, written
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import usage
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.mapping.trace import previews
from mlflow_otel.mapping.values import decode


def meaning_of(known: TraceContext, spans: Sequence[tuple[Span, bool]]) -> TraceContext:
    """Return a trace's context, with the gaps filled from its spans.

    Args:
        known: What the client said of the trace.
        spans: The spans that leave, each with whether its attributes are decoded.
    """
    root, decoded = next(((s, d) for s, d in spans if not any(s.parent_span_id)), (None, False))
    state, request, response = known.state, known.request_preview, known.response_preview
    if root is not None:
        if state in (None, "IN_PROGRESS", "STATE_UNSPECIFIED"):
            state = "ERROR" if root.status.code == Status.STATUS_CODE_ERROR else "OK"
        if request is None or response is None:
            shown = previews(*(_value(root, key, decoded) for key in SIDES))
            request, response = request or shown[0], response or shown[1]
    parents = {_id(s.span_id): _id(s.parent_span_id) or None for s, _ in spans}
    return replace(
        known,
        state=state,
        request_preview=request,
        response_preview=response,
        token_usage=known.token_usage
        or usage.sum_tokens(_numbers(spans, keys.CHAT_TOKEN_USAGE), parents),
        cost=known.cost or usage.sum_cost(_numbers(spans, keys.LLM_COST), parents),
        memo=[],
    )


SIDES = (keys.SPAN_INPUTS, keys.SPAN_OUTPUTS)


def _numbers(spans: Sequence[tuple[Span, bool]], key: str) -> dict[int, dict[str, Any]]:
    found = ((_id(span.span_id), decode(_value(span, key, decoded))) for span, decoded in spans)
    return {identity: value for identity, value in found if value and isinstance(value, dict)}


def _value(span: Span, key: str, decoded: bool) -> Any:
    for pair in span.attributes:
        if pair.key == key:
            return written(plain(pair.value)) if decoded else plain(pair.value)
    return None


def _id(encoded: bytes) -> int:
    return int.from_bytes(encoded, "big")
