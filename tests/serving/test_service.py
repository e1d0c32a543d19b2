"""What a caller sees of the service, by either runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.integration import served_model
from tests.integration.served_model import EXAMPLE
from tests.serving.services import Serve, Service

GOOD = EXAMPLE[0]


def test_the_answer_is_right_and_names_the_version(typed: Service, model: Path) -> None:
    answer = typed.predict(*EXAMPLE)
    digest = served_model.release(model).model_digest
    assert answer.status == 200
    assert answer.json == {"predictions": [1, 0], "model": "cancer", "version": "1.0.0", "digest": digest}
    assert answer.headers["x-model"] == "cancer/1.0.0"
    assert answer.headers["x-model-digest"] == digest


def test_columns_are_records_written_otherwise(typed: Service) -> None:
    columns = {name: [record[name] for record in EXAMPLE] for name in GOOD}
    assert typed.ask("/predict", {"columns": columns}).json["predictions"] == [1, 0]


def test_a_large_batch_is_answered_in_its_order(typed: Service) -> None:
    """It takes another way than a small one: through a thread."""
    assert typed.predict(*(EXAMPLE * 100)).json["predictions"] == [1, 0] * 100


def test_metadata_is_the_manifest(typed: Service, model: Path) -> None:
    manifest = typed.ask("/metadata").json
    assert manifest["digest"] == served_model.release(model).model_digest
    assert {file["path"] for file in manifest["files"]} == {"flavor.json", "input_example.json", "model.joblib"}
    assert manifest["sha"] == "3f2a91c0" * 5


def test_clients_of_mlops_net_work_unchanged(typed: Service) -> None:
    """One record in, its prediction out."""
    answer = typed.ask("/api/Prediction", GOOD)
    assert answer.status == 200
    assert (answer.json["prediction"], answer.json["version"]) == (1, "1.0.0")
    wrong = typed.ask("/api/Prediction", {**GOOD, "class": "x"})
    assert (wrong.status, wrong.json["detail"][0]["loc"]) == (400, ["class"])


@pytest.mark.parametrize(
    ("record", "field", "says"),
    [
        ({**GOOD, "mean raduis": 1.0}, "mean raduis", "not permitted"),
        ({"mean radius": 1.0, "class": 1}, "mean texture", "required"),
        ({**GOOD, "mean radius": "17.99"}, "mean radius", "number"),
        ({**GOOD, "mean radius": True}, "mean radius", "number"),
        ({**GOOD, "mean radius": None}, "mean radius", "number"),
        ({**GOOD, "mean radius": 10**400}, "mean radius", "finite"),
        ({**GOOD, "class": 1.5}, "class", "integer"),
        ({**GOOD, "class": 2**63}, "class", "less than"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(typed: Service, record: Any, field: str, says: str) -> None:
    answer = typed.predict(GOOD, record)
    assert answer.status == 400
    assert [each["loc"] for each in answer.json["detail"]] == [["records", 1, field]]
    assert says in answer.json["detail"][0]["msg"].lower()
    assert answer.json["error"].startswith(f"records.1.{field}: ")
    assert answer.json["version"] == "1.0.0"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"records": []}, ["records"]),
        ({}, ["records"]),
        ({"records": [GOOD], "more": 1}, ["more"]),
        ({"records": [GOOD], "columns": {}}, ["columns", "mean radius"]),
        ({"records": [[1, 2, 3]]}, ["records", 0]),
        ({"columns": {"mean radius": [1.0], "mean texture": [1.0, 2.0], "class": [1]}}, ["columns", "mean texture"]),
        ({"columns": {"mean radius": [1.0], "mean texture": [1.0], "class": [0.5]}}, ["columns", "class", 0]),
        ({"columns": {"mean radius": [], "mean texture": [], "class": []}}, ["columns", "mean radius"]),
        (b'{"records": [{"mean radius": NaN, "mean texture": 1, "class": 1}]}', ["records", 0, "mean radius"]),
        (b"not JSON", []),
        (b"", []),
        pytest.param(b"[" * 100_000, [], id="deep"),
    ],
)
def test_a_wrong_request_is_a_400_that_names_the_place(typed: Service, body: Any, place: list[Any]) -> None:
    answer = typed.ask("/predict", body)
    assert answer.status == 400
    assert answer.json["detail"][0]["loc"] == place


def test_what_only_the_model_can_refuse_is_a_400_with_its_words(typed: Service) -> None:
    """The schema allows null here, and a logistic regression does not."""
    answer = typed.predict({**GOOD, "mean texture": None})
    assert answer.status == 400
    assert "contains NaN" in answer.json["error"]


def test_no_value_that_was_sent_comes_back(typed: Service) -> None:
    """It may be somebody's, and what answers an error is logged in many places."""
    assert b"secret" not in typed.predict({**GOOD, "mean radius": "secret"}).body


def test_the_openapi_names_the_fields_and_has_the_example(typed: Service) -> None:
    described = typed.ask("/openapi.json").json
    validate(described)
    record = described["components"]["schemas"]["Record"]
    assert {name: each.get("type") for name, each in record["properties"].items()} == {
        "mean radius": "number",
        "mean texture": None,
        "class": "integer",
    }
    assert record["required"] == ["mean radius", "mean texture", "class"]
    assert record["additionalProperties"] is False
    request = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert request == {"$ref": "#/components/schemas/Request"}
    assert described["components"]["schemas"]["Request"]["properties"]["records"]["examples"] == [EXAMPLE]
    assert described == typed.ask("/docs.json").json


def test_other_paths_and_methods_say_what_there_is(typed: Service) -> None:
    assert typed.ask("/predict").status == 405
    assert typed.ask("/nothing").status == 404
    assert typed.ask("/predict", {"records": []}, method="PUT").status == 405


@pytest.mark.parametrize("path", ["/predict", "/nothing", "/schema.json", "/metrics", "/livez", "/v2/nothing", "/"])
def test_every_answer_names_the_model(typed: Service, path: str) -> None:
    """Those of BentoML, too."""
    answer = typed.ask(path)
    assert answer.headers["x-model"] == "cancer/1.0.0"
    assert answer.headers["x-model-digest"].startswith("sha256:")


def test_a_person_sees_a_page(typed: Service) -> None:
    answer = typed.ask("/")
    assert answer.status == 200
    assert "text/html" in answer.headers["content-type"]


def test_a_request_keeps_its_id(typed: Service) -> None:
    assert typed.predict(GOOD, headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = [typed.predict(GOOD).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    for bad in ("x" * 129, "a\tb", "é"):
        assert typed.predict(GOOD, headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def test_without_a_signature_anything_reaches_the_model(model: Path, serve: Serve) -> None:
    service = serve(model, signature=None)
    assert service.predict(*EXAMPLE).json["predictions"] == [1, 0]
    assert service.predict([17.99, 10.38, 1]).json["predictions"] == [1]
    assert service.predict({"mean radius": 1}).status == 400


def test_the_signatures_bounds_are_kept(model: Path, serve: Serve) -> None:
    """Those that somebody wrote into the schema; a range that training showed is only counted."""
    properties = {
        "mean radius": {"type": "number", "minimum": 0, "exclusiveMaximum": 50},
        "mean texture": {"type": "number", "x-seen": [5, 25]},
        "class": {"enum": [0, 1]},
    }
    inputs = {"type": "object", "properties": properties}
    service = serve(model, signature=served_model.Signature(inputs=inputs, outputs={"type": "integer"}))
    for field, value in (("mean radius", -0.1), ("mean radius", 50), ("class", 2)):
        answer = service.predict({**GOOD, field: value})
        assert (answer.status, answer.json["detail"][0]["loc"][:3]) == (400, ["records", 0, field])
    assert service.predict({**GOOD, "mean texture": 99}).status == 200
    assert service.metric("mlops_input_out_of_range_total", field="mean texture") == 1
    assert service.metric("mlops_input_invalid_total", field="mean radius") == 2
