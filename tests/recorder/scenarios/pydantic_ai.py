"""What is recorded of pydantic ai."""

from __future__ import annotations

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    mlflow.pydantic_ai.autolog()
    model = OpenAIChatModel(
        "gpt-4o-mini", provider=OpenAIProvider(base_url=base() + "/v1", api_key="stub")
    )
    agent = Agent(model, system_prompt="You are terse.", tools=[get_weather])
    yield "agent", lambda: agent.run_sync(QUESTION)
