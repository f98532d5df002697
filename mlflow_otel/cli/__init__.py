"""``mlflow-otel``: demo, doctor, env, receive, bridge, pull, score, ui. Each command is loaded when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from mlflow_otel.cli.pull_command import pull_command
from mlflow_otel.version import __version__

PORT: Final = click.IntRange(0, 65535)
EPILOG: Final = """\b
Examples:
  mlflow-otel demo                      a small agent, and the traces that arrive
  mlflow-otel receive                   show what an app sends to localhost:4317
  mlflow-otel doctor                    find out why nothing arrives
  mlflow-otel env                       the variables that are set
  mlflow-otel bridge                    MLflow's clients in, OTLP out
  mlflow-otel pull http://mlflow:5000   what lies in a tracking server, over OTLP
  mlflow-otel score                     scorers over traces, beside the app
  mlflow-otel ui --jaeger http://localhost:16686    MLflow's own pages over Jaeger

\b
Completion in bash (zsh and fish alike):
  eval "$(_MLFLOW_OTEL_COMPLETE=bash_source mlflow-otel)"
"""


@click.group(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mlflow-otel")
def main() -> None:
    """MLflow Tracing over OpenTelemetry."""


@main.command(
    "demo",
    epilog="Example: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel demo --rounds 30",
)
@click.option(
    "--rounds", type=click.IntRange(1), default=1, show_default=True, help="Times the agent runs."
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Seconds between two rounds.",
)
@click.option("--full", is_flag=True, help="Show messages whole.")
def demo_command(rounds: int, pause: float, full: bool) -> None:
    """Run a small agent and show the traces that arrive.

    With OTEL_EXPORTER_OTLP_ENDPOINT set they go there instead.
    """
    from mlflow_otel.cli.demo import demo as run  # noqa: PLC0415

    sys.exit(run(rounds, pause, full=full))


@main.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
def doctor_command(as_json: bool) -> None:
    """Find out what is wrong, from here to the backend.

    Looks at versions and configuration and sends a real request to each endpoint, without content where the backend takes
    that. The exit status is 1 when something is wrong.
    """
    from mlflow_otel.cli.doctor import doctor as run  # noqa: PLC0415

    sys.exit(run(as_json=as_json))


@main.command("env")
@click.option("--all", "everything", is_flag=True, help="Also the variables that are not set.")
@click.option("--json", "as_json", is_flag=True, help="All of them, as JSON.")
def env_command(everything: bool, as_json: bool) -> None:
    """Show the variables that are set and what holds."""
    from mlflow_otel.cli.env import env as run  # noqa: PLC0415

    sys.exit(run(everything=everything, as_json=as_json))


@main.command("receive", epilog="Example: mlflow-otel receive --grpc-port 0 --http-port 0")
@click.option("--grpc-port", type=PORT, default=4317, show_default=True, help="0 for a free one.")
@click.option("--http-port", type=PORT, default=4318, show_default=True, help="0 for a free one.")
@click.option("--quiet", is_flag=True, help="Print the endpoints, not the traces.")
@click.option("--full", is_flag=True, help="Show messages whole.")
@click.option("--by-session", is_flag=True, help="Show the traces of a session together.")
def receive_command(
    grpc_port: int, http_port: int, quiet: bool, full: bool, by_session: bool
) -> None:
    """Receive OTLP on this machine and show the traces."""
    from mlflow_otel.cli.receive import receive as run  # noqa: PLC0415

    sys.exit(run(grpc_port, http_port, quiet=quiet, full=full, by_session=by_session))


@main.command(
    "ui",
    epilog="Example: mlflow-otel ui --jaeger http://localhost:16686 --otlp http://localhost:4317",
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
def ui_command(
    jaeger: str | None, tempo: str | None, otlp: str | None, port: int, folder: Path
) -> None:
    """Show the traces of Jaeger or Tempo in MLflow's own pages, on this machine.

    It is MLflow's server over the backend. Feedback and tags that are added in the pages go to the backend and come back
    from there. Runs, prompts and datasets are kept in a database in --folder. It needs the full mlflow package.
    """
    if (jaeger is None) == (tempo is None):
        raise click.UsageError("Name one backend: --jaeger URL or --tempo URL.")
    from mlflow_otel.cli.ui import ui as run  # noqa: PLC0415

    backend = f"jaeger+{jaeger}" if jaeger is not None else f"tempo+{tempo}"
    sys.exit(run(backend, otlp, port, folder))


def address(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    """Return the host and the port of ``127.0.0.1:5000`` or ``[::1]:5000``."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


FILE: Final = click.Path(exists=True, dir_okay=False)


@main.command(
    "bridge",
    epilog="Example: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel bridge "
    "--grpc 127.0.0.1:0 --http 127.0.0.1:5000",
)
@click.option(
    "--grpc",
    callback=address,
    default="127.0.0.1:4317",
    show_default=True,
    metavar="HOST:PORT",
    help="OTLP/gRPC.",
)
@click.option(
    "--http",
    callback=address,
    default="127.0.0.1:5000",
    show_default=True,
    metavar="HOST:PORT",
    help="OTLP/HTTP and MLflow's API.",
)
@click.option(
    "--token-file",
    type=FILE,
    help="Ask for credentials: a line each, a token or USER:PASSWORD.",
)
@click.option(
    "--allow-host",
    multiple=True,
    help="A name that clients call this server by; '*' for any. Loopback and private addresses always are.",
)
@click.option("--tls-cert", type=FILE, help="Certificate chain, PEM: TLS on both ports.")
@click.option("--tls-key", type=FILE, help="Its private key, PEM.")
@click.option("--tls-client-ca", type=FILE, help="CA of the clients' certificates, PEM.")
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Seconds to deliver what is held when it ends.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How warnings are written to standard error: for people, or a line of JSON each.",
)
def bridge_command(
    grpc: tuple[str, int],
    http: tuple[str, int],
    token_file: str | None,
    allow_host: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    drain: float,
    log_format: str,
) -> None:
    """Receive from MLflow's clients, unmodified, and send OTLP.

    Clients set MLFLOW_TRACKING_URI to the HTTP address. Where to send is what
    OTEL_EXPORTER_OTLP_ENDPOINT says here.
    """
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca and not tls_cert):
        raise click.UsageError("--tls-cert and --tls-key go together")
    from mlflow_otel.cli.bridge import bridge as run  # noqa: PLC0415

    sys.exit(
        run(
            grpc,
            http,
            token_file=token_file,
            allow_hosts=allow_host,
            tls=(tls_cert, tls_key, tls_client_ca),
            drain=drain,
            log_format=log_format,
        )
    )


main.add_command(pull_command)


@main.command(
    "score",
    epilog="Example: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel score "
    "--scorers my_app.quality:SCORERS",
)
@click.option(
    "--scorers",
    metavar="PACKAGE.MODULE:NAME",
    help="A list of scorers; else what MLFLOW_OTEL_SCORERS names.",
)
@click.option(
    "--grpc",
    callback=address,
    default="127.0.0.1:4337",
    show_default=True,
    metavar="HOST:PORT",
    help="OTLP/gRPC.",
)
@click.option(
    "--http",
    callback=address,
    default="127.0.0.1:4338",
    show_default=True,
    metavar="HOST:PORT",
    help="OTLP/HTTP, /healthz, /readyz and /metrics.",
)
@click.option("--tls-cert", type=FILE, help="Certificate chain, PEM: TLS on both ports.")
@click.option("--tls-key", type=FILE, help="Its private key, PEM.")
@click.option("--tls-client-ca", type=FILE, help="CA of the clients' certificates, PEM.")
@click.option("--kafka", metavar="HOST:PORT,…", help="Brokers: read a topic of otlp_proto too.")
@click.option("--kafka-topic", default="mlflow-traces", show_default=True, metavar="TOPIC")
@click.option("--kafka-group", default="mlflow-otel-score", show_default=True, metavar="GROUP")
@click.option(
    "--kafka-config", type=FILE, help="More of librdkafka's configuration: key=value lines."
)
@click.option(
    "--from",
    "source",
    metavar="BACKEND",
    help="Score past traces instead: jaeger+http://…, tempo+http://…, mlflow or mlflow+http://….",
)
@click.option("--since", default="24h", show_default=True, help="Of --from: how long ago, or when.")
@click.option("--until", help="Of --from: the same; now if not given.")
@click.option("--filter", "filter_string", help="Of --from: as in mlflow.search_traces.")
@click.option(
    "--service", multiple=True, help="Of --from: a service, or an experiment of MLflow's."
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    help="Of --from: a file that notes how far it came, to go on there.",
)
@click.option("--again", is_flag=True, help="Of --from: also what a scorer has judged before.")
@click.option("--dry-run", is_flag=True, help="Of --from: count, and judge nothing.")
@click.option(
    "--trace-idle",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Seconds without a span after which a trace with a root is whole.",
)
@click.option(
    "--session-idle",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Seconds without a trace after which a session is judged.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Seconds to judge and deliver what is held when it ends.",
)
def score_command(
    scorers: str | None,
    grpc: tuple[str, int],
    http: tuple[str, int],
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    kafka: str | None,
    kafka_topic: str,
    kafka_group: str,
    kafka_config: str | None,
    source: str | None,
    since: str,
    until: str | None,
    filter_string: str | None,
    service: tuple[str, ...],
    checkpoint: str | None,
    again: bool,
    dry_run: bool,
    trace_idle: float,
    session_idle: float,
    drain: float,
) -> None:
    """Run scorers over traces that a Collector or Kafka sends here, or over past ones (--from).

    Results go to OTEL_EXPORTER_OTLP_ENDPOINT.
    """
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca and not tls_cert):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if source is not None:
        from mlflow_otel.cli import backfill  # noqa: PLC0415

        past = backfill.Past(
            source, since, until, filter_string, service, checkpoint, again, dry_run
        )
        sys.exit(backfill.backfill(scorers, past))
    from mlflow_otel.cli import score  # noqa: PLC0415
    from mlflow_otel.worker.service import Waits  # noqa: PLC0415

    listening = score.Listening(
        grpc,
        http,
        (tls_cert, tls_key, tls_client_ca),
        kafka,
        kafka_topic,
        kafka_group,
        kafka_config,
    )
    sys.exit(score.score(scorers, listening, Waits(trace_idle, session_idle), drain))
