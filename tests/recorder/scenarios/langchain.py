"""LangChain and LangGraph, over OpenAI and Anthropic: chains, agents, streams, retrievers."""

from __future__ import annotations

from typing import TypedDict

from scenarios.common import FAIL, IMAGE, QUESTION, base, get_weather, user


class Weather(TypedDict):
    """The weather of a city."""

    city: str
    degrees: int


class State(TypedDict):
    """A graph's state."""

    question: str
    answer: str


def asking_graph():
    """Return a graph that stops to ask a person."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    def ask(state):
        return {"answer": interrupt({"confirm": state["question"]})}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


def retriever():
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

    class Fixed(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [
                Document(
                    id="d-1", page_content="Paris is sunny.", metadata={"score": 0.9, "page": 1}
                ),
                Document(page_content="Berlin is rainy.", metadata={"source": "weather.txt"}),
            ]

    return Fixed()


def calls():
    import mlflow
    from langchain.agents import create_agent
    from langchain_anthropic import ChatAnthropic
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from langgraph.types import Command

    mlflow.langchain.autolog()
    llm = ChatOpenAI(
        model="gpt-4o-mini", base_url=base() + "/v1", api_key="stub", temperature=0.2, max_retries=0
    )
    claude = ChatAnthropic(
        model="claude-sonnet-4-5", base_url=base(), api_key="stub", max_retries=0, max_tokens=2048
    )
    thinking = claude.bind(thinking={"type": "enabled", "budget_tokens": 1024})
    responses = ChatOpenAI(
        model="gpt-4o-mini", base_url=base() + "/v1", api_key="stub", use_responses_api=True
    )
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are terse."), ("user", "{question}")]
    )
    weather = tool(get_weather)

    @tool(response_format="content_and_artifact")
    def measured(city: str) -> tuple[str, dict]:
        """The weather of a city."""
        return "21 degrees", {"station": "Montsouris", "readings": [20, 21, 22]}

    agent = create_agent(llm, [weather], system_prompt="You are terse.")
    claude_agent = create_agent(claude, [weather], system_prompt="You are terse.")
    call = {"name": "measured", "args": {"city": "Paris"}, "id": "call_9", "type": "tool_call"}
    talk = [
        SystemMessage("You are terse."),
        HumanMessage(QUESTION, name="ann"),
        AIMessage("", tool_calls=[call | {"name": "get_weather"}]),
        ToolMessage("21 degrees", tool_call_id="call_9", artifact={"station": "Montsouris"}),
    ]
    document = [
        {"type": "text", "text": "What does it say?"},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Paris is sunny."},
            "title": "Weather",
            "citations": {"enabled": True},
        },
    ]
    graph = asking_graph()
    thread = {"configurable": {"thread_id": "t-1"}}
    yield "chain", lambda: (prompt | llm).invoke({"question": QUESTION})
    yield "image", lambda: llm.invoke([HumanMessage(content=IMAGE[0]["content"])])
    yield "stream", lambda: list(llm.stream(QUESTION))
    yield "tool_result", lambda: llm.invoke(talk)
    yield "batch", lambda: llm.batch([QUESTION, "And in Berlin?"])
    yield "structured", lambda: llm.with_structured_output(Weather).invoke(QUESTION)
    yield "reasoning", lambda: llm.invoke("Please reason.")
    yield "responses", lambda: responses.bind_tools([{"type": "web_search"}]).invoke(QUESTION)
    yield "langgraph_agent", lambda: agent.invoke({"messages": user()})
    yield (
        "langgraph_stream",
        lambda: list(agent.stream({"messages": user()}, stream_mode="messages")),
    )
    yield "interrupt", lambda: graph.invoke({"question": QUESTION}, thread)
    yield "resume", lambda: graph.invoke(Command(resume="yes"), thread)
    yield "artifact", lambda: measured.invoke(call)
    yield "retriever", lambda: retriever().invoke(QUESTION)
    yield (
        "embeddings",
        lambda: OpenAIEmbeddings(
            base_url=base() + "/v1", api_key="stub", check_embedding_ctx_length=False
        ).embed_query(QUESTION),
    )
    yield "anthropic", lambda: claude.invoke(talk)
    yield "anthropic_thinking", lambda: thinking.invoke(QUESTION)
    yield "anthropic_stream", lambda: list(thinking.stream(QUESTION))
    yield "anthropic_agent", lambda: claude_agent.invoke({"messages": user()})
    yield "anthropic_document", lambda: claude.invoke([HumanMessage(document)])
    yield (
        "anthropic_search",
        lambda: claude.bind_tools([{"type": "web_search_20250305", "name": "web_search"}]).invoke(
            QUESTION
        ),
    )
    yield "error", lambda: llm.invoke(FAIL)
