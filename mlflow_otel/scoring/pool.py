"""Runs jobs beside the app: a few threads, a bounded queue, and a deadline for each job."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from mlflow_otel.forking import begin_anew_in_child

NEVER: Final = float("inf")


class Job(Protocol):
    """Something to do that may take too long."""

    @property
    def seconds(self) -> float:
        """How long ``work`` may take; infinite for as long as it likes."""
        ...

    def work(self) -> Any:
        """Do it, and return what it came to. Does not raise."""
        ...

    def done(self, outcome: Any) -> None:
        """Take what it came to, when that was in time."""
        ...

    def overdue(self) -> None:
        """Note that it was not done in time. What it comes to is not wanted any more."""
        ...

    def came_back(self) -> None:
        """Note that the work of an overdue job has ended after all."""
        ...


class _Batch:
    """Jobs that were put together: their place in the queue is free when the last is done."""

    __slots__ = ("ended", "left", "size")

    def __init__(self, left: int, size: int, ended: Callable[[], object] | None) -> None:
        self.left = left
        self.size = size
        self.ended = ended


class _Worker:
    """A thread, and the job that it works at."""

    __slots__ = ("abandoned", "batch", "deadline", "job")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.batch: _Batch | None = None
        self.deadline = NEVER
        self.abandoned = False


class Pool:
    """A bounded pool of threads behind a bounded queue. Putting does not wait; what does not fit is refused.

    Python cannot end a thread. So a job that is not done in time is abandoned: its thread is left to
    it, another takes its place, and what comes of it is not taken. ``Job.came_back`` tells its owner
    that the thread has ended, so that the owner can keep such threads few.

    One lock guards all fields; no job runs under it. A forked child begins with a new lock, an empty
    queue and no threads: what waits in the parent, the parent does. A job that forks and returns in
    the child, too, ends there: the child is ended.

    Args:
        workers: Threads, besides those that are abandoned.
        max_batches: Batches that may wait or be worked at.
        max_bytes: Bytes of them together.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        workers: int,
        max_batches: int,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = workers
        self._max_batches = max_batches
        self._max_bytes = max_bytes
        self._clock = clock
        self._stopped = False
        self.begin_anew()
        begin_anew_in_child(self)

    def begin_anew(self) -> None:
        """Have nothing to do and no threads. Called in a forked child too."""
        self._lock = lock = threading.RLock()
        self._queued = threading.Condition(lock)
        self._started = threading.Condition(lock)
        self._finished = threading.Condition(lock)
        self._queue: deque[tuple[_Batch, Job]] = deque()
        self._workers: set[_Worker] = set()
        self._idle = 0
        self._watched = False
        self._wakes = NEVER
        self._batches = 0
        self._bytes = 0

    def put(
        self, jobs: Sequence[Job], size: int, ended: Callable[[], object] | None = None
    ) -> bool:
        """Take jobs that belong together; False when there is no room. Does not wait.

        Args:
            jobs: What to do, one or more.
            size: Bytes that they hold on to together.
            ended: Called when the last of them is done or given up, in a thread of the pool's. Must
                not raise.
        """
        with self._lock:
            if (
                self._stopped
                or self._batches >= self._max_batches
                or self._bytes + size > self._max_bytes
            ):
                return False
            missing = len(jobs) + len(self._queue) - self._idle
            while missing > 0 and len(self._workers) < self._most:
                if not self._start():
                    break
                missing -= 1
            if not self._workers:
                return False  # Python exits and starts no threads (3.12 and later)
            batch = _Batch(len(jobs), size, ended)
            self._batches += 1
            self._bytes += size
            self._queue.extend((batch, job) for job in jobs)
            if self._idle:
                self._queued.notify(min(len(jobs), self._idle))
        return True

    def _start(self) -> bool:
        worker = _Worker()
        thread = threading.Thread(
            target=self._work, args=(worker, self._lock), name="mlflow-otel scorer", daemon=True
        )
        self._workers.add(worker)
        try:
            thread.start()
        except RuntimeError:
            self._workers.discard(worker)
            return False
        return True

    def _work(self, worker: _Worker, lock: Any) -> None:
        while True:
            with lock:
                while not self._queue:
                    if lock is not self._lock or self._stopped:
                        self._workers.discard(worker)
                        return
                    self._idle += 1
                    self._queued.wait()
                    self._idle -= 1
                batch, job = self._queue.popleft()
                seconds = job.seconds
                worker.job, worker.batch = job, batch
                worker.deadline = self._clock() + seconds
                if seconds < NEVER:
                    self._watch(worker.deadline)
            outcome = job.work()
            if lock is not self._lock:
                # The job forked, and this is the child: it would live on with the threads that
                # exporters start there, and nothing would ever end it.
                os._exit(0)
            with lock:
                in_time = not worker.abandoned
                worker.deadline = NEVER
            if not in_time:
                job.came_back()
                return
            try:
                job.done(outcome)
            finally:
                self._end(batch, lock, worker)

    def _end(self, batch: _Batch, lock: Any, worker: _Worker | None = None) -> None:
        with lock:
            if worker is not None:
                worker.job = None
            batch.left -= 1
            last = not batch.left
            if last and batch.ended is None:
                self._free(batch)
        if last and batch.ended is not None:
            batch.ended()  # before it counts as done: who drains the pool waits for this too
            with lock:
                self._free(batch)

    def _free(self, batch: _Batch) -> None:
        """Give a batch's room to others. The lock is held."""
        self._batches -= 1
        self._bytes -= batch.size
        self._finished.notify_all()

    def _watch(self, deadline: float) -> None:
        """See to it that someone looks at the deadline. The lock is held."""
        if self._watched:
            if deadline < self._wakes:
                self._started.notify()
            return
        self._wakes = deadline
        thread = threading.Thread(
            target=self._look, args=(self._lock,), name="mlflow-otel scorer watch", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # Python exits and starts none (3.12 and later)
            thread.start()
            self._watched = True

    def _look(self, lock: Any) -> None:
        while True:
            with lock:
                if lock is not self._lock:
                    return
                now = self._clock()
                late = [w for w in self._workers if w.deadline <= now]
                for worker in late:
                    worker.abandoned = True
                    self._workers.discard(worker)
                if not late:
                    self._wakes = min((w.deadline for w in self._workers), default=NEVER)
                    self._started.wait(min(self._wakes - now, threading.TIMEOUT_MAX))
                    continue
            for worker in late:
                self._give_up(worker, lock)

    def _give_up(self, worker: _Worker, lock: Any) -> None:
        """Say that a job is overdue, and replace the thread that it keeps."""
        if worker.job is not None:
            worker.job.overdue()
        if worker.batch is not None:
            self._end(worker.batch, lock)
        with lock:
            if self._queue and len(self._workers) < self._most:
                self._start()

    def wait_for_room(self, size: int, seconds: float) -> bool:
        """Wait until ``put`` has room for so many bytes; False when there is none in time."""
        until = time.monotonic() + seconds
        with self._lock:
            while self._batches and (
                self._batches >= self._max_batches or self._bytes + size > self._max_bytes
            ):
                left = until - time.monotonic()
                if left <= 0 or self._stopped:
                    return False
                self._finished.wait(left)
        return True

    @property
    def waiting(self) -> int:
        """Jobs that wait for a thread."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Jobs that are worked at, in time."""
        with self._lock:
            return sum(worker.job is not None for worker in self._workers)

    def drain(self, seconds: float) -> bool:
        """Wait until all that was put is done or given up; False when it is not in time."""
        until = time.monotonic() + seconds
        with self._lock:
            while self._batches:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._finished.wait(left)
        return True

    def stop(self, seconds: float) -> list[Job]:
        """Take no more jobs, finish what can be finished in time, and return those that did not begin."""
        with self._lock:
            self._stopped = True
        self.drain(seconds)
        with self._lock:
            left = [job for _, job in self._queue]
            self._queue.clear()
            self._queued.notify_all()
        return left
