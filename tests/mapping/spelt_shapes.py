"""Further invented payloads: every field that a converter reads and no other payload has. As in ``shapes``."""

from __future__ import annotations

ANSWERED = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "By ferry."}}]}


SHAPES = {
    "gemini: as its REST API spells it": (
        "gemini",
        "LLM",
        {
            "model": "gemini-x",
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"inlineData": {"mimeType": "image/png", "data": "cXVheQ=="}},
                        {
                            "fileData": {
                                "mimeType": "video/mp4",
                                "fileUri": "https://vid.test/b.mp4",
                            }
                        },
                        {"uri": "https://files.test/f-9", "mimeType": "audio/wav"},
                        {"text": "Cross?"},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"executableCode": {"language": "PYTHON", "code": "print(71)"}},
                        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "71"}},
                        {"functionCall": {"id": "fc-3", "name": "ferries", "args": {"day": 3}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "id": "fc-3",
                                "name": "ferries",
                                "response": {"at": "nine"},
                            }
                        }
                    ],
                },
            ],
            "generation_config": {
                "temperature": 0.25,
                "tools": [
                    {
                        "functionDeclarations": [
                            {"name": "ferries", "parameters": {"type": "object", "nullable": True}}
                        ]
                    }
                ],
            },
        },
        {
            "candidates": [
                {
                    "content": {"role": "model", "parts": [{"text": "By ferry."}]},
                    "finishReason": "MAX_TOKENS",
                    "index": 0,
                }
            ],
            "usageMetadata": {"promptTokenCount": 31, "candidatesTokenCount": 7},
            "modelVersion": "gemini-x-002",
            "responseId": "r-8",
        },
    ),
    "converse: a film, an answer that its request names, a cache by the hour": (
        "bedrock",
        "CHAT_MODEL",
        {
            "modelId": "maker.model-v1",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"video": {"format": "mp4", "source": {"bytes": "ZmlsbQ=="}}},
                        {"text": "Cross?"},
                    ],
                }
            ],
        },
        {
            "ResponseMetadata": {"RequestId": "req-77"},
            "output": {"message": {"role": "assistant", "content": [{"text": "By ferry."}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 31,
                "outputTokens": 7,
                "cacheDetails": [
                    {"inputTokens": 5, "ttl": "5m"},
                    {"inputTokens": 11, "ttl": "1h"},
                ],
            },
        },
    ),
    "titan: counts by result": (
        None,
        "LLM",
        {"modelId": "amazon.titan-text", "inputText": "Cross?"},
        {
            "inputTextTokenCount": 31,
            "results": [
                {"tokenCount": 7, "outputText": "By ferry.", "completionReason": "FINISH"},
                {"tokenCount": 4, "outputText": "Or swim.", "completionReason": "LENGTH"},
            ],
        },
    ),
    "responses: a file by its address": (
        "openai",
        "CHAT_MODEL",
        {
            "model": "gpt-x",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_file", "file_url": "https://files.test/t.pdf"},
                        {"type": "input_text", "text": "Cross?"},
                    ],
                }
            ],
        },
        {"id": "resp_9", "object": "response", "model": "gpt-x", "output": []},
    ),
    "langchain: media by source, a call that is no json": (
        "langchain",
        "CHAT_MODEL",
        [
            {
                "type": "human",
                "content": [
                    {"type": "image", "base64": "cXVheQ==", "mimeType": "image/png"},
                    {
                        "type": "audio",
                        "source_type": "base64",
                        "data": "aG9ybg==",
                        "mime_type": "audio/wav",
                    },
                    {"type": "text", "text": "Cross?"},
                ],
            },
            {
                "type": "ai",
                "content": "",
                "invalid_tool_calls": [
                    {
                        "type": "invalid_tool_call",
                        "id": "call_i1",
                        "name": "ferries",
                        "args": "{day",
                        "error": "no JSON",
                    }
                ],
            },
        ],
        {
            "generations": [
                [{"text": "By ferry.", "message": {"type": "ai", "content": "By ferry."}}]
            ]
        },
    ),
    "haystack: a file in base64": (
        None,
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"file": {"base64_data": "cGxhbg==", "mime_type": "application/pdf"}},
                        {"text": "Cross?"},
                    ],
                }
            ]
        },
        ANSWERED,
    ),
    "a history and what is said now": (
        None,
        "LLM",
        {"model": "m-1", "history": [{"role": "user", "content": "Hello"}], "question": "Cross?"},
        ANSWERED,
    ),
    "a server's prompts": (
        None,
        "LLM",
        {"model": "m-1", "prompts": ["Cross?", "Swim?"]},
        {"choices": [{"index": 0, "text": "By ferry."}, {"index": 1, "text": "No."}]},
    ),
    "embeddings: of more makers": (
        None,
        "EMBEDDING",
        {"model": "e-1", "contents": [{"content": "Cross?"}, {"text": "Swim?"}]},
        {"predictions": [{"vector": [0.5, 0.25]}, {"values": [0.5, 0.75]}]},
    ),
    "gemini: a call that ends with STOP, beside tools of other kinds": (
        "gemini",
        "LLM",
        {
            "model": "gemini-x",
            "contents": [{"role": "user", "parts": [{"text": "Ferries on day four?"}]}],
            "tools": [
                {"functionDeclarations": [{"name": "ferries"}, "no declaration"]},
                {"googleSearch": {"excludeDomains": ["a.test"]}},
            ],
        },
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [{"functionCall": {"name": "ferries", "args": {"day": 4}}}],
                    },
                    "finishReason": "STOP",
                }
            ]
        },
    ),
    "openai: calls that are no list": (
        "openai",
        "CHAT_MODEL",
        {
            "model": "m-1",
            "messages": [
                {"role": "user", "content": "Go on."},
                {"role": "assistant", "content": "So.", "tool_calls": {"id": "call-77"}},
            ],
        },
        ANSWERED,
    ),
    "llamaindex: a block of a kind that is not known": (
        "llamaindex",
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "blocks": [
                        {"block_type": "text", "text": "See this."},
                        {"block_type": "hologram", "depth": 31},
                    ],
                }
            ]
        },
        {"message": {"role": "assistant", "blocks": [{"block_type": "text", "text": "Seen."}]}},
    ),
}
