"""Variables that nothing reads, and the ones that were probably meant."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import opentelemetry.environment_variables as api_variables
import opentelemetry.sdk.environment_variables as sdk_variables

from mlflow_otel.cli.finding import Finding
from mlflow_otel.settings import OTLP_OPTIONS, SDK_VARIABLES, SIGNALS, VARIABLES
from mlflow_otel.settings.variables import MLFLOW_CREDENTIALS

OURS: Final = "MLFLOW_OTEL_"
SENDING: Final = "OTEL_EXPORTER_OTLP_"
"""A misspelling of one of these explains why nothing arrives."""
PREFIXES: Final = ("OTEL_", "MLFLOW_")
ALIKE: Final = 0.88
ALIKE_OURS: Final = 0.8
"""How alike two names must be (``difflib``): an app's own variable is no misspelling, but ``MLFLOW_OTEL_``
is nobody's but ours."""
DEFINED: Final = re.compile(r"^(MLFLOW_\w+)\s*=", re.MULTILINE)


def misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the variables that nothing reads, with the closest one that is read."""
    known = known_names()
    for name in sorted(environ):
        if name in known or not name.upper().startswith(PREFIXES):
            continue
        alike = ALIKE_OURS if name.upper().startswith(OURS) else ALIKE
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=alike)
        if close and close[0].startswith(SENDING) and not environ.get(close[0]):
            text = f"nothing reads this variable, and {close[0]} is not set"
            yield Finding("problem", name, text, f"did you mean {close[0]}?")
        elif close:
            yield Finding("note", name, "nothing reads this variable", f"did you mean {close[0]}?")
        elif name.upper().startswith(OURS):
            yield Finding(
                "note",
                name,
                "nothing reads this variable",
                "see `mlflow-otel env --all` for those that are",
            )


def known_names() -> frozenset[str]:
    """Return the variables of ours, of OpenTelemetry's SDK and of the MLflow that is installed."""
    general = (f"OTEL_EXPORTER_OTLP_{option.name}" for option in OTLP_OPTIONS)
    own = (
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option.name}"
        for signal in SIGNALS
        for option in OTLP_OPTIONS
    )
    ours = (variable.name for variable in VARIABLES)
    theirs = (name for of in (api_variables, sdk_variables) for name in dir(of))
    return frozenset(
        [*ours, *general, *own, *SDK_VARIABLES, *MLFLOW_CREDENTIALS, *theirs, *_mlflows()]
    )


def _mlflows() -> Iterable[str]:
    """Read the names in MLflow's own list, without importing MLflow: that takes a second."""
    package = importlib.util.find_spec("mlflow")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder) / "environment_variables.py"
        if file.exists():
            yield from DEFINED.findall(file.read_text(encoding="utf-8"))
