"""A stub of the providers' HTTP APIs on a loopback port: scripted answers, no model, no network.

It answers by path and by what the request holds, see ``common``. The answers have the shapes of
the providers' API references.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stub import anthropic, bedrock, gemini, openai_chat, openai_responses

JSON = "application/json"
EVENTS = "text/event-stream"
AWS_EVENTS = "application/vnd.amazon.eventstream"
FAILED = {
    "message": "The stub was told to fail.",
    "type": "invalid_request_error",
    "code": 400,
}


def one(value):
    return JSON, json.dumps(value).encode()


def many(events, *, done=False):
    """Return server-sent events, each named by its type when it has one."""
    text = ""
    for event in events:
        kind = event.get("type")
        text += (f"event: {kind}\n" if kind else "") + f"data: {json.dumps(event)}\n\n"
    return EVENTS, (text + ("data: [DONE]\n\n" if done else "")).encode()


def answer(path, query, body):
    """Return (content type, bytes) for a request, None for a path that is not known."""
    stream = bool(body.get("stream"))
    if path.endswith("/chat/completions"):
        if stream:
            return many(openai_chat.chat_stream(body), done=True)
        return one(openai_chat.chat(body, azure="api-version" in query))
    if path.endswith("/completions"):
        return one(openai_chat.completion(body))
    if path.endswith("/responses"):
        return (
            many(openai_responses.stream(body)) if stream else one(openai_responses.response(body))
        )
    if path.endswith("/embeddings"):
        return one(openai_chat.embeddings(body))
    if path.endswith("/images/generations"):
        return one(openai_chat.images(body))
    if path.endswith("/messages"):
        return many(anthropic.stream(body)) if stream else one(anthropic.message(body))
    if path.endswith(":generateContent"):
        return one(gemini.answer(body))
    if path.endswith(":streamGenerateContent"):
        return many(gemini.stream(body))
    if path.endswith((":embedContent", ":batchEmbedContents")):
        return one(gemini.embed(body))
    if path.endswith(":countTokens"):
        return one(gemini.count(body))
    if path.endswith("/converse"):
        return one(bedrock.converse(body))
    if path.endswith("/converse-stream"):
        return AWS_EVENTS, bedrock.frames(bedrock.converse_stream(body))
    model = urllib.parse.unquote(path.split("/")[2]) if path.startswith("/model/") else ""
    if path.endswith("/invoke"):
        return one(bedrock.invoke(model, body))
    if path.endswith("/invoke-with-response-stream"):
        return AWS_EVENTS, bedrock.frames(bedrock.invoke_stream(model, body))
    return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path, _, query = self.path.partition("?")
        if "please fail" in json.dumps(body):
            return self.send(400, *one({"error": FAILED, "message": FAILED["message"]}))
        found = answer(path, query, body)
        if found is None:
            return self.send(404, *one({"error": {"message": f"The stub knows no {path}."}}))
        return self.send(200, *found)

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start():
    """Start the stub on a free loopback port; return its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
