"""The demo's app: a small multi-turn agent under unmodified MLflow Tracing, its model scripted."""

from __future__ import annotations

import time
from typing import Any, Final

import mlflow
from mlflow.entities import AssessmentSource, Feedback, SpanEvent, SpanStatusCode, Trace

TURNS: Final = (
    ("alice", "s-alice-1", "req-1", "How do I return my shoes?"),
    ("alice", "s-alice-1", "req-2", "What is the weather in Paris?"),
    ("bob", "s-bob-1", "req-3", "Where is order 17?"),
    ("bob", "s-bob-1", "req-4", "Thanks!"),
    ("carol", "s-carol-1", "req-5", "Can I have a refund?"),
)
PLAN: Final = {
    "weather": ("get_weather", {"city": "Paris"}),
    "order": ("track_order", {"order": 17}),
}
MODEL: Final = "gpt-4o-mini"
PRICE: Final = {"input": 0.15e-6, "output": 0.60e-6}  # USD a token


@mlflow.trace(name="search_help", span_type="RETRIEVER")
def search_help(query: str) -> list[dict[str, Any]]:
    """Find help pages."""
    time.sleep(0.004)
    page = {
        "page_content": "Shoes go back within 30 days.",
        "metadata": {"doc_uri": "help/returns"},
        "id": "d-1",
    }
    return [page] if "return" in query else []


@mlflow.trace(name="get_weather", span_type="TOOL")
def get_weather(city: str) -> dict[str, Any]:
    """Look up the weather."""
    time.sleep(0.003)
    return {"city": city, "degrees": 21}


@mlflow.trace(name="track_order", span_type="TOOL")
def track_order(order: int) -> str:
    """Fail, as tools do."""
    raise TimeoutError(f"The warehouse did not answer for order {order}.")


def chat(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Stand in for a chat model; its span is what MLflow's autologging would write."""
    with mlflow.start_span("Completions", span_type="CHAT_MODEL") as span:
        span.set_inputs({"model": MODEL, "messages": messages, "temperature": 0.2})
        time.sleep(0.006)
        span.add_event(SpanEvent("mlflow.chunk.item.0", attributes={"mlflow.chunk.value": "…"}))
        asked = messages[-1]["content"]
        if "refund" in asked:
            raise ConnectionError("The model's provider closed the connection.")
        planned = next(
            (PLAN[word] for word in PLAN if word in asked and messages[-1]["role"] == "user"), None
        )
        message: dict[str, Any] = {
            "role": "assistant",
            "content": f"About “{asked[:40]}”: here you are.",
        }
        if planned is not None:
            call = {"name": planned[0], "arguments": planned[1]}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "function": call}],
            }
        tokens = sum(len(str(m["content"])) for m in messages) // 4, 17
        choice = {"message": message, "finish_reason": "tool_calls" if planned else "stop"}
        span.set_outputs({"id": "chatcmpl-1", "model": f"{MODEL}-2024-07-18", "choices": [choice]})
        cost = {
            "input_cost": tokens[0] * PRICE["input"],
            "output_cost": tokens[1] * PRICE["output"],
        }
        span.set_attributes(
            {
                "mlflow.message.format": "openai",
                "mlflow.llm.model": MODEL,
                "mlflow.llm.provider": "openai",
                "mlflow.chat.tokenUsage": {
                    "input_tokens": tokens[0],
                    "output_tokens": tokens[1],
                    "total_tokens": sum(tokens),
                },
                "mlflow.llm.cost": {**cost, "total_cost": sum(cost.values())},
            }
        )
        return message


@mlflow.trace(name="support_agent", span_type="AGENT")
def turn(user: str, session: str, request: str, question: str) -> str:
    """Answer one question."""
    mlflow.update_current_trace(
        client_request_id=request,
        tags={"environment": "demo", "app_version": "1.2.0"},
        metadata={"mlflow.trace.session": session, "mlflow.trace.user": user},
    )
    messages = [{"role": "system", "content": "You are a shop's support."}]
    messages += [
        {"role": "system", "content": page["page_content"]} for page in search_help(question)
    ]
    messages.append({"role": "user", "content": question})
    reply = chat(messages)
    for call in reply.get("tool_calls") or ():
        tool = {"get_weather": get_weather, "track_order": track_order}[call["function"]["name"]]
        try:
            result = str(tool(**call["function"]["arguments"]))
        except TimeoutError as error:
            result = f"failed: {error}"
        messages += [reply, {"role": "tool", "tool_call_id": call["id"], "content": result}]
        reply = chat(messages)
    return str(reply["content"])


def judge(trace_id: str, answer: str | None) -> None:
    """Log what the user and a judge think of a turn."""
    helped = answer is not None and "failed" not in answer
    user, judged = AssessmentSource("HUMAN", "user"), AssessmentSource("LLM_JUDGE", "judge-1")
    mlflow.log_feedback(trace_id=trace_id, name="helpful", value=helped, source=user)
    if answer is None:
        mlflow.log_feedback(
            trace_id=trace_id, name="relevance", source=judged, error=ValueError("no answer")
        )
    else:
        score = 0.9 if helped else 0.3
        mlflow.log_feedback(trace_id=trace_id, name="relevance", value=score, source=judged)


def all_steps_ok(trace: Trace) -> bool:
    """Score in code: tell whether no step of a turn failed."""
    return all(span.status.status_code is not SpanStatusCode.ERROR for span in trace.data.spans)


def tone(inputs: dict[str, Any], outputs: str | None) -> Feedback | None:
    """Stand in for a judge that asks a model: say how an answer sounds."""
    if outputs is None:
        return None
    polite = "here you are" in outputs
    return Feedback(
        value="polite" if polite else "curt",
        rationale=f"The answer to {inputs['question']!r} ends politely."
        if polite
        else "No greeting.",
        source=AssessmentSource("LLM_JUDGE", "judge-2"),
    )


def run(*, dual_export: bool = False) -> int:
    """Run every turn, one of which fails, and judge them; return how many."""
    answers = {}
    for user, session, request, question in TURNS:
        try:
            answer = turn(user, session, request, question)
        except ConnectionError:
            answer = None
        answers[str(mlflow.get_last_active_trace_id())] = answer
    if dual_export:
        mlflow.flush_trace_async_logging()  # a server takes feedback on traces that it has
    for trace_id, answer in answers.items():
        judge(trace_id, answer)
    return len(TURNS)
