"""Attribute keys by vocabulary, one module each: ``mlflow``, ``genai``, ``openinference``.

Keys are data: this room imports nothing and decides nothing.
"""
