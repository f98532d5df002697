"""Record what MLflow's autologging writes for the real libraries, as fixtures for the tests.

    python -m venv .venv-recorder && .venv-recorder/bin/pip install -r tests/recorder/requirements.txt
    .venv-recorder/bin/python tests/recorder/record.py [LIBRARY ...]

Each library runs in a process of its own against the stub in ``stub.py``; its spans' raw
attributes are written to ``tests/fixtures/LIBRARY-VERSION.json``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"


def plain(attributes):
    return dict(sorted((attributes or {}).items()))


def record(library, target):
    import mlflow
    import scenarios
    import stub
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    os.environ["STUB"] = stub.start()
    mlflow.set_tracking_uri("sqlite:///" + tempfile.mkdtemp() + "/m.db")
    memory = InMemorySpanExporter()
    provider = mlflow.tracing.get_bridged_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    found = {}
    for name, call in scenarios.LIBRARIES[library]():
        memory.clear()
        problem = None
        try:
            call()
        except Exception as error:
            problem = type(error).__name__
        spans = []
        for span in memory.get_finished_spans():
            events = [{"name": e.name, "attributes": plain(e.attributes)} for e in span.events]
            for event in events:
                event["attributes"].pop("exception.stacktrace", None)
            spans.append(
                {
                    "name": span.name,
                    "scope": span.instrumentation_scope.name,
                    "span_id": f"{span.context.span_id:016x}",
                    "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
                    "kind": span.kind.name,
                    "status": span.status.status_code.name,
                    "attributes": plain(span.attributes),
                    "events": events,
                }
            )
        found[name] = {"raised": problem, "spans": spans}
        print(f"{library:18} {name:18} {len(spans)} spans", problem or "")
    Path(target).write_text(json.dumps(found))
    os._exit(0)


def main(libraries):
    import scenarios

    FIXTURES.mkdir(exist_ok=True)
    mlflow_version = importlib.metadata.version("mlflow")
    for library in libraries or scenarios.LIBRARIES:
        package = "openai" if library == "openai-responses" else library
        version = importlib.metadata.version(package)
        with tempfile.NamedTemporaryFile() as target:
            command = [sys.executable, __file__, "--one", library, target.name]
            done = subprocess.run(command, timeout=300, check=False, stderr=subprocess.PIPE)
            text = Path(target.name).read_text()
            if not text:
                print(f"{library}: nothing recorded\n{done.stderr.decode()[-2000:]}")
                continue
            content = {
                "library": library,
                "version": version,
                "mlflow": mlflow_version,
                "scenarios": json.loads(text),
            }
        for old in FIXTURES.glob(f"{library}-[0-9]*.json"):
            old.unlink()
        (FIXTURES / f"{library}-{version}.json").write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.update(
        MLFLOW_DISABLE_TELEMETRY="true",
        OPENAI_API_KEY="stub",
        OPENAI_AGENTS_DISABLE_TRACING="0",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )
    if sys.argv[1:2] == ["--one"]:
        record(*sys.argv[2:4])
    else:
        main(sys.argv[1:])
