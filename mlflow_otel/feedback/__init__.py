"""Assessments: from MLflow's calls, or ours, to the trace they judge.

``mlflow_adapter`` stands where MLflow logs an assessment; ``ledger`` is the store for apps without a
tracking server; ``judged`` finds the trace in this process, ``lookup`` elsewhere; ``emitter`` sends the
evaluation as event, span and metrics; ``api`` is the public face.
"""
