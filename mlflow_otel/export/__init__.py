"""What the OpenTelemetry SDK hands over, as encoded items for ``delivery``.

``exporter.MlflowSpanExporter`` is the way in for spans, ``logs`` and ``metrics`` are those of their signals.
``hooks`` calls the app's ``redact`` and ``should_export``, ``guards`` puts together what holds back; ``declared``
builds the exporter from a configuration file. ``mapped`` is the span that travels with its trace's context, ``spans`` encodes it, ``observability`` counts in
metrics. The SDK's private fields are touched in ``mapped`` alone.
"""
