"""``mlflow-otel``: demo, doctor, env, receive, bridge, pull, score, ui. Each command is loaded when it is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, cast

import click

from mlflow_otel.cli.pull_command import pull_command
from mlflow_otel.cli.ui_command import ui_command
from mlflow_otel.version import __version__

if TYPE_CHECKING:
    from mlflow_otel.cli.bridge_kafka import KafkaOptions, Role

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
  mlflow-otel ui                        MLflow's own pages over what an app sends, or over Jaeger

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


@main.command(
    "doctor", epilog="Example: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 mlflow-otel doctor"
)
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
def doctor_command(as_json: bool) -> None:
    """Find out what is wrong, from here to the backend.

    Looks at versions and configuration and sends a real request to each endpoint, without content where the backend takes
    that. The exit status is 1 when something is wrong.
    """
    from mlflow_otel.cli.doctor import doctor as run  # noqa: PLC0415

    sys.exit(run(as_json=as_json))


@main.command("env", epilog="Example: mlflow-otel env --all")
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
    "--workers",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Processes that map, each trace in one of them. 0: one process does everything.",
)
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
@click.option(
    "--mlflow-upstream",
    metavar="URL",
    help="An MLflow tracking server that gets everything, too, and answers for runs and experiments.",
)
@click.option(
    "--kafka",
    metavar="HOST:PORT,…",
    help="Brokers of a topic between bridges that accept and bridges that map: for more than one machine.",
)
@click.option(
    "--kafka-role",
    type=click.Choice(["accept", "map", "both"]),
    default="both",
    show_default=True,
    help="What this bridge does: write what clients send, read it and send OTLP, or both.",
)
@click.option("--kafka-topic", default="mlflow-bridge", show_default=True, metavar="TOPIC")
@click.option("--kafka-group", default="mlflow-otel-bridge", show_default=True, metavar="GROUP")
@click.option(
    "--kafka-config", type=FILE, help="More of librdkafka's configuration: key=value lines."
)
def bridge_command(
    grpc: tuple[str, int],
    http: tuple[str, int],
    token_file: str | None,
    allow_host: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    workers: int,
    drain: float,
    log_format: str,
    mlflow_upstream: str | None,
    kafka: str | None,
    kafka_role: str,
    kafka_topic: str,
    kafka_group: str,
    kafka_config: str | None,
) -> None:
    """Receive from MLflow's clients, unmodified, and send OTLP.

    Clients set MLFLOW_TRACKING_URI to the HTTP address. Where to send is what
    OTEL_EXPORTER_OTLP_ENDPOINT says here.
    """
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca and not tls_cert):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if kafka is not None and mlflow_upstream is not None:
        raise click.UsageError("--kafka and --mlflow-upstream do not go together")
    if kafka is not None and workers:
        raise click.UsageError(
            "--kafka needs no --workers: start more bridges with --kafka-role map"
        )
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
            mlflow_upstream=mlflow_upstream,
            workers=workers,
            kafka=_kafka(kafka, kafka_topic, kafka_group, kafka_role, kafka_config),
        )
    )


def _kafka(
    brokers: str | None, topic: str, group: str, role: str, config: str | None
) -> KafkaOptions | None:
    """Return what the options say of Kafka, or None. What they need may not be installed."""
    if brokers is None:
        return None
    from mlflow_otel.cli.bridge_kafka import KafkaOptions  # noqa: PLC0415

    return KafkaOptions(brokers, topic, group, cast("Role", role), config)


main.add_command(pull_command)
main.add_command(ui_command)


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
