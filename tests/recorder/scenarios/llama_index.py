"""LlamaIndex: models, agents, query and chat engines, streams."""

from __future__ import annotations

import asyncio

from scenarios.common import FAIL, PIXEL, QUESTION, base, get_weather


def calls():
    import base64

    import mlflow
    from llama_index.core import Document, Settings, VectorStoreIndex
    from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
    from llama_index.core.base.llms.types import (
        ChatMessage,
        ImageBlock,
        MessageRole,
        TextBlock,
    )
    from llama_index.core.embeddings import MockEmbedding
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai import OpenAI, OpenAIResponses

    mlflow.llama_index.autolog()
    kept = {"model": "gpt-4o-mini", "api_base": base() + "/v1", "api_key": "stub", "max_retries": 0}
    llm = OpenAI(temperature=0.2, **kept)
    Settings.llm, Settings.embed_model = llm, MockEmbedding(3)
    messages = [
        ChatMessage(role=MessageRole.SYSTEM, content="You are terse."),
        ChatMessage(role=MessageRole.USER, content=QUESTION),
    ]
    image = ImageBlock(image=base64.b64decode(PIXEL), image_mimetype="image/png", detail="low")
    seen = [ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="What is this?"), image])]
    tool = FunctionTool.from_defaults(get_weather)
    index = VectorStoreIndex.from_documents(
        [
            Document(text="Paris is sunny.", metadata={"source": "weather.txt"}, id_="d-1"),
            Document(text="Berlin is rainy.", metadata={"source": "weather.txt"}, id_="d-2"),
        ]
    )

    async def agent(kind=FunctionAgent, **more):
        found = kind(tools=[tool], llm=llm, system_prompt="You are terse.", **more)
        return await found.run(QUESTION)

    async def team():
        weather = FunctionAgent(
            name="weather", description="Tells the weather.", tools=[tool], llm=llm
        )
        return await AgentWorkflow(agents=[weather], root_agent="weather").run(QUESTION)

    yield "chat", lambda: llm.chat(messages)
    yield "complete", lambda: llm.complete(QUESTION)
    yield "stream", lambda: list(llm.stream_chat(messages))
    yield "stream_complete", lambda: list(llm.stream_complete(QUESTION))
    yield "image", lambda: llm.chat(seen)
    yield "responses", lambda: OpenAIResponses(**kept).chat(messages)
    yield "tools", lambda: llm.chat_with_tools([tool], user_msg=QUESTION)
    yield "tool", lambda: tool.call(city="Paris")
    yield "agent", lambda: asyncio.run(agent())
    yield "react_agent", lambda: asyncio.run(agent(ReActAgent))
    yield "workflow", lambda: asyncio.run(team())
    yield "retriever", lambda: index.as_retriever(similarity_top_k=2).retrieve(QUESTION)
    yield "query_engine", lambda: index.as_query_engine().query(QUESTION)
    yield (
        "query_stream",
        lambda: index.as_query_engine(streaming=True).query(QUESTION).get_response(),
    )
    yield "chat_engine", lambda: index.as_chat_engine(chat_mode="context").chat(QUESTION)
    yield "embedding", lambda: Settings.embed_model.get_text_embedding(QUESTION)
    yield "error", lambda: llm.chat([ChatMessage(role=MessageRole.USER, content=FAIL)])
