"""Which leaves of a payload are not found in what leaves in its place."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import math

from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.messages import autogen, chat, items, parts

PREVIEWS = {keys.TRACE_REQUEST_PREVIEW, keys.TRACE_RESPONSE_PREVIEW}
WORD_KEYS = {
    "type",
    "role",
    "_role",
    "kind",
    "part_kind",
    "block_type",
    "object",
    "status",
    "source_type",
    "reason",
    "finish_reason",
    "finishReason",
    "completionReason",
    "stop_reason",
    "stopReason",
    "done_reason",
    "format",
    "block_reason",
    "content_type",
}
WORDS = {
    *items.TYPES,
    *chat.ROLES,
    *chat.MESSAGE_TYPES,
    *autogen.ROLES,
    *parts.FINISH_REASONS,
    "chat.completion",
    "chat.completion.chunk",
    "text_completion",
    "response",
    "LLMResult",
    "ChatGeneration",
    "Generation",
    "incomplete",
    "custom",
    "base64",
    "url",
    "id",
    "content",
    "HumanMessage",
    "AIMessageChunk",
    "txt",
    "invalid_tool_call",
    "system-prompt",
    "user-prompt",
    "tool-call",
    "tool-return",
    "retry-prompt",
    "builtin-tool-call",
    "image-url",
    "uploaded-file",
    "text-content",
    "audio-url",
    "video-url",
    "document-url",
    "binary",
    "request",
    "message",
    "function_result",
    "tool-result",
}
"""Words for a kind, a role, an end, that the convention has its own words for."""


def leaves(value, key=None):
    """Yield (key, leaf) of a structure; JSON in a text is a structure."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, key)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        try:
            yield from leaves(json.loads(value), key)
        except (ValueError, RecursionError):
            yield key, value
    elif value is not None and value != "":
        yield key, value


def forms(leaf):
    """Yield the forms in which a text may leave."""
    yield leaf
    if leaf[:2] in ("b'", 'b"'):
        data = ast.literal_eval(leaf)
        yield base64.b64encode(data).decode()
        yield data.decode("utf-8", "replace")
    if leaf.startswith("data:"):
        yield from forms(leaf.partition(",")[2])
    if "\n\n" in leaf:
        yield leaf.partition("\n\n")[0]  # AG2 repeats a message's answers
    try:
        yield base64.b64decode(leaf, validate=True).decode()
    except (binascii.Error, ValueError):
        pass


class Sent:
    """What leaves."""

    def __init__(self, attributes):
        self.texts, self.numbers = [], set()
        for key, value in attributes.items():
            if key in PREVIEWS:
                continue
            for _, leaf in leaves(list(value) if isinstance(value, tuple) else value):
                if isinstance(leaf, str):
                    self.texts.append(leaf)
                elif not isinstance(leaf, bool):
                    self.numbers.add(leaf)
        self.joined = "\x00".join(self.texts)

    def has(self, key, leaf):
        if isinstance(leaf, bool):
            return True  # two values say nothing of which field they are
        if key == "index" and leaf in range(10):
            return True  # its place says so
        if isinstance(leaf, (int, float)):
            return not math.isfinite(leaf) or leaf in self.numbers or str(leaf) in self.joined
        if key in WORD_KEYS and (leaf.lower() in LOWER or leaf.endswith(PATTERNS)):
            return True
        if key == "messages" and leaf in chat.ROLES:
            return True  # a pair of role and content
        if key == "type" and leaf.upper() in self.texts:
            return True  # Gemini's schemas; MLflow writes them in small letters besides
        if any(form and form in self.joined for form in forms(leaf)):
            return True
        try:
            return float(leaf) in self.numbers
        except ValueError:
            return False


PATTERNS = ("_url", "_call", "_call_output", "_output", "_tool_use", "_tool_result")
LOWER = {word.lower() for word in WORDS}


def lost(given, attributes):
    """Return the leaves of what was given that are not in what leaves."""
    sent = Sent(attributes)
    return [(key, leaf) for key, leaf in leaves(given) if not sent.has(key, leaf)]
