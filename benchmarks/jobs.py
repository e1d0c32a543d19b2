"""
Jobs of a pull request as GitHub's runner starts those of the action: its own scripts, in order, each one timed.

GitHub's API is the testbed's, with a clock in it.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.repositories import BIN
from benchmarks.timing import Command, Sample
from tests.action.runner import read_outputs, runner_environment
from tests.cli.conftest import Workplace
from tests.cli.jobs import Change, Runner
from tests.github.emulator import Emulator
from tests.github.gateway import GitHubServer
from tests.github.messages import Reply, Request
from tests.repositories import clone, git, make_clone

ROOT = Path(__file__).resolve().parents[1]
SHELL = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]
TRAINING = """\
import json

scale = json.load(open("params.json"))["scale"]
json.dump({f"m{i}": scale * i / 7 for i in range(20)}, open("metrics.json", "w"))
"""
_ACTION = ("action.yml", "pyproject.toml", ".github/action", "mlops_ci", "templates", "serving")
_CONFIG = """\
project: churn
run: {command: python3 train.py, metrics: [metrics.json], params: [params.json], reuse: true}
gates:
  - {metric: m3, min: 0, max_drop: 5%}
  - {metric: m4, max: 100, max_increase: 50%}
"""


class Api(GitHubServer):
    """The testbed's, with a clock in it: *spent* has the seconds of each answer since it was last emptied."""

    def __init__(self, *asked: Any, **options: Any) -> None:
        self.spent: list[float] = []
        super().__init__(*asked, **options)

    def answer(self, request: Request) -> tuple[Reply | None, Any]:
        """Answer, timed."""
        started = time.perf_counter()
        answered = super().answer(request)
        self.spent.append(time.perf_counter() - started)
        return answered

    def taken(self) -> tuple[list[str], float]:
        """All calls since the last time, as method and status, and the seconds that they took here."""
        calls, spent_s = [f"{call.method} {call.status}" for call in self.calls], sum(self.spent)
        self.calls.clear()
        self.spent.clear()
        return calls, spent_s


@contextmanager
def serve() -> Iterator[Api]:
    """Serve it while the block runs."""
    emulator = Emulator()
    server = Api(emulator, "churn")
    try:
        yield server
    finally:
        server.close()
        emulator.stop()


class Jobs:
    """
    Those of a repository whose main branch is trained, and whose pull request is trained and commented.

    Attributes:
        change: The pull request.
        scripts: What action.yml runs, by the id of its step.
        first: The outputs of the job that trained the pull request.
    """

    def __init__(self, folder: Path, api: Api) -> None:
        folder.mkdir()
        self.folder, self.api, self.count = folder, api, 0
        self.action, self.fetched, self.temporary = folder / "action", folder / "fetched", folder / "temporary"
        self.temporary.mkdir()
        for name in _ACTION:
            _copy(ROOT / name, self.fetched / name)
        self.fetch()
        compileall.compile_dir(str(self.action / "mlops_ci"), quiet=1)
        self.action.rename(folder / "compiled")
        self.fetch()
        steps = yaml.safe_load((self.action / "action.yml").read_text("utf-8"))["runs"]["steps"]
        self.scripts = {each["id"]: each["run"] for each in steps if "run" in each}
        self.token = api.token(permissions={"contents": "write", "pull-requests": "write", "checks": "write"})
        files = {"mlops.yaml": _CONFIG, "train.py": TRAINING, "params.json": '{"scale": 1}'}
        work = make_clone(folder, {**files, ".gitignore": "metrics.json\n"})
        self.remote = folder / "origin.git"
        self.change = Change(0, "", "", "")
        self.job("push", git(self.remote, "rev-parse", "main"))
        self.change = Runner(Workplace(work, {}), folder, api).propose({"params.json": '{"scale": 1.25}'}, number=1)
        self.change.number = open_pull_request(api, self.change)
        _, self.first = self.job("pull_request", self.change.merge)

    def job(self, event: str, sha: str, **more: str) -> tuple[dict[str, Sample], dict[str, str]]:
        """Run the scripts of the action, as the runner does, with *more* variables; what each took, the outputs."""
        self.count += 1
        home = self.folder / f"job-{self.count}"
        home.mkdir()
        work = clone(self.remote, home / "work", "--no-local")
        git(work, "fetch", "--quiet", "origin", sha)
        git(work, "checkout", "--quiet", "--detach", sha)
        variables = {**self._variables(home, event, sha), **more}
        found: dict[str, Sample] = {}
        outputs: dict[str, str] = {}
        for name, script in self.scripts.items():
            written = home / f"{name}-outputs"
            env = {**variables, "GITHUB_OUTPUT": str(written), **_inputs(name, outputs, self.token)}
            found[name] = Command(name, [*SHELL, script], work, env).once()
            outputs = read_outputs(written.read_text("utf-8"))
        return found, {**outputs, "summary": (home / "summary").read_text("utf-8")}

    def demand(self, outputs: Mapping[str, str]) -> None:
        """Stop where the last job has not done all that a turn is about."""
        (comment,) = self.api.comments(self.change.number)
        checks = self.api.check_runs(self.change.head)
        told = all("`m3`" in text for text in (comment["body"], checks[0]["output"]["summary"], outputs["summary"]))
        ended = (outputs["verdict"], checks[0]["conclusion"], len(checks)) == ("pass", "success", self.count - 1)
        reused = outputs["run-id"] == self.first["run-id"]
        if not (told and ended and reused and outputs["comment"] == comment["html_url"]):
            raise SystemExit(f"the step has not told what it should: {dict(outputs)}, {checks[0]}, {comment}")

    def outdate(self) -> None:
        """Have something to edit: a comment that says what is true already stays as it is."""
        (comment,) = self.api.comments(self.change.number)
        self.api.edit_comment(comment["id"], f"outdated\n\n{comment['body'].splitlines()[-1]}")

    def connections(self) -> int:
        """How often a job of the pull request turns to git's remote, which is to be multiplied by a network's time."""
        trace = self.folder / "trace"
        self.job("pull_request", self.change.merge, GIT_TRACE2_EVENT=str(trace))
        started = [json.loads(line) for line in trace.read_text("utf-8").splitlines() if '"event":"start"' in line]
        # What a git starts by itself is named after it.
        return sum("/" not in one["sid"] and bool({"fetch", "push", "ls-remote"} & {*one["argv"]}) for one in started)

    def fetch(self, *, compiled: bool = False) -> None:
        """Have the action as a runner fetches it, or with its code compiled."""
        shutil.rmtree(self.action, ignore_errors=True)
        shutil.copytree(self.folder / "compiled" if compiled else self.fetched, self.action)

    def _variables(self, home: Path, event: str, sha: str) -> dict[str, str]:
        host = "https://github.com"
        about = {"repository": {"default_branch": "main"}}
        payload = self.change.payload(self.api.repository) if event == "pull_request" else about
        (home / "event.json").write_text(json.dumps(payload), "utf-8")
        instead = f"\tinsteadOf = {host}/{self.api.repository}"
        (home / ".gitconfig").write_text(f'[url "{self.remote.as_uri()}"]\n{instead}.git\n{instead}\n', "utf-8")
        pull = f"refs/pull/{self.change.number}/merge"
        return {
            **environment(home),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_ACTOR": "octocat",
            "GITHUB_API_URL": self.api.url,
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(home / "event.json"),
            "GITHUB_REF": pull if event == "pull_request" else "refs/heads/main",
            "GITHUB_REPOSITORY": self.api.repository,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": str(self.count),
            "GITHUB_SERVER_URL": host,
            "GITHUB_SHA": sha,
            "GITHUB_STEP_SUMMARY": str(home / "summary"),
            "RUNNER_TEMP": str(self.temporary),
        }


def environment(home: Path) -> dict[str, str]:
    """What a hosted runner sets, with a Python as actions/setup-python puts it; and dvc and uv, which come last."""
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), os.environ["PATH"], str(BIN)])
    return {**runner_environment(home), "PATH": path}


def _inputs(name: str, outputs: Mapping[str, str], token: str) -> dict[str, str]:
    """The `env:` of the step called *name* in action.yml, after that which left *outputs*."""
    given = {f"INPUT_{one}": "" for one in ("PYTHON", "CONFIG", "BUNDLE", "TAG")}
    given |= {"INPUT_PART": "all", "MLOPS_CI_OWN_TOKEN": "true"}
    if name != "plan":
        given["MLOPS_CI_PYTHON"] = outputs["python"]
    if name == "install":
        given["MLOPS_CI_CACHE"] = "success"
    if name == "ci":
        cell = {"MLOPS_MATRIX_CELL": "null", "MLOPS_MATRIX_TOTAL": "1"}
        given |= {**cell, "MLOPS_CI_OUTPUT": outputs["folder"], "GITHUB_TOKEN": token}
    return given


def open_pull_request(api: Api, change: Change) -> int:
    """Open *change* there, and return its number."""
    return api.open_pull_request(
        head_sha=change.head, base_sha=change.base, head_branch=change.branch, merge_sha=change.merge
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
