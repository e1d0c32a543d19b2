"""A run and what belongs to it: data, metrics, model, commit, CI; and what was changed afterwards."""

from __future__ import annotations

from typing import Any, Literal

from mlops_ci.entities.noun import Noun

Scalar = str | int | float | bool | None
Status = Literal["finished", "failed", "killed"]


class Author(Noun, frozen=True, kw_only=True):
    """Who did it. *via* says who vouches: git's configuration, GitHub's actor, the machine's user."""

    name: str
    email: str = ""
    via: Literal["git", "github", "system"] = "git"


class ArtifactRef(Noun, frozen=True, kw_only=True):
    """Bytes by digest (`sha256:<hex>`). *path* is where they belong, relative and with slashes."""

    path: str
    digest: str
    size_bytes: int


class Column(Noun, frozen=True, kw_only=True):
    """A column of a dataset; *type* is boolean, integer, number, string, timestamp, empty or the file's own."""

    name: str
    type: str


class Dataset(Noun, frozen=True, kw_only=True):
    """The fingerprint of one input file or folder. *rows* and *columns* are absent where nobody could read them."""

    name: str
    path: str
    digest: str
    size_bytes: int
    rows: int | None = None
    columns: list[Column] | None = None
    note: str = ""


class Metric(Noun, frozen=True, kw_only=True):
    """What a run says of one metric: its last value, the extremes of its history and how many points it has."""

    last: float
    min: float
    max: float
    count: int = 1


class Signature(Noun, frozen=True, kw_only=True):
    """JSON Schemas of one input record and of the prediction for it."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Model(Noun, frozen=True, kw_only=True):
    """A trained model: its files, the flavor that loads them, and what goes in and out."""

    flavor: str
    digest: str
    size_bytes: int
    files: list[ArtifactRef]
    requirements: list[str] = []
    signature: Signature | None = None
    input_example: ArtifactRef | None = None


class GitState(Noun, frozen=True, kw_only=True):
    """What was checked out. *trained_sha* is HEAD; *head_sha* is the pull request's head where that differs."""

    trained_sha: str
    head_sha: str
    tree: str
    base_sha: str = ""
    branch: str = ""
    dirty: bool = False
    diff_digest: str = ""
    repository: str = ""


class CiRun(Noun, frozen=True, kw_only=True):
    """The CI run that a record came from; *cell* is which of the matrix's *cells* jobs, as JSON."""

    provider: str
    run_url: str = ""
    run_id: str = ""
    attempt: int = 1
    job: str = ""
    cell: str = ""
    cells: int = 1
    event: str = ""
    pull_request: int | None = None


class Stage(Noun, frozen=True, kw_only=True):
    """A named part of a run, and how long it took."""

    name: str
    duration_s: float


class Run(Noun, frozen=True, kw_only=True):
    """One training run, written when it ends. One ending counts for each *run_key*."""

    run_id: str
    run_key: str
    project: str
    experiment: str
    status: Status
    started: str
    ended: str
    duration_s: float
    git: GitState
    ci: CiRun | None = None
    command: list[str] = []
    exit_code: int | None = None
    improvised: bool = False
    """The command is not the one that the configuration names: such a run is no baseline and no version."""
    self_reported: bool = False
    """It comes from a job that ran a stranger's code, and is believed by nobody: no baseline, and no version."""
    params: dict[str, Scalar] = {}
    metrics: dict[str, Metric] = {}
    tags: dict[str, str] = {}
    stages: list[Stage] = []
    data: list[Dataset] = []
    artifacts: list[ArtifactRef] = []
    model: Model | None = None
    environment: ArtifactRef | None = None
    history: ArtifactRef | None = None
    warnings: list[str] = []


class Adoption(Noun, frozen=True, kw_only=True):
    """A commit whose tree was trained before, under another commit: *run_id* stands for it."""

    sha: str
    tree: str
    run_id: str


class RunChange(Noun, frozen=True, kw_only=True):
    """
    What was changed of a run after it ended; of each thing the latest change by time and record id counts.

    *shas* and *tree* are those that the run is found by, so that whoever finds the run finds its changes. A field
    that is None, or a tag that is not named, stays as it was; a tag that is None is taken away.
    """

    run_id: str
    shas: list[str]
    tree: str
    deleted: bool | None = None
    tags: dict[str, str | None] = {}
    note: str | None = None
    reason: str = ""


class ExperimentChange(Noun, frozen=True, kw_only=True):
    """
    What was changed of an experiment; of each thing the latest change by time and record id counts.

    *experiment* is the name that its runs were recorded with, and stays its identity; *name* is what it is called now.
    A field that is None stays as it was.
    """

    project: str
    experiment: str
    name: str | None = None
    archived: bool | None = None
    deleted: bool | None = None
    reason: str = ""
