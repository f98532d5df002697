"""Processes that share a spool's folder: who sends, who has claimed a file, whom it is for."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

import pytest

from mlflow_otel.delivery import spool as room
from mlflow_otel.delivery.request import Request
from tests.delivery.folders import ELSEWHERE, beside, is_open

NO_LOCKS = OSError(errno.ENOLCK, "No locks available")


def test_one_process_sends_to_an_addressee_at_a_time(new):
    one, other, elsewhere = new(), new(), new(ELSEWHERE)
    with one.exclusive() as mine:
        assert is_open(one._lock_file)
        with other.exclusive() as theirs, elsewhere.exclusive() as apart:
            assert (mine, theirs, apart) == (True, False, True)
        with other.exclusive() as again:
            assert not again
    with other.exclusive() as theirs:
        assert theirs
    assert one.no_locks is other.no_locks is None


def test_a_child_lets_go_of_its_parents_lock(new):
    one, other = new(), new()
    one.forked()  # without a lock: nothing to do
    with one.exclusive():
        held, one._lock = one._lock, os.dup(one._lock)  # a fork has both
        one.forked()
        assert one._lock is None
        with other.exclusive() as theirs:
            assert not theirs  # the parent's is still there
        one._lock = held
    with other.exclusive() as theirs:
        assert theirs


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_held_is_told_from_a_file_system_without_locks(new, monkeypatch, number):
    spool, flock = new(), fcntl.flock
    for answer, mine in ((number, False), (errno.ENOLCK, True), (errno.ENOTSUP, True)):

        def refused(*_, answer=answer):
            raise OSError(answer, "refused")

        monkeypatch.setattr(fcntl, "flock", refused)
        with spool.exclusive() as allowed:
            assert allowed is mine
            assert not is_open(spool._lock_file)
        assert (spool.no_locks is not None) is mine
    assert spool.no_locks.errno == errno.ENOTSUP
    monkeypatch.setattr(fcntl, "flock", flock)
    with spool.exclusive() as allowed:
        assert allowed
    assert spool.no_locks is None


def test_a_file_is_claimed_by_one_process_until_it_is_done_with(new, clock):
    one, other = new(), new()
    entry = one.put(Request(b"x", 1))
    assert one.claim(entry)
    assert other.claim(entry)  # there are locks
    assert beside(one._folder) == []
    assert not list(one._folder.glob("*.claim"))
    one.no_locks = other.no_locks = NO_LOCKS
    for undo in (one.unclaim, one.remove, one.set_aside):
        entry = one.put(Request(b"x", 1))
        assert one.claim(entry)
        assert not other.claim(entry)
        assert not one.claim(entry)
        (claim,) = one._folder.glob("*.claim")
        assert claim.name == f"{entry.name}.claim"
        assert stat.S_IMODE(claim.stat().st_mode) == 0o600
        undo(entry)
        assert other.claim(entry)
        other.unclaim(entry)
    for seconds, taken in ((600, False), (1, True)):
        entry = entry if taken else one.put(Request(b"x", 1))
        assert taken or one.claim(entry)
        assert taken or not other.claim(entry)  # seen from now on
        clock.monotonic += seconds
        assert other.claim(entry) is taken
    late = one.put(Request(b"x", 1))  # the time is each file's own
    assert one.claim(late)
    assert not other.claim(late)


def test_whom_requests_are_for_is_written_down_once_something_is_for_them(new):
    one = new()
    to = one.addressee
    assert one.shown(to.fingerprint) == to.shown == "http://127.0.0.1:9 (grpc) with tenant"
    other = new(ELSEWHERE)
    assert other.shown(to.fingerprint) == "an endpoint that is not known here"
    one.put(Request(b"x", 1))
    path = one._folder / f".for-{to.fingerprint}"
    assert path.read_text() == other.shown(to.fingerprint) == to.shown
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    one.put(Request(b"x", 1))
    assert not path.exists()  # once a process
    for text, shown in (
        ("two\nlines", "an endpoint that cannot be shown"),
        ("x" * 1001, "x" * 1000),
    ):
        path.write_text(text)
        assert other.shown(to.fingerprint) == shown
        assert one.shown(to.fingerprint) == to.shown
    new().put(Request(b"x", 1))
    assert path.read_text() == to.shown  # written anew, whole


@pytest.mark.parametrize("links", [True, False])
def test_the_folders_salt_is_made_once_also_where_no_file_can_have_two_names(
    new, monkeypatch, links
):
    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    one = new()
    salt = one._folder / room.SALT
    written = salt.read_bytes()
    assert len(written) == room.SALT_BYTES
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert stat.S_IMODE(one._folder.stat().st_mode) == 0o700
    assert new().addressee == one.addressee
    assert salt.read_bytes() == written
    assert beside(one._folder) == []
    assert one.orphans == 0


def test_who_is_slower_takes_the_salt_that_another_process_made(new, monkeypatch):
    """Both find none, and both make one."""
    link = os.link

    def later(made, path):
        path.write_bytes(b"0" * room.SALT_BYTES)
        link(made, path)

    monkeypatch.setattr(os, "link", later)
    slower = new()
    assert (slower._folder / room.SALT).read_bytes() == b"0" * room.SALT_BYTES
    assert new().addressee == slower.addressee
    assert beside(slower._folder) == []


def test_requests_of_a_folder_that_lost_its_salt_are_counted(new):
    spool = new()
    for number in range(3):
        entry = spool.put(Request(b"x", number))
    spool.set_aside(entry)
    (spool._folder / room.SALT).unlink()
    assert new().orphans == 2
    assert new().orphans == 0  # said before
