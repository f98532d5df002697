"""What is recorded of anthropic."""

from __future__ import annotations

from scenarios.common import CITY, FAIL, PIXEL, base, user


def calls():
    import mlflow
    from anthropic import Anthropic

    mlflow.anthropic.autolog()
    messages = Anthropic(base_url=base(), api_key="stub", max_retries=0).messages
    model = "claude-3-5-sonnet-20241022"
    tool = {"name": "get_weather", "description": "The weather of a city.", "input_schema": CITY}
    image = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                },
                {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            ],
        }
    ]
    answered = [
        *user(),
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "get_weather",
                    "input": {"city": "Paris"},
                }
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 degrees"}],
        },
    ]
    kept = {"model": model, "max_tokens": 2048}
    yield "text", lambda: messages.create(system="You are terse.", messages=user(), **kept)
    yield (
        "thinking",
        lambda: messages.create(
            messages=user(), thinking={"type": "enabled", "budget_tokens": 1024}, **kept
        ),
    )
    yield "tools", lambda: messages.create(messages=user(), tools=[tool], **kept)
    yield "tool_result", lambda: messages.create(messages=answered, tools=[tool], **kept)
    yield "image", lambda: messages.create(messages=image, **kept)
    yield "stream", lambda: list(messages.create(messages=user(), stream=True, **kept))
    yield "error", lambda: messages.create(messages=user(FAIL), **kept)
