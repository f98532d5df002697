"""What is recorded of langchain."""

from __future__ import annotations

from scenarios.common import FAIL, IMAGE, QUESTION, base, get_weather, user


def calls():
    import mlflow
    from langchain.agents import create_agent
    from langchain_core.messages import HumanMessage
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    mlflow.langchain.autolog()
    llm = ChatOpenAI(
        model="gpt-4o-mini", base_url=base() + "/v1", api_key="stub", temperature=0.2, max_retries=0
    )
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are terse."), ("user", "{question}")]
    )
    agent = create_agent(llm, [tool(get_weather)], system_prompt="You are terse.")
    yield "chain", lambda: (prompt | llm).invoke({"question": QUESTION})
    yield "image", lambda: llm.invoke([HumanMessage(content=IMAGE[0]["content"])])
    yield "stream", lambda: list(llm.stream(QUESTION))
    yield "langgraph_agent", lambda: agent.invoke({"messages": user()})
    yield "error", lambda: llm.invoke(FAIL)
