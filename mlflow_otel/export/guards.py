"""What may hold back a span or its values: content capture off, ``redact``, ``should_export``.

The processor and the exporter each have settings, mostly the same. Where they differ, nothing leaves
that either of them holds back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.conventions.versions import version
from mlflow_otel.export.hooks import Filter, Redaction, SpanToExport
from mlflow_otel.export.mapped import BatchContext
from mlflow_otel.mapping.model import MappingOptions, Redact
from mlflow_otel.settings import Settings

Keep = Callable[[SpanToExport], bool]


@dataclass(slots=True)
class Guards:
    """How to map a span, and what of it leaves.

    Args:
        options: How to map, ``redact`` among it.
        keep: Tells whether a span leaves, or None: all do.
    """

    options: MappingOptions
    keep: Keep | None = None
    _known: dict[int, tuple[MappingOptions, MappingOptions]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, accounting: Accounting) -> Guards:
        """Return the guards that settings name."""
        wanted = settings.should_export
        return cls(
            mapping_options(settings, accounting),
            None if wanted is None else Filter(wanted, accounting),
        )

    @property
    def holds_nothing_back(self) -> bool:
        """Whether every span leaves as it is mapped."""
        return self.options.capture_content and self.options.redact is None and self.keep is None

    def restrict(self, batch: BatchContext) -> BatchContext:
        """Return a batch's context with these guards added to its own. The same object if nothing changes."""
        if self.holds_nothing_back:
            return batch
        options, keep = self._restrict_options(batch.options), self._restrict_keep(batch.keep)
        if options is batch.options and keep is batch.keep:
            return batch
        batch.was_read()
        return replace(batch, options=options, keep=keep)

    def combined_with(self, other: Guards) -> Guards:
        """Return guards that hold back what either of the two does. The other one's conventions hold."""
        return Guards(self._restrict_options(other.options), self._restrict_keep(other.keep))

    def _restrict_keep(self, keep: Keep | None) -> Keep | None:
        return keep if _same(self.keep, keep) else _both(keep, self.keep)

    def _restrict_options(self, options: MappingOptions) -> MappingOptions:
        known = self._known.get(id(options))
        if known is not None and known[0] is options:
            return known[1]
        stricter = options
        if options.capture_content and not self.options.capture_content:
            stricter = replace(
                self.options,
                conventions=options.conventions,
                promote_tags=options.promote_tags,
                keep_chunk_events=options.keep_chunk_events,
                redact=options.redact,
            )
        if not _same(self.options.redact, options.redact):
            stricter = replace(stricter, redact=_after(options.redact, self.options.redact))
        if len(self._known) >= OPTIONS_KEPT:
            self._known.clear()
        self._known[id(options)] = options, stricter
        return stricter


OPTIONS_KEPT = 16


def mapping_options(settings: Settings, accounting: Accounting = ACCOUNTING) -> MappingOptions:
    """Return how the settings say to map; ``accounting`` gets what ``redact`` fails on."""
    redact = settings.redact
    return MappingOptions(
        conventions=settings.conventions,
        version=version(latest=settings.latest_conventions),
        capture_content=settings.capture_content,
        promote_tags=settings.promote_tags,
        keep_chunk_events=settings.keep_chunk_events,
        # A promoted tag is a tag under whatever key, on a span and on an evaluation alike.
        safe_attributes=(*settings.safe_attributes, *(key for _, key in settings.promote_tags)),
        content_in_errors=settings.content_in_errors,
        redact=None if redact is None else Redaction(redact, accounting),
    )


def _same(ours: Any, theirs: Any) -> bool:
    """Tell whether a hook of ours adds nothing to theirs."""
    return ours is None or getattr(ours, "named", ours) == getattr(theirs, "named", theirs)


def _after(first: Redact | None, then: Redact | None) -> Redact | None:
    if first is None or then is None:
        return first or then

    def both(name: str, key: str, value: Any) -> Any:
        left = first(name, key, value)
        return None if left is None else then(name, key, left)

    return both


def _both(first: Keep | None, then: Keep | None) -> Keep | None:
    if first is None or then is None:
        return first or then
    return lambda span: first(span) and then(span)
