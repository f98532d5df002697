"""Assessments: from MLflow's calls, or ours, to the trace they judge.

``mlflow_client`` hooks MLflow's client; ``mlflow_adapter`` reads and makes MLflow's assessments;
``ledger`` is the store for apps without a tracking server; ``assessment_target`` says which trace or
span is judged, ``process_traces`` what this process knows of it; ``emitter`` sends the evaluation as
event, span and metrics; ``assessments`` puts them together. ``trace_updates`` sends tags that are
changed after their trace was sent.
"""
