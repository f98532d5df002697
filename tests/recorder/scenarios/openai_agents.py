"""OpenAI's Agents SDK: tools, handoffs, guardrails, streams, over both of its APIs."""

from __future__ import annotations

import asyncio

from scenarios.common import FAIL, QUESTION, base, get_weather


def calls():
    import mlflow
    from agents import (
        Agent,
        GuardrailFunctionOutput,
        OpenAIChatCompletionsModel,
        OpenAIResponsesModel,
        Runner,
        WebSearchTool,
        custom_span,
        function_tool,
        input_guardrail,
        trace,
    )
    from openai import AsyncOpenAI

    mlflow.openai.autolog()

    def client():
        return AsyncOpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)

    def model(kind=OpenAIResponsesModel):
        return kind("gpt-4o-mini", client())

    def weather(kind=OpenAIResponsesModel):
        tools = [function_tool(get_weather)]
        return Agent("Weather", instructions="You are terse.", tools=tools, model=model(kind))

    def desk(kind=OpenAIResponsesModel):
        return Agent(
            "Desk", instructions="Transfer the talk.", handoffs=[weather(kind)], model=model(kind)
        )

    @input_guardrail
    def polite(context, agent, said):
        return GuardrailFunctionOutput(output_info={"polite": True}, tripwire_triggered=False)

    def guarded():
        return Agent("Guarded", model=model(), input_guardrails=[polite])

    async def stream(agent):
        found = Runner.run_streamed(agent, QUESTION)
        return [event async for event in found.stream_events()]

    def grouped():
        with trace("Morning", group_id="s-1"), custom_span("greet", {"name": "Ann"}):
            return Runner.run_sync(guarded(), QUESTION)

    chat = OpenAIChatCompletionsModel
    yield "agent", lambda: Runner.run_sync(weather(), QUESTION)
    yield "chat_agent", lambda: Runner.run_sync(weather(chat), QUESTION)
    yield "handoff", lambda: Runner.run_sync(desk(), QUESTION)
    yield "chat_handoff", lambda: Runner.run_sync(desk(chat), QUESTION)
    yield "guardrail", grouped
    yield (
        "web_search",
        lambda: Runner.run_sync(Agent("Search", tools=[WebSearchTool()], model=model()), QUESTION),
    )
    yield "stream", lambda: asyncio.run(stream(weather()))
    yield "chat_stream", lambda: asyncio.run(stream(weather(chat)))
    yield "error", lambda: Runner.run_sync(weather(), FAIL)
