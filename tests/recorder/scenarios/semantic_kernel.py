"""Semantic Kernel: chat, functions, agents, embeddings; the library makes the spans itself."""

from __future__ import annotations

import asyncio

from scenarios.common import FAIL, PIXEL, QUESTION, base, get_weather


def calls():
    import mlflow

    # Before the library's modules are imported: each keeps the tracer it first got.
    mlflow.semantic_kernel.autolog()
    from openai import AsyncOpenAI
    from semantic_kernel import Kernel
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai import FunctionChoiceBehavior
    from semantic_kernel.connectors.ai.open_ai import (
        OpenAIChatCompletion,
        OpenAIChatPromptExecutionSettings,
        OpenAITextEmbedding,
    )
    from semantic_kernel.contents import ChatHistory, ChatMessageContent, ImageContent, TextContent
    from semantic_kernel.functions import KernelArguments, kernel_function

    @kernel_function(name="get_weather", description="The weather of a city.")
    def weather(city: str) -> str:
        return get_weather(city)

    # One event loop for all: the client keeps its connections.
    run = asyncio.new_event_loop().run_until_complete
    client = AsyncOpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    service = OpenAIChatCompletion("gpt-4o-mini", async_client=client)
    settings = OpenAIChatPromptExecutionSettings(temperature=0.2, max_tokens=50)
    kernel = Kernel()
    kernel.add_service(service)
    kernel.add_function("weather", weather)

    def history(text=QUESTION):
        found = ChatHistory(system_message="You are terse.")
        found.add_user_message(text)
        return found

    def with_image():
        found = ChatHistory()
        image = ImageContent(data=PIXEL, data_format="base64", mime_type="image/png")
        items = [TextContent(text="What is this?"), image]
        found.add_message(ChatMessageContent(role="user", items=items))
        return found

    def chat(said, **more):
        return run(service.get_chat_message_contents(said, settings, **more))

    def tools():
        automatic = OpenAIChatPromptExecutionSettings(
            function_choice_behavior=FunctionChoiceBehavior.Auto()
        )
        return run(service.get_chat_message_contents(history(), automatic, kernel=kernel))

    async def stream():
        return [
            piece
            async for piece in service.get_streaming_chat_message_contents(history(), settings)
        ]

    async def prompt():
        asked = KernelArguments(settings=settings, question=QUESTION)
        return await kernel.invoke_prompt("You are terse. {{$question}}", arguments=asked)

    async def agent():
        weather_agent = ChatCompletionAgent(
            service=service, name="Weather", instructions="You are terse.", plugins=[Weather()]
        )
        return await weather_agent.get_response(QUESTION)

    class Weather:
        @kernel_function(description="The weather of a city.")
        def get_weather(self, city: str) -> str:
            return get_weather(city)

    embedder = OpenAITextEmbedding("text-embedding-3-small", async_client=client)
    yield "chat", lambda: chat(history())
    yield "image", lambda: chat(with_image())
    yield "tools", tools
    yield "stream", lambda: run(stream())
    yield "prompt", lambda: run(prompt())
    yield "agent", lambda: run(agent())
    yield "embedding", lambda: run(embedder.generate_embeddings([QUESTION]))
    yield "error", lambda: chat(history(FAIL))
