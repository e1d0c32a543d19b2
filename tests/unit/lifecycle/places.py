"""Projects over real ledgers and stores of any kind, and records to put in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_ci import config, digests, records
from mlops_ci.entities import ArtifactRef, Author, ExperimentChange, GitState, Model, ModelVersion, Run, RunChange
from mlops_ci.git import Checkout
from mlops_ci.ledger.sql import SqlLedger
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from tests.repositories import make_clone

AUTHOR = Author(name="Ada", email="ada@example.org")
KINDS = ("git", "sql")


def place(folder: Path, kind: str, artifacts: str = "") -> Project:
    """A project in a fresh clone at *folder*, with a ledger of *kind*; its artifacts beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    checkout = Checkout.find(make_clone(folder))
    store = "git" if kind == "git" else "sqlite:///mlops.db"
    artifacts = artifacts or ("git" if kind == "git" else ".bytes")
    text = f"project: churn\nstore: {store}\nartifacts: {artifacts}\nrun: {{command: python train.py}}\n"
    return Project(checkout, config.parse(text, "mlops.yaml"))


def close(project: Project) -> None:
    """Let go of a ledger's database."""
    if isinstance(project.ledger, SqlLedger):
        project.ledger.store.close()


def time(second: float) -> str:
    """So many seconds into a day that is long gone."""
    return records.timestamp(records.from_seconds(1_750_000_000 + second))


def run(run_id: str, *, second: float = 0, tree: str = "b" * 40, sha: str = "", **fields: Any) -> Record:
    """The record of a finished run."""
    sha = sha or digests.of_bytes(run_id.encode())[7:47]
    given = {
        "run_key": f"key of {run_id}",
        "project": "churn",
        "experiment": "churn",
        "status": "finished",
        "started": time(second),
        "ended": time(second),
        "duration_s": 1.0,
        "git": GitState(trained_sha=sha, head_sha=sha, tree=tree),
    }
    return records.new(Run(run_id=run_id, **(given | fields)), author=AUTHOR, time=time(second))


def deletion(of: Record, *, second: float, deleted: bool = True, **fields: Any) -> Record:
    """The record that a run was deleted, or restored."""
    git = of.body["git"]
    change = RunChange(run_id=of.body["run_id"], shas=[git["trained_sha"]], tree=git["tree"], deleted=deleted, **fields)
    return records.new(change, author=AUTHOR, time=time(second))


def experiment_change(experiment: str, *, second: float, project: str = "churn", **fields: Any) -> Record:
    """The record that an experiment was changed."""
    change = ExperimentChange(project=project, experiment=experiment, **fields)
    return records.new(change, author=AUTHOR, time=time(second))


def version(of: Record, number: str, *, second: float) -> tuple[Record, Mapping[str, Record]]:
    """The record of a version, and its claim."""
    sha = of.body["git"]["trained_sha"]
    body = ModelVersion(
        model="churn",
        version=number,
        tag=f"churn@v{number}",
        sha=sha,
        tree=of.body["git"]["tree"],
        run_id=of.body["run_id"],
        run_record=of.id,
        artifact=Model(flavor="python", digest="sha256:" + "0" * 64, size_bytes=0, files=[]),
    )
    record = records.new(body, author=AUTHOR, time=time(second))
    return record, {f"version/churn/{number}": record}


def put(project: Project, folder: Path, *contents: bytes) -> list[ArtifactRef]:
    """Put *contents* into the artifact store, and refer to them."""
    folder.mkdir(parents=True, exist_ok=True)
    references = []
    for content in contents:
        path = folder / digests.of_bytes(content)[7:]
        path.write_bytes(content)
        references.append(digests.reference(path, f"file-{len(references)}"))
    assert project.artifacts.put({each.digest: folder / each.digest[7:] for each in references})
    return references


def quiet(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""
