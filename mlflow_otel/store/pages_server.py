"""MLflow's own server and pages over a trace backend, as an ASGI application.

Why private: ``mlflow server`` starts processes of its own and hands everything on in variables. The same
application runs here in this process, so that it can show what this process holds. It needs the full
``mlflow`` package, of every supported version (``pyproject.toml``).
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

VARIABLES: Final = {
    "_MLFLOW_SERVER_FILE_STORE": "{store}",
    "_MLFLOW_SERVER_REGISTRY_STORE": "{database}",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "{artifacts}",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    "_MLFLOW_SGI_NAME": "uvicorn",
    # Its job runner is a process of its own that is not started here.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""What ``mlflow server`` sets for its workers."""


class CannotStartError(Exception):
    """The server cannot start; the message says why."""


def application(store_uri: str, folder: Path) -> Any:
    """Return the application.

    Args:
        store_uri: What ``mlflow_otel_store.open_store`` takes, such as ``otel+jaeger://host:16686``.
        folder: Where the database and artifacts of runs are kept; made if need be.

    Raises:
        CannotStartError: The URI names no store that is known here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = f"sqlite:///{folder / 'pages.db'}"
    joint = "&" if "?" in store_uri else "?"
    values = {
        "store": f"{store_uri}{joint}sql={quote(database, safe='')}",
        "database": database,
        "artifacts": str(folder / "artifacts"),
    }
    os.environ |= {name: value.format(**values) for name, value in VARIABLES.items()}
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (telemetry is told before)
    from mlflow.server import handlers  # noqa: PLC0415 (it reads the variables)
    from mlflow.server.fastapi_app import app  # noqa: PLC0415

    try:
        handlers.initialize_backend_stores(values["store"], database, "mlflow-artifacts:/")
    except MlflowException as error:
        raise CannotStartError(str(error.message)) from error
    # MLflow's modules are here for good. Else the garbage collector looks through all of them again
    # and again while traces are read: a fifth of that time.
    gc.collect()
    gc.freeze()
    return app
