"""The table of variables: precedence, bad values, what is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlflow_otel
from mlflow_otel.accounting import Accounting
from mlflow_otel.cli.env import table
from mlflow_otel.settings import SDK_VARIABLES, VARIABLES, Settings, secrets
from mlflow_otel.settings.parsers import headers


def read(**environ):
    accounting = Accounting()
    return Settings.from_environment(environ, accounting), accounting.snapshot()


def test_the_public_names():
    assert sorted(mlflow_otel.__all__) == mlflow_otel.__all__
    for name in mlflow_otel.__all__:
        assert getattr(mlflow_otel, name).__doc__ is not None


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "http://localhost:4317"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://localhost:4318/v1/traces"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "http://c:4318/v1/traces",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://no",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            },
            "http://c/x",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "http://c:4317"),
    ],
)
def test_the_endpoint_as_the_exporter_specification_says(environ, endpoint):
    assert read(**environ)[0].traces.endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "insecure", "secure"),
    [
        ("http://c", None, False),
        ("https://c", "true", True),
        ("c:4317", None, True),
        ("c:4317", "true", False),
    ],
)
def test_the_scheme_decides_about_tls_before_insecure_does(endpoint, insecure, secure):
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    if insecure:
        environ["OTEL_EXPORTER_OTLP_INSECURE"] = insecure
    assert read(**environ)[0].traces.secure is secure


TAKES_ANY_TEXT = {"text", "opted_in", "headers"}
"""The parsers that refuse no text."""


@pytest.mark.parametrize(
    "variable",
    [v for v in VARIABLES if v.parse.__name__ not in TAKES_ANY_TEXT],
    ids=lambda v: v.name,
)
def test_a_bad_value_is_one_warning_and_the_default(variable, caplog):
    value = "=x" if variable.parse.__name__ == "promotions" else "no such value"
    found, counted = read(**{variable.name: value})
    assert getattr(found, variable.field) == getattr(Settings(), variable.field)
    assert counted == {f"settings.invalid.{variable.name}": 1}
    assert variable.name in caplog.text
    assert value in caplog.text


def test_an_argument_beats_the_environment():
    environ = {"MLFLOW_TRACE_SAMPLING_RATIO": "0.5"}
    assert Settings.from_environment(environ, sampling_ratio=0.25).sampling_ratio == 0.25


SECRET = "t0ken-6f1d2c3b4a"
HOLDING = {
    secrets.URL: f"http://ann:{SECRET}@127.0.0.1:9/",
    secrets.HEADERS: f"authorization=Bearer%20{SECRET}",
    secrets.WHOLE: SECRET,
}
"""A value of each kind that holds a secret."""


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.secret], ids=lambda v: v.name)
def test_what_is_secret_in_a_variable_is_neither_shown_nor_said(variable, caplog):
    environ = {variable.name: HOLDING[variable.secret]}
    accounting = Accounting()
    read_from_it = Settings.from_environment(environ, accounting)
    assert SECRET in str(getattr(read_from_it, variable.field))
    accounting.warn("any", "The server said %s.", SECRET)
    for seen in (repr(read_from_it), str(table(environ)), caplog.text):
        assert seen
        assert SECRET not in seen


def test_every_kind_of_secret_hides_it_where_it_is_shown():
    for kind, text in HOLDING.items():
        value = headers(text) if kind is secrets.HEADERS else text
        assert SECRET not in kind.shown(value)
        assert SECRET in set(kind.parts(value))


def test_headers_are_never_shown():
    for variable in ("OTEL_EXPORTER_OTLP_HEADERS", "MLFLOW_OTEL_TRACE_LOOKUP_HEADERS"):
        shown = "\n".join(map(str, table({variable: "authorization=secret"})))
        assert "secret" not in shown
        assert "authorization=…" in shown


def test_env_says_where_each_value_came_from():
    rows = {
        row[0]: row
        for row in table({"OTEL_EXPORTER_OTLP_TIMEOUT": "3", "MLFLOW_TRACE_SAMPLING_RATIO": "x"})
    }
    assert rows["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"][1:3] == ("3", "OTEL_EXPORTER_OTLP_TIMEOUT")
    assert rows["MLFLOW_TRACE_SAMPLING_RATIO"][1:3] == (
        "1",
        "MLFLOW_TRACE_SAMPLING_RATIO is not valid and not used: set it to a number from 0 to 1",
    )
    assert rows["MLFLOW_EXPERIMENT_ID"][1:3] == ("-", "default")


def test_the_page_of_the_configuration_names_every_variable_and_what_it_takes():
    page = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
    for variable in VARIABLES:
        assert f"| `{variable.name}` | " in page, variable.name
        assert variable.accepts in page
    for name in SDK_VARIABLES:
        assert f"| `{name}` | " in page, name


def test_warnings_come_once_a_minute_and_all_are_counted(caplog):
    now = [0.0]
    accounting = Accounting(clock=lambda: now[0])
    for second in (0, 1, 59, 61):
        now[0] = second
        accounting.warn("cause", "it happened")
    assert accounting.snapshot() == {"cause": 4}
    assert [r.getMessage() for r in caplog.records] == [
        "it happened",
        "it happened (2 more like this since the last warning)",
    ]
