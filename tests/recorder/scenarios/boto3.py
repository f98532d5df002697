"""What is recorded of boto3."""

from __future__ import annotations

from scenarios.common import CITY, FAIL, QUESTION, base


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
    yield "error", lambda: client.converse(modelId=model, messages=said(FAIL))
