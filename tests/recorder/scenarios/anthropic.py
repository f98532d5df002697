"""Anthropic's Messages API: thinking, documents, its own tools, beta, streams."""

from __future__ import annotations

from scenarios.common import CITY, FAIL, PIXEL, QUESTION, base, user

MODEL = "claude-sonnet-4-5"
TOOL = {"name": "get_weather", "description": "The weather of a city.", "input_schema": CITY}
IMAGE = [
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
USED = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ],
}
ANSWERED = [
    *user(),
    USED,
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 degrees"}],
    },
]
FAILED = [
    *user(),
    USED,
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "is_error": True,
                "content": [
                    {"type": "text", "text": "no such city"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                ],
            },
            {"type": "text", "text": "Try again.", "cache_control": {"type": "ephemeral"}},
        ],
    },
]
DOCUMENTS = [
    {
        "role": "user",
        "content": [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Paris is sunny."},
                "title": "Weather",
                "context": "A report.",
                "citations": {"enabled": True},
            },
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": "JVBERi0xLjQ=",
                },
            },
            {"type": "text", "text": QUESTION},
        ],
    }
]
SERVER_TOOLS = [
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    {"type": "code_execution_20250825", "name": "code_execution"},
]


def calls():
    import mlflow
    from anthropic import Anthropic

    mlflow.anthropic.autolog()
    client = Anthropic(base_url=base(), api_key="stub", max_retries=0)
    messages = client.messages
    kept = {"model": MODEL, "max_tokens": 2048}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    system = [{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}]

    # MLflow's autologging leaves beta and the stream helper alone; users trace them by hand.
    @mlflow.trace(span_type="CHAT_MODEL")
    def beta(messages):
        return client.beta.messages.create(
            messages=messages,
            betas=["mcp-client-2025-04-04"],
            mcp_servers=[{"type": "url", "url": "https://example.com/mcp", "name": "weather"}],
            thinking=thinking,
            **kept,
        )

    @mlflow.trace(span_type="CHAT_MODEL")
    def helper(messages):
        with client.messages.stream(messages=messages, thinking=thinking, **kept) as stream:
            return stream.get_final_message()

    def stream(**more):
        return list(messages.create(messages=user(), stream=True, **more, **kept))

    yield (
        "text",
        lambda: messages.create(
            system="You are terse.",
            messages=user(),
            stop_sequences=["END"],
            metadata={"user_id": "u-1"},
            **kept,
        ),
    )
    yield "cached", lambda: messages.create(system=system, messages=user(), **kept)
    yield "thinking", lambda: messages.create(messages=user(), thinking=thinking, **kept)
    yield "tools", lambda: messages.create(messages=user(), tools=[TOOL], **kept)
    yield "tool_result", lambda: messages.create(messages=ANSWERED, tools=[TOOL], **kept)
    yield "tool_failed", lambda: messages.create(messages=FAILED, tools=[TOOL], **kept)
    yield "server_tools", lambda: messages.create(messages=user(), tools=SERVER_TOOLS, **kept)
    yield "image", lambda: messages.create(messages=IMAGE, **kept)
    yield "documents", lambda: messages.create(messages=DOCUMENTS, **kept)
    yield "stream", stream
    yield "stream_thinking", lambda: stream(thinking=thinking)
    yield "stream_tools", lambda: stream(tools=[TOOL])
    yield "beta", lambda: beta(user())
    yield "stream_helper", lambda: helper(user())
    yield "error", lambda: messages.create(messages=user(FAIL), **kept)
