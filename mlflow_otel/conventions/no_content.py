"""Attributes that are known to hold no content: names, IDs, types, models, counts, places.

What leaves with content capture off, by ``mapping.content``. Sources: the attribute registry of
OpenTelemetry's semantic conventions (1.37 and the GenAI ones of summer 2026), OpenInference's
semantic conventions 0.1.42, OpenLLMetry's ``opentelemetry-semantic-conventions-ai``, and the keys
that Haystack 3.4, CrewAI 1.6, Strands 1.62, Semantic Kernel 1.45 and MLflow 3.17 write.

Left out of the registry, because they may quote what was asked or answered: addresses with their
path or query (``url.full``, ``url.path``, ``http.target``), headers, bodies, queries and their
parameters, messages, stack traces, descriptions, titles, command lines, file names, labels.
"""

from __future__ import annotations

from typing import Final

REGISTRY: Final[dict[str, str]] = {
    "app": "build_id crash.id installation.id screen.id screen.name widget.id widget.name",
    "artifact": "attestation.id hash version",
    "aws": "bedrock.guardrail.id bedrock.knowledge_base.id dynamodb.index_name dynamodb.select dynamodb.table_names "
    "ecs.cluster.arn ecs.container.arn ecs.launchtype ecs.task.arn ecs.task.family ecs.task.id ecs.task.revision "
    "eks.cluster.arn extended_request_id kinesis.stream_name lambda.invoked_arn lambda.resource_mapping.id log.group.arns "
    "log.group.names log.stream.arns log.stream.names request_id s3.bucket s3.upload_id sns.topic.arn "
    "step_functions.activity.arn step_functions.state_machine.arn",
    "az": "namespace service_request_id",
    "azure": "client.id cosmosdb.connection.mode cosmosdb.consistency.level cosmosdb.operation.contacted_regions "
    "resource_group.name resource_provider.namespace service.request.id",
    "browser": "brands language platform web_vital.id web_vital.name web_vital.navigation_type web_vital.rating",
    "cassandra": "consistency.level coordinator.dc coordinator.id",
    "cicd": "pipeline.action.name pipeline.name pipeline.result pipeline.run.id pipeline.run.state pipeline.task.name "
    "pipeline.task.run.id pipeline.task.run.result pipeline.task.type system.component worker.id worker.name worker.state",
    "client": "address",
    "cloud": "account.id availability_zone platform provider region resource_id",
    "cloudevents": "event_id event_source event_spec_version event_type",
    "cloudfoundry": "app.id app.instance.id app.name org.id org.name process.id process.type space.id space.name system.id "
    "system.instance.id",
    "code": "file.path filepath function function.name namespace",
    "container": "cpu.state csi.plugin.name csi.volume.id id image.id image.name image.repo_digests image.tags name runtime "
    "runtime.name runtime.version",
    "db": "cassandra.consistency_level cassandra.coordinator.dc cassandra.coordinator.id cassandra.table "
    "client.connection.pool.name client.connection.state collection.name cosmosdb.client_id cosmosdb.connection_mode "
    "cosmosdb.consistency_level cosmosdb.container cosmosdb.operation_type cosmosdb.regions_contacted "
    "elasticsearch.cluster.name elasticsearch.node.name instance.id jdbc.driver_classname mongodb.collection "
    "mssql.instance_name name namespace operation operation.name query.summary response.status_code sql.table "
    "stored_procedure.name system system.name",
    "deployment": "environment environment.name id name status",
    "destination": "address",
    "device": "id manufacturer model.identifier model.name",
    "disk": "io.direction",
    "elasticsearch": "node.name",
    "enduser": "id pseudo.id role scope",
    "event": "name",
    "faas": "cron document.collection document.operation document.time instance invocation_id invoked_name "
    "invoked_provider invoked_region name time trigger version",
    "feature_flag": "context.id key provider.name result.reason result.variant set.id variant version",
    "file": "extension",
    "gcp": "client.service cloud_run.job.execution gce.instance.hostname gce.instance.name",
    "geo": "continent.code country.iso_code region.iso_code",
    "graphql": "operation.name operation.type",
    "heroku": "app.id release.commit release.creation_timestamp",
    "host": "arch cpu.family cpu.model.id cpu.model.name cpu.vendor.id id image.id image.name image.version ip mac name type",
    "http": "client_ip connection.state flavor host method request.method request.method_original route scheme server_name "
    "user_agent",
    "hw": "id name state type vendor",
    "jsonrpc": "protocol.version request.id",
    "k8s": "cluster.name cluster.uid container.name cronjob.name cronjob.uid daemonset.name daemonset.uid deployment.name "
    "deployment.uid job.name job.uid namespace.name namespace.phase node.name node.uid pod.hostname pod.ip pod.name pod.uid "
    "replicaset.name replicaset.uid service.name service.uid statefulset.name statefulset.uid",
    "log": "iostream record.uid",
    "mcp": "method.name protocol.version request.id session.id",
    "message": "type",
    "messaging": "client.id consumer.group.name destination.name destination.partition.id destination.subscription.name "
    "destination.template destination_publish.name eventhubs.consumer.group gcp_pubsub.message.ack_id kafka.cluster.id "
    "kafka.consumer.group message.conversation_id message.id operation operation.name operation.type "
    "rabbitmq.destination.routing_key rocketmq.client_group rocketmq.consumption_model rocketmq.message.type "
    "rocketmq.namespace servicebus.destination.subscription_name servicebus.disposition_status system",
    "net": "host.ip host.name peer.ip peer.name protocol.name protocol.version sock.family sock.host.addr sock.peer.addr "
    "sock.peer.name transport",
    "network": "carrier.icc carrier.mcc carrier.mnc carrier.name connection.state connection.subtype connection.type "
    "interface.name io.direction local.address peer.address protocol.name protocol.version transport type",
    "oci": "manifest.digest",
    "openai": "api.type request.service_tier response.service_tier response.system_fingerprint",
    "opentracing": "ref_type",
    "os": "build_id name type version",
    "otel": "component.name component.type event.name library.name library.version scope.name scope.schema_url "
    "scope.version span.parent.origin span.sampling_result status_code",
    "peer": "service",
    "pool": "name",
    "process": "context_switch.type cpu.state creation.time executable.build_id.gnu executable.build_id.go "
    "executable.build_id.htlhash executable.name executable.path exit.time owner runtime.name runtime.version user.id user.name",
    "rpc": "connect_rpc.error_code jsonrpc.request_id jsonrpc.version message.type method method_original "
    "response.status_code service system system.name",
    "server": "address",
    "service": "instance.id name namespace peer.name peer.namespace version",
    "session": "id previous_id",
    "source": "address",
    "system": "cpu.state device network.state process.status",
    "telemetry": "distro.name distro.version sdk.language sdk.name sdk.version",
    "test": "case.name case.result.status suite.name suite.run.status",
    "thread": "name",
    "tls": "cipher curve next_protocol protocol.name protocol.version",
    "url": "domain extension port registered_domain scheme subdomain template top_level_domain",
    "user": "hash id roles",
    "user_agent": "name original os.name os.version synthetic.type version",
    "vcs": "change.id change.state line_change.type owner.name provider.name ref.base.name ref.base.revision ref.base.type "
    "ref.head.name ref.head.revision ref.head.type ref.type repository.name repository.url.full revision_delta.direction",
    "webengine": "name version",
}
"""By namespace. Numbers and booleans leave under any key, so that few of their keys are here."""

GENAI: Final[dict[str, str]] = {
    "gen_ai": "agent.id agent.name agent.version conversation.id data_source.id evaluation.name event.end_time "
    "event.start_time openai.api_base openai.api_type openai.api_version openai.request.response_format "
    "openai.request.service_tier openai.response.service_tier openai.response.system_fingerprint openai.system_fingerprint "
    "operation.name output.type prompt.id prompt.name prompt.version provider.name request.encoding_formats request.model "
    "request.previous_response.id request.reasoning.level request.reasoning_effort request.service_tier response.finish_reason response.finish_reasons response.id response.model "
    "response.reasoning_effort response.stop_reason system task.id task.kind task.name task.parent.id task.status token.modality token.type "
    "tool.call.id tool.name tool.status tool.type usage.token_type workflow.name completion.N.finish_reason completion.N.role "
    "completion.N.tool_calls.N.id completion.N.tool_calls.N.name prompt.N.role",
    "haystack": "agent.hook.compaction.strategy agent.hook.human_in_the_loop.strategy.decision "
    "agent.hook.human_in_the_loop.strategy.type agent.hook.name agent.hook.point agent.hook.type "
    "component.fully_qualified_type component.input_types component.name component.type pipeline.execution_mode pipeline.name "
    "tool.call.id tool.name",
    "crewai": "agent.id agent.name crew.id crew.name crew.process task.id task.name version",
    "event_loop": "cycle_id parent_cycle_id",
    "strands": "cancellation.type",
    "sk": "available_functions",
    "traceloop": "correlation.id entity.name entity.path entity.version prompt.key prompt.version prompt.version_hash "
    "prompt.version_name span.kind workflow.name association.properties.chat_id association.properties.ls_model_name "
    "association.properties.ls_model_type association.properties.ls_provider association.properties.session_id "
    "association.properties.thread_id association.properties.user_id",
    "openinference": "span.kind",
    "agent": "name",
    "tool": "id name status",
    "tag": "tags",
    "llm": "finish_reason model_name prompt_template.version provider request.model request.model_name request.type "
    "response.finish_reason response.model response.model_name response.stop_reason system usage.token_type vendor",
    "embedding": "model_name",
    "reranker": "model_name input_documents.N.document.id output_documents.N.document.id",
    "retrieval": "documents.N.document.id",
    "prompt": "id vendor",
    "graph": "node.id node.name node.parent_id",
    "evaluations": "N.evaluation.annotator_kind N.evaluation.identifier N.evaluation.name",
    "langgraph": "command.goto_node command.goto_nodes command.source_node",
}
"""What GenAI libraries and instrumentations write; ``N`` stands for any number."""

MLFLOW: Final[dict[str, str]] = {
    "mlflow": "assessment.id assessment.operation assessment.overrides assessment.source.id assessment.source.type "
    "assessment.metadata.scorer_digest assessment.metadata.scorer_name assessment.metadata.scorer_version "
    "assessment.span_id assessment.type experiment.id experiment.name experimentId gateway.endpointId gateway.linkedTraceId gateway.requestType "
    "llm.model llm.provider message.format model.id run.id span.name spanFunctionName spanLogLevel spanType "
    "trace.client_request_id trace.id trace.name trace.removed_tags trace.sessions trace.state traceRequestId",
}
"""MLflow's and ours."""

WORDS: Final = frozenset(
    {
        "agent_name",
        "call_type",
        "crew_id",
        "crew_key",
        "id",
        "litellm_call_id",
        "model",
        "model_id",
        "model_name",
        "model_type",
        "name",
        "object",
        "process",
        "provider",
        "service_tier",
        "status",
        "task_id",
        "task_key",
        "tool_call_id",
        "error.type",
        "exception.type",
        "gen_ai.request.encoding_formats",
        "gen_ai.request.previous_response.id",
        "gen_ai.request.reasoning.level",
        "gen_ai.request.reasoning_effort",
        "gen_ai.response.id",
        "gen_ai.tool.call.id",
        "tool.id",
    }
)
"""Keys without a namespace, which are anyone's, types of errors, and what is read out of inputs and outputs:
text leaves where it is one word."""

PREFIXES: Final = ("mlflow.traceTag.",)
"""What begins so is a trace's tag, which is there to be searched for."""

ERRORS: Final = frozenset(
    {
        "exception.message",
        "exception.stacktrace",
        "error.message",
        "mlflow.assessment.error.message",
        "mlflow.assessment.error.stack_trace",
        "otel.status_description",
    }
)
"""What was said of an error. It often quotes the prompt."""

CONTENT: Final = frozenset(
    {
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.chat.tools",
        "mlflow.trace.intermediate_outputs",
        "mlflow.trace.request_preview",
        "mlflow.trace.response_preview",
        "mlflow.assessment.value",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.retrieval.query.text",
        "gen_ai.evaluation.explanation",
        "gen_ai.prompt",
        "gen_ai.completion",
        "input.value",
        "output.value",
        "tool.parameters",
        "prompt",
        "prompts",
        "completion",
    }
)
"""Content whatever its type: an answer may be a number."""

CONTENT_PREFIXES: Final = (
    "embedding.embeddings.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.tools.",
    "mlflow.assessment.metadata.",
)

CONTENT_ENDS: Final = frozenset(
    {
        "answer",
        "arguments",
        "content",
        "input",
        "input_data",
        "inputs",
        "message",
        "messages",
        "output",
        "output_data",
        "outputs",
        "query",
        "question",
        "response",
        "result",
        "text",
    }
)
"""Last parts of keys that say what was given or answered."""
