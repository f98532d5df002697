"""What is recorded of mistralai."""

from __future__ import annotations

from scenarios.common import ANSWERED, FAIL, OPENAI_TOOL, base, user


def calls():
    import mlflow

    mlflow.mistral.autolog()
    try:
        from mistralai import Mistral
    except ImportError:
        from mistralai.client import Mistral
    client = Mistral(api_key="stub", server_url=base())
    model = "mistral-small-latest"
    yield (
        "chat",
        lambda: client.chat.complete(
            model=model, messages=ANSWERED[:2], temperature=0.2, max_tokens=50
        ),
    )
    yield "tools", lambda: client.chat.complete(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield (
        "tool_result",
        lambda: client.chat.complete(
            model=model,
            messages=[*ANSWERED[:2], {**ANSWERED[2], "content": ""}, ANSWERED[3]],
            tools=[OPENAI_TOOL],
        ),
    )
    yield "error", lambda: client.chat.complete(model=model, messages=user(FAIL))
