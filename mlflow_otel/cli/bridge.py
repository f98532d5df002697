"""``mlflow-otel bridge``: MLflow's clients and OTLP in, OTLP out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mlflow_otel.accounting import ACCOUNTING
from mlflow_otel.backends.model import BackendError
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.bridge.access import Access, read_credentials
from mlflow_otel.cli.circle import sends_to_itself
from mlflow_otel.cli.log_lines import log_to_stderr
from mlflow_otel.export.guards import Guards
from mlflow_otel.export.hooks import SpanToExport
from mlflow_otel.settings import Settings

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
    """
    log_to_stderr(log_format)
    try:
        from mlflow_otel.bridge import server  # noqa: PLC0415 (what it needs may not be installed)
    except ImportError as error:
        print(f"{INSTALL} ({error})", file=sys.stderr)
        return 1
    from mlflow_otel.bridge.feedback import Feedback  # noqa: PLC0415
    from mlflow_otel.bridge.intake import Intake  # noqa: PLC0415
    from mlflow_otel.bridge.reading import Reading  # noqa: PLC0415

    settings = Settings.from_environment()
    circle = sends_to_itself(settings, (grpc, http))
    if circle is not None:
        print(
            f"Cannot start: {circle} is the bridge itself. Set OTEL_EXPORTER_OTLP_ENDPOINT to where "
            "traces are to go, or listen elsewhere with --grpc and --http.",
            file=sys.stderr,
        )
        return 1
    guards = Guards.of(settings, ACCOUNTING)
    try:
        known = () if token_file is None else read_credentials(token_file)
        intake = Intake(settings, guards.options, ACCOUNTING, _keep(guards))
        backend, timeout = open_backend(settings), settings.trace_lookup_timeout
        asyncio.run(
            server.serve(
                intake,
                server.Addresses(grpc, http, *tls),
                Access(known, frozenset(allow_hosts)),
                Feedback(intake, settings.assessment_signals, backend, timeout),
                Reading(intake.memory, backend, guards.options, timeout),
                lambda *both: print("grpc {}\nhttp {}".format(*both), flush=True),
            )
        )
    except (OSError, ValueError, BackendError) as error:
        print(f"Cannot start: {error}.", file=sys.stderr)
        return 1
    intake.close(drain)
    lost = intake.stats().get("dropped", 0)
    if lost:
        print(f"{lost} items were lost; the warnings above say why.", file=sys.stderr)
    return 0


def _keep(guards: Guards) -> Any:
    wanted = guards.keep
    if wanted is None:
        return None

    def keep(name: str, attributes: Mapping[str, Any], scope: str, by_mlflow: bool) -> bool:
        return wanted(SpanToExport(name, attributes, InstrumentationScope(scope), by_mlflow))

    return keep
