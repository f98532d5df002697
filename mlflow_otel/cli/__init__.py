"""``mlflow-otel``: demo, doctor, env, receive."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from mlflow_otel.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    parser = argparse.ArgumentParser(
        "mlflow-otel", description="MLflow Tracing over OpenTelemetry."
    )
    parser.add_argument("--version", action="version", version=f"mlflow-otel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run a small agent and show the traces that arrive")
    demo.add_argument("--rounds", type=int, default=1, help="times it runs through its turns (1)")
    demo.add_argument("--pause", type=float, default=1.0, help="seconds between two rounds (1)")
    commands.add_parser("doctor", help="check this environment end to end")
    commands.add_parser("env", help="every variable, its effective value and where it came from")
    receive = commands.add_parser("receive", help="receive OTLP on loopback and print the traces")
    receive.add_argument("--grpc-port", type=int, default=4317, help="0 for a free one (4317)")
    receive.add_argument("--http-port", type=int, default=4318, help="0 for a free one (4318)")
    receive.add_argument("--quiet", action="store_true", help="print the ports, not the traces")
    parsed = parser.parse_args(arguments)
    return _command(parsed)()


def _command(parsed: argparse.Namespace) -> Callable[[], int]:
    # Each command is loaded when asked for: `env` must not wait for gRPC and MLflow.
    if parsed.command == "receive":
        from mlflow_otel.cli.receive import receive  # noqa: PLC0415

        return lambda: receive(parsed.grpc_port, parsed.http_port, quiet=parsed.quiet)
    if parsed.command == "demo":
        from mlflow_otel.cli.demo import demo  # noqa: PLC0415

        return lambda: demo(parsed.rounds, parsed.pause)
    if parsed.command == "doctor":
        from mlflow_otel.cli.doctor import doctor  # noqa: PLC0415

        return doctor
    from mlflow_otel.cli.env import env  # noqa: PLC0415

    return env
