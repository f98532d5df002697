"""Assessments: from MLflow's calls, or ours, to the trace they judge.

``mlflow_adapter`` hooks MLflow's client; ``ledger`` is the store for apps without a
tracking server; ``assessment_target`` says which trace or span that is, ``process_traces`` what this process knows of it;
``emitter`` sends the evaluation as event, span and metrics; ``assessments`` puts them together.
"""
