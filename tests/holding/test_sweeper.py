"""The thread that calls a method at intervals."""

from __future__ import annotations

import threading

from mlflow_otel.holding.sweeper import Sweeper

LONG = 30.0
"""Seconds; nothing here takes that long."""


class Owner:
    """What is swept."""

    def __init__(self, pause=0.001):
        self.swept = threading.Event()
        self.threads = set()
        self.sweeper = Sweeper(self.sweep, pause, "swept by a test")

    def sweep(self):
        self.threads.add(threading.current_thread())
        self.swept.set()


def test_the_method_is_called_again_and_again_by_one_thread_that_keeps_no_process_alive():
    owner = Owner()
    assert not owner.sweeper.running
    for _ in range(3):
        owner.sweeper.start()
        owner.swept.clear()
        assert owner.swept.wait(LONG)
    (thread,) = owner.threads
    assert owner.sweeper.running
    assert (thread.name, thread.daemon) == ("swept by a test", True)
    owner.sweeper.stop()
    thread.join(LONG)
    assert not thread.is_alive()


def test_the_thread_ends_with_the_object_that_it_works_for():
    owner = Owner()
    owner.sweeper.start()
    assert owner.swept.wait(LONG)
    (thread,) = owner.threads
    del owner
    thread.join(LONG)
    assert not thread.is_alive()


def test_a_sweeper_that_was_stopped_starts_no_more_also_in_a_child():
    owner = Owner()
    owner.sweeper.stop()
    owner.sweeper.start()
    assert not owner.sweeper.running
    owner.sweeper.begin_anew()
    owner.sweeper.start()
    assert not owner.sweeper.running
    assert owner.threads == set()


def test_a_forked_child_starts_a_thread_of_its_own():
    owner = Owner(pause=LONG)
    owner.sweeper.start()
    owner.sweeper.begin_anew()
    assert not owner.sweeper.running
    owner.sweeper.start()
    assert owner.sweeper.running
    owner.sweeper.stop()
