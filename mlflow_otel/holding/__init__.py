"""Traces held until nothing more is expected of them: bounds, late items, duplicates, ages.

Knows neither the SDK nor OTLP nor MLflow: an item is anything that has an ID, a size and a trace.
"""
