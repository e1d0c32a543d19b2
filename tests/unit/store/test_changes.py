"""What was changed of runs and experiments: the latest by time counts, in whatever order the records came."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.entities import Author, ExperimentChange, GitState, Metric, Run, RunChange
from mlops_ci.records import Record
from mlops_ci.store import Scope, Store

from .conftest import MakeRun

AUTHOR = Author(name="Ada")
EVERYTHING = Scope(archived=True, deleted=True)

_TIMES = st.integers(0, 5).map("2026-01-01T00:00:0{}.000000Z".format)
_IDS = st.sampled_from(["r1", "r2", "r3"])
_NAMES = st.sampled_from(["a", "b", "c"])
_TAGS = st.dictionaries(_NAMES, st.sampled_from(["x", "y"]), max_size=2)
_MAYBE = st.sampled_from([None, None, True, False])


@st.composite
def _run(draw: st.DrawFn) -> Run:
    run_id, accuracy = draw(_IDS), draw(st.sampled_from([0.1, 0.5, 0.9]))
    return Run(
        run_id=run_id,
        run_key=draw(st.sampled_from(["k1", "k2", "k3"])),
        project=draw(st.sampled_from(["churn", "other"])),
        experiment=draw(_NAMES),
        status="finished",
        started=(started := draw(_TIMES)),
        ended=started,
        duration_s=1.0,
        git=GitState(trained_sha="a" * 40, head_sha="a" * 40, tree="t"),
        metrics={"acc": Metric(last=accuracy, min=accuracy, max=accuracy)},
        tags=draw(_TAGS),
    )


_RUN_CHANGES = st.builds(
    RunChange,
    run_id=_IDS,
    shas=st.just(["a" * 40]),
    tree=st.just("t"),
    deleted=_MAYBE,
    tags=st.dictionaries(_NAMES, st.sampled_from([None, "x", "z"]), max_size=2),
    note=st.sampled_from([None, "", "look"]),
    reason=st.just(""),
)
_EXPERIMENT_CHANGES = st.builds(
    ExperimentChange,
    project=st.sampled_from(["churn", "other"]),
    experiment=_NAMES,
    name=st.sampled_from([None, "a", "new"]),
    archived=_MAYBE,
    deleted=_MAYBE,
    reason=st.just(""),
)
_HISTORIES = st.lists(
    st.builds(
        lambda entity, time: records.new(entity, author=AUTHOR, time=time),
        _run() | _run() | _RUN_CHANGES | _EXPERIMENT_CHANGES,
        _TIMES,
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(_HISTORIES, st.data())
def test_order_duplicates_batches_and_rebuilding_change_no_answer(history: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(history + history[:3]))
    size = data.draw(st.integers(1, 5))
    with Store.open("sqlite://") as at_once, Store.open("sqlite://") as bit_by_bit:
        at_once.append(history)
        for start in range(0, len(shuffled), size):
            bit_by_bit.append(shuffled[start : start + size])
        expected = _answers(at_once)
        assert _answers(bit_by_bit) == expected
        bit_by_bit.rebuild()
        assert _answers(bit_by_bit) == expected

        found = {run.record_id: run for run in at_once.search("", limit=99, scope=EVERYTHING).runs}
        for record_id, run in found.items():
            tags, note, deleted = _by_hand(history, run.entity)
            assert (run.tags, run.note, run.deleted) == (tags, note, deleted), record_id
            assert run.experiment == _state(history, run.entity)["name"]
        left = {run.record_id for run in at_once.search("", limit=99).runs}
        assert left == {record_id for record_id, run in found.items() if _is_shown(history, run)}


def _answers(store: Store) -> Any:
    scopes = [Scope(), EVERYTHING, Scope(project="churn", experiment="a"), Scope(experiment="new")]
    return [
        *(store.search("", order_by=order, scope=scope) for scope in scopes for order in ("", "metrics.acc, tags.a")),
        *(store.search(text, limit=99) for text in ("tags.a = 'x'", "note = 'look'", "experiment = 'new'")),
        *(store.best_of_each("acc", scope=scope) for scope in scopes),
        [store.best(name, "acc") for name in ("a", "b", "new")],
        store.experiments(),
        store.experiments("churn", archived=True, deleted=True),
    ]


def _ordered(history: list[Record], kind: str) -> list[Record]:
    found = {record.id: record for record in history if record.kind == kind}
    return sorted(found.values(), key=lambda record: (record.time, record.id))


def _by_hand(history: list[Record], run: Run) -> tuple[dict[str, str], str, bool]:
    tags: dict[str, str | None] = dict(run.tags)
    note, deleted = "", False
    for record in _ordered(history, "run-change"):
        change = record.read(RunChange)
        if change.run_id == run.run_id:
            tags |= change.tags
            note = note if change.note is None else change.note
            deleted = deleted if change.deleted is None else change.deleted
    return {name: text for name, text in tags.items() if text is not None}, note, deleted


def _state(history: list[Record], run: Run) -> dict[str, Any]:
    state: dict[str, Any] = {"name": run.experiment, "archived": False, "deleted": False}
    for record in _ordered(history, "experiment-change"):
        change = record.read(ExperimentChange)
        if (change.project, change.experiment) == (run.project, run.experiment):
            given = {name: getattr(change, name) for name in state}
            state |= {name: value for name, value in given.items() if value is not None}
    return state


def _is_shown(history: list[Record], run: Any) -> bool:
    state = _state(history, run.entity)
    return not (run.deleted or state["archived"] or state["deleted"])


def test_experiments_are_listed_with_their_runs(store: Store, make_run: MakeRun) -> None:
    store.append(
        [
            make_run("r1", experiment="a", started="2026-01-01T00:00:00.500000Z"),
            make_run("r2", experiment="a", started="2026-01-02T00:00:00.000000Z"),
            make_run("r3", experiment="b", project="other"),
            make_run("r4", experiment="old"),
            _change(RunChange(run_id="r2", shas=[], tree="", deleted=True)),
            _change(ExperimentChange(project="churn", experiment="old", archived=True)),
            _change(ExperimentChange(project="churn", experiment="gone", deleted=True)),
            _change(ExperimentChange(project="churn", experiment="a", name="alpha")),
        ]
    )

    [alpha, other] = store.experiments()
    assert (alpha.name, alpha.experiment, alpha.project, alpha.runs) == ("alpha", "a", "churn", 1)
    assert alpha.last_started == "2026-01-01T00:00:00.500000Z"
    assert (other.name, other.project) == ("b", "other")
    assert [each.name for each in store.experiments("churn", archived=True)] == ["alpha", "old"]
    everything = store.experiments("churn", archived=True, deleted=True)
    assert [(each.name, each.runs, each.last_started) for each in everything][-1] == ("gone", 0, "")


def test_an_experiment_of_which_nothing_is_left_is_forgotten(store: Store, make_run: MakeRun) -> None:
    """Its only run was another's second ending; in the other order nobody would ever have known of it."""
    renamed = _change(ExperimentChange(project="churn", experiment="b", name="a"))
    first = make_run("r1", run_key="k", experiment="b", metrics={"acc": 0.5})
    second = make_run("r1", run_key="k", experiment="b", project="other", recorded="2026-01-01T00:00:01.000000Z")

    for record in (second, renamed, first):
        store.append([record])

    best = store.best("b", "acc")
    assert best
    assert best.record_id == first.id
    [alone] = store.experiments(archived=True, deleted=True)
    assert (alone.project, alone.name, alone.runs) == ("churn", "a", 1)


def test_a_deleted_run_is_left_out_and_can_still_be_shown(store: Store, make_run: MakeRun) -> None:
    store.append([make_run("r1", metrics={"acc": 0.9}), make_run("r2", metrics={"acc": 0.5})])
    store.append([_change(RunChange(run_id="r1", shas=[], tree="", deleted=True))])

    best = store.best("main", "acc")
    assert best
    assert best.entity.run_id == "r2"
    assert [run.entity.run_id for run in store.runs()] == ["r2"]
    assert [run.entity.run_id for run in store.search("", scope=Scope(deleted=True)).runs] == ["r1", "r2"]
    assert store.run("r1").deleted


def _change(entity: RunChange | ExperimentChange) -> Record:
    return records.new(entity, author=AUTHOR, time="2026-02-01T00:00:00.000000Z")
