"""The example app with several workers: feedback finds the trace that another process answered, in Jaeger."""

from __future__ import annotations

import pytest

from tests.backends import servers
from tests.backends.stack import eventually
from tests.test_chat_example import feedback, serve

pytestmark = [pytest.mark.backend, pytest.mark.timeout(300)]
REQUESTS = 8


def test_feedback_with_two_workers_by_a_look_up(tmp_path):
    with servers.jaeger(tmp_path) as (url, grpc, _):
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{grpc}",
            "OTEL_SERVICE_NAME": "chat-app",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "MLFLOW_OTEL_TRACE_LOOKUP": f"jaeger+{url}?service=chat-app",
        }
        found = []

        def give_feedback(base):
            for number in range(REQUESTS):
                taken = eventually(lambda n=number: _taken(base, f"req-{n}"))
                found.append(taken["trace_id"])
            assert feedback(base, "req-77", is_correct=True).status_code == 404

        serve(environ, ["/chat"] * REQUESTS, tmp_path, give_feedback, more=("--workers", "2"))
    assert len(set(found)) == REQUESTS


def _taken(base, request):
    answer = feedback(base, request, is_correct=True)
    return answer.json() if answer.status_code == 200 else None
