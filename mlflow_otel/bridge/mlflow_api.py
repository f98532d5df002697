"""MLflow's trace API, as far as clients need it to send and to read: plain values in, JSON out.

The paths, the names and what clients do on each answer: docs/bridge.md. What needs a tracking server (runs,
registered models, prompts) says so with ``NOT_IMPLEMENTED``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from mlflow_otel.bridge import answers, assessments, trace_info
from mlflow_otel.bridge.bodies import read_json
from mlflow_otel.bridge.experiments import ANYBODY, Client
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.reading import Reading, experiments
from mlflow_otel.bridge.soon import Soon, after
from mlflow_otel.bridge.trace_info import MalformedError, otel_id
from mlflow_otel.bridge.way_in import Known, WayIn
from mlflow_otel.mapping.experiment import DEFAULT_ID
from mlflow_otel.mapping.model import TraceContext
from mlflow_otel.store.model import StoredTrace

VERSION: Final = "3.17.2+bridge"
"""What ``GET /version`` answers: clients send spans as they end from 3.4 on."""
MAX_TAG_KEY: Final = 250
_T = TypeVar("_T")


class ApiError(Exception):
    """An answer that says what is wrong, in MLflow's form.

    Args:
        status: HTTP's.
        code: MLflow's ``error_code``.
        message: For the user.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Call:
    """A request to the API.

    Args:
        query: The values of each parameter.
        body: Its body.
        ids: What the path names.
        client: Whose experiments are meant.
    """

    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    ids: Mapping[str, str] = field(default_factory=dict)
    client: Client = ANYBODY

    def json(self) -> dict[str, Any]:
        """Return the body; an empty one says nothing."""
        said = read_json(self.body) if self.body.strip() else {}
        if not isinstance(said, dict):
            raise MalformedError("the body must be a JSON object")
        return said

    def needed(self, name: str) -> str:
        """Return a parameter of the query or the body that must be there."""
        value = next(reversed(self.query.get(name, ())), None) or self.json().get(name)
        if not isinstance(value, str) or not value:
            raise MalformedError(f"Missing value for required parameter '{name}'")
        return value


class Api(Protocol):
    """What answers MLflow's clients: the bridge alone, or with a tracking server beside it."""

    @property
    def waits(self) -> bool:
        """Whether spans and a ``TraceInfo`` may wait for a disk: then they are taken in a thread."""
        ...

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, Sequence[str]],
        body: bytes,
        client: Client = ANYBODY,
    ) -> Soon[Any]:
        """Return the JSON that answers a request, or a tracking server's own ``Answer``.

        Only the answer to ``POST mlflow/traces`` is a future, if any is.

        Raises:
            ApiError: There is no such path, or it is refused.
        """
        ...

    def spans(self, request: Any, experiment_id: str | None, workspace: str = "") -> None:
        """See the spans that were taken over OTLP."""
        ...

    def stats(self) -> Mapping[str, int]:
        """Return what is counted besides the intake's."""
        ...


class MlflowApi:
    """Answers MLflow's clients. Safe to call from any thread.

    Args:
        intake: Takes what they send.
        feedback: Takes assessments.
        reading: Reads traces.
    """

    def __init__(self, intake: WayIn, feedback: Feedback, reading: Reading) -> None:
        self._intake = intake
        self._experiments = intake.experiments
        self._feedback = feedback
        self._reading = reading
        self.waits = intake.waits
        """As of ``Intake``."""

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, Sequence[str]],
        body: bytes,
        client: Client = ANYBODY,
    ) -> Soon[Any]:
        """Return the JSON that answers a request.

        Args:
            method: HTTP's.
            path: Below the server's root.
            query: The values of each parameter.
            body: Not compressed.
            client: Who asks.

        Raises:
            ApiError: There is no such path, or it is refused.
        """
        for wanted, pattern, called in ROUTES:
            found = pattern.fullmatch(path) if wanted == method else None
            if found is not None:
                try:
                    return called(self, Call(query, body, found.groupdict(), client))
                except MalformedError as error:
                    raise ApiError(400, "INVALID_PARAMETER_VALUE", str(error)) from error
        if NEEDS_SERVER.match(path):
            raise ApiError(
                501,
                "NOT_IMPLEMENTED",
                f"{path} needs an MLflow tracking server. The bridge has traces, their tags and "
                "assessments, and no runs, models or prompts.",
            )
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"There is no {method} {path} here")

    def spans(self, request: Any, experiment_id: str | None, workspace: str = "") -> None:
        """See the spans that were taken; nothing more is to be done with them."""

    def stats(self) -> Mapping[str, int]:
        """Return nothing: the intake counts all."""
        return {}

    def get_by_name(self, call: Call) -> Any:
        """Answer any name: an experiment is there as soon as somebody asks for it."""
        return {
            "experiment": self._experiments.by_name(call.needed("experiment_name"), call.client)
        }

    def get_by_id(self, call: Call) -> Any:
        """Answer any ID."""
        identity = self._experiments.own(call.needed("experiment_id"), call.client)
        return {"experiment": self._experiments.by_id(identity)}

    def create(self, call: Call) -> Any:
        """Answer the ID that the name gives."""
        found = self._experiments.by_name(call.needed("name"), call.client)
        return {"experiment_id": found["experiment_id"]}

    def search_experiments(self, call: Call) -> Any:
        """Answer the client's experiments that were asked for."""
        return {"experiments": self._experiments.all(call.client)}

    def server_info(self, _call: Call) -> Any:
        """Say what this server can do. Workspaces keep experiments of one name apart, and no more."""
        return {"store_type": "OtlpBridge", "workspaces_enabled": True}

    def start_trace(self, call: Call) -> Soon[Any]:
        """Take a ``TraceInfo``. Without ``spansLocation`` in the answer the client uploads the spans."""
        info = trace_info.read(call.json())
        if call.client.prefix:
            meant = self._experiments.own(info.experiment_id or DEFAULT_ID, call.client)
            info = info.in_experiment(meant)

        def described(known: Known | None) -> Any:
            return {"trace": {"trace_info": self._described(info, seen=bool(known and known.seen))}}

        return after(self._intake.info(info), described)

    def _described(self, info: trace_info.TraceInfo, *, seen: bool) -> dict[str, Any]:
        place = answers.artifacts(info.experiment_id or "0", info.mlflow_id)
        tags = {**info.tags, answers.ARTIFACT_LOCATION: place}
        if seen:
            tags[answers.SPANS_LOCATION] = "TRACKING_STORE"
        found = self._feedback.kept.of_trace(info.trace_id)
        return {**info.document, "tags": tags, **({"assessments": found} if found else {})}

    def get_trace_info(self, call: Call) -> Any:
        """Answer a ``TraceInfo``: as its client said it while it is remembered, else as it is stored."""
        trace_id = otel_id(call.ids["trace_id"])
        known = self._intake.known(trace_id)
        if known is not None and known.info is not None:
            return {"trace": {"trace_info": self._described(known.info, seen=known.seen)}}
        return {"trace": {"trace_info": self._found(self._reading.info(trace_id), call)}}

    def get_trace(self, call: Call) -> Any:
        """Answer a trace with its spans."""
        named = call.needed("trace_id")
        return {"trace": self._found(self._reading.whole(otel_id(named)), call, named)}

    def batch_get(self, call: Call) -> Any:
        """Answer those of some traces that are there, with their spans."""
        return {"traces": self._reading.several(call.query.get("trace_ids", ()))}

    def search_traces(self, call: Call) -> Any:
        """Answer a page of traces, without their spans."""
        said = call.json()
        named = experiments(said.get("locations"))
        return self._reading.search(said, self._experiments.meant(named, call.client))

    def download(self, call: Call) -> Any:
        """Answer a ``traces.json``."""
        return self._found(self._reading.file(otel_id(call.ids["trace_id"])), call)

    def _found(self, answer: _T | None, call: Call, named: str = "") -> _T:
        if answer is None:
            identity = named or call.ids["trace_id"]
            message = f"Trace {identity!r} is not found in {self._reading.where}"
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return answer

    def set_tag(self, call: Call) -> Any:
        """Set a tag of a trace, wherever the trace is."""
        key, said = call.needed("key"), call.json().get("value")
        if len(key) > MAX_TAG_KEY:
            raise MalformedError(f"'key' must have at most {MAX_TAG_KEY} characters")
        trace_id = otel_id(call.ids["trace_id"])
        try:
            self._intake.set_tag(trace_id, key, str(said))
        except KeyError:
            stored, root = self._stored(trace_id, call)
            self._intake.update(trace_id, root, context_of(stored, {key: str(said)}), ())
        return {}

    def delete_tag(self, call: Call) -> Any:
        """Remove a tag of a trace, wherever the trace is."""
        key = call.needed("key")
        trace_id = otel_id(call.ids["trace_id"])
        if self._intake.waits:  # others know the trace
            self._intake.delete_tag(trace_id, key)
            return {}
        known = self._intake.known(trace_id)
        if known is not None and known.info is not None:
            tags: Mapping[str, str] = known.info.tags
        else:
            tags = self._stored(trace_id, call)[0].tags
        if key not in tags:
            message = f"No tag with key {key!r} of trace {call.ids['trace_id']!r} is known"
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)
        try:
            self._intake.delete_tag(trace_id, key)
        except KeyError:
            stored, root = self._stored(trace_id, call)
            self._intake.update(trace_id, root, context_of(stored, {}), (key,))
        return {}

    def _stored(self, trace_id: int, call: Call) -> tuple[StoredTrace, int | None]:
        return self._found(self._reading.stored(trace_id), call)

    def upload(self, call: Call) -> Any:
        """Take a ``traces.json``."""
        trace_id = otel_id(call.ids["trace_id"])
        self._intake.uploaded(trace_id, read_json(call.body), call.ids["experiment"])
        return None

    def attach(self, _call: Call) -> Any:
        """Count an attachment and keep it out: no backend takes it."""
        self._intake.count("attachments.left_out")
        return None

    def create_assessment(self, call: Call) -> Any:
        """Send an assessment. Its trace need not be known."""
        trace_id = otel_id(call.ids["trace_id"])
        said = call.json().get("assessment")
        return {"assessment": self._feedback.create(trace_id, said, call.ids["trace_id"])}

    def _assessment(self, call: Call) -> tuple[int, dict[str, Any]]:
        trace_id = otel_id(call.ids["trace_id"])
        wanted = call.ids["assessment_id"]
        document = self._feedback.kept.get(trace_id, wanted)
        if document is None:
            stored = (self._reading.info(trace_id) or {}).get("assessments", ())
            document = next((one for one in stored if one["assessment_id"] == wanted), None)
        if document is None:
            message = f"No assessment {call.ids['assessment_id']!r} of this trace is known"
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)
        return trace_id, document

    def get_assessment(self, call: Call) -> Any:
        """Answer an assessment."""
        return {"assessment": self._assessment(call)[1]}

    def update_assessment(self, call: Call) -> Any:
        """Send an assessment again, changed."""
        trace_id, document = self._assessment(call)
        said = call.json()
        after = assessments.changed(document, said.get("assessment"), said.get("update_mask"))
        self._feedback.send(trace_id, after, "update")
        self._feedback.kept.put(trace_id, after)
        return {"assessment": after}

    def delete_assessment(self, call: Call) -> Any:
        """Send that an assessment is no more."""
        trace_id, document = self._assessment(call)
        self._feedback.send(trace_id, {**document, "last_update_time": assessments.now()}, "delete")
        self._feedback.kept.remove(trace_id, document["assessment_id"])
        return {}


def context_of(stored: StoredTrace, tags: Mapping[str, str]) -> TraceContext:
    """Return whose trace it is, with the tags that are to leave."""
    return TraceContext(
        trace_id=stored.trace_id,
        client_request_id=stored.client_request_id,
        tags=tags,
        metadata=stored.metadata,
        experiment_id=stored.experiment_id,
        experiment_name=stored.experiment_name,
    )


def _route(path: str) -> re.Pattern[str]:
    return re.compile(r"/(?:ajax-)?api/(?:2|3)\.0/" + re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path))


ROUTES: Final[tuple[tuple[str, re.Pattern[str], Callable[[MlflowApi, Call], Any]], ...]] = (
    ("GET", _route("mlflow/experiments/get-by-name"), MlflowApi.get_by_name),
    ("GET", _route("mlflow/experiments/get"), MlflowApi.get_by_id),
    ("POST", _route("mlflow/experiments/create"), MlflowApi.create),
    ("POST", _route("mlflow/experiments/search"), MlflowApi.search_experiments),
    ("GET", _route("mlflow/experiments/search"), MlflowApi.search_experiments),
    ("GET", _route("mlflow/server-info"), MlflowApi.server_info),
    ("POST", _route("mlflow/traces"), MlflowApi.start_trace),
    ("GET", _route("mlflow/traces/get"), MlflowApi.get_trace),
    ("GET", _route("mlflow/traces/batchGet"), MlflowApi.batch_get),
    ("POST", _route("mlflow/traces/search"), MlflowApi.search_traces),
    ("GET", _route("mlflow/traces/<trace_id>"), MlflowApi.get_trace_info),
    ("PATCH", _route("mlflow/traces/<trace_id>/tags"), MlflowApi.set_tag),
    ("DELETE", _route("mlflow/traces/<trace_id>/tags"), MlflowApi.delete_tag),
    ("POST", _route("mlflow/traces/<trace_id>/assessments"), MlflowApi.create_assessment),
    (
        "GET",
        _route("mlflow/traces/<trace_id>/assessments/<assessment_id>"),
        MlflowApi.get_assessment,
    ),
    (
        "PATCH",
        _route("mlflow/traces/<trace_id>/assessments/<assessment_id>"),
        MlflowApi.update_assessment,
    ),
    (
        "DELETE",
        _route("mlflow/traces/<trace_id>/assessments/<assessment_id>"),
        MlflowApi.delete_assessment,
    ),
    (
        "PUT",
        _route("mlflow-artifacts/artifacts/<experiment>/traces/<trace_id>/artifacts/traces.json"),
        MlflowApi.upload,
    ),
    (
        "GET",
        _route("mlflow-artifacts/artifacts/<experiment>/traces/<trace_id>/artifacts/traces.json"),
        MlflowApi.download,
    ),
    (
        "PUT",
        _route(
            "mlflow-artifacts/artifacts/<experiment>/traces/<trace_id>/artifacts/attachments/.*"
        ),
        MlflowApi.attach,
    ),
)
NEEDS_SERVER: Final = re.compile(
    r"/(?:ajax-)?api/[23]\.0/(?:mlflow/(?:runs|traces|registered-models|model-versions|"
    r"logged-models|metrics|prompt|experiments|scorers|issues|datasets|artifacts)|mlflow-artifacts)\b"
)
