"""The projection depends on which records there are, not on how they came; and it can be built again."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.entities import Adoption, Author, GateReport, GitState, Metric, Policy, Run, RunPointer
from mlops_ci.records import Record
from mlops_ci.store import Store

from .conftest import MakeRun

AUTHOR = Author(name="Ada")
_TIMES = st.integers(0, 5).map("2026-01-01T00:00:0{}.000000Z".format)
_IDS = st.sampled_from(["r1", "r2", "r3"])
_SHAS = st.sampled_from(["a" * 40, "b" * 40])


def _metrics() -> st.SearchStrategy[dict[str, Metric]]:
    values = st.sampled_from([0.1, 0.5, 0.5000001, float("nan"), float("inf"), -1.0])
    return st.dictionaries(
        st.sampled_from(["acc", "loss"]), values.map(lambda value: Metric(last=value, min=value, max=value))
    )


_RUNS = st.builds(
    Run,
    run_id=_IDS,
    run_key=st.sampled_from(["k1", "k2", "k3"]),
    project=st.just("churn"),
    experiment=st.sampled_from(["main", "other"]),
    status=st.sampled_from(["finished", "failed", "killed"]),
    started=_TIMES,
    ended=_TIMES,
    duration_s=st.floats(0, 9),
    git=st.builds(GitState, trained_sha=_SHAS, head_sha=_SHAS, tree=st.just("c" * 40)),
    params=st.dictionaries(st.sampled_from(["lr", "opt"]), st.sampled_from([0.1, 1, "1", True, None])),
    metrics=_metrics(),
    ci=st.none(),
    model=st.none(),
    environment=st.none(),
    history=st.none(),
)
_ADOPTIONS = st.builds(Adoption, sha=_SHAS, tree=st.just("c" * 40), run_id=_IDS)
_VERDICTS = st.builds(
    lambda run_id: GateReport(
        project="churn",
        experiment="main",
        verdict="pass",
        candidate=RunPointer(run_id=run_id, sha="a" * 40),
        baseline=None,
        policy=Policy(origin="local"),
    ),
    _IDS,
)
_ENTITIES = st.builds(
    lambda entity, time: records.new(entity, author=AUTHOR, time=time), _RUNS | _ADOPTIONS | _VERDICTS, _TIMES
)
_VERSIONS = st.builds(
    lambda version, artifact, time: Record(
        kind="version", schema="1.3", time=time, author=AUTHOR, body=_version_body(version, artifact)
    ),
    st.sampled_from(["1.0.0", "1.0.1"]),
    st.sampled_from(["x", "y"]),
    _TIMES,
)
_STRANGE = st.builds(
    lambda kind, time: Record(kind=kind, schema="1.9", time=time, author=AUTHOR, body={"run_id": "r1", "new": 1}),
    st.sampled_from(["run", "adoption", "version", "verdict", "deployment", "of tomorrow"]),
    _TIMES,
)
_HISTORIES = st.lists(_ENTITIES | _VERSIONS | _STRANGE, max_size=12)


@settings(max_examples=25, deadline=None)
@given(_HISTORIES, st.data())
def test_order_duplicates_batches_and_rebuilding_change_no_answer(history: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(history + history[:3]))
    size = data.draw(st.integers(1, 5))
    with Store.open("sqlite://") as at_once, Store.open("sqlite://") as bit_by_bit:
        at_once.append(history)
        for start in range(0, len(shuffled), size):
            bit_by_bit.project(shuffled[start : start + size])
        expected = _answers(at_once)
        assert _answers(bit_by_bit) == expected

        bit_by_bit.rebuild()

        assert _answers(bit_by_bit) == expected
        assert _plain(bit_by_bit.all()) == _plain(sorted(_unique(history), key=lambda record: (record.time, record.id)))
        assert sorted(run.record_id for run in at_once.runs(limit=99)) == sorted(_first_endings(history))


def test_of_two_endings_the_first_by_time_counts_even_if_it_comes_last(store: Store, make_run: MakeRun) -> None:
    late = make_run("r1", run_key="k", recorded=_second(2), status="killed", metrics={"acc": 1.0}, params={"a": 1})
    early = make_run("r1", run_key="k", recorded=_second(1), metrics={"acc": 0.5}, sha="e" * 40)

    for record in (late, early):
        store.append([record])

    assert [(run.record_id, run.entity.status) for run in store.runs()] == [(early.id, "finished")]
    assert store.runs(params={"a": 1}) == []
    assert store.commits("r1") == ["e" * 40]
    assert len(store.find(["run/r1"])) == 2


def test_more_records_than_a_page_holds(store: Store, make_run: MakeRun) -> None:
    runs = [make_run(f"r{number}", metrics={"acc": number / 2000}) for number in range(1201)]

    assert store.project(iter(runs)) == 1201
    assert store.project(iter(runs)) == 0
    store.rebuild()

    assert len(store.runs(limit=5000)) == 1201
    assert sum(1 for _ in store.all()) == 1201
    best = store.best("main", "acc")
    assert best
    assert best.entity.run_id == "r1200"


def test_the_store_may_be_written_while_its_records_are_read(store: Store, make_run: MakeRun) -> None:
    store.append([make_run("r1"), make_run("r2")])

    for record in store.all():
        store.append([make_run("new", recorded=record.time.replace("2026", "2025"))])

    assert sum(1 for _ in store.all()) == 3


def _answers(store: Store) -> Any:
    sorts = ["started", "duration_s", "metrics.acc", "metrics.loss"]
    return _plain(
        [
            [store.runs(order_by=sort, descending=way, limit=99) for sort in sorts for way in (True, False)],
            [store.runs(sha="a" * 40), store.runs(params={"lr": 1}), store.runs(status="failed")],
            [store.best(name, metric) for name in ("main", "other") for metric in ("acc", "loss")],
            [store.commits(run_id) for run_id in ("r1", "r2", "r3")],
            [store.verdicts(run_id) for run_id in ("r1", "r2", "r3")],
            [store.versions(), store.versions("churn"), store.deployments()],
        ]
    )


def _plain(value: Any) -> bytes:
    """NaN is not equal to itself, its canonical form is."""
    return records.canonical(msgspec.to_builtins(value if isinstance(value, list) else list(value)))


def _unique(history: list[Record]) -> list[Record]:
    return list({record.id: record for record in history}.values())


def _first_endings(history: list[Record]) -> list[str]:
    endings = [record for record in history if record.kind == "run" and "run_key" in record.body]
    first: dict[str, Record] = {}
    for record in sorted(endings, key=lambda record: (record.time, record.id)):
        first.setdefault(record.body["run_key"], record)
    return [record.id for record in first.values()]


def _second(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000000Z"


def _version_body(version: str, digest: str) -> dict[str, Any]:
    artifact = {"flavor": "sklearn", "digest": digest, "size_bytes": 1, "files": []}
    names = {"model": "churn", "version": version, "tag": "t", "sha": "a", "tree": "b"}
    return {**names, "run_id": "r1", "run_record": "x", "artifact": artifact}
