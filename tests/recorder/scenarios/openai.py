"""OpenAI's chat completions, text completions, embeddings and images, and Azure's client."""

from __future__ import annotations

import asyncio

from scenarios.common import ANSWERED, FAIL, IMAGE, OPENAI_TOOL, PIXEL, QUESTION, base, user

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "weather",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
            "required": ["city", "degrees"],
            "additionalProperties": False,
        },
    },
}
CUSTOM_TOOL = {"type": "custom", "custom": {"name": "query", "description": "Runs SQL."}}
PARTS = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"},
            },
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
            {"type": "file", "file": {"file_id": "file-1"}},
        ],
    }
]


def calls():
    import mlflow
    from openai import AsyncOpenAI, AzureOpenAI, OpenAI

    mlflow.openai.autolog()
    client = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    chat = client.chat.completions
    kept = {"model": "gpt-4o-mini"}
    azure = AzureOpenAI(
        azure_endpoint=base(), api_key="stub", api_version="2024-10-21", max_retries=0
    ).chat.completions

    async def ask():
        found = AsyncOpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
        stream = await found.chat.completions.create(messages=user(), stream=True, **kept)
        return [chunk async for chunk in stream]

    def streamed():
        with chat.stream(messages=user(), **kept) as stream:
            return list(stream)

    yield (
        "chat",
        lambda: chat.create(
            messages=ANSWERED[:2],
            temperature=0.2,
            max_tokens=50,
            seed=7,
            n=1,
            stop=["END"],
            user="u-1",
            metadata={"team": "weather"},
            **kept,
        ),
    )
    yield "chat_tools", lambda: chat.create(messages=user(), tools=[OPENAI_TOOL], **kept)
    yield "chat_custom_tool", lambda: chat.create(messages=user(), tools=[CUSTOM_TOOL], **kept)
    yield "chat_tool_result", lambda: chat.create(messages=ANSWERED, tools=[OPENAI_TOOL], **kept)
    yield "chat_image", lambda: chat.create(messages=IMAGE, **kept)
    yield "chat_parts", lambda: chat.create(messages=PARTS, **kept)
    yield (
        "chat_audio",
        lambda: chat.create(
            model="gpt-4o-audio-preview",
            messages=user(),
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
        ),
    )
    yield (
        "chat_logprobs",
        lambda: chat.create(messages=user(), logprobs=True, top_logprobs=1, n=2, **kept),
    )
    yield "chat_reasoning", lambda: chat.create(messages=user("Please reason."), **kept)
    yield "chat_cited", lambda: chat.create(messages=user("Please cite."), **kept)
    yield "chat_refusal", lambda: chat.create(messages=user("Please refuse."), **kept)
    yield "chat_schema", lambda: chat.create(messages=user(), response_format=SCHEMA, **kept)
    yield (
        "chat_stream",
        lambda: list(
            chat.create(
                messages=user(), stream=True, stream_options={"include_usage": True}, **kept
            )
        ),
    )
    yield (
        "chat_stream_tools",
        lambda: list(chat.create(messages=user(), tools=[OPENAI_TOOL], stream=True, **kept)),
    )
    yield "chat_stream_helper", streamed
    yield "chat_async_stream", lambda: asyncio.run(ask())
    yield "chat_error", lambda: chat.create(messages=user(FAIL), **kept)
    yield "azure", lambda: azure.create(messages=user(), **kept)
    yield (
        "completion",
        lambda: client.completions.create(
            model="gpt-3.5-turbo-instruct", prompt=QUESTION, max_tokens=9, temperature=0.2
        ),
    )
    yield (
        "embeddings",
        lambda: client.embeddings.create(
            model="text-embedding-3-small", input=[QUESTION, "And in Berlin?"], dimensions=3
        ),
    )
    yield (
        "images",
        lambda: client.images.generate(model="gpt-image-1", prompt="Paris", size="1024x1024"),
    )
