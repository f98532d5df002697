"""The public names: imported when they are asked for."""

import subprocess
import sys

import pytest

import mlflow_otel


@pytest.mark.parametrize("name", mlflow_otel.__all__)
def test_every_public_name_is_there(name):
    assert getattr(mlflow_otel, name) is getattr(mlflow_otel, name)
    assert name in dir(mlflow_otel)


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match="no attribute 'intsrument'"):
        mlflow_otel.intsrument  # noqa: B018


def test_an_import_of_all_brings_them_all():
    code = "from mlflow_otel import *\nprint(instrument.__name__, Settings.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["instrument", "Settings"]


@pytest.mark.parametrize("code", ["import mlflow_otel", "import mlflow_otel.cli"])
def test_what_only_imports_the_package_waits_for_no_sdk_and_no_mlflow(code):
    ask = f"import sys\n{code}\nprint([m for m in ('mlflow', 'opentelemetry.sdk') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
