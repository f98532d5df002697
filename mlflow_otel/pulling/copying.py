"""One trace of a tracking server as OTLP: mapped as the bridge maps it, with its own IDs and times."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mlflow_otel.bridge import answers, assessments, trace_info, traces_json
from mlflow_otel.bridge.intake import PYTHON
from mlflow_otel.bridge.joining import Arrival, Leaving
from mlflow_otel.bridge.leaving import Mapper, resource_with_service
from mlflow_otel.bridge.meaning import meaning_of
from mlflow_otel.bridge.trace_info import MalformedError, TraceInfo
from mlflow_otel.mapping import trace
from mlflow_otel.mapping.assessment import KINDS, AssessmentView
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.otlp.envelope import Group
from mlflow_otel.otlp.evaluation import Evaluation
from mlflow_otel.pulling.records import Judged, Record, digest

OF_THE_SERVER: Final = frozenset({"mlflow.artifactLocation", answers.SPANS_LOCATION})
"""Tags that say where the server has something."""


class Copied(NamedTuple):
    """What leaves of a trace.

    Args:
        spans: Its spans, and the one that tells of changed tags.
        evaluations: Its assessments.
        record: What is then known to have been sent.
    """

    spans: list[Group]
    evaluations: list[Evaluation]
    record: Record


def read_spans(spans: Sequence[Any]) -> list[Arrival]:
    """Return spans that the server's store gave.

    Raises:
        MalformedError: They are none.
    """
    try:
        read = [json_format.ParseDict(s, Span(), ignore_unknown_fields=True) for s in spans]
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        raise MalformedError(f"its spans cannot be read: {type(error).__name__}") from error
    return [Arrival(span, PYTHON, decoded=True) for span in read]


def read_file(body: Any, trace_id: int) -> list[Arrival]:
    """Return spans that stand in a file.

    Raises:
        MalformedError: It is none.
    """
    spans, decoded = traces_json.read(body, trace_id)
    return [Arrival(span, PYTHON if not decoded else b"", decoded) for span in spans]


def record_of(info: TraceInfo) -> Record:
    """Return what is sent of a trace when all of it is."""
    tags = {k: v for k, v in info.tags.items() if k not in OF_THE_SERVER}
    judged = {}
    for one in _assessments(info):
        view = assessments.view(one)
        judged[str(view.assessment_id)] = Judged(digest(one), view.name, view.kind)
    return Record(tags, judged)


def copied(
    info: TraceInfo,
    arrivals: Sequence[Arrival],
    experiment_name: str | None,
    mapper: Mapper,
    *,
    there: Collection[int] = (),
    judged: Mapping[str, int] | None = None,
) -> Copied:
    """Return a trace that was not sent before.

    Args:
        info: Its ``TraceInfo``.
        arrivals: Its spans.
        experiment_name: Its experiment's name.
        mapper: Maps.
        there: IDs of the spans that the backend has.
        judged: Milliseconds of the last change of the assessments that it has, by ID.
    """
    said = trace_info.context(info, experiment_name)
    context = meaning_of(said, [(a.span, a.decoded) for a in arrivals])
    roots = [a.span_id for a in arrivals if a.parent_id is None]
    missing = tuple(a for a in arrivals if a.span_id not in there)
    leaving = Leaving(info.trace_id, context, missing, frozenset(roots))
    root = roots[0] if roots else None
    views = [assessments.view(one) for one in _assessments(info)]
    known = judged or {}
    return Copied(
        mapper.groups(leaving) if missing else [],
        [
            _evaluation(view, info, root, context, mapper)
            for view in views
            if known.get(str(view.assessment_id)) != view.time // 1_000_000
        ],
        record_of(info),
    )


def changed(
    info: TraceInfo, before: Record, root: int | None, experiment_name: str | None, mapper: Mapper
) -> Copied:
    """Return what changed of a trace that was sent: tags, and assessments made, changed or deleted."""
    context = trace_info.context(info, experiment_name)
    after = record_of(info)
    spans: list[Group] = []
    if after.tags != before.tags:
        removed = tuple(sorted(before.tags.keys() - after.tags.keys()))
        spans = mapper.groups(
            Leaving(info.trace_id, context, (), update=True, root_id=root, removed=removed)
        )
    views = []
    for one in _assessments(info):
        view = assessments.view(one)
        known = before.assessments.get(str(view.assessment_id))
        if known is None:
            views.append(view)
        elif known != after.assessments[str(view.assessment_id)]:
            views.append(view._replace(operation="update"))
    for identity in before.assessments.keys() - after.assessments.keys():
        gone = before.assessments[identity]
        views.append(
            AssessmentView(
                gone.name,
                gone.kind,  # type: ignore[arg-type]
                None,
                time.time_ns(),
                assessment_id=identity,
                valid=False,
                operation="delete",
            )
        )
    return Copied(spans, [_evaluation(v, info, root, context, mapper) for v in views], after)


def _assessments(info: TraceInfo) -> list[Mapping[str, Any]]:
    found = info.document.get("assessments")
    known = found if isinstance(found, list) else []
    kinds = KINDS
    return [a for a in known if isinstance(a, dict) and any(kind in a for kind in kinds)]


def _evaluation(
    view: AssessmentView, info: TraceInfo, root: int | None, context: TraceContext, mapper: Mapper
) -> Evaluation:
    try:
        span = int(view.span_id, 16) if view.span_id else root
    except ValueError:
        span = root
    return Evaluation(
        view,
        trace.stamp(context, mapper.options),
        info.trace_id,
        span or None,
        resource_with_service(PYTHON, context),
        mapper.options,
    )
