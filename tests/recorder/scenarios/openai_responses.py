"""What is recorded of openai responses."""

from __future__ import annotations

from scenarios.common import FAIL, FUNCTION, PIXEL, QUESTION, base, user


def calls():
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
