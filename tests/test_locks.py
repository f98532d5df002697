"""Every lock that code of the package makes: who renews it in a forked child, and its row in the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mlflow_otel"
IN_NO_APP = {"bridge", "cli", "receiver", "worker", "pulling"}
"""Rooms of processes of their own. They fork nothing."""
RENEWED_BY = {
    "Backlog": "Sender.begin_anew makes a new one",
    "Outlet": "only the bridge and the worker of scorers make one",
    "_Read": "Summaries.begin_anew forgets it",
}
"""Classes whose owner begins anew for them."""


def makes_lock(node):
    """Tell whether code makes a lock; a condition over a lock that is there makes none."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"Lock", "RLock", "Condition"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "threading"
        and not node.args
    )


def is_self(node):
    """Tell whether code means the object itself: MLflow's locks are renewed too, and are not ours."""
    return isinstance(node, ast.Name) and node.id == "self"


def locks():
    """Return the locks of objects that an app may have: class to its fields."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        if file.relative_to(PACKAGE).parts[0] in IN_NO_APP:
            continue
        for one in ast.walk(ast.parse(file.read_text())):
            if isinstance(one, ast.ClassDef):
                for node in ast.walk(one):
                    if isinstance(node, ast.Assign) and makes_lock(node.value):
                        for target in node.targets:
                            if isinstance(target, ast.Attribute) and is_self(target.value):
                                found.setdefault((one.name, one), set()).add(target.attr)
    return found


def test_every_class_that_makes_a_lock_begins_anew_in_a_child():
    shared = {
        name
        for (name, code) in locks()
        if not any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "begin_anew_in_child"
            for node in ast.walk(code)
        )
    }
    assert shared == set(RENEWED_BY)


def test_the_table_of_locks_names_every_lock():
    made = {f"{name}.{field}" for (name, _), fields in locks().items() for field in fields}
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## Locks")[2]
    assert set(re.findall(r"^\| `(\w+\.\w+)`", page, re.MULTILINE)) == made
