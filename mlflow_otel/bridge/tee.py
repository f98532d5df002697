"""The tee: what MLflow's clients send goes to a real tracking server, too, which answers what it owns.

The server owns experiments, runs, models, prompts and data sets: a request for them is answered by it, as it
answers. What clients send of traces is taken by the bridge, and owed to the server. Traces are searched
there, since it has all of them; single traces are read here first.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from mlflow_otel.bridge import span_message
from mlflow_otel.bridge.assessments import MASK
from mlflow_otel.bridge.bodies import PROTOBUF, read_json
from mlflow_otel.bridge.experiments import ANYBODY, Client, Experiments
from mlflow_otel.bridge.feedback import Feedback
from mlflow_otel.bridge.mlflow_api import ApiError, MlflowApi
from mlflow_otel.bridge.owed import Owed
from mlflow_otel.bridge.soon import now
from mlflow_otel.bridge.trace_info import MalformedError, mlflow_id, otel_id
from mlflow_otel.bridge.upstream import Answer, Asked, NoAnswerError, Upstream, verdict
from mlflow_otel.mapping.assessment import Operation
from mlflow_otel.mapping.values import as_dict, as_list

ANSWER_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 10.0
"""How long a request that needs the traces at the server waits until it has them."""
MAX_REMEMBERED: Final = 10_000
API: Final = re.compile(r"/(?:ajax-)?api/[23]\.0/(?P<rest>.+)")
EXPERIMENT: Final = re.compile(r"mlflow/experiments/.+")
ABLE: Final = re.compile(r"mlflow/server-(?:info|features)")
"""What the server can do: workspaces, for one, are its own."""
LOOKED_UP: Final = re.compile(r"mlflow/experiments/get(?:-by-name)?")
TRACES: Final = re.compile(r"mlflow/traces(?:/.*)?")
SEARCH: Final = re.compile(r"mlflow/traces/search")
BATCH: Final = re.compile(r"mlflow/traces/batchGet")
UNSAID: Final = frozenset({"valid"})
"""Fields that no update names: MLflow's SQL store (seen in 3.17) fails with 500 then, and takes nothing of it."""
ASSESSMENT: Final = re.compile(r"mlflow/traces/(?P<trace>[^/]+)/assessments/(?P<id>[^/]+)")
OWED: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("POST", re.compile(r"mlflow/traces")),
    ("PATCH", re.compile(r"mlflow/traces/(?P<trace>[^/]+)/tags")),
    ("DELETE", re.compile(r"mlflow/traces/(?P<trace>[^/]+)/tags")),
    ("PUT", re.compile(r"mlflow-artifacts/artifacts/[^/]+/traces/(?P<trace>[^/]+)/artifacts/.+")),
)
"""What the bridge takes itself and owes to the server. Assessments are owed by ``assessed``."""
Query = Mapping[str, Sequence[str]]


class _Came(NamedTuple):
    """A request of a client's.

    Args:
        method: HTTP's.
        path: Below the server's root.
        query: The values of each parameter.
        body: Not compressed.
        workspace: What it names.
    """

    method: str
    path: str
    query: Query
    body: bytes
    workspace: str

    @property
    def rest(self) -> str:
        """The path after the API's version, or nothing."""
        found = API.fullmatch(self.path)
        return "" if found is None else found["rest"]

    def asked(self) -> Asked:
        """Return the request as the server gets it."""
        pairs = [(name, value) for name, values in self.query.items() for value in values]
        target = quote(self.path, safe="/") + (f"?{urlencode(pairs)}" if pairs else "")
        is_file = self.rest.startswith("mlflow-artifacts/")
        kind = "application/octet-stream" if is_file else "application/json"
        return Asked(self.method, target, self.body, _headers(kind, self.workspace))


def _headers(kind: str, workspace: str = "") -> dict[str, str]:
    return {"Content-Type": kind, **({"X-MLFLOW-WORKSPACE": workspace} if workspace else {})}


class Tee:
    """Answers MLflow's clients from the bridge and from the tracking server. Safe to call from any thread.

    The lock guards what is remembered of the server's answers.

    Args:
        api: The bridge's own.
        feedback: Keeps assessments.
        experiments: Learns the names of the server's experiments.
        upstream: The server.
        owed: What it is to get.
    """

    waits: Final = True

    def __init__(
        self,
        api: MlflowApi,
        feedback: Feedback,
        experiments: Experiments,
        upstream: Upstream,
        owed: Owed,
    ) -> None:
        self._api = api
        self._feedback = feedback
        self._experiments = experiments
        self._upstream = upstream
        self._owed = owed
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        feedback.told = self.assessed

    def stats(self) -> Mapping[str, int]:
        """Return how much is owed."""
        return self._owed.stats()

    def answer(
        self, method: str, path: str, query: Query, body: bytes, client: Client = ANYBODY
    ) -> Any:
        """Return the JSON that answers a request, or the server's own answer.

        Raises:
            ApiError: It is refused, or the server does not answer.
        """
        came = _Came(method, path, query, body, client.workspace)
        rest = came.rest
        if EXPERIMENT.fullmatch(rest):
            return self._experiment(came)
        if ABLE.fullmatch(rest):
            return self._there_or_here(came)
        if SEARCH.fullmatch(rest):
            return self._there_or_here(came, settled=True)
        if BATCH.fullmatch(rest):
            return self._batch(came)
        for wanted, pattern in OWED:
            found = pattern.fullmatch(rest) if wanted == method else None
            if found is not None:
                return self._taken(came, found.groupdict().get("trace"))
        return self._here_or_there(came)

    def _here(self, came: _Came) -> Any:
        found = self._api.answer(
            came.method, came.path, came.query, came.body, Client(came.workspace)
        )
        return now(found)

    def _here_or_there(self, came: _Came) -> Any:
        try:
            return self._here(came)
        except ApiError as error:
            if error.status not in {404, 501} or not came.rest:
                raise
        changed = ASSESSMENT.fullmatch(came.rest) if came.method in {"PATCH", "DELETE"} else None
        if changed is not None:
            self._learn_assessment(came, changed["trace"])
            return self._here(came)
        return self._there(came, settled=TRACES.fullmatch(came.rest) is not None)

    def _learn_assessment(self, came: _Came, trace_id: str) -> None:
        """Keep an assessment that only the server has, so that its change leaves over OTLP as well.

        Raises:
            ApiError: The server does not have it either, or does not answer.
        """
        answer = self._there(came._replace(method="GET", body=b"", query={}), settled=True)
        document = (
            as_dict(read_json(answer.body)).get("assessment") if answer.status == 200 else None
        )
        if not isinstance(document, dict):
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", "No such assessment is known")
        self._feedback.kept.put(otel_id(trace_id), document)

    def _there(self, came: _Came, *, settled: bool = False) -> Answer:
        """Return the server's own answer.

        Args:
            came: The request.
            settled: Whether the server must have what is owed to it before.

        Raises:
            ApiError: It does not answer, is busy, or does not have what is owed to it in time.
        """
        if settled and not self._owed.settle(SETTLE_SECONDS):
            raise _later(f"{self._upstream.where} does not have the newest traces yet")
        asked = came.asked()
        try:
            answer = self._upstream.ask(asked, ANSWER_SECONDS)
        except NoAnswerError as error:
            raise _later(str(error)) from None
        if verdict(asked, answer) == "later":
            raise _later(f"{self._upstream.where} is busy")
        return answer

    def _experiment(self, came: _Came) -> Answer:
        """Answer as the server does; while it does not, as it did the last time."""
        key = (came.workspace, came.asked().target)
        lookup = LOOKED_UP.fullmatch(came.rest) is not None
        try:
            answer = self._there(came)
        except ApiError:
            with self._lock:
                known = self._answers.get(key)
            if known is None or not lookup:
                raise
            return known
        if answer.status == 200 and lookup:
            self._learn_experiment(answer)
            with self._lock:
                self._answers[key] = answer
                self._answers.move_to_end(key)
                if len(self._answers) > MAX_REMEMBERED:
                    self._answers.popitem(last=False)
        return answer

    def _learn_experiment(self, answer: Answer) -> None:
        said = as_dict(as_dict(read_json(answer.body)).get("experiment"))
        identity, name = said.get("experiment_id"), said.get("name")
        if isinstance(identity, str) and isinstance(name, str):
            self._experiments.learn(identity, name)

    def _there_or_here(self, came: _Came, *, settled: bool = False) -> Any:
        """Answer as the server does; while it does not, as the bridge does."""
        try:
            return self._there(came, settled=settled)
        except ApiError:
            return self._here(came)

    def _batch(self, came: _Came) -> Any:
        """Return traces with their spans: those that are here, and the server's."""
        found = as_list(as_dict(self._here(came)).get("traces"))
        known = {as_dict(as_dict(one).get("trace_info")).get("trace_id") for one in found}
        missing = [one for one in came.query.get("trace_ids", ()) if one not in known]
        if missing:
            answer = self._there(came._replace(query={"trace_ids": missing}), settled=True)
            if answer.status == 200:
                found = [*found, *as_list(as_dict(read_json(answer.body)).get("traces"))]
        return {"traces": found}

    def _taken(self, came: _Came, named: str | None) -> Any:
        """Take what concerns a trace; it is owed to the server once the bridge took it."""
        try:
            answer = self._here(came)
        except ApiError as error:
            if error.status == 404 and named is not None:
                return self._there(came, settled=True)  # a trace that only the server knows
            raise
        if named is None:
            info = as_dict(as_dict(answer).get("trace")).get("trace_info")
            named = str(as_dict(info).get("trace_id"))
        self._owed.put(_trace_number(named), came.asked())
        return answer

    def spans(self, request: Any, experiment_id: str | None, workspace: str = "") -> None:
        """Owe an OTLP request to the server if MLflow made its spans, or its sender names an experiment."""
        groups = [group for holder in request.resource_spans for group in holder.scope_spans]
        first = next((span for group in groups for span in group.spans), None)
        if first is None or not (
            experiment_id
            or any(
                span_message.made_by_mlflow(s, group.scope) for group in groups for s in group.spans
            )
        ):
            return
        headers = {**_headers(PROTOBUF, workspace), "X-Mlflow-Experiment-Id": experiment_id or "0"}
        asked = Asked("POST", "/v1/traces", request.SerializeToString(), headers)
        self._owed.put(int.from_bytes(first.trace_id, "big"), asked)

    def assessed(self, trace_id: int, document: Mapping[str, Any], operation: Operation) -> None:
        """Owe an assessment, its change, or that it is no more."""
        place = f"/api/3.0/mlflow/traces/{mlflow_id(trace_id)}/assessments"
        one = f"{place}/{quote(str(document.get('assessment_id')), safe='')}"
        if operation == "create":
            asked = Asked(
                "POST", place, _json({"assessment": document}), _headers("application/json")
            )
        elif operation == "delete":
            asked = Asked("DELETE", one, b"", _headers("application/json"))
        else:
            mask = ",".join(
                name for name, field in MASK.items() if field in document and field not in UNSAID
            )
            said = {"assessment": document, "update_mask": mask}
            asked = Asked("PATCH", one, _json(said), _headers("application/json"))
        self._owed.put(trace_id, asked)


def _json(said: object) -> bytes:
    return json.dumps(said).encode()


def _trace_number(named: str) -> int:
    try:
        return otel_id(named)
    except MalformedError:
        return 0


def _later(message: str) -> ApiError:
    return ApiError(503, "TEMPORARILY_UNAVAILABLE", message)
