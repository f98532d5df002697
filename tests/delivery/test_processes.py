"""Forks, event loops, the interpreter's end: apps as they really run, each in a process of its own."""

from __future__ import annotations

import pytest

from tests.delivery.faults import Grpc, Http

BOTH = pytest.mark.parametrize("kind", [Grpc, Http], ids=["grpc", "http"])

FORKS = """
import json, os, threading, time
import mlflow, mlflow_otel
handle = mlflow_otel.instrument()

def work(name):
    with mlflow.start_span(name):
        with mlflow.start_span(f"{name}-child"):
            pass

work("parent-first")  # what Python and MLflow import at a first span, a child would wait for
stop = threading.Event()
def load(number):
    while not stop.is_set():
        work(f"parent-{number}")
        handle.force_flush(1000)
threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
time.sleep(0.3)
children = []
for number in range(48):
    child = os.fork()
    if child == 0:
        work(f"forked-{number}")
        ok = handle.force_flush(20_000)
        handle.shutdown()
        os._exit(0 if ok else 1)
    children.append(child)
    time.sleep(0.01)
ends, until = [], time.time() + 60
while children and time.time() < until:
    for child in list(children):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            ends.append(status)
            children.remove(child)
    time.sleep(0.02)
stop.set()
for child in children:
    os.kill(child, 9)
for thread in threads:
    thread.join()
handle.force_flush()
stats = handle.stats()
print(json.dumps({"hung": len(children), "failed": sum(map(bool, ends)), "exported": stats["exported"], "dropped": stats.get("dropped", 0)}))
"""


@BOTH
def test_forked_under_load_every_child_exports_its_own_and_none_hangs(run_app, kind):
    with kind("ok") as server:
        found = run_app(FORKS, server.environ)
    assert (found["hung"], found["failed"], found["dropped"]) == (0, 0, 0)  # was 12 of 48 hung
    forked = sorted(name for name in server.names if name.startswith("forked"))
    assert forked == sorted(f"forked-{n}{c}" for n in range(48) for c in ("", "-child"))
    parents = [name for name in server.names if name.startswith("parent")]
    assert len(parents) == found["exported"]  # none twice: no child sent any of them


@BOTH
def test_multiprocessings_children_need_not_flush(run_app, kind):
    code = """
    import multiprocessing
    import mlflow, mlflow_otel
    mlflow_otel.instrument()
    def work(number):
        with mlflow.start_span(f"child-{number}"):
            pass
    if __name__ == "__main__":
        with mlflow.start_span("parent"):
            pass
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(n,)) for n in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    """
    with kind("ok") as server:
        run_app(code, server.environ)
    assert sorted(server.names) == ["child-0", "child-1", "child-2", "child-3", "parent"]


@BOTH
def test_gevent_apps_go_on_while_the_backend_hangs(run_app, kind):
    code = """
    from gevent import monkey
    monkey.patch_all()
    import json, time, gevent
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    gaps = []
    def tick():
        last = time.monotonic()
        while True:
            gevent.sleep(0.01)
            now = time.monotonic()
            gaps.append(now - last)
            last = now
    ticker = gevent.spawn(tick)
    for _ in range(20):
        with mlflow.start_span("s"):
            gevent.sleep(0.01)
    flushed = handle.force_flush(2500)
    print(json.dumps({"ticks": len(gaps), "longest": max(gaps), "flushed": flushed}))
    import os
    os._exit(0)
    """
    with kind("hang") as server:
        found = run_app(code, {**server.environ, "OTEL_BSP_SCHEDULE_DELAY": "100"})
    assert server.times  # it was tried
    assert found["flushed"] is False
    assert found["longest"] < 5  # a blocked hub stands still until the request times out, 10 s
    assert found["ticks"] > 50


@BOTH
def test_gevent_apps_export(run_app, kind):
    code = """
    from gevent import monkey
    monkey.patch_all()
    import json, mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    for _ in range(20):
        with mlflow.start_span("s"):
            pass
    print(json.dumps([handle.force_flush(20_000)]))
    """
    with kind("ok") as server:
        assert run_app(code, server.environ) == [True]
    assert len(server.names) == 20


@BOTH
def test_asyncio_apps_go_on_while_the_backend_hangs(run_app, kind):
    code = """
    import asyncio, json, time
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    @mlflow.trace
    async def work():
        await asyncio.sleep(0)
    async def main():
        await work()
        longest, until = 0, time.monotonic() + 2
        while time.monotonic() < until:
            started = time.monotonic()
            await asyncio.gather(*(work() for _ in range(10)))
            longest = max(longest, time.monotonic() - started)
        return longest
    print(json.dumps([asyncio.run(main())]))
    """
    with kind("hang") as server:
        (longest,) = run_app(code, {**server.environ, "OTEL_BSP_SCHEDULE_DELAY": "50"})
    assert server.times
    assert longest < 5  # a blocked loop stands still for 10 s


@BOTH
def test_when_python_starts_no_more_threads_the_last_spans_still_arrive(run_app, kind):
    """Python 3.12 and later start none once the interpreter ends: atexit is past that."""
    code = """
    import atexit, threading
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    with mlflow.start_span("warm"):
        pass
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    @atexit.register
    def last():
        with mlflow.start_span("late"):
            pass
        threading.Thread.start = refuse
    """
    with kind("ok") as server:
        run_app(code, server.environ)
    assert sorted(server.names) == ["late", "warm"]


@pytest.mark.parametrize("spool", [False, True], ids=["no spool", "spool"])
def test_exit_with_the_backend_hanging_takes_the_shutdown_bound(run_app, tmp_path, spool):
    code = """
    import json, time, atexit
    import mlflow, mlflow_otel
    handle = mlflow_otel.instrument()
    for _ in range(5):
        with mlflow.start_span("root"):
            pass
    started = time.time()
    atexit.unregister(handle.shutdown)
    @atexit.register
    def timed():
        handle.shutdown()
        print(json.dumps([time.time() - started, handle.stats()]), flush=True)
    """
    with Http("hang") as server:
        folder = {"MLFLOW_OTEL_SPOOL_DIR": str(tmp_path / "spool")} if spool else {}
        seconds, stats = run_app(code, {**server.environ, **folder})
    assert seconds < 5.5  # was 12 min 22 s
    assert stats["spooled" if spool else "dropped"] == 5
    assert stats.get("dropped", 0) + stats["spooled"] == 5
