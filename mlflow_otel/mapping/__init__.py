"""What each MLflow thing becomes in OTLP: pure functions over plain values.

No I/O, no OpenTelemetry SDK, no MLflow. ``span.map_span`` is the way in; ``messages`` holds one
small module for each provider's message shape.
"""
