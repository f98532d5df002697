"""What the OpenTelemetry SDK hands over, as encoded items for ``delivery``.

``exporter.MlflowSpanExporter`` is the way in for spans, ``logs`` and ``metrics`` are those of their signals.
``hooks`` calls the app's ``redact`` and ``should_export``. ``guards`` joins all that holds something back.
``declared`` builds the exporter from a configuration file. ``mapped`` is a span with its trace's context,
and ``spans`` encodes it. ``observability`` shows the counters as metrics. Only ``mapped`` touches private
fields of the SDK.
"""
