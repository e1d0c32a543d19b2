"""
The whole step of a pull request without training, beside what a user would put together today.

Ours is what action.yml runs: its own scripts, in the shell that GitHub's runner gives them, with an environment that is
there already (the cache has it) and in a fresh clone each turn, whose making is not timed. The run was recorded before
and is reused; the comment exists and is edited. A runner fetches the action anew for each job, so nothing of its code
is compiled; what that costs is the difference to the second line.

The peer is DVC, installed and compiled already: `dvc metrics diff`, and its table as a comment and a commit status,
with curl. There is no gate in it. CML (`@dvcorg/cml`), which would post the comment, was not in the npm registry that
could be reached.

GitHub's API is the testbed's. It answers from threads of this process and from one of its own, so its CPU is in no
figure, but its time is: it also holds every request and answer against GitHub's description, which has no switch.
Git's remote is a folder. Nothing here has the latency of a network, which is why the calls are counted, too.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.jobs import ROOT, SHELL, TRAINING, Api, Jobs, environment, open_pull_request, serve
from benchmarks.repositories import BIN
from benchmarks.timing import Call, Command, Sample, interleave, ratio, table
from tests.cli.jobs import Change
from tests.repositories import clone, commit, git, make_clone

MOST_CALLS = 6
AIM_S = 2.0

_DVC = """\
stages:
  train:
    cmd: python3 train.py
    deps: [params.json, train.py]
    params: [params.json: [scale]]
    metrics: [metrics.json: {cache: false}]
"""
_POST = """\
marker='<!-- dvc metrics -->'
{ echo "$marker"; dvc metrics diff --md "$BASE"; } > comment.md
ask() { curl -sSf -H "Authorization: Bearer $GITHUB_TOKEN" -H 'Content-Type: application/json' "$@"; }
found=$(ask "$API/issues/$NUMBER/comments?per_page=100" |
  jq --arg marker "$marker" 'map(select(.body | startswith($marker)))[0].id')
jq -Rs '{body: .}' comment.md | ask -X PATCH -d @- "$API/issues/comments/$found" > comment.json
ask -X POST -d '{"state": "success", "context": "metrics"}' "$API/statuses/$HEAD" > status.json
"""


def step(folder: Path, times: int = 7) -> None:
    """Print what the step takes, in parts, what the peer takes, and how many calls each makes."""
    if shutil.which("jq") is None or shutil.which("curl") is None:
        raise SystemExit("the peer's script needs curl and jq: apt-get install curl jq")
    with serve() as api:
        jobs = Jobs(folder / "ours", api)
        ours = [_Ours("the action's step", jobs), _Ours("the same, its code compiled", jobs, compiled=True)]
        peers = [_Peer("dvc metrics diff, comment, status", folder / "dvc", api, _POST)]
        peers.append(_Peer("dvc metrics diff alone", folder / "dvc-alone", api, 'dvc metrics diff --md "$BASE"'))
        contenders = [*ours, *peers]
        found = interleave(contenders, times=times)  # type: ignore[arg-type]  # they are timed as commands are
        table(f"the step of a pull request without training (aim: at most {AIM_S:.0f} s)", found)
        for one in ours:
            table(f"{one.name}, in parts", {name: samples[-times:] for name, samples in one.parts.items()})
        for one in ours:
            ratio(f"the time of dvc and its comment: {one.name}", found[one.name], found[peers[0].name])
            ratio(
                "the same: its part ci, which is what gates and tells", one.parts["ci"][-times:], found[peers[0].name]
            )
        for contender in contenders:
            print(f"  {contender.name}: {_told(contender.calls, contender.spent)}")
        print(f"  {ours[0].name}: {jobs.connections()} connections to git's remote, which is a folder here")
        table(
            "the API here, contract and all", interleave([Call("a bare GET of the comments", peers[0].get)], times=30)
        )
        if unexpected := api.unexpected():
            raise SystemExit("\n".join(unexpected))
    _installed(folder / "installed")


class _Counted:
    """
    A contender that asks the API.

    Attributes:
        calls: What it asked in its last turn.
        spent: How many seconds the API took in each.
    """

    def __init__(self, name: str, api: Api) -> None:
        self.name, self.api = name, api
        self.calls: list[str] = []
        self.spent: list[float] = []

    def once(self) -> Sample:
        """One turn."""
        self.api.taken()
        sample = self.run()
        self.calls, spent = self.api.taken()
        self.spent.append(spent)
        self.demand()
        return sample

    def run(self) -> Sample:
        """Do what is timed."""
        raise NotImplementedError

    def demand(self) -> None:
        """Stop where the turn has not done what it is about."""


class _Ours(_Counted):
    """
    Jobs of one pull request.

    Attributes:
        parts: The samples of each script of action.yml, by the id of its step.
    """

    def __init__(self, name: str, jobs: Jobs, *, compiled: bool = False) -> None:
        super().__init__(name, jobs.api)
        self.jobs, self.compiled = jobs, compiled
        self.parts: dict[str, list[Sample]] = {step: [] for step in jobs.scripts}
        self._outputs: dict[str, str] = {}

    def run(self) -> Sample:
        self.jobs.fetch(compiled=self.compiled)
        self.jobs.outdate()
        samples, self._outputs = self.jobs.job("pull_request", self.jobs.change.merge)
        for step, sample in samples.items():
            self.parts[step].append(sample)
        return Sample(sum(one.wall_s for one in samples.values()), sum(one.cpu_s for one in samples.values()))

    def demand(self) -> None:
        if len(self.calls) > MOST_CALLS or not {"PATCH 200", "POST 201"} <= {*self.calls}:
            raise SystemExit(f"expected an edit and a check in {MOST_CALLS} calls; the API was asked {self.calls}")
        self.jobs.demand(self._outputs)


class _Peer(_Counted):
    """A repository with DVC in it, whose pull request has a comment; a turn runs *script* in a fresh clone."""

    def __init__(self, name: str, folder: Path, api: Api, script: str) -> None:
        super().__init__(name, api)
        folder.mkdir()
        self.folder, self.script = folder, script
        self.work = make_clone(folder, {"dvc.yaml": _DVC, "train.py": TRAINING, "params.json": '{"scale": 1}'})
        self._dvc("init", "--quiet")
        self._dvc("config", "core.analytics", "false")
        self._dvc("config", "core.check_update", "false")
        self._dvc("repro", "--quiet")
        base = commit(self.work, {})
        (self.work / "params.json").write_text('{"scale": 1.25}', "utf-8")
        self._dvc("repro", "--quiet")
        head = commit(self.work, {})
        git(self.work, "push", "--quiet", "origin", "HEAD:main")
        self.change = Change(0, head, base, head)
        self.change.number = open_pull_request(api, self.change)
        api.add_comment(self.change.number, "github-actions[bot]", "<!-- dvc metrics -->")
        self.token = api.token(permissions={"pull-requests": "write", "statuses": "write"})

    def run(self) -> Sample:
        home = self.folder / f"job-{len(self.spent)}"
        home.mkdir()
        work = clone(self.folder / "origin.git", home / "work", "--no-local")
        variables = {
            **self._environment(home),
            "API": f"{self.api.url}/repos/{self.api.repository}",
            "BASE": self.change.base,
            "GITHUB_TOKEN": self.token,
            "HEAD": self.change.head,
            "NUMBER": str(self.change.number),
        }
        return Command(self.name, [*SHELL, self.script], work, variables).once()

    def demand(self) -> None:
        (comment,) = self.api.comments(self.change.number)
        if self.calls and ("| m3" not in comment["body"] or not self.api.statuses(self.change.head)):
            raise SystemExit(f"the peer has not told what it should: {comment}")

    def get(self, _: object) -> None:
        """Ask for the comments, over a connection of its own."""
        address = urlsplit(self.api.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        path = f"/repos/{self.api.repository}/issues/{self.change.number}/comments?per_page=100"
        connection.request("GET", path, headers={"authorization": f"Bearer {self.token}"})
        connection.getresponse().read()
        connection.close()

    def _dvc(self, *words: str) -> None:
        Command("dvc", [str(BIN / "dvc"), *words], self.work, self._environment(self.folder)).once()

    def _environment(self, home: Path) -> dict[str, str]:
        return {**environment(home), "DVC_SITE_CACHE_DIR": str(self.folder / "site")}


def _told(calls: Sequence[str], spent: Sequence[float]) -> str:
    took_ms = 1e3 * statistics.median(spent)
    return f"{len(calls)} calls{': ' if calls else ''}{', '.join(calls)}; the API here took {took_ms:.0f} ms of it"


def _installed(folder: Path) -> None:
    """Print what installing DVC takes from a warm cache; it is in none of the figures above."""
    folder.mkdir()
    spec = importlib.util.spec_from_file_location("install", ROOT / ".github" / "action" / "install.py")
    if spec is None or spec.loader is None:
        raise SystemExit("the action's installer is not there")
    installer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(installer)
    settings = installer.uv_settings(str(Path(sys.base_prefix) / "bin" / "python3"))
    env = {**os.environ, **settings, "UV_CACHE_DIR": str(folder / "cache")}
    samples = []
    for name in ("cold", "warm"):
        uv, python = str(BIN / "uv"), str(folder / name / "bin" / "python")
        Command("", [uv, "venv", "--quiet", "--python", sys.executable, name], folder, env).once()
        words = [uv, "pip", "install", "--quiet", "--python", python, "dvc"]
        samples.append(Command("", words, folder, env).once())
    table("what is not in it", {"uv pip install dvc, from a warm cache": samples[1:]})
