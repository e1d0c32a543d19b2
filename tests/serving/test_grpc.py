"""The Open Inference Protocol over gRPC, asked by Triton's own client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from serving.grpc_messages import SERVICE, messages
from tests.integration.served_model import COLUMNS, EXAMPLE, free_port
from tests.serving.services import Serve, Service, rendered, serving
from tests.waiting import eventually

SLOW = "import time\n\ndef predict(records):\n    time.sleep(records[0]['s'])\n    return [1 for _ in records]\n"
KEY = "0123456789abcdef"


def matrix(values: Any, datatype: str = "FP64") -> list[triton.InferInput]:
    array = np.array(values, np.float64)
    return [triton.InferInput("x", list(array.shape), datatype).set_data_from_numpy(array)]


def columns() -> list[triton.InferInput]:
    found = []
    for name, datatype, dtype in zip(COLUMNS, ("FP64", "FP32", "INT8"), (np.float64, np.float32, np.int8), strict=True):
        array = np.array([record[name] for record in EXAMPLE], dtype)
        found.append(triton.InferInput(name, [2], datatype).set_data_from_numpy(array))
    return found


def sleeps(seconds: float) -> list[triton.InferInput]:
    return [triton.InferInput("s", [1], "FP64").set_data_from_numpy(np.array([seconds], np.float64)), *others()]


def others() -> list[triton.InferInput]:
    """A second input, by which several are an object to a model without a signature."""
    return [triton.InferInput("more", [1], "FP64").set_data_from_numpy(np.array([0.0]))]


@pytest.fixture(scope="module", params=["asgi", "bentoml"])
def served(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """A service, and where it speaks gRPC."""
    port = free_port()
    options = {"runtime": request.param, "settings": {"grpc_port": port, "max_body_bytes": 300_000}}
    with serving(tmp_path_factory.mktemp("grpc"), model, **options) as service:
        yield service, f"127.0.0.1:{port}"


@pytest.fixture
def client(served: tuple[Service, str]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(served[1]) as found:
        yield found


@pytest.fixture
def serve_grpc(serve: Serve) -> Callable[..., tuple[Service, str]]:
    def start(model: Path | str, *, settings: dict[str, Any] | None = None, **options: Any) -> tuple[Service, str]:
        port = free_port()
        service = serve(model, settings={"grpc_port": port, **(settings or {})}, **options)
        return service, f"127.0.0.1:{port}"

    return start


def test_the_messages_are_those_of_the_client() -> None:
    """Numbers, types and forms of every field."""
    ours = messages()
    for name, kind in ours.items():
        theirs = service_pb2
        for part in name.split("."):
            theirs = getattr(theirs, part)
        assert _fields(kind.DESCRIPTOR) == _fields(theirs.DESCRIPTOR) if name in _WHOLE else _contains(theirs, kind)


_WHOLE = {"InferParameter", "InferTensorContents", "ModelInferRequest", "ModelInferResponse", "ModelMetadataResponse"}


def _contains(theirs: Any, ours: Any) -> bool:
    return _fields(ours.DESCRIPTOR) <= _fields(theirs.DESCRIPTOR)


def _fields(message: Any) -> set[Any]:
    found = set()
    for field in message.fields:
        repeated = getattr(field, "is_repeated", None)
        within = field.message_type.full_name if field.message_type else ""
        choice = field.containing_oneof.name if field.containing_oneof else ""
        is_map = bool(field.message_type and field.message_type.GetOptions().map_entry)
        found.add((field.number, field.name, field.type, repeated, within, choice, is_map))
    return found


def test_health_and_metadata(client: triton.InferenceServerClient, served: tuple[Service, str]) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cancer", "1.0.0")
    said = client.get_model_metadata("cancer", as_json=True)
    http = served[0].ask("/v2/models/cancer").json
    plain = {**said, "inputs": _whole(said["inputs"]), "outputs": _whole(said["outputs"])}
    assert plain == http
    assert client.get_server_metadata(as_json=True) == served[0].ask("/v2").json


def _whole(tensors: list[Any]) -> list[Any]:
    """With numbers for integers of 64 bits, which JSON of protobuf writes as texts."""
    return [{**each, "shape": list(map(int, each["shape"]))} for each in tensors]


def test_columns_and_matrix_give_the_predictions(
    client: triton.InferenceServerClient, served: tuple[Service, str]
) -> None:
    digest = served[0].predict(*EXAMPLE).json["digest"]
    for inputs in (columns(), matrix([list(record.values()) for record in EXAMPLE])):
        found = client.infer("cancer", inputs, request_id="mine", model_version="1.0.0")
        assert found.as_numpy("predictions").tolist() == [1, 0]
        said = found.get_response()
        assert (said.model_name, said.model_version, said.id) == ("cancer", "1.0.0", "mine")
        assert said.parameters["digest"].string_param == digest


def test_typed_contents_are_answered_with_typed_contents(served: tuple[Service, str]) -> None:
    request = service_pb2.ModelInferRequest(model_name="cancer")
    contents = [{"fp64_contents": [17.99, 9.5]}, {"fp32_contents": [10.38, 12]}, {"int_contents": [1, 0]}]
    for name, datatype, values in zip(COLUMNS, ("FP64", "FP32", "INT8"), contents, strict=True):
        request.inputs.add(name=name, datatype=datatype, shape=[2], contents=values)
    with grpc.insecure_channel(served[1]) as channel:
        answer, call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.with_call(request)
        assert list(answer.outputs[0].contents.int64_contents) == [1, 0]
        assert not answer.raw_output_contents
        assert dict(call.trailing_metadata())["x-model"] == "cancer/1.0.0"
        request.inputs[0].datatype = "FP16"
        with pytest.raises(grpc.RpcError) as caught:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        assert "send it as raw contents" in caught.value.details()


def test_raw_contents_must_be_as_many_as_the_inputs(served: tuple[Service, str]) -> None:
    request = service_pb2.ModelInferRequest(model_name="cancer", raw_input_contents=[b"\0" * 24] * 2)
    request.inputs.add(name="x", datatype="FP64", shape=[1, 3])
    with grpc.insecure_channel(served[1]) as channel, pytest.raises(grpc.RpcError) as caught:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "there are 1 inputs, and 2 raw contents"
    assert dict(caught.value.trailing_metadata())["x-model"] == "cancer/1.0.0"


REFUSED: list[tuple[str, list[triton.InferInput], str, str]] = [
    ("other", matrix([[1, 2, 1]]), "NOT_FOUND", "there is no model 'other' here; there is cancer 1.0.0"),
    ("cancer", matrix([[1, 2, 0.5]]), "INVALID_ARGUMENT", "records.0.class: Input should be a valid integer"),
    ("cancer", matrix([[np.nan, 2, 1]]), "INVALID_ARGUMENT", "'mean radius' has a NaN"),
    ("cancer", columns()[:2], "INVALID_ARGUMENT", "the input 'class' is missing"),
    ("cancer", matrix(np.ones((10_001, 3))), "INVALID_ARGUMENT", "at most 10000 rows"),
    ("cancer", matrix(np.ones((20_000, 3))), "RESOURCE_EXHAUSTED", "larger than max"),
]


@pytest.mark.parametrize(("name", "inputs", "code", "sentence"), REFUSED)
def test_a_refusal_has_its_code(
    client: triton.InferenceServerClient, name: str, inputs: list[triton.InferInput], code: str, sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(name, inputs)
    assert caught.value.status() == f"StatusCode.{code}"
    assert sentence in caught.value.message()


def test_a_message_is_measured_when_it_is_decompressed(client: triton.InferenceServerClient) -> None:
    small = client.infer("cancer", matrix(np.ones((9_000, 3))), compression_algorithm="gzip")
    assert len(small.as_numpy("predictions")) == 9_000
    with pytest.raises(InferenceServerException) as caught:
        client.infer("cancer", matrix(np.ones((50_000, 3))), compression_algorithm="gzip")
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_what_takes_too_long_or_waits_with_too_many(serve_grpc: Callable[..., tuple[Service, str]]) -> None:
    _service, address = serve_grpc(SLOW, settings={"max_waiting": 1}, timeout_s=1)
    codes: list[str] = []

    def ask() -> None:
        with triton.InferenceServerClient(address) as client:
            try:
                client.infer("cancer", sleeps(3))
            except InferenceServerException as error:
                codes.append(error.status())

    callers = [threading.Thread(target=ask) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert set(codes) == {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED"}


def test_keys_and_counts_are_those_of_http(serve_grpc: Callable[..., tuple[Service, str]], model: Path) -> None:
    service, address = serve_grpc(model, settings={"api_keys": True}, environment={"MLOPS_API_KEYS": KEY})
    with triton.InferenceServerClient(address) as client:
        assert client.is_model_ready("cancer")
        for headers in ({}, {"x-api-key": KEY + "x"}):
            with pytest.raises(InferenceServerException, match="valid key") as caught:
                client.infer("cancer", columns(), headers=headers)
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}):
            assert client.infer("cancer", columns(), headers=headers).as_numpy("predictions").tolist() == [1, 0]
    label = f"/{SERVICE}/ModelInfer"
    assert service.metric("mlops_requests_total", path=label, status="200") == 2
    assert service.metric("mlops_requests_total", path=label, status="401") == 2
    assert service.metric("mlops_rejected_total", reason="unauthorized") == 2
    assert service.metric("mlops_request_seconds_count", path=label) == 4
    assert service.metric("mlops_in_flight") == 1  # the one that asks for it


@pytest.mark.parametrize("runtime", ["asgi", "bentoml"])
def test_who_waits_when_it_ends_is_answered(serve_grpc: Callable[..., tuple[Service, str]], runtime: str) -> None:
    service, address = serve_grpc(SLOW, runtime=runtime)
    answers: list[Any] = []
    with triton.InferenceServerClient(address) as client:
        waiting = client.async_infer(
            "cancer", sleeps(3), callback=lambda result, error: answers.append(error or result)
        )
        eventually(lambda: service.metric("mlops_in_flight") == 2)
        assert service.end() == 0
        del waiting
        eventually(lambda: answers)
    assert answers[0].as_numpy("predictions").tolist() == [1], answers
    assert "Traceback" not in service.log


def test_a_caller_who_goes_away_harms_nobody(client: triton.InferenceServerClient, served: tuple[Service, str]) -> None:
    for _ in range(5):
        client.async_infer("cancer", columns(), callback=lambda **_: None).cancel()
    with socket.create_connection(("127.0.0.1", int(served[1].rpartition(":")[2]))) as caller:
        caller.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense")
    assert client.infer("cancer", columns()).as_numpy("predictions").tolist() == [1, 0]
    assert "Traceback" not in served[0].log


@pytest.mark.parametrize("runtime", ["asgi", "bentoml"])
def test_workers_share_the_port(serve_grpc: Callable[..., tuple[Service, str]], model: Path, runtime: str) -> None:
    service, address = serve_grpc(model, workers=2, runtime=runtime)
    while service.log.count(" is ready") < 2:
        assert "does not start" not in service.log
        time.sleep(0.05)
    for _ in range(10):
        with triton.InferenceServerClient(address) as client:
            assert client.infer("cancer", columns()).as_numpy("predictions").tolist() == [1, 0]
    assert service.metric("mlops_requests_total", path=f"/{SERVICE}/ModelInfer", status="200") == 10


def test_a_port_of_somebody_else_is_one_sentence(model: Path, tmp_path: Path) -> None:
    """Also of one who would share it, as another service that answers gRPC might."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        service = Service(rendered(tmp_path / "bundle", model, settings={"grpc_port": port}))
        assert service.process.wait(60) == 1
    assert f"this service does not start: gRPC cannot listen on 127.0.0.1:{port}" in service.log
    assert "Traceback" not in service.log


def test_without_grpc_it_says_so(model: Path, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/grpc.py").write_text("raise ImportError('there is none here', name='grpc')\n")
    environment = {"PYTHONPATH": str(tmp_path / "without")}
    service = Service(
        rendered(tmp_path / "bundle", model, settings={"grpc_port": free_port()}), environment=environment
    )
    assert service.process.wait(60) == 1
    assert "this service does not start: gRPC is asked for, and grpc is not installed" in service.log


def test_without_a_port_nothing_of_grpc_is_loaded(serve: Serve, model: Path, tmp_path: Path) -> None:
    """Most services have none of it installed."""
    for name in ("grpc", "google"):
        (tmp_path / "without" / name).mkdir(parents=True)
        (tmp_path / "without" / name / "__init__.py").write_text("raise ImportError('there is none here')\n")
    service = serve(model, environment={"PYTHONPATH": str(tmp_path / "without")})
    assert service.predict(*EXAMPLE).status == 200
