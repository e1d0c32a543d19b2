"""
What a candidate is compared with: the nearest ancestor that has a finished run of the same experiment.

The search starts at the first parent if a merge commit was trained (as on a pull request), else at the
merge base, and looks by commit, then by tree, since a squash merge keeps the tree and not the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops_ci import records
from mlops_ci.entities import Adoption, Run, RunPointer
from mlops_ci.git import Checkout, Commit
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record

_HISTORY = 500
_BITES = (8, 32, 128, 332)


@dataclass(frozen=True)
class RecordedRun:
    """A run with the record that it was read from."""

    record: Record
    run: Run

    @property
    def stands_for_its_commit(self) -> bool:
        """Whether it is what anybody gets who trains that commit: finished, nothing changed, the configured command."""
        return self.run.status == "finished" and not self.run.git.dirty and not self.run.improvised

    def pointer(self, **where: object) -> RunPointer:
        """Name it in a report; *where* are further fields of `RunPointer`."""
        ci = self.run.ci
        pointer = RunPointer(
            run_id=self.run.run_id,
            sha=self.run.git.head_sha,
            branch=self.run.git.branch,
            run_url=ci.run_url if ci else "",
        )
        return records.replace(pointer, **where)


def runs_of(ledger: Ledger, commits: Sequence[Commit], project: str, experiment: str = "") -> list[RecordedRun]:
    """
    Return *project*'s runs of *commits* or of their trees, oldest first; one ending for each run key.

    Those of *experiment*, or of every experiment if that is "".

    Raises:
        ServiceError: The ledger did not answer.
    """
    keys = [key for commit in commits for key in (f"sha/{commit.sha}", f"tree/{commit.tree}")]
    found = ledger.find(*keys)
    adopted = {record.read(Adoption).run_id for record in found if record.kind == "adoption"}
    missing = adopted - {record.body["run_id"] for record in found if record.kind == "run"}
    if missing:
        found = [*found, *ledger.find(*(f"run/{run_id}" for run_id in sorted(missing)))]
    runs = [RecordedRun(record, record.read(Run)) for record in found if record.kind == "run"]
    endings: dict[str, RecordedRun] = {}
    for candidate in runs:
        if candidate.run.project == project and experiment in {candidate.run.experiment, ""}:
            endings.setdefault(candidate.run.run_key, candidate)
    return list(endings.values())


def nearest(
    checkout: Checkout, ledger: Ledger, start: str, project: str, experiment: str
) -> tuple[RecordedRun, RunPointer] | None:
    """
    Return the baseline of a candidate whose history is joined at *start*, or None if there is none.

    Raises:
        ServiceError: The ledger did not answer.
    """
    history = checkout.ancestors(start, limit=_HISTORY)
    for first, bite in _bites(history):
        runs = [found for found in runs_of(ledger, bite, project, experiment) if found.stands_for_its_commit]
        for distance, commit in enumerate(bite, start=first):
            by_commit = [found for found in runs if commit.sha == found.run.git.trained_sha]
            by_tree = [found for found in runs if commit.tree == found.run.git.tree]
            if by_commit or by_tree:
                found = (by_commit or by_tree)[-1]
                pointer = found.pointer(
                    sha=commit.sha,
                    distance=distance,
                    age_s=age_s(found.record),
                    found_by="commit" if by_commit else "tree",
                )
                return found, pointer
    return None


def age_s(record: Record) -> float:
    """Seconds since *record* was written, at least 0: clocks differ."""
    return max(0.0, (records.moment(records.now()) - records.moment(record.time)).total_seconds())


def start_of(checkout: Checkout, trained_sha: str, base_sha: str, head_sha: str) -> str:
    """Where to start: the trained merge commit's first parent, else the merge base with *base_sha*."""
    parents = checkout.parents(trained_sha)
    if trained_sha != head_sha and len(parents) > 1:
        return parents[0]
    if base_sha:
        merge_base = checkout.merge_base(base_sha, trained_sha)
        if merge_base and merge_base != trained_sha:
            return merge_base
    return parents[0] if parents else ""


def _bites(history: Sequence[Commit]) -> Iterator[tuple[int, Sequence[Commit]]]:
    first = 0
    for size in _BITES:
        if first < len(history):
            yield first, history[first : first + size]
        first += size
