"""Gemini: inline bytes, signatures, its own tools, chats, embeddings, streams."""

from __future__ import annotations

import asyncio

from scenarios.common import CITY, FAIL, QUESTION, base, get_weather


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
    image = [types.Part.from_bytes(data=b"\x89PNG\xff\x00", mime_type="image/png"), "What is this?"]
    media = [
        types.Content(
            role="user",
            parts=[
                types.Part.from_uri(file_uri="https://example.com/a.mp4", mime_type="video/mp4"),
                types.Part(
                    inline_data=types.Blob(data=b"RIFF\xff", mime_type="audio/wav"),
                    video_metadata=types.VideoMetadata(fps=2),
                ),
                types.Part.from_text(text="What is this?"),
            ],
        )
    ]
    signed = types.Part.from_function_call(name="get_weather", args={"city": "Paris"})
    signed.thought_signature = b"signature\xff"
    answered = [
        types.Content(role="user", parts=[types.Part.from_text(text=QUESTION)]),
        types.Content(role="model", parts=[signed]),
        types.Content(
            role="user",
            parts=[types.Part.from_function_response(name="get_weather", response={"degrees": 21})],
        ),
    ]

    def config(**more):
        return types.GenerateContentConfig(**more)

    own_tools = config(
        tools=[
            types.Tool(google_search=types.GoogleSearch()),
            types.Tool(code_execution=types.ToolCodeExecution()),
        ],
        safety_settings=[
            types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_ONLY_HIGH")
        ],
    )

    async def ask():
        return await client.aio.models.generate_content(model=model, contents=QUESTION)

    generate = client.models.generate_content
    yield "text", lambda: generate(model=model, contents=QUESTION, config=terse)
    yield "thinking", lambda: generate(model=model, contents=QUESTION, config=thinking)
    yield "tools", lambda: generate(model=model, contents=QUESTION, config=tools)
    yield "tool_result", lambda: generate(model=model, contents=answered, config=tools)
    yield (
        "automatic_tools",
        lambda: generate(model=model, contents=QUESTION, config=config(tools=[get_weather])),
    )
    yield "own_tools", lambda: generate(model=model, contents="Please cite.", config=own_tools)
    yield "image", lambda: generate(model=model, contents=image)
    yield "media", lambda: generate(model=model, contents=media)
    yield (
        "image_answer",
        lambda: generate(
            model=model, contents=QUESTION, config=config(response_modalities=["TEXT", "IMAGE"])
        ),
    )
    yield (
        "audio_answer",
        lambda: generate(
            model=model, contents=QUESTION, config=config(response_modalities=["AUDIO"])
        ),
    )
    yield (
        "json",
        lambda: generate(
            model=model,
            contents=QUESTION,
            config=config(response_mime_type="application/json", response_schema=CITY),
        ),
    )
    yield "blocked", lambda: generate(model=model, contents="Please refuse.")
    yield "chat", lambda: client.chats.create(model=model, config=terse).send_message(QUESTION)
    yield "async", lambda: asyncio.run(ask())
    yield (
        "stream",
        lambda: list(client.models.generate_content_stream(model=model, contents=QUESTION)),
    )
    yield "count_tokens", lambda: client.models.count_tokens(model=model, contents=QUESTION)
    yield (
        "embedding",
        lambda: client.models.embed_content(
            model="gemini-embedding-001",
            contents=[QUESTION],
            config=types.EmbedContentConfig(output_dimensionality=3),
        ),
    )
    yield "error", lambda: generate(model=model, contents=FAIL)
