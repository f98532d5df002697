"""What is recorded of openai."""

from __future__ import annotations

from scenarios.common import ANSWERED, FAIL, IMAGE, OPENAI_TOOL, QUESTION, base, user


def calls():
    import mlflow
    from openai import OpenAI

    mlflow.openai.autolog()
    client = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    chat = client.chat.completions
    model = "gpt-4o-mini"
    yield (
        "chat",
        lambda: chat.create(
            model=model,
            messages=ANSWERED[:2],
            temperature=0.2,
            max_tokens=50,
            seed=7,
            n=1,
            stop=["END"],
            user="u-1",
        ),
    )
    yield "chat_tools", lambda: chat.create(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield (
        "chat_tool_result",
        lambda: chat.create(model=model, messages=ANSWERED, tools=[OPENAI_TOOL]),
    )
    yield "chat_image", lambda: chat.create(model=model, messages=IMAGE)
    yield (
        "chat_stream",
        lambda: list(
            chat.create(
                model=model, messages=user(), stream=True, stream_options={"include_usage": True}
            )
        ),
    )
    yield "chat_error", lambda: chat.create(model=model, messages=user(FAIL))
    yield (
        "embeddings",
        lambda: client.embeddings.create(model="text-embedding-3-small", input=QUESTION),
    )
