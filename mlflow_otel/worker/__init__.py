"""``mlflow-otel score``: scorers in a process of their own, on traces that come over OTLP or lie in a backend.

``arrivals`` reads what comes, ``gathering`` holds a trace until it is quiet, ``subjects`` is a trace or a
session as scorers see it, ``sessions`` keeps the traces of a session until it is idle, ``results`` sends
what scorers say, ``tickets`` tells who sent a trace when it is done with. ``service`` puts them together,
``consuming`` reads Kafka, ``backfill`` reads a backend.
"""
