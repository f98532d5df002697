"""CrewAI: a crew of one with a tool, a flow, a call of the model alone."""

from __future__ import annotations

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow

    mlflow.crewai.autolog()
    from crewai import LLM, Agent, Crew, Task
    from crewai.flow.flow import Flow, listen, start
    from crewai.tools import tool

    model = LLM(
        model="openai/gpt-4o-mini", base_url=base() + "/v1", api_key="stub", temperature=0.2
    )

    def crew():
        agent = Agent(
            role="Weather clerk",
            goal="Tell the weather.",
            backstory="You are terse.",
            llm=model,
            tools=[tool("get_weather")(get_weather)],
        )
        task = Task(description=QUESTION, expected_output="One sentence.", agent=agent)
        return Crew(agents=[agent], tasks=[task])

    class Day(Flow):
        @start()
        def ask(self):
            return QUESTION

        @listen(ask)
        def answer(self, question):
            return model.call(question)

    yield "crew", lambda: crew().kickoff(inputs={"city": "Paris"})
    yield "flow", lambda: Day().kickoff()
    yield (
        "llm",
        lambda: model.call(
            [
                {"role": "system", "content": "You are terse."},
                {"role": "user", "content": QUESTION},
            ]
        ),
    )
