"""MLflow's traces, rebuilt from what a trace backend holds.

``span_values`` gives a span back what MLflow wrote on it, ``assessments`` reads the evaluation spans,
``rebuild`` puts a trace together, ``mlflow_adapter`` makes MLflow's entities of it.
"""
