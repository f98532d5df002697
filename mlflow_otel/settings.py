"""Every environment variable, read once, validated, in one table.

Names and meanings follow the OTLP exporter specification
(https://opentelemetry.io/docs/specs/otel/protocol/exporter/), the SDK's environment variables
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/) and MLflow's
documentation. What MLflow says beats what OpenTelemetry says in general; an argument beats both.
A bad value is one warning that names the variable, the value and what is used instead.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, TypeVar, cast
from urllib.parse import unquote, urlsplit

from mlflow_otel import wording
from mlflow_otel.accounting import ACCOUNTING, Accounting

Signal = Literal["traces", "logs", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]
Compression = Literal["none", "gzip", "deflate"]
Convention = Literal["genai", "openinference", "mlflow"]

T = TypeVar("T")

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")
DEFAULT_ENDPOINTS: Final[Mapping[str, str]] = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}


def _text(value: str) -> str:
    return value


def _boolean(value: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ValueError("true or false")
    return known[value.lower()]


def _number(low: float, high: float = math.inf) -> Callable[[str], float]:
    expected = f"a number from {low:g}" + (f" to {high:g}" if high < math.inf else " up")

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(expected) from None
        if not low <= number <= high:  # NaN is in no range
            raise ValueError(expected)
        return number

    return parse


def _integer(low: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.lstrip("+-").isdigit() or int(value) < low:
            raise ValueError(f"a whole number from {low} up")
        return int(value)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(" or ".join(choices))
        return value.lower()

    return parse


def _some_of(*choices: str, nothing: str | None = None) -> Callable[[str], frozenset[str]]:
    def parse(value: str) -> frozenset[str]:
        if value.strip().lower() == nothing:
            return frozenset()
        chosen = {item.strip().lower() for item in value.split(",") if item.strip()}
        if not chosen or not chosen <= set(choices):
            raise ValueError("a comma-separated list of " + ", ".join(choices))
        return frozenset(chosen)

    return parse


class PartlyInvalidError(ValueError):
    """A list of which some entries are left out.

    Args:
        message: What is wrong with which.
        value: The others.
    """

    def __init__(self, message: str, value: object) -> None:
        super().__init__(message)
        self.value = value


HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
HEADER_VALUE: Final = re.compile(r"[^\0-\x08\x0a-\x1f\x7f]*")


def sendable(key: str, value: str) -> bool:
    """Tell whether a header can be sent (RFC 9110, section 5)."""
    return bool(HEADER_NAME.fullmatch(key.lower()) and HEADER_VALUE.fullmatch(value))


def _headers(value: str) -> tuple[tuple[str, str], ...]:
    """W3C Baggage without properties, as the OTLP exporter specification has headers."""
    pairs: list[tuple[str, str]] = []
    bad: list[str] = []
    for number, item in enumerate(value.split(","), 1):
        if not item.strip():
            continue
        key, equals, content = item.partition("=")
        pair = (unquote(key).strip().lower(), unquote(content).strip())
        if equals and sendable(*pair):
            pairs.append(pair)
        else:  # without its value, which may be a secret
            name = (key if equals else item.partition(":")[0] if ":" in item else "").strip()
            bad.append(f"entry {number} ({name!r})" if name else f"entry {number}")
    if bad:
        raise PartlyInvalidError(", ".join(bad), tuple(pairs))
    return tuple(pairs)


def _pairs(value: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in value.split(","):
        if not item.strip():
            continue
        key, _, target = (part.strip() for part in item.partition("="))
        if not key:
            raise ValueError("tag or tag=attribute, comma-separated")
        pairs.append((key, target or DEFAULT_PROMOTIONS.get(key, key)))
    return tuple(pairs)


def _patterns(value: str) -> tuple[str, ...]:
    patterns = tuple(item.strip() for item in value.split(",") if item.strip())
    if not patterns or any(re.search(r"\s", pattern) for pattern in patterns):
        raise ValueError("attribute keys, comma-separated; * stands for anything")
    return patterns


def _capture(value: str) -> bool:
    # The boolean of the first conventions and the modes of the later ones, which differ in where
    # the content goes; ours always goes on spans, so all but NO_CONTENT capture.
    known = {
        "true": True,
        "false": False,
        "no_content": False,
        "span_only": True,
        "event_only": True,
        "span_and_event": True,
    }
    if value.lower() not in known:
        raise ValueError("true, false, NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT")
    return known[value.lower()]


OPT_IN: Final = "gen_ai_latest_experimental"


def _opted_in(value: str) -> bool:
    # The list has words for other kinds of telemetry as well, such as `http`.
    return OPT_IN in {item.strip().lower() for item in value.split(",")}


DEFAULT_PROMOTIONS: Final[Mapping[str, str]] = {"environment": "deployment.environment.name"}


@dataclass(frozen=True)
class Variable:
    """One row of the table: an environment variable that is parsed here.

    Args:
        name: The variable.
        field: The attribute of ``Settings`` (or of ``OtlpSettings``) that it sets.
        parse: Text to value; raises ``ValueError`` whose message says what is accepted.
        effect: What it does, in one line.
        secret: Whether its value must not be printed.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    effect: str
    secret: bool = False

    @property
    def accepts(self) -> str:
        """Which values it takes, in the words of the error for a bad one; empty when any text will do."""
        try:
            self.parse("=")  # no variable takes this but those that take any text
        except ValueError as error:
            return str(error)
        return ""


OTLP_OPTIONS: Final[tuple[Variable, ...]] = (
    Variable(
        "ENDPOINT",
        "endpoint",
        _text,
        "where to send; for HTTP the general one gets the signal's path",
    ),
    Variable(
        "PROTOCOL", "protocol", _one_of("grpc", "http/protobuf"), "grpc (default) or http/protobuf"
    ),
    Variable(
        "HEADERS", "headers", _headers, "sent with every request: key=value,key=value", secret=True
    ),
    Variable(
        "TIMEOUT",
        "timeout",
        _number(0.001),
        "seconds one request may take, as the Python SDK reads it (10)",
    ),
    Variable(
        "COMPRESSION",
        "compression",
        _one_of("none", "gzip", "deflate"),
        "none (default), gzip or deflate",
    ),
    Variable("INSECURE", "insecure", _boolean, "gRPC without TLS for an endpoint without a scheme"),
    Variable("CERTIFICATE", "certificate", _text, "file with the CA certificates to trust"),
    Variable("CLIENT_KEY", "client_key", _text, "file with the client's private key (mutual TLS)"),
    Variable(
        "CLIENT_CERTIFICATE",
        "client_certificate",
        _text,
        "file with the client's certificate (mutual TLS)",
    ),
)

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable("OTEL_SDK_DISABLED", "disabled", _boolean, "true: nothing of ours is installed"),
    Variable("OTEL_SERVICE_NAME", "service_name", _text, "service.name"),
    Variable(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "capture_content",
        _capture,
        "false or NO_CONTENT: no inputs, outputs, messages, documents, previews; only what is known not to be content leaves",
    ),
    Variable(
        "MLFLOW_TRACE_SAMPLING_RATIO",
        "sampling_ratio",
        _number(0, 1),
        "share of traces to keep, whole traces (1.0)",
    ),
    Variable(
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING",
        "asynchronous",
        _boolean,
        "false: export in the thread that ends the span",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS",
        "max_workers",
        _integer(1),
        "export requests in flight at once (10)",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE",
        "max_traces",
        _integer(1),
        "traces that may be held at once (1000)",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT",
        "retry_timeout",
        _number(0),
        "seconds a failed request may be retried (500)",
    ),
    Variable(
        "MLFLOW_TRACE_TIMEOUT_SECONDS",
        "trace_timeout",
        _number(0.001),
        "seconds after which a held trace is passed on (60)",
    ),
    Variable(
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT",
        "dual_export",
        _boolean,
        "true: MLflow's export to its tracking server goes on beside ours",
    ),
    Variable(
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER",
        "isolated",
        _boolean,
        "false: MLflow and OpenTelemetry share the global provider",
    ),
    Variable(
        "MLFLOW_EXPERIMENT_NAME",
        "experiment_name",
        _text,
        "mlflow.experiment.name; service.name when OTEL_* name none",
    ),
    Variable("MLFLOW_EXPERIMENT_ID", "experiment_id", _text, "mlflow.experiment.id"),
    Variable(
        "MLFLOW_TRACKING_URI",
        "tracking_uri",
        _text,
        "MLflow's server: used in dual export and for MLFLOW_OTEL_TRACE_LOOKUP=mlflow",
    ),
    Variable(
        "MLFLOW_OTEL_CONVENTIONS",
        "conventions",
        _some_of("genai", "openinference", "mlflow"),
        "vocabularies to write: genai (default), openinference, mlflow",
    ),
    Variable(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "latest_conventions",
        _opted_in,
        "with gen_ai_latest_experimental in the list: GenAI attributes and metrics as OpenTelemetry's newest conventions name them",
    ),
    Variable(
        "MLFLOW_OTEL_PROMOTE_TAGS",
        "promote_tags",
        _pairs,
        "trace tags on every span: tag or tag=attribute (environment)",
    ),
    Variable(
        "MLFLOW_OTEL_KEEP_CHUNK_EVENTS",
        "keep_chunk_events",
        _boolean,
        "true: keep the event of every stream chunk",
    ),
    Variable(
        "MLFLOW_OTEL_SAFE_ATTRIBUTES",
        "safe_attributes",
        _patterns,
        "attributes that leave with content capture off, too: key,prefix.* (none)",
    ),
    Variable(
        "MLFLOW_OTEL_CONTENT_IN_ERRORS",
        "content_in_errors",
        _boolean,
        "true: messages and stack traces of errors leave with content capture off, too",
    ),
    Variable(
        "MLFLOW_OTEL_REDACT",
        "redact",
        _text,
        "package.module:function that is called as redact(name, key, value) with each value that leaves, and returns what leaves instead (none)",
    ),
    Variable(
        "MLFLOW_OTEL_SHOULD_EXPORT",
        "should_export",
        _text,
        "package.module:function that is called with each span, and returns whether it leaves (none)",
    ),
    Variable(
        "MLFLOW_OTEL_COST",
        "work_out_cost",
        _boolean,
        "true: work out the cost of model calls that have none, by MLflow's price catalog, which MLflow fetches from MLFLOW_MODEL_CATALOG_URI",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_REQUEST_BYTES",
        "max_request_bytes",
        _integer(4096),
        "bytes of one export request, at most (4128768, a little under gRPC's 4 MiB)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_DIR",
        "spool_dir",
        _text,
        "folder for what cannot be delivered now; sent later, by the next process too (none)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_MAX_BYTES",
        "spool_max_bytes",
        _integer(1),
        "bytes of the spool for one signal, compressed; the oldest go first (1073741824)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_MAX_AGE",
        "spool_max_age",
        _number(1),
        "seconds a request is kept in the spool (604800, a week)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_FSYNC",
        "spool_fsync",
        _boolean,
        "false: the spool survives its process but perhaps not the machine's crash (true)",
    ),
    Variable(
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED",
        "internal_metrics",
        _boolean,
        "true: the SDK's metrics about itself, and our counters beside them",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "metrics_temporality",
        _one_of("cumulative", "delta", "lowmemory"),
        "cumulative (default), delta or lowmemory",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "histogram_aggregation",
        _one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        "explicit_bucket_histogram (default) or base2_exponential_bucket_histogram",
    ),
    Variable(
        "OTEL_METRICS_EXPORTER",
        "metrics_exporter",
        _text,
        "none: no GenAI metrics unless MLFLOW_OTEL_METRICS=true",
    ),
    Variable(
        "MLFLOW_OTEL_METRICS",
        "measured",
        _boolean,
        "true or false: GenAI metrics from MLflow's spans (where an OTLP endpoint is set for metrics or for all, or the app shares a meter provider)",
    ),
    Variable(
        "MLFLOW_OTEL_ASSESSMENT_SIGNALS",
        "assessment_signals",
        _some_of(*SIGNALS, nothing="none"),
        "how assessments leave: any of traces (evaluation spans), logs (events), metrics, or none (all)",
    ),
    Variable(
        "MLFLOW_OTEL_TRACE_LOOKUP",
        "trace_lookup",
        _text,
        "where traces of other processes are found by client request ID: mlflow, jaeger+http://host:16686 or tempo+http://host:3200 (none)",
        secret=True,
    ),
    Variable(
        "MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT",
        "trace_lookup_timeout",
        _number(0.001),
        "seconds such a look-up may take (5)",
    ),
    Variable(
        "MLFLOW_OTEL_RECENT_TRACES",
        "recent_traces",
        _integer(0),
        "traces remembered for feedback after they ended, some 2.6 KB each (10000)",
    ),
    Variable(
        "MLFLOW_OTEL_RECORD_SAMPLED_OUT",
        "record_sampled_out",
        _boolean,
        "true: record traces that are sampled out, without exporting them, so that metrics count them and feedback finds them",
    ),
    Variable(
        "MLFLOW_OTEL_FLUSH",
        "flush",
        _one_of("exit", "trace", "atexit"),
        "when the last batch is flushed. exit (default): when the process ends, by SIGTERM too; trace: at the end of each local root as well; atexit: signals are left alone",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_HELD_SPANS",
        "max_spans_per_trace",
        _integer(1),
        "spans of one trace held at once (10000)",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_HELD_BYTES",
        "max_held_bytes",
        _integer(1),
        "bytes of spans held at once, waiting for export at once, and waiting to be measured at once (268435456)",
    ),
)

SDK_VARIABLES: Final[Mapping[str, str]] = {
    "OTEL_RESOURCE_ATTRIBUTES": "resource attributes: key=value,key=value",
    "OTEL_TRACES_SAMPLER": "head sampler; mlflow names ours",
    "OTEL_TRACES_SAMPLER_ARG": "its argument",
    "OTEL_TRACES_EXPORTER": "for opentelemetry-instrument; mlflow_otlp names ours",
    "OTEL_BSP_SCHEDULE_DELAY": "milliseconds between two batches (5000)",
    "OTEL_BSP_MAX_QUEUE_SIZE": "spans that may wait for export (twice MLFLOW_OTEL_MAX_HELD_SPANS)",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "spans handed to the exporter at once (512)",
    "OTEL_METRIC_EXPORT_INTERVAL": "milliseconds between two exports of metrics (60000)",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "characters of one attribute value",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "attributes of one span (128)",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "attributes of one span, before the general limit",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "events of one span (128)",
}
"""Read by the OpenTelemetry SDK itself; here for ``mlflow-otel env`` to show."""


MLFLOW_CREDENTIALS: Final = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""Read by MLflow's own client; here so that no message shows them."""


def _headers_shown(headers: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={wording.HIDDEN}" for key, _ in headers)


SHOWN: Final[Mapping[str, Callable[[Any], str]]] = {
    "endpoint": wording.endpoint,
    "tracking_uri": wording.endpoint,
    "trace_lookup": wording.endpoint,
    "headers": _headers_shown,
}
"""The fields that may hold a secret, and how each is shown."""


def shown(field: str, value: Any) -> Any:
    """Return a field's value as it may be shown, in ``repr`` and on the terminal."""
    return SHOWN[field](value) if value and field in SHOWN else value


def _shown_fields(settings: Any) -> str:
    pairs = ((f.name, shown(f.name, getattr(settings, f.name))) for f in fields(settings))
    return f"{type(settings).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


@dataclass(frozen=True)
class OtlpSettings:
    """Where and how one signal is sent, as the OTLP exporter specification has it.

    Args:
        endpoint: The URL requests go to; for HTTP with the signal's path.
        protocol: ``grpc`` or ``http/protobuf``.
        headers: Sent with every request.
        timeout: Seconds one request may take.
        compression: Of the request's body.
        insecure: Whether gRPC to an endpoint without a scheme goes without TLS.
        certificate: File with the CA certificates to trust, or None for the system's.
        client_key: File with the client's private key, or None.
        client_certificate: File with the client's certificate, or None.
        configured: Whether an endpoint was set at all, rather than the default taken.
        named: Whether it was set for this signal by name, rather than for all.
    """

    endpoint: str
    protocol: Protocol = "grpc"
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    compression: Compression = "none"
    insecure: bool = False
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    configured: bool = False
    named: bool = False

    def __repr__(self) -> str:
        """Return the fields as they may be shown."""
        return _shown_fields(self)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the endpoint and the headers must not be shown."""
        return wording.secrets_of(self.endpoint, self.headers)

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS: the scheme says, else ``insecure`` does."""
        scheme = urlsplit(self.endpoint).scheme if "://" in self.endpoint else ""
        return scheme == "https" if scheme in {"http", "https"} else not self.insecure


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

    traces: OtlpSettings = OtlpSettings(DEFAULT_ENDPOINTS["grpc"])
    logs: OtlpSettings = OtlpSettings(DEFAULT_ENDPOINTS["grpc"])
    metrics: OtlpSettings = OtlpSettings(DEFAULT_ENDPOINTS["grpc"])
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
    recent_traces: int = 10_000
    record_sampled_out: bool = False
    flush: str = "exit"
    max_spans_per_trace: int = 10_000
    max_held_bytes: int = 256 * 1024 * 1024

    def __repr__(self) -> str:
        """Return the fields as they may be shown."""
        return _shown_fields(self)

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
            values[variable.field] = _read(variable, variable.name, environ, default, accounting)
        for signal in SIGNALS:
            values[signal] = read_otlp(signal, environ, accounting)
        made = replace(cls(**values), **overrides)
        for url in filter(None, (made.tracking_uri, made.trace_lookup)):
            accounting.hide(wording.secrets_of(url))
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

    def hooked(
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


def read_otlp(
    signal: Signal, environ: Mapping[str, str], accounting: Accounting = ACCOUNTING
) -> OtlpSettings:
    """Read the ``OTEL_EXPORTER_OTLP_*`` options of one signal: its own beat the general ones."""
    values: dict[str, Any] = {}
    for option in OTLP_OPTIONS:
        name = otlp_source(signal, option.name, environ)
        if name is not None:
            values[option.field] = _read(option, name, environ, None, accounting)
    values = {field: value for field, value in values.items() if value is not None}
    protocol: str = values.get("protocol", "grpc")
    endpoint: str | None = values.get("endpoint")
    configured = endpoint is not None
    if endpoint is None:
        endpoint = DEFAULT_ENDPOINTS[protocol]
    own = (
        otlp_source(signal, "ENDPOINT", environ) == f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    )
    if protocol == "http/protobuf" and not own:
        endpoint = f"{endpoint.rstrip('/')}/v1/{signal}"
    return OtlpSettings(**{**values, "endpoint": endpoint, "configured": configured, "named": own})


def otlp_source(signal: Signal, option: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable that decides ``option`` of ``signal``, or None when none is set."""
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option}", f"OTEL_EXPORTER_OTLP_{option}")
    return next((name for name in names if environ.get(name, "").strip()), None)


def _read(
    variable: Variable, name: str, environ: Mapping[str, str], default: T, accounting: Accounting
) -> T:
    # The SDK specification: an empty value is an unset one.
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value: T = variable.parse(text)
    except PartlyInvalidError as error:
        accounting.warn(
            f"settings.invalid.{name}",
            "%s: %s is not key=value with the value percent-encoded and is left out. Correct it; the "
            "other entries are used.",
            name,
            error,
        )
        return cast("T", error.value)
    except ValueError as error:
        shown = "…" if variable.secret else repr(text)
        used = "the default" if default is None else repr(default)
        accounting.warn(
            f"settings.invalid.{name}",
            "%s=%s is not valid: set it to %s. Using %s.",
            name,
            shown,
            error,
            used,
        )
        return default
    return value
