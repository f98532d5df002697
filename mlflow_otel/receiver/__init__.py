"""Receives OTLP on loopback, over gRPC and HTTP/protobuf, for ``mlflow-otel receive`` and the demo."""
