"""LiteLLM: completions, embeddings, its Responses API, streams, several providers."""

from __future__ import annotations

import asyncio

from scenarios.common import ANSWERED, FAIL, IMAGE, OPENAI_TOOL, QUESTION, base, user


def calls():
    import time

    import litellm
    import mlflow

    mlflow.litellm.autolog()
    kept = {
        "model": "openai/gpt-4o-mini",
        "api_base": base() + "/v1",
        "api_key": "stub",
        "num_retries": 0,
    }
    claude = {**kept, "model": "anthropic/claude-sonnet-4-5", "api_base": base()}
    thinking = {"type": "enabled", "budget_tokens": 1024}

    def settled(call):
        """Return a call that waits for the callbacks' thread to have made its spans."""

        def settle():
            try:
                call()
            finally:
                time.sleep(1.5)

        return settle

    async def ask():
        await litellm.acompletion(messages=user(), **kept)
        await asyncio.sleep(1)

    def spoken():
        litellm.completion(
            messages=user(),
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
            **kept | {"model": "openai/gpt-4o-audio-preview"},
        )

    yield (
        "chat",
        settled(
            lambda: litellm.completion(
                messages=ANSWERED[:2], temperature=0.2, max_tokens=50, **kept
            )
        ),
    )
    yield "tools", settled(lambda: litellm.completion(messages=user(), tools=[OPENAI_TOOL], **kept))
    yield (
        "tool_result",
        settled(lambda: litellm.completion(messages=ANSWERED, tools=[OPENAI_TOOL], **kept)),
    )
    yield "image", settled(lambda: litellm.completion(messages=IMAGE, **kept))
    yield "audio", settled(spoken)
    yield "reasoning", settled(lambda: litellm.completion(messages=user("Please reason."), **kept))
    yield (
        "stream",
        settled(lambda: list(litellm.completion(messages=user(), stream=True, **kept))),
    )
    yield (
        "stream_tools",
        settled(
            lambda: list(
                litellm.completion(messages=user(), tools=[OPENAI_TOOL], stream=True, **kept)
            )
        ),
    )
    yield "async", settled(lambda: asyncio.run(ask()))
    yield (
        "embedding",
        settled(
            lambda: litellm.embedding(
                input=[QUESTION], **kept | {"model": "openai/text-embedding-3-small"}
            )
        ),
    )
    yield (
        "text_completion",
        settled(lambda: litellm.text_completion(prompt=QUESTION, max_tokens=9, **kept)),
    )
    yield (
        "responses",
        settled(
            lambda: litellm.responses(
                input=QUESTION,
                instructions="You are terse.",
                **{key: kept[key] for key in ("model", "api_base", "api_key")},
            )
        ),
    )
    yield (
        "anthropic",
        settled(lambda: litellm.completion(messages=ANSWERED[:2], thinking=thinking, **claude)),
    )
    yield (
        "anthropic_tools",
        settled(lambda: litellm.completion(messages=user(), tools=[OPENAI_TOOL], **claude)),
    )
    yield "error", settled(lambda: litellm.completion(messages=user(FAIL), **kept))
