"""The words that settings choose between, and the defaults that more than one place needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Signal = Literal["traces", "logs", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]
Compression = Literal["none", "gzip", "deflate"]
Convention = Literal["genai", "openinference", "mlflow"]

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")
CARRIED: Final = ("session", "user", "request")
"""What of a trace W3C Baggage may carry."""
DEFAULT_ENDPOINTS: Final[Mapping[str, str]] = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}
DEFAULT_PROMOTIONS: Final[Mapping[str, str]] = {"environment": "deployment.environment.name"}
