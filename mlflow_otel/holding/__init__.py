"""Traces held until nothing more is expected of them: bounds, late items, duplicates, ages.

Knows neither the SDK nor OTLP nor MLflow: an item is anything that has an ID, a size and a trace.
``holder.Holder`` is the way in, ``held_trace`` what is kept of one trace, ``sweeper`` the thread that looks at ages.
"""
