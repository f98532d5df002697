"""A trace backend that fails in any way: MLflow's calls get one sentence, and never a credential."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.exceptions import MlflowException

from mlflow_otel.mapping.experiment import experiment_id
from mlflow_otel.store.opening import open_traces
from mlflow_otel.store.tracking_store import OtelTraceStore
from tests.delivery.faults import free_port

SHOP = experiment_id("shop")
TRACE = f"tr-{7:032x}"
SECRET = "s3cret-w0rd"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def answer_with(body, status=b"200 OK", length=None):
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\n\r\n"
    return head % (len(body) if length is None else length) + body


FAULTS = {
    "an error of its own": answer_with(
        b"<html>token " + SECRET.encode() + b" failed</html>", b"500 No"
    ),
    "a page of a proxy": answer_with(b"<html>Sign in</html>"),
    "half an answer": answer_with(b'{"data": [{"traceID": "07", "spans": [{"span', length=5000),
    "half an answer in pieces": HEAD + b'transfer-encoding: chunked\r\n\r\n9\r\n{"data": ',
    "half of a document": answer_with(b'{"data": [{"traceID": "07", "spans": [{"span'),
    "no credentials": answer_with(SECRET.encode(), b"401 Unauthorized"),
    "nothing": b"",
    "no HTTP": b"220 mail.example.org ESMTP\r\n",
}


@contextlib.contextmanager
def answering(answer):
    """Yield the port of a server that gives every request an answer; None waits until the end."""
    over = threading.Event()

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            if answer is None:
                over.wait(60)
            else:
                connection.sendall(answer)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        over.set()
        listening.shutdown(socket.SHUT_RDWR)


def store_at(port, timeout=5):
    return OtelTraceStore(open_traces(f"otel+jaeger://127.0.0.1:{port}?timeout={timeout}"))


CALLS = {
    "search": lambda store: store.search_traces([SHOP]),
    "search of all": lambda store: store.search_traces(None, "status = 'ERROR'"),
    "trace": lambda store: store.get_trace(TRACE),
    "several traces": lambda store: store.batch_get_traces([TRACE, f"tr-{8:032x}"]),
    "chart": lambda store: store.query_trace_metrics(
        [SHOP], MetricViewType.TRACES, "trace_count", [MetricAggregation(AggregationType.COUNT)]
    ),
    "tag": lambda store: store.set_trace_tag(TRACE, "a", "b"),
    "experiments": lambda store: store.search_experiments(),
}


def failing(store):
    """Return what each call says."""
    said = {}
    for name, call in CALLS.items():
        with pytest.raises(MlflowException) as caught:
            call(store)
        assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE", name
        said[name] = str(caught.value.message)
    return said


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_with_an_answer_every_call_says_it_in_one_sentence(
    fault, monkeypatch, caplog
):
    monkeypatch.setenv("MLFLOW_OTEL_TRACE_LOOKUP_HEADERS", f"authorization=Bearer%20{SECRET}")
    with answering(FAULTS[fault]) as port:
        said = failing(store_at(port))
    for text in said.values():
        assert f"127.0.0.1:{port}" in text
        assert SECRET not in text
        assert "\n" not in text
    assert SECRET not in caplog.text


def test_a_backend_that_is_not_there_or_does_not_answer_is_said_too():
    failing(store_at(free_port()))
    with answering(None) as port:
        assert all("did not answer" in text for text in failing(store_at(port, 0.2)).values())


def test_an_answer_without_any_trace_is_an_empty_page():
    with answering(answer_with(b'{"data": null}')) as port:
        store = store_at(port)
        assert store.search_traces([SHOP]) == ([], None)
        assert store.search_traces(None) == ([], None)
        assert store.search_experiments() == []
