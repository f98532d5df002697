"""MLflow's own keys, and the ``mlflow.*`` attributes that leave over OTLP.

Source: ``mlflow/tracing/constant.py`` of MLflow 3.13 to 3.17. Copied as data, because importing
MLflow is the adapters' business alone and a bridge has none installed.
"""

from typing import Final

# On spans, as MLflow writes them (JSON strings) and as they leave (decoded).
TRACE_REQUEST_ID: Final = "mlflow.traceRequestId"
EXPERIMENT_ID_ATTRIBUTE: Final = "mlflow.experimentId"
SPAN_INPUTS: Final = "mlflow.spanInputs"
SPAN_OUTPUTS: Final = "mlflow.spanOutputs"
SPAN_TYPE: Final = "mlflow.spanType"
SPAN_LOG_LEVEL: Final = "mlflow.spanLogLevel"
SPAN_FUNCTION_NAME: Final = "mlflow.spanFunctionName"
SPAN_START_TIME_NS: Final = "mlflow.spanStartTimeNs"
CHAT_TOOLS: Final = "mlflow.chat.tools"
CHAT_TOKEN_USAGE: Final = "mlflow.chat.tokenUsage"
LLM_COST: Final = "mlflow.llm.cost"
LLM_MODEL: Final = "mlflow.llm.model"
LLM_PROVIDER: Final = "mlflow.llm.provider"
MESSAGE_FORMAT: Final = "mlflow.message.format"
LINKED_PROMPTS: Final = "mlflow.linkedPrompts"
INTERMEDIATE_OUTPUTS: Final = "mlflow.trace.intermediate_outputs"

# In trace tags and trace metadata.
TAG_TRACE_NAME: Final = "mlflow.traceName"
METADATA_SESSION: Final = "mlflow.trace.session"
METADATA_USER: Final = "mlflow.trace.user"
METADATA_TOKEN_USAGE: Final = "mlflow.trace.tokenUsage"
METADATA_COST: Final = "mlflow.trace.cost"
METADATA_SOURCE_RUN: Final = "mlflow.sourceRun"
METADATA_MODEL_ID: Final = "mlflow.modelId"
METADATA_GIT_COMMIT: Final = "mlflow.source.git.commit"
METADATA_GIT_BRANCH: Final = "mlflow.source.git.branch"
METADATA_GIT_REPOSITORY: Final = "mlflow.source.git.repoURL"

# Ours alone: how trace-level values leave.
SPAN_NAME: Final = "mlflow.span.name"
TRACE_ID: Final = "mlflow.trace.id"
TRACE_NAME: Final = "mlflow.trace.name"
TRACE_STATE: Final = "mlflow.trace.state"
TRACE_CLIENT_REQUEST_ID: Final = "mlflow.trace.client_request_id"
TRACE_REQUEST_PREVIEW: Final = "mlflow.trace.request_preview"
TRACE_RESPONSE_PREVIEW: Final = "mlflow.trace.response_preview"
TRACE_TOKEN_USAGE_PREFIX: Final = "mlflow.trace.token_usage."
TRACE_COST_PREFIX: Final = "mlflow.trace.cost."
TRACE_METADATA_PREFIX: Final = "mlflow.trace.metadata."
TRACE_TAG_PREFIX: Final = "mlflow.traceTag."
EXPERIMENT_ID: Final = "mlflow.experiment.id"
EXPERIMENT_NAME: Final = "mlflow.experiment.name"
RUN_ID: Final = "mlflow.run.id"
MODEL_ID: Final = "mlflow.model.id"
LLM_COST_PREFIX: Final = "mlflow.llm.cost."

RESERVED_PREFIX: Final = "mlflow."
CHUNK_EVENT_PREFIX: Final = "mlflow.chunk.item."
