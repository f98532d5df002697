"""What fails and should not: the client gets an answer in its form, the log where it was, and no content."""

from __future__ import annotations

import logging

import httpx
import pytest

from mlflow_otel.bridge.access import Access
from mlflow_otel.bridge.failing import MESSAGE
from mlflow_otel.bridge.http import HttpFace

SECRET = "what a user said"


class Broken:
    """Fails at whatever is asked of it."""

    waits = False

    def __getattr__(self, name):
        def fail(*_arguments):
            if name != "make_sure_of_room":
                raise KeyError(SECRET)

        return fail


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/traces", "application/json"),
        ("/v1/traces", "application/x-protobuf"),
        ("/v1/feedback", "application/json"),
        ("/api/3.0/mlflow/traces", "application/json"),
        ("/api/3.0/mlflow/traces/search", "application/json"),
    ],
)
@pytest.mark.anyio
async def test_a_failure_is_answered_in_the_clients_form_and_logged_without_content(
    path, kind, caplog
):
    broken = Broken()
    app = HttpFace(broken, broken, broken, Access()).application()
    transport = httpx.ASGITransport(app)
    body = b"" if kind != "application/json" else b'{"assessment_name": "n"}'
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with caplog.at_level(logging.WARNING, "mlflow_otel"):
            answer = await client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == 500
    assert MESSAGE.encode() in answer.content
    assert answer.headers["content-type"] == kind
    (record,) = caplog.records
    assert "KeyError in fail (" in record.getMessage()
    assert SECRET not in caplog.text
    assert record.exc_info is None


@pytest.fixture
def anyio_backend():
    return "asyncio"
