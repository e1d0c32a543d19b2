"""The rendered service, started with BentoML and asked over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_ci.release import service_files
from mlops_ci.targets.local import LocalOptions, LocalTarget
from tests.integration import served_model
from tests.integration.served_model import EXAMPLE, call, free_port, sample_release


def serve(folder: Path, model: Path, **changes: Any) -> tuple[LocalTarget, int]:
    """Serve *model* from *folder* on a free port."""
    port, release = free_port(), served_model.release(model, **changes)
    target = LocalTarget("test", LocalOptions(port=port), state=folder / "state")
    bundle = served_model.write_bundle(folder / "bundle", model, release, {"test": target.render(release)})
    target.apply(bundle)
    return target, port


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    served_model.train(folder)
    return folder


@pytest.fixture(scope="module")
def port(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the typed service listens; its state folder is beside the log that a test reads."""
    target, port = serve(tmp_path_factory.mktemp("typed"), model)
    yield port
    target.remove()


def ask(port: int, *records: Any) -> tuple[int, Any]:
    return call(port, "/predict", {"records": list(records)})


def test_the_answer_is_right_and_names_the_version(port: int, model: Path) -> None:
    assert ask(port, *EXAMPLE) == (
        200,
        {
            "predictions": [1, 0],
            "model": "cancer",
            "version": "1.0.0",
            "digest": served_model.release(model).model_digest,
        },
    )


def test_a_large_batch_is_answered_in_its_order(port: int) -> None:
    """It takes another way than a small one: through a thread."""
    status, answer = ask(port, *(EXAMPLE * 100))
    assert status == 200
    assert answer["predictions"] == [1, 0] * 100


def test_metadata_is_the_manifest(port: int, model: Path) -> None:
    status, manifest = call(port, "/metadata")
    assert status == 200
    assert manifest["digest"] == served_model.release(model).model_digest
    assert {file["path"] for file in manifest["files"]} == {"flavor.json", "input_example.json", "model.joblib"}
    assert manifest["sha"] == "3f2a91c0" * 5


GOOD = EXAMPLE[0]


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
def test_a_wrong_field_is_a_400_that_names_it(port: int, record: Any, field: str, says: str) -> None:
    """By the name that the caller wrote, not by the one that the code gave it."""
    status, answer = ask(port, GOOD, record)
    assert status == 400
    assert [each["loc"] for each in answer["detail"]] == [["records", 1, field]]
    assert says in answer["detail"][0]["msg"].lower()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"records": []}, ["records"]),
        ({}, ["records"]),
        ({"records": [GOOD], "more": 1}, ["more"]),
        ({"records": [[1, 2, 3]]}, ["records", 0]),
        (b'{"records": [{"mean radius": NaN, "mean texture": 1, "class": 1}]}', ["records", 0, "mean radius"]),
        (b"not JSON", []),
    ],
)
def test_a_wrong_request_is_a_400_that_names_the_place(port: int, body: Any, place: list[Any]) -> None:
    status, answer = call(port, "/predict", body)
    assert status == 400
    assert answer["detail"][0]["loc"] == place


def test_what_only_the_model_can_refuse_is_a_400_with_its_words(port: int) -> None:
    """The schema allows null here, and a logistic regression does not."""
    status, answer = ask(port, {**GOOD, "mean texture": None})
    assert status == 400
    assert "contains NaN" in answer["error"]


def test_the_openapi_names_the_fields_and_has_the_example(port: int) -> None:
    status, described = call(port, "/docs.json")
    assert status == 200
    record = described["components"]["schemas"]["Record"]
    assert {name: each.get("type") for name, each in record["properties"].items()} == {
        "mean radius": "number",
        "mean texture": None,
        "class": "integer",
    }
    assert record["required"] == ["mean radius", "mean texture", "class"]
    assert record["additionalProperties"] is False
    request = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert request["properties"]["records"]["examples"] == [EXAMPLE]


def test_a_callers_mistakes_do_not_fill_the_log(model: Path, tmp_path: Path) -> None:
    """A line each, not BentoML's thirty of traceback."""
    target, port = serve(tmp_path, model)
    for _ in range(20):
        ask(port, {})
    (log,) = tmp_path.rglob("service.log")
    text = log.read_text()
    target.remove()
    assert text.count("Exception on /predict") == 20
    assert "Traceback" not in text


def test_without_a_signature_anything_reaches_the_model(model: Path, tmp_path: Path) -> None:
    target, port = serve(tmp_path, model, signature=None)
    try:
        assert ask(port, *EXAMPLE)[1]["predictions"] == [1, 0]
        assert ask(port, [17.99, 10.38, 1])[1]["predictions"] == [1]
        assert ask(port, {"mean radius": 1})[0] == 400
    finally:
        target.remove()


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the service of *folder* as a container would, and wait for its end."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "service:Service", "--port", str(free_port())]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def change_model(folder: Path) -> None:
    with (folder / "model/model.joblib").open("ab") as file:
        file.write(b"\0")


def add_file(folder: Path) -> None:
    (folder / "model/extra.py").write_text("")


def remove_file(folder: Path) -> None:
    (folder / "model/flavor.json").unlink()


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (change_model, "model/model.joblib is not the file that was registered: it has sha256:"),
        (add_file, "model/extra.py does not belong to cancer 1.0.0"),
        (remove_file, "model/flavor.json is missing"),
    ],
)
def test_a_changed_model_does_not_start(model: Path, tmp_path: Path, tamper: Any, sentence: str) -> None:
    """It ends with one sentence, before anything of the model is loaded."""
    bundle = served_model.write_bundle(tmp_path, model, served_model.release(model))
    tamper(bundle / "service")
    done = start(bundle / "service")
    assert done.returncode == 1
    assert f"this service does not start: {sentence}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_cannot_be_loaded_ends_the_service(model: Path, tmp_path: Path) -> None:
    """BentoML would start its worker again for ever."""
    shutil.copytree(model, tmp_path / "broken")
    (tmp_path / "broken/model.joblib").write_bytes(b"not a pickle")
    release = served_model.release(tmp_path / "broken")
    bundle = served_model.write_bundle(tmp_path / "bundle", tmp_path / "broken", release)
    done = start(bundle / "service")
    assert "this service does not start: the model cannot be loaded: ValueError: model.joblib" in done.stderr


ODD = ["class", "float", "copy", "model_dump", "_x", "1st", "mean radius", "mean_radius", 'a"b', "ü", "", "\n", "self"]


def test_any_column_name_can_be_served(tmp_path: Path) -> None:
    """Whatever Python or pydantic would make of it; callers write the column's own name."""
    example = [dict.fromkeys(ODD, 1.5)]
    signature = {
        "inputs": {"type": "object", "properties": {name: {"type": "number"} for name in ODD}},
        "outputs": {"type": "number"},
    }
    release = sample_release(signature=served_model.Signature(**signature))
    code = service_files(release)["service.py"]
    (tmp_path / "runtime.py").write_text(
        "from pydantic import *; from typing import Any; from starlette.applications import Starlette\n"
        "Boolean=Integer=Number=Text=float\nclass Predictor: pass\n"
        "def verified(): return {'model': '', 'version': '', 'digest': ''}\n"
        "def example(): return []\ndef metadata(_): return Starlette()\ndef refusal(_): pass\n"
    )
    (tmp_path / "service.py").write_text(code)
    probe = f"import service; print(service.Record(**{example[0]!r}).model_dump_json(by_alias=True))"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", probe],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == example[0]
