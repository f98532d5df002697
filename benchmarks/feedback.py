"""What a caller of ``log_feedback`` waits, all three signals on, and of MLflow's into its own store."""

from __future__ import annotations

from benchmarks.measure import in_process, in_turn, table

APP = """
import gc, logging, os, statistics, time
import mlflow
from mlflow.entities import AssessmentSource
logging.disable(logging.CRITICAL)
if {ours}:
    import mlflow_otel
    mlflow_otel.instrument()
with mlflow.start_span("root") as span:
    mlflow.update_current_trace(client_request_id="req-1", session_id="s-1", user="u-1", tags={{"environment": "bench"}})
mlflow.flush_trace_async_logging() if not {ours} else None
source = AssessmentSource("HUMAN", "ann@example.com")
def call(): mlflow.log_feedback(trace_id=span.trace_id, name="correct", value=True, source=source, rationale="It is Paris.")
def by_request(): mlflow_otel.log_feedback(client_request_id="req-1", name="correct", value=True, source=source, rationale="It is Paris.")
run = by_request if {by_request} else call
def batch():
    gc.collect(); gc.disable()
    waited = []
    for _ in range({number}):
        started = time.perf_counter()
        run()
        waited.append(time.perf_counter() - started)
        if {pause}:
            time.sleep({pause})
    gc.enable()
    return statistics.median(waited) * 1e6
batch()
print(statistics.median(batch() for _ in range(7)), flush=True)
os._exit(0)
"""
# Nothing listens: the caller is not to notice. Batches go out a minute later, so that what is measured
# is the caller's thread and not the export's, which is the exporter's in other tables.
QUIET = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "OTEL_BLRP_SCHEDULE_DELAY": "600000",
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "2048",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048",
}


def tables(tmp):
    """Yield the table."""

    def ours(pause, *, by_request=False):
        code = APP.format(ours=True, by_request=by_request, number=60, pause=pause)
        return lambda: float(in_process(code, QUIET))

    def theirs():
        environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp}/feedback.db"}
        code = APP.format(ours=False, by_request=False, number=10, pause=0)
        return float(in_process(code, environ))

    peers = {
        "mlflow-otel, one call after the other": ours(0),
        "the same by client request ID of a recent trace": ours(0, by_request=True),
        "mlflow-otel, a call after 3 ms of idleness": ours(0.003),
        "MLflow into its SQLite store, no network, one after the other": theirs,
    }
    rows = [[name, f"{cost:.0f}"] for name, cost in in_turn(peers, 5).items()]
    yield "A call of log_feedback, as its caller waits", table(["", "µs/call"], rows)
