"""What an app's own tests need: the traces that would leave, in memory.

With pytest the fixture ``mlflow_traces`` is there as soon as the package is installed; anything else
uses ``captured()``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel.handle import Handle
from mlflow_otel.instrumentation import instrument, uninstrument
from mlflow_otel.mapping import content
from mlflow_otel.mapping.model import EventView, MappingOptions
from mlflow_otel.settings import Settings

__all__ = ["CapturedTrace", "CapturedTraces", "captured"]

PATIENCE_MILLIS = 10_000


@dataclass(frozen=True)
class CapturedTrace:
    """The spans of one trace, as a backend would get them.

    Args:
        spans: In the order in which they ended.
    """

    spans: tuple[ReadableSpan, ...]

    @property
    def root(self) -> ReadableSpan:
        """The span without a parent in this trace; the first one if there are several."""
        known = {span.context.span_id for span in self.spans}
        return next(s for s in self.spans if s.parent is None or s.parent.span_id not in known)

    def span(self, name: str) -> ReadableSpan:
        """Return the first span of a name.

        Raises:
            AssertionError: There is none; the message has the names that there are.
        """
        for span in self.spans:
            if span.name == name:
                return span
        raise AssertionError(f"no span {name!r}: there are {[span.name for span in self.spans]}")


class CapturedTraces:
    """What left while it was captured. Made by ``captured()`` and the fixture ``mlflow_traces``."""

    def __init__(self, handle: Handle, exporter: InMemorySpanExporter) -> None:
        self._handle = handle
        self._exporter = exporter

    def spans(self) -> list[ReadableSpan]:
        """Return every span that left, evaluations among them, in the order in which they ended."""
        self._handle.force_flush(PATIENCE_MILLIS)
        return list(self._exporter.get_finished_spans())

    def traces(self) -> list[CapturedTrace]:
        """Return the traces whose spans left, in the order in which their first span ended."""
        found: dict[int, list[ReadableSpan]] = {}
        for span in self.spans():
            found.setdefault(span.context.trace_id, []).append(span)
        return [CapturedTrace(tuple(spans)) for spans in found.values()]

    def clear(self) -> None:
        """Forget what was captured."""
        self.spans()
        self._exporter.clear()

    def assert_no_content(self, *texts: str) -> None:
        """See that no content left.

        Args:
            texts: What must be nowhere: in no name, attribute, event or status. Without any, only what
                content capture off lets through may be there at all, as
                ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=false`` has it.

        Raises:
            AssertionError: There is; the message names the span and the key.
        """
        settings = self._handle.settings
        options = MappingOptions(
            safe_attributes=settings.safe_attributes, content_in_errors=settings.content_in_errors
        )
        for span in self.spans():
            found = list(_quoting(span, texts) if texts else _content(span, options))
            assert not found, f"content in span {span.name!r}: {', '.join(found)}"  # noqa: S101


def _quoting(span: ReadableSpan, texts: tuple[str, ...]) -> Iterator[str]:
    values = {"its name": span.name, "its status": span.status.description or ""}
    values |= {key: str(value) for key, value in (span.attributes or {}).items()}
    for event in span.events:
        values[f"event {event.name}"] = f"{event.name} {dict(event.attributes or {})}"
    yield from (key for key, value in values.items() if any(text in value for text in texts))


def _content(span: ReadableSpan, options: MappingOptions) -> Iterator[str]:
    attributes = dict(span.attributes or {})
    kept = content.attributes(attributes, options)
    yield from (key for key, value in attributes.items() if kept.get(key) != value)
    for event in span.events:
        view = EventView(event.name, event.timestamp, dict(event.attributes or {}))
        (left,) = content.events([view], options)
        yield from (f"event {event.name}: {k}" for k in view.attributes if k not in left.attributes)
    if span.status.description and not options.content_in_errors:
        yield "its status"


@contextlib.contextmanager
def captured(settings: Settings | None = None) -> Iterator[CapturedTraces]:
    """Capture the traces that leave, in this process, until the block ends; nothing goes to a backend.

    Spans are mapped as the settings say (conventions, content, ``redact``, ``should_export``), so a test
    sees what a backend would. Every trace is kept, whatever the sampling ratio, and feedback arrives as
    evaluation spans. If the app called ``instrument()`` before, that ends here; if it calls it in the
    block, it gets the handle of this one.

    Args:
        settings: The configuration; from the environment when None.

    Yields:
        What was captured.

    Example:
        >>> import mlflow
        >>> from mlflow_otel.testing import captured
        >>> with captured() as found, mlflow.start_span("answer"):
        ...     mlflow.update_current_trace(session_id="s-1")
        >>> [trace.root.attributes["session.id"] for trace in found.traces()]
        ['s-1']
    """
    uninstrument()
    exporter = InMemorySpanExporter()
    handle = instrument(
        replace(
            settings or Settings.from_environment(),
            disabled=False,
            asynchronous=False,
            sampling_ratio=1.0,
            measured=False,
            assessment_signals=frozenset({"traces"}),
            dual_export=False,
            spool_dir=None,
            flush="atexit",
        ),
        exporter=exporter,
    )
    try:
        yield CapturedTraces(handle, exporter)
    finally:
        uninstrument()
