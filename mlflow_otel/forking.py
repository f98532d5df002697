"""Beginning anew in forked children: locks, threads and what waits are the parent's."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def in_child(method: Callable[[], object]) -> None:
    """Call a bound method in each child that is forked while its object lives."""
    weak = weakref.WeakMethod(method)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: (live := weak()) and live())
