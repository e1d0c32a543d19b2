"""Runs of every sort, what was changed of them, and what is therefore true of each: worked out without a database."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_ci import records
from mlops_ci.entities import Adoption, Author, ExperimentChange, GitState, Metric, Run, RunChange
from mlops_ci.records import Record

START = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = ("acc", "val loss", "f1/macro")
NUMBERS = (0.1, 0.5, 0.9, -1.0, 1e-3, 5.0)
PARAMS = ("model", "lr", "x`y\"z'")
VALUES = ("rf", "RF", "5", 5, 5.0, 0.1, "1e-1", True, False, "True", None, "é", "É", "a_b", "100%", "[a]*?", "", "a\nb")
TAGS = {"team": ("search", "Search", "", "it's", "a\\b"), "tier": ("1", "2")}


@dataclass(frozen=True)
class Known:
    """What is true of one run."""

    record: Record
    run: Run
    tags: dict[str, str]
    note: str | None
    deleted: bool
    experiment: str
    shas: frozenset[str]

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.run.started)

    def metric(self, name: str, aggregate: str = "last") -> float | None:
        found = self.run.metrics.get(name)
        value = getattr(found, aggregate) if found else None
        return value if value is not None and math.isfinite(value) else None

    def attribute(self, name: str) -> Any:
        special = {
            "author": self.record.author.name,
            "branch": self.run.git.branch or None,
            "dirty": self.run.git.dirty,
            "note": self.note,
            "experiment": self.experiment,
        }
        return special[name] if name in special else getattr(self.run, name)


def populate(count: int = 60, seed: int = 7) -> tuple[list[Record], list[Known]]:
    """The records, and the runs that are to be found by default: not deleted, not archived."""
    chance = random.Random(seed)  # noqa: S311  # the same each time
    changes: list[Record] = [
        _of(ExperimentChange(project="churn", experiment="one", name="uno"), "Eva", 0),
        _of(ExperimentChange(project="churn", experiment="old", archived=True), "Eva", 1),
    ]
    known = []
    for number in range(count):
        record = _run(number, chance)
        run = record.read(Run)
        tags, note, deleted, shas = dict(run.tags), None, False, {run.git.trained_sha, run.git.head_sha}
        if chance.random() < 0.3:
            change, tags, note, deleted = _change(run, chance)
            changes.append(_of(change, "Eva", number))
        if chance.random() < 0.2:
            shas.add(sha := f"{chance.randrange(16**4):04x}" + "e" * 36)
            changes.append(_of(Adoption(sha=sha, tree="t", run_id=run.run_id), "Eva", number))
        experiment = {"one": "uno"}.get(run.experiment, run.experiment)
        known.append(Known(record, run, tags, note, deleted, experiment, frozenset(shas)))
    found = [each for each in known if not each.deleted and each.experiment != "old"]
    made = [*changes, *(each.record for each in known)]
    chance.shuffle(made)
    return made, found


def _run(number: int, chance: random.Random) -> Record:
    started = START + timedelta(hours=6 * chance.randrange(20))
    sha = f"{chance.randrange(16**4):04x}" + "a" * 36
    values = [*NUMBERS, math.nan, math.inf, -math.inf]
    metrics = {
        name: Metric(last=chance.choice(values), min=chance.choice(values), max=chance.choice(values), count=number % 3)
        for name in METRICS
        if chance.random() < 0.7
    }
    run = Run(
        run_id=f"r{number:02}",
        run_key=f"key {number}",
        project="churn",
        experiment=chance.choice(["one", "two", "old"]),
        status=chance.choice(["finished", "failed", "killed"]),
        started=records.timestamp(started),
        ended=records.timestamp(started + timedelta(minutes=5)),
        duration_s=chance.choice([1.0, 2.5, 300.0, math.inf]),
        git=GitState(
            trained_sha=sha,
            head_sha=chance.choice([sha, "c0ffee" + "0" * 34]),
            tree="t",
            branch=chance.choice(["main", "dev", ""]),
            dirty=chance.random() < 0.3,
        ),
        improvised=chance.random() < 0.3,
        params={name: chance.choice(VALUES) for name in PARAMS if chance.random() < 0.8},
        metrics=metrics,
        tags={name: chance.choice(texts) for name, texts in TAGS.items() if chance.random() < 0.7},
    )
    return _of(run, chance.choice(["Ada", "Bob"]), number)


def _change(run: Run, chance: random.Random) -> tuple[RunChange, dict[str, str], str | None, bool]:
    texts: dict[str, str | None] = {name: chance.choice([None, "changed"]) for name in TAGS if chance.random() < 0.5}
    note, deleted = chance.choice([None, "look here", "50% off"]), chance.choice([None, True, False])
    change = RunChange(run_id=run.run_id, shas=[run.git.head_sha], tree="t", tags=texts, note=note, deleted=deleted)
    tags = {name: text for name, text in {**run.tags, **texts}.items() if text is not None}
    return change, tags, note, bool(deleted)


def _of(entity: Any, author: str, second: int) -> Record:
    time = records.timestamp(START + timedelta(days=50, seconds=second))
    return records.new(entity, author=Author(name=author), time=time)
