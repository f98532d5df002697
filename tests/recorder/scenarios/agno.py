"""Agno: an agent and a team, whose spans OpenInference's instrumentation makes."""

from __future__ import annotations

from scenarios.common import FAIL, QUESTION, base, get_weather


def calls():
    import mlflow

    mlflow.agno.autolog()
    from agno.agent import Agent
    from agno.media import Image
    from agno.models.openai import OpenAIChat
    from agno.team import Team

    def model():
        return OpenAIChat(
            id="gpt-4o-mini",
            base_url=base() + "/v1",
            api_key="stub",
            temperature=0.2,
            max_retries=0,
        )

    def agent(**more):
        return Agent(
            name="Weather", model=model(), instructions="You are terse.", telemetry=False, **more
        )

    def team():
        Team(name="Desk", members=[agent(tools=[get_weather])], model=model(), telemetry=False).run(
            QUESTION, session_id="s-1", user_id="u-1"
        )

    image = Image(url="https://example.com/cat.png")
    yield (
        "agent",
        lambda: agent(tools=[get_weather]).run(QUESTION, session_id="s-1", user_id="u-1"),
    )
    yield "stream", lambda: list(agent().run(QUESTION, stream=True))
    yield "image", lambda: agent().run("What is this?", images=[image])
    yield "team", team
    yield "error", lambda: agent().run(FAIL)
