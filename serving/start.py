"""Puts the service together: `application` for the rendered `service.py`, `Application.start` when a server begins."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from pydantic import PydanticSchemaGenerationError
from pydantic_core import SchemaError

from serving import formats, manifest, memory, tracing
from serving.answers import Answer, Answers
from serving.app import App, Request, Route, Scope, Send
from serving.batch import Batch
from serving.bodies import Receive
from serving.describe import openapi, page
from serving.drain import End, install
from serving.errors import Rejected
from serving.grpc_protocol import GrpcServer
from serving.inference_protocol import InferenceProtocol
from serving.keys import Keys
from serving.logs import PredictionLog, to_stderr
from serving.manifest import Manifest, Refusal
from serving.metrics import Metrics
from serving.model import Gone, Model
from serving.schema import Schema

log = logging.getLogger("serving")

_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_JSON_TYPES = {"", "application/json", "application/x-www-form-urlencoded", "text/plain"}  # curl's -d says the third

_STARTUP_FAILURE = 3  # uvicorn's: its supervisor starts no other in the place of such a worker

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Application:
    """
    The whole service as an ASGI application. Nothing is loaded before `start`, so that a tool may import it.

    Args:
        found: What it is.
        schema: The types of its signature.
    """

    def __init__(self, found: Manifest, schema: Schema) -> None:
        self.manifest = found
        self.schema = schema
        self.example = manifest.example()
        self.answers = Answers(found)
        self._inner: Asgi | None = None
        self._app: App | None = None
        self._draining = False
        self._model: Model | None = None
        self._grpc: GrpcServer | None = None

    def around(self, inner: Asgi) -> Application:
        """Hand what it does not know itself to *inner*, the lifespan included, and return itself."""
        self._inner = inner
        return self

    def in_front_of(self, inner: Asgi) -> Asgi:
        """The same as a middleware: an ASGI application that answers before *inner* does."""
        return partial(self._front, inner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI demands."""
        if self._inner is not None:
            await self._front(self._inner, scope, receive, send)
        elif scope["type"] == "http" and self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._front(self._lifespan, scope, receive, send)

    async def _front(self, inner: Asgi, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await inner(scope, self._closing_grpc(receive), self._opening_grpc(send))
        elif scope["type"] == "http" and self._app is not None and self._is_ours(self._app, scope):
            await self._app(scope, receive, send)
        else:
            await inner(scope, receive, self._named(send))

    def _named(self, send: Send) -> Send:
        """Let an answer that is not ours name the model too."""

        async def named(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.answers.headers]}
            await send(message)

        return named

    @staticmethod
    def _is_ours(app: App, scope: Scope) -> bool:
        path = scope["path"]
        return path in app.routes or path.startswith("/v2/") or not app.admits(scope)

    def _opening_grpc(self, send: Send) -> Send:
        async def opening(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete" and self._grpc is not None:
                try:
                    await self._grpc.start()
                except Refusal as error:
                    _give_up(str(error))
            await send(message)

        return opening

    def _closing_grpc(self, receive: Receive) -> Receive:
        async def closing() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._grpc is not None:
                await self._grpc.stop()
            return message

        return closing

    def start(self) -> None:
        """Prove and load the model, and take requests; ends the process with one sentence if that cannot be."""
        if self._model is not None:
            return
        manifest.forbid_bytecode()
        to_stderr(self.manifest)
        try:
            manifest.verify(self.manifest)
            for sentence in manifest.other_versions():
                log.warning(sentence)
            self._open()
        except Refusal as error:
            _give_up(str(error))
        # What is alive now stays alive; walking it at every collection cost up to 190 ms at the 99th percentile.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        end = install(self.drain, self.manifest.settings.drain_s)
        if end and (limit_mb := self.manifest.settings.max_memory_mb):
            self._watch = asyncio.get_running_loop().create_task(memory.watch(limit_mb * 1_000_000, self._retire(end)))
        log.info("%s is ready", self.manifest.title)

    def drain(self) -> None:
        """Take requests, but say that no more are welcome: the service is about to end."""
        self._draining = True
        if self._app:
            self._app.closing = True
            self._app.metrics.ready(ready=False)
        log.info("draining")

    def _retire(self, end: End) -> Callable[[], None]:
        def retire() -> None:
            if self._app:
                self._app.closing = True
            end()

        return retire

    def stop(self) -> None:
        """Write down what waits to be written."""
        if self._model is not None:
            self._kept.stop()
            log.info("ended")

    async def predict(self, batch: Batch, request_id: str = "", gone: Gone | None = None) -> list[Any]:
        """Predictions for *batch*, counted and perhaps logged. Raises as `Model.predict`, to which *gone* goes."""
        assert self._model is not None  # noqa: S101  # `start` comes first
        answers = await self._model.predict(batch, gone)
        self._metrics.predicted(batch, answers)
        self._kept.keep(request_id, batch, answers)
        return answers

    def _open(self) -> None:
        settings = self.manifest.settings
        try:
            self.schema.bind(settings.max_rows)
        except (PydanticSchemaGenerationError, SchemaError) as error:
            raise Refusal(f"the signature cannot be checked: {error}") from error
        self._metrics = metrics = Metrics(self.manifest)
        self._kept = PredictionLog(settings.log_predictions, self.answers.who, metrics.dropped)
        self._tables = formats.Tables(self.manifest, self.schema)
        self._model = model = Model(self.manifest, self.example, metrics.asked)
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            metrics.waiting.set_function(lambda: model.waiting)
        app = App(self.manifest, self.answers, metrics)
        app.keys = Keys() if settings.api_keys else None
        app.span = tracing.open_tracer(self.manifest)
        protocol = InferenceProtocol(
            self.manifest, self.schema, self.answers, self.predict, lambda: self.welcome, lambda: not model.hung
        )
        app.routes.update({**self._routes(), **protocol.routes()})
        self._grpc = GrpcServer(self.manifest, protocol, app) if settings.grpc_port else None
        self._kept.start()
        self._app = app
        metrics.ready(ready=True)

    def _routes(self) -> dict[str, Route]:
        described = openapi(self.manifest, self.schema, self.example)
        health = partial(Route, open=True, quiet=True)
        live, ready = health({"GET": self._live}, "/livez"), health({"GET": self._ready}, "/readyz")
        routes = {
            "/predict": Route({"POST": self._predict}, "/predict"),
            "/api/Prediction": Route({"POST": self._predict_one}, "/api/Prediction"),
            "/metadata": Route({"GET": _constant(self.answers.json(self.manifest.content))}, "/metadata"),
            "/openapi.json": Route({"GET": _constant(self.answers.json(described))}, "/openapi.json"),
            "/docs.json": Route({"GET": _constant(self.answers.json(described))}, "/openapi.json", quiet=True),
            "/livez": live,
            "/healthz": live,
            "/readyz": ready,
            "/metrics": health({"GET": self._metrics_text}, "/metrics"),
        }
        # In BentoML's place, too: its page asks strangers' servers for scripts.
        shown = page(self.manifest, self.example)
        routes["/"] = Route({"GET": _constant(Answer(200, [_HTML], shown))}, "/", quiet=True)
        return routes

    async def _predict(self, request: Request) -> Answer:
        batch = self._read(await request.body(), request.headers)
        found = await self.predict(batch, request.id, request.gone)
        if formats.ARROW.encode() in request.headers.get(b"accept", b""):
            self.answers.encoded(found)  # what JSON cannot say is no answer in another form either
            return Answer(200, [(b"content-type", formats.ARROW.encode())], formats.arrow(found, self.answers.who))
        return self.answers.predictions(found)

    async def _predict_one(self, request: Request) -> Answer:
        """What MLOps.NET's services answer: one record in, the fields of its prediction out."""
        (found,) = await self.predict(self.schema.read_one(await request.body()), request.id, request.gone)
        return self.answers.one(found)

    def _read(self, body: bytes, headers: dict[bytes, bytes]) -> Batch:
        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode(errors="replace")
        if content_type in _JSON_TYPES or content_type.endswith("+json"):
            return self.schema.read(body)
        if formats.known(content_type):
            return self._tables.read(body, content_type)
        raise Rejected(415, "format", f"{content_type} is not read here: send application/json")

    @property
    def welcome(self) -> bool:
        """Whether requests are."""
        return self._app is not None and not self._draining

    async def _live(self, _request: Request) -> Answer:
        assert self._model is not None  # noqa: S101  # as above
        if self._model.hung:
            return Answer(503, [_TEXT], b"the model does not come back\n")
        return Answer(200, [_TEXT], b"ok\n")

    async def _ready(self, _request: Request) -> Answer:
        return Answer(200, [_TEXT], b"ok\n") if self.welcome else Answer(503, [_TEXT], b"draining\n")

    async def _metrics_text(self, _request: Request) -> Answer:
        text, content_type = await asyncio.to_thread(self._metrics.text)
        return Answer(200, [(b"content-type", content_type.encode())], text)

    async def _lifespan(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def application(schema: Schema) -> Application:
    """Make the application of the service folder in which this is."""
    return Application(manifest.read(), schema)


def _constant(answer: Answer) -> Callable[[Request], Awaitable[Answer]]:
    async def handler(_request: Request) -> Answer:
        return answer

    return handler


def _give_up(sentence: str) -> None:
    """End the whole service, also from one of its workers, whom a supervisor would start again for ever."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    bentoml = sys.modules.get("bentoml")
    if bentoml is not None and bentoml.server_context.worker_index is not None:  # under `bentoml serve`
        os.kill(os.getppid(), signal.SIGTERM)
    os._exit(_STARTUP_FAILURE if multiprocessing.parent_process() else 1)
