"""Every shell and Python block of the docs runs, as pasted, in the order given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PREFIXES, ROOT
from tests.pasted.blocks import ELSEWHERE, PAGES, blocks

HERE = [page for page in PAGES if page.name not in ELSEWHERE and blocks(page)]


@pytest.mark.parametrize("page", HERE, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_as_pasted(page, tmp_path, receiver):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    environ = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
    }
    for block in blocks(page):
        # What is written for the default endpoint reaches this one.
        text = block.text.replace("http://localhost:4317", receiver.grpc_endpoint)
        command = (
            [sys.executable, "-c"]
            if block.language == "python"
            else ["bash", "-eo", "pipefail", "-c"]
        )
        done = subprocess.run(
            [*command, text],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        where = f"{page.name}:{block.line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert done.returncode == 0, where
        assert "Traceback" not in done.stderr, where


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_what_is_not_run_here_is_run_by_the_test_that_is_named(page, test):
    assert page in (ROOT / test).read_text()
    assert page in {one.name for one in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_shell_block_can_be_pasted(page):
    for block in blocks(page):
        assert block.language in {"bash", "python"}, (
            f"{page.name}:{block.line}: ```bash, no prompts"
        )
        assert not block.text.lstrip().startswith("$ "), f"{page.name}:{block.line}"


COMMAND = re.compile(
    r"^(\$ |pip |python3? |mlflow(-otel)? |docker |export |curl |[A-Z_]+=\S+ )", re.MULTILINE
)
SHOWN = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_looks_like_a_command_is_in_a_block_that_is_run(page):
    for language, text in SHOWN.findall(page.read_text()):
        assert language in {"bash", "python", "yaml", "properties", ""}, language
        assert language or not COMMAND.search(text), text
