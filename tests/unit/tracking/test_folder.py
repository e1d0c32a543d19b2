"""Where the run folder is, and that an event is in it when the call returns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_ci.capture import events, history
from mlops_ci.git import Checkout, run
from mlops_ci.tracking import folder as folders
from tests.repositories import make_clone

# Tells the parent about each point after it is logged, so that the parent knows what must be there.
TRAIN = """
import sys, mlops_ci
step = 0
while True:
    mlops_ci.log_metric("loss", step / 7, step=step)
    sys.stdout.buffer.raw.write(b"%d\\n" % step)
    step += 1
"""


@pytest.mark.parametrize("after", range(0, 2000, 100))
def test_a_kill_loses_no_point_that_was_logged(tmp_path, after):
    """SIGKILL at twenty moments; the next process goes on in the same folder."""
    folder = tmp_path / "run"
    env = {"MLOPS_RUN_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([sys.executable, "-c", TRAIN], stdout=subprocess.PIPE, env=env) as training:
        while int(training.stdout.readline()) < after:
            pass
        training.kill()
        acknowledged = [after, *map(int, training.stdout.read().split(b"\n")[:-1])]
    found = events.read(folder, tmp_path / "history")
    with (tmp_path / "history").open("rb") as lines:
        points = history.read(lines)["loss"]
    steps = [point.step for point in points]
    assert steps[: acknowledged[-1] + 1] == list(range(acknowledged[-1] + 1))
    assert len(steps) <= acknowledged[-1] + 2, "and at most one that was not acknowledged"
    assert [point.value for point in points] == [step / 7 for step in steps]
    assert not found.ended


def test_a_torn_line_is_left_behind(tmp_path):
    """The next process begins on a line of its own."""
    folders.prepare(tmp_path, None)
    (tmp_path / "events.jsonl").write_bytes(b'{"event":"tags","values":{"a":"1"}}\n{"event":"ta')
    log = folders.EventLog(tmp_path)
    log.append({"event": "tags", "values": {"b": "2"}})
    log.close()
    found = events.read(tmp_path)
    assert found.tags == {"a": "1", "b": "2"}
    assert found.warnings == ["events.jsonl:2: no event"]


def test_a_short_write_is_an_error_and_the_next_event_is_whole(tmp_path):
    """A disk that fills up in the middle of a line, and has room again later."""
    code = f"""
import resource, signal
from pathlib import Path
from mlops_ci.tracking.folder import EventLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = EventLog(Path({str(tmp_path)!r}))
log.append({{"event": "tags", "values": {{"a": "1"}}}})
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
try:
    log.append({{"event": "tags", "values": {{"b": "2"}}}})
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append({{"event": "tags", "values": {{"c": "3"}}}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "No space left on device\n"
    assert events.read(tmp_path).tags == {"a": "1", "c": "3"}


def test_the_folder_is_in_the_git_directory(work, monkeypatch):
    """Also from a folder below, and the work tree stays clean."""
    (work / "deep").mkdir()
    monkeypatch.chdir(work / "deep")
    folder = folders.locate()
    folders.prepare(folder, "x")
    assert folder.parent == Checkout.find(work).state / "runs"
    assert not run(["status", "--porcelain", "--ignored=no", "-uall"], cwd=work)


def test_linked_work_trees_share_the_folder(work, tmp_path, monkeypatch):
    """As git's own `--git-common-dir` has it."""
    run(["worktree", "add", "-q", str(tmp_path / "linked")], cwd=work)
    monkeypatch.chdir(tmp_path / "linked")
    assert folders.locate().parent == Checkout.find(work).state / "runs"


def test_a_submodule_has_its_own(tmp_path, monkeypatch):
    """Its `.git` is a file that no other work tree shares."""
    (tmp_path / "inner").mkdir()
    inner = make_clone(tmp_path / "inner")
    (tmp_path / "outer").mkdir()
    outer = make_clone(tmp_path / "outer")
    run(["-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub"], cwd=outer)
    monkeypatch.chdir(outer / "sub")
    assert folders.locate().parent == Checkout.find(Path.cwd()).state / "runs"
