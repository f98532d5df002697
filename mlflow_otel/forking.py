"""Beginning anew in forked children: locks, threads and waiting items belong to the parent.

A child has one thread. A lock that another thread of the parent held at the fork would never be
released in the child. So each object with a lock has a method ``begin_anew``. It makes the locks anew
and drops what belongs to the parent. ``__init__`` calls it, and this module does in each forked child.
"""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Final, Protocol


class BeginsAnew(Protocol):
    """Has locks, or something else that a forked child must not share with its parent."""

    def begin_anew(self) -> None:
        """Make the locks anew and drop what is the parent's."""
        ...


_live: Final[dict[int, weakref.ref[BeginsAnew]]] = {}
_numbers: Final = itertools.count()


def begin_anew_in_child(one: BeginsAnew) -> None:
    """Call ``one.begin_anew()`` in each child that is forked while the object lives."""
    number = next(_numbers)
    _live[number] = weakref.ref(one, lambda _: _live.pop(number, None))


def _begin_all_anew() -> None:
    failed: Exception | None = None
    for weak in list(_live.values()):
        live = weak()
        try:
            if live is not None:
                live.begin_anew()
        except Exception as error:  # the others must begin anew all the same
            failed = error
    if failed is not None:
        raise failed  # Python prints it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_anew)
