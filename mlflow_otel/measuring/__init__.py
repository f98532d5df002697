"""GenAI metrics from the spans that MLflow makes, those of sampled-out traces among them.

``instruments`` is the table of the metrics, ``recorder`` records what ``mapping.measures`` finds.
"""
