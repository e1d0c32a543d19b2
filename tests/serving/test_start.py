"""What the service proves before it takes a request, and what it says if it does not start."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration import served_model
from tests.integration.served_model import EXAMPLE
from tests.serving.services import Serve, Service, python_model, rendered


def change_model(folder: Path) -> None:
    with (folder / "model/model.joblib").open("ab") as file:
        file.write(b"\0")


def add_file(folder: Path) -> None:
    (folder / "model/extra.py").write_text("")


def remove_file(folder: Path) -> None:
    (folder / "model/flavor.json").unlink()


def break_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (change_model, "model/model.joblib is not the file that was registered: it has sha256:"),
        (add_file, "model/extra.py does not belong to cancer 1.0.0"),
        (remove_file, "model/flavor.json is missing"),
        (break_manifest, "manifest.json cannot be read: "),
    ],
)
def test_a_changed_model_does_not_start(
    model: Path, tmp_path: Path, tamper: Callable[[Path], None], sentence: str, workers: int
) -> None:
    """One sentence, before anything of the model is loaded."""
    folder = rendered(tmp_path / "bundle", model, workers=workers)
    tamper(folder)
    service = Service(folder)
    assert service.process.wait(60) == 1
    assert service.log.startswith(f"this service does not start: {sentence}")
    assert service.log.count("\n") == 1


@pytest.mark.parametrize("runtime", ["asgi", "bentoml"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_cannot_be_loaded_ends_the_service(tmp_path: Path, workers: int, runtime: str) -> None:
    """All of it: a supervisor would start such a worker again for ever."""
    folder = python_model(tmp_path / "model", "raise RuntimeError('no such lexicon')")
    options = {"flavor": "python", "signature": None, "runtime": runtime, "workers": workers}
    service = Service(rendered(tmp_path / "bundle", folder, **options))
    assert service.process.wait(60) != 0
    assert "this service does not start: the model cannot be loaded: " in service.log
    assert "no such lexicon" in service.log


def test_a_model_that_answers_its_example_otherwise_does_not_start(tmp_path: Path) -> None:
    """A library that counts differently is found before the first caller finds it."""
    source = "def predict(records):\n    return [0.75 for _ in records]\n"
    folder = python_model(tmp_path / "model", source, example=([{"a": 1}], [0.25]))
    service = Service(rendered(tmp_path / "bundle", folder, flavor="python", signature=None))
    assert service.process.wait(60) == 1
    assert "the model answers its own example with [0.75], and said [0.25]" in service.log


def test_other_versions_of_libraries_are_told_before_traffic(model: Path, serve: Serve) -> None:
    service = serve(model, requirements=["scikit-learn==1.4.2", "left-pad==1.0"])
    told = [line["message"] for line in service.lines if line["level"] == "warning"]
    assert "left-pad is not installed, and the model was made with 1.0" in told
    assert any(line.endswith("is installed, and the model was made with 1.4.2") for line in told)
    ready = next(place for place, line in enumerate(service.lines) if line["message"].endswith("is ready"))
    assert all(line["level"] != "warning" for line in service.lines[ready:])


def test_a_model_that_is_code_leaves_nothing_that_the_next_start_refuses(serve: Serve, tmp_path: Path) -> None:
    source = "def predict(records):\n    import words\n    return [words.LENGTH for _ in records]\n"
    folder = python_model(tmp_path / "model", source)
    (folder / "words.py").write_text("LENGTH = 5\n")
    service = serve(folder, flavor="python", signature=None)
    assert service.predict("x").json["predictions"] == [5]
    service.end()
    again = Service(service.folder).wait()
    assert again.predict("x").status == 200
    again.end()


def test_workers_answer_and_are_counted_together(model: Path, serve: Serve) -> None:
    service = serve(model, workers=2)
    for _ in range(40):
        assert service.predict(*EXAMPLE).status == 200
    assert service.metric("mlops_requests_total", path="/predict", status="200") == 40
    assert service.metric("mlops_predictions_total", label="1") == 40
    assert service.end() == 0


def test_a_worker_that_dies_is_replaced(model: Path, serve: Serve) -> None:
    service = serve(model, workers=2)
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    killed = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert len(killed) == 2
    for _ in range(600):
        with suppress(OSError):
            if service.predict(EXAMPLE[0]).status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(service.log)


def test_what_is_rendered_is_what_the_manifest_says(model: Path, tmp_path: Path) -> None:
    folder = rendered(tmp_path / "bundle", model, settings={"drain_s": 1.5, "max_rows": 7})
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert manifest["serving"] == {"workers": 1, "timeout_s": 10.0, "drain_s": 1.5, "max_rows": 7}
    assert served_model.release(model).model_digest == manifest["digest"]
