"""What a scorer is made of, as plain values: the same in every process. Its digest is of these.

That is its source, or its prompt and model, and the values it was made with: the arguments of a
``functools.partial``, defaults, what a closure holds, the attributes of an object. So one function with
two thresholds is two scorers. Names that begin with an underscore are left out: an object keeps its
locks, clients and caches there.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

MAX_DEPTH: Final = 8
"""How deep values are looked into; beyond that a value counts with its type's name."""
BASE: Final = "mlflow.genai.scorers.base"
"""Where MLflow's base class of scorers is, whose fields differ by version."""


def of_callable(function: Any, name: str) -> dict[str, Any]:
    """Return what a function, a partial, a method or an object that can be called is made of."""
    return {"name": name, **_made_of(function, 0)}


def of_mlflows(scorer: Any, function: Any, name: str) -> dict[str, Any]:
    """Return what a scorer of MLflow's is made of.

    Args:
        scorer: It.
        function: The function that it was made of; None for one of a class.
        name: Its name.
    """
    try:
        dumped: dict[str, Any] = json.loads(json.dumps(scorer.model_dump(), default=plain))
    except Exception:  # a class of the user's, or a function without source
        if function is not None:
            return of_callable(function, name)
        bases = (kind for kind in type(scorer).__mro__ if kind.__module__ == BASE)
        known = {field for kind in bases for field in getattr(kind, "model_fields", ())}
        own = {key: value for key, value in vars_of(scorer).items() if key not in known}
        return {"name": name, "source": _source(type(scorer)), **_with(own, 0)}
    return {**dumped, "name": name, **_with({} if function is None else _values_of(function), 0)}


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it. What has no such form counts with its type's name."""
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, enum.Enum) else value
    if depth >= MAX_DEPTH:
        return _type_name(value)
    for kinds, convert in FORMS:
        if isinstance(value, kinds):
            return convert(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_type_name(value), plain(vars_of(value), depth + 1)]
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        return _made_of(value, depth + 1)
    return _type_name(value)


def vars_of(value: object) -> dict[str, Any]:
    """Return an object's public attributes."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [name for some in slots for name in ((some,) if isinstance(some, str) else some)]
    held = {name: getattr(value, name) for name in names if hasattr(value, name)}
    held.update(getattr(value, "__dict__", {}))
    return {key: found for key, found in held.items() if not key.startswith("_")}


def _made_of(function: Any, depth: int) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        given = {"args": function.args, "keywords": function.keywords}
        return {**_made_of(function.func, depth), "given": plain(given, depth)}
    source = _source(function if inspect.isroutine(function) else type(function))
    return {"source": source, **_with(_values_of(function), depth)}


def _with(values: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Return the values that something was made with, or nothing where there are none."""
    return {"with": plain(values, depth)} if values else {}


def _values_of(function: Any) -> dict[str, Any]:
    """Return the values that are part of a function, a method or an object, and not in its source."""
    owner = getattr(function, "__self__", None)
    if inspect.ismethod(function):
        bound = {"self": _type_name(owner) if isinstance(owner, type) else vars_of(owner)}
        return {**_values_of(function.__func__), **bound}
    if not inspect.isfunction(function):
        return {} if inspect.isroutine(function) else vars_of(function)
    closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    values: dict[str, Any] = {name: _content(cell) for name, cell in closed}
    if function.__defaults__:
        values["defaults"] = function.__defaults__
    if function.__kwdefaults__:
        values["keyword defaults"] = function.__kwdefaults__
    return values


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty yet
        return None


def _source(of: Any) -> Any:
    try:
        return textwrap.dedent(inspect.getsource(of))
    except (OSError, TypeError):
        code = getattr(of, "__code__", None)
        if code is None:
            return f"{getattr(of, '__module__', '')}.{getattr(of, '__qualname__', '')}"
        constants = [plain(one) for one in code.co_consts if not inspect.iscode(one)]
        return [code.co_code.hex(), *map(json.dumps, constants)]


def _type_name(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {str(plain(key, depth + 1)): plain(one, depth + 1) for key, one in value.items()}


def _several(value: Iterable[Any], depth: int) -> list[Any]:
    return [plain(one, depth + 1) for one in value]


def _unordered(value: Iterable[Any], depth: int) -> list[Any]:
    return sorted(_several(value, depth), key=lambda one: json.dumps(one, sort_keys=True))


FORMS: Final[tuple[tuple[tuple[type, ...], Callable[[Any, int], Any]], ...]] = (
    ((enum.Enum, PurePath, Decimal, date, timedelta, complex), lambda value, _: str(value)),
    ((int, float), lambda value, _: value),
    ((bytes, bytearray), lambda value, _: value.hex()),
    ((re.Pattern,), lambda value, depth: [plain(value.pattern, depth), value.flags]),
    ((Mapping,), _mapping),
    ((list, tuple), _several),
    ((set, frozenset), _unordered),
)
"""How values are written that have no form in JSON, or another one; the first that fits."""
