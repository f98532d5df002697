"""What the recorder runs: each library as its users call it, against the stub.

One function a library; each yields (scenario name, call). Keys and URLs are set by ``record.py``.
"""

from __future__ import annotations

import asyncio
import json
import os

QUESTION = "What is the weather in Paris?"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "The weather of a city.", "parameters": CITY}
OPENAI_TOOL = {"type": "function", "function": FUNCTION}
ANSWERED = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21}'},
]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ],
    }
]
FAIL = "please fail"


def user(text=QUESTION):
    return [{"role": "user", "content": text}]


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: The city's name.
    """
    return json.dumps({"city": city, "degrees": 21})


def base():
    return os.environ["STUB"]


def openai():
    import mlflow
    from openai import OpenAI

    mlflow.openai.autolog()
    client = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0)
    chat = client.chat.completions
    model = "gpt-4o-mini"
    yield (
        "chat",
        lambda: chat.create(
            model=model,
            messages=ANSWERED[:2],
            temperature=0.2,
            max_tokens=50,
            seed=7,
            n=1,
            stop=["END"],
            user="u-1",
        ),
    )
    yield "chat_tools", lambda: chat.create(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield (
        "chat_tool_result",
        lambda: chat.create(model=model, messages=ANSWERED, tools=[OPENAI_TOOL]),
    )
    yield "chat_image", lambda: chat.create(model=model, messages=IMAGE)
    yield (
        "chat_stream",
        lambda: list(
            chat.create(
                model=model, messages=user(), stream=True, stream_options={"include_usage": True}
            )
        ),
    )
    yield "chat_error", lambda: chat.create(model=model, messages=user(FAIL))
    yield (
        "embeddings",
        lambda: client.embeddings.create(model="text-embedding-3-small", input=QUESTION),
    )


def openai_responses():
    import mlflow
    from openai import OpenAI

    mlflow.openai.autolog()
    responses = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0).responses
    model = "gpt-4o-mini"
    tool = {"type": "function", **FUNCTION}
    image = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
                {"type": "input_file", "file_id": "file-1"},
            ],
        }
    ]
    answered = [
        *user(),
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": '{"city": "Paris"}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": '{"degrees": 21}'},
    ]
    yield (
        "text",
        lambda: responses.create(
            model=model, instructions="You are terse.", input=QUESTION, temperature=0.2
        ),
    )
    yield "reasoning", lambda: responses.create(model=model, input=user("Please reason."))
    yield "tools", lambda: responses.create(model=model, input=user(), tools=[tool])
    yield "tool_result", lambda: responses.create(model=model, input=answered, tools=[tool])
    yield "image", lambda: responses.create(model=model, input=image)
    yield "stream", lambda: list(responses.create(model=model, input=QUESTION, stream=True))
    yield "error", lambda: responses.create(model=model, input=FAIL)


def openai_agents():
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


def anthropic():
    import mlflow
    from anthropic import Anthropic

    mlflow.anthropic.autolog()
    messages = Anthropic(base_url=base(), api_key="stub", max_retries=0).messages
    model = "claude-3-5-sonnet-20241022"
    tool = {"name": "get_weather", "description": "The weather of a city.", "input_schema": CITY}
    image = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                },
                {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            ],
        }
    ]
    answered = [
        *user(),
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "get_weather",
                    "input": {"city": "Paris"},
                }
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21 degrees"}],
        },
    ]
    kept = {"model": model, "max_tokens": 2048}
    yield "text", lambda: messages.create(system="You are terse.", messages=user(), **kept)
    yield (
        "thinking",
        lambda: messages.create(
            messages=user(), thinking={"type": "enabled", "budget_tokens": 1024}, **kept
        ),
    )
    yield "tools", lambda: messages.create(messages=user(), tools=[tool], **kept)
    yield "tool_result", lambda: messages.create(messages=answered, tools=[tool], **kept)
    yield "image", lambda: messages.create(messages=image, **kept)
    yield "stream", lambda: list(messages.create(messages=user(), stream=True, **kept))
    yield "error", lambda: messages.create(messages=user(FAIL), **kept)


def google_genai():
    import mlflow
    from google import genai
    from google.genai import types

    mlflow.gemini.autolog()
    client = genai.Client(api_key="stub", http_options={"base_url": base()})
    model = "gemini-2.0-flash"
    declaration = {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": CITY,
    }
    tools = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    terse = types.GenerateContentConfig(
        system_instruction="You are terse.",
        temperature=0.2,
        max_output_tokens=50,
        top_k=40,
        stop_sequences=["END"],
    )
    thinking = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    image = [types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"), "What is this?"]
    answered = [
        types.Content(role="user", parts=[types.Part.from_text(text=QUESTION)]),
        types.Content(
            role="model",
            parts=[types.Part.from_function_call(name="get_weather", args={"city": "Paris"})],
        ),
        types.Content(
            role="user",
            parts=[types.Part.from_function_response(name="get_weather", response={"degrees": 21})],
        ),
    ]
    generate = client.models.generate_content
    yield "text", lambda: generate(model=model, contents=QUESTION, config=terse)
    yield "thinking", lambda: generate(model=model, contents=QUESTION, config=thinking)
    yield "tools", lambda: generate(model=model, contents=QUESTION, config=tools)
    yield "tool_result", lambda: generate(model=model, contents=answered, config=tools)
    yield "image", lambda: generate(model=model, contents=image)
    yield (
        "stream",
        lambda: list(client.models.generate_content_stream(model=model, contents=QUESTION)),
    )
    yield "error", lambda: generate(model=model, contents=FAIL)


def boto3():
    import boto3
    import mlflow

    mlflow.bedrock.autolog()
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=base(),
        aws_access_key_id="stub",
        aws_secret_access_key="stub",
    )
    model = "anthropic.claude-3-5-sonnet-20241022-v2:0"
    spec = {
        "name": "get_weather",
        "description": "The weather of a city.",
        "inputSchema": {"json": CITY},
    }
    tools = {"tools": [{"toolSpec": spec}]}

    def said(text=QUESTION):
        return [{"role": "user", "content": [{"text": text}]}]

    answered = [
        *said(),
        {
            "role": "assistant",
            "content": [
                {
                    "toolUse": {
                        "toolUseId": "tooluse_1",
                        "name": "get_weather",
                        "input": {"city": "Paris"},
                    }
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "tooluse_1",
                        "content": [{"json": {"degrees": 21}}],
                        "status": "success",
                    }
                }
            ],
        },
    ]
    image = [
        {
            "role": "user",
            "content": [
                {"text": "What is this?"},
                {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
            ],
        }
    ]
    config = {"temperature": 0.2, "maxTokens": 50, "topP": 0.9, "stopSequences": ["END"]}
    yield (
        "text",
        lambda: client.converse(
            modelId=model,
            system=[{"text": "You are terse."}],
            messages=said(),
            inferenceConfig=config,
        ),
    )
    yield "reasoning", lambda: client.converse(modelId=model, messages=said("Please reason."))
    yield "tools", lambda: client.converse(modelId=model, messages=said(), toolConfig=tools)
    yield "tool_result", lambda: client.converse(modelId=model, messages=answered, toolConfig=tools)
    yield "image", lambda: client.converse(modelId=model, messages=image)
    yield "stream", lambda: list(client.converse_stream(modelId=model, messages=said())["stream"])
    yield "error", lambda: client.converse(modelId=model, messages=said(FAIL))


def langchain():
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


def llama_index():
    import mlflow
    from llama_index.core.base.llms.types import ChatMessage, MessageRole
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai import OpenAI

    mlflow.llama_index.autolog()
    llm = OpenAI(
        model="gpt-4o-mini", api_base=base() + "/v1", api_key="stub", temperature=0.2, max_retries=0
    )
    messages = [
        ChatMessage(role=MessageRole.SYSTEM, content="You are terse."),
        ChatMessage(role=MessageRole.USER, content=QUESTION),
    ]
    tool = FunctionTool.from_defaults(get_weather)
    yield "chat", lambda: llm.chat(messages)
    yield "complete", lambda: llm.complete(QUESTION)
    yield "stream", lambda: list(llm.stream_chat(messages))
    yield "tools", lambda: llm.chat_with_tools([tool], user_msg=QUESTION)
    yield "tool", lambda: tool.call(city="Paris")
    yield "error", lambda: llm.chat([ChatMessage(role=MessageRole.USER, content=FAIL)])


def mistralai():
    import mlflow

    mlflow.mistral.autolog()
    try:
        from mistralai import Mistral
    except ImportError:
        from mistralai.client import Mistral
    client = Mistral(api_key="stub", server_url=base())
    model = "mistral-small-latest"
    yield (
        "chat",
        lambda: client.chat.complete(
            model=model, messages=ANSWERED[:2], temperature=0.2, max_tokens=50
        ),
    )
    yield "tools", lambda: client.chat.complete(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield (
        "tool_result",
        lambda: client.chat.complete(
            model=model,
            messages=[*ANSWERED[:2], {**ANSWERED[2], "content": ""}, ANSWERED[3]],
            tools=[OPENAI_TOOL],
        ),
    )
    yield "error", lambda: client.chat.complete(model=model, messages=user(FAIL))


def groq():
    import mlflow
    from groq import Groq

    mlflow.groq.autolog()
    chat = Groq(base_url=base(), api_key="stub", max_retries=0).chat.completions
    model = "llama-3.3-70b-versatile"
    yield "chat", lambda: chat.create(model=model, messages=ANSWERED[:2], temperature=0.2)
    yield "tools", lambda: chat.create(model=model, messages=user(), tools=[OPENAI_TOOL])
    yield "error", lambda: chat.create(model=model, messages=user(FAIL))


def litellm():
    import litellm
    import mlflow

    mlflow.litellm.autolog()
    kept = {
        "model": "openai/gpt-4o-mini",
        "api_base": base() + "/v1",
        "api_key": "stub",
        "num_retries": 0,
    }
    yield (
        "chat",
        lambda: litellm.completion(messages=ANSWERED[:2], temperature=0.2, max_tokens=50, **kept),
    )
    yield "tools", lambda: litellm.completion(messages=user(), tools=[OPENAI_TOOL], **kept)
    yield "error", lambda: litellm.completion(messages=user(FAIL), **kept)


def dspy():
    import dspy
    import mlflow

    mlflow.dspy.autolog()
    lm = dspy.LM(
        "openai/gpt-4o-mini-dspy",
        api_base=base() + "/v1",
        api_key="stub",
        cache=False,
        num_retries=0,
    )
    dspy.configure(lm=lm)
    yield "predict", lambda: dspy.Predict("question -> answer")(question=QUESTION)
    yield "lm", lambda: lm(messages=ANSWERED[:2], temperature=0.2)


def smolagents():
    import mlflow
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool

    mlflow.smolagents.autolog()
    model = OpenAIServerModel("gpt-4o-mini", api_base=base() + "/v1", api_key="stub")
    agent = ToolCallingAgent(tools=[tool(get_weather)], model=model, max_steps=2)
    yield "agent", lambda: agent.run(QUESTION)


def pydantic_ai():
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


def autogen():
    import mlflow
    from autogen_agentchat.agents import AssistantAgent
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    mlflow.autogen.autolog()
    client = OpenAIChatCompletionClient(
        model="gpt-4o-mini", base_url=base() + "/v1", api_key="stub", max_retries=0
    )
    agent = AssistantAgent("weather", client, tools=[get_weather], system_message="You are terse.")
    yield "agent", lambda: asyncio.run(agent.run(task=QUESTION))


LIBRARIES = {
    "openai": openai,
    "openai-responses": openai_responses,
    "openai-agents": openai_agents,
    "anthropic": anthropic,
    "google-genai": google_genai,
    "boto3": boto3,
    "langchain": langchain,
    "llama-index-core": llama_index,
    "mistralai": mistralai,
    "groq": groq,
    "litellm": litellm,
    "dspy": dspy,
    "smolagents": smolagents,
    "pydantic-ai-slim": pydantic_ai,
    "autogen-agentchat": autogen,
}
