"""
Delete the bytes that nobody needs: what no record names, and what only runs name that were deleted long ago.

Bytes are put before the record that names them is written, so nothing young is touched: the artifact store
knows since when bytes wait, and keeps what is put meanwhile. What is recorded of a run stays for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from mlops_ci import records
from mlops_ci.artifacts import Stored
from mlops_ci.errors import Refused
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.named_bytes import Naming
from mlops_ci.lifecycle.project import Project

Why = Literal["deleted", "unnamed", "needed"]


@dataclass(frozen=True)
class Heap:
    """
    Artifacts that are alike. *unsized* of them lie where nobody says how large they are: *size_bytes* lacks those.

    *why* is "deleted" for those that only deleted runs name, "unnamed" for those that no record names, or "needed".
    """

    why: Why
    artifacts: int
    size_bytes: int
    unsized: int = 0


@dataclass(frozen=True)
class Swept:
    """What went (or would go, if *dry_run*), what nobody needs and is too young yet, and what stays."""

    removed: tuple[Heap, ...]
    waiting: tuple[Heap, ...]
    kept: Heap
    dry_run: bool


def collect(project: Project, *, older_than: timedelta, dry_run: bool = False, only_this_ledger: bool = False) -> Swept:
    """
    Delete artifacts that nobody has needed for *older_than*.

    Args:
        project: Whose ledger says what is needed.
        older_than: How long bytes wait, and how long ago a run must have been deleted.
        dry_run: Only say what would go.
        only_this_ledger: No other ledger's records name bytes in the store, which could not be told otherwise.

    Raises:
        Refused: The store may be another ledger's too, or the default branch keeps records of targets elsewhere.
        ServiceError: The ledger or the store did not answer; nothing else was deleted.
    """
    if not (dry_run or only_this_ledger):
        _refuse_shared(project)
    before = records.moment(records.now()) - older_than
    # The list first: what is put and recorded while the ledger is read is not on it.
    stored = list(project.artifacts.stored())
    policy.demand_same_stores(project)
    naming = Naming(only={each.digest: each.digest for each in stored})
    for ledger in [project.ledger, *project.own_ledgers.values()]:
        for record in ledger.all():
            naming.add(record)
    needed = naming.needed(before)
    unneeded = [each for each in stored if each.digest not in needed]
    old = [each.digest for each in unneeded if each.since is not None and each.since <= before]
    if dry_run:
        gone = set(old)
    else:
        project.artifacts.mark({each.digest for each in unneeded})
        gone = project.artifacts.remove(old, before=before)
    return Swept(
        _heaps(naming, (each for each in unneeded if each.digest in gone)),
        _heaps(naming, (each for each in unneeded if each.digest not in gone)),
        _heap(naming, "needed", [each for each in stored if each.digest in needed]),
        dry_run,
    )


def _heaps(naming: Naming, some: Iterable[Stored]) -> tuple[Heap, ...]:
    """*some* by why nobody needs them; no heap is empty."""
    once = naming.of_runs()
    heaps: dict[Why, list[Stored]] = {"deleted": [], "unnamed": []}
    for each in some:
        heaps["deleted" if each.digest in once else "unnamed"].append(each)
    return tuple(_heap(naming, why, found) for why, found in heaps.items() if found)


def _heap(naming: Naming, why: Why, some: Sequence[Stored]) -> Heap:
    """Count and measure *some*, by what the store says or a record does."""
    sizes = [naming.sizes.get(each.digest) if each.size_bytes is None else each.size_bytes for each in some]
    known = [size for size in sizes if size is not None]
    return Heap(why, len(sizes), sum(known), len(sizes) - len(known))


def _refuse_shared(project: Project) -> None:
    """A folder outside the repository may hold what another ledger's records name; so may git, beside another store."""
    config, root = project.config, project.checkout.root
    if config.artifacts == "git":
        safe = config.store == "git"
        what = "`artifacts: git` is used with a `store:` elsewhere"
    else:
        safe = (root / config.artifacts.removeprefix("file://")).resolve().is_relative_to(root.resolve())
        what = f"the folder {config.artifacts} lies outside the repository"
    if not safe:
        raise Refused(
            f"{what}, so records of another ledger may name what is in it",
            hint="if no other ledger uses it, say so: `mlops-ci gc --only-this-ledger`; `--dry-run` only shows",
        )
