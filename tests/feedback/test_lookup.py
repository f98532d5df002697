"""The look-ups' own: what is asked, what is read, what fails. Jaeger and MLflow are in tests/backends."""

from __future__ import annotations

import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from mlflow_otel import Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.feedback.lookup import LookupFailedError, open_lookup
from tests.delivery.faults import free_port


class Api:
    """Answers every GET with ``answers`` by path; keeps what was asked."""

    def __init__(self, answers, status=200):
        self.asked = []
        outer = self

        class Handle(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = urlsplit(self.path)
                outer.asked.append((parts.path, parse_qs(parts.query), dict(self.headers)))
                body = answers[parts.path]
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
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


def lookup_for(where):
    return open_lookup(Settings.from_environment({"MLFLOW_OTEL_TRACE_LOOKUP": where}, Accounting()))


TEMPO_ANSWER = {
    "traces": [
        {
            "traceID": "2f3e0cee77ae5dc9c17ade3689eb2e54",
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
        (found,) = lookup_for(f"tempo+http://{api.url}/tempo").find('req "1"', 5)
    assert found.trace_id == 0x2F3E0CEE77AE5DC9C17ADE3689EB2E54
    assert found.root == 0x563D623C76514F8E
    assert found.started == 1_700_000_000_000_000_000
    assert found.stamp == {"session.id": "s-1"}
    ((_, query, _),) = api.asked
    asked = query["q"][0]
    assert r'span."mlflow.trace.client_request_id" = "req \"1\""' in asked
    assert 'span."mlflow.trace.state" != nil' in asked
    assert "select(" in asked
    assert int(query["end"][0]) > int(query["start"][0])


@pytest.mark.parametrize("answer", [{}, {"traces": None}, {"traces": []}, []])
def test_tempo_that_knows_none_finds_none(answer):
    with Api({"/api/search": answer}) as api:
        assert lookup_for(f"tempo+http://{api.url}").find("req-1", 5) == []


@pytest.mark.parametrize("kind", ["tempo", "jaeger"])
@pytest.mark.parametrize(
    ("answer", "status"), [(b"<html>", 200), ({"error": "no"}, 500), ({}, 401)]
)
def test_a_backend_that_answers_otherwise_is_named_without_its_credentials(kind, answer, status):
    answers = {"/api/search": answer, "/api/services": answer}
    with Api(answers, status) as api:
        lookup = lookup_for(f"{kind}+http://ann:secret@{api.url}")
        with pytest.raises(LookupFailedError, match=api.url) as raised:
            lookup.find("req-1", 5)
        assert api.asked[0][2]["Authorization"].startswith("Basic ")
    assert "secret" not in str(raised.value) + lookup.where


@pytest.mark.parametrize("kind", ["tempo", "jaeger"])
def test_a_backend_that_is_not_there_is_named(kind):
    port = free_port()
    with pytest.raises(LookupFailedError, match=f"127.0.0.1:{port}.* did not answer"):
        lookup_for(f"{kind}+http://127.0.0.1:{port}").find("req-1", 5)


@pytest.mark.parametrize("named", ["elastic+http://host", "jaeger", "jaeger+", "tempo+nonsense", "http://host:16686"])  # fmt: skip
def test_what_names_no_backend_is_refused_with_what_would(named):
    with pytest.raises(LookupFailedError, match=r"jaeger\+http://host:16686"):
        lookup_for(named)


def test_mlflow_without_a_server_says_what_is_missing():
    with pytest.raises(LookupFailedError, match="MLFLOW_TRACKING_URI"):
        lookup_for("mlflow").find("req-1", 5)
    assert lookup_for("") is None
