"""What a start costs: CPU of a process that imports, beside what an app imports anyway."""

from __future__ import annotations

from benchmarks.measure import in_process, in_turn, table

ROUNDS = 7
EXPORTER = "from opentelemetry.exporter.otlp.proto.{0} import OTLPSpanExporter"
PEERS = {
    "Python alone": "pass",
    "the OpenTelemetry SDK and its OTLP exporter over gRPC": (
        "import opentelemetry.sdk.trace.export; " + EXPORTER.format("grpc.trace_exporter")
    ),
    "import mlflow_otel": "import mlflow_otel",
    "mlflow_otel.instrument, imported": "from mlflow_otel import instrument",
    "import mlflow": "import mlflow",
    "mlflow-otel --help": "import runpy; sys.argv = ['mlflow-otel', '--help']; runs('mlflow_otel')",
    "mlflow --help": "import runpy; sys.argv = ['mlflow', '--help']; runs('mlflow')",
}
RUN = """
import contextlib, io, sys, time
def runs(module):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        runpy.run_module(module, run_name='__main__', alter_sys=True)
{code}
print(time.process_time() * 1000)
"""


def tables():
    """Yield the table."""
    peers = {
        name: lambda code=code: float(in_process(RUN.format(code=code), {}))
        for name, code in PEERS.items()
    }
    found = in_turn(peers, ROUNDS)
    rows = [(name, f"{millis:.0f}") for name, millis in found.items()]
    yield "CPU of a start", table(("", "ms"), rows)
