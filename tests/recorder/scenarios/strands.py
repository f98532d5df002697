"""Strands: an agent whose spans the library makes itself, over three providers."""

from __future__ import annotations

from scenarios.common import FAIL, PIXEL, QUESTION, base, get_weather


def broken(city: str) -> str:
    """Fail.

    Args:
        city: The city's name.
    """
    raise ValueError(f"no weather in {city}")


def calls():
    import base64

    import mlflow
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel

    mlflow.strands.autolog()
    model = OpenAIModel(
        client_args={"base_url": base() + "/v1", "api_key": "stub", "max_retries": 0},
        model_id="gpt-4o-mini",
        params={"temperature": 0.2, "max_tokens": 50},
    )
    kept = {"model": model, "system_prompt": "You are terse.", "callback_handler": None}
    image = [
        {"text": "What is this?"},
        {"image": {"format": "png", "source": {"bytes": base64.b64decode(PIXEL)}}},
    ]
    broken_tool = tool(name="get_weather")(broken)
    yield (
        "agent",
        lambda: Agent(
            name="Weather",
            tools=[tool(get_weather)],
            trace_attributes={"session.id": "s-1"},
            **kept,
        )(QUESTION),
    )
    yield "image", lambda: Agent(**kept)(image)
    yield "reasoning", lambda: Agent(**kept)("Please reason.")
    yield "tool_error", lambda: Agent(tools=[broken_tool], **kept)(QUESTION)
    yield "error", lambda: Agent(**kept)(FAIL)
