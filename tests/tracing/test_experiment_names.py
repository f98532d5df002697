"""The name of an experiment that a tracking server made, where the app knows its ID alone."""

from __future__ import annotations

import logging
import threading

import pytest

from mlflow_otel.accounting import Accounting
from mlflow_otel.tracing import mlflow_adapter, store
from mlflow_otel.tracing.experiment_names import ExperimentNames


@pytest.fixture(autouse=True)
def server(monkeypatch):
    monkeypatch.setattr(mlflow_adapter, "talks_to_server", lambda *_, **__: True)


def names(ask):
    return ExperimentNames(Accounting(), has_server=True, ask=ask)


def test_a_name_is_asked_for_once():
    asked = []

    def ask(identity):
        asked.append(identity)
        return "shop"

    known = names(ask)
    for _ in range(3):
        known.learn("71")
    assert store.experiment_name("71") == "shop"
    assert asked == ["71"]
    known.learn(None)
    assert asked == ["71"]


def test_a_server_that_does_not_answer_is_not_waited_for_again():
    may_go, asked = threading.Event(), []

    def ask(identity):
        asked.append(identity)
        may_go.wait(60)
        return "late"

    known = names(ask)
    known.learn("72")
    known.learn("72")
    assert store.experiment_name("72") is None
    assert asked == ["72"]
    may_go.set()
    for thread in threading.enumerate():
        if thread.name == "mlflow-otel experiment name":
            thread.join(60)
    assert store.experiment_name("72") == "late"


def test_a_server_that_has_no_name_is_said_and_the_experiment_keeps_its_id(caplog):
    def ask(identity):
        raise ConnectionError("refused")

    known = names(ask)
    with caplog.at_level(logging.WARNING):
        known.learn("73")
        known.learn("73")
    assert store.experiment_name("73") is None
    assert caplog.text.count("could not be read") == 1
    assert "MLFLOW_EXPERIMENT_NAME" in caplog.text


def test_an_app_that_talks_to_no_server_asks_none(monkeypatch):
    monkeypatch.undo()
    asked = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    ExperimentNames(Accounting(), has_server=False, ask=asked.append).learn("74")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.URI)
    ExperimentNames(Accounting(), has_server=True, ask=asked.append).learn("74")
    assert asked == []
