"""Further invented payloads: kernels, chat UIs, batches, makers of models, files. As in ``shapes``."""

from __future__ import annotations

ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "Cross?"}]}


def _block(who, text):
    return {
        "role": who,
        "additional_kwargs": {},
        "blocks": [{"block_type": "text", "text": text}],
    }


SHAPES = {
    "an agent's run: a new message": (
        None,
        "AGENT",
        {"user_msg": "Cross?", "chat_history": None, "memory": None, "max_iterations": 31},
        {
            "result": {
                "response": _block("assistant", "By ferry."),
                "structured_response": {"way": "sea-1"},
                "current_agent_name": "captain-1",
                "tool_calls": [],
            }
        },
    ),
    "an agent's run: a talk and a new message": (
        "llamaindex",
        "AGENT",
        {
            "user_msg": _block("user", "Cross?"),
            "chat_history": [_block("system", "Be brief."), _block("user", "Hello.")],
            "early_stopping_method": "es-1",
        },
        {"result": {"response": _block("assistant", "By ferry."), "raw": {"x": "raw-1"}}},
    ),
    "a call that is prepared": (
        "llamaindex",
        "LLM",
        {"tools": [], "user_msg": "Cross?", "chat_history": None, "verbose": True},
        {"messages": [_block("user", "Cross?")], "tool_choice": "tc-1"},
    ),
    "a request in one parameter: responses": (
        None,
        "AGENT",
        {
            "request": {
                "input": [{"role": "user", "content": "Cross?", "type": "message"}],
                "temperature": 0.25,
                "custom_inputs": {"harbour": "h-1"},
                "context": {"conversation_id": "cv-1", "user_id": None},
            }
        },
        {
            "object": "response",
            "output": [
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "By ferry."}],
                }
            ],
            "custom_outputs": {"pier": "p-1"},
        },
    ),
    "a request in one parameter: chat": (
        None,
        "CHAT_MODEL",
        {"context": "ctx-1", "model_input": {**ASKED, "max_tokens": 17, "user": "u-17"}},
        {"choices": [{"message": {"role": "assistant", "content": "By ferry."}}]},
    ),
    "semantic kernel: items": (
        None,
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "items": [
                        {"content_type": "text", "text": "Cross?"},
                        {"content_type": "image", "uri": "https://img.test/q.png"},
                    ],
                },
                {
                    "role": "assistant",
                    "items": [
                        {
                            "content_type": "function_call",
                            "id": "call_k1",
                            "name": "port-ferries",
                            "plugin_name": "port-9",
                            "arguments": '{"day": 3}',
                        }
                    ],
                },
                {
                    "role": "tool",
                    "items": [
                        {
                            "content_type": "function_result",
                            "id": "call_k1",
                            "name": "port-ferries",
                            "result": "at nine",
                        }
                    ],
                },
            ]
        },
        {"messages": [{"role": "assistant", "items": [{"content_type": "text", "text": "Nine."}]}]},
    ),
    "chat UIs: parts, calls with hyphens, files": (
        None,
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "parts": [
                        {"type": "text", "text": "Cross?"},
                        {
                            "type": "file",
                            "data": "iVBORw0K",
                            "mediaType": "image/png",
                            "filename": "q-8.png",
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "tool-call",
                            "toolCallId": "call_v1",
                            "toolName": "ferries",
                            "input": {"day": 4},
                        }
                    ],
                },
                {
                    "role": "tool",
                    "content": [
                        {
                            "type": "tool-result",
                            "toolCallId": "call_v1",
                            "toolName": "ferries",
                            "output": {"type": "text", "value": "at ten"},
                        }
                    ],
                },
            ]
        },
        {"choices": [{"message": {"role": "assistant", "content": "At ten."}}]},
    ),
    "the convention's own parts": (
        None,
        "CHAT_MODEL",
        {
            "messages": [
                {"role": "user", "parts": [{"type": "text", "content": "Cross?"}]},
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "tool_call", "id": "call_o1", "name": "f", "arguments": {"a": 11}}
                    ],
                },
                {
                    "role": "tool",
                    "parts": [
                        {"type": "tool_call_response", "id": "call_o1", "response": {"at": "nine"}}
                    ],
                },
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "parts": [
                        {
                            "type": "server_tool_call",
                            "id": "srv_1",
                            "name": "web",
                            "server_tool_call": {"type": "search", "q": "tide-2"},
                        },
                        {"type": "text", "content": "By ferry."},
                    ],
                }
            ]
        },
    ),
    "langchain: two prompts in one call": (
        "langchain",
        "CHAT_MODEL",
        [
            [{"type": "system", "content": "Be brief."}, {"type": "human", "content": "Cross?"}],
            [{"type": "human", "content": "Swim?"}],
        ],
        {
            "generations": [
                [{"type": "ChatGeneration", "message": {"type": "ai", "content": "By ferry."}}],
                [{"type": "ChatGeneration", "message": {"type": "ai", "content": "No."}}],
            ],
            "llm_output": {"token_usage": {"prompt_tokens": 31}},
        },
    ),
    "haystack: a generator of text": (
        None,
        "LLM",
        {"prompt": "Cross?", "generation_kwargs": {"temperature": 0.25}},
        {"replies": ["By ferry."], "meta": [{"model": "m-7", "usage": {"prompt_tokens": 33}}]},
    ),
    "hugging face: inputs and a list of texts": (
        None,
        "LLM",
        {"inputs": "Cross?", "parameters": {"max_new_tokens": 20, "do_sample": True}},
        [{"generated_text": "By ferry.", "details": {"seed": 4114}}],
    ),
    "watsonx: results": (
        None,
        "LLM",
        {"input": "Cross?", "model_id": "ibm/m-2", "parameters": {"decoding_method": "greedy"}},
        {"results": [{"generated_text": "By ferry.", "stop_reason": "max_tokens"}]},
    ),
    "gemini: an uploaded file": (
        "gemini",
        "LLM",
        {
            "model": "gemini-x",
            "contents": [
                {
                    "name": "files/f-12",
                    "uri": "https://files.test/f-12",
                    "mime_type": "application/pdf",
                    "size_bytes": 5151,
                },
                "Cross?",
            ],
        },
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "By ferry."}]}}]},
    ),
    "converse: a picture in a tool's answer": (
        "bedrock",
        "CHAT_MODEL",
        {
            "modelId": "m-1",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "tu_p",
                                "content": [
                                    {"json": {"pier": "p-4"}},
                                    {
                                        "image": {
                                            "format": "png",
                                            "source": {"bytes": "b'\\x89PNG'"},
                                        }
                                    },
                                ],
                            }
                        }
                    ],
                }
            ],
        },
        {"output": {"message": {"role": "assistant", "content": [{"text": "A pier."}]}}},
    ),
    "cohere: a plan, a document, citations": (
        None,
        "CHAT_MODEL",
        {
            "model": "command-x",
            "messages": [
                {"role": "user", "content": "Cross?"},
                {
                    "role": "assistant",
                    "tool_plan": "I look it up.",
                    "tool_calls": [
                        {"id": "call_co", "type": "function", "function": {"name": "ferries"}}
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "call_co",
                    "content": [{"type": "document", "document": {"id": "d-1", "data": "nine"}}],
                },
            ],
            "documents": [{"data": {"title": "Tides-5"}}],
        },
        {
            "id": "co-2",
            "finish_reason": "MAX_TOKENS",
            "message": {
                "role": "assistant",
                "content": [{"type": "text", "text": "At nine."}],
                "citations": [{"start": 3, "sources": [{"type": "tool", "id": "call_co:0"}]}],
            },
            "usage": {"tokens": {"input_tokens": 507}, "billed_units": {"input_tokens": 12}},
        },
    ),
    "responses: instructions of their own, several actions, still running": (
        "openai",
        "CHAT_MODEL",
        {
            "model": "gpt-x",
            "instructions": [{"role": "developer", "content": "Be brief."}],
            "input": [
                {"role": "user", "content": "Cross?"},
                {
                    "type": "computer_call",
                    "id": "cu_2",
                    "call_id": "call_cu",
                    "actions": [{"type": "click", "x": 41}, {"type": "wait"}],
                },
            ],
        },
        {"id": "resp_b", "status": "queued", "background": True, "output": []},
    ),
    "an answer that is a list of something else": (
        "openai",
        "CHAT_MODEL",
        ASKED,
        [{"label": "ferry", "score": 0.625}],
    ),
    "an answer that is a stream's events": (
        "openai",
        "CHAT_MODEL",
        ASKED,
        [{"type": "response.output_text.delta", "delta": "By fer"}],
    ),
    "an agent's updates of its state": (
        None,
        "AGENT",
        ASKED,
        [{"agent": {"messages": [{"type": "ai", "content": "By ferry."}]}}],
    ),
    "a picture of which MLflow wrote the object": (
        "smolagents",
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": "<PIL.Image.Image at 0x7f01>"}],
                }
            ]
        },
        {"role": "assistant", "content": "A pier."},
    ),
    "litellm: a moderation": (
        None,
        "LLM",
        {"messages": "Cross?", "call_type": "x"},
        {"id": "modr-1", "results": [{"flagged": True, "category_scores": {"hate": 0.8125}}]},
    ),
}
