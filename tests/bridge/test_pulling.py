"""Pulling: what is sent of a trace that was sent before, and what a checkpoint remembers."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel.accounting import Accounting
from mlflow_otel.bridge.leaving import Mapper
from mlflow_otel.bridge.trace_info import TraceInfo
from mlflow_otel.cli.keeping import keep_of
from mlflow_otel.export.guards import Guards
from mlflow_otel.mapping.model import MappingOptions
from mlflow_otel.pulling import copying, server
from mlflow_otel.pulling.pull import Wanted, milliseconds
from mlflow_otel.pulling.records import Judged, Record, Records
from mlflow_otel.pulling.server import ServerError, TrackingServer, headers
from mlflow_otel.settings import Settings
from tests.bridge.parts import Part, arrival

MAPPER = Mapper(MappingOptions(), Accounting())
TEXTS = st.text(st.characters(), max_size=5)
TAGS = st.dictionaries(TEXTS, TEXTS, max_size=4)
JUDGED = st.dictionaries(
    st.sampled_from(["a-1", "a-2", "a-3"]),
    st.tuples(st.sampled_from(["good", "kind"]), st.integers(0, 3)),
)


def info(tags, judged):
    return TraceInfo(
        7,
        {
            "trace_id": f"tr-{7:032x}",
            "tags": tags,
            "assessments": [
                {
                    "assessment_id": identity,
                    "assessment_name": name,
                    "feedback": {"value": value},
                    "last_update_time": "2026-01-01T00:00:00Z",
                }
                for identity, (name, value) in judged.items()
            ],
        },
    )


def operations(made):
    return {e._view.assessment_id: e._view.operation for e in made.evaluations}


def test_what_should_not_be_exported_is_not_pulled():
    asked = []

    def should_export(span):
        asked.append((span.name, span.scope.name))
        return len(asked) > 1

    guards = Guards.of(Settings(should_export=should_export), Accounting())
    mapper = Mapper(guards.options, Accounting(), keep_of(guards))
    spans = [arrival(Part(7, 1, 0)), arrival(Part(7, 2, 1))]
    made = copying.copied(info({}, {}), spans, "shop", mapper)
    assert sum(len(group.items) for group in made.spans) == 1
    assert asked == [("step 1", "mlflow_otel"), ("step 2", "mlflow_otel")]


@settings(max_examples=60)
@given(TAGS, JUDGED, TAGS, JUDGED)
def test_what_changed_leaves_and_nothing_else(tags, judged, later_tags, later_judged):
    before = copying.record_of(info(tags, judged))
    made = copying.changed(info(later_tags, later_judged), before, 1, None, MAPPER)
    assert bool(made.spans) == (tags != later_tags)
    expected = {
        identity: "delete"
        if identity not in later_judged
        else ("update" if identity in judged else "create")
        for identity in judged.keys() | later_judged.keys()
        if judged.get(identity) != later_judged.get(identity)
    }
    assert operations(made) == expected
    again = copying.changed(info(later_tags, later_judged), made.record, 1, None, MAPPER)
    assert (again.spans, again.evaluations) == ([], [])


def test_of_a_trace_that_the_backend_has_in_part_the_rest_is_sent():
    spans = [arrival(Part(7, 1, 0)), arrival(Part(7, 2, 1))]
    known = info({}, {"a-1": ("good", 1), "a-2": ("good", 2)})
    made = copying.copied(
        known, spans, "shop", MAPPER, there={1}, judged={"a-1": 1_767_225_600_000, "a-2": 5}
    )
    assert sum(len(group.items) for group in made.spans) == 1
    assert operations(made) == {"a-2": "create"}


@given(st.lists(st.tuples(TEXTS.filter(bool), TAGS), max_size=6), st.integers(0, 30))
def test_a_checkpoint_that_was_cut_off_names_what_was_written_whole(tmp_path_factory, sent, cut):
    file = tmp_path_factory.mktemp("checkpoint") / "pulled.jsonl"
    written = Records(file)
    made = {trace: Record(tags, {"a-1": Judged("d", "good", "feedback")}) for trace, tags in sent}
    for trace, record in made.items():
        written.put([(trace, record)])
    whole = file.read_bytes() if file.exists() else b""
    if whole:
        file.write_bytes(whole[: len(whole) - cut])
    kept = Records(file)
    assert all(kept.get(trace) in (None, record) for trace, record in made.items())
    assert len(kept) == len(made) or cut
    kept.put(made.items())
    read = Records(file)
    assert {trace: read.get(trace) for trace in made} == made


def test_a_file_that_is_no_checkpoint_is_said(tmp_path):
    (tmp_path / "other").write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="no checkpoint"):
        Records(tmp_path / "other")


def test_a_checkpoint_that_cannot_be_written_is_said_before_anything_is_sent(tmp_path):
    with pytest.raises(OSError, match="cannot be written"):
        Records(tmp_path / "missing" / "pulled.jsonl")
    Records(tmp_path / "new.jsonl")
    assert not list(tmp_path.iterdir()), "nothing is written before something was sent"


def test_credentials_are_mlflows_own():
    basic = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "p"}
    token = {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_WORKSPACE": "w"}
    assert headers(basic | token)["Authorization"] == "Basic YW5uOnA="
    assert headers(token) == {"Authorization": "Bearer t", "X-MLFLOW-WORKSPACE": "w"}
    assert headers({}) == {}


def test_a_time_range_and_a_filter_are_one_filter():
    wanted = Wanted({"0": "Default"}, "tags.env = 'prod'", 5, 9)
    assert wanted.filter() == ("tags.env = 'prod' AND timestamp_ms >= 5 AND timestamp_ms < 9")
    assert milliseconds("2026-01-01T00:00:00.5Z") == 1_767_225_600_500
    assert milliseconds(None) == milliseconds("nonsense") == 0


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers what stands in ``script``, in order."""

    script: list = []

    def do_POST(self):
        status, said, sent = self.script.pop(0)
        body = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {**sent, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def test_a_busy_server_is_asked_again_and_a_refusal_is_said_without_secrets(monkeypatch):
    pauses = []
    monkeypatch.setattr(server.time, "sleep", pauses.append)
    Answers.script = [
        (400, {"message": "QueuePool limit of size 5"}, {}),
        (503, {}, {"Retry-After": "3"}),
        (200, {"experiments": [{"experiment_id": "0", "name": "Default"}]}, {}),
        (403, {"message": "no"}, {}),
    ]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        asked = TrackingServer(f"http://ann:secret@127.0.0.1:{listening.server_port}", {})
        assert asked.experiments() == {"0": "Default"}
        assert 3.0 in pauses  # other threads of this process sleep too
        with pytest.raises(ServerError, match="403") as refused:
            asked.experiments()
        assert "secret" not in str(refused.value)
        listening.shutdown()
