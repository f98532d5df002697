"""Every environment variable, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow_otel.settings.choices import CARRIED, SIGNALS
from mlflow_otel.settings.parsers import (
    PartlyInvalidError,
    boolean,
    capture,
    endpoint,
    headers,
    integer,
    number,
    one_of,
    opted_in,
    patterns,
    promotions,
    protocol,
    some_of,
    text,
)
from mlflow_otel.settings.secrets import HEADERS, URL, Secret


@dataclass(frozen=True)
class Variable:
    """One row of the table: an environment variable that is parsed here.

    Args:
        name: The variable.
        field: The attribute of ``Settings`` (or of ``OtlpSettings``) that it sets.
        parse: Text to value; raises ``ValueError`` whose message says what is accepted.
        effect: What it does, in one line.
        secret: Of which kind the secret is that its value may hold; None where it holds none.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    effect: str
    secret: Secret | None = None

    @property
    def accepts(self) -> str:
        """Which values it takes, in the words of the error for a bad one; empty when any text will do."""
        try:
            self.parse("=")  # no variable takes this but those that take any text
        except PartlyInvalidError:
            return "key=value,key=value, percent-encoded"
        except ValueError as error:
            return str(error)
        return ""


OTLP_OPTIONS: Final[tuple[Variable, ...]] = (
    Variable(
        "ENDPOINT",
        "endpoint",
        endpoint,
        "where to send; for HTTP the general one gets the signal's path",
        secret=URL,
    ),
    Variable("PROTOCOL", "protocol", protocol, "what is spoken there; grpc if not set"),
    Variable(
        "HEADERS",
        "headers",
        headers,
        "sent with every request: key=value,key=value",
        secret=HEADERS,
    ),
    Variable(
        "TIMEOUT",
        "timeout",
        number(0.001),
        "seconds one request may take, as the Python SDK reads it (10)",
    ),
    Variable(
        "COMPRESSION",
        "compression",
        one_of("none", "gzip", "deflate"),
        "of each request; none if not set",
    ),
    Variable("INSECURE", "insecure", boolean, "gRPC without TLS for an endpoint without a scheme"),
    Variable("CERTIFICATE", "certificate", text, "file with the CA certificates to trust"),
    Variable("CLIENT_KEY", "client_key", text, "file with the client's private key (mutual TLS)"),
    Variable(
        "CLIENT_CERTIFICATE",
        "client_certificate",
        text,
        "file with the client's certificate (mutual TLS)",
    ),
)

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable("OTEL_SDK_DISABLED", "disabled", boolean, "true: nothing of ours is installed"),
    Variable("OTEL_SERVICE_NAME", "service_name", text, "service.name"),
    Variable(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "capture_content",
        capture,
        "false or NO_CONTENT: no inputs, outputs, messages, documents, previews; only what is known not to be content leaves",
    ),
    Variable(
        "MLFLOW_TRACE_SAMPLING_RATIO",
        "sampling_ratio",
        number(0, 1),
        "share of traces to keep, whole traces (1.0)",
    ),
    Variable(
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING",
        "asynchronous",
        boolean,
        "false: export in the thread that ends the span",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_WORKERS",
        "max_workers",
        integer(1),
        "export requests in flight at once (10)",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE",
        "max_traces",
        integer(1),
        "traces that may be held at once, and that may wait to be scored at once (1000)",
    ),
    Variable(
        "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT",
        "retry_timeout",
        number(0),
        "seconds a failed request may be retried (500)",
    ),
    Variable(
        "MLFLOW_TRACE_TIMEOUT_SECONDS",
        "trace_timeout",
        number(0.001),
        "seconds after which a held trace is passed on (60)",
    ),
    Variable(
        "MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT",
        "dual_export",
        boolean,
        "true: MLflow's export to its tracking server goes on beside ours",
    ),
    Variable(
        "MLFLOW_USE_DEFAULT_TRACER_PROVIDER",
        "isolated",
        boolean,
        "false: MLflow and OpenTelemetry share the global provider",
    ),
    Variable(
        "MLFLOW_EXPERIMENT_NAME",
        "experiment_name",
        text,
        "mlflow.experiment.name; service.name when OTEL_* name none",
    ),
    Variable("MLFLOW_EXPERIMENT_ID", "experiment_id", text, "mlflow.experiment.id"),
    Variable(
        "MLFLOW_TRACKING_URI",
        "tracking_uri",
        text,
        "MLflow's server: used in dual export and for MLFLOW_OTEL_TRACE_LOOKUP=mlflow",
        secret=URL,
    ),
    Variable(
        "MLFLOW_OTEL_CONVENTIONS",
        "conventions",
        some_of("genai", "openinference", "mlflow"),
        "vocabularies to write: genai (default), openinference, mlflow",
    ),
    Variable(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "latest_conventions",
        opted_in,
        "with gen_ai_latest_experimental in the list: GenAI attributes and metrics as OpenTelemetry's newest conventions name them",
    ),
    Variable(
        "MLFLOW_OTEL_PROMOTE_TAGS",
        "promote_tags",
        promotions,
        "trace tags on every span: tag or tag=attribute (environment)",
    ),
    Variable(
        "MLFLOW_OTEL_KEEP_CHUNK_EVENTS",
        "keep_chunk_events",
        boolean,
        "true: keep the event of every stream chunk",
    ),
    Variable(
        "MLFLOW_OTEL_SAFE_ATTRIBUTES",
        "safe_attributes",
        patterns,
        "attributes that leave with content capture off, too: key,prefix.* (none)",
    ),
    Variable(
        "MLFLOW_OTEL_CONTENT_IN_ERRORS",
        "content_in_errors",
        boolean,
        "true: messages and stack traces of errors leave with content capture off, too",
    ),
    Variable(
        "MLFLOW_OTEL_REDACT",
        "redact",
        text,
        "package.module:function that is called as redact(name, key, value) with each value that leaves, and returns what leaves instead (none)",
    ),
    Variable(
        "MLFLOW_OTEL_SHOULD_EXPORT",
        "should_export",
        text,
        "package.module:function that is called with each span, and returns whether it leaves (none)",
    ),
    Variable(
        "MLFLOW_OTEL_COST",
        "work_out_cost",
        boolean,
        "true: work out the cost of model calls that have none, by MLflow's price catalog, which MLflow fetches from MLFLOW_MODEL_CATALOG_URI",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_REQUEST_BYTES",
        "max_request_bytes",
        integer(4096),
        "bytes of one export request, at most (4128768, a little under gRPC's 4 MiB)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_DIR",
        "spool_dir",
        text,
        "folder for what cannot be delivered now; sent later, by the next process too (none)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_MAX_BYTES",
        "spool_max_bytes",
        integer(1),
        "bytes of the spool for one signal, compressed; the oldest go first (1073741824)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_MAX_AGE",
        "spool_max_age",
        number(1),
        "seconds a request is kept in the spool (604800, a week)",
    ),
    Variable(
        "MLFLOW_OTEL_SPOOL_FSYNC",
        "spool_fsync",
        boolean,
        "false: the spool survives its process but perhaps not the machine's crash (true)",
    ),
    Variable(
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED",
        "internal_metrics",
        boolean,
        "true: the SDK's metrics about itself, and our counters beside them",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "metrics_temporality",
        one_of("cumulative", "delta", "lowmemory"),
        "cumulative (default), delta or lowmemory",
    ),
    Variable(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "histogram_aggregation",
        one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        "explicit_bucket_histogram (default) or base2_exponential_bucket_histogram",
    ),
    Variable(
        "OTEL_METRICS_EXPORTER",
        "metrics_exporter",
        text,
        "none: no GenAI metrics unless MLFLOW_OTEL_METRICS=true",
    ),
    Variable(
        "MLFLOW_OTEL_METRICS",
        "measured",
        boolean,
        "true or false: GenAI metrics from MLflow's spans (where an OTLP endpoint is set for metrics or for all, or the app shares a meter provider)",
    ),
    Variable(
        "MLFLOW_OTEL_ASSESSMENT_SIGNALS",
        "assessment_signals",
        some_of(*SIGNALS, nothing="none"),
        "how assessments leave: any of traces (evaluation spans), logs (events), metrics, or none (all)",
    ),
    Variable(
        "MLFLOW_OTEL_TRACE_LOOKUP",
        "trace_lookup",
        text,
        "where traces of other processes are found by client request ID: mlflow, jaeger+http://host:16686 or tempo+http://host:3200 (none)",
        secret=URL,
    ),
    Variable(
        "MLFLOW_OTEL_TRACE_LOOKUP_TIMEOUT",
        "trace_lookup_timeout",
        number(0.001),
        "seconds such a look-up may take (5)",
    ),
    Variable(
        "MLFLOW_OTEL_BAGGAGE",
        "baggage",
        some_of(*CARRIED, nothing="none"),
        "what calls to other services carry in the baggage header, and is taken over from it: any of session, user, request (none)",
    ),
    Variable(
        "MLFLOW_OTEL_TRACE_LOOKUP_HEADERS",
        "trace_lookup_headers",
        headers,
        "sent with such a look-up to Jaeger or Tempo, as OTEL_EXPORTER_OTLP_HEADERS has them: credentials, a tenant",
        secret=HEADERS,
    ),
    Variable(
        "MLFLOW_OTEL_RECENT_TRACES",
        "recent_traces",
        integer(0),
        "traces remembered for feedback after they ended, some 2.6 KB each (10000)",
    ),
    Variable(
        "MLFLOW_OTEL_RECENT_BYTES",
        "recent_bytes",
        integer(0),
        "bytes of spans kept of these traces, so that mlflow.get_trace and search_traces answer without a server; at most a quarter of MLFLOW_OTEL_MAX_HELD_BYTES (8388608)",
    ),
    Variable(
        "MLFLOW_OTEL_RECORD_SAMPLED_OUT",
        "record_sampled_out",
        boolean,
        "true: record traces that are sampled out, without exporting them, so that metrics count them and feedback finds them",
    ),
    Variable(
        "MLFLOW_OTEL_FLUSH",
        "flush",
        one_of("exit", "trace", "atexit"),
        "when the last batch is flushed. exit (default): when the process ends, by SIGTERM too; trace: at the end of each local root as well; atexit: signals are left alone",
    ),
    Variable(
        "MLFLOW_OTEL_SCORERS",
        "scorers",
        text,
        "package.module:NAME of a list of scorers; they are run on the traces that end here, see docs/scorers.md (none)",
    ),
    Variable(
        "MLFLOW_OTEL_SCORER_WORKERS",
        "scorer_workers",
        integer(1),
        "scorers that run at once (2)",
    ),
    Variable(
        "MLFLOW_OTEL_SCORER_TRACES",
        "scorer_traces",
        boolean,
        "true: what scorers call leaves, in traces of its own that are linked to the judged one",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_HELD_SPANS",
        "max_spans_per_trace",
        integer(1),
        "spans of one trace held at once (10000)",
    ),
    Variable(
        "MLFLOW_OTEL_MAX_HELD_BYTES",
        "max_held_bytes",
        integer(1),
        "bytes of spans held at once, waiting for export at once, waiting to be measured at once, and waiting to be scored at once (268435456)",
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
