"""How a process of this machine is replaced, and what happens when that fails; with a service of a few lines."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from mlops_ci.errors import InputError, MissingDependency, ServiceError, UsageError
from mlops_ci.targets import Answer, Ask, Order, Smoke, nothing_to_smoke
from mlops_ci.targets.local import LocalOptions, LocalTarget, processes
from mlops_ci.targets.local.process import ask, asking, read
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
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["content-length"]))
        self.answer(json.dumps({"path": self.path, "type": self.headers["content-type"]}).encode() + asked)
    def do_GET(self):
        body = json.dumps({"digest": digest, "environment": sorted(os.environ)}).encode()
        self.answer(body)
    def answer(self, body):
        self.send_response(503 if kind == "slow" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


class Machine:
    """A target on a port, orders for it, and what a command would do with them. *good* is what passed last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.state = folder / "state"
        self.good: Order | None = None

    def open(self, port: int | None = None) -> LocalTarget:
        """The target as the next command would open it."""
        return LocalTarget("staging", LocalOptions(port=port or self.port), project="cancer", state=self.state)

    def deploy(self, order: Order, smoke: Smoke = nothing_to_smoke) -> str:
        """Deploy as a command does: if it fails, go back to what passed before."""
        with self.open().lock("ann@example.org"):
            try:
                self.open().apply(order)
                url = self.open().wait(order)
                self.open().verify(order, smoke)
            except ServiceError:
                before = self.good
                self.open().rollback(before)
                if before:
                    self.open().wait(before)
                    self.open().verify(before)
                raise
        self.good = order
        return url

    def order(self, version: str, kind: str = "good", *, port: int | None = None, **changes: Any) -> Order:
        """An order of a service that behaves as *kind* says."""
        port, digest = port or self.port, f"sha256:{version}"
        files = self.open(port).render(sample_release(version=version, model_digest=digest))
        declared = yaml.safe_load(files["process.yaml"])
        says = "sha256:other" if kind == "liar" else digest
        declared |= {"argv": ["python", "server.py", kind, says, str(port)], "stop_timeout_s": 1, **changes}
        service = self.folder / "services" / f"{version}-{kind}"
        service.mkdir(parents=True, exist_ok=True)
        (service / "server.py").write_text(SERVER)
        return Order(files={"process.yaml": yaml.safe_dump(declared)}, plan_digest=f"plan-{version}", service=service)

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
    url = machine.deploy(machine.order("1"))
    status = machine.open().status()
    assert url == f"http://127.0.0.1:{machine.port}"
    assert status is not None
    assert (status.version, status.digest, status.url) == ("1", "sha256:1", url)
    assert (status.plan_digest, status.ready) == ("plan-1", True)


def test_the_next_version_replaces_it(machine: Machine) -> None:
    machine.deploy(machine.order("1"))
    machine.deploy(machine.order("2"))
    assert machine.digest() == "sha256:2"


def test_the_one_before_is_kept_and_no_older_one(machine: Machine) -> None:
    """Versions that failed are not counted."""
    for version, kind in [("1", "good"), ("2", "good"), ("3", "broken"), ("4", "good"), ("5", "broken")]:
        with suppress(ServiceError):
            machine.deploy(machine.order(version, kind))
    kept = [yaml.safe_load(path.read_text())["version"] for path in machine.state.glob("releases/*/process.yaml")]
    assert sorted(kept) == ["2", "4"]
    assert machine.digest() == "sha256:4"


def test_a_version_that_passed_is_gone_back_to_without_its_bundle(machine: Machine) -> None:
    """And forth again, if it is not what it was."""
    first, second = machine.order("1"), machine.order("2")
    machine.deploy(first)
    machine.deploy(second)
    for order in (first, second, first):
        named = msgspec.structs.replace(order, service=None)
        machine.open().rollback(named)
        assert machine.open().wait(named) == f"http://127.0.0.1:{machine.port}"
        machine.open().verify(named)
        status = machine.open().status()
        assert status is not None
        assert (status.version, status.plan_digest) == (order.plan_digest[-1], order.plan_digest)


def test_a_version_that_is_kept_is_applied_without_its_bundle(machine: Machine) -> None:
    first = machine.order("1")
    machine.deploy(first)
    machine.deploy(machine.order("2"))
    machine.deploy(msgspec.structs.replace(first, service=None))
    assert machine.digest() == "sha256:1"


def test_what_is_not_kept_cannot_be_gone_back_to(machine: Machine) -> None:
    machine.deploy(machine.order("2"))
    gone = msgspec.structs.replace(machine.order("1"), service=None)
    with pytest.raises(ServiceError, match=r"cancer 1 cannot be started again: .* not kept") as caught:
        machine.open().rollback(gone)
    assert "deploy its version again" in caught.value.hint
    with pytest.raises(UsageError, match="not kept on this machine"):
        machine.open().apply(gone)
    assert machine.digest() == "sha256:2"


def test_a_rollback_of_nothing_leaves_what_passed(machine: Machine) -> None:
    """Where the new one was refused before anything was begun, say."""
    machine.deploy(machine.order("1"))
    pid = machine.pid()
    machine.open().rollback(None)
    machine.open().rollback(machine.good)
    assert machine.pid() == pid


def test_a_rollback_starts_what_passed_and_died(machine: Machine) -> None:
    machine.deploy(machine.order("1"))
    machine.kill()
    machine.open().rollback(machine.good)
    assert machine.good is not None
    machine.open().wait(machine.good)
    assert machine.digest() == "sha256:1"


def test_where_the_record_knows_of_nothing_what_passed_runs_again(machine: Machine) -> None:
    """The machine knows better."""
    machine.deploy(machine.order("1"))
    machine.good = None
    with pytest.raises(ServiceError):
        machine.deploy(machine.order("2", "broken"))
    machine.open().wait(machine.order("1"))
    assert machine.digest() == "sha256:1"


def test_a_rollback_to_a_program_that_is_gone_stops_nothing(machine: Machine, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to(sys.executable)
    argv = [str(program), "server.py", "good", "sha256:1", str(machine.port)]
    first = machine.order("1", argv=argv)
    machine.deploy(first)
    machine.deploy(machine.order("2"))
    program.unlink()
    with pytest.raises(ServiceError, match="cancer 1: there is no program"):
        machine.open().rollback(first)
    assert machine.digest() == "sha256:2"


def test_the_smoke_test_asks_and_is_heeded(machine: Machine) -> None:
    """It may GET and POST, and what it says no to does not stay."""
    said: list[Answer] = []

    def smoke(ask: Ask) -> None:
        said.extend([ask("/metadata", None), ask("/predict", b'{"a": 1}')])
        if len(said) > 2:
            raise ServiceError("the wrong answer")

    machine.deploy(machine.order("1"), smoke)
    assert [answer.status for answer in said] == [200, 200]
    assert json.loads(said[0].body)["digest"] == "sha256:1"
    assert said[1].body == b'{"path": "/predict", "type": "application/json"}{"a": 1}'
    with pytest.raises(ServiceError, match="the wrong answer"):
        machine.deploy(machine.order("2"), smoke)
    assert machine.digest() == "sha256:1"


def test_nobody_to_ask_is_one_sentence(machine: Machine) -> None:
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:\d+/readyz did not answer: .*refused"):
        asking(f"http://127.0.0.1:{machine.port}")("/readyz", None)


def test_what_was_not_begun_is_neither_awaited_nor_verified(machine: Machine) -> None:
    with pytest.raises(ServiceError, match="nothing runs on staging, where cancer 1 should"):
        machine.open().wait(machine.order("1"))
    machine.deploy(machine.order("1"))
    with pytest.raises(ServiceError, match="cancer 1 runs on staging, and not cancer 2"):
        machine.open().verify(machine.order("2"))


def test_the_plan_says_what_would_change(machine: Machine) -> None:
    first, second = machine.order("1"), machine.order("2", start_timeout_s=7)
    [change] = machine.open().plan(first.files)
    assert (change.action, change.what) == ("create", f"cancer 1 at http://127.0.0.1:{machine.port}")
    machine.deploy(first)
    assert [(each.action, each.diff) for each in machine.open().plan(first.files)] == [("same", "")]
    [change] = machine.open().plan(second.files)
    assert change.action == "update"
    assert "--- process.yaml (cancer 1)\n+++ process.yaml (cancer 2)\n" in change.diff
    assert "-start_timeout_s: 60.0\n+start_timeout_s: 7\n" in change.diff
    machine.kill()
    assert [each.action for each in machine.open().plan(first.files)] == ["create"]


def test_it_tells_what_it_does(machine: Machine) -> None:
    lines: list[str] = []
    order = machine.order("2")
    machine.deploy(machine.order("1"))
    machine.open().apply(order, lines.append)
    assert lines == ["cancer 1 is stopped", f"cancer 2 starts as process {machine.pid()}"]
    machine.open().wait(order)
    machine.open().apply(order, lines.append)
    assert lines[2:] == ["cancer 2 runs already"]


def test_the_same_again_changes_nothing(machine: Machine) -> None:
    order = machine.order("1")
    machine.deploy(order)
    pid = machine.pid()
    machine.deploy(order)
    assert machine.pid() == pid


def test_it_runs_on_when_the_bundle_is_gone(machine: Machine) -> None:
    """Which is often a temporary clone. A version that fails afterwards goes back to it all the same."""
    order = machine.order("1")
    machine.deploy(order)
    assert order.service is not None
    shutil.rmtree(order.service)
    with pytest.raises(ServiceError):
        machine.deploy(machine.order("2", "broken"))
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
    machine.deploy(machine.order("1"))
    with pytest.raises(ServiceError) as caught:
        machine.deploy(machine.order("2", kind, start_timeout_s=1))
    assert why in str(caught.value)
    status = machine.open().status()
    assert machine.digest() == "sha256:1"
    assert status is not None
    assert (status.version, status.plan_digest, status.ready) == ("1", "plan-1", True)


def test_a_first_version_that_fails_leaves_nothing(machine: Machine) -> None:
    with pytest.raises(ServiceError, match="cancer 1 ended before it was ready") as caught:
        machine.deploy(machine.order("1", "broken"))
    assert "service.log" in caught.value.hint
    assert machine.open().status() is None
    assert machine.digest() is None


def test_a_program_that_is_not_there_is_told_before_anything_stops(machine: Machine) -> None:
    machine.deploy(machine.order("1"))
    with pytest.raises(UsageError, match="there is no program nonsense-python"):
        machine.deploy(machine.order("2", argv=["nonsense-python"]))
    assert machine.digest() == "sha256:1"


def test_an_interpreter_without_bentoml_is_told_before_anything_stops(machine: Machine, tmp_path: Path) -> None:
    python = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python], check=True)
    argv = [str(python / "bin/python"), "-m", "bentoml", "serve"]
    with pytest.raises(MissingDependency, match="bentoml is not installed"):
        machine.deploy(machine.order("1", argv=argv))


def test_a_port_of_somebody_elses_is_named_with_its_holder(machine: Machine) -> None:
    with somebody_else(machine.port), pytest.raises(ServiceError) as caught:
        machine.deploy(machine.order("1"))
    assert f"port {machine.port} is taken by " in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "targets.staging.port" in caught.value.hint


def test_nothing_is_stopped_for_a_port_that_is_taken(machine: Machine) -> None:
    """Also where the target moves to another port: what runs on the old one stays."""
    machine.deploy(machine.order("1"))
    other = free_port()
    with somebody_else(other), pytest.raises(ServiceError, match=f"port {other} is taken"):
        machine.deploy(machine.order("2", port=other))
    assert machine.digest() == "sha256:1"


def test_after_a_kill_the_same_command_starts_it_again(machine: Machine) -> None:
    order = machine.order("1")
    machine.deploy(order)
    machine.kill()
    assert machine.open().status() is None
    machine.deploy(order)
    assert machine.digest() == "sha256:1"


def test_children_that_outlive_a_kill_are_found_and_ended(machine: Machine) -> None:
    """They would hold the port, as BentoML's workers do."""
    machine.deploy(machine.order("1", "parent"))
    machine.kill()
    orphans = machine.running()
    assert len(orphans) == 1
    machine.deploy(machine.order("2"))
    assert not lives(orphans[0])


def test_one_that_does_not_listen_is_ended_all_the_same(machine: Machine) -> None:
    machine.deploy(machine.order("1", "stubborn"))
    machine.deploy(machine.order("2"))
    assert machine.digest() == "sha256:2"


def test_remove_leaves_nothing_running(machine: Machine) -> None:
    machine.deploy(machine.order("1", "parent"))
    running = machine.running()
    assert len(running) == 2
    assert machine.open().remove() is True
    assert not any(map(lives, running))
    assert machine.open().status() is None
    assert machine.open().remove() is False


def test_a_number_that_the_system_gave_to_another_is_not_ended(machine: Machine) -> None:
    """The state names a process that is gone; its number belongs to somebody else now."""
    machine.deploy(machine.order("1"))
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
    machine.deploy(machine.order("1"))
    state = machine.state / "process.json"
    before = json.loads(state.read_bytes())
    noted = {**before, "handle": {"token": "0" * 32}, "release": "gone", "ready": False, "replaces": before}
    machine.kill()
    state.write_text(json.dumps(noted))
    with pytest.raises(ServiceError, match="cancer 2 ended before"):
        machine.deploy(machine.order("2", "broken"))
    assert machine.digest() == "sha256:1"


def test_a_kill_between_the_stop_and_the_note_loses_nothing(machine: Machine) -> None:
    machine.deploy(machine.order("1"))
    machine.kill()
    with pytest.raises(ServiceError, match="cancer 2 ended before"):
        machine.deploy(machine.order("2", "broken"))
    assert machine.digest() == "sha256:1"


def test_a_kill_before_the_verification_loses_nothing(machine: Machine) -> None:
    """The next command finishes, or goes back to what passed."""
    machine.deploy(machine.order("1"))
    second = machine.order("2")
    machine.open().apply(second)
    pid = machine.pid()
    machine.open().wait(second)
    with pytest.raises(ServiceError, match="cancer 3 ended before"):
        machine.deploy(machine.order("3", "broken"))
    assert machine.digest() == "sha256:1"
    assert not lives(pid)
    machine.open().apply(second)
    machine.open().wait(second)
    pid = machine.pid()
    machine.deploy(second)
    assert (machine.pid(), machine.digest()) == (pid, "sha256:2")


def test_two_commands_at_once_do_not_both_deploy(machine: Machine) -> None:
    machine.deploy(machine.order("1"))
    for _ in range(2):
        with (
            machine.open().lock("ann@example.org on build-7"),
            pytest.raises(ServiceError, match=r"ann@example.org on build-7 is changing the target 'staging'"),
            machine.open().lock("bob"),
        ):
            raise AssertionError
    with machine.open().lock("bob"), pytest.raises(ServiceError, match=r"^bob is changing the target"):
        machine.open().remove()
    assert machine.digest() == "sha256:1"


def test_a_lock_ends_with_its_process(machine: Machine) -> None:
    code = (
        "import sys, pathlib; from mlops_ci.targets.local.state import held\n"
        "with held(pathlib.Path(sys.argv[1]), 'staging', 'ann'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(machine.state)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ServiceError, match=r"^ann is changing"), machine.open().lock("bob"):
            raise AssertionError
        other.kill()
    with machine.open().lock("bob"):
        assert (machine.state / "lock").read_text() == "bob"


def test_the_service_sees_no_secret_of_the_shell(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `process.yaml` names."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    machine.deploy(machine.order("1", env={"OWN": "1"}))
    said = ask(f"http://127.0.0.1:{machine.port}", "/metadata")
    assert said is not None
    names = json.loads(said)["environment"]
    assert "AWS_SECRET_ACCESS_KEY" not in names
    assert {"OWN", "PATH", "BENTOML_HOME"} <= set(names)


def test_an_order_without_a_process_is_refused(machine: Machine) -> None:
    with pytest.raises(InputError, match=r"no process\.yaml for staging"):
        machine.open().apply(Order(files={"service.yaml": ""}))


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
    text = machine.order("1", **change).files["process.yaml"]
    with pytest.raises(InputError, match=sentence):
        read(text)


def test_every_address_is_asked_through_the_loopback(machine: Machine) -> None:
    process = read(machine.order("1", host="0.0.0.0").files["process.yaml"])  # noqa: S104
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
        machine.deploy(machine.order("1"))
    machine.folder.joinpath("state").unlink()


def test_what_a_start_said_is_not_taken_for_what_the_next_one_says(machine: Machine) -> None:
    """The second time it fails for another reason, and silently."""
    order = machine.order("1", "broken")
    with pytest.raises(ServiceError, match="model/x is missing"):
        machine.deploy(order)
    log = next(machine.state.rglob("service.log"))
    assert "does not start" in log.read_text()
    (machine.state / "releases" / log.parent.name / "service/server.py").write_text("")
    with pytest.raises(ServiceError, match="it said nothing"):
        machine.deploy(order)
