"""Trace backends: what each is asked, what is read of its answer, what fails. The real Jaeger is in tests/backends."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import threading
import time
import urllib.request
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mlflow_otel import Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.backends import http_api
from mlflow_otel.backends.memory import MemoryBackend
from mlflow_otel.backends.mlflow_server import clause_of
from mlflow_otel.backends.model import (
    BackendError,
    BackendTrace,
    Condition,
    TraceQuery,
    TraceSummary,
)
from mlflow_otel.backends.narrowing import newest_by_narrowing
from mlflow_otel.backends.opening import open_backend
from mlflow_otel.backends.otlp_json import spans_of
from tests.delivery.faults import free_port

REFUSED = b"range specified by start and end exceeds 168h0m0s"


class Api:
    """Answers every GET with ``answers`` by path, or what they return for its query; keeps what was asked."""

    def __init__(self, answers, status=200):
        self.asked = []
        outer = self

        class Handle(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                outer.asked.append((parts.path, parse_qs(parts.query), dict(self.headers)))
                body = answers.get(parts.path)
                body = body(parse_qs(parts.query)) if callable(body) else body
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                refused = body == REFUSED
                self.send_response(400 if refused else status if parts.path in answers else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handle)
        self.url = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def backend_for(where):
    return open_backend(
        Settings.from_environment({"MLFLOW_OTEL_TRACE_LOOKUP": where}, Accounting())
    )


def query(request="req-1", **fields):
    now = time.time_ns()
    condition = Condition("mlflow.trace.client_request_id", request)
    return TraceQuery((condition,), now - 3600 * 10**9, now, **fields)


TRACE = "2f3e0cee77ae5dc9c17ade3689eb2e54"
TEMPO_ANSWER = {
    "traces": [
        {
            "traceID": TRACE,
            "rootServiceName": "chat",
            "startTimeUnixNano": "1700000000000000000",
            "spanSets": [
                {
                    "spans": [
                        {
                            "spanID": "563d623c76514f8e",
                            "startTimeUnixNano": "1700000000000000000",
                            "attributes": [
                                {"key": "session.id", "value": {"stringValue": "s-1"}},
                                {"key": "mlflow.trace.state", "value": {"stringValue": "OK"}},
                            ],
                        }
                    ],
                    "matched": 1,
                }
            ],
        }
    ],
    "metrics": {},
}
"""As https://grafana.com/docs/tempo/latest/api_docs/ shows it; no Tempo runs in these tests."""


def test_tempo_is_asked_in_traceql_for_the_entry_span_of_the_request():
    with Api({"/tempo/api/search": TEMPO_ANSWER}) as api:
        asked = query('req "1"', services=("chat",))._replace(name='say "hello"')
        (trace,) = backend_for(f"tempo+http://{api.url}/tempo").find(asked, 5)
    assert trace.trace_id == int(TRACE, 16)
    assert trace.root == 0x563D623C76514F8E
    assert trace.start == 1_700_000_000_000_000_000
    assert trace.attributes["session.id"] == "s-1"
    ((_, sent, _),) = api.asked
    text = sent["q"][0]
    assert r'span."mlflow.trace.client_request_id" = "req \"1\""' in text
    assert 'span."mlflow.trace.state" != nil' in text
    assert '(resource.service.name = "chat")' in text
    assert r'name = "say \"hello\""' in text
    assert "select(" in text
    assert int(sent["start"][0]) < int(sent["end"][0])


@given(st.lists(st.integers(0, 60 * 24 * 3600), min_size=1, max_size=8, unique=True))
@settings(max_examples=20, deadline=None)
def test_tempo_is_asked_for_no_longer_time_than_it_searches_and_nothing_is_left_out(ages):
    now = time.time_ns() // 10**9 * 10**9
    held = {number: now - age * 10**9 for number, age in enumerate(ages, 1)}

    def search(asked):
        start, end = (int(asked[name][0]) for name in ("start", "end"))
        if end - start > 168 * 3600:
            return REFUSED
        traces = [
            {"traceID": f"{number:032x}", "startTimeUnixNano": str(at)}
            for number, at in held.items()
            if start <= at // 10**9 < end
        ]
        return json.dumps({"traces": traces[: int(asked["limit"][0])]}).encode()

    with Api({"/api/search": search}) as api:
        backend = backend_for(f"tempo+http://{api.url}")
        for days in (1, 30, 60):
            start = now - days * 24 * 3600 * 10**9
            found = backend.find(TraceQuery((), start, now, limit=100), 5)
            assert {t.trace_id for t in found} == {i for i, at in held.items() if at >= start}


OTLP_JSON = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "chat"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "mlflow_otel"},
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": "563d623c76514f8e",
                            "name": "chat",
                            "kind": 3,
                            "startTimeUnixNano": "1700000000000000001",
                            "endTimeUnixNano": "1700000000000000777",
                            "status": {"code": 2, "message": "no"},
                            "attributes": [
                                {"key": "n", "value": {"intValue": "42"}},
                                {
                                    "key": "many",
                                    "value": {
                                        "arrayValue": {
                                            "values": [{"boolValue": True}, {"doubleValue": 1.5}]
                                        }
                                    },
                                },
                                {
                                    "key": "nested",
                                    "value": {
                                        "kvlistValue": {
                                            "values": [{"key": "a", "value": {"stringValue": "b"}}]
                                        }
                                    },
                                },
                                {"key": "@jaeger@warnings", "value": {"stringValue": "clock skew"}},
                                {"key": "mlflow.trace.state", "value": {"stringValue": "OK"}},
                            ],
                            "events": [{"name": "e", "timeUnixNano": "5"}],
                            "links": [{"traceId": TRACE, "spanId": "563d623c76514f8e"}],
                        }
                    ],
                }
            ],
        }
    ]
}


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        ("jaeger", f"/api/v3/traces/{TRACE}", {"result": OTLP_JSON}),
        ("tempo", f"/api/v2/traces/{TRACE}", {"trace": OTLP_JSON, "metrics": {}}),
    ],
)
def test_a_trace_comes_with_nanoseconds_types_and_nested_values(kind, path, answer):
    with Api({path: answer}) as api:
        backend = backend_for(f"{kind}+http://{api.url}")
        trace = backend.get(int(TRACE, 16), 5)
        assert backend.get(1, 5) is None  # 404
    (span,) = trace.spans
    assert (span.start, span.end) == (1700000000000000001, 1700000000000000777)
    assert (span.kind, span.status, span.status_message) == ("CLIENT", "ERROR", "no")
    assert span.attributes == {
        "n": 42,
        "many": [True, 1.5],
        "nested": {"a": "b"},
        "mlflow.trace.state": "OK",
    }
    assert span.resource == {"service.name": "chat"}
    assert span.links == ((int(TRACE, 16), 0x563D623C76514F8E),)
    assert trace.summary.root == span.span_id


def test_tempos_ids_in_base64_are_read_too():
    spans = json.loads(json.dumps(OTLP_JSON))
    (span,) = spans["resourceSpans"][0]["scopeSpans"][0]["spans"]
    span["spanId"] = base64.b64encode(bytes.fromhex("563d623c76514f8e")).decode()
    span["kind"], span["status"]["code"] = "SPAN_KIND_CLIENT", "STATUS_CODE_ERROR"
    (read,) = spans_of(spans)
    assert (read.span_id, read.kind, read.status) == (0x563D623C76514F8E, "CLIENT", "ERROR")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "spanId",
                    "attributes",
                    "key",
                    "value",
                    "intValue",
                    "arrayValue",
                    "kvlistValue",
                    "values",
                    "events",
                    "links",
                    "status",
                    "code",
                    "data",
                    "traces",
                    "traceID",
                    "spanSets",
                    "spanID",
                    "tags",
                    "startTime",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_an_answer_of_any_shape_is_read_or_left_out_and_never_an_error(answer):
    list(spans_of(answer))
    list(spans_of({"resourceSpans": [{"scopeSpans": [{"spans": [answer]}]}]}))


@settings(max_examples=25, deadline=None)
@given(JSON, st.sampled_from(["jaeger", "tempo"]))
def test_a_search_answered_with_any_json_has_traces_or_none(answer, kind):
    held = {"data": [answer, {"traceID": "1", "spans": [answer]}], "traces": [answer]}
    with Api({"/api/traces": held, "/api/search": held}) as api:
        found = backend_for(f"{kind}+http://{api.url}?service=chat").find(query(), 5)
    assert all(trace.trace_id for trace in found)


@pytest.mark.parametrize("answer", [{}, {"traces": None}, {"traces": []}, []])
def test_tempo_that_knows_no_trace_gives_none(answer):
    with Api({"/api/search": answer}) as api:
        assert backend_for(f"tempo+http://{api.url}").find(query(), 5) == []


def test_services_are_listed_by_either():
    values = {
        "tagValues": [{"type": "string", "value": "shop"}, {"type": "string", "value": "chat"}]
    }
    answers = {
        "/api/services": {"data": ["shop", "chat"]},
        "/api/v2/search/tag/resource.service.name/values": values,
    }
    with Api(answers) as api:
        for kind in ("jaeger", "tempo"):
            assert backend_for(f"{kind}+http://{api.url}").services(5) == ["chat", "shop"]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 5000), max_size=60),
    st.integers(1, 12),
    st.integers(0, 2500),
    st.integers(2500, 5000),
    st.randoms(use_true_random=False),
)
def test_narrowing_gives_the_newest_whatever_part_a_full_answer_has(
    starts, limit, first, last, chance
):
    held = [TraceSummary(number, None, start, {}) for number, start in enumerate(starts)]

    def ask(start, end):
        inside = [trace for trace in held if start <= trace.start <= end]
        chance.shuffle(inside)
        return inside[:limit], len(inside) < limit

    asked = TraceQuery((), first, last, limit=limit)
    answer = newest_by_narrowing(asked, ask, 1)
    wanted = sorted((t.start for t in held if first <= t.start <= last), reverse=True)[:limit]
    got = [trace.start for trace in answer]
    if len(set(starts)) == len(starts):  # of those within the smallest window any may be taken
        assert got == wanted
    assert got == sorted(got, reverse=True)
    assert len({trace.trace_id for trace in answer}) == len(answer)


@pytest.mark.parametrize("kind", ["tempo", "jaeger"])
@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"<html>", 200), ({"error": "no"}, 500), ({}, 401), (b"[" * 100_000, 200)],
)
def test_a_backend_that_answers_otherwise_is_named_without_its_credentials(kind, answer, status):
    answers = {"/api/search": answer, "/api/services": answer}
    with Api(answers, status) as api:
        backend = backend_for(f"{kind}+http://ann:secret@{api.url}")
        with pytest.raises(BackendError, match=api.url) as raised:
            backend.find(query(), 5)
        assert api.asked[0][2]["Authorization"].startswith("Basic ")
    assert "secret" not in str(raised.value) + backend.where
    assert "ann" not in backend.where


def test_a_backend_that_repeats_its_credentials_shows_none_of_them():
    with Api({"/api/search": b"user ann, password s3cret-word\nERROR forged"}, 403) as api:
        backend = backend_for(f"tempo+http://ann:s3cret-word@{api.url}")
        with pytest.raises(BackendError) as raised:
            backend.find(query(), 5)
    assert "s3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["tempo", "jaeger"])
def test_a_backend_that_is_not_there_is_named(kind):
    port = free_port()
    with pytest.raises(BackendError, match=f"127.0.0.1:{port}.* did not answer"):
        backend_for(f"{kind}+http://127.0.0.1:{port}").find(query(), 5)


def raw_server(answer):
    """Serve one connection with ``answer``; return the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listening.accept()
        try:
            connection.recv(65536)
            answer(connection)
        except OSError:
            pass
        finally:
            connection.close()
            listening.close()

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1]


def drip_body(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def go_on_for_ever(connection):
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


@pytest.mark.parametrize("answer", [drip_body, drip_headers, go_on_for_ever])
def test_an_answer_that_never_ends_is_given_up_at_the_time_out(answer):
    backend = backend_for(f"tempo+http://127.0.0.1:{raw_server(answer)}")
    with pytest.raises(BackendError, match="did not answer"):
        backend.find(query(), 0.5)


def test_an_answer_is_read_up_to_a_size(monkeypatch):
    monkeypatch.setattr(http_api, "MAX_ANSWER_BYTES", 1000)
    with (
        Api({"/api/search": b" " * 200_000}) as api,
        pytest.raises(BackendError, match="1000 bytes"),
    ):
        backend_for(f"tempo+http://{api.url}").find(query(), 5)


@pytest.mark.parametrize(
    "named",
    [
        "elastic+http://host",
        "jaeger",
        "jaeger+",
        "http://host:16686",
        "https://host:4317",
        "jaeger+http://[host",
    ],
)
def test_what_names_no_backend_is_refused_with_what_would(named):
    with pytest.raises(BackendError, match=r"jaeger\+http://host:16686"):
        backend_for(named)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("jaeger+host:9", "jaeger+http://host:9"),
        ("jaeger://host:9", "jaeger+http://host:9"),
        ("tempo+host", "tempo+http://host"),
        ("host:16686", "jaeger+http://host:16686"),
        ("jaeger:16686", "jaeger+http://jaeger:16686"),
        ("https://ann:secret@host:3200/path", "tempo+https://host:3200/path"),
        ("HTTP://host:5000", "mlflow+http://host:5000"),
    ],
)
def test_what_names_no_backend_is_told_what_was_meant_where_that_is_plain(named, meant):
    with pytest.raises(BackendError) as raised:
        backend_for(named)
    assert raised.value.todo == f"write {meant}"


def test_mlflow_without_a_server_says_what_is_missing():
    with pytest.raises(BackendError, match="MLFLOW_TRACKING_URI"):
        backend_for("mlflow")
    assert backend_for("") is None


def test_mlflow_is_asked_in_its_own_words():
    where = "MLflow's server"
    assert (
        clause_of(Condition("session.id", "it's"), where)
        == 'metadata.`mlflow.trace.session` = "it\'s"'
    )
    assert clause_of(Condition("mlflow.traceTag.env", "prod"), where) == "tag.`env` = 'prod'"
    assert clause_of(Condition("session.id", "'\""), where) is None
    for key in ("gen_ai.request.model", "mlflow.traceTag.a`b"):
        with pytest.raises(BackendError, match="cannot be searched by"):
            clause_of(Condition(key, "x"), where)


class Traces:
    """A process's traces, given."""

    def __init__(self, *summaries):
        self._summaries = summaries

    def summaries(self, _conditions):
        return self._summaries

    def get(self, trace_id):
        held = [s for s in self._summaries if s.trace_id == trace_id]
        return BackendTrace(held[0], ()) if held else None

    def services(self):
        return ["chat"]


def test_this_processs_traces_are_asked_as_any_backend():
    old = TraceSummary(1, 7, 10, {"session.id": "s", "n": 3})
    new = TraceSummary(2, 8, 20, {"session.id": "s"})
    other = TraceSummary(3, 9, 30, {"session.id": "t"})
    backend = MemoryBackend(Traces(old, new, other))
    session = Condition("session.id", "s")
    assert backend.find(TraceQuery((session,), 0, 100), 1) == [new, old]
    assert backend.find(TraceQuery((session,), 0, 100, limit=1), 1) == [new]
    assert backend.find(TraceQuery((session,), 0, 15), 1) == [old]
    assert backend.find(TraceQuery((session, Condition("n", "3")), 0, 100), 1) == [old]
    assert backend.find(TraceQuery((session,), 0, 100, services=("shop",)), 1) == []
    assert backend.get(2, 1).summary is new
    assert backend.get(4, 1) is None
    assert backend.services(1) == ["chat"]


@pytest.mark.parametrize("kind", ["jaeger+http://{}", "tempo+http://{}", "mlflow"])
def test_look_ups_are_not_traced(kind, monkeypatch):
    # urllib's own instrumentation wraps this method and asks this question; at its newest it does not
    # install beside the newest SDK.
    enabled, plainly = [], urllib.request.OpenerDirector.open

    def opened(*args, **kwargs):
        enabled.append(is_instrumentation_enabled())
        return plainly(*args, **kwargs)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", opened)
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = RequestsInstrumentor()
    with Api({}, status=200) as api:
        environ = {
            "MLFLOW_OTEL_TRACE_LOOKUP": kind.format(api.url),
            "MLFLOW_TRACKING_URI": f"http://{api.url}",
        }
        backend = open_backend(Settings.from_environment(environ, Accounting()))
        instrumentor.instrument(tracer_provider=provider)
        try:
            with contextlib.suppress(BackendError):
                backend.get(int(TRACE, 16), 20)
        finally:
            instrumentor.uninstrument()
    assert api.asked
    assert not any(enabled)
    assert bool(enabled) is (kind != "mlflow")
    assert not any("traceparent" in map(str.lower, headers) for _, _, headers in api.asked)
    assert not spans.get_finished_spans()
