"""MLflow's filter strings for traces: read, and held against one trace.

Knows neither MLflow nor the SDK. ``grammar`` turns a text into clauses, ``matching`` tells whether
a trace, given as plain values, meets them, ``ordering`` puts traces in order.
"""
