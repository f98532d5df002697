"""The examples in the public docstrings run, and send where they say."""

from __future__ import annotations

import inspect
import types

import pytest

import mlflow_otel
from mlflow_otel.scoring import model as scoring_model

RUN = """
import doctest, json, sys
import mlflow_otel, {place}
found = doctest.DocTestFinder(recurse=False).find({place}.{name}, {name!r}, globs={{"mlflow_otel": mlflow_otel}})
results = [doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test) for test in found]
print(json.dumps({{"failed": sum(r.failed for r in results), "tried": sum(r.attempted for r in results)}}))
"""
LAZY = {"ScorerSamplingConfig": scoring_model}
"""Names that are MLflow's where the full package is installed, and the module that documents them."""
PUBLIC = sorted(name for name in mlflow_otel.__all__ if name != "__version__")


def test_the_public_names_are_these():
    seen = {
        n
        for n, v in vars(mlflow_otel).items()
        if not n.startswith("_") and not isinstance(v, types.ModuleType)
    }
    assert seen | {name for name in PUBLIC if hasattr(mlflow_otel, name)} == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_has_a_docstring_with_an_example_that_runs(name, run_app, receiver):
    documented = getattr(LAZY.get(name, mlflow_otel), name)
    assert ">>>" in (inspect.getdoc(documented) or ""), f"{name} has no example"
    result = run_app(
        RUN.format(name=name, place=getattr(LAZY.get(name), "__name__", "mlflow_otel")),
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint,
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
        },
    )
    assert result["tried"] > 0
    assert result["failed"] == 0
