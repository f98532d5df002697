"""OTLP in, gRPC and HTTP/protobuf, on loopback: what ``mlflow-otel receive`` and the demo run."""
