"""The spool: what outlives an outage, a restart, ``kill -9``, and a folder in any state."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time

import grpc
import pytest

from mlflow_otel import MlflowSpanExporter, Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import backlog, retry
from mlflow_otel.delivery import spool as spool_room
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import CorruptError, Spool
from mlflow_otel.settings import OtlpSettings
from tests.conftest import ROOT
from tests.delivery.faults import Grpc, Http, free_port
from tests.export.test_exporter import make_spans

SOMEWHERE = OtlpSettings("http://127.0.0.1:9")
DOWN = (grpc.StatusCode.UNAVAILABLE, None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(backlog, "LOOK_SECONDS", 0.2)


def exporter_for(folder, environ, **overrides):
    accounting = Accounting()
    settings = Settings.from_environment(
        {"MLFLOW_OTEL_SPOOL_DIR": str(folder), **environ}, accounting, **overrides
    )
    return MlflowSpanExporter(settings, accounting=accounting), accounting


def files(folder):
    return sorted(p for p in (folder / "traces").iterdir() if p.name.endswith(".otlp.gz"))


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def at(port):
    """Return the variables of an exporter to a gRPC server on a port."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}


NOWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


def leave_behind(folder, number=3, environ=NOWHERE):
    """Run a process's exporter while nothing takes its requests, to its end."""
    exporter, accounting = exporter_for(folder, environ)
    for _ in range(number):
        exporter.export(make_spans(2))
    assert exporter.force_flush(5000) is False  # they did not arrive
    exporter.shutdown()
    assert accounting.snapshot()["spool.written"] == 2 * number
    assert "dropped" not in accounting.snapshot()
    return accounting


def test_what_the_backend_does_not_take_is_sent_when_it_is_back(tmp_path):
    with Grpc(DOWN, DOWN, DOWN, "ok") as server:
        exporter, accounting = exporter_for(tmp_path, server.environ)
        exporter.export(make_spans(3))
        wait_for(lambda: len(server.names) == 3)
        assert exporter.force_flush(5000)
        exporter.shutdown()
    assert accounting.snapshot()["exported"] == 3
    assert exporter.spooled == 0
    assert not files(tmp_path)


def test_the_next_process_sends_what_the_last_one_left_oldest_first(tmp_path):
    port = free_port()
    leave_behind(tmp_path, 3, at(port))
    assert len(files(tmp_path)) == 3
    order = []
    with Grpc("ok", port=port) as server:
        take = server.take
        server.take = lambda body: (order.append(gzip.compress(body, 1, mtime=0)), take(body))
        spooled = [gzip.decompress(p.read_bytes()) for p in files(tmp_path)]
        exporter, accounting = exporter_for(tmp_path, server.environ)
        wait_for(lambda: not files(tmp_path))
        exporter.shutdown()
    assert [gzip.decompress(body) for body in order] == spooled
    assert len(server.names) == 6
    counted = accounting.snapshot()
    assert counted["recovered.exported"] == 6
    assert "exported" not in counted  # this process ended no span


def test_an_outage_and_a_restart_lose_nothing(tmp_path):
    port = free_port()
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    leave_behind(tmp_path, 4, environ)
    exporter, accounting = exporter_for(tmp_path, environ)
    exporter.export(make_spans(2))
    wait_for(lambda: accounting.snapshot().get("spool.written") == 2)
    with Grpc("ok", port=port) as server:
        wait_for(lambda: len(server.names) == 10)
        assert exporter.force_flush(10_000)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert (counted["exported"], counted["recovered.exported"]) == (2, 8)


def test_several_processes_share_a_folder_and_each_request_arrives_once(tmp_path):
    port = free_port()
    leave_behind(tmp_path, 20, at(port))
    with Grpc("ok", port=port) as server:
        exporters = [exporter_for(tmp_path, server.environ) for _ in range(4)]
        wait_for(lambda: not files(tmp_path))
        for exporter, _ in exporters:
            exporter.shutdown()
    assert len(server.names) == 40


def test_files_are_their_owners_alone_and_hold_no_credentials(tmp_path):
    leave_behind(tmp_path, 1, {**NOWHERE, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret"})
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"s3cret" not in gzip.decompress(file.read_bytes())
    for beside in file.parent.iterdir():
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600
        assert b"s3cret" not in beside.read_bytes()
        assert "s3cret" not in beside.name


def test_a_torn_file_is_set_aside_and_the_others_arrive(tmp_path):
    port = free_port()
    leave_behind(tmp_path, 3, at(port))
    torn, changed, _ = files(tmp_path)
    torn.write_bytes(torn.read_bytes()[:-9])
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    changed.write_bytes(data)
    with Grpc("ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, server.environ)
        wait_for(lambda: not files(tmp_path))
        exporter.shutdown()
    assert len(server.names) == 2
    counted = accounting.snapshot()
    assert (counted["recovered.exported"], counted["recovered.dropped"]) == (2, 4)
    assert len(list((tmp_path / "traces").glob("*.corrupt"))) == 2


def test_foreign_files_are_left_alone(tmp_path):
    folder = tmp_path / "traces"
    (folder / "a folder").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.otlp.gz").write_text("mine too")
    port = free_port()
    leave_behind(tmp_path, 1, at(port))
    with Grpc("ok", port=port) as server:
        exporter, _ = exporter_for(tmp_path, server.environ)
        wait_for(lambda: len(server.names) == 2)
        exporter.shutdown()
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "notes.otlp.gz").read_text() == "mine too"


def test_past_its_bytes_the_oldest_go_and_are_counted(tmp_path):
    spool = Spool(tmp_path, SOMEWHERE, max_bytes=10**9, max_age=60)
    size = spool.put(Request(os.urandom(1000), 1)).size
    exporter, accounting = exporter_for(tmp_path / "s", NOWHERE, spool_max_bytes=10 * size)
    for _ in range(40):
        exporter.export(make_spans(2))
    assert exporter.force_flush(3000) is False
    exporter.shutdown()
    kept = files(tmp_path / "s")
    assert sum(p.stat().st_size for p in kept) <= 10 * size
    counted = accounting.snapshot()
    assert counted["dropped"] == counted["dropped.spool_bounds"] == 80 - 2 * len(kept)
    assert exporter.spooled == 2 * len(kept)
    assert kept == sorted(kept)


def test_past_its_age_a_request_goes_and_is_counted(tmp_path):
    leave_behind(tmp_path, 2)
    exporter, accounting = exporter_for(tmp_path, NOWHERE, spool_max_age=0.001)
    wait_for(lambda: accounting.snapshot().get("recovered.dropped") == 4)
    exporter.shutdown()
    assert not files(tmp_path)


def unusable(kind, tmp_path):
    path = tmp_path / "spool"
    if kind == "a file":
        path.write_text("")
    elif kind == "below a file":
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "spool"
    elif kind == "read-only":
        path = "/proc/mlflow-otel"
    return path


@pytest.mark.parametrize("kind", ["a file", "below a file", "read-only"])
def test_a_folder_that_cannot_be_used_is_one_message_and_export_goes_on(tmp_path, kind, caplog):
    with Grpc("ok") as server:
        exporter, accounting = exporter_for(unusable(kind, tmp_path), server.environ)
        exporter.export(make_spans(2))
        assert exporter.force_flush(5000)
        exporter.shutdown()
    assert accounting.snapshot() == {"spool_unusable": 1, "exported": 2}
    assert "MLFLOW_OTEL_SPOOL_DIR" in caplog.text


def test_a_full_disk_is_counted_and_what_does_not_fit_is_retried_from_memory(tmp_path):
    """On a file system of its own, of 64 KiB."""
    script = tmp_path / "app.py"
    script.write_text(textwrap.dedent(FULL_DISK))
    folder = tmp_path / "spool"
    folder.mkdir()
    steps = 'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", steps, "sh"]
    done = subprocess.run(
        [*command, str(folder), sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


FULL_DISK = """
    import os, sys
    from mlflow_otel.delivery import retry
    retry.FIRST_BACKOFF_SECONDS = 0.05
    from tests.delivery import test_spool as t
    with t.Grpc(*[t.DOWN] * 6, "ok") as server:
        exporter, accounting = t.exporter_for(sys.argv[1], server.environ)
        exporter.export([s for _ in range(100) for s in t.make_spans(2, b=os.urandom(800).hex())])
        exporter.export(t.make_spans(2))
        t.wait_for(lambda: exporter.force_flush(1000), 60)
        counted = accounting.snapshot()
        assert counted["exported"] == 202, counted
        assert counted["spool_failed"] >= 1, counted
        exporter.shutdown()
"""

PRODUCER = """
    import sys, time
    sys.path.insert(0, {root!r})
    from mlflow_otel.delivery import retry
    retry.FIRST_BACKOFF_SECONDS = 0.05
    from opentelemetry.sdk.trace import TracerProvider
    from mlflow_otel import MlflowSpanExporter, MlflowSpanProcessor
    processor = MlflowSpanProcessor(MlflowSpanExporter())
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    number = 0
    while True:
        names = []
        for _ in range(20):
            names.append(f"{run}-{{number}}")
            tracer.start_span(names[-1]).end()
            number += 1
        if processor.force_flush(2000) or processor.stats()["spooled"] and processor.stats()["in_flight"] == 0 and processor.stats()["queued"] == 0:
            print("\\n".join(names), flush=True)
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_promised(tmp_path):
    """What force_flush said True for, or what was spooled, arrives, whatever kills the app."""
    promised = []
    with Grpc("ok") as server:
        environ = {
            **os.environ,
            **server.environ,
            "MLFLOW_OTEL_SPOOL_DIR": str(tmp_path / "spool"),
        }
        for run in range(6):
            with server.lock:
                server.script = [DOWN] if run % 2 else [*[DOWN] * 7, "ok"]
            code = textwrap.dedent(PRODUCER.format(root=str(ROOT), run=run))
            app = subprocess.Popen(
                [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True
            )
            lines = []
            reader = threading.Thread(target=lambda o=app.stdout, f=lines: f.extend(o), daemon=True)
            reader.start()
            wait_for(lambda f=lines: len(f) >= 40, 60)
            time.sleep(0.037 * run)
            app.send_signal(signal.SIGKILL)
            app.wait()
            reader.join()
            promised += [line.strip() for line in lines if line.endswith("\n")]
        with server.lock:
            server.script = ["ok"]
        exporter, _ = exporter_for(tmp_path / "spool", server.environ)
        wait_for(lambda: not files(tmp_path / "spool"), 60)
        exporter.shutdown()
        assert set(promised) - set(server.names) == set()
    assert len(promised) >= 240


def test_what_a_killed_writer_left_half_written_is_swept_away(tmp_path):
    spool = Spool(tmp_path, SOMEWHERE, max_bytes=10**9, max_age=60)
    half = tmp_path / f".unfinished-{'0' * 16}"
    half.write_bytes(b"\x1f\x8b")
    os.utime(half, (1, 1))
    young = tmp_path / f".unfinished-{'1' * 16}"
    young.write_bytes(b"\x1f\x8b")
    spool.remove_unfinished()
    assert not half.exists()
    assert young.exists()  # another process may be at it
    assert spool.entries() == []


def test_a_backend_that_is_down_is_said_once_when_its_requests_are_spooled(tmp_path, caplog):
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{free_port()}",  # that no test spoke of
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere.pem",
    }
    accounting = leave_behind(tmp_path, 3, environ)
    assert accounting.snapshot()["backend_down"] == 1
    said = [r.getMessage() for r in caplog.records if r.name == "mlflow_otel"]
    assert len(said) == 1
    assert "/nowhere.pem" in said[0]


def test_a_request_that_is_sent_while_it_is_still_being_written_is_counted_as_ours(
    tmp_path, monkeypatch
):
    """The folder's fsync takes its time; the file can be seen, and sent, before it is over."""
    monkeypatch.setattr(Spool, "_fsync_folder", lambda _: time.sleep(0.3))
    with Grpc(*[DOWN] * 3, "ok") as server:
        exporter, accounting = exporter_for(tmp_path, server.environ)
        for _ in range(6):
            exporter.export(make_spans(2))
        wait_for(lambda: exporter.force_flush(1000))
        wait_for(lambda: exporter.in_flight == 0)
        exporter.shutdown()
    counted = accounting.snapshot()
    assert counted["exported"] == 12
    assert "recovered.exported" not in counted
    assert exporter.spooled == 0


def test_a_request_that_goes_while_the_folder_is_listed_is_counted_as_ours(tmp_path, monkeypatch):
    """The spool's thread may miss the file before whoever removed it has counted it."""
    remove = Spool.remove

    def slowly(spool, entry):
        removed = remove(spool, entry)
        time.sleep(0.05)
        return removed

    monkeypatch.setattr(Spool, "remove", slowly)
    monkeypatch.setattr(retry, "backoff", lambda _: 0.001)
    exporter, accounting = exporter_for(tmp_path, NOWHERE, spool_max_bytes=2000)
    for _ in range(20):
        exporter.export(make_spans(2))
    exporter.force_flush(3000)
    exporter.shutdown()
    counted = accounting.snapshot()
    assert counted["dropped.spool_bounds"] > 0
    assert "recovered.dropped" not in counted
    assert counted["dropped"] + exporter.spooled == 40


def test_what_a_try_gives_up_just_as_the_exporter_ends_is_kept_once(tmp_path, monkeypatch):
    """A try may last as long as the shutdown; both then want to keep its request."""
    fsync = Spool._fsync_folder

    def slowly(spool):
        fsync(spool)
        time.sleep(0.3)

    monkeypatch.setattr(Spool, "_fsync_folder", slowly)
    for seconds in (0.3, 0.5):
        with Http("hang") as server:
            exporter, accounting = exporter_for(tmp_path / str(seconds), server.environ)
            exporter.stop_by(seconds)
            exporter.export(make_spans(2))
            time.sleep(seconds + 0.1)
            exporter.shutdown()
        assert len(files(tmp_path / str(seconds))) == 1
        assert exporter.spooled == 2
        assert accounting.snapshot()["spool.written"] == 2


def test_what_comes_after_the_end_is_written_while_no_lock_of_the_sender_is_held(
    tmp_path, monkeypatch
):
    looked = []
    put = Spool.put

    def looking(spool, request, named):
        lock = exporter._delivery._sender._changed
        looked.append(lock._is_owned())
        return put(spool, request, named)

    with Http("hang") as server:
        exporter, accounting = exporter_for(tmp_path, server.environ, max_workers=1)
        exporter.export(make_spans(1))  # it takes the only worker
        exporter.stop_by(0.0)
        monkeypatch.setattr(Spool, "put", looking)
        exporter.export(make_spans(2))
        exporter.shutdown()
    assert looked
    assert not any(looked)
    assert accounting.snapshot()["spool.written"] == 3


def test_force_flush_is_false_when_the_bounds_dropped_something_since_the_last_one(tmp_path):
    port = free_port()
    exporter, accounting = exporter_for(tmp_path, at(port), spool_max_bytes=1500)
    for _ in range(12):
        exporter.export(make_spans(2))
    wait_for(lambda: accounting.snapshot().get("dropped.spool_bounds"))
    with Grpc("ok", port=port) as server:
        # What is left arrives, but what had to go did not.
        wait_for(lambda: exporter.spooled == 0 and exporter.in_flight == 0, 90)
        assert exporter.force_flush(5000) is False
        exporter.export(make_spans(2))
        assert exporter.force_flush(5000) is True
        assert len(server.names) + accounting.snapshot()["dropped"] == 26
        exporter.shutdown()


def test_what_is_for_another_endpoint_or_other_credentials_is_not_sent(tmp_path):
    port = free_port()
    own = {**at(port), "OTEL_EXPORTER_OTLP_HEADERS": "tenant=a"}
    leave_behind(tmp_path, 1, NOWHERE)  # another endpoint
    leave_behind(tmp_path, 1, at(port))  # no credentials
    leave_behind(tmp_path, 1, {**at(port), "OTEL_EXPORTER_OTLP_HEADERS": "tenant=b"})
    leave_behind(tmp_path, 1, own)
    with Grpc("ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, own)
        wait_for(lambda: len(files(tmp_path)) == 3)
        exporter.export(make_spans(1))
        assert exporter.force_flush(5000)  # what is others' does not hold it up
        exporter.shutdown()
        assert len(server.names) == 3
    assert accounting.snapshot()["recovered.exported"] == 2
    assert len(files(tmp_path)) == 3


def test_the_bytes_of_all_addressees_count_together(tmp_path):
    leave_behind(tmp_path, 5, NOWHERE)
    exporter, accounting = exporter_for(tmp_path, at(free_port()), spool_max_bytes=1)
    wait_for(lambda: accounting.snapshot().get("recovered.dropped") == 10)
    exporter.shutdown()
    assert not files(tmp_path)


def test_one_request_that_cannot_be_read_is_skipped_and_the_others_arrive(
    tmp_path, caplog, monkeypatch
):
    port = free_port()
    leave_behind(tmp_path, 3, at(port))
    unreadable, *_ = files(tmp_path)
    read = Spool.read

    def denied(spool, entry):  # as for another user's file; the tests may run as root
        if entry.name == unreadable.name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(spool, entry)

    monkeypatch.setattr(Spool, "read", denied)
    with Grpc("ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, at(port))
        wait_for(lambda: files(tmp_path) == [unreadable])
        exporter.export(make_spans(1))
        assert exporter.force_flush(5000)
        exporter.shutdown()
        assert len(server.names) == 5
    assert accounting.snapshot()["spool_unreadable"] == 1
    assert unreadable.name in caplog.text


def test_a_request_that_cannot_be_removed_is_sent_once(tmp_path, monkeypatch):
    port = free_port()
    leave_behind(tmp_path, 2, at(port))
    kept, _ = files(tmp_path)
    remove = Spool.remove

    def denied(spool, entry):
        if entry.name == kept.name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return remove(spool, entry)

    monkeypatch.setattr(Spool, "remove", denied)
    with Grpc("ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, at(port))
        wait_for(lambda: files(tmp_path) == [kept])
        for _ in range(3):  # three more looks into the folder
            exporter.export(make_spans(1))
            assert exporter.force_flush(5000)
            time.sleep(backlog.LOOK_SECONDS)
        exporter.shutdown()
        assert len(server.names) == 4 + 3
    assert accounting.snapshot()["spool_unreadable"] == 1


def test_a_folder_or_a_link_with_a_requests_name_is_left_alone(tmp_path):
    spool = Spool(tmp_path / "traces", SOMEWHERE, 10**9, 60)
    entry = spool.put(Request(b"x", 1))
    for place, digit in (("folder", "0"), ("link", "1")):
        name = entry.name.replace(entry.name.split("-")[3], digit * 16)
        if place == "folder":
            (tmp_path / "traces" / name).mkdir()
        else:
            (tmp_path / "traces" / name).symlink_to("/etc/passwd")
    assert spool.entries() == [entry]


def test_without_locks_each_request_is_claimed_and_one_message_says_so(
    tmp_path, caplog, monkeypatch
):
    """NFS without its lock service answers ENOLCK."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    port = free_port()
    leave_behind(tmp_path, 20, at(port))
    with Grpc("ok", port=port) as server:
        exporters = [exporter_for(tmp_path, at(port)) for _ in range(4)]
        wait_for(lambda: not files(tmp_path))
        for exporter, _ in exporters:
            exporter.shutdown()
    assert len(server.names) == 40
    wait_for(lambda: not list((tmp_path / "traces").glob("*.claim")))  # a thread may just look
    said = [r.getMessage() for r in caplog.records if "has no file locks" in r.getMessage()]
    assert 1 <= len(said) <= 10  # one a minute for each exporter here; each is a process as a rule
    assert "No locks available" in said[0]


def test_a_claim_of_a_process_that_was_killed_is_taken_over(tmp_path, monkeypatch):
    spools = [Spool(tmp_path, SOMEWHERE, 10**9, 60) for _ in range(2)]
    for spool in spools:
        spool.no_locks = OSError(errno.ENOLCK, "No locks available")
    entry = spools[0].put(Request(b"x", 1))
    assert spools[0].claim(entry)
    assert not spools[1].claim(entry)
    monkeypatch.setattr(spool_room, "CLAIM_SECONDS", 0.0)
    assert spools[1].claim(entry)


def set_clock(monkeypatch, seconds):
    """Set this process's wall clock apart from the real one."""
    real = time.time_ns
    monkeypatch.setattr(spool_room.time, "time_ns", lambda: real() + int(seconds * 1e9))


@pytest.mark.parametrize("years", [-3, -60, 3])
def test_what_is_written_before_the_clock_is_set_arrives(tmp_path, years):
    """A device without a clock of its own starts years off; then NTP sets the clock."""
    port = free_port()
    with pytest.MonkeyPatch.context() as wrong:
        set_clock(wrong, years * 365 * 86400)
        exporter, accounting = exporter_for(tmp_path, at(port))
        exporter.export(make_spans(2))
        wait_for(lambda: accounting.snapshot().get("spool.written") == 2)
        exporter.shutdown()
    with Grpc("ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, at(port))
        wait_for(lambda: len(server.names) == 2)
        exporter.shutdown()
    assert "recovered.dropped" not in accounting.snapshot()


def test_a_clock_that_jumps_ahead_makes_nothing_that_is_known_old(tmp_path, monkeypatch):
    spool = Spool(tmp_path, SOMEWHERE, 10**9, max_age=3600)
    entry = spool.put(Request(b"x", 1))
    assert spool.over_bounds(spool.entries()) == []
    set_clock(monkeypatch, 365 * 86400)
    assert spool.over_bounds(spool.entries()) == []
    (old,) = Spool(tmp_path, SOMEWHERE, 10**9, max_age=3600).entries()
    assert old == entry


def test_a_file_that_unpacks_to_far_more_than_a_request_is_damaged(tmp_path):
    spool = Spool(tmp_path, SOMEWHERE, 10**9, 60)
    entry = spool.put(Request(b"\0" * (65 * 1024 * 1024), 1))
    with pytest.raises(CorruptError, match="more than"):
        spool.read(entry)


def test_a_name_with_a_size_that_no_file_has_takes_no_memory_and_no_other_requests_place(tmp_path):
    port = free_port()
    leave_behind(tmp_path, 4, at(port))
    for path, size in zip(files(tmp_path), ["9" * 15, "9" * 30, "1"], strict=False):
        created, number, _, rest = path.name.split("-", 3)
        path.rename(path.with_name(f"{created}-{number}-{size}-{rest}"))
    with Grpc("ok", "ok", "ok", port=port) as server:
        exporter, accounting = exporter_for(tmp_path, at(port))
        wait_for(lambda: not files(tmp_path))
        exporter.shutdown()
        assert len(server.names) == 6
    assert accounting.snapshot()["spool_corrupt"] == 1  # the one that is longer than its name says
    assert accounting.snapshot()["recovered.dropped"] == 2


def test_two_folders_give_one_endpoint_two_fingerprints_and_one_folder_always_the_same(tmp_path):
    settings = OtlpSettings("http://host:4317", headers=(("tenant", "a"),))
    one, again, other = (Spool(tmp_path / name, settings, 10**9, 60) for name in ("1", "1", "2"))
    assert one.addressee == again.addressee
    assert one.addressee.fingerprint != other.addressee.fingerprint
    assert one.addressee.shown == "http://host:4317 (grpc) with tenant"


def test_a_folder_that_lost_its_salt_is_said_to_hold_requests_that_nobody_can_send(
    tmp_path, caplog
):
    to = at(free_port())
    leave_behind(tmp_path, 2, to)
    (tmp_path / "traces" / ".salt").unlink()
    for _ in range(2):  # the second process finds a salt: it was said before
        exporter, _ = exporter_for(tmp_path, to)
        exporter.shutdown()
    assert caplog.text.count("has lost its file .salt") == 1
    assert "Put the file back" in caplog.text
    assert len(files(tmp_path)) > 0
