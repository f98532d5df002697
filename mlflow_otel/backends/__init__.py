"""Asking a trace backend: find traces, get one, list the services. One protocol for every backend.

``model`` holds the protocol and what passes through it; ``opening`` opens the backend that the
settings name. ``jaeger``, ``tempo`` and ``mlflow_server`` ask over HTTP, ``memory`` asks this process.
"""
