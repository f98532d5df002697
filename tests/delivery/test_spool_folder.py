"""The spool's folder by itself: what is written is read, in its order, within its bounds."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import stat
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_otel import Settings
from mlflow_otel.accounting import Accounting
from mlflow_otel.delivery import spool as room
from mlflow_otel.delivery.request import Request
from mlflow_otel.delivery.spool import CorruptError, Spool, open_spool
from tests.delivery.folders import ELSEWHERE, HERE, HOUR, MUCH, beside, names

properties = settings(max_examples=25, deadline=None)


BODIES = st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 10**6)), max_size=8)


@properties
@given(BODIES, st.booleans())
def test_what_is_put_is_there_in_its_order_and_read_again_by_any_process(anywhere, bodies, fsync):
    folder = anywhere()
    spool = Spool(folder, HERE, MUCH, HOUR, fsync=fsync)
    put = [spool.put(Request(body, number)) for body, number in bodies]
    for reader in (spool, Spool(folder, ELSEWHERE, MUCH, HOUR)):
        assert reader.entries() == put == sorted(put)
        for entry, (body, number) in zip(put, bodies, strict=True):
            assert reader.read(entry) == body
            assert (entry.number, entry.corrupt) == (number, False)
            assert entry.size == (folder / entry.name).stat().st_size
            assert entry.addressee == spool.addressee.fingerprint
            assert gzip.decompress((folder / entry.name).read_bytes()) == body
    for entry in put:
        assert spool.remove(entry)
        assert not spool.remove(entry)
    assert spool.entries() == []
    assert beside(folder) == []


@properties
@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(0, 2500))
def test_past_its_bytes_the_oldest_go_and_no_more_than_must(anywhere, sizes, max_bytes):
    spool = Spool(anywhere(), HERE, MUCH, HOUR, fsync=False)
    entries = [spool.put(Request(os.urandom(size), 1)) for size in sizes]
    spool.max_bytes = max_bytes
    going = spool.over_bounds(spool.entries())
    kept = entries[len(going) :]
    assert going == entries[: len(going)]
    assert sum(entry.size for entry in kept) <= max_bytes
    assert not going or sum(e.size for e in (going[-1], *kept)) > max_bytes


def test_past_its_age_a_request_goes_in_whichever_process_sees_it(new, clock):
    spool = new(max_age=100)
    early = spool.put(Request(b"early", 1))
    clock.monotonic, clock.wall = clock.monotonic + 60, clock.wall + 60
    late = spool.put(Request(b"late", 1))
    for seconds, going in ((40, []), (1, [early]), (58, [early]), (2, [early, late])):
        clock.monotonic, clock.wall = clock.monotonic + seconds, clock.wall + seconds
        for reader in (spool, new(max_age=100)):
            assert reader.over_bounds(reader.entries()) == going


@pytest.mark.parametrize("written", [1_749_999_999.0, 0.0, 1_900_000_001.0, 9_000_000_000.0])
def test_what_a_wrong_clock_wrote_is_as_old_as_it_is_known(new, clock, written):
    right, clock.wall = clock.wall, written
    entry = new().put(Request(b"x", 1))
    clock.wall = right
    reader = new(max_age=100)
    assert reader.over_bounds(reader.entries()) == []
    clock.monotonic += 99
    assert reader.over_bounds(reader.entries()) == []
    clock.monotonic += 2
    assert reader.over_bounds(reader.entries()) == [entry]


@pytest.mark.parametrize("written", [1_750_000_000.0, 1_900_000_000.0 - HOUR - 1])
def test_what_a_clock_that_may_be_right_wrote_is_as_old_as_it_says(new, clock, written):
    right, clock.wall = clock.wall, written
    entry = new().put(Request(b"x", 1))
    clock.wall = right
    reader = new()
    assert reader.over_bounds(reader.entries()) == [entry]


@pytest.mark.parametrize("seconds", [0, 59, 61])
def test_the_age_of_a_file_that_a_list_missed_is_kept_for_a_minute(new, clock, seconds):
    """A file that was put while the folder was listed is in no list, and is no new one in the next."""
    spool = new()
    entry = spool.put(Request(b"x", 1))
    clock.monotonic += seconds
    hidden = spool._folder / entry.name
    hidden.rename(spool._folder / "elsewhere")
    assert spool.entries() == []
    (spool._folder / "elsewhere").rename(hidden)
    clock.wall = 1.0  # what is not known from before counts as new
    clock.monotonic += HOUR - 1
    went = spool.over_bounds(spool.entries())
    assert went == ([entry] if 1 <= seconds <= 60 else [])


def test_what_no_list_named_has_no_age_to_go_by(new):
    spool = new()
    entry = spool.put(Request(b"x", 1))
    assert new().over_bounds([entry]) == []


@properties
@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_damaged_file_is_said_to_be_or_reads_as_it_was(anywhere, body, data):
    folder = anywhere()
    spool = Spool(folder, HERE, MUCH, HOUR, fsync=False)
    entry = spool.put(Request(body, 1))
    path = folder / entry.name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.sampled_from(["cut", "longer", "changed", "torn", "followed", "no gzip"]))
    renamed = entry
    if damage == "cut":
        path.write_bytes(whole[:place])
    elif damage == "longer":
        path.write_bytes(whole + b"\0")
    elif damage == "changed":
        other = whole[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    else:  # with a name that says the size it has
        now = {
            "torn": whole[:place],
            "followed": whole + whole[: place + 1],
            "no gzip": zlib.compress(body),
        }[damage]
        name = entry.name.replace(f"-{len(whole)}-", f"-{len(now)}-")
        path.rename(folder / name)
        (folder / name).write_bytes(now)
        (renamed,) = spool.entries()
    if damage == "changed":  # gzip's header has bytes that say nothing of the body
        with contextlib.suppress(CorruptError):
            assert spool.read(renamed) == body
    else:
        sized = damage in {"cut", "longer"}
        why = (
            "not the size" if sized else "incorrect header" if damage == "no gzip" else "it is torn"
        )
        with pytest.raises(CorruptError, match=why):
            spool.read(renamed)


def test_a_request_has_up_to_the_bytes_that_are_allowed(new, monkeypatch):
    monkeypatch.setattr(room, "MAX_REQUEST_BYTES", 1000)
    for allowed, most in ((0, 1000), (999, 1000), (5000, 5000)):
        spool = new(fresh=True, max_request_bytes=allowed)
        assert len(spool.read(spool.put(Request(bytes(most), 1)))) == most
        with pytest.raises(CorruptError, match=f"it holds more than {most} bytes"):
            spool.read(spool.put(Request(bytes(most + 1), 1)))


def test_a_size_that_no_request_has_is_looked_up_and_others_are_believed(new, monkeypatch):
    monkeypatch.setattr(room, "MAX_REQUEST_BYTES", 1000)
    spool = new()
    entry = spool.put(Request(b"x", 1))
    for said, believed in ((1000, 1000), (1001, entry.size)):
        (old,) = (name for name in names(spool._folder) if name.endswith(".gz"))
        created, number, _, rest = old.split("-", 3)
        (spool._folder / old).rename(spool._folder / f"{created}-{number}-{said}-{rest}")
        (found,) = spool.entries()
        assert found.size == believed


def test_a_request_that_is_larger_than_the_spool_may_be_is_refused_and_leaves_nothing(new):
    size = new(fresh=True).put(Request(b"x" * 100, 1)).size
    assert new(fresh=True, max_bytes=size).put(Request(b"x" * 100, 1)).size == size
    small = new(max_bytes=size - 1)
    with pytest.raises(OSError, match=f"a request of {size} bytes is more than the spool may hold"):
        small.put(Request(b"x" * 100, 1))
    assert (small.entries(), beside(small._folder)) == ([], [])


def test_a_request_is_named_before_others_can_see_it_and_goes_when_it_cannot_be_kept(new):
    spool, said = new(), []

    def named(entry):
        said.append((entry, new().entries()))

    entry = spool.put(Request(b"x", 3), named)
    assert said == [(entry, [])]

    def fails(_):
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        spool.put(Request(b"x", 3), fails)
    assert (spool.entries(), beside(spool._folder)) == ([entry], [])


@pytest.mark.parametrize("fsync", [True, False, None])
def test_a_request_is_on_the_disk_with_its_folder_before_it_counts_as_written(
    tmp_path, monkeypatch, fsync
):
    others = {} if fsync is None else {"fsync": fsync}  # what is not said is on
    spool, forced, sync = Spool(tmp_path / "spool", HERE, MUCH, HOUR, **others), [], os.fsync

    def seen(file):
        mode = os.fstat(file).st_mode
        forced.append(("folder" if stat.S_ISDIR(mode) else "file", len(spool.entries())))
        sync(file)

    monkeypatch.setattr(os, "fsync", seen)
    spool.put(Request(b"x", 1))
    assert forced == ([] if fsync is False else [("file", 0), ("folder", 1)])


def test_a_folder_that_cannot_be_forced_to_the_disk_is_no_failure(new, monkeypatch):
    spool, sync = new(fsync=True), os.fsync

    def seen(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(file)

    monkeypatch.setattr(os, "fsync", seen)
    entry = spool.put(Request(b"x", 1))
    assert spool.entries() == [entry]


def test_what_is_set_aside_stays_and_counts_and_ages_as_the_others_do(new, clock):
    spool = new(max_age=100)
    entry = spool.put(Request(b"x", 2))
    spool.set_aside(entry)
    (aside,) = spool.entries()
    assert aside == entry.__class__(
        entry.created, f"{entry.name}.corrupt", 2, entry.size, entry.addressee, corrupt=True
    )
    clock.wall, clock.monotonic = clock.wall + 101, clock.monotonic + 101
    reader = new(max_age=100)
    assert reader.over_bounds(reader.entries()) == [aside]
    assert spool.remove(aside)


def test_what_was_left_half_written_goes_a_minute_later_and_nothing_else(new, clock):
    spool = new()
    kept = ["notes", ".unfinished-x", f".unfinished-{'0' * 15}", f"a.unfinished-{'0' * 16}"]
    half = [f".unfinished-{digit * 16}" for digit in "0f"]
    for name in [*kept, *half]:
        (spool._folder / name).write_bytes(b"")
        os.utime(spool._folder / name, (clock.wall, clock.wall))
    for seconds, gone in ((60, False), (1, True)):
        clock.wall += seconds
        spool.remove_unfinished()
        there = names(spool._folder)
        assert set(kept) <= there
        assert there.isdisjoint(half) is gone


def test_a_link_in_the_folder_is_not_followed(new, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    spool = new()
    (spool._folder / ".for-0").symlink_to(secret)
    assert spool.shown("0") == "an endpoint that is not known here"
    entry = spool.put(Request(b"x", 1))
    (spool._folder / entry.name).unlink()
    (spool._folder / entry.name).symlink_to(secret)
    assert spool.entries() == []
    with pytest.raises(OSError, match="symbolic links"):
        spool.read(entry)


def test_a_request_is_kept_even_where_it_cannot_be_written_down_whom_it_is_for(new, tmp_path):
    spool = new()
    (spool._folder / f"{room.FOR}{spool.addressee.fingerprint}").symlink_to(tmp_path / "elsewhere")
    entry = spool.put(Request(b"x", 1))
    assert spool.entries() == [entry]
    assert not (tmp_path / "elsewhere").exists()


def test_the_spool_is_as_the_settings_say_one_folder_a_signal(tmp_path, caplog):
    accounting = Accounting()

    def asked(**environ):
        return Settings.from_environment(environ, accounting)

    assert open_spool(asked(), "traces", accounting) is None
    said = asked(
        MLFLOW_OTEL_SPOOL_DIR=str(tmp_path / "s"),
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="http://127.0.0.1:7",
        MLFLOW_OTEL_SPOOL_MAX_BYTES="5000",
        MLFLOW_OTEL_SPOOL_MAX_AGE="50",
    )
    logs = open_spool(said, "logs", accounting)
    assert logs.max_bytes == 5000
    assert logs.addressee.shown.startswith("http://127.0.0.1:7")
    entry = logs.put(Request(b"x", 1))
    assert (tmp_path / "s" / "logs" / entry.name).exists()
    assert accounting.snapshot() == {}
    (tmp_path / "s" / "logs" / room.SALT).unlink()
    open_spool(said, "logs", accounting)
    (tmp_path / "s" / "traces").write_text("")
    assert open_spool(said, "traces", accounting) is None
    assert accounting.snapshot() == {"spool_orphans": 1, "spool_unusable": 1}
    orphans, unusable = (record.getMessage() for record in caplog.records)
    assert f"{tmp_path / 's' / 'logs'} has lost its file .salt" in orphans
    assert "1 requests" in orphans
    assert f"MLFLOW_OTEL_SPOOL_DIR={tmp_path / 's'} cannot be used (" in unusable
    assert "File exists" in unusable


def test_a_request_that_is_too_old_by_the_settings_goes(tmp_path, clock):
    environ = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path), "MLFLOW_OTEL_SPOOL_MAX_AGE": "50"}
    spool = open_spool(Settings.from_environment(environ, Accounting()), "traces", Accounting())
    entry = spool.put(Request(b"x", 1))
    clock.monotonic += 51
    assert spool.over_bounds(spool.entries()) == [entry]


@pytest.mark.parametrize(("largest", "known"), [("80000000", True), ("4000000", False)])
def test_a_request_as_large_as_the_settings_allow_is_one_of_the_spools(tmp_path, largest, known):
    environ = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path), "MLFLOW_OTEL_MAX_REQUEST_BYTES": largest}
    spool = open_spool(Settings.from_environment(environ, Accounting()), "traces", Accounting())
    entry = spool.put(Request(b"x", 1))
    large = entry.name.replace(f"-{entry.size}-", "-70000000-")
    (spool._folder / entry.name).rename(spool._folder / large)
    assert [found.size == 70_000_000 for found in spool.entries()] == ([True] if known else [False])
