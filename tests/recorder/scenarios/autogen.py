"""What is recorded of autogen."""

from __future__ import annotations

import asyncio

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    mlflow.autogen.autolog()
    client = OpenAIChatCompletionClient(
        model="gpt-4o-mini", base_url=base() + "/v1", api_key="stub", max_retries=0
    )
    agent = AssistantAgent("weather", client, tools=[get_weather], system_message="You are terse.")
    yield "agent", lambda: asyncio.run(agent.run(task=QUESTION))
