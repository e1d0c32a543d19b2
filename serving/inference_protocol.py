"""
The Open Inference Protocol, version 2, over HTTP: the clients of KServe and Triton ask for predictions with it.

With the extension for binary tensors. What tensors are to the model is `tensor_inputs` and `tensor_outputs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NotRequired

import orjson
from pydantic import FailFast, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from serving.answers import Answer, Answers, Header
from serving.app import Request, Route
from serving.batch import Batch
from serving.errors import Rejected, invalid
from serving.kinds import Integer, Text
from serving.manifest import Manifest
from serving.schema import Schema
from serving.tensor_inputs import Inputs
from serving.tensor_outputs import Output, Outputs
from serving.tensors import Tensor, of_bytes, of_values, to_bytes

Predict = Callable[[Batch, str], Awaitable[list[Any]]]

_LENGTH = b"inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")
_NOT_HERE = ("classification", "shared_memory_region")
_MODEL = "/v2/models/{model}"


class _Input(TypedDict):
    name: Text
    datatype: Text
    shape: list[Integer]
    parameters: NotRequired[dict[str, Any]]
    data: NotRequired[list[Any]]


class _Output(TypedDict):
    name: Text
    parameters: NotRequired[dict[str, Any]]


class _Request(TypedDict):
    id: NotRequired[Text]
    parameters: NotRequired[dict[str, Any]]
    inputs: Annotated[list[_Input], Field(min_length=1), FailFast()]
    outputs: NotRequired[list[_Output]]


_REQUEST: TypeAdapter[_Request] = TypeAdapter(_Request)


class InferenceProtocol:
    """
    Answers below `/v2`, and is what the protocol over gRPC asks.

    Args:
        manifest: What is served.
        schema: Checks records.
        answers: Makes answers.
        predict: Gives predictions for a batch and a request id.
        welcome: Whether requests are.
        live: Whether the model still comes back.
    """

    def __init__(
        self,
        manifest: Manifest,
        schema: Schema,
        answers: Answers,
        predict: Predict,
        welcome: Callable[[], bool],
        live: Callable[[], bool],
    ) -> None:
        flavor = import_module(f"flavors.{manifest.content['flavor']}")
        self.welcome = welcome
        self.live = live
        self._manifest = manifest
        self._schema = schema
        self._answers = answers
        self._predict = predict
        self._inputs = Inputs(manifest, schema, columns=hasattr(flavor, "predict_columns"))
        self._outputs = Outputs(manifest, answers.encoded)
        self.server = {"name": "mlops-ci", "version": manifest.version, "extensions": ["binary_tensor_data"]}
        """What is said of the server, whose version is the model's: it is rendered for no other."""
        self.model = {
            "name": manifest.model,
            "versions": [manifest.version],
            "platform": f"mlops-ci_{manifest.content['flavor']}",
            "inputs": self._inputs.metadata(),
            "outputs": self._outputs.metadata(),
        }

    def routes(self) -> dict[str, Route]:
        """What it answers, by path."""
        health = partial(Route, open=True, quiet=True)
        routes = {
            "/v2": Route({"GET": self._said(self.server)}, "/v2"),
            "/v2/health/live": health({"GET": self._health(self.live, "live")}, "/v2/health/live"),
            "/v2/health/ready": health({"GET": self._health(self.welcome, "ready")}, "/v2/health/ready"),
        }
        name = f"/v2/models/{self._manifest.model}"
        for path in (name, f"{name}/versions/{self._manifest.version}"):
            ready = self._health(self.welcome, "ready", name=self._manifest.model)
            routes[path] = Route({"GET": self._said(self.model)}, _MODEL)
            routes[f"{path}/ready"] = health({"GET": ready}, f"{_MODEL}/ready")
            routes[f"{path}/infer"] = Route({"POST": self._infer}, f"{_MODEL}/infer")
        return routes

    async def infer(self, tensors: list[Tensor], wanted: Sequence[str], request_id: str) -> list[Output]:
        """Return the outputs *wanted*, or all if it is empty. Raises `Rejected`."""
        self._outputs.demand(wanted)
        batch = self._inputs.batch(tensors)
        return self._outputs.tensors(await self._predict(batch, request_id), wanted)

    def answered(self, asked_id: str | None) -> dict[str, Any]:
        """What every answer says beside its outputs."""
        said = {"model_name": self._manifest.model, "model_version": self._manifest.version}
        own = {"id": asked_id} if asked_id is not None else {}
        return {**said, **own, "parameters": {"digest": self._manifest.digest}}

    def _said(self, content: dict[str, Any]) -> Callable[[Request], Awaitable[Answer]]:
        answer = self._answers.json(content)

        async def handler(_request: Request) -> Answer:
            return answer

        return handler

    def _health(self, well: Callable[[], bool], word: str, **more: str) -> Callable[[Request], Awaitable[Answer]]:
        async def handler(_request: Request) -> Answer:
            found = well()
            return self._answers.json({**more, word: found}, 200 if found else 503)

        return handler

    async def _infer(self, request: Request) -> Answer:
        asked, binary = self._read(await request.body(), request.headers.get(_LENGTH))
        wanted = asked.get("outputs", [])
        for each in wanted:
            _refuse_parameters(each["name"], each.get("parameters", {}))
        tensors = _tensors(asked["inputs"], binary)
        outputs = await self.infer(tensors, [each["name"] for each in wanted], request.id)
        usual = bool(asked.get("parameters", {}).get("binary_data_output", False))
        forms = {each["name"]: bool(each.get("parameters", {}).get("binary_data", usual)) for each in wanted}
        return self._answer(
            asked.get("id"), outputs, {output.name: forms.get(output.name, usual) for output in outputs}
        )

    def _read(self, body: bytes, length: bytes | None) -> tuple[_Request, bytes]:
        """The request, and the bytes of tensors behind it."""
        end = len(body)
        if length is not None:
            end = int(length) if length.isdigit() and len(length) < 20 else -1
            if not 0 <= end <= len(body):
                said = length.decode(errors="replace")
                raise invalid(f"Inference-Header-Content-Length is {said}, and the body has {len(body)} bytes")
        try:
            return _REQUEST.validate_json(body[:end]), body[end:]
        except ValidationError as error:
            raise self._schema.rejection(error) from None

    def _answer(self, asked_id: str | None, outputs: list[Output], binary: dict[str, bool]) -> Answer:
        said, raws = [], []
        for output in outputs:
            tensor: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
            if binary[output.name]:
                raws.append(to_bytes(output.datatype, output.values))
                tensor["parameters"] = {"binary_data_size": len(raws[-1])}
            else:
                tensor["data"] = output.values
            said.append(tensor)
        content = {**self.answered(asked_id), "outputs": said}
        if not raws:
            return self._answers.json(content)
        header = orjson.dumps(content)
        headers: list[Header] = [_BINARY, (_LENGTH, str(len(header)).encode())]
        return Answer(200, headers, b"".join([header, *raws]))


def _tensors(inputs: list[_Input], binary: bytes) -> list[Tensor]:
    """The tensors of *inputs*, some of which may lie in *binary*, one after the other."""
    tensors, place = [], 0
    for each in inputs:
        name, parameters = each["name"], each.get("parameters", {})
        _refuse_parameters(name, parameters)
        size = parameters.get("binary_data_size")
        if (size is None) == ("data" not in each):
            raise invalid(f"the input {name!r} wants either `data` or `binary_data_size`", "inputs", name)
        if size is None:
            tensors.append(of_values(name, each["datatype"], each["shape"], each["data"]))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - place:
            left = len(binary) - place
            raise invalid(f"the input {name!r} has {size} bytes, it says, and {left} are left", "inputs", name)
        tensors.append(of_bytes(name, each["datatype"], each["shape"], binary[place : place + size]))
        place += size
    if place != len(binary):
        raise invalid(f"{len(binary) - place} bytes belong to no input", "inputs")
    return tensors


def _refuse_parameters(name: str, parameters: dict[str, Any]) -> None:
    """Refuse what would change the meaning of a request; anything else is passed over."""
    for parameter in _NOT_HERE:
        if parameters.get(parameter):
            raise Rejected(400, "unsupported", f"{parameter} of {name!r} is not offered here")
