"""OpenInference's attributes, the second vocabulary.

Source: ``openinference-semantic-conventions`` 0.1.42.
"""

from typing import Final

SPAN_KIND: Final = "openinference.span.kind"
INPUT_VALUE: Final = "input.value"
INPUT_MIME_TYPE: Final = "input.mime_type"
OUTPUT_VALUE: Final = "output.value"
OUTPUT_MIME_TYPE: Final = "output.mime_type"
LLM_MODEL_NAME: Final = "llm.model_name"
LLM_PROVIDER: Final = "llm.provider"
LLM_SYSTEM: Final = "llm.system"
LLM_INVOCATION_PARAMETERS: Final = "llm.invocation_parameters"
LLM_INPUT_MESSAGES: Final = "llm.input_messages"
LLM_OUTPUT_MESSAGES: Final = "llm.output_messages"
LLM_TOKENS_PROMPT: Final = "llm.token_count.prompt"
LLM_TOKENS_COMPLETION: Final = "llm.token_count.completion"
LLM_TOKENS_TOTAL: Final = "llm.token_count.total"
LLM_TOKENS_CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"
LLM_TOKENS_CACHE_WRITE: Final = "llm.token_count.prompt_details.cache_write"
LLM_COST_PROMPT: Final = "llm.cost.prompt"
LLM_COST_COMPLETION: Final = "llm.cost.completion"
LLM_COST_TOTAL: Final = "llm.cost.total"
LLM_TOOLS: Final = "llm.tools"
RETRIEVAL_DOCUMENTS: Final = "retrieval.documents"
EMBEDDING_MODEL_NAME: Final = "embedding.model_name"
EMBEDDING_EMBEDDINGS: Final = "embedding.embeddings"
TOOL_NAME: Final = "tool.name"
TOOL_PARAMETERS: Final = "tool.parameters"
METADATA: Final = "metadata"
TAGS: Final = "tag.tags"
EVALUATION_PREFIX: Final = "evaluations.0.evaluation."

MIME_JSON: Final = "application/json"
MIME_TEXT: Final = "text/plain"
