"""What is recorded of google genai."""

from __future__ import annotations

from scenarios.common import CITY, FAIL, QUESTION, base


def calls():
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
