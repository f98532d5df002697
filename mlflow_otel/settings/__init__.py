"""Every environment variable, read once, validated, in one table.

Names and meanings follow the OTLP exporter specification
(https://opentelemetry.io/docs/specs/otel/protocol/exporter/), the SDK's environment variables
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/) and MLflow's
documentation. What MLflow says beats what OpenTelemetry says in general; an argument beats both.
A bad value is one warning that names the variable, the value and what is used instead.

``variables`` is the table, ``parsers`` says which values are accepted, ``reading`` takes a value
from the environment, ``effective`` and ``otlp`` are what comes out.
"""

from mlflow_otel.settings.choices import (
    SIGNALS,
    Compression,
    Convention,
    Protocol,
    Signal,
)
from mlflow_otel.settings.display import shown
from mlflow_otel.settings.effective import Settings
from mlflow_otel.settings.otlp import (
    OtlpSettings,
    otlp_source,
    read_otlp,
)
from mlflow_otel.settings.parsers import sendable
from mlflow_otel.settings.reading import refusal
from mlflow_otel.settings.variables import (
    OTLP_OPTIONS,
    SDK_VARIABLES,
    VARIABLES,
    Variable,
)

__all__ = [
    "OTLP_OPTIONS",
    "SDK_VARIABLES",
    "SIGNALS",
    "VARIABLES",
    "Compression",
    "Convention",
    "OtlpSettings",
    "Protocol",
    "Settings",
    "Signal",
    "Variable",
    "otlp_source",
    "read_otlp",
    "refusal",
    "sendable",
    "shown",
]
