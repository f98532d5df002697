"""The effective configuration: what the environment says, validated, and what beats it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from mlflow_otel import wording
from mlflow_otel.accounting import ACCOUNTING, Accounting
from mlflow_otel.settings.choices import DEFAULT_ENDPOINTS, DEFAULT_PROMOTIONS, SIGNALS, Signal
from mlflow_otel.settings.display import shown_fields
from mlflow_otel.settings.otlp import OtlpSettings, read_otlp
from mlflow_otel.settings.reading import read
from mlflow_otel.settings.variables import MLFLOW_CREDENTIALS, VARIABLES

DEFAULT_OTLP: Final = OtlpSettings(DEFAULT_ENDPOINTS["grpc"])


@dataclass(frozen=True)
class Settings:
    """The effective configuration: ``Settings.from_environment()``, or by hand.

    Each field's variable and meaning stand in ``VARIABLES``; ``traces``, ``logs`` and ``metrics``
    hold the ``OTEL_EXPORTER_OTLP_*`` options of their signal.

    Example:
        >>> settings = mlflow_otel.Settings.from_environment({"MLFLOW_TRACE_SAMPLING_RATIO": "0.25"})
        >>> settings.sampling_ratio
        0.25
        >>> mlflow_otel.Settings.from_environment({}, max_workers=2).max_workers
        2
    """

    traces: OtlpSettings = DEFAULT_OTLP
    logs: OtlpSettings = DEFAULT_OTLP
    metrics: OtlpSettings = DEFAULT_OTLP
    disabled: bool = False
    service_name: str | None = None
    capture_content: bool = True
    sampling_ratio: float = 1.0
    asynchronous: bool = True
    max_workers: int = 10
    max_traces: int = 1000
    retry_timeout: float = 500.0
    trace_timeout: float = 60.0
    dual_export: bool = False
    isolated: bool = True
    experiment_name: str | None = None
    experiment_id: str | None = None
    tracking_uri: str | None = None
    conventions: frozenset[str] = frozenset({"genai"})
    latest_conventions: bool = False
    promote_tags: tuple[tuple[str, str], ...] = tuple(DEFAULT_PROMOTIONS.items())
    keep_chunk_events: bool = False
    safe_attributes: tuple[str, ...] = ()
    content_in_errors: bool = False
    redact: str | Callable[[str, str, Any], Any] | None = None
    should_export: str | Callable[[Any], object] | None = None
    work_out_cost: bool = False
    max_request_bytes: int = 4 * 1024 * 1024 - 64 * 1024
    spool_dir: str | None = None
    spool_max_bytes: int = 1024 * 1024 * 1024
    spool_max_age: float = 7 * 24 * 3600.0
    spool_fsync: bool = True
    internal_metrics: bool = False
    metrics_temporality: str = "cumulative"
    histogram_aggregation: str = "explicit_bucket_histogram"
    metrics_exporter: str | None = None
    measured: bool | None = None
    assessment_signals: frozenset[str] = frozenset(SIGNALS)
    trace_lookup: str | None = None
    trace_lookup_timeout: float = 5.0
    trace_lookup_headers: tuple[tuple[str, str], ...] = ()
    recent_traces: int = 10_000
    recent_bytes: int = 8 * 1024 * 1024
    record_sampled_out: bool = False
    baggage: frozenset[str] = frozenset()
    flush: str = "exit"
    scorers: str | None = None
    scorer_workers: int = 2
    scorer_traces: bool = False
    max_spans_per_trace: int = 10_000
    max_held_bytes: int = 256 * 1024 * 1024

    def __repr__(self) -> str:
        """Return the fields as they may be shown."""
        return shown_fields(self)

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        accounting: Accounting = ACCOUNTING,
        **overrides: Any,
    ) -> Settings:
        """Read the environment.

        Args:
            environ: The variables; the process's own when None.
            accounting: Gets one warning for each bad value; the default is used instead of it.
            overrides: Fields that beat the environment.

        Returns:
            The effective settings.

        Raises:
            TypeError: An override names no field.
        """
        environ = os.environ if environ is None else environ
        defaults = cls()
        values: dict[str, Any] = {}
        for variable in VARIABLES:
            default = getattr(defaults, variable.field)
            values[variable.field] = read(variable, variable.name, environ, default, accounting)
        for signal in SIGNALS:
            values[signal] = read_otlp(signal, environ, accounting)
        made = replace(cls(**values), **overrides)
        for variable in VARIABLES:
            value = getattr(made, variable.field)
            if variable.secret is not None and value:
                accounting.hide(variable.secret.parts(value))
        configured = [(name, environ[name]) for name in MLFLOW_CREDENTIALS if environ.get(name)]
        accounting.hide(wording.secrets_of("", configured))
        for signal in SIGNALS:
            accounting.hide(made.otlp(signal).secrets)
        return made

    def measures(self, *, shared: bool) -> bool:
        """Tell whether there are GenAI metrics: as said, or where someone is there to take them.

        Args:
            shared: Whether the app's own meter provider takes them.
        """
        if self.measured is not None:
            return self.measured
        return self.metrics_exporter != "none" and (shared or self.metrics.configured)

    def with_hooks(
        self,
        redact: Callable[[str, str, Any], Any] | None,
        should_export: Callable[[Any], object] | None,
    ) -> Settings:
        """Return these settings with the functions that are given; None leaves what was set."""
        return replace(
            self,
            redact=self.redact if redact is None else redact,
            should_export=self.should_export if should_export is None else should_export,
        )

    def otlp(self, signal: Signal) -> OtlpSettings:
        """Return the OTLP options of ``signal``."""
        options: OtlpSettings = getattr(self, signal)
        return options
