"""What is recorded: one row a library and version, each in an environment of its own.

A row's name is the fixture's name; after an ``@`` it says which of several versions or modes.
"""

from __future__ import annotations

from typing import NamedTuple

MLFLOW = "mlflow==3.17.2"


class Row(NamedTuple):
    """One recording."""

    package: str
    """Its version is in the fixture's name."""
    requirements: tuple[str, ...]
    module: str
    """The file in ``scenarios`` whose ``calls`` are run."""
    shared: bool = False
    """Record with the application's own provider, which MLflow then shares."""
    variables: tuple[tuple[str, str], ...] = ()
    """Environment variables for it alone."""


def row(package, module, *more, version="", shared=False, **variables):
    requirements = (MLFLOW, package + version, *more)
    return Row(package, requirements, module, shared, tuple(variables.items()))


LANGCHAIN = ("langchain-openai", "langchain-anthropic", "langgraph")
HAYSTACK = ("opentelemetry-haystack",)
LLAMA_INDEX = ("llama-index-llms-openai", "llama-index-embeddings-openai")

AGNO = ("openai", "openinference-instrumentation-agno", "opentelemetry-exporter-otlp")

LIBRARIES = {
    "ag2": row("ag2", "ag2", "ag2[openai]", version="<1"),
    "agno": row("agno", "agno", *AGNO),
    "anthropic": row("anthropic", "anthropic"),
    "autogen-agentchat": row("autogen-agentchat", "autogen", "autogen-ext[openai]"),
    "boto3": row("boto3", "boto3"),
    "crewai": row("crewai", "crewai", "crewai[litellm]", version="<1.15.24"),
    "dspy": row("dspy", "dspy"),
    "google-genai": row("google-genai", "google_genai"),
    "groq": row("groq", "groq"),
    "haystack-ai": row("haystack-ai", "haystack", *HAYSTACK),
    "haystack-ai@shared": row("haystack-ai", "haystack", *HAYSTACK, shared=True),
    "instructor": row("instructor", "instructor", "openai", "anthropic"),
    "langchain": row("langchain", "langchain", *LANGCHAIN),
    "langchain@shared": row("langchain", "langchain", *LANGCHAIN, shared=True),
    "litellm": row("litellm", "litellm"),
    "llama-index-core": row("llama-index-core", "llama_index", *LLAMA_INDEX),
    "mistralai": row("mistralai", "mistralai"),
    "openai": row("openai", "openai"),
    "openai@1": row("openai", "openai", version="<2"),
    "openai@2": row("openai", "openai", version="<3"),
    "openai-agents": row("openai-agents", "openai_agents"),
    "openai-responses": row("openai", "openai_responses"),
    "openai-responses@2": row("openai", "openai_responses", version="<3"),
    "pydantic-ai-slim": row("pydantic-ai-slim", "pydantic_ai", "pydantic-ai-slim[openai]"),
    "semantic-kernel": row("semantic-kernel", "semantic_kernel"),
    "semantic-kernel@shared": row("semantic-kernel", "semantic_kernel", shared=True),
    "smolagents": row("smolagents", "smolagents", "smolagents[openai]"),
    "strands-agents": row("strands-agents", "strands", "openai"),
    "strands-agents@newest": row(
        "strands-agents",
        "strands",
        "openai",
        OTEL_SEMCONV_STABILITY_OPT_IN="gen_ai_latest_experimental,gen_ai_tool_definitions",
    ),
    "strands-agents@shared": row("strands-agents", "strands", "openai", shared=True),
}
