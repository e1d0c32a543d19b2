"""
What queries answer depends on what was recorded, and on nothing else.

The same history comes to every ledger by other ways: in other portions and orders, from two places, some of it twice,
with folds in between, with a projection that looks in now and then or was built again. The answers are the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import records
from mlops_ci.entities import (
    Deployment,
    GateReport,
    Model,
    ModelVersion,
    Plan,
    Policy,
    RunPointer,
)
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record
from mlops_ci.store import Scope, Store
from tests.unit.store.population import populate

from .conftest import database_url
from .ledgers import AUTHOR, MEMBERS, make_git, make_sql, open_ledger

EVERYTHING = Scope(archived=True, deleted=True)
FILTERS = (
    "",
    "metrics.acc > 0.2",
    "params.model = 'rf' or tags.team = 'changed'",
    "note like '%here%'",
    "sha = 'c0ff'",
)
ORDERS = ("started", "metrics.acc desc, started", "duration_s", "tags.team")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in sorted(MEMBERS)])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A ledger's two places: what is written to one is read from the other."""
    member = make_git(tmp_path) if request.param == "git" else make_sql(database_url(request.param, request, tmp_path))
    return member.one, member.two


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(3, 30))])
def test_every_ledger_answers_alike(places: tuple[str, str], tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # the same each time
    history = made_history(seed)
    with Store.open("sqlite:///expected.db", tmp_path) as store:
        for record in sorted(history, key=lambda record: (record.time, record.id)):
            store.append([record])
        expected = answers(store)
    ledgers = [open_ledger(place) for place in places]
    for number, portion in enumerate(portions(history, chance)):
        ledger = ledgers[number % 2]
        ledger.append(portion)
        if chance.random() < 0.3:
            ledger.append(portion[:2])
        if chance.random() < 0.3:
            ledgers[0].fold()
        if chance.random() < 0.3:
            with projection(places[1], ledgers[1], tmp_path):
                pass
    for place, ledger in zip(places, ledgers, strict=True):
        with projection(place, ledger, tmp_path) as store:
            assert answers(store) == expected
            store.rebuild()
            assert answers(store) == expected
            assert {record.id for record in store.all()} == {record.id for record in history}


@contextmanager
def projection(place: str, ledger: Ledger, folder: Path) -> Iterator[Store]:
    """The ledger's own projection where it is SQL, else the one that a clone keeps, brought up to date."""
    kind, _, address = place.partition(" ")
    url = address if kind == "sql" else f"sqlite:///{folder}/{Path(address).name}.db"
    with Store.open(url) as store:
        if kind == "git":
            store.take_in(ledger.unseen)
        yield store


def answers(store: Store) -> dict[str, Any]:
    """What the store says to every sort of question, without what only tells who asked."""
    found: dict[str, Any] = {
        f"{filter_} by {order}": [run.record_id for run in store.every(filter_, order_by=order, scope=EVERYTHING)]
        for filter_ in FILTERS
        for order in ORDERS
    }
    found["living"] = [(run.record_id, run.tags, run.note) for run in store.every()]
    found["experiments"] = store.experiments(archived=True, deleted=True)
    for metric in ("acc", "val loss"):
        found[f"best {metric}"] = [run.record_id for run in store.best_of_each(metric)]
        best = store.best("one", metric, higher_is_better=False)
        found[f"lowest {metric}"] = best.record_id if best else ""
    found["versions"] = [version.record_id for version in store.versions()]
    found["deployments"] = [deployment.record_id for deployment in store.deployments()]
    found["verdicts"] = [verdict.record_id for verdict in store.verdicts("r01")]
    found["commits"] = [store.commits(f"r{number:02}") for number in range(20)]
    return found


def made_history(seed: int) -> list[Record]:
    """Runs, changes of them, and what is made of runs; some of it said twice by writers that did not know better."""
    made, _ = populate(count=25, seed=seed)
    runs = [record for record in made if record.kind == "run"][:4]
    later = [records.replace(run, time=run.time.replace("2026-02", "2026-03")) for run in runs]  # another ending
    model = Model(flavor="onnx", digest="sha256:" + "4" * 64, size_bytes=1, files=[])
    entities: list[Any] = [
        ModelVersion(
            model="churn",
            version=f"1.0.{number // 2}",
            tag=f"v1.0.{number // 2}",
            sha="1" * 40,
            tree="2" * 40,
            run_id=f"r0{number}",
            run_record="3" * 64,
            artifact=model,
        )
        for number in range(4)
    ]
    plan = Plan(
        target="staging",
        kind="local",
        production=False,
        project="churn",
        model="churn",
        version="1.0.0",
        version_record="5" * 64,
        model_digest=model.digest,
        manifests_digest=model.digest,
        policy_digest=model.digest,
    )
    entities += [
        Deployment(plan=plan, plan_digest=f"sha256:{number}", policy_sha="1" * 40, status="live") for number in range(3)
    ]
    entities += [
        GateReport(
            project="churn",
            experiment="one",
            verdict=verdict,
            candidate=RunPointer(run_id="r01", sha="1" * 40),
            baseline=None,
            policy=Policy(origin="local"),
        )
        for verdict in ("pass", "fail", "not evaluated")
    ]
    return [*made, *later, *(records.new(entity, author=AUTHOR, time=runs[0].time) for entity in entities)]


def portions(history: Sequence[Record], chance: random.Random) -> Iterator[list[Record]]:
    """*history* in an order and in portions that chance decides."""
    rest = list(history)
    chance.shuffle(rest)
    while rest:
        size = chance.randint(1, 25)
        yield rest[:size]
        del rest[:size]
