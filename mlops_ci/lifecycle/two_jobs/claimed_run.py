"""
The run of a stranger's record: read strictly, and every part of it bounded.

Text stays text, whatever is in it: whoever shows it escapes it. What of it may be believed is for `bundle.vouch`.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from mlops_ci import digests, records
from mlops_ci.entities import ArtifactRef, CiRun, GitState, Model, Run
from mlops_ci.errors import MlopsCIError, Refused
from mlops_ci.records import Record
from mlops_ci.reports.escape import sentence, visible

_DEPTH = 64
_ITEMS = 100_000  # a table may have as many columns
_NAMED = 20_000
_ROWS = 10_000
_KEY = 250
_TEXT = 100_000
_PATH = 1_000
_CELL = 1_000
_CELLS = 256  # the jobs that a matrix of GitHub's has at most
_INT_BITS = 512
_LARGEST = 2**53
_AHEAD = timedelta(days=1)
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEMA = re.compile(r"1\.[0-9]{1,4}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_DRIVE = re.compile(r"[A-Za-z]:")

_Claim = tuple[str, Any, bool]
"""What is claimed, the claim, and whether it can be."""


def read(data: bytes, id_: str, *, now: datetime) -> tuple[Record, Run]:
    """
    Read the record whose bytes are *data* and whose id is *id_*.

    Raises:
        Refused: The bytes are not those of a run's record with that id, or something of it is out of bounds.
    """
    if hashlib.sha256(data).hexdigest() != id_:
        raise Refused(f"the bytes of record {id_[:12]} do not have the digest that names it")
    try:
        record = records.decode(data)
        run = check(record, now=now)
        same = records.encode(record) == data
    except (MlopsCIError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise Refused(f"record {id_[:12]}: {sentence(error)}") from error
    if not same:
        raise Refused(f"record {id_[:12]} is not in RFC 8785 form")
    return record, run


def check(record: Record, *, now: datetime) -> Run:
    """
    Return the run of *record*.

    Raises:
        Refused: It is no run's, or something of it is out of bounds.
    """
    if record.kind != "run":
        raise Refused(f"it holds a record of kind {visible(record.kind)!r}, and none but runs are taken")
    _bound(record.body)
    try:
        run = record.read(Run)
    except (MlopsCIError, ArithmeticError) as error:
        raise Refused(sentence(error)) from error
    author = record.author
    head = (
        ("schema", record.schema, bool(_SCHEMA.fullmatch(record.schema))),
        ("time", record.time, _in_time(record.time, now)),
        ("author", author.name, len(author.name) <= _KEY and len(author.email) <= _KEY),
    )
    for name, claim, holds in chain(head, _of_run(run, now), _of_git(run.git), _of_ci(run.ci), _of_files(run)):
        if not holds:
            raise Refused(f"it holds a run whose {name} cannot be {visible(claim)!r}")
    return run


def _bound(body: Any) -> None:
    """Not recursive, since what it guards against is depth."""
    left = [(body, 0)]
    while left:
        value, depth = left.pop()
        if depth > _DEPTH:
            raise Refused(f"it is nested more than {_DEPTH} deep")
        if isinstance(value, dict | list) and len(value) > _ITEMS:
            raise Refused(f"it has a list of {len(value):,} things, and {_ITEMS:,} are the most")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or len(key) > _KEY:
                    raise Refused(f"the name {visible(key, 40)!r} is longer than {_KEY} characters")
            left += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            left += [(each, depth + 1) for each in value]
        elif isinstance(value, str) and len(value) > _TEXT:
            raise Refused(f"the text {visible(value, 40)!r} has {len(value):,} characters, and {_TEXT:,} are the most")
        elif isinstance(value, int) and value.bit_length() > _INT_BITS:
            raise Refused(f"a number has {value.bit_length():,} bits, and {_INT_BITS} are the most")


def _of_run(run: Run, now: datetime) -> Iterator[_Claim]:
    yield "run_id", run.run_id, bool(_RUN_ID.fullmatch(run.run_id))
    yield "run_key", run.run_key, len(run.run_key) <= _KEY
    yield "project", run.project, 0 < len(run.project) <= _KEY
    yield "experiment", run.experiment, 0 < len(run.experiment) <= _KEY
    yield "start", run.started, _in_time(run.started, now)
    yield "end", run.ended, _in_time(run.ended, now)
    yield "duration", run.duration_s, _amount(run.duration_s)
    yield "exit code", run.exit_code, run.exit_code is None or abs(run.exit_code) < _LARGEST
    for name, metric in run.metrics.items():
        yield f"count of {visible(name, 40)!r}", metric.count, 0 < metric.count < _LARGEST
    for stage in run.stages:
        yield "stage", stage.name, len(stage.name) <= _KEY and _amount(stage.duration_s)
    for dataset in run.data:
        named = len(dataset.name) <= _KEY and len(dataset.path) <= _PATH
        yield "data", dataset.name, named and _amount(dataset.rows or 0)
        yield "data's digest", dataset.digest, bool(_DIGEST.fullmatch(dataset.digest)) and _amount(dataset.size_bytes)
    for what in ("params", "metrics"):
        yield f"number of {what}", len(getattr(run, what)), len(getattr(run, what)) <= _NAMED
    for what in ("command", "tags", "stages", "data", "artifacts", "warnings"):
        yield f"number of {what}", len(getattr(run, what)), len(getattr(run, what)) <= _ROWS


def _of_git(git: GitState) -> Iterator[_Claim]:
    for name in ("trained_sha", "head_sha", "tree"):
        yield name, getattr(git, name), bool(_SHA.fullmatch(getattr(git, name)))
    yield "base_sha", git.base_sha, not git.base_sha or bool(_SHA.fullmatch(git.base_sha))
    yield "diff_digest", git.diff_digest, bool(_DIGEST.fullmatch(git.diff_digest)) if git.dirty else not git.diff_digest
    yield "branch", git.branch, len(git.branch) <= _PATH
    yield "repository", git.repository, len(git.repository) <= _PATH


def _of_ci(ci: CiRun | None) -> Iterator[_Claim]:
    if ci is None:
        return
    for name in ("provider", "run_id", "job", "event"):
        yield f"CI {name}", getattr(ci, name), len(getattr(ci, name)) <= _KEY
    yield "run_url", ci.run_url, len(ci.run_url) <= _PATH
    yield "cell", ci.cell, len(ci.cell) <= _CELL
    yield "number of cells", ci.cells, 0 < ci.cells <= _CELLS
    yield "attempt", ci.attempt, 0 < ci.attempt < _LARGEST
    yield "pull request", ci.pull_request, 0 < (ci.pull_request or 1) < _LARGEST


def _of_files(run: Run) -> Iterator[_Claim]:
    single = [each for each in (run.environment, run.history) if each is not None]
    for file in (*run.artifacts, *single):
        yield from _of_file(file)
    if run.model is not None:
        yield from _of_model(run.model)


def _of_model(model: Model) -> Iterator[_Claim]:
    paths = {file.path for file in model.files}
    yield "flavor", model.flavor, len(model.flavor) <= _KEY
    yield "model's number of files", len(model.files), len(model.files) == len(paths) <= _ROWS
    for file in (*model.files, *([model.input_example] if model.input_example else [])):
        yield from _of_file(file)
    yield "model's digest", model.digest, model.digest == digests.of_tree(model.files)
    yield "model's size", model.size_bytes, model.size_bytes == sum(file.size_bytes for file in model.files)


def _of_file(file: ArtifactRef) -> Iterator[_Claim]:
    yield "file's path", file.path, _is_inside(file.path)
    yield "file's digest", file.digest, bool(_DIGEST.fullmatch(file.digest))
    yield "file's size", file.size_bytes, _amount(file.size_bytes)


def _is_inside(path: str) -> bool:
    """Whether *path* is a plain relative one, on every system: no `..`, no drive, nothing that ends a line."""
    parts = PurePosixPath(path).parts
    odd = "\\" in path or _DRIVE.match(path) or any(unicodedata.category(each) == "Cc" for each in path)
    normal = path == "/".join(parts) and not path.startswith("/") and ".." not in parts
    return 0 < len(path) <= _PATH and normal and not odd


def _amount(number: float) -> bool:
    return math.isfinite(number) and 0 <= number < _LARGEST


def _in_time(time: str, now: datetime) -> bool:
    if not _TIME.fullmatch(time):
        return False
    try:
        return records.moment(time) <= now + _AHEAD
    except ValueError:
        return False
