"""Takes the pictures of MLflow's pages that the docs show: the demo in Jaeger, ``mlflow-otel ui`` over it.

make pictures
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.backends import browsing, servers
from tests.backends.test_pages import SERVICE, demo, of_request, serving
from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "pictures"
SIZE = (1280, 640)
MOST_BYTES = 200_000


def traces(page, address, experiment):
    """Show the list."""
    browsing.open_list(page, address, experiment)
    browsing.shows(page, "5 of 5", "s-alice-1", "Error")


def trace(page, address, experiment):
    """Show a trace that a person judged."""
    browsing.open_trace(page, address, experiment, of_request(address, experiment, "req-2"))
    browsing.shows(page, "support_agent", "helpful")


def session(page, address, experiment):
    """Show a conversation."""
    page.goto(f"{address}/#/experiments/{experiment}/chat-sessions/s-alice-1")
    browsing.shows(page, "Turn 2", "tone: polite")


def overview(page, address, experiment):
    """Show the charts."""
    page.goto(f"{address}/#/experiments/{experiment}/overview/usage")
    browsing.shows(page, "Latency", "Overall error rate")


SHOWN = {
    "mlflow-traces": traces,
    "mlflow-trace": trace,
    "mlflow-session": session,
    "mlflow-overview": overview,
}


def main():
    """Take them all."""
    subprocess.run([sys.executable, FOLDER / "terminal.py"], check=True)
    with tempfile.TemporaryDirectory() as made, servers.jaeger(Path(made)) as (url, grpc, _):
        otlp = f"http://127.0.0.1:{grpc}"
        demo(otlp)
        with (
            serving((url, otlp), Path(made) / "ui") as address,
            browsing.chromium() as browser,
        ):
            experiment = browsing.experiment_named(address, SERVICE)
            for name, show in SHOWN.items():
                with browsing.new_page(browser, *SIZE) as page:
                    show(page, address, experiment)
                    page.wait_for_timeout(2000)  # what moves comes to rest
                    picture = FOLDER / f"{name}.png"
                    page.screenshot(path=picture)
                size = picture.stat().st_size
                assert size < MOST_BYTES, f"{picture} has {size} bytes"
                print(f"{picture.relative_to(ROOT)}: {size} bytes")


if __name__ == "__main__":
    main()
