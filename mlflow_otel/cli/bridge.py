"""``mlflow-otel bridge``: MLflow's clients and OTLP in, OTLP out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from mlflow_otel import wording
from mlflow_otel.backends.model import BackendError
from mlflow_otel.bridge.access import Access, read_credentials
from mlflow_otel.cli.circle import sends_to_itself
from mlflow_otel.cli.log_lines import log_to_stderr
from mlflow_otel.receiver.kafka import KafkaError
from mlflow_otel.settings import Settings

if TYPE_CHECKING:
    from mlflow_otel.cli.bridge_kafka import KafkaOptions

DRAIN_SECONDS: Final = 20.0
INSTALL: Final = "The bridge needs further packages: pip install 'mlflow-otel[bridge]'"


def bridge(
    grpc: tuple[str, int],
    http: tuple[str, int],
    *,
    token_file: str | None,
    allow_hosts: tuple[str, ...],
    tls: tuple[str | None, str | None, str | None],
    drain: float = DRAIN_SECONDS,
    log_format: str = "text",
    mlflow_upstream: str | None = None,
    workers: int = 0,
    kafka: KafkaOptions | None = None,
) -> int:
    """Serve until interrupted, then deliver what is held.

    Args:
        grpc: Host and port for OTLP/gRPC; port 0 for a free one.
        http: The same for OTLP/HTTP and MLflow's API.
        token_file: Lines with the credentials that are accepted; None: nobody is asked.
        allow_hosts: Names that requests may be for, besides loopback and private addresses.
        tls: PEM files of certificate chain, private key and clients' CA.
        drain: Seconds that delivery may take at the end.
        log_format: How warnings are written: ``text`` or ``json``.
        mlflow_upstream: URL of a tracking server that gets everything, too; None: there is none.
        workers: Processes that map; 0: this one does.
        kafka: A topic between those that accept and those that map; None: this process does both.
    """
    log_to_stderr(log_format)
    try:
        from mlflow_otel.cli import bridge_serving  # noqa: PLC0415 (what it needs may not be installed)
    except ImportError as error:
        print(f"{INSTALL} ({error})", file=sys.stderr)
        return 1
    settings = Settings.from_environment()
    circle = sends_to_itself(settings, (grpc, http), mlflow_upstream)
    if circle is not None:
        print(
            f"Cannot start: {wording.endpoint(circle)} is the bridge itself. Name where traces are to go "
            "(OTEL_EXPORTER_OTLP_ENDPOINT, --mlflow-upstream), or listen elsewhere (--grpc, --http).",
            file=sys.stderr,
        )
        return 1
    try:
        access = _access(token_file, allow_hosts, mlflow_upstream)
        inside = bridge_serving.Inside(workers, drain, log_format, mlflow_upstream, kafka)
        addresses = bridge_serving.Addresses(grpc, http, *tls)
        stats, failed = bridge_serving.serve(settings, addresses, access, inside)
    except (OSError, ValueError, BackendError, KafkaError) as error:
        print(f"Cannot start: {error}.", file=sys.stderr)
        return 1
    lost = stats.get("dropped", 0)
    if lost:
        print(f"{lost} items were lost; the warnings above say why.", file=sys.stderr)
    if failed is not None:
        print(f"Ended: {failed}.", file=sys.stderr)
    return 0 if failed is None else 1


def _access(token_file: str | None, allow_hosts: tuple[str, ...], upstream: str | None) -> Access:
    """Return who may send.

    Raises:
        OSError: The file of tokens cannot be read.
        ValueError: It has none, or it does not go with the other options.
    """
    known = () if token_file is None else read_credentials(token_file)
    access = Access(known, frozenset(allow_hosts))
    if access.has_prefixes and upstream is not None:
        raise ValueError(
            f"{token_file} gives experiments a prefix, and with --mlflow-upstream they are the tracking "
            "server's: leave out one of both"
        )
    return access
