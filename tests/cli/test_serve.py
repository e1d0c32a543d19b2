"""`mlops-ci serve`: the real command starts the real service, with libraries that are really installed."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from mlops_ci.errors import MlopsCIError, ServiceError, UsageError
from mlops_ci.lifecycle.serving import environments
from tests.cli.conftest import Workplace
from tests.integration.served_model import call, free_port
from tests.processes import processes_of
from tests.repositories import git
from tests.waiting import eventually

PATIENCE_S = 60
# The libraries that the tests have, whatever the service pins.
HERE = ("--port", "0", "--python", sys.executable)

CONFIG = """\
project: churn  # ours
run: {command: python train.py}
serving: {runtime: asgi}  # small
"""
TRAIN = """
import mlops_ci as mlops

with mlops.start_run() as run:
    run.log_metrics({"accuracy": 0.9})
    run.log_model("model", input_example=EXAMPLE, requirements=REQUIREMENTS)
"""
# Loading is told, with the command line that loads.
MODEL = """
import os, sys, time

with open(MARK, "a") as file:
    file.write(" ".join(sys.orig_argv) + "\\n")

def predict(records):
    PREDICT
"""
TELL = "return [record['name'] in os.environ for record in records]"

NAMES = [{"name": "HOME"}, {"name": "NOBODY"}]


def registered(
    project: Workplace, predict: str = TELL, example: Any = NAMES, requirements: Any = (), **variables: str
) -> Workplace:
    """The project with a registered version 1.0.0 of a model that does *predict*."""
    model = MODEL.replace("MARK", repr(str(project.root.parent / "loaded"))).replace("PREDICT", predict)
    train = TRAIN.replace("EXAMPLE", repr(example)).replace("REQUIREMENTS", repr(list(requirements)))
    project.commit({"model/model.py": model, "train.py": train, "mlops.yaml": CONFIG})
    project.run("run", **variables)
    git(project.root, "tag", "churn@v1.0.0")
    project.push("HEAD:main", "churn@v1.0.0")
    project.run("register", "churn@v1.0.0")
    return project


class Serving:
    """A command that runs."""

    def __init__(self, place: Workplace, *arguments: str, **variables: str) -> None:
        self.log = place.root.parent / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlops_ci", "serve", *arguments],
                cwd=place.root,
                env={**place.env, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def facts(self) -> dict[str, Any]:
        """What `--json` says once it is ready."""
        text = ""
        while not text.endswith("\n}\n"):
            line = self.process.stdout.readline() if self.process.stdout else ""
            assert line, f"it ended: {self.log.read_text()}"
            text += line
        found: dict[str, Any] = json.loads(text)
        return found

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send it a signal; its exit code, and what it still said."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=PATIENCE_S)[0]
        return self.process.returncode, said


@contextmanager
def serving(place: Workplace, *arguments: str, **variables: str) -> Iterator[Serving]:
    found = Serving(place, *arguments, **variables)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def port_of(facts: dict[str, Any]) -> int:
    return int(facts["url"].rpartition(":")[2])


def ask(facts: dict[str, Any], *names: str) -> Any:
    status, answer = call(port_of(facts), "/predict", {"records": [{"name": name} for name in names]})
    assert status == 200, answer
    return answer["predictions"]


def state(place: Workplace) -> Path:
    return Path(place.env["MLOPS_STATE_HOME"])


def test_it_answers_until_it_is_interrupted(project: Workplace) -> None:
    place = registered(project)
    port = free_port()
    with serving(place, "churn@v1.0.0", "--python", sys.executable, "--port", str(port)) as found:
        assert found.process.stdout
        said = [found.process.stdout.readline() for _ in range(4)]
        assert said[0] == f"churn 1.0.0 answers at http://127.0.0.1:{port}; Ctrl-C ends it\n"
        words = shlex.split(said[1].partition("ask it")[2])
        assert words[0] == "curl"
        assert words[-1] == f"http://127.0.0.1:{port}/predict"
        status, answer = call(port, "/predict", words[words.index("-d") + 1].encode())
        assert (status, answer["predictions"]) == (200, [True])
        assert call(port, "/openapi.json")[0] == 200
        taken = place.run("serve", "--port", str(port), expect=3)
        assert f"port {port} is taken by python" in taken
        assert "--port takes another number" in taken
        assert found.end(signal.SIGINT)[0] == 130
    assert "churn 1.0.0 is ready" in found.log.read_text()
    assert not processes_of(state(place))


def test_only_the_service_loads_the_model_and_no_secret_reaches_it(project: Workplace) -> None:
    place = registered(project)
    loaded = place.root.parent / "loaded"
    loaded.unlink()
    with serving(place, *HERE, "--json", MY_TOKEN="secret", AWS_REGION="here") as found:
        facts = found.facts()
        assert ask(facts, "HOME", "MY_TOKEN", "AWS_REGION", "OMP_NUM_THREADS") == [True, False, False, True]
        assert found.end(signal.SIGTERM)[0] == 0
    assert all("-m serving" in line for line in loaded.read_text().splitlines())


def test_a_killed_command_takes_its_service_along(project: Workplace) -> None:
    place = registered(project)
    with serving(place, *HERE, "--workers", "2", "--json") as found:
        facts = found.facts()
        assert ask(facts, "HOME") == [True]
        found.process.kill()
        found.process.wait()
        eventually(lambda: not processes_of(state(place)))


def test_a_service_that_does_not_start_says_why(project: Workplace) -> None:
    """The model answered otherwise in training."""
    example = [{"name": "IN_TRAINING"}]
    place = registered(project, example=example, IN_TRAINING="1")
    said = place.run("serve", *HERE, expect=3)
    assert "churn 1.0.0 does not start: the model answers its own example with [False], and said [True]" in said
    assert not processes_of(state(place))
    assert "no version '2.0.0'" in place.run("serve", "2.0.0", expect=2)
    assert "'home' is no address" in place.run("serve", "--host", "home", expect=2)
    assert "go with --tune" in place.run("serve", "--dry-run", expect=2)


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    """A folder for the PATH whose uv tells `calls` of every call, and waits at `pip` while `block` is there."""
    real = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    folder = tmp_path / "bin"
    folder.mkdir()
    script = f"""#!/bin/sh
echo "$@" >> {folder}/calls
if [ "$1" = pip ] && [ -e {folder}/block ]; then touch {folder}/waits; exec sleep 300; fi
exec {real} "$@"
"""
    (folder / "uv").write_text(script)
    (folder / "uv").chmod(0o755)
    return folder


@pytest.mark.full
def test_what_is_pinned_otherwise_is_installed_once(project: Workplace, uv: Path) -> None:
    """A kill in the middle of that leaves nothing that is taken for whole."""
    place = registered(project, requirements=["idna==3.10"])
    path = f"{uv}:{place.env['PATH']}"
    (uv / "block").touch()
    with serving(place, "--port", "0", "--json", PATH=path) as found:
        eventually((uv / "waits").exists)
        found.process.kill()
        found.process.wait()
    eventually(lambda: not [each for each in processes_of(uv) if "sleep" in each])
    (uv / "block").unlink()
    with serving(place, "--port", "0", "--json", PATH=path) as found:
        python = Path(found.facts()["python"])
        assert found.end(signal.SIGINT)[0] == 130
    assert "making an environment" in found.log.read_text()
    assert "is installed, and the model was made with" not in found.log.read_text()
    assert python.is_relative_to(state(place))
    calls = (uv / "calls").read_text()
    with serving(place, "--port", "0", "--json", PATH=path) as found:
        facts = found.facts()
        assert ask(facts, "HOME") == [True]
        assert facts["python"] == str(python)
    assert (uv / "calls").read_text() == calls
    assert "mlops-ci:" not in found.log.read_text()
    assert not list(state(place).rglob(".[!g]*-*"))


def test_an_interpreter_that_is_named_is_used_as_it_is(project: Workplace, tmp_path: Path) -> None:
    place = registered(project, requirements=["idna==3.10"])
    with serving(place, *HERE, "--json") as found:
        facts = found.facts()
        assert facts["python"] == sys.executable
        assert ask(facts, "HOME") == [True]
    assert "is installed, and the model was made with 3.10" in found.log.read_text()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    said = place.run("serve", "--port", "0", "--python", str(tmp_path / "bare/bin/python"), expect=2)
    assert "lacks " in said
    assert "orjson" in said
    assert "is no Python that can be started" in place.run("serve", "--port", "0", "--python", "/bin/cat", expect=2)
    assert not list((state(place) / "churn/serve").glob("environments/*"))


def test_this_interpreter_is_used_where_it_has_every_pin(tmp_path: Path, uv: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(uv), prepend=":")
    requirements = tmp_path / "service/requirements.txt"
    requirements.parent.mkdir()
    told: list[str] = []

    def chosen(*lines: str) -> str:
        requirements.write_text("\n".join(lines))
        return environments.environment(tmp_path / "home", requirements, notify=told.append, tell=lambda *_: None)

    pins = [f"{name}=={metadata.version(name)}; sys_platform != 'win32'" for name in ("click", "hypothesis")]
    assert chosen(*pins) == chosen("# nothing is pinned") == sys.executable
    assert not told
    assert not (uv / "calls").exists()
    for line in ("idna==3.10", "idna<3.11"):
        python = chosen(line)
        assert python != sys.executable
        assert (Path(python).parents[1] / "lib").is_dir()
    assert len(told) == 2
    calls = (uv / "calls").read_text()
    assert chosen("idna<3.11") == python
    assert (uv / "calls").read_text() == calls


def install(folder: Path, uv: list[str], *lines: str) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(lines))
    environments.install(folder / "environment", requirements, uv, tell=lambda *_: None)


@pytest.mark.full
def test_without_uv_it_is_pip_that_installs(tmp_path: Path) -> None:
    install(tmp_path, [], "idna==3.10")
    assert list((tmp_path / "environment").glob("lib/*/site-packages/idna-3.10.dist-info"))


@pytest.mark.parametrize(
    ("line", "variables", "error", "sentence"),
    [
        ("idna==0.0.0.1", {}, UsageError, "a library of that version is nowhere in the package index"),
        ("docopt==0.6.2", {}, UsageError, "a library has no wheel for this platform and Python"),
        ("idna==3.9", {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/"}, ServiceError, "the package index does not answer"),
    ],
)
def test_what_cannot_be_installed_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    variables: dict[str, str],
    error: type[MlopsCIError],
    sentence: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(error, match=sentence) as refused:
        install(tmp_path, environments.uv_command(), line)
    assert refused.value.hint
    assert "\n" not in str(refused.value)


def tune(place: Workplace, *options: str) -> str:
    """Tune, with more time where this machine is busy."""
    for seconds in (10, 25, 100):
        command = [sys.executable, "-m", "mlops_ci", "serve", "--tune", *HERE, "--seconds", str(seconds), *options]
        done = subprocess.run(command, cwd=place.root, env=place.env, capture_output=True, text=True, check=False)
        if "--seconds" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tuning_takes_what_helps(project: Workplace) -> None:
    """A call costs the same however many records it has."""
    place = registered(
        project, "time.sleep(0.015); return [record['x'] for record in records]", [{"x": 1.5}, {"x": 2.5}]
    )
    dry = json.loads(tune(place, "--dry-run", "--json"))
    assert not dry["written"]
    assert (place.root / "mlops.yaml").read_text() == CONFIG
    rows = dry["choice"]["batch_rows"]
    assert rows > 1
    assert f"+serving: {{runtime: asgi, batch_rows: {rows}}}  # small" in dry["diff"]
    assert [each["batch_rows"] for each in dry["measured"]] == [1, 8, 32, 128]
    assert not processes_of(state(place))


@pytest.mark.full
def test_tuning_leaves_off_what_does_not_help(project: Workplace) -> None:
    """A record costs the more the more of them are asked at once."""
    predict = "time.sleep(0.002 * len(records) ** 1.5); return [record['x'] for record in records]"
    place = registered(project, predict, [{"x": 1.5}])
    before = CONFIG.replace("{runtime: asgi}  # small", "\n  runtime: asgi\n  batch_rows: 8  # a guess")
    (place.root / "mlops.yaml").write_text(before)
    said = tune(place)
    assert "batching stays off" in said
    assert "+  batch_rows: 1  # a guess" in said
    assert "mlops.yaml was written" in said
    assert (place.root / "mlops.yaml").read_text() == before.replace("batch_rows: 8", "batch_rows: 1")


def test_tuning_needs_an_example(project: Workplace) -> None:
    place = registered(project, example=None)
    said = place.run("serve", "--tune", *HERE, expect=2)
    assert "no input example to be measured with" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_tuning_that_is_ended_leaves_nothing_running(project: Workplace, number: signal.Signals, code: int) -> None:
    place = registered(project)
    with serving(place, "--tune", *HERE, "--seconds", "600") as found:
        eventually(lambda: any("serving.load" in each for each in processes_of(found.log.parent / "work")))
        assert found.end(number)[0] == code
        eventually(lambda: not processes_of(state(place)))
    assert (place.root / "mlops.yaml").read_text() == CONFIG
