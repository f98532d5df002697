"""Spans to bytes to the backend.

``exporter.MlflowSpanExporter`` is the way in. A request's way: ``encode`` (by ``wire``), ``split``, ``request``,
``sender`` (by ``retry``), ``transport``, the one seam behind which ``grpc`` (over ``http2``), ``http`` and a test's
fake are the same thing; what cannot be sent now, ``backlog`` keeps in ``spool``. ``observability`` counts in metrics.
"""
