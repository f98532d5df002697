"""Spans to bytes to the backend: mapped spans, encoding, transports.

``exporter.MlflowSpanExporter`` is the way in; ``transport.Transport`` is the one seam behind which
gRPC, HTTP and a test's fake are the same thing, and where retry, splitting and a spool belong.
"""
