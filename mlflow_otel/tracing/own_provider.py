"""The ``TracerProvider`` that stands in MLflow's place."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

MAX_TRACERS: Final = 256


class OwnTracerProvider(TracerProvider):
    """Keeps the tracer of each name. MLflow asks for one at each span, and the SDK describes its scope each time.

    Takes the arguments of ``TracerProvider``.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._kept: dict[str, Tracer] = {}

    def get_tracer(self, instrumenting_module_name: str, *described: Any, **further: Any) -> Tracer:
        """Return the tracer of a scope. See ``TracerProvider``."""
        name = instrumenting_module_name
        if described or further:
            return super().get_tracer(name, *described, **further)
        tracer = self._kept.get(name)
        if tracer is None:
            tracer = super().get_tracer(name)
            if len(self._kept) < MAX_TRACERS:
                self._kept[name] = tracer
        return tracer
