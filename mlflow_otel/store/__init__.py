"""The way back: MLflow's trace API on a trace backend (docs/store.md).

``rebuild`` puts a trace together of a backend's spans; ``span_values`` gives a span back what MLflow
wrote on it, ``assessments`` reads the evaluation spans. ``traces`` is the whole in plain values:
``scan`` reads a backend in order of time, ``search`` filters, orders and pages, ``experiments`` finds the
experiments, ``metrics`` counts for charts, ``changes`` and ``sending`` add to traces. ``trace_methods``
says it in MLflow's words: ``tracking_store`` is MLflow's tracking store, which ``opening`` opens by its URI.
"""
