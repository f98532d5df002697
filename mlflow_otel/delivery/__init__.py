"""Encoded requests to the backend, every item accounted for.

A request's way: ``signal_delivery`` (cut by ``otlp.split``), ``request``, ``sender`` (by ``retry``), ``transport``.
That is the one seam behind which ``grpc``, ``http`` and a test's fake are the same thing. Both stand on ``curl``
(libcurl) and ``destination`` (where to). ``backlog`` keeps what cannot be sent now in ``spool``. Bytes only: nothing
here knows the SDK.
"""
