"""AG2: two agents that talk, with a tool."""

from __future__ import annotations

from scenarios.common import QUESTION, base, get_weather


def calls():
    import mlflow

    mlflow.ag2.autolog()
    from autogen import ConversableAgent, register_function

    config = {
        "config_list": [{"model": "gpt-4o-mini", "base_url": base() + "/v1", "api_key": "stub"}],
        "temperature": 0.2,
        "cache_seed": None,
    }

    def chat():
        assistant = ConversableAgent(
            "assistant", system_message="You are terse.", llm_config=config
        )
        asker = ConversableAgent("asker", llm_config=False, human_input_mode="NEVER")
        register_function(
            get_weather, caller=assistant, executor=asker, description="The weather of a city."
        )
        asker.initiate_chat(assistant, message=QUESTION, max_turns=2)

    yield "chat", chat
