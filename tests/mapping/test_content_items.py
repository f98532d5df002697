"""The content items of frameworks: each kind is its part, with all that stands beside it."""

from __future__ import annotations

import pytest

from mlflow_otel.mapping.messages import convert

PDF = {"media_type": "application/pdf"}


def media(kind, modality, **fields):
    return {"type": kind, "modality": modality, **fields}


PYDANTIC_AI = {
    "a picture's link": (
        {"kind": "image-url", "url": "https://x.test/a.png"},
        media("uri", "image", uri="https://x.test/a.png"),
    ),
    "a sound's link with its type": (
        {"kind": "audio-url", "url": "https://x.test/a", "media_type": "audio/mpeg"},
        media("uri", "audio", uri="https://x.test/a", mime_type="audio/mpeg"),
    ),
    "a film's link": (
        {"kind": "video-url", "url": "https://x.test/a", "media_type": None},
        media("uri", "video", uri="https://x.test/a"),
    ),
    "a document's link": (
        {"kind": "document-url", "url": "https://x.test/a", **PDF},
        media("uri", "document", uri="https://x.test/a", mime_type="application/pdf"),
    ),
    "a link that is none": (
        {"kind": "image-url", "url": 7},
        {"type": "image-url", "kind": "image-url", "url": 7},
    ),
    "bytes": (
        {"kind": "binary", "data": "iVBORw==", "media_type": "image/png"},
        media("blob", "image", content="iVBORw==", mime_type="image/png"),
    ),
    "bytes of a document": (
        {"kind": "binary", "data": "JVBERg==", **PDF},
        media("blob", "document", content="JVBERg==", mime_type="application/pdf"),
    ),
    "bytes of nobody knows what": (
        {"kind": "binary", "data": "JVBERg=="},
        media("blob", "document", content="JVBERg=="),
    ),
    "bytes that are none": (
        {"kind": "binary", "data": [1]},
        {"type": "binary", "kind": "binary", "data": [1]},
    ),
    "a text": (
        {"kind": "text-content", "content": "Cross?"},
        {"type": "text", "content": "Cross?"},
    ),
    "a text that is none": (
        {"kind": "text-content", "content": {"a": 1}},
        {"type": "text-content", "kind": "text-content", "content": {"a": 1}},
    ),
    "a file": (
        {"kind": "uploaded-file", "file_id": "f-1", "media_type": "image/png"},
        {**media("file", "image", file_id="f-1"), "media_type": "image/png"},
    ),
    "a file of nobody knows what": (
        {"kind": "uploaded-file", "file_id": "f-1", "media_type": 7},
        {**media("file", "document", file_id="f-1"), "media_type": 7},
    ),
    "a file without a name": (
        {"kind": "uploaded-file", "file_id": None},
        {"type": "uploaded-file", "kind": "uploaded-file"},
    ),
    "a kind of next year": ({"kind": "next-year"}, {"type": "next-year", "kind": "next-year"}),
    "a kind beside a type": (
        {"kind": "next-year", "type": "text", "text": "Cross?"},
        {"type": "text", "content": "Cross?", "kind": "next-year"},
    ),
    "a type": ({"type": "text", "text": "Cross?"}, {"type": "text", "content": "Cross?"}),
}
FURTHER = {"zq": "further"}


@pytest.mark.parametrize("name", PYDANTIC_AI)
@pytest.mark.parametrize("beside", [{}, FURTHER])
def test_each_kind_of_pydantic_ais_content_is_its_part(name, beside):
    item, part = PYDANTIC_AI[name]
    asked = {"part_kind": "user-prompt", "content": [{**item, **beside}, "and"]}
    found = convert("pydantic_ai", {"messages": [{"kind": "request", "parts": [asked]}]}, None)
    last = {"type": "text", "content": "and"}
    assert found.inputs == [{"role": "user", "parts": [{**part, **beside}, last]}]
    assert found.failures == ()


@pytest.mark.parametrize(
    ("content", "text"), [("Cross?", "Cross?"), (None, ""), (7, "7"), ([None], ""), ([[1]], "[1]")]
)
def test_a_prompt_of_pydantic_ais_that_is_a_value_is_text(content, text):
    asked = {"part_kind": "user-prompt", "content": content, "timestamp": "t"}
    found = convert("pydantic_ai", {"messages": [{"kind": "request", "parts": [asked]}]}, None)
    said = {"type": "text", "content": text, "timestamp": "t"}
    assert found.inputs == [{"role": "user", "parts": [said]}]


PARTS = {
    # part_kind: fields, in a request and in a response, and whose it is there
    "text": ({"content": "x"}, {"type": "text", "content": "x"}),
    "thinking": ({"content": "x"}, {"type": "reasoning", "content": "x"}),
    "tool-call": (
        {"tool_name": "f", "args": '{"a": 1}', "tool_call_id": "c"},
        {"type": "tool_call", "name": "f", "arguments": {"a": 1}, "id": "c"},
    ),
    "builtin-tool-call": (
        {"tool_name": "f", "args": 1, "tool_call_id": "c"},
        {
            "type": "server_tool_call",
            "name": "f",
            "id": "c",
            "server_tool_call": {"type": "builtin-tool-call", "tool_name": "f", "args": 1},
        },
    ),
    "builtin-tool-return": (
        {"tool_name": "f", "content": 1, "tool_call_id": "c"},
        {
            "type": "server_tool_call_response",
            "id": "c",
            "server_tool_call_response": {
                "type": "builtin-tool-return",
                "tool_name": "f",
                "content": 1,
            },
        },
    ),
    "tool-return": (
        {"tool_name": "f", "content": "x", "tool_call_id": "c"},
        {"type": "tool_call_response", "response": "x", "id": "c", "name": "f"},
    ),
    "retry-prompt": (
        {"content": "x", "tool_call_id": "c"},
        {"type": "tool_call_response", "response": "x", "id": "c"},
    ),
    "file": (
        {"content": {"kind": "binary", "data": "iVBORw==", "media_type": "image/png"}},
        media("blob", "image", content="iVBORw==", mime_type="image/png"),
    ),
    "next-year": (
        {"content": "x", "tool_call_id": "c"},
        {"type": "next-year", "content": "x", "tool_call_id": "c"},
    ),
}
TOOLS_OWN = {"tool-return"}


@pytest.mark.parametrize("kind", PARTS)
def test_each_part_of_pydantic_ais_is_what_its_kind_says_and_of_whom_its_message_is(kind):
    fields, part = PARTS[kind]
    one = {"part_kind": kind, **fields}
    for message_kind, side in (("request", "user"), ("response", "assistant")):
        found = convert("pydantic_ai", {"messages": [{"kind": message_kind, "parts": [one]}]}, None)
        role = "tool" if kind in TOOLS_OWN else side
        assert found.inputs == [{"role": role, "parts": [part]}]
    answered = convert("pydantic_ai", None, {"kind": "response", "parts": [one], **FURTHER})
    assert answered.outputs == [{"role": "assistant", "parts": [part]}]
    assert answered.rest_outputs == FURTHER


AUTOGEN = {
    "a picture": ({"data": "iVBORw=="}, media("blob", "image", content="iVBORw==")),
    "a picture of bytes": ({"data": "b'PNG'"}, media("blob", "image", content="UE5H")),
    "what a tool answered": (
        {"call_id": "c", "content": '{"a": 1}', "is_error": False},
        {"type": "tool_call_response", "response": {"a": 1}, "id": "c", "is_error": False},
    ),
    "a call": (
        {"id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "tool_call", "name": "f", "arguments": {"a": 1}, "id": "c"},
    ),
    "a text": ("Cross?", {"type": "text", "content": "Cross?"}),
    "data beside something else": ({"data": "x", "y": 1}, {"type": "unknown", "data": "x", "y": 1}),
    "data that are no text": ({"data": {"y": 1}}, {"type": "data", "data": {"y": 1}}),
}


@pytest.mark.parametrize("name", AUTOGEN)
def test_each_item_of_autogens_is_its_part(name):
    item, part = AUTOGEN[name]
    said = {"type": "UserMessage", "source": "ann", "content": [item]}
    found = convert("autogen", {"messages": [said]}, {"content": [item], "finish_reason": "stop"})
    assert found.inputs == [{"role": "user", "parts": [part], "name": "ann"}]
    (answer,) = found.outputs
    assert (answer["role"], answer["parts"]) == ("assistant", [part])
    assert found.finish_reasons == ["stop"]


LLAMAINDEX = {
    "text": ({"text": "x"}, {"type": "text", "content": "x"}),
    "thinking": ({"content": "x"}, {"type": "reasoning", "content": "x"}),
    "tool_call": (
        {"tool_name": "f", "tool_kwargs": {"a": 1}, "tool_call_id": "c"},
        {"type": "tool_call", "name": "f", "arguments": {"a": 1}, "id": "c"},
    ),
    "image": (
        {"image": "iVBORw==", "image_mimetype": "image/png"},
        media("blob", "image", content="iVBORw==", mime_type="image/png"),
    ),
    "audio": (
        {"audio": "UklGRg==", "format": "wav"},
        media("blob", "audio", content="UklGRg==", mime_type="audio/wav"),
    ),
    "video": ({"url": "https://x.test/a"}, media("uri", "video", uri="https://x.test/a")),
    "document": (
        {"data": "JVBERg==", "document_mimetype": "application/pdf"},
        media("blob", "document", content="JVBERg==", mime_type="application/pdf"),
    ),
    "next-year": ({"content": "x"}, {"type": "next-year", "content": "x"}),
}


@pytest.mark.parametrize("kind", LLAMAINDEX)
@pytest.mark.parametrize("beside", [{}, FURTHER])
def test_each_block_of_llamaindexs_is_its_part(kind, beside):
    fields, part = LLAMAINDEX[kind]
    said = {"role": "user", "blocks": [{"block_type": kind, **fields, **beside}]}
    found = convert("llamaindex", {"messages": [said]}, None)
    assert found.inputs == [{"role": "user", "parts": [{**part, **beside}]}]


BLOCKS = ("image", "video", "audio", "document", "file")


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    ("source", "made"),
    [
        ({"bytes": "iVBORw=="}, {"type": "blob", "content": "iVBORw=="}),
        ({"s3Location": {"uri": "s3://b/k"}}, {"type": "uri", "uri": "s3://b/k"}),
        ({"url": "https://x.test/a"}, {"type": "uri", "uri": "https://x.test/a"}),
    ],
)
def test_each_block_that_is_media_is_of_its_kind_with_its_type(kind, source, made):
    modality = "document" if kind == "file" else kind
    mime = "application/x9" if modality == "document" else f"{modality}/x9"
    block = {kind: {"format": "x9", "source": source, "name": "n"}}
    (said,) = convert("bedrock", {"messages": [{"role": "user", "content": [block]}]}, None).inputs
    assert said["parts"] == [{**made, "modality": modality, "mime_type": mime, "name": "n"}]
    del block[kind]["format"]
    (said,) = convert("bedrock", {"messages": [{"role": "user", "content": [block]}]}, None).inputs
    assert said["parts"] == [{**made, "modality": modality, "name": "n"}]


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("held", [{"zq": 1}, {"source": {"zq": 1}}, {"source": "x"}])
def test_a_block_whose_source_nobody_knows_keeps_all_that_it_says(kind, held):
    block = {kind: held}
    (said,) = convert("bedrock", {"messages": [{"role": "user", "content": [block]}]}, None).inputs
    ((part,),) = (said["parts"],)
    assert part[("document" if kind == "file" else kind)] == held


def url(kind):
    return f"data:{kind};base64,iVBORw=="


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize(
    ("fields", "made"),
    [
        (
            {"file_data": url("image/png")},
            media("blob", "image", content="iVBORw==", mime_type="image/png"),
        ),
        (
            {"file_data": url("audio/wav")},
            media("blob", "audio", content="iVBORw==", mime_type="audio/wav"),
        ),
        (
            {"file_data": url("application/pdf")},
            media("blob", "document", content="iVBORw==", mime_type="application/pdf"),
        ),
        (
            {"file_data": "iVBORw==", "mime_type": "image/png"},
            media("blob", "image", content="iVBORw==", mime_type="image/png"),
        ),
        ({"file_url": "https://x.test/a"}, media("uri", "document", uri="https://x.test/a")),
        ({"file_id": "f-1"}, media("file", "document", file_id="f-1")),
        (
            {"file_id": "f-1", "mime_type": "image/png"},
            media("file", "image", file_id="f-1", mime_type="image/png"),
        ),
    ],
)
def test_a_file_is_of_the_kind_that_its_data_or_its_type_say(fields, made, inner):
    item = {"type": "file", "file": {**fields, "filename": "n"}} if inner else {**fields}
    item = item if inner else {"type": "input_file", **item, "filename": "n"}
    said = {"role": "user", "content": [item]}
    (message,) = convert("openai", {"messages": [said]}, None).inputs
    assert message["parts"] == [{**made, "filename": "n"}]


TEXTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize(
    ("content", "made"),
    [
        ("Low at two.", "Low at two."),
        (TEXTS, "a\nb"),
        ([*TEXTS, {"type": "image", "source": {"type": "url", "url": "u"}}], None),
        ([], None),
        ("", None),
    ],
)
def test_a_document_of_nothing_but_text_is_text_and_any_other_stays_whole(content, made):
    item = {"type": "document", "source": {"type": "content", "content": content}, "title": "t"}
    (said,) = convert("anthropic", {"messages": [{"role": "user", "content": [item]}]}, None).inputs
    if made is None:
        assert said["parts"] == [item]
    else:
        text = {"type": "text", "content": made, "modality": "document", "title": "t"}
        assert said["parts"] == [text]


@pytest.mark.parametrize("kind", ["image", "audio", "video", "document", "file", "media"])
@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({"source": {"type": "base64", "data": "iVBORw=="}}, {"content": "iVBORw=="}),
        ({"source_type": "base64", "data": "iVBORw=="}, {"content": "iVBORw=="}),
        ({"base64": "iVBORw=="}, {"content": "iVBORw=="}),
        ({"source": {"type": "url", "url": "https://x.test/a"}}, {"uri": "https://x.test/a"}),
        ({"source_type": "url", "url": "https://x.test/a"}, {"uri": "https://x.test/a"}),
        ({"source": {"type": "file", "file_id": "f-1"}}, {"file_id": "f-1"}),
        ({"file_id": "f-1"}, {"file_id": "f-1"}),
    ],
)
@pytest.mark.parametrize("mime", [None, "video/mp4"])
def test_media_are_of_their_kind_wherever_they_name_their_source(kind, fields, made, mime):
    """What may be of any kind is of that which its type says."""
    item = {"type": kind, **fields, "zq": 1} | ({"mime_type": mime} if mime else {})
    (said,) = convert("anthropic", {"messages": [{"role": "user", "content": [item]}]}, None).inputs
    modality = "document" if kind in {"file", "media"} else kind
    if mime and kind in {"file", "media"}:
        modality = "video"
    type_ = {"content": "blob", "uri": "uri", "file_id": "file"}[next(iter(made))]
    typed = {"mime_type": mime} if mime else {}
    assert said["parts"] == [{"type": type_, "modality": modality, **made, **typed, "zq": 1}]
