"""MLflow's own client, unmodified, with nothing set but where its tracking server is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_otel.receiver.server import Receiver
from tests.bridge.running import running
from tests.conftest import PREFIXES, ROOT

APP = Path(__file__).with_name("app.py")
MODES = {
    "default": {},
    "unbatched": {"MLFLOW_USE_BATCH_SPAN_PROCESSOR": "false"},
    "synchronous": {"MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false"},
}
SPANS = 5
ENTRY = "invoke_agent agent", "attributes"
STATED = {
    (*ENTRY, "mlflow.trace.request_preview"): ('{"question": "hi"}', '{"question":"hi"}'),
    (*ENTRY, "mlflow.trace.response_preview"): ('"done"', "done"),
}
"""What differs (docs/bridge.md): previews are the client's own, JSON with its blanks and quotes."""


def start(folder, env):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    own = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_EXPERIMENT_NAME": "chat-app",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, str(APP)],
        env={**kept, **own, **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(app):
    """The trace's ID and what was logged."""
    printed, said = app.communicate(timeout=100)
    assert app.returncode == 0, said[-3000:]
    return printed.split()[-1].removeprefix("tr-"), said


def comparable(spans):
    """What a backend shows of spans, without what is another in each run: IDs and times."""
    names = {span["span_id"]: span["name"] for span in spans}
    found = {}
    for span in spans:
        trace = span["trace_id"]
        attributes = {
            k: v.replace(trace, "TRACE") if isinstance(v, str) else v
            for k, v in span["attributes"].items()
        }
        found[span["name"]] = {
            "parent": names.get(span["parent_span_id"]),
            "kind": span["kind"],
            "status": (span["status"], span["status_message"]),
            "scope": span["scope"],
            "service": span["resource"]["service.name"],
            "attributes": attributes,
            "events": [
                (e["name"], {k: v for k, v in e["attributes"].items() if "stacktrace" not in k})
                for e in span["events"]
            ],
        }
    return found


def differences(bridged, instrumented):
    """What differs, by span and key: what the bridge sends, and what ``instrument()`` does."""
    flat = [
        {
            (name, key, part): value
            for name, span in spans.items()
            for key, said in span.items()
            for part, value in (said.items() if isinstance(said, dict) else [("", said)])
        }
        for spans in (bridged, instrumented)
    ]
    return {
        place: (flat[0].get(place), flat[1].get(place))
        for place in sorted(flat[0].keys() | flat[1].keys())
        if flat[0].get(place) != flat[1].get(place)
        or type(flat[0].get(place)) is not type(flat[1].get(place))
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The app in each mode, through one bridge, and with ``instrument()`` in it: trace, log, spans."""
    folder = tmp_path_factory.mktemp("apps")
    with Receiver() as receiver, running() as bridge:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint, "WITH_INSTRUMENT": "1"}
        apps = {"instrument": start(folder, env)}
        for mode, wanted in MODES.items():
            apps[mode] = start(folder, {"MLFLOW_TRACKING_URI": bridge.http, **wanted})
        found = {mode: ended(app) for mode, app in apps.items()}
        bridge.spans(SPANS * len(MODES))
        assert bridge.stop() == 0
        spans = receiver.store.spans() + bridge.receiver.store.spans()
    return {
        mode: (said, [span for span in spans if span["trace_id"] == trace])
        for mode, (trace, said) in found.items()
    }


@pytest.mark.parametrize("mode", MODES)
def test_what_leaves_is_what_instrument_sends(mode, runs):
    said, spans = runs[mode]
    assert len(spans) == SPANS, "each span once"
    assert differences(comparable(spans), comparable(runs["instrument"][1])) == STATED
    assert "WARNING" not in said
