"""OTLP's wire format: encoded items in, requests out, and back.

``wire`` writes values and fields, ``envelope`` puts resource and scope around items of any signal, ``split``
cuts them into requests by bytes. Nothing here knows the SDK or the backend.
"""
