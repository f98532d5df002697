"""What is recorded of litellm."""

from __future__ import annotations

from scenarios.common import ANSWERED, FAIL, OPENAI_TOOL, base, user


def calls():
    import litellm
    import mlflow

    mlflow.litellm.autolog()
    kept = {
        "model": "openai/gpt-4o-mini",
        "api_base": base() + "/v1",
        "api_key": "stub",
        "num_retries": 0,
    }
    yield (
        "chat",
        lambda: litellm.completion(messages=ANSWERED[:2], temperature=0.2, max_tokens=50, **kept),
    )
    yield "tools", lambda: litellm.completion(messages=user(), tools=[OPENAI_TOOL], **kept)
    yield "error", lambda: litellm.completion(messages=user(FAIL), **kept)
