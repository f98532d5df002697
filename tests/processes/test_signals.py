"""A plain script, ended by a signal: what ended before it leaves, and the exit status stays."""

from __future__ import annotations

import signal

import pytest

from tests.processes.apps import TRACED, Http, both, free_port, script

WAITING = ["signal.pause()", "threading.Event().wait()", "asyncio.run(asyncio.sleep(600))"]
IMPORTS = "import asyncio, json, os, signal, sys, threading, time\n"


@pytest.mark.parametrize("waiting", WAITING)
def test_a_script_that_sigterm_ends_by_its_default_action(tmp_path, waiting):
    code = IMPORTS + TRACED + f"work('a')\nprint('ready')\n{waiting}\nprint('went on')\n"
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end() == -signal.SIGTERM
    assert sorted(server.names) == both("a")
    assert "went on" not in app.output


GREEN = {
    "sleep": "import gevent; gevent.sleep(600)",
    "event": "threading.Event().wait()",
    "server": "from gevent.pywsgi import WSGIServer; WSGIServer(('127.0.0.1', 0), None).serve_forever()",
    "busy": "while True: pass",
}


@pytest.mark.parametrize("waiting", list(GREEN))
def test_a_gevent_app_that_sigterm_ends_by_its_default_action(tmp_path, waiting):
    patched = "from gevent import monkey; monkey.patch_all()\n"
    code = f"{patched}{IMPORTS}{TRACED}work('a')\nprint('ready')\n{GREEN[waiting]}\n"
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end() == -signal.SIGTERM, app.output
    assert sorted(server.names) == both("a")
    assert "Traceback" not in app.output


def test_a_request_that_fails_in_a_gevent_app_prints_no_traceback(tmp_path):
    patched = "from gevent import monkey; monkey.patch_all()\n"
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://ann:S3CRET@127.0.0.1:{free_port()}",
        "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "0",
    }
    with script(f"{patched}{TRACED}work('a')\n", tmp_path, environ) as app:
        assert app.wait() == 0
    assert "does not answer" in app.output
    assert "Traceback" not in app.output
    assert "S3CRET" not in app.output


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT], ids=["SIGHUP", "SIGINT"])
def test_other_signals_that_end_a_process(tmp_path, number):
    code = IMPORTS + TRACED + "work('a')\nprint('ready')\ntime.sleep(600)\n"
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end(number) == -number
    assert sorted(server.names) == both("a")


def test_spans_that_ended_below_an_open_root_leave_too(tmp_path):
    code = (
        IMPORTS
        + TRACED
        + "with mlflow.start_span('open'):\n    work('a')\n    print('ready')\n    time.sleep(600)\n"
    )
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end() == -signal.SIGTERM
    assert sorted(server.names) == both("a")


HANDLERS = {
    "exits": ("def mine(*_):\n    print('mine')\n    sys.exit(7)\n", 7),
    "sets an event": ("def mine(*_):\n    print('mine')\n    done.set()\n", 0),
    "restores the default": (
        "def mine(*_):\n    print('mine')\n    signal.signal(15, 0)\n    os.kill(os.getpid(), 15)\n",
        -signal.SIGTERM,
    ),
}


@pytest.mark.parametrize(
    ("handler", "before"),
    [
        ("exits", True),
        ("sets an event", False),
        ("restores the default", True),
        ("restores the default", False),
    ],
)
def test_the_apps_own_handler_stays_in_charge(tmp_path, handler, before):
    defined, status = HANDLERS[handler]
    install = defined + "assert signal.signal(signal.SIGTERM, mine) is signal.SIG_DFL\n"
    code = IMPORTS + "done = threading.Event()\n"
    code += install + TRACED if before else TRACED + install
    code += "assert signal.getsignal(signal.SIGTERM) is mine\n"
    code += "work('a')\nprint('ready')\ndone.wait()\nwork('b')\n"
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end() == status
    assert app.output.count("mine") == 1
    assert sorted(server.names) == both("a", *(["b"] if status == 0 else []))


def test_an_ignored_signal_stays_ignored(tmp_path):
    code = IMPORTS + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + TRACED
    code += "work('a')\nos.kill(os.getpid(), signal.SIGTERM)\nwork('b')\nprint(signal.getsignal(signal.SIGTERM))"
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        assert app.wait() == 0
    assert sorted(server.names) == both("a", "b")


def test_nobody_sees_that_the_default_action_is_ours(tmp_path):
    code = (
        IMPORTS
        + TRACED
        + """
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.SIG_DFL
assert signal.signal(signal.SIGTERM, signal.SIG_IGN) is signal.SIG_DFL
assert signal.signal(signal.SIGTERM, signal.SIG_DFL) is signal.SIG_IGN
before = signal.signal
mlflow_otel.uninstrument()
assert signal.signal is not before and signal.signal.__module__ == "signal"
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
os.kill(os.getpid(), signal.SIGTERM)
"""
    )
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        assert app.wait() == -signal.SIGTERM, app.output


def test_atexit_leaves_signals_alone(tmp_path):
    code = (
        IMPORTS
        + "before = signal.signal\n"
        + TRACED
        + "assert signal.signal is before\nwork('a')\n"
    )
    with (
        Http("ok") as server,
        script(code, tmp_path, {**server.environ, "MLFLOW_OTEL_FLUSH": "atexit"}) as app,
    ):
        assert app.wait() == 0, app.output
    assert sorted(server.names) == both("a")


BUSY = (
    IMPORTS
    + TRACED
    + """
work('first')
print('ready')
count = 0
while True:
    work(f's{count}')
    count += 1
    sys.stdout.write(f'{count}\\n')
"""
)


@pytest.mark.parametrize("attempt", range(2))
def test_a_main_thread_in_the_midst_of_a_span_holds_nothing_up(tmp_path, attempt):
    """The interrupted code may hold a lock that the flush needs."""
    with Http("ok") as server, script(BUSY, tmp_path, server.environ) as app:
        app.wait_for("\n", 20 + 37 * attempt)
        assert app.end() == -signal.SIGTERM
    last = max(int(line) for line in app.lines if line.strip().isdigit())
    whole = {f"s{n}" for n in range(last - 1)}
    missing = whole - set(server.names)
    assert "first" in server.names
    # Those after the signal need not leave: the thread goes on meanwhile. Before it none is missing.
    begun = min((int(name[1:]) for name in missing), default=last)
    assert begun >= 20 + 37 * attempt - 2
    assert missing == {f"s{n}" for n in range(begun, last - 1)}
    assert "the time that shutdown() has" not in app.output


def test_a_hanging_backend_holds_the_end_up_for_the_shutdown_bound(tmp_path):
    code = IMPORTS + TRACED + "work('a')\nprint('ready')\nsignal.pause()\n"
    with Http("hang") as server, script(code, tmp_path, server.environ) as app:
        app.wait_for("ready")
        assert app.end() == -signal.SIGTERM
    assert "2 spans" in app.output  # said, with what to do


def test_instrument_outside_the_main_thread_says_what_it_cannot_do(tmp_path):
    code = (
        IMPORTS
        + """
import mlflow_otel
thread = threading.Thread(target=mlflow_otel.instrument)
thread.start(); thread.join()
"""
    )
    with Http("ok") as server, script(code, tmp_path, server.environ) as app:
        assert app.wait() == 0
    assert app.output.count("Call instrument() in the main thread") == 1
