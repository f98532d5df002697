"""Attribute keys, one module a vocabulary: ``mlflow``, ``genai``, ``openinference``.

``versions`` has the names that differ between versions of the GenAI conventions, ``no_content`` the keys
that hold no content. Data: this room imports nothing from outside it.
"""
