"""The options of ``mlflow-otel pull``."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

import click


@click.command(
    "pull",
    epilog="Example: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel pull "
    "http://mlflow:5000 --checkpoint pulled.jsonl",
)
@click.argument("server", required=False)
@click.option("--experiment", multiple=True, help="A name or an ID; all experiments else.")
@click.option("--filter", "filter_string", default="", help="MLflow's filter of traces.")
@click.option("--since", type=click.DateTime(), help="Traces that began then or later, UTC.")
@click.option("--until", type=click.DateTime(), help="Traces that began earlier, UTC.")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    help="File of what was sent; started again, it goes on from there.",
)
@click.option("--follow", is_flag=True, help="Go on with new traces, and with changes of old ones.")
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="Seconds between two rounds of --follow.",
)
@click.option(
    "--changed-within",
    type=click.FloatRange(0),
    default=168.0,
    show_default=True,
    help="Hours: how old traces may be whose changes --follow looks for.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def pull_command(
    server: str | None,
    experiment: tuple[str, ...],
    filter_string: str,
    since: datetime | None,
    until: datetime | None,
    checkpoint: str | None,
    follow: bool,
    every: float,
    changed_within: float,
    dry_run: bool,
) -> None:
    """Send what lies in an MLflow tracking server over OTLP, with its own IDs and times.

    SERVER is its URL, else MLFLOW_TRACKING_URI. The traces go to OTEL_EXPORTER_OTLP_ENDPOINT.
    With MLFLOW_OTEL_TRACE_LOOKUP the backend is asked first, and what it has is not sent again.
    """
    from mlflow_otel.cli.pull import Choice, pull  # noqa: PLC0415

    choice = Choice(
        experiment,
        filter_string,
        0 if since is None else _milliseconds(since),
        None if until is None else _milliseconds(until),
        None if checkpoint is None else Path(checkpoint),
        follow,
        every,
        changed_within,
        dry_run,
    )
    sys.exit(pull(server, choice))


def _milliseconds(at: datetime) -> int:
    return int(at.replace(tzinfo=timezone.utc).timestamp() * 1000)
