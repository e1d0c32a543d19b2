"""Which bytes records name: what a backup takes along, and what no collection of garbage may touch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from mlops_ci import changes, records
from mlops_ci.entities import Run
from mlops_ci.records import Record

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def artifacts_in(body: Any) -> Iterator[tuple[str, int]]:
    """
    Digest and size in bytes of every artifact that *body* (of a record, of any kind) names.

    Told by their shape, so that those of a newer program are found too; the fingerprint of a dataset has a name
    besides, and its bytes are in no store.
    """
    if isinstance(body, dict):
        digest, size_bytes = body.get("digest"), body.get("size_bytes")
        is_file = "path" in body and "name" not in body
        if is_file and isinstance(digest, str) and isinstance(size_bytes, int) and _DIGEST.fullmatch(digest):
            yield digest, size_bytes
        for value in body.values():
            yield from artifacts_in(value)
    elif isinstance(body, list):
        for value in body:
            yield from artifacts_in(value)


def digests_in(body: Any) -> Iterator[str]:
    """Every digest that *body* mentions, whatever it is the digest of."""
    if isinstance(body, str):
        if _DIGEST.fullmatch(body):
            yield body
    elif isinstance(body, dict):
        for key, value in body.items():
            yield from digests_in(key)
            yield from digests_in(value)
    elif isinstance(body, list):
        for value in body:
            yield from digests_in(value)


class _OfRun(NamedTuple):
    run_id: str
    project: str
    experiment: str
    recorded: str
    digests: frozenset[str]


@dataclass
class Naming:
    """
    Who needs which bytes, by all records of a ledger: `add` each.

    Attributes:
        only: The digests that matter (each to itself, so that a text which many runs mention is in memory once);
            all of them if None.
        sizes: The artifacts that are named, and their sizes in bytes.
    """

    only: Mapping[str, str] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    _runs: list[_OfRun] = field(default_factory=list)
    _others: set[str] = field(default_factory=set)
    _registered: set[str] = field(default_factory=set)
    _changes: list[Record] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Take in one record."""
        self.sizes.update((digest, size) for digest, size in artifacts_in(record.body) if self._matters(digest))
        mentioned = {self.only[digest] if self.only else digest for digest in self._mentioned(record)}
        if record.kind == "run":
            run = record.read(Run)
            self._runs.append(_OfRun(run.run_id, run.project, run.experiment, record.time, frozenset(mentioned)))
            return
        self._others |= mentioned
        if record.kind == "version":
            self._registered.add(record.body["run_id"])
        elif record.kind in {"run-change", "experiment-change"}:
            self._changes.append(record)

    def needed(self, before: datetime) -> set[str]:
        """
        The digests that somebody needs: all but those that only runs name which were deleted at *before* or earlier.

        A version needs all that its run names: who asks where it comes from gets the whole answer.
        """
        of_runs = changes.of_runs(self._changes)
        projects = {record.body["project"] for record in self._changes if record.kind == "experiment-change"}
        of_experiments = {name: changes.of_experiments(self._changes, name) for name in projects}
        needed = set(self._others)
        for run in self._runs:
            state = of_runs.get(run.run_id)
            times = [state.deleted.time] if state and state.deleted else []
            experiment = of_experiments.get(run.project, {}).get(run.experiment)
            if experiment is not None and experiment.deleted is not None:
                # What is recorded in a deleted experiment is deleted from the start.
                times.append(max(experiment.deleted.time, run.recorded))
            if run.run_id in self._registered or not times or records.moment(min(times)) > before:
                needed |= run.digests
        return needed

    def of_runs(self) -> set[str]:
        """The digests that runs mention, deleted or not."""
        return set[str]().union(*(run.digests for run in self._runs))

    def _matters(self, digest: str) -> bool:
        return self.only is None or digest in self.only

    def _mentioned(self, record: Record) -> Iterator[str]:
        return (digest for digest in digests_in(record.body) if self._matters(digest))
