"""The service in BentoML's own hands: its client, its server, its build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.served_model import EXAMPLE, free_port
from tests.serving.services import Serve, rendered

CLIENT = """
import bentoml, json, sys
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    print(json.dumps(client.predict(records=json.loads(sys.argv[2]))))
"""


def bentoml(*words: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True, timeout=120)


def test_its_client_works(model: Path, serve: Serve) -> None:
    service = serve(model, runtime="bentoml")
    command = [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{service.port}", json.dumps(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["predictions"] == [1, 0]


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.full), 2])
def test_its_build_and_its_server_work(model: Path, tmp_path: Path, workers: int) -> None:
    """What `bentoml build` makes holds the model and no address of an index, and `bentoml serve` serves it."""
    folder, home = rendered(tmp_path / "bundle", model, runtime="bentoml", workers=workers), tmp_path / "home"
    bentoml("build", cwd=folder, home=home)
    (bento,) = (home / "bentos/cancer").glob("*/bento.yaml")
    tag = f"cancer:{bento.parent.name}"
    text = "".join(path.read_text() for path in [bento, *bento.parent.glob("env/python/*")] if path.is_file())
    assert "://" not in text
    assert "--index" not in text
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--port", str(port)]
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            answer = asked(port, process)
        finally:
            process.terminate()
    assert (answer["predictions"], answer["version"]) == ([1, 0], "1.0.0")


def asked(port: int, process: subprocess.Popen[bytes]) -> Any:
    """The answer to the example, as soon as there is one."""
    body = json.dumps({"records": EXAMPLE}).encode()
    for _ in range(600):
        with suppress(OSError):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body)
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError("it does not answer")


def test_a_model_that_does_not_load_ends_bentoml_serve(model: Path, tmp_path: Path) -> None:
    """With our sentence, and without starting workers for ever."""
    folder = rendered(tmp_path / "bundle", model, runtime="bentoml")
    with (folder / "model/model.joblib").open("ab") as file:
        file.write(b"\0")
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", "service:Service", "--port", str(free_port())]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "this service does not start: model/model.joblib is not the file that was registered" in done.stderr
