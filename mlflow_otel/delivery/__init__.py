"""Encoded requests to the backend, every item accounted for.

A request's way: ``delivery`` (cut by ``otlp.split``), ``request``, ``sender`` (by ``retry``), ``transport``, the one
seam behind which ``grpc`` (over ``http2``), ``http`` and a test's fake are the same thing; what cannot be sent now,
``backlog`` keeps in ``spool``. Bytes only: nothing here knows the SDK.
"""
