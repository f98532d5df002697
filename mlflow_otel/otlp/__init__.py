"""OTLP's wire format: from encoded items to requests, and back.

``wire`` writes values and fields. ``envelope`` puts resource and scope around the items of any signal.
``split`` cuts them into requests by bytes. Nothing here knows the SDK or the backend.
"""
