"""What is recorded of smolagents."""

from __future__ import annotations

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool

    mlflow.smolagents.autolog()
    model = OpenAIServerModel("gpt-4o-mini", api_base=base() + "/v1", api_key="stub")
    agent = ToolCallingAgent(tools=[tool(get_weather)], model=model, max_steps=2)
    yield "agent", lambda: agent.run(QUESTION)
