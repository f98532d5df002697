"""What the mapping's steps know of one span so far."""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping import span_types
from mlflow_otel.mapping.model import Conversation, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.written import Written

NOTHING: Final = Written(None)


class Draft:
    """What the steps know so far.

    Args:
        view: The span's plain values.
        trace: What is known of its trace.
        options: How to map.
    """

    __slots__ = (
        "answered",
        "conversation",
        "documents",
        "failures",
        "genai",
        "given",
        "message_format",
        "options",
        "own",
        "parameters",
        "raw",
        "rest_inputs",
        "rest_outputs",
        "row",
        "span_type",
        "trace",
        "treated_as",
        "view",
    )

    def __init__(self, view: SpanView, trace: TraceContext, options: MappingOptions) -> None:
        self.view = view
        self.trace = trace
        self.options = options
        self.raw: dict[str, Any] = {}  # what MLflow wrote for itself, decoded
        self.own: dict[str, Any] = {}  # what the app and its instrumentation wrote
        self.genai: dict[str, Any] = {}
        self.span_type = "UNKNOWN"
        self.treated_as = "UNKNOWN"  # the type that the span's content shows
        self.row = span_types.OTHER
        self.message_format: Any = None
        self.given = self.answered = NOTHING  # the inputs and outputs, as MLflow wrote them
        self.rest_inputs: Any = NOTHING  # what of them leaves under MLflow's keys
        self.rest_outputs: Any = NOTHING
        self.conversation: Conversation | None = None
        self.parameters: dict[str, Any] = {}  # a call's, by their names on the wire
        self.documents: list[dict[str, Any]] | None = None
        self.failures: list[str] = []  # of a part of a step, which went on without it

    @property
    def inputs(self) -> Any:
        """What the inputs say."""
        return self.given.value

    @property
    def outputs(self) -> Any:
        """What the outputs say."""
        return self.answered.value
