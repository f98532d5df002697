"""What the scenarios share: the question, a tool, conversations, the stub's address."""

from __future__ import annotations

import json
import os

QUESTION = "What is the weather in Paris?"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "The weather of a city.", "parameters": CITY}
OPENAI_TOOL = {"type": "function", "function": FUNCTION}
ANSWERED = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'},
]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ],
    }
]
FAIL = "please fail"


def user(text=QUESTION):
    return [{"role": "user", "content": text}]


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: The city's name.
    """
    return json.dumps({"city": city, "degrees": 21})


def base():
    return os.environ["STUB"]
