"""Provider names: MLflow's, LiteLLM's and the SDKs' spellings to the convention's.

Source: the values of ``gen_ai.provider.name`` in semantic-conventions-genai. Unknown names pass.
"""

from __future__ import annotations

from typing import Final

_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "openai": ("openai", "text-completion-openai"),
    "anthropic": ("anthropic",),
    "aws.bedrock": ("bedrock", "aws_bedrock", "amazon_bedrock", "bedrock_converse", "aws"),
    "gcp.gemini": ("gemini", "google", "google_genai", "google_ai", "google_ai_studio"),
    "gcp.vertex_ai": ("vertex_ai", "vertexai", "google_vertexai", "vertex"),
    "azure.ai.openai": ("azure_openai", "azure", "azureopenai"),
    "azure.ai.inference": ("azure_ai", "azure_ai_inference"),
    "mistral_ai": ("mistral", "mistralai"),
    "cohere": ("cohere", "cohere_chat"),
    "groq": ("groq",),
    "deepseek": ("deepseek",),
    "perplexity": ("perplexity",),
    "x_ai": ("xai", "x.ai", "grok"),
    "ibm.watsonx.ai": ("watsonx", "ibm", "watsonx_ai"),
}

_BY_SPELLING: Final = {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings
}


def provider_name(provider: str) -> str:
    """Return the convention's spelling of ``provider``, or ``provider`` when it has none."""
    return _BY_SPELLING.get(provider.strip().lower().replace(" ", "_").replace("-", "_"), provider)
