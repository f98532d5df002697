"""What a forked child shares with its parent: no lock, whoever held it at the fork."""

from __future__ import annotations

import pytest

WALK = """
import functools, gc, json, os, sys, threading, time, types
from collections import deque
import mlflow, mlflow_otel
from mlflow_otel import forking

LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event, threading.Semaphore)
INTO = (dict, list, tuple, set, frozenset, deque, types.MethodType, types.CellType, functools.partial)

def ours(value):
    return type(value).__module__.partition(".")[0] == "mlflow_otel"

def locks():
    '''Every lock that a live object or a module of the package has, by where it was found.'''
    modules = [m for name, m in sys.modules.items() if name.partition(".")[0] == "mlflow_otel"]
    waiting = [(name, value) for m in modules for name, value in vars(m).items()]
    waiting += [("forking", weak()) for weak in list(forking._live.values())]
    seen, found = set(), {}
    while waiting:
        where, value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, LOCKS):
            found[where] = value
        elif isinstance(value, functools.cached_property) and hasattr(value, "lock"):
            found[where] = value.lock
        elif isinstance(value, type) and value.__module__.startswith("mlflow_otel"):
            waiting += [(f"{value.__name__}.{name}", one) for name, one in vars(value).items()]
        elif ours(value):
            slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
            fields = {**{n: getattr(value, n, None) for n in slots}, **getattr(value, "__dict__", {})}
            waiting += [(f"{type(value).__name__}.{name}", one) for name, one in fields.items()]
        elif isinstance(value, types.FunctionType):  # not its globals: they may be other people's
            waiting += [(where, one) for one in value.__closure__ or ()]
        elif isinstance(value, INTO):
            waiting += [(where, one) for one in gc.get_referents(value)]
    return found

handle = mlflow_otel.instrument()
def work(name):
    with mlflow.start_span(name) as span:
        mlflow.update_current_trace(client_request_id=name)
        with mlflow.start_span(f"{name}-child"):
            pass
    mlflow_otel.log_feedback(client_request_id=name, name="good", value=True)
work("parent")
handle.force_flush(20_000)
"""

RENEWED = (
    WALK
    + """
before = locks()
read, write = os.pipe()
child = os.fork()
if child == 0:
    after = locks()
    shared = sorted(where for where, lock in after.items() if any(lock is old for old in before.values()))
    os.write(write, json.dumps([shared, sorted(after)]).encode())
    os._exit(0)
os.waitpid(child, 0)
os.close(write)
shared, after = json.loads(os.fdopen(read).read())
print(json.dumps({"before": sorted(before), "after": after, "shared": shared}))
"""
)

HELD = (
    WALK
    + """
import faulthandler

def hold(lock, holds, done):
    with lock:
        holds.set()
        done.wait()

def held_by(lock):
    '''The lock itself, of an Event or a Condition too: several of these may share one.'''
    lock = getattr(lock, "_cond", lock)
    return getattr(lock, "_lock", lock)

done, found = threading.Event(), locks()
for lock in {id(held_by(lock)): held_by(lock) for lock in found.values()}.values():
    holds = threading.Event()
    threading.Thread(target=hold, args=(lock, holds, done), daemon=True).start()
    holds.wait()
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(60, exit=True)  # a child that hangs says where, and ends
    assert mlflow_otel.instrument() is handle
    work("forked")
    handle.stats()
    flushed = handle.force_flush(50_000)
    handle.shutdown()
    os._exit(0 if flushed else 3)
_, status = os.waitpid(child, 0)
done.set()
print(json.dumps({"held": sorted(found), "status": os.waitstatus_to_exitcode(status)}), flush=True)
os._exit(0)
"""
)

FOREIGN = (
    WALK.replace(
        "handle = mlflow_otel.instrument()",
        """
import logging
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

looked, under = set(), set()
def look(who):
    looked.add(who)
    under.update(f"{who}: {where}" for where, lock in locks().items() if getattr(lock, "_is_owned", bool)())

class Looks(SpanExporter):
    def export(self, spans):
        look("exporter")
        for span in spans:
            assert span.name
        return SpanExportResult.SUCCESS

def looks(*args):
    look("hook")
    return args[-1] if len(args) > 1 else True

class Handler(logging.Handler):
    def emit(self, record):
        look("log handler")

logging.getLogger("mlflow_otel").addHandler(Handler())
handle = mlflow_otel.instrument(exporter=Looks(), should_export=looks)
""",
    )
    + """
for number in range(12):  # each look walks all objects of the process
    work(f"w{number}")
handle.shutdown()
work("after shutdown")
print(json.dumps({"looked": sorted(looked), "under": sorted(under)}))
"""
)

KNOWN = {
    "Accounting._lock",
    "RecentTraces._lock",
    "Ledger._lock",
    "Holder._lock",
    "NextProcessor._lock",
    "NextProcessor._handed_on",
    "Sweeper._lock",
    "Sweeper._stopped",
    "Sender._changed",
    "Sender._opening",
    "BackgroundJobs._changed",
    "LazyPipelines._opening",
    "Recorder._opening",
    "Recorder._waiting_lock",
    "Emitter._opening",
    "_Running.lock",
}
"""What the walk must find at least, or it looks in the wrong places."""


def test_every_lock_of_the_package_is_renewed_in_a_forked_child(run_app, receiver):
    found = run_app(RENEWED, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    assert set(found["before"]) >= KNOWN
    assert found["shared"] == []


def test_a_child_goes_on_though_threads_held_every_lock_at_the_fork(run_app, receiver):
    found = run_app(HELD, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint})
    assert set(found["held"]) >= KNOWN
    assert found["status"] == 0
    forked = [span["name"] for span in receiver.store.spans() if span["name"].startswith("forked")]
    assert sorted(forked) == ["forked", "forked-child"]


@pytest.mark.parametrize("asynchronous", ["true", "false"])
def test_no_state_lock_is_held_while_code_of_others_runs(run_app, asynchronous):
    found = run_app(
        FOREIGN,
        {
            "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": asynchronous,
            "MLFLOW_OTEL_MAX_HELD_BYTES": "20000",  # so that there is something to warn about
            "OTEL_BSP_MAX_QUEUE_SIZE": "4",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2",
        },
    )
    assert found["looked"] == ["exporter", "hook", "log handler"]
    assert found["under"] == []
