"""How a process of this machine is replaced, and what happens when that fails; with a service of a few lines."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from mlops_ci.errors import InputError, MissingDependency, ServiceError, UsageError
from mlops_ci.targets.local import LocalOptions, LocalTarget, processes
from mlops_ci.targets.local.process import ask, read
from tests.integration.served_model import free_port, sample_release

SERVER = """
import json, os, signal, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
kind, digest, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "broken":
    sys.exit("this service does not start: model/x is missing")
if kind == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if kind == "parent":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"digest": digest, "environment": sorted(os.environ)}).encode()
        self.send_response(503 if kind == "slow" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


class Machine:
    """A target on a port, and bundles for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.state = folder / "state"

    def open(self, port: int | None = None) -> LocalTarget:
        """The target as the next command would open it."""
        return LocalTarget("staging", LocalOptions(port=port or self.port), state=self.state)

    def bundle(self, version: str, kind: str = "good", *, port: int | None = None, **changes: Any) -> Path:
        """A bundle whose service behaves as *kind* says."""
        port, digest = port or self.port, f"sha256:{version}"
        files = self.open(port).render(sample_release(version=version, model_digest=digest))
        declared = yaml.safe_load(files["process.yaml"])
        says = "sha256:other" if kind == "liar" else digest
        declared |= {"argv": ["python", "server.py", kind, says, str(port)], "stop_timeout_s": 1, **changes}
        bundle = self.folder / "bundles" / f"{version}-{kind}"
        for name, text in {
            "service/server.py": SERVER,
            "targets/staging/process.yaml": yaml.safe_dump(declared),
        }.items():
            (bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle / name).write_text(text)
        return bundle

    def digest(self) -> str | None:
        """What whatever answers on the port says it is."""
        said = ask(f"http://127.0.0.1:{self.port}", "/metadata")
        return str(json.loads(said)["digest"]) if said else None

    def pid(self) -> int:
        return int(json.loads((self.state / "process.json").read_bytes())["handle"]["pid"])

    def kill(self) -> None:
        """End the process without a warning, and return when it is gone."""
        os.kill(self.pid(), signal.SIGKILL)
        os.waitpid(self.pid(), 0)

    def running(self) -> list[int]:
        """The processes that carry the token of the last start."""
        handle = json.loads((self.state / "process.json").read_bytes())["handle"]
        return processes.members(msgspec.convert(handle, processes.Handle))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.open().remove()


@contextmanager
def somebody_else(port: int) -> Iterator[None]:
    """Another program, this one, listens on *port*."""
    server = http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lives(pid: int) -> bool:
    """Whether *pid* runs; nobody may have taken note of its death yet."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_version_is_deployed_and_told(machine: Machine) -> None:
    url = machine.open().apply(machine.bundle("1"), plan_digest="sha256:plan")
    status = machine.open().status()
    assert url == f"http://127.0.0.1:{machine.port}"
    assert status is not None
    assert (status.version, status.digest, status.url) == ("1", "sha256:1", url)
    assert (status.plan_digest, status.ready) == ("sha256:plan", True)


def test_the_next_version_replaces_it(machine: Machine) -> None:
    machine.open().apply(machine.bundle("1"))
    machine.open().apply(machine.bundle("2"))
    assert machine.digest() == "sha256:2"
    assert len(list((machine.state / "releases").iterdir())) == 1


def test_the_same_again_changes_nothing(machine: Machine) -> None:
    bundle = machine.bundle("1")
    machine.open().apply(bundle)
    pid = machine.pid()
    machine.open().apply(bundle)
    assert machine.pid() == pid


def test_it_runs_on_when_the_bundle_is_gone(machine: Machine) -> None:
    """Which is often a temporary clone. A version that fails afterwards goes back to it all the same."""
    bundle = machine.bundle("1")
    machine.open().apply(bundle)
    for file in [file for file in bundle.rglob("*") if file.is_file()]:
        file.unlink()
    with pytest.raises(ServiceError):
        machine.open().apply(machine.bundle("2", "broken"))
    assert machine.digest() == "sha256:1"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("broken", "cancer 2 ended before it was ready: model/x is missing"),
        ("slow", "cancer 2 was not ready within 1 s"),
        ("liar", "answers, and does not say that it is cancer 2"),
    ],
)
def test_what_ran_before_runs_again_if_the_new_one_fails(machine: Machine, kind: str, why: str) -> None:
    machine.open().apply(machine.bundle("1"), plan_digest="sha256:first")
    with pytest.raises(ServiceError) as caught:
        machine.open().apply(machine.bundle("2", kind, start_timeout_s=1))
    assert why in str(caught.value)
    assert str(caught.value).endswith("; cancer 1 runs again")
    status = machine.open().status()
    assert machine.digest() == "sha256:1"
    assert status is not None
    assert (status.version, status.plan_digest, status.ready) == ("1", "sha256:first", True)


def test_a_first_version_that_fails_leaves_nothing(machine: Machine) -> None:
    with pytest.raises(ServiceError, match="nothing ran before, and nothing runs now") as caught:
        machine.open().apply(machine.bundle("1", "broken"))
    assert "service.log" in caught.value.hint
    assert machine.open().status() is None
    assert machine.digest() is None


def test_a_program_that_is_not_there_is_told_before_anything_stops(machine: Machine) -> None:
    machine.open().apply(machine.bundle("1"))
    with pytest.raises(UsageError, match="there is no program nonsense-python"):
        machine.open().apply(machine.bundle("2", argv=["nonsense-python"]))
    assert machine.digest() == "sha256:1"


def test_an_interpreter_without_bentoml_is_told_before_anything_stops(machine: Machine, tmp_path: Path) -> None:
    python = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python], check=True)
    argv = [str(python / "bin/python"), "-m", "bentoml", "serve"]
    with pytest.raises(MissingDependency, match="bentoml is not installed"):
        machine.open().apply(machine.bundle("1", argv=argv))


def test_a_port_of_somebody_elses_is_named_with_its_holder(machine: Machine) -> None:
    with somebody_else(machine.port), pytest.raises(ServiceError) as caught:
        machine.open().apply(machine.bundle("1"))
    assert f"port {machine.port} is taken by " in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "targets.staging.port" in caught.value.hint


def test_nothing_is_stopped_for_a_port_that_is_taken(machine: Machine) -> None:
    """Also where the target moves to another port: what runs on the old one stays."""
    machine.open().apply(machine.bundle("1"))
    other = free_port()
    with somebody_else(other), pytest.raises(ServiceError, match=f"port {other} is taken"):
        machine.open(other).apply(machine.bundle("2", port=other))
    assert machine.digest() == "sha256:1"


def test_after_a_kill_the_same_command_starts_it_again(machine: Machine) -> None:
    bundle = machine.bundle("1")
    machine.open().apply(bundle)
    machine.kill()
    assert machine.open().status() is None
    machine.open().apply(bundle)
    assert machine.digest() == "sha256:1"


def test_children_that_outlive_a_kill_are_found_and_ended(machine: Machine) -> None:
    """They would hold the port, as BentoML's workers do."""
    machine.open().apply(machine.bundle("1", "parent"))
    machine.kill()
    orphans = machine.running()
    assert len(orphans) == 1
    machine.open().apply(machine.bundle("2"))
    assert not lives(orphans[0])


def test_one_that_does_not_listen_is_ended_all_the_same(machine: Machine) -> None:
    machine.open().apply(machine.bundle("1", "stubborn"))
    machine.open().apply(machine.bundle("2"))
    assert machine.digest() == "sha256:2"


def test_remove_leaves_nothing_running(machine: Machine) -> None:
    machine.open().apply(machine.bundle("1", "parent"))
    running = machine.running()
    assert len(running) == 2
    assert machine.open().remove() is True
    assert not any(map(lives, running))
    assert machine.open().status() is None
    assert machine.open().remove() is False


def test_a_number_that_the_system_gave_to_another_is_not_ended(machine: Machine) -> None:
    """The state names a process that is gone; its number belongs to somebody else now."""
    machine.open().apply(machine.bundle("1"))
    state = machine.state / "process.json"
    recorded = json.loads(state.read_bytes())
    machine.open().remove()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        try:
            recorded["handle"]["pid"] = other.pid
            state.write_text(json.dumps(recorded))
            assert machine.open().status() is None
            assert machine.open().remove() is False
            assert other.poll() is None
        finally:
            other.kill()


def test_a_kill_between_the_note_and_the_start_loses_nothing(machine: Machine) -> None:
    """The new start is noted before it happens, with what it replaces; the next command goes on from there."""
    machine.open().apply(machine.bundle("1"))
    state = machine.state / "process.json"
    before = json.loads(state.read_bytes())
    noted = {**before, "handle": {"token": "0" * 32}, "release": "gone", "ready": False, "replaces": before}
    machine.kill()
    state.write_text(json.dumps(noted))
    with pytest.raises(ServiceError, match="cancer 1 runs again"):
        machine.open().apply(machine.bundle("2", "broken"))
    assert machine.digest() == "sha256:1"


def test_two_commands_at_once_do_not_both_deploy(machine: Machine) -> None:
    machine.open().apply(machine.bundle("1"))
    with machine.open()._lock(), pytest.raises(ServiceError, match="another command is changing the target 'staging'"):
        machine.open().apply(machine.bundle("2"))


def test_the_service_sees_no_secret_of_the_shell(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `process.yaml` names."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    machine.open().apply(machine.bundle("1", env={"OWN": "1"}))
    said = ask(f"http://127.0.0.1:{machine.port}", "/metadata")
    assert said is not None
    names = json.loads(said)["environment"]
    assert "AWS_SECRET_ACCESS_KEY" not in names
    assert {"OWN", "PATH", "BENTOML_HOME"} <= set(names)


def test_a_bundle_for_another_target_is_refused(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no targets/staging/process\.yaml"):
        machine.open().apply(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"port": "x"}, r"process\.yaml: Expected `int`"),
        ({"argv": []}, "argv is empty"),
        ({"folders": {"A": "../x"}}, "leads out of"),
        ({"folders": {"A": "/x"}}, "leads out of"),
        ({"extra": 1}, "unknown field `extra`"),
    ],
)
def test_a_malformed_declaration_names_the_field(machine: Machine, change: dict[str, Any], sentence: str) -> None:
    text = (machine.bundle("1", **change) / "targets/staging/process.yaml").read_text()
    with pytest.raises(InputError, match=sentence):
        read(text)


def test_every_address_is_asked_through_the_loopback(machine: Machine) -> None:
    process = read((machine.bundle("1", host="0.0.0.0") / "targets/staging/process.yaml").read_text())  # noqa: S104
    assert process.probe_url == f"http://127.0.0.1:{machine.port}"
    six = msgspec.structs.replace(process, host="::")
    assert (six.url, six.probe_url) == (f"http://[::]:{machine.port}", f"http://[::1]:{machine.port}")


@pytest.mark.parametrize(
    "options", [{}, {"port": 0}, {"port": 1, "host": "example.org"}, {"port": 1, "start_timeout_s": 0}]
)
def test_what_cannot_be_meant_is_refused_with_the_options(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, LocalOptions)


def test_a_free_port_is_not_taken() -> None:
    port = free_port()
    assert not processes.listens("127.0.0.1", port)
    assert processes.holder(port) is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert processes.listens("127.0.0.1", port)


def test_a_folder_that_cannot_be_written_is_one_sentence(machine: Machine) -> None:
    machine.folder.joinpath("state").write_text("a file")
    with pytest.raises(ServiceError, match="state: File exists"):
        machine.open().apply(machine.bundle("1"))
    machine.folder.joinpath("state").unlink()


def test_what_a_start_said_is_not_taken_for_what_the_next_one_says(machine: Machine) -> None:
    """The second time it fails for another reason, and silently."""
    bundle = machine.bundle("1", "broken")
    with pytest.raises(ServiceError, match="model/x is missing"):
        machine.open().apply(bundle)
    log = next(machine.state.rglob("service.log"))
    assert "does not start" in log.read_text()
    (machine.state / "releases" / log.parent.name / "service/server.py").write_text("")
    with pytest.raises(ServiceError, match="it said nothing"):
        machine.open().apply(bundle)
