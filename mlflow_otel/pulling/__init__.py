"""What lies in an MLflow tracking server, sent over OTLP with its own IDs and times.

``server`` asks, ``copying`` makes OTLP of what it answers, ``records`` remembers what was sent, and
``pull`` goes through the traces in order of time.
"""
