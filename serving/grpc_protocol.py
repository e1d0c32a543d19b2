"""The Open Inference Protocol over gRPC, on a port of its own: answers, limits, keys and counts are those of HTTP."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from serving.answers import Header
from serving.app import App
from serving.errors import Rejected, invalid
from serving.grpc_messages import SERVICE, messages
from serving.inference_protocol import InferenceProtocol
from serving.manifest import Manifest, Refusal
from serving.tensor_outputs import Output
from serving.tensors import Tensor, of_bytes, of_values, text, to_bytes

log = logging.getLogger("serving")

HOST = "MLOPS_HOST"
"""The variable that has the address where the service listens; without it only this machine is answered."""

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",  # RESOURCE_EXHAUSTED would have it sent again
    503: "RESOURCE_EXHAUSTED",
    504: "DEADLINE_EXCEEDED",
}
_CONTENTS = {
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
}
_OPEN = {"ServerLive", "ServerReady", "ModelReady"}
_LONGEST_ID = 128

Method = Callable[[Any, str], Awaitable[Any]]


class GrpcServer:
    """
    Listens on the port of the settings until `stop`.

    Args:
        manifest: Has port and limits.
        protocol: Knows the answers.
        app: Has metrics, keys and traces, which are those of HTTP.
    """

    def __init__(self, manifest: Manifest, protocol: InferenceProtocol, app: App) -> None:
        self._manifest = manifest
        self._settings = manifest.settings
        self._protocol = protocol
        self._app = app
        self._server: Any = None

    async def start(self) -> None:
        """Listen, unless it does. Raises `Refusal` where gRPC is not installed, or the port is another's."""
        if self._server is not None:
            return
        try:
            import grpc  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  # only where it is asked for

            self._messages = messages()
        except ImportError as error:
            raise Refusal(f"gRPC is asked for, and {error.name} is not installed") from error
        options = [
            ("grpc.max_receive_message_length", self._settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            # Several workers share the port; one must hear that it is taken.
            ("grpc.so_reuseport", int("PROMETHEUS_MULTIPROC_DIR" in os.environ)),
        ]
        self._grpc = grpc
        self._server = grpc.aio.server(options=options)
        methods: dict[str, Method] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        handlers = {name: self._handler(name, method) for name, method in methods.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        host = os.environ.get(HOST, "127.0.0.1")
        address = f"{f'[{host}]' if ':' in host else host}:{self._settings.grpc_port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise Refusal(f"gRPC cannot listen on {address}") from error
        await self._server.start()

    async def stop(self) -> None:
        """Take no more requests, and wait for the answers to those that were taken."""
        if self._server is not None:
            await self._server.stop(self._settings.timeout_s)

    def _handler(self, name: str, method: Method) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            return await self._answer(name, method, request, context)

        return self._grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=self._messages[f"{name}Request"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    async def _answer(self, name: str, method: Method, request: Any, context: Any) -> Any:
        """Answer, whatever happens, and count it as a request over HTTP is counted."""
        started = time.perf_counter()
        metrics, label = self._app.metrics, f"/{SERVICE}/{name}"
        headers = {key.encode(): _bytes(value) for key, value in context.invocation_metadata() or ()}
        request_id = _request_id(headers, request)
        status, found, said = 200, None, ""
        metrics.in_flight.inc()
        try:
            with self._app.span(label, headers):
                if self._app.keys is not None and name not in _OPEN:
                    self._app.keys.demand(headers)
                found = await method(request, request_id)
        except Rejected as error:
            metrics.rejected(error.reason, error.detail)
            status, said = error.status, str(error)
        except Exception:
            log.exception("a request failed", extra={"request_id": request_id})
            metrics.rejected("failed", [])
            status, said = 500, "the service failed; its log says how"
        finally:
            metrics.in_flight.dec()
        seconds = time.perf_counter() - started
        metrics.answered(label, status, seconds)
        if status >= 500 or (self._settings.access_log and name not in _OPEN):
            shown = {"request_id": request_id, "path": label, "status": status, "ms": round(seconds * 1000, 3)}
            log.log(logging.ERROR if status >= 500 else logging.INFO, "answered", extra=shown)
        context.set_trailing_metadata(self._trailing(request_id))
        if found is None:
            await context.abort(self._grpc.StatusCode[_CODES.get(status, "INTERNAL")], said)
        return found

    def _trailing(self, request_id: str) -> tuple[tuple[str, str], ...]:
        own: list[Header] = [(b"x-request-id", request_id.encode()), *self._app.answers.headers]
        return tuple((name.decode(), value.decode()) for name, value in own)

    async def _live(self, _request: Any, _request_id: str) -> Any:
        return self._messages["ServerLiveResponse"](live=self._protocol.live())

    async def _ready(self, _request: Any, _request_id: str) -> Any:
        return self._messages["ServerReadyResponse"](ready=self._protocol.welcome())

    async def _model_ready(self, request: Any, _request_id: str) -> Any:
        self._demand(request.name, request.version)
        return self._messages["ModelReadyResponse"](ready=self._protocol.welcome())

    async def _server_metadata(self, _request: Any, _request_id: str) -> Any:
        return self._messages["ServerMetadataResponse"](**self._protocol.server)

    async def _model_metadata(self, request: Any, _request_id: str) -> Any:
        self._demand(request.name, request.version)
        return self._messages["ModelMetadataResponse"](**self._protocol.model)

    async def _infer(self, request: Any, request_id: str) -> Any:
        self._demand(request.model_name, request.model_version)
        wanted = [output.name for output in request.outputs]
        outputs = await self._protocol.infer(_tensors(request), wanted, request_id)
        return self._inferred(request, outputs)

    def _demand(self, name: str, version: str) -> None:
        own = self._manifest
        if name != own.model or version not in ("", own.version):
            asked = f"{name} {version}".strip()
            raise Rejected(404, "unknown-model", f"there is no model {asked!r} here; there is {own.title}")

    def _inferred(self, request: Any, outputs: list[Output]) -> Any:
        """The answer: raw where raw tensors were sent, typed where those were."""
        said = self._protocol.answered(request.id)
        answer = self._messages["ModelInferResponse"](**{**said, "parameters": {}})
        for name, value in said["parameters"].items():
            answer.parameters[name].string_param = value
        for output in outputs:
            tensor = answer.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
            if request.raw_input_contents:
                answer.raw_output_contents.append(to_bytes(output.datatype, output.values))
                continue
            values = [value.encode() for value in output.values] if output.datatype == "BYTES" else output.values
            getattr(tensor.contents, _CONTENTS[output.datatype]).extend(values)
        return answer


def _tensors(request: Any) -> list[Tensor]:
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise invalid(f"there are {len(request.inputs)} inputs, and {len(raws)} raw contents", "inputs")
    if raws:
        pairs = zip(request.inputs, raws, strict=True)
        return [of_bytes(each.name, each.datatype, list(each.shape), raw) for each, raw in pairs]
    return [of_values(each.name, each.datatype, list(each.shape), _contents(each)) for each in request.inputs]


def _contents(tensor: Any) -> list[Any]:
    if tensor.datatype not in _CONTENTS:
        raise invalid(f"the tensor {tensor.name!r} is {tensor.datatype}: send it as raw contents", tensor.name)
    values = list(getattr(tensor.contents, _CONTENTS[tensor.datatype]))
    return [text(tensor.name, value) for value in values] if tensor.datatype == "BYTES" else values


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _request_id(headers: dict[bytes, bytes], request: Any) -> str:
    """The caller's own, if a log and a header can hold it; else a new one."""
    given = headers.get(b"x-request-id", b"").decode(errors="replace") or str(getattr(request, "id", ""))
    return given if 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable() else os.urandom(8).hex()
