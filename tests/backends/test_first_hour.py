"""From a bare machine to traces in Jaeger and in MLflow, by README.md and quickstart.md alone, pasting only."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile

import httpx
import pytest

from tests.backends import servers
from tests.backends.stack import eventually
from tests.conftest import PREFIXES, ROOT
from tests.pasted.blocks import blocks

pytestmark = [pytest.mark.backend, pytest.mark.timeout(900)]

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"


PORTS = (
    *("16686", "4317", "4318", "5000", "5003", "5004", "4327", "4328"),  # quickstart.md
    *("5001", "5002", "14317", "14318", "9092", "5005", "5006"),  # bridge.md
    *("4337", "4338", "4339", "4340", "8000"),  # scorers.md, frameworks.md
)
FILES = {("frameworks.md", 1): "web.py"}
"""What the page says a Python block is saved as; else it is run."""
SAID = {
    "store.md": ["It is Paris. yes"],
    "bridge.md": ["It is Madrid.", '"assessment_id"', "sent before"],
    "scorers.md": [
        "short: 1 run, 0 failed",
        'what="scorer.runs"} 1',
        " to be judged",
        " judged, 0 failed",
    ],
    "frameworks.md": ['"It is Paris."', "True"],
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder with the wheel and the sdist, as they would be published."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder


class Terminal:
    """One terminal into which blocks are pasted: what one sets, the next has.

    Args:
        folder: Where it is.
        built: Where `pip` finds the package until it is on the index.
    """

    def __init__(self, folder, built):
        programs = folder / "programs"
        programs.mkdir()
        docker = programs / "docker"
        docker.write_text(
            f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m tests.backends.docker "$@"\n'
        )
        docker.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith((*PREFIXES, "VIRTUAL_ENV"))}
        self._bash = subprocess.Popen(
            ["bash", "--norc", "-eo", "pipefail", "-s"],
            cwd=folder,
            env={
                **kept,
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "PIP_FIND_LINKS": str(built),
                "PIP_NO_COMPILE": "true",  # what is not imported here need not be compiled
                "DOCKER_FOLDER": str(folder),
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def paste(self, text):
        """Run a block; return what it printed."""
        self._bash.stdin.write(f"{text}\nprintf '\\n@@ done\\n'\n")
        self._bash.stdin.flush()
        said = []
        for line in self._bash.stdout:
            if line == "@@ done\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"{text}\nended the shell:\n{''.join(said)[-4000:]}")

    def close(self):
        os.killpg(self._bash.pid, signal.SIGTERM)
        self._bash.wait(30)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory, built):
    """Return a terminal in an environment with nothing in it."""
    opened = Terminal(tmp_path_factory.mktemp("newcomer"), built)
    opened.paste("python3 -m venv venv && . venv/bin/activate")
    yield opened
    opened.close()


def pasted(page, heading, ports):
    """Return the shell blocks below a heading of a page, on ports that are free."""
    text = page.read_text()
    start = text[: text.index(f"## {heading}\n")].count("\n") + 1
    end = text.find("\n## ", text.index(f"## {heading}\n") + 3)
    last = text[:end].count("\n") + 1 if end >= 0 else 10**6
    for block in blocks(page):
        if start <= block.line <= last and block.language == "bash":
            found = block.text
            for written, free in ports.items():
                # The second of `4317:4317` is the container's own.
                found = re.sub(rf"(?<!{written}:){written}", str(free), found)
            yield found


def test_what_would_be_published_is_whole(built):
    archives = sorted(built.iterdir())
    assert [one.name.partition("-")[0] for one in archives] == ["mlflow_otel", "mlflow_otel"]
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, archives)], check=True
    )
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "mlflow_otel/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "docs"))]


def test_readme_from_the_installation_to_the_demo_and_the_one_line(terminal, tmp_path):
    said = "".join(map(terminal.paste, pasted(README, "Try it", {})))
    assert "38 spans of 5 traces arrived" in said
    (line,) = [block for block in blocks(README) if block.language == "python"]
    terminal.paste(f"cat > line.py <<'PASTED'\n{line.text}PASTED")
    with servers.jaeger(tmp_path) as (url, grpc, _):
        terminal.paste(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{grpc} python line.py")
        asked = {"service": "my-app", "tags": json.dumps({"user.id": "ann"})}
        (trace,) = eventually(lambda: httpx.get(f"{url}/api/traces", params=asked).json()["data"])
        assert {span["operationName"] for span in trace["spans"]} == {
            "invoke_agent answer",
            "evaluation is_correct",
        }


def test_quickstart_from_a_bare_machine_to_jaeger_and_mlflow(terminal):
    ports = dict(zip(PORTS, servers.free_ports(len(PORTS)), strict=True))
    for block in blocks(QUICKSTART)[:3]:
        terminal.paste(block.text.replace("/path/to/checkout", str(ROOT)))
    (demo,) = pasted(QUICKSTART, "In the terminal, without a backend", ports)
    assert "38 spans of 5 traces arrived" in terminal.paste(demo)

    started, searched, spared = pasted(QUICKSTART, "Jaeger", ports)
    said = terminal.paste(started)
    assert "; takes traces" in said  # who it is, doctor sees at its usual port
    assert "0 problem(s)" in said
    assert "It is Paris." in said
    assert set(re.findall(r'"operationName": "(.*?)"', terminal.paste(searched))) == {
        "invoke_agent answer",
        "execute_tool capital",
        "evaluation is_correct",
    }
    terminal.paste(spared)

    for number, shown in enumerate(pasted(QUICKSTART, "MLflow's own pages", ports)):
        terminal.paste(shown)
        if number:
            page = f"http://127.0.0.1:{ports['5003' if number == 1 else '5004']}"
            assert eventually(lambda page=page: judged(page, "quickstart"))

    server, sent = pasted(QUICKSTART, "An MLflow tracking server", ports)
    terminal.paste(server)
    missing = f"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{ports['5000']}"
    said = terminal.paste(f"{missing} mlflow-otel doctor || true")
    assert "set OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-mlflow-experiment-id=0" in said
    said = terminal.paste(sent)
    assert "0 problem(s)" in said
    asked = {
        "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    }
    found = httpx.post(f"http://127.0.0.1:{ports['5000']}/api/3.0/mlflow/traces/search", json=asked)
    kept = [trace.get("trace_metadata", {}) for trace in found.json()["traces"]]
    assert ("s-1", "ann") in {
        (one.get("mlflow.trace.session"), one.get("mlflow.trace.user")) for one in kept
    }

    (zero,) = pasted(QUICKSTART, "Without a line of code", ports)
    assert "It is Rome." in terminal.paste(zero)
    asked = {"service": "plain", "tags": json.dumps({"session.id": "s-2"})}
    url = f"http://127.0.0.1:{ports['16686']}/api/traces"
    assert eventually(lambda: httpx.get(url, params=asked).json()["data"])
    assert QUICKSTART.read_text().count("```bash") == 13, "a further block needs its place here"

    for page in ("store.md", "bridge.md", "scorers.md", "frameworks.md"):
        # The default endpoint is at another port here.
        terminal.paste(f"export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{ports['4317']}")
        said = "".join(terminal.paste(text) for text in whole(page, ports))
        assert "Traceback" not in said, said
        for expected in SAID[page]:
            assert expected in said, said

    def spans(service):
        found = httpx.get(url, params={"service": service}).json()["data"] or []
        return [{span["operationName"] for span in trace["spans"]} for trace in found]

    own = {"invoke_agent answer", "execute_tool capital", "evaluation is_correct"}
    added = {"trace update", "evaluation answer_is_polite", "evaluation short"}
    assert eventually(lambda: [one for one in spans("quickstart") if own | added <= one])
    assert eventually(lambda: [one for one in spans("bridged") if "evaluation correct" in one])
    # By one bridge, by the one with a server beside it, and by the two with Kafka between them.
    assert eventually(lambda: len(spans("bridged")) == 3)
    assert eventually(
        lambda: [one for one in spans("web") if {"POST /chat", "invoke_agent chat"} <= one]
    )
    assert eventually(lambda: spans("notebook"))


def judged(page, service):
    """Return the names of the assessments that MLflow's pages show of a service's traces."""
    named = {"experiment_name": service}
    found = httpx.get(f"{page}/api/2.0/mlflow/experiments/get-by-name", params=named).json()
    experiment = found.get("experiment", {}).get("experiment_id", "")
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    asked = {"locations": [place]}
    found = httpx.post(f"{page}/api/3.0/mlflow/traces/search", json=asked, timeout=60).json()
    return [
        one["assessment_name"]
        for trace in found.get("traces", ())
        for one in trace.get("assessments", ())
    ]


def whole(page, ports):
    """Yield what a reader pastes of a page, in its order; Python goes into files first."""
    for number, block in enumerate(blocks(ROOT / "docs" / page), 1):
        text = block.text
        if block.language == "python":
            file = FILES.get((page, number), "pasted.py")
            run = "" if file != "pasted.py" else f"\npython {file}"
            text = f"cat > {file} <<'PASTED'\n{text}PASTED{run}"
        for written, free in ports.items():
            # The second of `9092:9092` is the container's own.
            own = rf"(?<!{written}:)(?<=:){written}(?!\d)|(?<=--port ){written}"
            text = re.sub(own, str(free), text)
        yield text
