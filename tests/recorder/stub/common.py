"""What every provider's answers share: the text, the tool, and how a request asks for more.

A request says what it wants by a word in it: ``fail``, ``reason``, ``cite``, ``refuse``.
"""

from __future__ import annotations

import base64
import json

TEXT = "It is sunny in Paris, 21 degrees."
THOUGHT = "The user asks for the weather."
SIGNATURE = "c2lnbmF0dXJl"
ARGUMENTS = {"city": "Paris"}
TOOL = "get_weather"
URL = "https://example.com/weather"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and some pixels").decode()
WAV = base64.b64encode(b"RIFF and some samples").decode()


def words():
    """Yield the answer's text in pieces, as a stream has it."""
    for index, word in enumerate(TEXT.split(" ")):
        yield (" " if index else "") + word


def said(body, word):
    """Say whether a word stands in the request, its instructions included."""
    return word in json.dumps(body)


def wants_tool(body, answered='"role": "tool"'):
    offered = body.get("tools") or body.get("toolConfig")
    return bool(offered) and answered not in json.dumps(body)


def first_tool(body):
    tool = body["tools"][0]
    return tool.get("function", tool)


def tool_name(body):
    return first_tool(body).get("name", TOOL)


def sample(schema):
    """Return a value that a JSON Schema allows."""
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return {key: sample(value) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {}))]
    return {"integer": 21, "number": 21.5, "boolean": True}.get(kind, TEXT)


def tool_arguments(body):
    if tool_name(body) == TOOL:
        return ARGUMENTS
    return sample(first_tool(body).get("parameters", {}))
