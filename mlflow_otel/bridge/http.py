"""The bridge's HTTP face: OTLP/HTTP, MLflow's API, health and metrics.

Follows https://opentelemetry.io/docs/specs/otlp/#otlphttp for ``/v1/*``. Errors of MLflow's API are
JSON, whatever the path: a client takes any other 404 for a server that is none.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mlflow_otel.bridge.access import SAFE_METHODS, Access
from mlflow_otel.bridge.bodies import (
    JSON,
    PROTOBUF,
    RefusedError,
    otlp_message,
    unpacked,
)
from mlflow_otel.bridge.experiments import HEADER, Client
from mlflow_otel.bridge.failing import failed
from mlflow_otel.bridge.feedback import Feedback, UnknownTraceError, read_request
from mlflow_otel.bridge.mlflow_api import VERSION, Api, ApiError
from mlflow_otel.bridge.patience import ANSWERS, PATIENCE, Patience
from mlflow_otel.bridge.soon import Soon, awaited, now
from mlflow_otel.bridge.trace_info import MalformedError
from mlflow_otel.bridge.upstream import Answer
from mlflow_otel.bridge.way_in import Taken, WayIn
from mlflow_otel.otlp.envelope import SHAPES
from mlflow_otel.receiver.server import MAX_BODY_BYTES
from mlflow_otel.settings import SIGNALS, Signal
from mlflow_otel.v1.assessment_pb2 import Assessment

BODY_SECONDS: Final = 30.0
"""How long a client may take to send a body."""
SMALL_BYTES: Final = 256 * 1024
"""Of a body that is taken without a thread: parsing it takes about a millisecond."""
START_TRACE: Final = ("POST", "/api/3.0/mlflow/traces")
"""What clients send once a trace: it is only put where its spans are, which tells whether there is room for it."""
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
CODES: Final = {400: 3, 401: 16, 403: 7, 408: 4, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}
"""gRPC's codes, for the ``Status`` that OTLP's errors are."""
API_CODES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
SAID: Final = (RefusedError, ApiError, MalformedError, UnknownTraceError)
"""Errors that say what is wrong with a request. Any other is one of the bridge."""
Handler = Callable[[Request], Awaitable[Response]]


class JsonAnswer(Response):
    """JSON in ASCII: what a client sent can be answered, were it half a surrogate pair or no number."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, separators=(",", ":")).encode()


class HttpFace:
    """Makes the ASGI application.

    Args:
        intake: Takes what comes.
        api: Answers MLflow's clients.
        feedback: Takes assessments.
        access: Who may send.
        max_bytes: Of a body, before and after decompression.
        body_seconds: How long a client may take to send one.
    """

    def __init__(
        self,
        intake: WayIn,
        api: Api,
        feedback: Feedback,
        access: Access,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._intake = intake
        self._api = api
        self._feedback = feedback
        self._access = access
        self._max_bytes = max_bytes
        self._body_seconds = body_seconds
        self.stopping = False
        """Whether the bridge ends: it is not ready any more."""

    def application(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/version", _text(VERSION)),
                Route("/health", _text("OK")),
                Route("/healthz", _text("ok\n")),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                *(
                    Route(f"/v1/{signal}", self._otlp(signal), methods=["POST"])
                    for signal in SIGNALS
                ),
                Route("/v1/feedback", self._assess, methods=["POST"]),
                Route("/{path:path}", self._mlflow, methods=METHODS),
            ]
        )

    async def _ready(self, _request: Request) -> Response:
        if self.stopping:
            return PlainTextResponse("the bridge is ending\n", 503)
        why = self._intake.unready
        return PlainTextResponse("ok\n") if why is None else PlainTextResponse(f"{why}\n", 503)

    async def _metrics(self, request: Request) -> Response:
        refused = self._access.refused(request.method, request.headers)
        if refused is not None:
            return PlainTextResponse(f"{refused[1]}\n", refused[0])
        counted = await run_in_threadpool(self._intake.stats)
        return PlainTextResponse(exposition({**counted, **self._api.stats()}))

    async def _body(self, request: Request) -> bytes:
        """Return a request's body as it came, within the bounds."""
        whole = bytearray()
        try:
            with anyio.fail_after(self._body_seconds):
                async for chunk in request.stream():
                    whole += chunk
                    if len(whole) > self._max_bytes:
                        raise RefusedError(413, f"the body is larger than {self._max_bytes} bytes")
        except TimeoutError:
            raise RefusedError(408, f"no whole body came in {self._body_seconds:g} s") from None
        except ClientDisconnect:
            raise RefusedError(400, "the body is torn") from None
        return bytes(whole)

    async def _taken(
        self, request: Request, act: Callable[[bytes], Any], *, at_once: bool = False
    ) -> Any:
        """Let ``act`` take a request's body, if the request may come in.

        Args:
            request: The request.
            act: Takes the body as it was before compression. It is called in a thread, since it may wait.
            at_once: Whether it never waits: then a small body is taken here. Going to a thread and back
                costs more than taking it.

        Raises:
            RefusedError: It is not taken; with 500 if the bridge fails at it.
        """
        refused = self._access.refused(request.method, request.headers)
        if refused is not None:
            raise RefusedError(*refused)
        if request.method not in SAFE_METHODS and not _starts_trace(request):
            self._intake.make_sure_of_room()
        body = await self._body(request)
        encoding = request.headers.get("content-encoding", "")
        try:
            if at_once and len(body) <= SMALL_BYTES and not encoding:
                return await awaited(act(body))
            return await awaited(
                await run_in_threadpool(lambda: act(unpacked(body, encoding, self._max_bytes)))
            )
        except SAID:
            raise
        except Exception as error:  # whatever it is: the client gets an answer that it can read
            raise failed(error) from error

    def _client(self, request: Request) -> Client:
        prefix = self._access.prefix_of(request.headers.get("authorization", ""))
        return Client(request.headers.get("x-mlflow-workspace", ""), prefix)

    def _otlp(self, signal: Signal) -> Handler:
        async def take(request: Request) -> Response:
            kind = _kind(request)

            def act(body: bytes) -> Soon[Taken]:
                client, named = self._client(request), request.headers.get(HEADER)
                if named is not None:
                    named = self._intake.experiments.own(named, client)
                message = otlp_message(signal, body, kind)
                taken = self._intake.otlp(signal, message, named)
                if signal == "traces" and self._api.waits:
                    now(taken)
                    self._api.spans(message, named, client.workspace)
                return taken

            try:
                taken = await self._taken(request, act, at_once=not self._api.waits)
            except RefusedError as refused:
                return otlp_error(refused, kind)
            PATIENCE.taken()
            return otlp_answer(signal, taken, kind)

        return take

    async def _assess(self, request: Request) -> Response:
        kind = _kind(request)

        def act(body: bytes) -> Any:
            said = read_request(body, kind)
            if isinstance(said, Assessment):
                return {"assessment": self._feedback.one(said)}
            return self._feedback.export(said)

        try:
            answer = await self._taken(request, act)
        except RefusedError as refused:
            code = API_CODES.get(refused.status, "BAD_REQUEST")
            return api_error(refused.status, code, refused.message)
        except UnknownTraceError as error:
            return api_error(404, "RESOURCE_DOES_NOT_EXIST", str(error))
        except MalformedError as error:
            return api_error(400, "INVALID_PARAMETER_VALUE", str(error))
        return JsonAnswer(answer) if isinstance(answer, dict) else _encoded(answer, kind)

    async def _mlflow(self, request: Request) -> Response:
        def act(body: bytes) -> Any:
            query: dict[str, list[str]] = {}
            for name, value in request.query_params.multi_items():
                query.setdefault(name, []).append(value)
            client = self._client(request)
            return self._api.answer(request.method, request.url.path, query, body, client)

        starts = _starts_trace(request)
        patience = PATIENCE if starts else ANSWERS
        try:
            answer = await self._taken(request, act, at_once=starts and not self._api.waits)
        except RefusedError as refused:
            code = API_CODES.get(refused.status, "BAD_REQUEST")
            return api_error(refused.status, code, refused.message, patience)
        except ApiError as error:
            return api_error(error.status, error.code, error.message, patience)
        if isinstance(answer, Answer):
            again = _again(answer.status, patience)
            return Response(answer.body, answer.status, again, answer.kind or None)
        return Response(b"") if answer is None else JsonAnswer(answer)


def _starts_trace(request: Request) -> bool:
    return (request.method, request.url.path) == START_TRACE


def _text(text: str) -> Handler:
    async def answer(_request: Request) -> Response:
        return PlainTextResponse(text)

    return answer


def otlp_answer(signal: Signal, taken: Taken, kind: str) -> Response:
    """Return OTLP's answer, in the encoding that was asked in."""
    shape = SHAPES[signal]
    message = shape.response()
    if taken.rejected or taken.message:
        setattr(message.partial_success, shape.rejected, taken.rejected)
        message.partial_success.error_message = taken.message
    return _encoded(message, kind)


def _encoded(message: Any, kind: str) -> Response:
    if kind == JSON:
        return Response(json_format.MessageToJson(message, indent=None), media_type=JSON)
    return Response(message.SerializeToString(), media_type=PROTOBUF)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def otlp_error(refused: RefusedError, kind: str) -> Response:
    """Return a ``Status`` in the encoding that was asked in; in JSON with ``detail``, as MLflow's server has it."""
    code = CODES.get(refused.status, 2)
    headers = _again(refused.status, PATIENCE)
    if kind == PROTOBUF:
        body = Status(code=code, message=refused.message).SerializeToString()
        return Response(body, refused.status, headers, PROTOBUF)
    said = {"code": code, "message": refused.message, "detail": refused.message}
    return JsonAnswer(said, refused.status, headers)


def api_error(status: int, code: str, message: str, patience: Patience = ANSWERS) -> Response:
    """Return an error in the form of MLflow's API."""
    return JsonAnswer({"error_code": code, "message": message}, status, _again(status, patience))


def _again(status: int, patience: Patience) -> dict[str, str]:
    """Return when to come again, where that helps; MLflow's Python client keeps to it."""
    if status == 401:
        return {"WWW-Authenticate": 'Basic realm="mlflow-otel", Bearer'}
    return {"Retry-After": str(patience.seconds())} if status in {429, 503} else {}


def exposition(stats: Any) -> str:
    """Return counters in Prometheus's text format."""
    lines = ["# TYPE mlflow_otel_bridge_items gauge"]
    for name, number in sorted(stats.items()):
        lines.append(f"mlflow_otel_bridge_items{{what={json.dumps(name)}}} {number}")
    return "\n".join(lines) + "\n"
