"""What is recorded of dspy."""

from __future__ import annotations

from scenarios.common import ANSWERED, QUESTION, base


def calls():
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
