"""The exporter as the SDK builds it: by name, with the options of a configuration file."""

from __future__ import annotations

from typing import Any

from mlflow_otel import declared
from mlflow_otel.export.exporter import MlflowSpanExporter


class DeclaredSpanExporter(MlflowSpanExporter):
    """``MlflowSpanExporter`` for ``exporter: {mlflow_otlp: …}`` and ``OTEL_TRACES_EXPORTER=mlflow_otlp``.

    Args:
        options: What stands below ``mlflow_otlp``. Each stands for the variable of its meaning and
            beats it: ``endpoint``, ``protocol``, ``headers``, ``headers_list``, ``timeout`` (milliseconds, as in
            the schema's own exporters), ``compression``, ``tls`` (``ca_file``, ``key_file``,
            ``cert_file``, ``insecure``), and each field of ``Settings``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(declared.settings(options))
