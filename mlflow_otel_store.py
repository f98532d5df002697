"""The entry point of MLflow's tracking store registry for ``otel+jaeger``, ``otel+tempo`` and others.

MLflow imports it in every process that has a tracking store. So it imports nothing before a store is
opened.
"""

from __future__ import annotations

from typing import Any


def open_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the store that a tracking URI names, as MLflow's registry asks for it.

    Args:
        store_uri: Such as ``otel+jaeger://host:16686?otlp=http://host:4317``.
        artifact_uri: Where artifacts of runs are kept, if ``sql`` names a database for the runs. A trace
            backend keeps no files.

    Raises:
        MlflowException: The URI names no store that is known here.
    """
    from mlflow_otel.store.opening import database_of  # noqa: PLC0415
    from mlflow_otel.store.tracking_store import OtelTraceStore  # noqa: PLC0415

    database = database_of(store_uri)
    if database is not None:
        from mlflow_otel.store.pages_store import open_pages  # noqa: PLC0415

        return open_pages(store_uri, database, artifact_uri or "mlruns")
    return OtelTraceStore.of_uri(store_uri)
