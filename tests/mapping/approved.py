"""`make approve`: writes down what the mapping makes of every payload, for a person to read in the diff.

``test_approved`` compares. A change of the mapping that changes what leaves shows here, value by value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow_otel.mapping.model import Mapped, MappingOptions, SpanView, TraceContext
from mlflow_otel.mapping.span import map_span
from tests import payloads
from tests.mapping import more_shapes, shapes, spelt_shapes

FOLDER = Path(__file__).parent / "approved"
INVENTED = "invented"


def readable(value: Any) -> Any:
    """Return JSON text decoded, so that a diff shows the value that changed."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value if isinstance(value, (str, int, float, bool)) else list(value)


def made(mapped: Mapped, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the mapping made: what differs from what the span had."""
    found = {key: readable(value) for key, value in sorted(mapped.attributes.items())}
    left = {key: value for key, value in found.items() if value != readable(given.get(key, ()))}
    return {"name": mapped.name, "kind": str(mapped.kind), **left}


def of_shape(message_format, span_type, inputs, outputs) -> dict[str, Any]:
    """Map an invented payload by all conventions."""
    given = {
        "mlflow.spanType": json.dumps(span_type),
        "mlflow.spanInputs": json.dumps(inputs),
        "mlflow.spanOutputs": json.dumps(outputs),
    }
    if message_format:
        given["mlflow.message.format"] = json.dumps(message_format)
    options = MappingOptions(payloads.ALL)
    return made(map_span(SpanView("call", attributes=given), TraceContext(), options), given)


def files() -> list[str]:
    """Return the names of all files."""
    return [*(file.stem for file in sorted(payloads.FIXTURES.glob("*.json"))), INVENTED]


def now(file: str) -> dict[str, Any]:
    """Return what the mapping makes of a file's payloads."""
    if file == INVENTED:
        every = shapes.SHAPES | more_shapes.SHAPES | spelt_shapes.SHAPES
        return {name: of_shape(*shape) for name, shape in every.items()}
    return {
        identity.partition("/")[2]: made(payloads.mapped(span), span["attributes"])
        for identity, span in payloads.recorded(file)
    }


def main() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for file in files():
        text = json.dumps(now(file), indent=1, ensure_ascii=False, sort_keys=True)
        (FOLDER / f"{file}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
