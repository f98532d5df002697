"""Instructor: structured answers over OpenAI and Anthropic, traced by these libraries' autologging."""

from __future__ import annotations

from scenarios.common import QUESTION, base, user


def calls():
    import anthropic
    import instructor
    import mlflow
    from openai import OpenAI
    from pydantic import BaseModel

    class Weather(BaseModel):
        """The weather of a city."""

        city: str
        degrees: int

    mlflow.openai.autolog()
    mlflow.anthropic.autolog()
    client = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    claude = anthropic.Anthropic(base_url=base(), api_key="stub", max_retries=0)
    kept = {"response_model": Weather, "messages": user(), "max_retries": 1}

    def over(mode):
        return instructor.from_openai(client, mode=mode).chat.completions

    @mlflow.trace
    def extract(question: str) -> Weather:
        return over(instructor.Mode.TOOLS).create(
            model="gpt-4o-mini", response_model=Weather, messages=user(question)
        )

    yield "tools", lambda: over(instructor.Mode.TOOLS).create(model="gpt-4o-mini", **kept)
    yield (
        "json_schema",
        lambda: over(instructor.Mode.JSON_SCHEMA).create(model="gpt-4o-mini", **kept),
    )
    yield (
        "stream",
        lambda: list(over(instructor.Mode.TOOLS).create_partial(model="gpt-4o-mini", **kept)),
    )
    yield (
        "anthropic",
        lambda: instructor.from_anthropic(claude).messages.create(
            model="claude-sonnet-4-5", max_tokens=1024, **kept
        ),
    )
    yield "traced", lambda: extract(QUESTION)
