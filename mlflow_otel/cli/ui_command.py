"""The options of ``mlflow-otel ui``; what it does is loaded when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

PORT: Final = click.IntRange(0, 65535)


@click.command(
    "ui",
    epilog="""\b
Examples:
  mlflow-otel ui
  mlflow-otel ui --jaeger http://localhost:16686 --otlp http://localhost:4317""",
)
@click.option(
    "--jaeger", metavar="URL", help="Jaeger's query service, such as http://localhost:16686."
)
@click.option("--tempo", metavar="URL", help="Tempo, such as http://localhost:3200.")
@click.option(
    "--otlp",
    metavar="URL",
    help="Where feedback and tags that are added in the pages are sent; else OTEL_EXPORTER_OTLP_ENDPOINT.",
)
@click.option("--port", type=PORT, default=5000, show_default=True, help="0 for a free one.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".mlflow-otel",
    show_default=True,
    help="Where runs, prompts and datasets are kept.",
)
@click.option(
    "--grpc-port",
    type=PORT,
    default=4317,
    show_default=True,
    help="Without a backend: OTLP/gRPC; 0 for a free one.",
)
@click.option(
    "--http-port",
    type=PORT,
    default=4318,
    show_default=True,
    help="Without a backend: OTLP/HTTP; 0 for a free one.",
)
@click.option(
    "--memory",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    metavar="MIB",
    help="Without a backend: how much of traces is kept, as they came. The oldest are forgotten.",
)
def ui_command(
    jaeger: str | None,
    tempo: str | None,
    otlp: str | None,
    port: int,
    folder: Path,
    grpc_port: int,
    http_port: int,
    memory: int,
) -> None:
    """Show traces in MLflow's own pages, on this machine.

    Without a backend it takes OTLP itself and keeps the traces in memory until it ends. With --jaeger or --tempo it shows
    the traces there; feedback and tags that are added in the pages go there and come back. Runs, prompts and datasets
    are kept in a database in --folder. It needs the full mlflow package.
    """
    if jaeger is not None and tempo is not None:
        raise click.UsageError("Name one backend: --jaeger URL or --tempo URL.")
    from mlflow_otel.cli import ui  # noqa: PLC0415

    if jaeger is None and tempo is None:
        if otlp is not None:
            raise click.UsageError("--otlp needs a backend: --jaeger URL or --tempo URL.")
        sys.exit(ui.of_memory(ui.Ports(port, grpc_port, http_port), memory * 1024 * 1024, folder))
    backend = f"jaeger+{jaeger}" if jaeger is not None else f"tempo+{tempo}"
    sys.exit(ui.of_backend(backend, otlp, port, folder))
