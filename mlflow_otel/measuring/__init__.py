"""GenAI metrics from MLflow's spans, also from those of sampled-out traces.

``instruments`` is the table of the metrics, ``recorder`` records what ``mapping.measures`` finds.
"""
