"""MLflow's pages in a real browser: opened, read and clicked."""

from __future__ import annotations

import contextlib
import json
import shutil
import time

import httpx

PATIENCE = 120_000
"""Milliseconds: a page of a busy machine."""
SEEN = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.detectIssues.guidanceShown_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}
"""What MLflow's pages keep in the browser once their greetings were seen. They lie over the pages else."""


@contextlib.contextmanager
def chromium():
    """Yield a running Chromium without a window."""
    # Not above: the environments that leave these tests out collect their files too, and have none.
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "make packages installs chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@contextlib.contextmanager
def new_page(browser, width=1700, height=1000):
    """Yield an empty page that was greeted before."""
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(PATIENCE)
    stored = f"Object.entries({json.dumps(SEEN)})"
    opened.add_init_script(f"for (const [k, v] of {stored}) localStorage.setItem(k, v)")
    yield opened
    opened.close()


def experiment_named(address, name):
    """Return the ID of an experiment, once the pages list it."""
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:  # services are asked for anew each half minute
        place = f"{address}/ajax-api/2.0/mlflow/experiments/search"
        answer = httpx.post(place, json={"max_results": 25}, timeout=120)
        for one in answer.json().get("experiments", ()):
            if one["name"] == name:
                return one["experiment_id"]
        time.sleep(1)
    raise AssertionError(answer.text)


def traces_of(address, experiment, condition=None):
    """Return what a search of an experiment finds."""
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    body = {"locations": [where], "max_results": 100}
    if condition is not None:
        body["filter"] = condition
    place = f"{address}/ajax-api/3.0/mlflow/traces/search"
    answer = httpx.post(place, json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json().get("traces", [])


def open_list(page, address, experiment):
    """Open the list of traces."""
    page.goto(f"{address}/#/experiments/{experiment}/traces")


def open_trace(page, address, experiment, trace):
    """Open a trace, with its assessments."""
    page.goto(f"{address}/#/experiments/{experiment}/traces?selectedEvaluationId={trace}")
    page.get_by_label("Assess trace").first.wait_for()
    page.get_by_label("Assess trace").first.click(force=True)
    page.get_by_text("Add feedback").first.wait_for()


def add_feedback(page, name):
    """Judge the trace that is open, as a person does: with True, in the page's own form."""
    page.get_by_text("Add feedback").first.click()
    page.get_by_text("Human feedback", exact=True).first.click()
    page.get_by_placeholder("Enter a feedback name").fill(name)
    page.keyboard.press("Tab")
    page.get_by_text("Create", exact=True).first.click()


def add_tag(page, address, experiment, trace, key, value):
    """Put a tag on a trace, as a person does: found in the list, chosen, in the form of the list's actions."""
    open_list(page, address, experiment)
    page.get_by_placeholder("Search traces by id, input, or output").fill(trace)
    page.keyboard.press("Enter")
    shows(page, "1 of 1")
    page.get_by_role("checkbox").last.click(force=True)
    page.get_by_text("Actions (1)").first.click(force=True)
    page.get_by_text("Edit tags").first.click()
    form = page.get_by_role("dialog")
    form.locator("input").first.click()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    form.get_by_placeholder("Type a value").fill(value)
    form.get_by_label("Add tag").click()
    form.get_by_text("Save tags").click()
    form.wait_for(state="hidden")


def shows(page, *texts):
    """Wait until the page shows the texts."""
    until = time.monotonic() + PATIENCE / 1000
    while True:
        body = page.inner_text("body")
        missing = [text for text in texts if text not in body]
        if not missing or time.monotonic() > until:
            break
        page.wait_for_timeout(500)
    assert not missing, (missing, body[-3000:])
