"""What is recorded of llama index."""

from __future__ import annotations

from scenarios.common import FAIL, QUESTION, base, get_weather


def calls():
    import mlflow
    from llama_index.core.base.llms.types import ChatMessage, MessageRole
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai import OpenAI

    mlflow.llama_index.autolog()
    llm = OpenAI(
        model="gpt-4o-mini", api_base=base() + "/v1", api_key="stub", temperature=0.2, max_retries=0
    )
    messages = [
        ChatMessage(role=MessageRole.SYSTEM, content="You are terse."),
        ChatMessage(role=MessageRole.USER, content=QUESTION),
    ]
    tool = FunctionTool.from_defaults(get_weather)
    yield "chat", lambda: llm.chat(messages)
    yield "complete", lambda: llm.complete(QUESTION)
    yield "stream", lambda: list(llm.stream_chat(messages))
    yield "tools", lambda: llm.chat_with_tools([tool], user_msg=QUESTION)
    yield "tool", lambda: tool.call(city="Paris")
    yield "error", lambda: llm.chat([ChatMessage(role=MessageRole.USER, content=FAIL)])
