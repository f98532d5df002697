"""An agent with tools over an OpenAI-compatible API, traced by MLflow's autologging alone.

    pip install 'mlflow-otel[tracing]' openai
    python stub_model.py 8001 &                  # stands in for a model; or name your own below
    export OPENAI_BASE_URL=http://127.0.0.1:8001/v1 OPENAI_API_KEY=none
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 python agent.py "What is the weather in Paris?"

Its trace is the agent, each call of the model and each tool, with their messages and tokens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import mlflow
import openai

import mlflow_otel

mlflow_otel.instrument()  # the one line
mlflow.openai.autolog()

MODEL: Final = "gpt-4o-mini"
MAX_CALLS: Final = 5


@mlflow.trace(span_type="TOOL")
def get_weather(city: str) -> dict[str, Any]:
    """Return the weather of a city."""
    return {"city": city, "degrees": 21}


TOOLS: Final[dict[str, Callable[..., Any]]] = {"get_weather": get_weather}
DEFINITIONS: Final = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@mlflow.trace(span_type="AGENT")
def agent(question: str) -> str:
    """Answer a question, with as many calls of tools as the model asks for."""
    client = openai.OpenAI()
    messages: list[Any] = [{"role": "user", "content": question}]
    for _ in range(MAX_CALLS):
        answer = client.chat.completions.create(model=MODEL, messages=messages, tools=DEFINITIONS)
        message = answer.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = TOOLS[call.function.name](**json.loads(call.function.arguments))
            messages.append(
                {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}
            )
    return "I could not find out."


if __name__ == "__main__":
    print(agent(sys.argv[1] if len(sys.argv) > 1 else "What is the weather in Paris?"))
