"""Amazon Bedrock: Converse, and InvokeModel in its makers' shapes."""

from __future__ import annotations

import json

from scenarios.common import CITY, FAIL, QUESTION, base, user

# The request bodies of InvokeModel, by model: each maker has its own.
BODIES = {
    "anthropic.claude-3-haiku-20240307-v1:0": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "temperature": 0.2,
        "system": "You are terse.",
        "messages": user(),
        "tools": [{"name": "get_weather", "input_schema": CITY}],
    },
    "meta.llama3-8b-instruct-v1:0": {
        "prompt": QUESTION,
        "max_gen_len": 50,
        "temperature": 0.2,
        "top_p": 0.9,
    },
    "amazon.titan-text-express-v1": {
        "inputText": QUESTION,
        "textGenerationConfig": {
            "maxTokenCount": 50,
            "temperature": 0.2,
            "topP": 0.9,
            "stopSequences": ["END"],
        },
    },
    "amazon.nova-lite-v1:0": {
        "schemaVersion": "messages-v1",
        "system": [{"text": "You are terse."}],
        "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.2, "topK": 20},
    },
    "mistral.mistral-7b-instruct-v0:2": {
        "prompt": f"<s>[INST] {QUESTION} [/INST]",
        "max_tokens": 50,
        "temperature": 0.2,
        "top_k": 40,
        "stop": ["END"],
    },
    "cohere.command-r-v1:0": {
        "message": QUESTION,
        "preamble": "You are terse.",
        "chat_history": [{"role": "USER", "message": "Hello."}],
        "documents": [{"title": "Weather", "snippet": "Paris is sunny."}],
        "max_tokens": 50,
        "p": 0.9,
        "k": 40,
    },
    "ai21.jamba-1-5-mini-v1:0": {"messages": user(), "max_tokens": 50, "n": 1},
    "amazon.titan-embed-text-v2:0": {"inputText": QUESTION, "dimensions": 256, "normalize": True},
    "cohere.embed-english-v3": {"texts": [QUESTION], "input_type": "search_query"},
}


def calls():
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
    document = [
        {
            "role": "user",
            "content": [
                {
                    "document": {
                        "format": "txt",
                        "name": "Weather",
                        "source": {"bytes": b"Paris is sunny."},
                    }
                },
                {"text": QUESTION},
                {"cachePoint": {"type": "default"}},
            ],
        }
    ]
    guarded = {"guardrailIdentifier": "gr-1", "guardrailVersion": "1", "trace": "enabled"}
    yield "document", lambda: client.converse(modelId=model, messages=document)
    yield (
        "guardrail",
        lambda: client.converse(
            modelId=model,
            messages=said(),
            guardrailConfig=guarded,
            additionalModelRequestFields={"top_k": 40},
        ),
    )
    yield (
        "stream_tools",
        lambda: list(
            client.converse_stream(modelId=model, messages=said(), toolConfig=tools)["stream"]
        ),
    )
    yield (
        "stream_reasoning",
        lambda: list(
            client.converse_stream(modelId=model, messages=said("Please reason."))["stream"]
        ),
    )

    def invoke(name):
        return lambda: client.invoke_model(modelId=name, body=json.dumps(BODIES[name]))

    def invoke_stream(name):
        found = client.invoke_model_with_response_stream
        return lambda: list(found(modelId=name, body=json.dumps(BODIES[name]))["body"])

    for name in BODIES:
        yield "invoke_" + name.replace(".", "_"), invoke(name)
    for name in list(BODIES)[:3]:
        yield "invoke_stream_" + name.replace(".", "_"), invoke_stream(name)
    yield "error", lambda: client.converse(modelId=model, messages=said(FAIL))
