"""Record what MLflow's autologging writes for the real libraries, as fixtures for the tests.

    python tests/recorder/record.py [--keep] [ROW ...]

Each row of ``environments.py`` runs in an environment and a process of its own against the stub
in ``stub``. All of its spans is written to ``tests/fixtures/ROW-VERSION.json``. Environments are
made by ``uv`` in the folder for temporary files, anew unless ``--keep`` is given.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import environments

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
ENVIRONMENTS = Path(tempfile.gettempdir()) / "mlflow-otel-recorder"
VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Bytes are recorded as they leave, not as MLflow's references to attachments.
    "MLFLOW_TRACE_EXTRACT_ATTACHMENTS": "false",
    "OPENAI_API_KEY": "stub",
    "ANTHROPIC_API_KEY": "stub",
    "OPENAI_AGENTS_DISABLE_TRACING": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TESTING": "true",
    "AGNO_TELEMETRY": "false",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "stub",
    "AWS_SECRET_ACCESS_KEY": "stub",
    "NO_PROXY": "127.0.0.1",
}


def plain(attributes):
    return dict(sorted((attributes or {}).items()))


def portable(event):
    """Return an event's attributes; paths of this machine are cut from stack traces."""
    attributes = plain(event.attributes)
    if trace := attributes.get("exception.stacktrace"):
        for folder in (sys.prefix, sys.base_prefix, str(HERE)):
            trace = trace.replace(folder, "")
        attributes["exception.stacktrace"] = trace
    return attributes


def written(span):
    """Return all that a span says, as JSON holds it."""
    scope = span.instrumentation_scope
    return {
        "name": span.name,
        "scope": scope.name,
        "scope_version": scope.version,
        "scope_attributes": plain(scope.attributes),
        "span_id": f"{span.context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "status_description": span.status.description,
        "attributes": plain(span.attributes),
        "events": [{"name": e.name, "attributes": portable(e)} for e in span.events],
        "links": [
            {"span_id": f"{link.context.span_id:016x}", "attributes": plain(link.attributes)}
            for link in span.links
        ],
    }


def provider(*, shared):
    """Return the provider to record: MLflow's own, or the application's that MLflow shares."""
    import mlflow
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    mlflow.set_tracking_uri("sqlite:///" + tempfile.mkdtemp() + "/m.db")
    if not shared:
        return mlflow.tracing.get_bridged_tracer_provider()
    trace.set_tracer_provider(TracerProvider())
    return trace.get_tracer_provider()


def record(name, target):
    row = environments.LIBRARIES[name]
    os.environ.update(row.variables)
    if row.shared:
        os.environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] = "false"
    import stub
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    os.environ["STUB"] = stub.start()
    memory = InMemorySpanExporter()
    calls = importlib.import_module(f"scenarios.{row.module}").calls
    recorded = provider(shared=row.shared)
    recorded.add_span_processor(SimpleSpanProcessor(memory))
    found = {}
    for scenario, call in calls():
        memory.clear()
        problem = None
        try:
            call()
        except Exception as error:
            problem = type(error).__name__
            print(f"{name} {scenario}: {problem}: {str(error)[:300]}", file=sys.stderr)
        # MLflow's processors for other libraries hand a shared provider's spans on twice.
        spans = {span.context.span_id: span for span in memory.get_finished_spans()}
        found[scenario] = {"raised": problem, "spans": [written(s) for s in spans.values()]}
        print(f"{name:22} {scenario:22} {len(spans)} spans", problem or "")
    content = {
        "library": name,
        "version": importlib.metadata.version(row.package),
        "mlflow": importlib.metadata.version("mlflow"),
        "scenarios": found,
    }
    Path(target).write_text(json.dumps(content))
    sys.stdout.flush()
    os._exit(0)


def environment(name, *, keep):
    """Return the Python of a row's environment, made first when it must be."""
    row = environments.LIBRARIES[name]
    folder = ENVIRONMENTS / (name if any(map(str.isdigit, name)) else name.partition("@")[0])
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not (keep and ready.exists() and ready.read_text() == repr(row.requirements)):
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", "3.11", folder], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run([*install, *row.requirements], check=True)
        ready.write_text(repr(row.requirements))
    return python


def save(content):
    """Write a fixture in place of the row's earlier one."""
    name = content["library"]
    for old in FIXTURES.glob("*.json"):
        if json.loads(old.read_text())["library"] == name:
            old.unlink()
    package, _, mode = name.partition("@")
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    stem = f"{package}-{content['version']}" + (f"-{mode}" if mode.isalpha() else "")
    (FIXTURES / f"{stem}.json").write_text(text)


def main(names, *, keep):
    FIXTURES.mkdir(exist_ok=True)
    for name in names or environments.LIBRARIES:
        python = environment(name, keep=keep)
        with tempfile.NamedTemporaryFile() as target:
            command = [python, __file__, "--one", name, target.name]
            done = subprocess.run(command, timeout=300, check=False, stderr=subprocess.PIPE)
            text = Path(target.name).read_text()
            print(
                done.stderr.decode()[-3000:]
                if not text
                else "\n".join(
                    line for line in done.stderr.decode().splitlines() if line.startswith(name)
                )
            )
        if text:
            save(json.loads(text))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.update(VARIABLES)
    if sys.argv[1:2] == ["--one"]:
        record(*sys.argv[2:4])
    else:
        wanted = [name for name in sys.argv[1:] if name != "--keep"]
        main(wanted, keep="--keep" in sys.argv)
