"""Definitions of tools: type, name, description, parameters, and every further field.

Source: the tool definitions' schema of open-telemetry/semantic-conventions-genai; the API references of
OpenAI (chat, responses), Anthropic, Bedrock, Gemini.
"""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from mlflow_otel.mapping.values import as_json, as_list, as_text, decode, present

WRAPPERS: Final = ("function", "custom", "toolSpec", "tool_spec", "systemTool", "data")
"""What holds a tool's definition; only this wrapper is taken off."""
OWN_TYPES: Final = ("custom", "systemTool")
"""Wrappers that are their tool's type: Bedrock's own tools are no functions of the client's."""
SCHEMAS: Final = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "parametersJsonSchema",
    "args_schema",
)
CACHE_POINT: Final = frozenset({"cachePoint"})
"""Bedrock's cache mark in a list of tools. It is not a tool."""
PLAIN: Final = frozenset({"type", "function"})
USUAL: Final = ("name", "description", "parameters")
DECLARED: Final = ("function_declarations", "functionDeclarations")
NAMES: Final = ("name", "server_label", "type")
FUNCTION: Final = "function"


class Definitions(NamedTuple):
    """What a list of tools defines.

    Args:
        known: A definition for each tool whose shape is known.
        left: The places of the others.
    """

    known: list[dict[str, Any]]
    left: tuple[int, ...] = ()


def defined(tools: list[Any]) -> Definitions:
    """Return what a list of tools defines. An app offers the same tools again and again, so it is remembered."""
    if not tools:
        return Definitions([])
    written = as_json(tools).utf8
    return _remembered(written) if len(written) <= LONGEST_REMEMBERED else _defined(tools)


LONGEST_REMEMBERED: Final = 1 << 16
"""Bytes of the longest list of tools that is remembered; there are at most 64 of them."""


@functools.lru_cache(maxsize=64)
def _remembered(written: bytes) -> Definitions:
    # What was written is read again: what is remembered is nobody's to change.
    return _defined(as_list(decode(written.decode())))


def _defined(tools: list[Any]) -> Definitions:
    made = [definition(tool) for tool in tools]
    return Definitions(
        [one for one in made if one is not None],
        tuple(place for place, one in enumerate(made) if one is None),
    )


def definition(tool: Any) -> dict[str, Any] | None:
    """Return a tool's definition as the convention has it, or None when its shape is not known.

    A tool that the provider brings has no name of its own: then its type is its name. No field is
    lost: what the convention does not name stays as it is.
    """
    if not isinstance(tool, dict):
        return None
    if len(tool) == len(PLAIN) and tool.get("type") == FUNCTION and _is_usual(tool.get("function")):
        return {"type": FUNCTION, **tool["function"]}
    given = present(tool)
    if given.keys() == CACHE_POINT:
        return None
    wrapper = next((key for key in WRAPPERS if key in given and isinstance(given[key], dict)), None)
    held = given
    if wrapper is not None:
        held = present(given[wrapper])
        if given.keys() != PLAIN:
            outer = {key: value for key, value in given.items() if key != wrapper}
            clash = {k: outer[k] for k in outer.keys() & held.keys() if outer[k] != held[k]}
            held = {**outer, **held, **({wrapper: clash} if clash else {})}
        if "type" not in held:
            held = {
                **held,
                "type": given.get("type", wrapper if wrapper in OWN_TYPES else FUNCTION),
            }
    elif len(given) == 1 and isinstance(next(iter(given.values())), dict):
        own_kind, more = next(iter(given.items()))  # Gemini's own: {"google_search": {}}
        held = {"type": own_kind, "name": own_kind, **more}
    name = next((held[key] for key in NAMES if isinstance(held.get(key), str) and held[key]), None)
    if name is None:
        return None
    kind = held.get("type")
    made: dict[str, Any] = {
        "type": kind if isinstance(kind, str) and kind else FUNCTION,
        "name": name,
    }
    if "description" in held:
        made["description"] = as_text(held["description"])
    schema = next((key for key in SCHEMAS if isinstance(held.get(key), dict)), None)
    if schema is not None:
        parameters = held[schema]
        wrapped = present(parameters)
        if wrapped.keys() == {"json"} and isinstance(wrapped["json"], dict):
            parameters = wrapped["json"]  # Bedrock wraps it
        made["parameters"] = parameters
    for key, value in held.items():
        if key == "parameters" and not isinstance(value, dict):
            made["parameters_"] = value  # the convention's is an object
        elif key not in made:
            if key != schema:
                made[key] = value
        elif key not in {"description", schema} and made[key] != value:
            made[f"{key}_"] = value
    return made


def _is_usual(held: Any) -> bool:
    """Tell whether a function's definition has the usual fields, so that nothing is renamed."""
    if type(held) is not dict or len(held) != len(USUAL):
        return False
    name, parameters = held.get("name"), held.get("parameters")
    return (
        type(name) is str
        and name != ""
        and type(held.get("description")) is str
        and type(parameters) is dict
        and "json" not in parameters
    )


def definitions(tools: Any) -> list[dict[str, Any]]:
    """Return the definitions of all tools whose shape is known; Gemini's lists of functions flattened."""
    listed = []
    for tool in as_list(tools):
        declared = next((k for k in DECLARED if isinstance(tool, dict) and tool.get(k)), None)
        if declared is not None:
            listed += definitions(tool[declared])
            beside = {k: v for k, v in tool.items() if k != declared and v is not None}
            listed += definitions([{key: value} for key, value in beside.items()])
            continue
        made = definition(tool)
        if made is not None:
            listed.append(made)
    return listed
