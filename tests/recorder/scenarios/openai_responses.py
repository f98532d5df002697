"""OpenAI's Responses API: tools of its own and of ours, reasoning, streams."""

from __future__ import annotations

from scenarios.common import FAIL, FUNCTION, PIXEL, QUESTION, base, user

BUILT_IN = [
    {"type": "web_search", "search_context_size": "low"},
    {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "image_generation", "quality": "low"},
    {"type": "mcp", "server_label": "weather", "server_url": "https://example.com/mcp"},
    {"type": "custom", "name": "query", "description": "Runs SQL.", "format": {"type": "text"}},
]
ACTING = [
    {"type": "local_shell"},
    {
        "type": "computer_use_preview",
        "display_width": 1024,
        "display_height": 768,
        "environment": "browser",
    },
]
ANSWERED = [
    {
        "type": "function_call",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": '{"city": "Paris"}',
    },
    {"type": "function_call_output", "call_id": "call_1", "output": '{"degrees": 21}'},
]
ALL_ANSWERED = [
    {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "ZW5j"},
    *ANSWERED,
    {"type": "custom_tool_call", "call_id": "call_2", "name": "query", "input": "SELECT 1"},
    {"type": "custom_tool_call_output", "call_id": "call_2", "output": "1"},
    {
        "type": "computer_call_output",
        "call_id": "call_4",
        "output": {
            "type": "computer_screenshot",
            "image_url": f"data:image/png;base64,{PIXEL}",
        },
    },
    {"type": "local_shell_call_output", "id": "call_3", "output": '{"stdout": "Tue"}'},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "item_reference", "id": "msg_0"},
]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What is this?"},
            {
                "type": "input_image",
                "image_url": f"data:image/png;base64,{PIXEL}",
                "detail": "low",
            },
            {"type": "input_file", "file_id": "file-1"},
            {
                "type": "input_file",
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,JVBERg==",
            },
        ],
    }
]


def calls():
    import mlflow
    from openai import OpenAI
    from pydantic import BaseModel

    class Weather(BaseModel):
        """The weather of a city."""

        city: str
        degrees: int

    mlflow.openai.autolog()
    responses = OpenAI(base_url=base() + "/v1", api_key="stub", max_retries=0).responses
    kept = {"model": "gpt-4o-mini"}
    tool = {"type": "function", **FUNCTION}

    def streamed():
        with responses.stream(input=QUESTION, **kept) as stream:
            return list(stream)

    yield (
        "text",
        lambda: responses.create(
            instructions="You are terse.",
            input=QUESTION,
            temperature=0.2,
            max_output_tokens=50,
            metadata={"team": "weather"},
            previous_response_id="resp_0",
            **kept,
        ),
    )
    yield (
        "reasoning",
        lambda: responses.create(
            input=user("Please reason."), reasoning={"effort": "low", "summary": "auto"}, **kept
        ),
    )
    yield "tools", lambda: responses.create(input=user(), tools=[tool], **kept)
    yield "tool_result", lambda: responses.create(input=[*user(), *ANSWERED], tools=[tool], **kept)
    yield "built_in_tools", lambda: responses.create(input=user(), tools=BUILT_IN, **kept)
    yield "acting_tools", lambda: responses.create(input=user(), tools=ACTING, **kept)
    yield (
        "all_results",
        lambda: responses.create(input=[*user(), *ALL_ANSWERED], tools=[tool], **kept),
    )
    yield "image", lambda: responses.create(input=IMAGE, **kept)
    yield "refusal", lambda: responses.create(input="Please refuse.", **kept)
    yield "parse", lambda: responses.parse(input=QUESTION, text_format=Weather, **kept)
    yield "stream", lambda: list(responses.create(input=QUESTION, stream=True, **kept))
    yield (
        "stream_tools",
        lambda: list(responses.create(input=user(), tools=[tool], stream=True, **kept)),
    )
    yield "stream_helper", streamed
    yield "error", lambda: responses.create(input=FAIL, **kept)
