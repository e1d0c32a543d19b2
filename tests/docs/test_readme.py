"""The console blocks of the README, typed by somebody who does what the comments say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Workplace, project
from tests.docs.pages import README, blocks, commands, section
from tests.integration.served_model import free_port
from tests.processes import processes_of
from tests.repositories import clone, commit, git, make_remote

__all__ = ["project"]
DEPLOYING = {"actions", "deployments", "issues", "packages"}
PRELUDE = """\
from sklearn.linear_model import LogisticRegression
import numpy as np

X, y = np.arange(20.0).reshape(-1, 2), np.array([0, 1] * 5)
model = LogisticRegression()

"""


@pytest.fixture
def repository(tmp_path: Path) -> Workplace:
    """A clone of a remote that has nothing yet."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    env = {**os.environ, "PATH": path, "MLOPS_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1"}
    return Workplace(clone(make_remote(tmp_path), tmp_path / "work"), env)


def type_in(place: Workplace, line: str, *, expect: int = 0) -> str:
    """Type *line* into a shell; what it printed."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=place.root, env=place.env, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == expect, f"{line} ended with {done.returncode}:\n{said}"
    return said


def test_in_your_repository(repository: Workplace) -> None:
    """Installed commands, the smallest mlops.yaml, the workflow and the logging code, all as README has them."""
    smallest, workflow = blocks(section(README, "In your repository"), "yaml")
    (logging,) = blocks(section(README, "Logging from training code"), "python")
    (repository.root / "train.py").write_text(PRELUDE + logging, "utf-8")
    (repository.root / "requirements.txt").touch()
    said = ""
    for line, _ in commands(section(README, "In your repository")):
        if line.startswith("pip install"):
            continue  # tests/packaging installs it, test_pages.py looks at the extras
        said = type_in(repository, line)
        if line == "mlops-ci init":
            (repository.root / "mlops.yaml").write_text(smallest, "utf-8")
    assert "churn: ready to merge" in said
    for file in [*repository.root.glob(".github/workflows/*.yml"), repository.root / "mlops.yaml"]:
        file.unlink()
    repository.run("init", "--one-step")
    whole = (repository.root / ".github/workflows/mlops.yml").read_text("utf-8")
    assert meaning(workflow) == meaning(whole)


def meaning(workflow: str) -> dict[str, object]:
    """What the job of a workflow does but for deploying, with which rights, by which major version of each action."""
    job = yaml.safe_load(re.sub(r"@[0-9a-f]{40} # v(\d+)\S*", r"@v\1", workflow))["jobs"]["mlops"]
    steps = [step for step in job["steps"] if not step.get("uses", "").startswith("actions/upload-artifact")]
    for step in steps:
        step.pop("id", None)
        step.pop("env", None)  # the credentials of a cluster
        step.get("with", {}).pop("ref", None)  # of a dispatch with a tag
    rights = {name: right for name, right in job["permissions"].items() if name not in DEPLOYING}
    return {"steps": steps, "permissions": rights, "runs-on": job["runs-on"]}


def test_finding_runs_and_keeping_them(project: Workplace) -> None:
    """Every command; the table is the one that is shown, but for ids and times."""
    ids = []
    for accuracy in ("0.85", "0.9", "0.95"):
        project.commit({"params.json": f'{{"accuracy": {accuracy}, "model": "rf"}}'})
        ids.append(project.run("run").split()[1])
    project.push()
    page = section(README, "Finding runs")
    said = {}
    for line, _ in [*commands(page), *commands(section(README, "Where records are kept"))]:
        typed = line.replace("2682", ids[2]).replace("84c8", ids[1])
        said[line] = type_in(project, typed)
    first, *_ = said.values()
    (console,) = blocks(page, "console")
    shown = [line for line in console.partition("\n$ ")[0].splitlines()[1:] if line]
    printed = [line.strip() for line in first.splitlines() if line.strip()]
    assert [shape(line) for line in shown] == [shape(line) for line in printed]
    assert "folded 3 records" in said["mlops-ci sync --fold"]
    assert "everything in the backup is here already" in said["mlops-ci restore everything.zip"]


def shape(line: str) -> list[str]:
    """A line of a table: its columns, without what differs from one project to the next."""
    return [re.sub(r"^[0-9a-f]{7,16}$|^─+$|^\d+ \w+ ago$", "…", cell) for cell in re.split(r"\s{2,}", line.strip())]


@pytest.mark.full
def test_the_loop_by_hand(repository: Workplace, approver: Path) -> None:
    """From a first run to production and back to the data; nothing runs afterwards."""
    begin = next(code for code in re.findall(r"`(mlops-ci init [^`]+)`", section(README, "The loop by hand")))
    type_in(repository, f"{begin} --ports {free_port()} {free_port()}")
    allow(repository, approver)
    does: dict[str, Callable[[], object]] = {
        "change params.yaml, commit": lambda: improve(repository),
        "after the merge; push it": lambda: git(repository.root, "push", "origin", "main", "cancer@v1.0.0"),
        "and staging: both are processes of this machine": lambda: repository.run("deployments", "stop", "staging"),
    }
    said: dict[str, str] = {}
    try:
        for line, comment in commands(section(README, "The loop by hand")):
            if "after the merge" in comment:
                type_in(repository, "git switch main && git merge --no-ff -m 'Merge better' better")
            expected = re.search(r"exit code (\d)", comment)
            typed = filled_in(line, repository, approver)
            said[line] = type_in(repository, typed, expect=int(expected.group(1)) if expected else 0)
            does.pop(comment, lambda: None)()
    finally:
        for target in ("staging", "production"):
            repository.run("deployments", "stop", target)
    assert not does, "the README no longer says what this test does"
    assert "verified, nothing is wrong" in said["mlops-ci explain production"]
    assert "cancer: ready to merge" in (repository.root.parent / "comment.md").read_text("utf-8")
    assert not processes_of(repository.root.parent)


@pytest.mark.full
def test_serving_it(repository: Workplace) -> None:
    """The version that is tagged, asked by the line that stands there; tests/images builds and pushes."""
    begin = next(code for code in re.findall(r"`(mlops-ci init [^`]+)`", section(README, "The loop by hand")))
    type_in(repository, begin)
    type_in(repository, "git add . && git commit -m Start && git tag -a cancer@v1.0.0 -m first")
    type_in(repository, "git push origin HEAD:main cancer@v1.0.0 && mlops-ci run && mlops-ci register cancer@v1.0.0")
    (console,) = blocks(section(README, "Serving it"), "console")
    serve, curl, tune, build = (line for line, _ in commands(section(README, "Serving it")))
    assert (tune, build) == ("mlops-ci serve --tune", "mlops-ci build --push")
    port = free_port()
    with subprocess.Popen(
        ["bash", "-c", f"exec {serve} --port {port}"],
        cwd=repository.root,
        env=repository.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout
        try:
            assert f"http://127.0.0.1:{port}" in service.stdout.readline()
            said = json.loads(type_in(repository, curl.replace("curl", "curl -sS").replace("3000", str(port))))
        finally:
            service.terminate()
    assert service.returncode == 0
    shown = json.loads(next(line for line in console.splitlines() if line.startswith("{")))
    assert {**said, "digest": ""} == {**shown, "digest": ""}
    assert '"batch_rows": ' in type_in(repository, f"{tune} --seconds 60 --dry-run --json")
    assert not processes_of(repository.root.parent)


def improve(repository: Workplace) -> None:
    """The change of the branch."""
    params = yaml.safe_load((repository.root / "params.yaml").read_text("utf-8"))
    commit(repository.root, {"params.yaml": yaml.safe_dump({**params, "C": 1.0})})


def filled_in(line: str, repository: Workplace, key: Path) -> str:
    """*line* with the digest and the key that README can only give examples of."""
    if not line.startswith("mlops-ci approve "):
        return line
    asked = json.loads(repository.run("approvals", "--json"))[0]["request"]["plan_digest"].removeprefix("sha256:")
    return re.sub(r"approve \w+ --key \S+", f"approve {asked[:12]} --key {key}", line)


@pytest.fixture
def approver(tmp_path: Path) -> Path:
    """The key of a second person."""
    key = tmp_path / "approver"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    return key


def allow(repository: Workplace, key: Path) -> None:
    """List *key* where README says that it has to be."""
    with (repository.root / ".mlops/allowed_signers").open("a", encoding="utf-8") as file:
        file.write(f'approver@example.com namespaces="mlops-ci" {key.with_suffix(".pub").read_text("utf-8")}')
