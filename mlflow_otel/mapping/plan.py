"""Which steps a span takes, in which order. Each is free to fail without taking the span with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping import calls, steps
from mlflow_otel.mapping.draft import Draft

Step = Callable[[Draft], None]

FIRST_STEPS: Final[tuple[Step, ...]] = (steps.read, calls.prepare, steps.model, steps.operation)
TYPE_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "CHAT_MODEL": (steps.messages, calls.ask, calls.answer, calls.use),
    "LLM": (steps.llm, steps.messages, calls.ask, calls.answer, calls.use),
    "EMBEDDING": (calls.ask, calls.use_of_embedding),
    "AGENT": (steps.agent, steps.messages, steps.asked_of_agent),
    "WORKFLOW": (steps.workflow,),
    "TOOL": (steps.tool,),
    "RETRIEVER": (steps.retriever,),
    "MEMORY": (steps.memory,),
}
"""The steps for each span type."""
NUMBER_STEPS: Final = ((keys.CHAT_TOKEN_USAGE, steps.tokens), (keys.LLM_COST, steps.cost))
"""Steps for MLflow's own counts. They come before the response's usage."""
KEY_STEPS: Final[tuple[tuple[str, Step], ...]] = (
    (keys.CHAT_TOOLS, steps.tools),
    (keys.LINKED_PROMPTS, steps.prompts),
    (keys.SPAN_FUNCTION_NAME, steps.function),
)
"""Steps for single attributes of MLflow's. They come after the steps of the type."""
ASKED_FOR: Final = frozenset(key for key, _ in (*NUMBER_STEPS, *KEY_STEPS))
OUTLINE_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    **TYPE_STEPS,
    "CHAT_MODEL": (calls.answer, calls.use),
    "LLM": (steps.llm, calls.answer, calls.use),
    "AGENT": (steps.agent,),
    "TOOL": (steps.tool_name,),
    "RETRIEVER": (),
}
EVENT_STEPS: Final[tuple[Step, ...]] = (steps.error, steps.stream)


def understand(draft: Draft) -> list[str]:
    """Take the steps for what MLflow wrote; return the names of those that failed."""
    failures = run(FIRST_STEPS, draft)
    taken = TYPE_STEPS.get(draft.treated_as, ())
    if not ASKED_FOR.isdisjoint(draft.raw):  # most spans are of no model
        numbers = [step for key, step in NUMBER_STEPS if key in draft.raw]
        taken = (*numbers, *taken, *(step for key, step in KEY_STEPS if key in draft.raw))
    return failures + run(taken, draft) if taken else failures


def run(steps: Iterable[Step], draft: Draft) -> list[str]:
    """Take steps; return the names of those that failed."""
    failures = []
    for step in steps:
        try:
            step(draft)
        except Exception as error:
            failures.append(f"{step.__name__}: {type(error).__name__}")
    return failures
