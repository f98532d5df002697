"""All of MLflow that scoring touches, of every supported version (``pyproject.toml``), either package.

``mlflow-tracing`` has no ``mlflow.genai``: plain functions are scorers there. A scorer of the full
package is called as its own ``run`` calls it, without that method: before 3.17 it has no timeout,
and from then on it starts one more thread for each call.
"""

from __future__ import annotations

import copy
import inspect
import math
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.export.mapped import attributes_of, made_by_mlflow
from mlflow_otel.mapping.values import decode, dumps
from mlflow_otel.scoring.definition import of_callable, of_mlflows
from mlflow_otel.scoring.identity import (
    SCORER_DIGEST,
    SCORER_NAME,
    SCORER_VERSION,
    assessment_id,
    digest_of,
    overridden,
)
from mlflow_otel.scoring.model import (
    OF_SESSIONS,
    PARAMETERS,
    Prepared,
    ScorerError,
    ScorerSamplingConfig,
)
from mlflow_otel.scoring.subject import Subject
from mlflow_otel.tracing.whole import EndedTrace

MAX_RESULTS: Final = 100
"""Assessments that one run of a scorer may return."""
MAX_STACK: Final = 4000
"""Characters of a stack trace."""
JUDGE_COST: Final = "mlflow.assessment.judgeCost"
"""In a feedback's metadata: what the judge's model has cost, in US dollars."""
DEFAULT_NAME: Final = "feedback"
"""What MLflow calls feedback without a name."""
DEFAULT_SOURCE: Final = "default"
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("OPENAI_API_KEY", "OPENAI_API_TYPE"),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
}
"""The variables of which a judge needs one, by the provider of its model."""


def sampling_config_class() -> type:
    """Return MLflow's ``ScorerSamplingConfig`` where it is installed, else the stand-in."""
    try:
        from mlflow.genai.scorers import ScorerSamplingConfig as Theirs  # noqa: PLC0415
    except ImportError:
        return ScorerSamplingConfig
    return Theirs  # type: ignore[no-any-return]


def _is_mlflows(scorer: object) -> bool:
    base = sys.modules.get("mlflow.genai.scorers.base")
    return base is not None and isinstance(scorer, base.Scorer)


def prepare(scorer: Any, name: str | None = None) -> Prepared:
    """Make a scorer ready to be called.

    Args:
        scorer: One of MLflow's, or any callable.
        name: For one without a name of its own.

    Raises:
        ScorerError: It cannot be called with what a trace has; the message says why.
    """
    theirs = _is_mlflows(scorer)
    if not callable(scorer):
        raise ScorerError(f"{type(scorer).__name__} is no scorer: it cannot be called")
    name = name or (scorer.name if theirs else getattr(scorer, "__name__", None))
    if not name or name == "<lambda>":
        raise ScorerError("A scorer needs a name: its function's, or start(…, name=…)")
    called = scorer.__call__ if theirs else scorer
    function = getattr(scorer, "_original_func", None) if theirs else None
    bodies = (called, scorer.__call__, function)
    if any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in bodies):
        raise ScorerError(f"The scorer {name!r} is an async function; make it a plain one")
    _check_key(name, _model_of(scorer) if theirs else None)
    timeout = getattr(scorer, "timeout", None) if theirs else None
    version = getattr(scorer, "scorer_version", None) if theirs else None
    parameters = _parameters(name, called)
    session = scorer.is_session_level_scorer if theirs else "session" in parameters
    definition = of_mlflows(scorer, function, name) if theirs else of_callable(scorer, name)
    return Prepared(
        name=name,
        call=scorer,
        takes=_takes(name, parameters, OF_SESSIONS if session else PARAMETERS),
        session=session,
        digest=digest_of(definition),
        version=None if version is None else str(version),
        seconds=None if timeout is None else float(timeout),
    )


def _model_of(scorer: Any) -> object:
    """Return the model that a judge asks; MLflow's own choice where it names none."""
    if not hasattr(scorer, "model"):
        return None
    if scorer.model is None:
        utils = sys.modules.get("mlflow.genai.judges.utils")
        default: Callable[[], object] | None = getattr(utils, "get_default_model", None)
        return None if default is None else default()
    return scorer.model


def _check_key(name: str, model: object) -> None:
    provider = model.partition(":")[0] if isinstance(model, str) else ""
    needed = KEYS.get(provider, ())
    if needed and not any(os.environ.get(variable) for variable in needed):
        raise ScorerError(
            f"The judge {name!r} asks {model}, so set {needed[0]} before it is started"
        )


def _parameters(name: str, called: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(called).parameters
    except (TypeError, ValueError):
        raise ScorerError(f"The scorer {name!r} has no signature: wrap it in a function") from None


def _takes(
    name: str, parameters: Mapping[str, inspect.Parameter], given: Sequence[str]
) -> frozenset[str]:
    """Return which of the values that are given a scorer takes.

    Raises:
        ScorerError: It wants more.
    """
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return frozenset(given)
    by_name = [
        p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    needed = [
        p.name
        for p in parameters.values()
        if p.default is p.empty
        and p.kind is not p.VAR_POSITIONAL
        and (p not in by_name or p.name not in given)
    ]
    if needed:
        raise ScorerError(
            f"The scorer {name!r} wants {', '.join(needed)}; scorers are given "
            f"{', '.join(given)}, by name"
        )
    return frozenset(p.name for p in by_name if p.name in given)


def argument(name: str, ended: EndedTrace) -> Any:
    """Return one of ``PARAMETERS``. Each call makes values of its own, to change as the scorer likes."""
    return ARGUMENTS[name](ended)


def _side(ended: EndedTrace, key: str) -> Any:
    """Return the inputs or outputs of the local root; of the topmost span of MLflow's below another's."""
    found = attributes_of(ended.root).get(key)
    if found is None and not made_by_mlflow(ended.root):
        ours = (span for span in ended.spans if made_by_mlflow(span))
        first = min(ours, key=_start, default=ended.root)
        found = attributes_of(first).get(key)
    return decode(found)


def _expectations(ended: EndedTrace) -> dict[str, Any] | None:
    found = {
        one.name: copy.deepcopy(one.expectation.value)
        for one in ended.assessments
        if getattr(one, "expectation", None) is not None
    }
    return found or None


def _start(span: ReadableSpan) -> int:
    return span.start_time or 0


def trace_of(ended: EndedTrace) -> Any:
    """Return a trace as ``mlflow.get_trace`` would, with the spans that ended in this process.

    The local root is the trace's root here, also when its parent is another process's.
    """
    from mlflow.entities import (  # noqa: PLC0415
        Span,
        Trace,
        TraceData,
        TraceInfo,
        TraceLocation,
        TraceState,
    )

    context, root = ended.context(), ended.root
    metadata = {key: str(value) for key, value in context.metadata.items()}
    for key, numbers in (
        (keys.METADATA_TOKEN_USAGE, context.token_usage),
        (keys.METADATA_COST, context.cost),
    ):
        if numbers:
            metadata.setdefault(key, dumps(dict(numbers)))
    trace_id = context.trace_id or f"tr-{ended.trace_id:032x}"
    began = min(_start(span) for span in ended.spans)
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(context.experiment_id),
        request_time=began // 1_000_000,
        execution_duration=max((root.end_time or 0) - began, 0) // 1_000_000,
        state=TraceState(context.state or "STATE_UNSPECIFIED"),
        request_preview=context.request_preview,
        response_preview=context.response_preview,
        client_request_id=context.client_request_id,
        trace_metadata=metadata,
        tags={key: str(value) for key, value in context.tags.items()},
        assessments=[copy.deepcopy(one) for one in ended.assessments],
    )
    spans = sorted(ended.spans, key=_start)
    return Trace(info, TraceData(spans=[Span(_shown(span, root, trace_id)) for span in spans]))


def _shown(span: ReadableSpan, root: ReadableSpan, trace_id: str) -> ReadableSpan:
    """Return a span as MLflow reads it: attributes in JSON, the local root without a parent."""
    theirs = made_by_mlflow(span)
    parent = None if span is root else span.parent
    if theirs and parent is span.parent:
        return span
    attributes = dict(attributes_of(span))
    if not theirs:
        attributes = {
            key: value if key.startswith(keys.RESERVED_PREFIX) else dumps(value)
            for key, value in attributes.items()
        }
        attributes.setdefault(keys.TRACE_REQUEST_ID, dumps(trace_id))
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=parent,
        resource=span.resource,
        attributes=attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


ARGUMENTS: Final[Mapping[str, Callable[[EndedTrace], Any]]] = {
    "inputs": lambda ended: _side(ended, keys.SPAN_INPUTS),
    "outputs": lambda ended: _side(ended, keys.SPAN_OUTPUTS),
    "expectations": _expectations,
    "trace": trace_of,
}
"""How each parameter of a scorer is filled."""


def feedbacks(prepared: Prepared, subject: Subject, value: Any) -> list[Any]:
    """Return what a scorer said as MLflow's ``Feedback``, with IDs, sources and the scorer's digest.

    Raises:
        ScorerError: It is nothing that a scorer may return.
    """
    numbers: Counter[str] = Counter()  # by name, so that one more result changes no other's ID
    return [_named(prepared, subject, one, numbers) for one in _standard(prepared.name, value)]


def _standard(name: str, value: Any) -> list[Any]:
    from mlflow.entities import Feedback  # noqa: PLC0415

    if value is None:
        return []
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(items) > MAX_RESULTS:
        raise ScorerError(f"it returned {len(items)} assessments; {MAX_RESULTS} are allowed")
    for one in items:
        if not isinstance(one, (Feedback, int, float, str)):
            raise ScorerError(
                f"it returned {type(one).__module__}.{type(one).__qualname__}; a scorer returns a number, a bool, a text, "
                "Feedback, or a list of these"
            )
    return [
        copy.copy(one) if isinstance(one, Feedback) else Feedback(name=name, value=one)
        for one in items
    ]


def failure(prepared: Prepared, subject: Subject, error: BaseException) -> Any:
    """Return the feedback that says that a scorer failed: its error's type is the exception's."""
    from mlflow.entities import AssessmentError, Feedback  # noqa: PLC0415

    stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    said = AssessmentError(
        error_code=type(error).__name__,
        error_message=_words(error)[:MAX_STACK],
        stack_trace=stack[-MAX_STACK:],
    )
    return _named(prepared, subject, Feedback(name=prepared.name, error=said), Counter())


def _words(error: BaseException) -> str:
    """Return what an exception says; one that cannot say it has its type alone."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def _named(prepared: Prepared, subject: Subject, feedback: Any, numbers: Counter[str]) -> Any:
    from mlflow.entities import AssessmentSource  # noqa: PLC0415

    if not feedback.name or feedback.name == DEFAULT_NAME:
        feedback.name = prepared.name
    source = feedback.source
    if source is None or (source.source_type, source.source_id) == ("CODE", DEFAULT_SOURCE):
        feedback.source = AssessmentSource(source_type="CODE", source_id=prepared.name)
    made_by = {SCORER_NAME: prepared.name, SCORER_DIGEST: prepared.digest}
    if prepared.version is not None:
        made_by[SCORER_VERSION] = prepared.version
    feedback.metadata = {**(feedback.metadata or {}), **subject.metadata, **made_by}
    feedback.assessment_id = assessment_id(
        subject.trace_id, prepared.name, prepared.digest, feedback.name, numbers[feedback.name]
    )
    numbers[feedback.name] += 1
    if feedback.overrides is None:
        feedback.overrides = overridden(subject.said, prepared.name, prepared.digest, feedback.name)
    feedback.trace_id = subject.trace_id
    return feedback


def error_of(results: Sequence[Any]) -> str | None:
    """Return the type of the error that a scorer itself reports, when that is all it says."""
    codes = [getattr(one.error, "error_code", None) for one in results]
    return next(iter(codes), None) if all(codes) else None


def costs_unknown(results: Iterable[Any]) -> bool:
    """Tell whether a judge has answered and does not say what that has cost."""
    return any(
        one.source.source_type == "LLM_JUDGE"
        and one.error is None
        and JUDGE_COST not in (one.metadata or {})
        for one in results
    )


def cost_of(results: Iterable[Any]) -> float:
    """Return what a run has cost in US dollars, as far as its results say."""
    total = 0.0
    for one in results:
        try:
            cost = float((one.metadata or {}).get(JUDGE_COST) or 0.0)
        except (TypeError, ValueError):
            continue
        total += cost if math.isfinite(cost) else 0.0
    return total
