"""Tags that are set or removed after their trace was sent: each change leaves as a span of the trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.export.guards import mapping_options
from mlflow_otel.feedback import assessment_target, mlflow_adapter, stored
from mlflow_otel.feedback.later_span import later_span
from mlflow_otel.mapping import trace_update
from mlflow_otel.settings import Settings
from mlflow_otel.tracing.recent import RECENT, RecentTraces


class TraceUpdates:
    """Sends late changes of tags over OTLP.

    Args:
        settings: The configuration.
        open_spans: Returns what takes a span into the traces' own pipeline.
        resource: Whose changes these are.
        recent: Knows this process's traces.
        accounting: Gets what goes wrong.
        look_up: Returns the tags of a trace, or None when it is not found.
    """

    def __init__(
        self,
        settings: Settings,
        open_spans: Callable[[], Callable[[ReadableSpan], None]],
        resource: Callable[[], Resource],
        recent: RecentTraces = RECENT,
        accounting: Accounting = ACCOUNTING,
        look_up: Callable[[str], Mapping[str, str] | None] = stored.tags,
    ) -> None:
        self._look_up = look_up
        self._settings = settings
        self._options = mapping_options(settings, accounting)
        self._open_spans = open_spans
        self._resource = resource
        self._recent = recent
        self._accounting = accounting

    def set_tag(self, trace_id: str, key: str, value: Any) -> None:
        """Send that a tag was set; raises ``MlflowException`` for a bad trace ID, key or value."""
        key, value = mlflow_adapter.checked_tag(str(key), str(value))
        self._change(trace_id, {key: value}, ())

    def remove_tag(self, trace_id: str, key: str) -> None:
        """Send that a tag was removed.

        Raises:
            MlflowException: ``trace_id`` is no trace ID, or the trace is found and has no such tag.
        """
        tags = self._look_up(trace_id)
        if tags is not None and key not in tags:
            raise mlflow_adapter.no_such_tag(key, trace_id)
        self._change(trace_id, {}, (str(key),))

    def _change(self, trace_id: str, tags: Mapping[str, str], removed: Sequence[str]) -> None:
        try:
            identity = assessment_target.parse_trace_id(trace_id)
        except ValueError as error:
            raise mlflow_adapter.invalid(str(error)) from error
        if self._settings.disabled:
            return
        try:
            self._send(identity, tags, removed)
        except Exception as error:
            self._accounting.warn(
                "trace_updates.failed",
                "A tag that was changed after its trace ended was not sent over OTLP (%s: %s). Please "
                "report it to mlflow-otel.",
                type(error).__name__,
                error,
            )

    def _send(self, trace_id: int, tags: Mapping[str, str], removed: Sequence[str]) -> None:
        known = self._recent.get(trace_id)
        if known is None:
            sampled = not self._recent.was_sampled_out(trace_id)
            target = assessment_target.target_by_id(trace_id, None, sampled=sampled)
        else:
            left = {k: v for k, v in known.facts.tags.items() if k not in removed}
            known = known._replace(facts=replace(known.facts, tags={**left, **tags}))
            self._recent.change(known)
            target = assessment_target.target_in_process(known, None, self._options)
        if not target.sampled:
            return  # its trace is not there
        self._accounting.count("trace_updates")
        attributes = trace_update.attributes(tags, removed, target.stamp)
        self._open_spans()(
            later_span(
                trace_update.SPAN_NAME,
                target,
                attributes,
                time.time_ns(),
                self._resource(),
                self._options.version,
            )
        )
