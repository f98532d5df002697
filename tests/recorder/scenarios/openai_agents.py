"""What is recorded of openai agents."""

from __future__ import annotations

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow
    from agents import Agent, OpenAIResponsesModel, Runner, function_tool
    from openai import AsyncOpenAI

    mlflow.openai.autolog()
    client = AsyncOpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    model = OpenAIResponsesModel("gpt-4o-mini", client)
    agent = Agent(
        "Weather", instructions="You are terse.", tools=[function_tool(get_weather)], model=model
    )
    yield "agent", lambda: Runner.run_sync(agent, QUESTION)
