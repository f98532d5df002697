"""Traces held until nothing more is expected of them: bounds, late items, duplicates, ages.

This room knows neither the SDK nor OTLP nor MLflow. An item is anything that has an ID, a size and a trace.
``holder.Holder`` holds the traces. ``held_trace`` is what it keeps of one trace. ``sweeper`` is the thread
that looks at ages.
"""
