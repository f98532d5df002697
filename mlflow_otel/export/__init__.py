"""What the OpenTelemetry SDK hands over, as encoded items for ``delivery``.

``exporter.MlflowSpanExporter`` is the way in for spans, ``logs`` and ``metrics`` are those of their signals.
``mapped`` is the span that travels with its trace's context, ``spans`` encodes it, ``observability`` counts in
metrics. The SDK's private fields are touched in ``mapped`` alone.
"""
