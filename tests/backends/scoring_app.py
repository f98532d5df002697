"""MLflow's own scorers on our traces: ``@scorer``, a judge over a scripted model, built-in code scorers.

Prints what each said, what a scorer saw beside what ``mlflow.get_trace`` shows, and what was refused.
"""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import (
    RegexMatch,
    ResponseLength,
    Safety,
    Scorer,
    ScorerSamplingConfig,
    scorer,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mlflow_otel
from mlflow_otel.scoring.mlflow_adapter import prepare

USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
ANSWER = json.dumps({"result": "friendly", "rationale": "It says please."})


class Model(BaseHTTPRequestHandler):
    """A chat model that always says the same."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": ANSWER},
        }
        body = {
            "id": "c-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [choice],
            "usage": USAGE,
        }
        written = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *args):
        pass


@scorer
def words(outputs):
    return len(outputs.split())


@scorer
def look(trace, inputs, outputs):
    seen.append((trace, inputs, outputs))
    return True


@scorer
async def later(outputs):
    return True


def above(least):
    def longer(outputs):
        return len(outputs) > least

    return longer


class Above(Scorer):
    """A class of the user's, which MLflow does not serialize."""

    name: str = "above"
    least: int

    def __call__(self, *, outputs):
        return len(outputs) > self.least


@mlflow.trace(span_type="TOOL")
def search(query):
    return {"found": query}


@mlflow.trace(span_type="AGENT")
def answer(question):
    mlflow.update_current_trace(
        tags={"environment": "production"},
        metadata={"mlflow.trace.session": "s-1"},
        client_request_id="req-1",
    )
    search(question)
    return "It is Paris, please."


def shape(trace):
    """What a trace says, without what only a server adds."""
    info = trace.info
    return {
        "id": info.trace_id,
        "state": str(info.state),
        "request": info.client_request_id,
        "session": info.trace_metadata.get("mlflow.trace.session"),
        "tags": {k: info.tags.get(k) for k in ("mlflow.traceName", "environment")},
        "previews": [json.loads(info.request_preview), info.response_preview.strip('"')],
        "spans": [
            [s.name, s.span_type, s.inputs, s.outputs, s.parent_id, str(s.status.status_code)]
            for s in trace.data.spans
        ],
    }


seen = []


def refused(start):
    try:
        start()
    except mlflow_otel.ScorerError as error:
        return str(error)
    return None


def main():
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    mlflow.set_experiment("scored")
    memory = InMemorySpanExporter()
    handle = mlflow_otel.instrument(exporter=memory)
    judge = make_judge(
        name="tone",
        instructions="Is the answer friendly? {{ outputs }}",
        model="openai:/gpt-4o-mini",
    )
    without_key = [refused(partial(handle.scorers.start, one)) for one in (judge, Safety())]
    asynchronous = refused(lambda: handle.scorers.start(later))
    digests = [prepare(scorer(above(least))).digest for least in (1, 2, 1)]
    digests += [prepare(Above(least=least)).digest for least in (1, 2, 1)]
    os.environ["OPENAI_API_KEY"] = "none"
    os.environ["OPENAI_BASE_URL"] = os.environ["OPENAI_API_BASE"] = (
        f"http://127.0.0.1:{model.server_port}/v1"
    )
    assert mlflow_otel.ScorerSamplingConfig is ScorerSamplingConfig
    started = (words, look, judge, RegexMatch(pattern="Paris"), ResponseLength(max_length=100))
    for one in started:
        handle.scorers.start(one, ScorerSamplingConfig(1.0, "tags.environment = 'production'"))
    answer("Where?")
    flushed = handle.force_flush(60_000)
    mlflow.flush_trace_async_logging()
    said = {
        span.attributes["gen_ai.evaluation.name"]: dict(span.attributes)
        for span in memory.get_finished_spans()
        if "gen_ai.evaluation.name" in span.attributes
    }
    trace_id = mlflow.get_last_active_trace_id()
    stored = mlflow.get_trace(trace_id)
    print(
        json.dumps(
            {
                "flushed": flushed,
                "without_key": without_key,
                "asynchronous": asynchronous,
                "digests": digests,
                "said": said,
                "traces": len({s.context.trace_id for s in memory.get_finished_spans()}),
                "started": [one.name for one in handle.scorers.list()],
                "seen": shape(seen[0][0]),
                "given": seen[0][1:],
                "stored": shape(stored),
                "assessments": {a.name: a.assessment_id for a in stored.info.assessments},
            }
        )
    )
    mlflow_otel.uninstrument()


if __name__ == "__main__":
    main()
