"""The bridge: OTLP and MLflow's trace API in, OTLP out.

``span_message``, ``trace_info`` and ``traces_json`` read what clients send. ``joining`` puts the parts of a trace
together. ``leaving`` maps them, ``outlet`` hands them on. ``http`` and ``grpc_server`` listen. ``tee`` stands
before ``mlflow_api`` when there is a tracking server, ``upstream`` asks it, ``owed`` and ``lane`` keep what it is to get.
"""
