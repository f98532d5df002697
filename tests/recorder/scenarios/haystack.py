"""Haystack: pipelines and an agent, whose spans its OpenTelemetry tracer makes."""

from __future__ import annotations

from scenarios.common import FAIL, QUESTION, base, get_weather


def documents():
    from haystack import Document

    return [
        Document(id="d-1", content="Paris is sunny.", meta={"source": "weather.txt", "page": 1}),
        Document(id="d-2", content="Berlin is rainy in autumn.", meta={"source": "weather.txt"}),
    ]


def chat_pipeline(generator):
    from haystack import Pipeline
    from haystack.components.builders import ChatPromptBuilder
    from haystack.dataclasses import ChatMessage

    said = [ChatMessage.from_system("You are terse."), ChatMessage.from_user("{{question}}")]
    pipeline = Pipeline()
    pipeline.add_component(
        "prompt", ChatPromptBuilder(template=said, required_variables=["question"])
    )
    pipeline.add_component("llm", generator)
    pipeline.connect("prompt.prompt", "llm.messages")
    return pipeline


def retrieval_pipeline():
    from haystack import Pipeline
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    store = InMemoryDocumentStore()
    store.write_documents(documents())
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=2))
    return pipeline


def embedding_pipeline(embedder):
    from haystack import Pipeline

    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    return pipeline


def agent_pipeline(generator):
    from haystack import Pipeline
    from haystack.components.agents import Agent
    from haystack.tools import create_tool_from_function

    tools = [create_tool_from_function(get_weather)]
    agent = Agent(chat_generator=generator, tools=tools, system_prompt="You are terse.")
    pipeline = Pipeline()
    pipeline.add_component("agent", agent)
    return pipeline


def calls():
    import mlflow
    from haystack.components.embedders import OpenAITextEmbedder
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage, ImageContent
    from haystack.utils import Secret

    from scenarios.common import PIXEL

    mlflow.haystack.autolog()
    kept = {"api_base_url": base() + "/v1", "api_key": Secret.from_token("stub"), "max_retries": 0}

    def generator(**more):
        return OpenAIChatGenerator(model="gpt-4o-mini", **kept, **more)

    settings = {"temperature": 0.2, "max_completion_tokens": 50}
    embedder = OpenAITextEmbedder(model="text-embedding-3-small", **kept)
    image = ImageContent(base64_image=PIXEL, mime_type="image/png", detail="low")
    seen = [ChatMessage.from_user(content_parts=["What is this?", image])]
    asked = [ChatMessage.from_user(QUESTION)]
    yield (
        "chat",
        lambda: chat_pipeline(generator(generation_kwargs=settings)).run(
            {"prompt": {"question": QUESTION}}
        ),
    )
    yield "image", lambda: chat_only(generator()).run({"llm": {"messages": seen}})
    yield "agent", lambda: agent_pipeline(generator()).run({"agent": {"messages": asked}})
    yield (
        "stream",
        lambda: chat_only(generator(streaming_callback=lambda _: None)).run(
            {"llm": {"messages": asked}}
        ),
    )
    yield "retriever", lambda: retrieval_pipeline().run({"retriever": {"query": "sunny Paris"}})
    yield "embedder", lambda: embedding_pipeline(embedder).run({"embedder": {"text": QUESTION}})
    yield (
        "error",
        lambda: chat_only(generator()).run({"llm": {"messages": [ChatMessage.from_user(FAIL)]}}),
    )


def chat_only(generator):
    from haystack import Pipeline

    pipeline = Pipeline()
    pipeline.add_component("llm", generator)
    return pipeline
