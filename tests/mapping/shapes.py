"""Invented payloads in the shapes of public APIs and frameworks, one a kind, for what no recording shows.

Each is (message format or None, span type, inputs, outputs).
"""

from __future__ import annotations

OPENAI_ANSWER = {
    "id": "chatcmpl-3",
    "object": "chat.completion",
    "created": 1_761_000_123,
    "model": "gpt-x-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "By ferry."},
            "finish_reason": "stop",
        }
    ],
}
ANTHROPIC_ANSWER = {
    "id": "msg_3",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "By ferry."}],
    "stop_reason": "end_turn",
}
RESPONSES_ANSWER = {
    "id": "resp_3",
    "object": "response",
    "status": "completed",
    "model": "gpt-x",
    "output": [
        {
            "type": "message",
            "id": "msg_r3",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "By ferry.", "annotations": []}],
        }
    ],
}

SHAPES = {
    "chat completions: every kind of part and call": (
        "openai",
        "CHAT_MODEL",
        {
            "model": "gpt-x",
            "audio": {"voice": "verse", "format": "mp3"},
            "messages": [
                {
                    "role": "developer",
                    "content": [{"type": "text", "text": "Be brief."}],
                    "name": "ops",
                },
                {
                    "role": "user",
                    "name": "ada",
                    "content": [
                        {"type": "text", "text": "How do I cross?"},
                        {
                            "type": "image_url",
                            "image_url": {"url": "https://img.test/quay.png", "detail": "low"},
                        },
                        {"type": "file", "file": {"file_id": "file-81", "filename": "map.pdf"}},
                        {
                            "type": "file",
                            "file": {
                                "filename": "n.txt",
                                "file_data": "data:text/plain;base64,bm9vbg==",
                            },
                        },
                        {
                            "type": "input_audio",
                            "input_audio": {"data": "UklGRkhI", "format": "wav"},
                        },
                        {
                            "type": "video_url",
                            "video_url": {"url": "https://vid.test/a.mp4", "fps": 2},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "refusal": "I will not row.",
                    "reasoning_content": "Rowing is far.",
                    "audio": {"id": "audio_81"},
                    "tool_calls": [
                        {
                            "id": "call_81",
                            "type": "function",
                            "function": {"name": "ferries", "arguments": '{"day": 3}'},
                        },
                        {
                            "id": "call_82",
                            "type": "custom",
                            "custom": {"name": "ask", "input": "when?"},
                        },
                        {
                            "id": "call_83",
                            "type": "later_kind",
                            "later_kind": {"name": "x", "payload": [1, "deep-83"]},
                        },
                    ],
                },
                {
                    "role": "tool",
                    "tool_call_id": "call_81",
                    "content": [{"type": "text", "text": "at nine"}],
                    "is_error": False,
                },
                {"role": "function", "name": "ask", "content": "noon"},
            ],
        },
        {
            **OPENAI_ANSWER,
            "service_tier": "flex",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "By", "logprob": -0.0317}]},
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "audio": {
                            "id": "audio_82",
                            "data": "SUQzBAAA",
                            "transcript": "By ferry.",
                            "expires_at": 1_790_000_111,
                        },
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url_citation": {"url": "https://sea.test", "title": "Sea"},
                            }
                        ],
                    },
                },
                {
                    "index": 1,
                    "finish_reason": "length",
                    "message": {"role": "assistant", "content": "By b"},
                },
            ],
        },
    ),
    "responses: calls of tools, the client's answers, reasoning": (
        "openai",
        "CHAT_MODEL",
        {
            "model": "gpt-x",
            "instructions": "Be brief.",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "Cross?"},
                        {"type": "input_file", "file_id": "file-9"},
                    ],
                },
                {
                    "type": "reasoning",
                    "id": "rs_9",
                    "summary": [{"type": "summary_text", "text": "Ferry or swim."}],
                    "encrypted_content": "ZW5j",
                },
                {
                    "type": "function_call",
                    "id": "fc_9",
                    "call_id": "call_91",
                    "name": "ferries",
                    "arguments": "{}",
                    "status": "completed",
                },
                {
                    "type": "function_call_output",
                    "id": "fco_9",
                    "call_id": "call_91",
                    "output": "at nine",
                },
                {
                    "type": "shell_call",
                    "id": "sh_9",
                    "call_id": "call_92",
                    "action": {"commands": ["tide"]},
                },
                {
                    "type": "shell_call_output",
                    "call_id": "call_92",
                    "output": [{"stdout": "low", "outcome": {"type": "exit", "exit_code": 3}}],
                },
                {
                    "type": "apply_patch_call",
                    "call_id": "call_93",
                    "operation": {"type": "delete_file", "path": "a.txt"},
                },
                {
                    "type": "mcp_approval_request",
                    "id": "mcpr_9",
                    "name": "book",
                    "arguments": "{}",
                    "server_label": "port",
                },
                {
                    "type": "mcp_approval_response",
                    "approval_request_id": "mcpr_9",
                    "approve": False,
                    "reason": "too dear",
                },
                {"type": "item_reference", "id": "msg_old"},
            ],
        },
        {
            **RESPONSES_ANSWER,
            "output": [
                {
                    "type": "web_search_call",
                    "id": "ws_9",
                    "status": "completed",
                    "action": {"type": "search", "query": "ferry"},
                },
                {
                    "type": "mcp_call",
                    "id": "mcp_9",
                    "name": "book",
                    "server_label": "port",
                    "arguments": "{}",
                    "output": "booked",
                },
                {"type": "brand_new_call", "id": "bn_9", "result": {"x": "y-94"}},
                *RESPONSES_ANSWER["output"],
            ],
        },
    ),
    "anthropic: documents, server tools, thinking, a failed tool": (
        "anthropic",
        "CHAT_MODEL",
        {
            "model": "claude-x",
            "system": [
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
            ],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "title": "Tides",
                            "context": "pier 4",
                            "source": {
                                "type": "text",
                                "media_type": "text/plain",
                                "data": "Low at two.",
                            },
                        },
                        {
                            "type": "document",
                            "source": {
                                "type": "content",
                                "content": [{"type": "text", "text": "High at eight."}],
                            },
                        },
                        {
                            "type": "document",
                            "source": {"type": "file", "file_id": "file_61"},
                            "citations": {"enabled": True},
                        },
                        {
                            "type": "document",
                            "source": {"type": "url", "url": "https://doc.test/a.pdf"},
                        },
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": "iVBORw0K",
                            },
                        },
                        {
                            "type": "search_result",
                            "source": "https://s.test",
                            "title": "S",
                            "content": [{"type": "text", "text": "found 62"}],
                        },
                        {"type": "text", "text": "Cross?"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "redacted_thinking", "data": "veil-63"},
                        {
                            "type": "tool_use",
                            "id": "toolu_63",
                            "name": "ferries",
                            "input": {"day": 3},
                            "caller": {"type": "direct"},
                        },
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_63",
                            "is_error": True,
                            "content": [{"type": "text", "text": "closed"}],
                        },
                    ],
                },
            ],
        },
        {
            **ANTHROPIC_ANSWER,
            "container": {"id": "cont_64"},
            "content": [
                {"type": "thinking", "thinking": "Swim?", "signature": "c2ln"},
                {
                    "type": "server_tool_use",
                    "id": "srv_64",
                    "name": "web_fetch",
                    "input": {"url": "https://f.test"},
                },
                {
                    "type": "later_tool_result",
                    "tool_use_id": "srv_64",
                    "content": {"type": "later_result", "body": "b-64"},
                },
                {
                    "type": "text",
                    "text": "By ferry.",
                    "citations": [
                        {"type": "char_location", "cited_text": "Low at two.", "document_index": 0}
                    ],
                },
            ],
        },
    ),
    "gemini: signatures, code, media, grounding": (
        "gemini",
        "LLM",
        {
            "model": "gemini-x",
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "inline_data": {
                                "data": "b'\\x00\\x01quay'",
                                "mime_type": "image/png",
                                "display_name": "quay",
                            }
                        },
                        {"inline_data": {"data": "bm9vbg==", "mime_type": "text/plain"}},
                        {
                            "file_data": {
                                "file_uri": "https://vid.test/b.mp4",
                                "mime_type": "video/mp4",
                            },
                            "video_metadata": {"fps": 7},
                        },
                        {"text": "Cross?"},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "Hm.", "thought": True, "thought_signature": "c2lnLTE="},
                        {"executable_code": {"language": "PYTHON", "code": "print(71)"}},
                        {"code_execution_result": {"outcome": "OUTCOME_OK", "output": "71"}},
                        {"function_call": {"name": "ferries", "args": {"day": 3}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "function_response": {
                                "name": "ferries",
                                "response": {"at": "nine"},
                                "will_continue": True,
                            }
                        }
                    ],
                },
            ],
            "config": {
                "system_instruction": "Be brief.",
                "safety_settings": [{"category": "HARM", "threshold": "OFF"}],
            },
        },
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [{"text": "By ferry.", "thought_signature": "c2lnLTI="}],
                    },
                    "finish_reason": "MALFORMED_FUNCTION_CALL",
                    "finish_message": "half a call",
                    "avg_logprobs": -0.125,
                    "grounding_metadata": {"web_search_queries": ["ferry times"]},
                }
            ],
            "prompt_feedback": {"block_reason": "NONE"},
            "model_version": "gemini-x-002",
            "response_id": "r-7",
        },
    ),
    "converse: documents, citations, veiled thought": (
        "bedrock",
        "CHAT_MODEL",
        {
            "modelId": "maker.model-v1",
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "document": {
                                "format": "md",
                                "name": "Tides",
                                "source": {"text": "# Low at two"},
                                "context": "pier 5",
                            }
                        },
                        {
                            "document": {
                                "format": "csv",
                                "name": "Times",
                                "source": {"bytes": "b'a,b\\n1,2'"},
                            }
                        },
                        {
                            "document": {
                                "format": "pdf",
                                "name": "Plan",
                                "source": {
                                    "s3Location": {"uri": "s3://b/k.pdf", "bucketOwner": "4711"}
                                },
                            }
                        },
                        {"image": {"format": "png", "source": {"bytes": "b'\\x89PNG'"}}},
                        {
                            "guardContent": {
                                "text": {"text": "guarded words", "qualifiers": ["query"]}
                            }
                        },
                        {"text": "Cross?"},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"toolUse": {"toolUseId": "tu_5", "name": "ferries", "input": {"day": 3}}}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "tu_5",
                                "status": "error",
                                "content": [{"text": "closed"}, {"json": {"x": 5}}],
                            }
                        }
                    ],
                },
            ],
            "toolConfig": {
                "toolChoice": {"any": {}},
                "tools": [{"cachePoint": {"type": "default"}}],
            },
        },
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"redactedContent": "b'veil-5'"}},
                        {
                            "reasoningContent": {
                                "reasoningText": {"text": "Swim?", "signature": "c2ln"}
                            }
                        },
                        {
                            "citationsContent": {
                                "content": [{"text": "By ferry."}],
                                "citations": [{"title": "Tides"}],
                            }
                        },
                    ],
                }
            },
            "stopReason": "end_turn",
            "metrics": {"latencyMs": 417},
            "trace": {"guardrail": {"modelOutput": ["mo-5"]}},
        },
    ),
    "langchain: a batch of dumped messages and generations": (
        "langchain",
        "CHAT_MODEL",
        [
            [
                {"type": "system", "content": "Be brief.", "id": "s-1"},
                {
                    "type": "human",
                    "content": [
                        {"type": "text", "text": "Cross?"},
                        {
                            "type": "image",
                            "source_type": "base64",
                            "data": "iVBORw0K",
                            "mime_type": "image/png",
                        },
                    ],
                    "id": "h-1",
                },
                {
                    "type": "ai",
                    "content": "",
                    "tool_calls": [
                        {
                            "name": "ferries",
                            "args": {"day": 3},
                            "id": "call_l1",
                            "type": "tool_call",
                        }
                    ],
                    "invalid_tool_calls": [
                        {
                            "name": "ask",
                            "args": "{broken",
                            "id": "call_l2",
                            "error": "no JSON",
                            "type": "invalid_tool_call",
                        }
                    ],
                },
                {
                    "type": "tool",
                    "content": "at nine",
                    "tool_call_id": "call_l1",
                    "name": "ferries",
                    "artifact": {"sheet": "F-9"},
                    "status": "success",
                },
                {"type": "function", "name": "ask", "content": "noon"},
                {"type": "chat", "role": "harbourmaster", "content": "Wait."},
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "schema", "messages", "AIMessageChunk"],
                    "kwargs": {"content": "Soon.", "id": "run-7"},
                },
            ]
        ],
        {
            "generations": [
                [
                    {
                        "text": "By ferry.",
                        "type": "ChatGeneration",
                        "generation_info": {
                            "finish_reason": "stop",
                            "logprobs": None,
                            "native": "n-8",
                        },
                        "message": {
                            "type": "ai",
                            "content": [
                                {
                                    "type": "tool_use",
                                    "id": "toolu_8",
                                    "name": "ferries",
                                    "input": {"day": 4},
                                },
                                {"type": "text", "text": "By ferry."},
                            ],
                            "tool_calls": [
                                {
                                    "name": "ferries",
                                    "args": {"day": 4},
                                    "id": "toolu_8",
                                    "type": "tool_call",
                                }
                            ],
                            "response_metadata": {
                                "model_name": "m-8",
                                "system_fingerprint": "fp-8",
                            },
                            "usage_metadata": {"input_tokens": 17},
                        },
                    }
                ]
            ],
            "llm_output": {"token_usage": {"completion_tokens": 23}},
            "type": "LLMResult",
        },
    ),
    "langgraph: a state of pairs and messages": (
        None,
        "AGENT",
        {
            "messages": [
                ["human", "Cross?"],
                {"type": "human", "data": {"content": "Now?", "id": "d-2"}},
            ],
            "thread": "t-44",
        },
        {
            "messages": [{"type": "ai", "content": "By ferry.", "id": "a-2"}],
            "__interrupt__": [{"value": "pay?", "id": "int-2"}],
        },
    ),
    "haystack: blocks by key": (
        None,
        "LLM",
        {
            "messages": [
                {
                    "_role": "system",
                    "_content": [{"text": "Be brief."}],
                    "_meta": {"cache": "c-1"},
                    "_name": None,
                },
                {
                    "role": "user",
                    "meta": {},
                    "name": "ada",
                    "content": [
                        {"text": "Cross?"},
                        {
                            "image": {
                                "base64_image": "iVBORw0K",
                                "mime_type": "image/png",
                                "detail": "low",
                                "meta": {"page": "p-2"},
                            }
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"reasoning": {"reasoning_text": "Hm.", "extra": {"sig": "s-3"}}},
                        {
                            "tool_call": {
                                "tool_name": "ferries",
                                "arguments": {"day": 3},
                                "id": "call_h1",
                            }
                        },
                    ],
                },
                {
                    "role": "tool",
                    "content": [
                        {
                            "tool_call_result": {
                                "result": "closed",
                                "error": True,
                                "origin": {
                                    "tool_name": "ferries",
                                    "arguments": {"day": 3},
                                    "id": "call_h1",
                                },
                            }
                        }
                    ],
                },
            ]
        },
        {
            "replies": [
                {
                    "role": "assistant",
                    "content": [{"text": "By ferry."}],
                    "meta": {
                        "finish_reason": "length",
                        "model": "m-h",
                        "usage": {"prompt_tokens": 5},
                    },
                }
            ],
            "branch": "b-1",
        },
    ),
    "strands: blocks without a format": (
        None,
        "CHAT_MODEL",
        [
            {"role": "user", "content": [{"text": "Cross?"}]},
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "tu_s",
                            "status": "success",
                            "content": [{"text": "at nine"}],
                        }
                    }
                ],
            },
        ],
        [
            {"text": "By"},
            {"toolUse": {"toolUseId": "tu_s2", "name": "book", "input": {"seat": "4F"}}},
        ],
    ),
    "agents: a generation of chat messages": (
        "openai-agent",
        "CHAT_MODEL",
        [
            {"role": "user", "content": "Cross?"},
            {"role": "tool", "tool_call_id": "call_g", "content": "at nine"},
        ],
        [
            {
                "role": "assistant",
                "content": "By ferry.",
                "reasoning_content": "Hm.",
                "provider_data": {"model": "m-g"},
            }
        ],
    ),
    "llamaindex: blocks, a tool's picture, further arguments": (
        "llamaindex",
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "system",
                    "blocks": [{"block_type": "text", "text": "Be brief."}],
                    "additional_kwargs": {},
                },
                {
                    "role": "user",
                    "additional_kwargs": {"name": "ada", "tag": "x-1"},
                    "blocks": [
                        {"block_type": "text", "text": "Cross?"},
                        {
                            "block_type": "document",
                            "data": "JVBERi0=",
                            "document_mimetype": "application/pdf",
                            "title": "Plan",
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "blocks": [
                        {
                            "block_type": "thinking",
                            "content": "Hm.",
                            "additional_information": {"sig": "s-9"},
                        },
                        {
                            "block_type": "tool_call",
                            "tool_call_id": "call_i",
                            "tool_name": "camera",
                            "tool_kwargs": {"deck": 2},
                        },
                    ],
                    "additional_kwargs": {},
                },
                {
                    "role": "tool",
                    "additional_kwargs": {"tool_call_id": "call_i", "name": "camera"},
                    "blocks": [
                        {"block_type": "image", "url": "https://img.test/deck.png", "detail": "low"}
                    ],
                },
            ],
            "kwargs": {"temperature": 0.25, "extra_headers": {"x": "h-9"}},
        },
        {
            "message": {
                "role": "assistant",
                "blocks": [{"block_type": "text", "text": "By ferry."}],
                "additional_kwargs": {},
            },
            "raw": {
                "id": "raw-9",
                "model": "m-9",
                "system_fingerprint": "fp-9",
                "choices": [
                    {
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": "By ferry."},
                    }
                ],
            },
            "delta": None,
        },
    ),
    "llamaindex: a stream's text": (
        "llamaindex",
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "role": "user",
                    "blocks": [{"block_type": "text", "text": "Cross?"}],
                    "additional_kwargs": {},
                }
            ],
            "kwargs": {},
        },
        "By ferry.",
    ),
    "autogen: executions": (
        "autogen",
        "CHAT_MODEL",
        {
            "messages": [
                {"type": "SystemMessage", "content": "Be brief."},
                {"type": "UserMessage", "content": ["Cross?"], "source": "ada"},
                {
                    "type": "AssistantMessage",
                    "thought": "Hm.",
                    "content": [{"id": "call_a", "name": "ferries", "arguments": '{"day": 3}'}],
                    "source": "pilot",
                },
                {
                    "type": "FunctionExecutionResultMessage",
                    "content": [
                        {
                            "content": "closed",
                            "name": "ferries",
                            "call_id": "call_a",
                            "is_error": True,
                        }
                    ],
                },
            ],
            "json_output": True,
        },
        {
            "finish_reason": "stop",
            "content": "By ferry.",
            "cached": True,
            "logprobs": [{"token": "By", "logprob": -0.5}],
            "thought": "Sure.",
        },
    ),
    "ag2: answers of several tools": (
        "ag2",
        "LLM",
        {
            "messages": [
                {"role": "user", "content": "Cross?", "name": "ada"},
                {
                    "role": "tool",
                    "content": "at nine\n\nnoon",
                    "tool_responses": [
                        {"role": "tool", "tool_call_id": "call_x1", "content": "at nine"},
                        {
                            "role": "tool",
                            "tool_call_id": "call_x2",
                            "content": "noon",
                            "note": "n-2",
                        },
                    ],
                },
            ],
            "config_list": [{"model": "m-ag"}],
        },
        OPENAI_ANSWER,
    ),
    "pydantic ai: parts, media, a provider's tool": (
        "pydantic_ai",
        "CHAT_MODEL",
        {
            "messages": [
                {
                    "kind": "request",
                    "instructions": "Be brief.",
                    "run_id": "run-1",
                    "parts": [
                        {"part_kind": "system-prompt", "content": "Terse.", "dynamic_ref": "ref-1"},
                        {
                            "part_kind": "user-prompt",
                            "timestamp": "2026-01-02",
                            "content": [
                                "Cross?",
                                {
                                    "kind": "image-url",
                                    "url": "https://img.test/q.png",
                                    "force_download": True,
                                },
                                {
                                    "kind": "binary",
                                    "media_type": "audio/wav",
                                    "data": "UklGRg==",
                                    "identifier": "bin-1",
                                },
                            ],
                        },
                    ],
                },
                {
                    "kind": "response",
                    "model_name": "m-p",
                    "parts": [
                        {
                            "part_kind": "thinking",
                            "content": "Hm.",
                            "signature": "c2ln",
                            "id": "rs_p",
                        },
                        {
                            "part_kind": "builtin-tool-call",
                            "tool_name": "web_search",
                            "args": {"q": "ferry"},
                            "tool_call_id": "bt_1",
                            "provider_name": "maker",
                        },
                        {
                            "part_kind": "tool-call",
                            "tool_name": "ferries",
                            "args": '{"day": 3}',
                            "tool_call_id": "call_p",
                        },
                    ],
                },
                {
                    "kind": "request",
                    "parts": [
                        {
                            "part_kind": "tool-return",
                            "tool_name": "ferries",
                            "content": {"at": "nine"},
                            "tool_call_id": "call_p",
                            "outcome": "failed",
                        },
                        {"part_kind": "retry-prompt", "content": "again", "tool_name": None},
                    ],
                },
            ],
            "model_settings": {"temperature": 0.5, "parallel_tool_calls": False},
        },
        {
            "kind": "response",
            "parts": [
                {"part_kind": "text", "content": "By ferry.", "id": "t-p"},
                {"part_kind": "file", "content": {"kind": "binary", "data": "eHh4"}},
            ],
            "finish_reason": "stop",
            "model_name": "m-p",
            "provider_details": {"native": "nat-p"},
        },
    ),
    "smolagents: roles of calls": (
        "smolagents",
        "LLM",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Cross?"}]},
                {"role": "tool-call", "content": [{"type": "text", "text": "ferries(3)"}]},
                {"role": "tool-response", "content": [{"type": "text", "text": "at nine"}]},
            ],
            "stop_sequences": ["Observation:"],
        },
        {"role": "assistant", "content": "By ferry.", "tool_calls": None, "raw": {"id": "sm-1"}},
    ),
    "a text completion": (
        "openai",
        "LLM",
        {"model": "gpt-i", "prompt": "Cross", "suffix": "sx-1"},
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "model": "gpt-i-2",
            "choices": [
                {
                    "text": " by ferry",
                    "index": 0,
                    "finish_reason": "length",
                    "logprobs": {"tokens": ["by"]},
                }
            ],
        },
    ),
    "a prompt of llama's": (
        None,
        "LLM",
        {"modelId": "m.llama", "prompt": "Cross", "max_gen_len": 9},
        {"generation": " by ferry", "stop_reason": "length", "prompt_token_count": 3},
    ),
    "a prompt of titan's": (
        None,
        "LLM",
        {"inputText": "Cross", "textGenerationConfig": {"maxTokenCount": 9}},
        {
            "inputTextTokenCount": 3,
            "results": [{"tokenCount": 2, "outputText": " by ferry", "completionReason": "FINISH"}],
        },
    ),
    "a turn of cohere's": (
        None,
        "LLM",
        {
            "message": "Cross?",
            "preamble": "Be brief.",
            "chat_history": [
                {"role": "USER", "message": "Hello."},
                {"role": "CHATBOT", "message": "Hi.", "tool_plan": "tp-1"},
            ],
        },
        {
            "response_id": "co-1",
            "text": "By ferry.",
            "finish_reason": "COMPLETE",
            "is_search_required": True,
        },
    ),
    "a prompt of ai21's": (
        None,
        "LLM",
        {"prompt": "Cross"},
        {
            "id": 7,
            "completions": [
                {
                    "data": {"text": " by ferry", "tokens": ["t-1"]},
                    "finishReason": {"reason": "endoftext"},
                }
            ],
        },
    ),
    "ollama: images, a thought, a call": (
        None,
        "CHAT_MODEL",
        {
            "model": "m-o",
            "messages": [
                {"role": "user", "content": "Cross?", "images": ["iVBORw0Kol", "./q.png"]}
            ],
            "options": {"num_ctx": 4097},
        },
        {
            "model": "m-o",
            "message": {
                "role": "assistant",
                "content": "By ferry.",
                "thinking": "Hm-o.",
                "tool_calls": [{"function": {"name": "ferries", "arguments": {"day": 3}}}],
            },
            "done_reason": "stop",
            "eval_count": 22,
            "load_duration": 5544,
        },
    ),
    "cohere: its second chat": (
        None,
        "CHAT_MODEL",
        {"model": "m-c", "messages": [{"role": "user", "content": "Cross?"}], "documents": ["d-1"]},
        {
            "id": "co-2",
            "finish_reason": "COMPLETE",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm-c."},
                    {"type": "text", "text": "x"},
                ],
                "citations": [{"start": 1003, "sources": [{"id": "d-1", "type": "document"}]}],
            },
            "usage": {"billed_units": {"input_tokens": 55}, "tokens": {"input_tokens": 155}},
        },
    ),
    "bedrock: citations and guards": (
        "bedrock",
        "CHAT_MODEL",
        {
            "modelId": "m-b",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"guardContent": {"text": {"text": "Cross-g?", "qualifiers": ["query"]}}},
                        {"cachePoint": {"type": "default", "ttl": "1h"}},
                    ],
                }
            ],
            "toolConfig": {
                "tools": [{"systemTool": {"name": "own-1"}}, {"cachePoint": {"ttl": "5m"}}]
            },
        },
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {
                            "citationsContent": {
                                "content": [{"text": "By "}, {"text": "ferry."}],
                                "citations": [{"title": "Quay", "location": {"page": 4711}}],
                            }
                        }
                    ],
                }
            },
            "stopReason": "end_turn",
        },
    ),
    "dspy: calls beside a text": (
        "dspy",
        "CHAT_MODEL",
        {"prompt": "Cross?", "messages": None, "kwargs": {"rollout_id": 7007}},
        [{"text": "By ferry.", "reasoning_content": "Hm-d.", "logprobs": {"p": -0.77}}],
    ),
    "elasticsearch: hits in hits": (
        None,
        "RETRIEVER",
        {"search_text": "Cross?", "size": 11},
        {
            "took": 5005,
            "hits": {
                "max_score": 1.75,
                "hits": [
                    {"_id": "e-1", "_score": 1.75, "_source": {"text": "noon", "pier": "p-4"}},
                    {"_id": "e-2", "_score": 0.25, "_source": {"text": "nine"}, "sort": [9119]},
                ],
            },
        },
    ),
    "an answer nobody knows": (
        "openai",
        "CHAT_MODEL",
        {"model": "gpt-x", "messages": [{"role": "user", "content": "Cross?"}]},
        {"verdict": {"way": "ferry-1"}},
    ),
    "a question nobody knows": (
        "anthropic",
        "CHAT_MODEL",
        {"ask": {"text": "Cross-1?"}},
        ANTHROPIC_ANSWER,
    ),
}
