"""The Open Inference Protocol over HTTP, asked by Triton's own client."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from mlops_ci.entities import Signature
from serving.answers import Answers
from serving.errors import Rejected
from serving.manifest import Manifest, Settings
from serving.tensor_outputs import Outputs
from tests.integration import served_model
from tests.integration.served_model import COLUMNS, EXAMPLE
from tests.serving.services import Answer, Serve, Service, python_model, serving

INFER = "/v2/models/cancer/infer"
LENGTH = "Inference-Header-Content-Length"
DTYPES = {"mean radius": "FP64", "mean texture": "FP64", "class": "INT64"}
NUMPY = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "INT8": np.int8, "UINT64": np.uint64, "BOOL": bool}

ECHO = "def predict(records):\n    return records\n"
MIXED = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "size": {"type": ["number", "null"]},
        "flag": {"type": "boolean"},
        "kind": {"enum": ["a", "b"]},
    },
}
MIXED_TYPES = {"text": "BYTES", "count": "INT64", "size": "FP64", "flag": "BOOL", "kind": "BYTES"}


def tensor(name: str, datatype: str, values: Any, *, binary: bool = True) -> triton.InferInput:
    array = np.array([value.encode() for value in values], object) if datatype == "BYTES" else None
    array = np.array(values, NUMPY[datatype]) if array is None else array
    return triton.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


def columns(records: list[Any], types: dict[str, str] = DTYPES, *, binary: bool = True) -> list[triton.InferInput]:
    """A tensor for each column of *types*; NaN for null."""
    listed = {name: [record[name] for record in records] for name in types}
    listed = {name: [np.nan if value is None else value for value in values] for name, values in listed.items()}
    return [tensor(name, types[name], values, binary=binary) for name, values in listed.items()]


@pytest.fixture
def client(typed: Service) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{typed.port}") as found:
        yield found


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A model of plain Python that answers what it was asked, so that a test sees the records."""
    folder = tmp_path_factory.mktemp("echo")
    options = {"flavor": "python", "requirements": [], "signature": Signature(inputs=MIXED, outputs=MIXED)}
    with serving(folder / "bundle", python_model(folder / "model", ECHO), **options) as service:
        yield service


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Trees that take nulls and answer with probabilities: a number that is off by one bit is seen."""
    import joblib  # noqa: PLC0415  # as the other models of tests
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415  # as above

    folder = tmp_path_factory.mktemp("scores")
    table = np.random.default_rng(7).uniform(-100, 100, size=(400, 3))
    table[::7, 1] = np.nan
    trees = HistGradientBoostingClassifier(max_iter=40).fit(table, (table[:, 0] > table[:, 2] / 3).astype(int))
    (folder / "model").mkdir()
    joblib.dump(trees, folder / "model/model.joblib")
    flavor = {"flavor": "sklearn", "columns": COLUMNS, "method": "predict_proba"}
    (folder / "model/flavor.json").write_text(json.dumps(flavor))
    outputs = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    signature = Signature(inputs=served_model.SIGNATURE.inputs, outputs=outputs)
    with serving(folder / "bundle", folder / "model", signature=signature) as service:
        yield service


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cancer")
    assert client.is_model_ready("cancer", "1.0.0")
    assert not client.is_model_ready("cancer", "2.0.0")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("cancer") == client.get_model_metadata("cancer", "1.0.0")
    assert client.get_model_metadata("cancer") == {
        "name": "cancer",
        "versions": ["1.0.0"],
        "platform": "mlops-ci_sklearn",
        "inputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in DTYPES.items()],
        "outputs": [{"name": "predictions", "datatype": "INT64", "shape": [-1]}],
    }


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("form", ["columns", "matrix", "columns of [n, 1]"])
def test_both_forms_of_both_encodings_give_the_predictions(
    client: triton.InferenceServerClient, typed: Service, form: str, *, binary: bool
) -> None:
    """Under any name, where one tensor is all columns; and as binary as was asked for."""
    table = [[record[name] for name in COLUMNS] for record in EXAMPLE]
    inputs = columns(EXAMPLE, binary=binary)
    if form == "matrix":
        inputs = [tensor("input-0", "FP64", table, binary=binary)]
    elif form != "columns":
        inputs = [tensor(n, t, [[each[n]] for each in EXAMPLE], binary=binary) for n, t in DTYPES.items()]
    outputs = [triton.InferRequestedOutput("predictions", binary_data=binary)]
    found = client.infer("cancer", inputs, model_version="1.0.0", outputs=outputs, request_id="mine")
    said = found.get_response()
    assert found.as_numpy("predictions").tolist() == [1, 0]
    assert ("data" in said["outputs"][0]) is not binary
    assert (said["model_name"], said["model_version"], said["id"]) == ("cancer", "1.0.0", "mine")
    assert said["parameters"] == {"digest": typed.predict(*EXAMPLE).json["digest"]}


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_what_the_client_may_add_changes_nothing(client: triton.InferenceServerClient, compression: str) -> None:
    """Compression, parameters, a priority; and nothing but the encoding is told by the lack of `outputs`."""
    found = client.infer(
        "cancer",
        columns(EXAMPLE),
        request_compression_algorithm=compression,
        priority=3,
        sequence_id=7,
        parameters={"mine": "x"},
    )
    assert found.as_numpy("predictions").tolist() == [1, 0]


def changed(number: int, other: triton.InferInput) -> list[triton.InferInput]:
    return [other if place == number else each for place, each in enumerate(columns(EXAMPLE))]


FAULTS: dict[str, tuple[list[triton.InferInput], str]] = {
    "wrong shape": (changed(0, tensor("mean radius", "FP64", [[1.0, 2.0]] * 2)), "shape [2, 2], and the model wants"),
    "wrong datatype": (changed(0, tensor("mean radius", "BYTES", ["1", "2"])), "BYTES, and the model wants FP64"),
    "wrong name": (changed(0, tensor("mean raduis", "FP64", [1, 2])), "no input 'mean raduis'"),
    "missing input": (columns(EXAMPLE)[:2], "the input 'class' is missing"),
    "extra input": ([*columns(EXAMPLE), tensor("more", "FP64", [1, 2])], "no input 'more'"),
    "twice": ([*columns(EXAMPLE), tensor("class", "INT64", [1, 0])], "'class' is there twice"),
    "rows": (changed(0, tensor("mean radius", "FP64", [1.0])), "'mean texture' has 2 rows, and 'mean radius' has 1"),
    "not whole": (changed(2, tensor("class", "FP64", [1.0, 0.5])), "class: Input should be a valid integer"),
    "too large": (changed(2, tensor("class", "UINT64", [1, 2**63])), "class: Input should be less than"),
    "NaN": (changed(0, tensor("mean radius", "FP64", [1.0, np.nan])), "'mean radius' has a NaN, and the model takes"),
    "infinity": (changed(0, tensor("mean radius", "FP64", [1.0, np.inf])), "'mean radius' has an infinity"),
    "NaN in JSON": (changed(0, tensor("mean radius", "FP64", [1.0, np.nan], binary=False)), "has a NaN"),
    "no rows": ([tensor("x", "FP64", np.empty((0, 3)))], "has no rows"),
    "few columns": ([tensor("x", "FP64", [[1.0, 2.0]])], "or one of [n, 3]"),
    "not whole in a matrix": ([tensor("x", "FP64", [[1.0, 2.0, 0.5]] * 40)], "records.0.class: Input should be"),
    "NaN in a large matrix": ([tensor("x", "FP64", [[np.nan, 2.0, 1.0]] * 40)], "'mean radius' has a NaN"),
    "infinity in a large one": ([tensor("x", "FP64", [[1.0, np.inf, 1.0]] * 40)], "'mean texture' has an infinity"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_model_does_not_take_is_a_400_that_says_so(client: triton.InferenceServerClient, fault: str) -> None:
    inputs, sentence = FAULTS[fault]
    with pytest.raises(InferenceServerException) as caught:
        client.infer("cancer", inputs)
    assert caught.value.status() == "400"
    assert sentence in caught.value.message()


def test_too_many_rows_are_a_413(client: triton.InferenceServerClient) -> None:
    assert len(client.infer("cancer", columns(EXAMPLE * 5000)).as_numpy("predictions")) == 10_000
    with pytest.raises(InferenceServerException, match="at most 10000 rows") as caught:
        client.infer("cancer", [tensor("x", "FP64", np.ones((10_001, 3)))])
    assert caught.value.status() == "413"


def test_another_model_version_or_output_is_not_here(client: triton.InferenceServerClient, typed: Service) -> None:
    """And the model is not asked for it."""
    asked_before = typed.metric("mlops_model_seconds_count")
    for name, version in (("other", ""), ("cancer", "2.0.0")):
        with pytest.raises(InferenceServerException, match=r"there are .*/v2/models/cancer/infer") as caught:
            client.infer(name, columns(EXAMPLE), model_version=version)
        assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="no output 'scores'; it has 'predictions'"):
        client.infer("cancer", columns(EXAMPLE), outputs=[triton.InferRequestedOutput("scores")])
    with pytest.raises(InferenceServerException, match="classification of 'predictions' is not offered"):
        client.infer("cancer", columns(EXAMPLE), outputs=[triton.InferRequestedOutput("predictions", class_count=2)])
    assert typed.metric("mlops_model_seconds_count") == asked_before


def sent(service: Service, request: dict[str, Any], raw: bytes = b"", length: str | None = None) -> Answer:
    header = json.dumps(request).encode()
    headers = {LENGTH: str(len(header)) if length is None else length} if raw or length is not None else {}
    return service.ask(INFER, header + raw, headers=headers)


ONE = {"name": "x", "shape": [1, 3], "datatype": "FP64"}
MISFITS: list[tuple[dict[str, Any], bytes, str | None, str]] = [
    ({"inputs": [{**ONE, "parameters": {"binary_data_size": 24}}]}, b"\0" * 23, None, "has 24 bytes, it says, and 23"),
    (
        {"inputs": [{**ONE, "parameters": {"binary_data_size": 16}}]},
        b"\0" * 16,
        None,
        "16 bytes, and its shape wants 24",
    ),
    ({"inputs": [{**ONE, "parameters": {"binary_data_size": 24}}]}, b"\0" * 25, None, "1 bytes belong to no input"),
    ({"inputs": [{**ONE, "parameters": {"binary_data_size": -1}}]}, b"\0" * 24, None, "has -1 bytes, it says"),
    ({"inputs": [{**ONE, "parameters": {"binary_data_size": "24"}}]}, b"\0" * 24, None, "has 24 bytes, it says"),
    ({"inputs": [ONE]}, b"", None, "wants either `data` or `binary_data_size`"),
    ({"inputs": [{**ONE, "data": [1, 2, 3]}]}, b"", "9999", "Inference-Header-Content-Length is 9999"),
    ({"inputs": [{**ONE, "data": [1, 2, 3]}]}, b"", "-1", "Inference-Header-Content-Length is -1"),
    ({"inputs": [{**ONE, "data": [1, 2, 3]}]}, b"", "1" * 5000, "Inference-Header-Content-Length is 1"),
    ({"inputs": [{**ONE, "data": [1, 2, 3]}]}, b"", "10", "Invalid JSON"),
    ({"inputs": [{**ONE, "data": [1, 2]}]}, b"", None, "has 2 values, and its shape wants 3"),
    ({"inputs": [{**ONE, "data": [[1, 2], [3]]}]}, b"", None, "has 2 rows, and its shape says 1"),
    ({"inputs": [{**ONE, "data": [[1, 2]]}]}, b"", None, "is not nested as its shape"),
    ({"inputs": [{**ONE, "data": [1, "2", 3]}]}, b"", None, "has a value of type string"),
    ({"inputs": [{**ONE, "data": [1, True, 3]}]}, b"", None, "has a value of type boolean"),
    ({"inputs": [{**ONE, "datatype": "INT8", "data": [1, 2, 300]}]}, b"", None, "a value that no INT8 holds"),
    ({"inputs": [{**ONE, "datatype": "BF16", "data": [1, 2, 3]}]}, b"", None, "BF16, which is none of BOOL"),
    ({"inputs": [{**ONE, "shape": [], "data": []}]}, b"", None, "has 0 dimensions"),
    ({"inputs": [{**ONE, "shape": [1, -3], "data": []}]}, b"", None, "no dimension is less than 1"),
    ({"inputs": [{**ONE, "shape": [2**62] * 33, "data": []}]}, b"", None, "has 33 dimensions"),
    ({"inputs": [{**ONE, "shape": [1, 2**62], "data": [1]}]}, b"", None, "its shape wants 4611686018427387904"),
    (
        {"inputs": [{**ONE, "shape": ["1"], "data": [1]}]},
        b"",
        None,
        "inputs.0.shape.0: Input should be a valid integer",
    ),
    ({"inputs": []}, b"", None, "inputs: List should have at least 1 item"),
    ({"inputs": [{**ONE, "data": [10**400, 1, 1]}]}, b"", None, "mean radius: Input should be"),
    (
        {"inputs": [{**ONE, "parameters": {"shared_memory_region": "a"}}]},
        b"",
        None,
        "shared_memory_region of 'x' is not",
    ),
    ({}, b"", None, "inputs: Field required"),
    ({"inputs": [{**ONE, "data": [1, 2, 3]}], "id": 5}, b"", None, "id: Input should be a valid string"),
]


@pytest.mark.parametrize(("request_", "raw", "length", "sentence"), MISFITS)
def test_a_malformed_request_is_a_400(
    typed: Service, request_: dict[str, Any], raw: bytes, length: str | None, sentence: str
) -> None:
    answer = sent(typed, request_, raw, length)
    assert answer.status == 400
    assert sentence in answer.json["error"]
    assert answer.json["model"] == "cancer"


def test_a_caller_who_goes_away_in_the_middle_harms_nobody(
    typed: Service, client: triton.InferenceServerClient
) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", typed.port)) as caller:
            head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\n{LENGTH}: 100\r\nContent-Length: 1000\r\n\r\n"
            caller.sendall(head.encode() + b'{"inputs"')
    assert client.infer("cancer", columns(EXAMPLE)).as_numpy("predictions").tolist() == [1, 0]
    assert "Traceback" not in typed.log


def test_requests_are_counted_by_path_and_health_is_quiet(serve: Serve, model: Path) -> None:
    service = serve(model, settings={"access_log": True, "api_keys": True}, environment={"MLOPS_API_KEYS": "k" * 16})
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("cancer")
        with pytest.raises(InferenceServerException, match="valid key"):
            client.infer("cancer", columns(EXAMPLE))
        client.infer("cancer", columns(EXAMPLE), headers={"X-API-Key": "k" * 16})
        client.infer("cancer", columns(EXAMPLE), model_version="1.0.0", headers={"X-API-Key": "k" * 16})
    label = "/v2/models/{model}/infer"
    assert service.metric("mlops_requests_total", path=label, status="200") == 2
    assert service.metric("mlops_requests_total", path=label, status="401") == 1
    logged = [line["path"] for line in service.lines if line["message"] == "answered"]
    assert logged == [INFER, INFER, "/v2/models/cancer/versions/1.0.0/infer"]


def test_a_service_that_ends_is_live_and_not_ready(serve: Serve, model: Path) -> None:
    service = serve(model, environment={"MLOPS_DRAIN_S": "30"})
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        service.process.terminate()
        while client.is_server_ready():
            pass
        assert client.is_server_live()
        assert not client.is_model_ready("cancer")
    service.process.terminate()  # again: at once


def same(service: Service, model: str, records: list[Any], inputs: list[triton.InferInput]) -> None:
    """Assert that /predict and v2 say the same: the predictions, or that there are none."""
    usual = service.predict(*records)
    assert usual.status == 200, usual.body
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        found = client.infer(model, inputs)
    assert answers(found) == usual.json["predictions"]


def answers(found: triton.InferResult) -> list[Any]:
    """The predictions that the tensors of *found* are."""
    listed = {}
    for output in found.get_response()["outputs"]:
        values = found.as_numpy(output["name"]).tolist()
        values = [None if value != value else value for value in values]  # noqa: PLR0124  # NaN is null
        listed[output["name"]] = [each.decode() if isinstance(each, bytes) else each for each in values]
    if "predictions" in listed:
        return listed["predictions"]
    return [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]


NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ROW = st.fixed_dictionaries(
    {"mean radius": NUMBER, "mean texture": st.none() | NUMBER, "class": st.integers(-(2**53), 2**53)}
)
ANY_ROW = st.fixed_dictionaries(
    {
        "text": st.text(),
        "count": st.integers(-(2**63), 2**63 - 1),
        "size": st.none() | NUMBER,
        "flag": st.booleans(),
        "kind": st.sampled_from("ab"),
    }
)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=8), matrix=st.booleans(), binary=st.booleans(), many=st.booleans())
def test_any_numbers_give_the_predictions_of_predict(
    scores: Service, rows: list[Any], *, matrix: bool, binary: bool, many: bool
) -> None:
    """Of few rows, which are records to the service, and of many, which are arrays."""
    rows = rows * 33 if many else rows
    inputs = columns(rows, binary=binary)
    if matrix:
        table = [[np.nan if row[name] is None else row[name] for name in COLUMNS] for row in rows]
        inputs = [tensor("x", "FP64", table, binary=binary)]
    same(scores, "cancer", rows, inputs)


@settings(max_examples=60)
@given(rows=st.lists(ANY_ROW, min_size=1, max_size=40), binary=st.booleans())
def test_any_records_reach_the_model_as_by_predict(echo: Service, rows: list[Any], *, binary: bool) -> None:
    """Texts, integers of 64 bits, truths and nulls: the model answers what it got."""
    same(echo, "cancer", rows, columns(rows, MIXED_TYPES, binary=binary))


def test_large_batches_are_asked_for_as_columns(scores: Service) -> None:
    """With the answers that records give, and the range of 32 bits of a float kept apart from that of 64."""
    random = np.random.default_rng(1)
    rows = [
        {"mean radius": float(np.float32(a)), "mean texture": None if c > 90 else b, "class": int(c)}
        for a, b, c in random.uniform(-100, 100, (5000, 3))
    ]
    types = {"mean radius": "FP32", "mean texture": "FP64", "class": "INT8"}
    same(scores, "cancer", rows, columns(rows, types))


def test_metadata_of_every_type(echo: Service) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{echo.port}") as client:
        said = client.get_model_metadata("cancer")
    wanted = [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in MIXED_TYPES.items()]
    assert said["inputs"] == said["outputs"] == wanted
    assert said["platform"] == "mlops-ci_python"


def asked(service: Service, *inputs: dict[str, Any], **more: Any) -> tuple[int, Any]:
    """Ask in JSON; the outputs by name, or the sentence."""
    answer = service.ask(INFER, {"inputs": list(inputs), **more})
    if answer.status != 200:
        return answer.status, answer.json["error"]
    return 200, {each["name"]: (each["datatype"], each["shape"], each["data"]) for each in answer.json["outputs"]}


def test_the_signature_is_checked_as_by_predict(echo: Service) -> None:
    good = {
        "text": ("BYTES", ["é"]), "count": ("INT64", [1]), "size": ("FP64", [None]), "flag": ("BOOL", [True]),
        "kind": ("BYTES", ["a"]),
    }  # fmt: skip

    def ask(**other: tuple[str, list[Any]]) -> tuple[int, Any]:
        said = {**good, **other}.items()
        return asked(echo, *({"name": n, "datatype": t, "shape": [1], "data": data} for n, (t, data) in said))

    status, outputs = ask()
    assert (status, outputs["text"], outputs["size"]) == (200, ("BYTES", [1], ["é"]), ("FP64", [1], [None]))
    assert ask(count=("FP64", [2.0]))[1]["count"] == ("INT64", [1], [2])
    assert ask(kind=("BYTES", ["c"])) == (400, "records.0.kind: Input should be 'a' or 'b'")
    assert ask(flag=("INT64", [1])) == (400, "the tensor 'flag' is INT64, and the model wants BOOL")
    assert ask(text=("BYTES", [None]))[0] == 400
    assert ask(count=("INT64", [None]))[0] == 400


def test_texts_that_are_none_are_refused(echo: Service) -> None:
    others = columns([{"count": 1, "size": 1.0, "flag": True, "kind": "a"}], dict(list(MIXED_TYPES.items())[1:]))
    for raw, sentence in (
        (b"\1\0\0\0\xff", "no UTF-8"),
        (b"\2\0\0\0a", "not texts, each after its length"),
        (b"\1\0\0", "not texts, each after its length"),
        (b"\1\0\0\0a\1\0\0\0b", "has 2 texts, and its shape wants 1"),
        (b"\xff\xff\xff\xff", "not texts"),
    ):
        parts = [each._get_binary_data() for each in others]
        inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}]
        answer = sent(echo, {"inputs": [*inputs, *(each._get_tensor() for each in others)]}, b"".join([raw, *parts]))
        assert (answer.status, sentence in answer.json["error"]) == (400, True), answer.body


FORMS: list[tuple[dict[str, Any] | None, list[dict[str, Any]], list[Any]]] = [
    ({"type": "string"}, [{"datatype": "BYTES", "shape": [2], "data": ["a", "b"]}], ["a", "b"]),
    ({"type": "string"}, [{"datatype": "BYTES", "shape": [2, 1], "data": [["a"], ["b"]]}], ["a", "b"]),
    ({"type": "number"}, [{"datatype": "FP32", "shape": [2], "data": [1.5, 2]}], [1.5, 2.0]),
    (
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        [{"datatype": "FP64", "shape": [2, 1, 2], "data": [1, 2, 3, 4]}],
        [[[1, 2]], [[3, 4]]],
    ),
    (None, [{"datatype": "INT64", "shape": [2], "data": [1, 2]}], [1, 2]),
    (None, [{"datatype": "INT64", "shape": [2, 1], "data": [1, 2]}], [[1], [2]]),
    (None, [{"datatype": "FP64", "shape": [1, 2], "data": [1, None]}], [[1, None]]),
    (
        None,
        [
            {"name": "a", "datatype": "FP64", "shape": [1], "data": [1]},
            {"datatype": "BOOL", "shape": [1], "data": [True]},
        ],
        [{"a": 1, "x": True}],
    ),
    (
        {"type": "object", "properties": {"v": {"type": "array", "items": {"type": "number"}, "minItems": 2}}},
        [{"name": "v", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}],
        [{"v": [1.0, 2.0, 3.0]}],
    ),
]


@pytest.mark.parametrize(("inputs", "tensors", "records"), FORMS)
def test_records_of_any_form(serve: Serve, inputs: Any, tensors: list[Any], records: list[Any]) -> None:
    """The model answers with what it got, as JSON in a text."""
    code = "import json\n\ndef predict(records):\n    return [json.dumps(each) for each in records]\n"
    signature = Signature(inputs=inputs or {}, outputs={})
    service = serve(code, signature=signature)
    status, outputs = asked(service, *({"name": "x", **each} for each in tensors))
    assert status == 200, outputs
    assert [json.loads(each) for each in outputs["predictions"][2]] == records
    assert service.predict(*records).json["predictions"] == outputs["predictions"][2]


NESTED = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
ANSWERS: list[tuple[dict[str, Any], list[Any], Any]] = [
    ({}, [1, 2], {"predictions": ("INT64", [2], [1, 2])}),
    ({}, [1, 2.5], {"predictions": ("FP64", [2], [1.0, 2.5])}),
    ({}, [None, 2], {"predictions": ("FP64", [2], [None, 2.0])}),
    ({}, [True, False], {"predictions": ("BOOL", [2], [True, False])}),
    ({}, [[1.5, 2], [3, 4]], {"predictions": ("FP64", [2, 2], [1.5, 2.0, 3.0, 4.0])}),
    ({}, [[1.5], [3, 4]], {"predictions": ("BYTES", [2], ["[1.5]", "[3,4]"])}),
    ({}, ["a", None], {"predictions": ("BYTES", [2], ['"a"', "null"])}),
    ({}, [{"a": 1}, {"a": 2}], {"a": ("INT64", [2], [1, 2])}),
    ({}, [{"a": 1}, {"b": 2}], {"predictions": ("BYTES", [2], ['{"a":1}', '{"b":2}'])}),
    ({}, [math.nan, 1.0], 500),
    ({"type": "number"}, [1, 2], {"predictions": ("FP64", [2], [1.0, 2.0])}),
    ({"type": "number"}, [math.inf, 1.0], 500),
    ({"type": "number"}, ["a", "b"], {"predictions": ("BYTES", [2], ["a", "b"])}),
    ({"type": "integer"}, [1, 2.5], {"predictions": ("FP64", [2], [1.0, 2.5])}),
    ({"type": "integer"}, [1, 2**64], 500),
    ({"type": ["number", "null"]}, [math.nan, None], {"predictions": ("FP64", [2], [None, None])}),
    ({"type": ["integer", "null"]}, [1, 2], {"predictions": ("FP64", [2], [1.0, 2.0])}),
    ({"type": "string"}, ["a", None], 500),
    (NESTED, [[[1, 2]], [[3, 4]]], {"predictions": ("FP64", [2, 1, 2], [1.0, 2.0, 3.0, 4.0])}),
    (NESTED, [[[1, 2]], [[3]]], 500),
    (NESTED, [[], []], 500),
    (
        {"type": "object", "properties": {"label": {"type": "string"}, "more": {"type": "object"}}},
        [{"label": "x", "more": {"a": 1}}, {"label": "y", "more": {}}],
        {"label": ("BYTES", [2], ["x", "y"]), "more": ("BYTES", [2], ['{"a":1}', "{}"])},
    ),
    ({"type": "object", "properties": {"label": {"type": "string"}}}, ["x", "y"], 500),
]


@pytest.mark.parametrize(("signature", "predictions", "expected"), ANSWERS)
def test_predictions_of_any_form(signature: Any, predictions: Any, expected: Any) -> None:
    facts = {"model": "cancer", "version": "1.0.0", "digest": "sha256:0", "signature": {"outputs": signature}}
    manifest = Manifest(facts, Settings())
    outputs = Outputs(manifest, Answers(manifest).encoded)
    if expected == 500:
        with pytest.raises(Rejected) as caught:
            outputs.tensors(predictions)
        assert caught.value.status == 500
        return
    found = outputs.tensors(predictions)
    said = {each.name: (each.datatype, each.shape, [None if v != v else v for v in each.values]) for each in found}  # noqa: PLR0124  # NaN is null
    assert said == expected
    assert [each["name"] for each in outputs.metadata()] == (list(expected) if signature else [])


def test_numpy_is_not_needed(serve: Serve, tmp_path: Path) -> None:
    """A model of plain Python has none in its image."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without/numpy.py").write_text("raise ImportError('there is none here')\n")
    signature = Signature(inputs={"type": "array", "items": {"type": "number"}}, outputs={})
    service = serve(ECHO, signature=signature, environment={"PYTHONPATH": str(tmp_path / "without")})
    with triton.InferenceServerClient(f"127.0.0.1:{service.port}") as client:
        for binary in (True, False):
            table = [[1.5, 2.5]] * 50
            found = client.infer("cancer", [tensor("x", "FP64", table, binary=binary)])
            assert found.as_numpy("predictions").tolist() == table


def test_outputs_are_given_in_the_order_that_is_asked_for(echo: Service) -> None:
    row = {"text": "x", "count": 1, "size": 2.0, "flag": True, "kind": "a"}
    wanted = [triton.InferRequestedOutput("size", binary_data=False), triton.InferRequestedOutput("text")]
    with triton.InferenceServerClient(f"127.0.0.1:{echo.port}") as client:
        found = client.infer("cancer", columns([row], MIXED_TYPES), outputs=wanted)
    assert [("data" in each, each["name"]) for each in found.get_response()["outputs"]] == [
        (True, "size"),
        (False, "text"),
    ]
    assert found.as_numpy("text").tolist() == [b"x"]
