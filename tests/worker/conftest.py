"""A worker in this process: traces of an app's go in as bytes, results come out at a receiver."""

from __future__ import annotations

import contextlib

import mlflow
import pytest

import mlflow_otel
from mlflow_otel.accounting import Accounting
from mlflow_otel.receiver.records import Store
from mlflow_otel.receiver.server import Receiver
from mlflow_otel.settings import Settings
from mlflow_otel.worker.service import Waits, open_worker


class Sent(Store):
    """Keeps the bytes of traces."""

    def __init__(self):
        super().__init__()
        self.bodies = []

    def add(self, signal, body):
        super().add(signal, body)
        if signal == "traces":
            self.bodies.append(body)


@pytest.fixture
def app(monkeypatch):
    """Yields what runs code in an instrumented app; it returns the bytes and the spans that left."""

    @contextlib.contextmanager
    def running(**arguments):
        sent = Sent()
        mlflow_otel.uninstrument()
        with Receiver(store=sent) as taken:
            handle = mlflow_otel.instrument(endpoint=taken.grpc_endpoint, **arguments)
            try:
                yield handle, sent
                assert handle.force_flush(20_000)
            finally:
                mlflow_otel.uninstrument()

    return running


@pytest.fixture
def worker(receiver):
    """Yields what makes a worker, which sends to ``receiver``, and what it said so far."""
    made = []

    def make(*scorers, trace_idle=0.0, session_idle=0.0, **overrides):
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}
        settings = Settings.from_environment(environ, **overrides)
        one = open_worker(settings, Accounting(), Waits(trace_idle, session_idle))
        for scorer in scorers:
            one.scorers.start(**(scorer if isinstance(scorer, dict) else {"scorer": scorer}))
        made.append(one)
        return one

    yield make
    for one in made:
        if not one.stopping:
            one.close(5)


def judged(worker, receiver):
    """Have all that is quiet judged; return the evaluation spans that arrived, by name."""
    worker.sweep()
    assert worker.scorers.drain(20)
    assert worker.results.flush(20)
    return evaluations(receiver)


def evaluations(receiver):
    found = {}
    for span in receiver.store.spans():
        name = span["attributes"].get("gen_ai.evaluation.name")
        if name is not None:
            found.setdefault(name, []).append(span)
    return found


@mlflow.trace(name="search", span_type="RETRIEVER")
def search(query):
    return [{"page_content": query}]


@mlflow.trace(name="answer", span_type="AGENT")
def answer(question, **known):
    if known:
        mlflow.update_current_trace(**known)
    search(question)
    return f"It is {question}."
