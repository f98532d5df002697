"""What is known of a trace, carried to the services behind in W3C Baggage (``MLFLOW_OTEL_BAGGAGE``).

Follows https://www.w3.org/TR/baggage/. The entries are named as the attributes that they become, so that
a service behind may take them over by other means too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry import baggage, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from mlflow_otel.conventions import genai
from mlflow_otel.conventions import mlflow as keys
from mlflow_otel.mapping.values import as_text
from mlflow_otel.tracing import mlflow_adapter
from mlflow_otel.tracing.mlflow_adapter import TraceFacts

ENTRIES: Final[Mapping[str, str]] = {
    "session": genai.SESSION_ID,
    "user": genai.USER_ID,
    "request": keys.TRACE_CLIENT_REQUEST_ID,
}
"""What ``MLFLOW_OTEL_BAGGAGE`` may name, and the baggage's entry."""
HEADER: Final = "baggage"
_W3C: Final = W3CBaggagePropagator()


def of_trace(facts: TraceFacts, items: frozenset[str]) -> dict[str, str]:
    """Return the entries that say what is known of a trace.

    Args:
        facts: What MLflow knows.
        items: Which of it may be said.
    """
    known = {
        "session": facts.metadata.get(keys.METADATA_SESSION),
        "user": facts.metadata.get(keys.METADATA_USER),
        "request": facts.client_request_id,
    }
    return {ENTRIES[item]: as_text(known[item]) for item in sorted(items) if known[item]}


def received(items: frozenset[str], context: Context | None) -> dict[str, str]:
    """Return the entries that came with the request under way.

    MLflow keeps a context of its own by default; the instrumentation of the app's web framework writes
    into OpenTelemetry's. So both are looked at.

    Args:
        items: Which may be taken over.
        context: The one that a span starts in.
    """
    for one in (context, get_current()):
        said = baggage.get_all(one)
        found = {
            ENTRIES[item]: str(said[ENTRIES[item]]) for item in items if said.get(ENTRIES[item])
        }
        if found:
            return found
    return {}


class TraceBaggage(TextMapPropagator):
    """Another propagator that also writes and reads what is known of a trace.

    Entries of the app's own stay as they are, and travel only where the other propagator sends them.

    Args:
        inner: The other one.
        current: Returns the entries of the trace under way.
    """

    def __init__(self, inner: TextMapPropagator, current: Callable[[], Mapping[str, str]]) -> None:
        self.inner = inner
        self._current = current
        self._inner_has_baggage = HEADER in inner.fields

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the headers of an outgoing call."""
        said = self._current()
        if not said or not self._inner_has_baggage:
            self.inner.inject(carrier, context, setter)
        if said:
            holder = get_current() if context is None else context
            filled = _with(holder if self._inner_has_baggage else Context(), said)
            writer = self.inner if self._inner_has_baggage else _W3C
            writer.inject(carrier, filled, setter)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Read the headers of an incoming call."""
        read = self.inner.extract(carrier, context, getter)
        if self._inner_has_baggage:
            return read
        came = baggage.get_all(_W3C.extract(carrier, Context(), _AnyCase(getter)))
        return _with(read, {key: str(came[key]) for key in ENTRIES.values() if key in came})

    @property
    def fields(self) -> set[str]:
        """The headers that ``inject`` may write."""
        return {*self.inner.fields, HEADER}


class _AnyCase(Getter[CarrierT]):
    """Reads a header whatever its case: web frameworks write ``Baggage``."""

    def __init__(self, inner: Getter[CarrierT]) -> None:
        self._inner = inner

    def get(self, carrier: CarrierT, key: str) -> list[str] | None:
        for name in (key, *self._inner.keys(carrier)):
            if name.lower() == key:
                found = self._inner.get(carrier, name)
                if found is not None:
                    return found
        return None

    def keys(self, carrier: CarrierT) -> list[str]:
        return self._inner.keys(carrier)


def _with(context: Context, said: Mapping[str, str]) -> Context:
    for key, value in said.items():
        context = baggage.set_baggage(key, value, context)
    return context


def install(current: Callable[[], Mapping[str, str]]) -> Callable[[], None]:
    """Have outgoing calls carry a trace's entries: the app's instrumentations and MLflow's helpers.

    Args:
        current: Returns the entries of the trace under way.

    Returns:
        What undoes it.
    """
    ours = TraceBaggage(propagate.get_global_textmap(), current)
    propagate.set_global_textmap(ours)
    undo_helpers = mlflow_adapter.replace_propagator(lambda inner: TraceBaggage(inner, current))

    def undo() -> None:
        if propagate.get_global_textmap() is ours:
            propagate.set_global_textmap(ours.inner)
        undo_helpers()

    return undo
