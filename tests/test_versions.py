"""The supported versions stand in pyproject.toml; whatever else names them reads them there or is held to it."""

from __future__ import annotations

import re

import pytest
import yaml

from mlflow_otel import versions
from tests.conftest import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("package", ["mlflow-tracing", "mlflow", "opentelemetry-sdk", "protobuf"])
def test_the_metadata_says_what_pyproject_says(package):
    stated = versions.supported(package)
    assert f'"{package}{stated}"' in PYPROJECT
    assert versions.oldest(package) == tuple(
        map(int, re.search(r">=([0-9.]+)", stated)[1].split("."))
    )


def test_a_package_that_is_not_named_has_no_versions():
    assert versions.supported("numpy") == ""
    assert versions.oldest("numpy") == ()


def test_the_readme_names_the_oldest_versions_that_pyproject_has():
    readme = (ROOT / "README.md").read_text()
    for name, package in (("MLflow", "mlflow"), ("OpenTelemetry SDK", "opentelemetry-sdk")):
        oldest = ".".join(map(str, versions.oldest(package)))
        assert f"{name} {oldest} and later" in readme
    python = re.search(r'requires-python = ">=([0-9.]+)"', PYPROJECT)[1]
    assert f"Python {python} and later" in readme


STATED = re.compile(
    r"MLflow 3\.\d+ to|SDK 1\.\d+ to|mlflow[a-z-]*[><=]=\d|opentelemetry-[a-z-]+[><=]=\d|\(3, 1\d\)"
)


@pytest.mark.parametrize(
    "file",
    [*sorted((ROOT / "mlflow_otel").rglob("*.py")), ROOT / "Makefile", ROOT / "CONTRIBUTING.md"],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_nothing_else_states_supported_versions(file):
    assert not STATED.findall(file.read_text())


def test_the_projects_own_files_are_what_their_readers_expect():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    asked = {field["id"]: field for field in form["body"]}
    assert "mlflow-otel doctor" in asked["doctor"]["attributes"]["label"]
    assert asked["doctor"]["validations"]["required"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert f'license = "{citation["license"]}"' in PYPROJECT
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    targets = {hook["entry"] for hook in hooks}
    ci = (ROOT / ".ci/run").read_text().splitlines()
    assert targets <= set(ci)
    assert {"make lint", "make types", "make test"} <= targets
