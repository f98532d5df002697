"""What is recorded of groq."""

from __future__ import annotations

from scenarios.common import ANSWERED, FAIL, OPENAI_TOOL, base, user


def calls():
    import mlflow
    from groq import Groq

    mlflow.groq.autolog()
    chat = Groq(base_url=base(), api_key="stub", max_retries=0).chat.completions
    model = "llama-3.3-70b-versatile"
    yield "chat", lambda: chat.create(model=model, messages=ANSWERED[:2], temperature=0.2)
    yield "tools", lambda: chat.create(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield "error", lambda: chat.create(model=model, messages=user(FAIL))
