"""Definitions of tools: type, name, description, parameters, and every further field.

Source: the tool definitions' schema of open-telemetry/semantic-conventions-genai; the API references of
OpenAI (chat, responses), Anthropic, Bedrock, Gemini.
"""

from __future__ import annotations

from typing import Any, Final

from mlflow_otel.mapping.values import as_list, as_text

WRAPPERS: Final = ("function", "custom", "toolSpec", "tool_spec", "systemTool")
"""What holds a tool's definition; only this wrapper is taken off."""
SCHEMAS: Final = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parameters_json_schema",
    "args_schema",
)
DECLARED: Final = ("function_declarations", "functionDeclarations")
NAMES: Final = ("name", "server_label", "type")
FUNCTION: Final = "function"


def definition(tool: Any) -> dict[str, Any] | None:
    """Return a tool's definition as the convention has it, or None when its shape is not known.

    A tool that the provider brings has no name of its own: then its type is its name. No field is
    lost: what the convention does not name stays as it is.
    """
    if not isinstance(tool, dict):
        return None
    given = {key: value for key, value in tool.items() if value is not None}
    wrapper = next((key for key in WRAPPERS if isinstance(given.get(key), dict)), None)
    held = given
    if wrapper is not None:
        inner = {key: value for key, value in given[wrapper].items() if value is not None}
        outer = {key: value for key, value in given.items() if key != wrapper}
        clash = {key: outer[key] for key in outer.keys() & inner.keys() if outer[key] != inner[key]}
        held = {**outer, **inner, **({wrapper: clash} if clash else {})}
        held.setdefault("type", wrapper if wrapper == "custom" else FUNCTION)
    elif len(given) == 1 and isinstance(next(iter(given.values())), dict):
        kind, more = next(iter(given.items()))  # Gemini's own: {"google_search": {}}
        held = {"type": kind, "name": kind, **more}
    name = next((held[key] for key in NAMES if isinstance(held.get(key), str) and held[key]), None)
    if name is None:
        return None
    kind = held.get("type")
    found: dict[str, Any] = {
        "type": kind if isinstance(kind, str) and kind else FUNCTION,
        "name": name,
    }
    if "description" in held:
        found["description"] = as_text(held["description"])
    schema = next((key for key in SCHEMAS if isinstance(held.get(key), dict)), None)
    if schema is not None:
        parameters = held[schema]
        if parameters.keys() == {"json"} and isinstance(parameters["json"], dict):
            parameters = parameters["json"]  # Bedrock wraps it
        found["parameters"] = parameters
    for key, value in held.items():
        if key == "parameters" and not isinstance(value, dict):
            found["parameters_"] = value  # the convention's is an object
        elif key not in found:
            if key != schema:
                found[key] = value
        elif key not in {"description", schema} and found[key] != value:
            found[f"{key}_"] = value
    return found


def definitions(tools: Any) -> list[dict[str, Any]]:
    """Return the definitions of all tools whose shape is known; Gemini's lists of functions flattened."""
    found = []
    for tool in as_list(tools):
        declared = next((k for k in DECLARED if isinstance(tool, dict) and tool.get(k)), None)
        if declared is not None:
            found += definitions(tool[declared])
            beside = {k: v for k, v in tool.items() if k != declared and v is not None}
            found += definitions([{key: value} for key, value in beside.items()])
            continue
        made = definition(tool)
        if made is not None:
            found.append(made)
    return found
