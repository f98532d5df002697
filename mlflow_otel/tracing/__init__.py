"""The SDK side: the processor that knows traces, the sampler, and the recent traces.

MLflow's private parts are touched in ``mlflow_adapter`` and ``mlflow_provider`` alone, the SDK's in
``otel_adapter``.
"""
