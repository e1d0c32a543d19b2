"""What was deleted is no baseline, and an experiment that was renamed is still the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest

from mlops_ci import changes, records
from mlops_ci.entities import Adoption
from mlops_ci.git import Commit
from mlops_ci.lifecycle.find_baseline import nearest, runs_of
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from tests.repositories import commit

from .places import AUTHOR, KINDS, close, deletion, experiment_change, place, run, time

COMMIT = Commit("a" * 40, "b" * 40)


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    found = place(tmp_path / "place", request.param)
    yield found
    close(found)


Find = Callable[[str], list[str]]


@pytest.fixture
def find(project: Project) -> Find:
    """The ids of the runs that an experiment has at the commit."""
    return lambda name: [each.run.run_id for each in runs_of(project.ledger, [COMMIT], "churn", name)]


def recorded(run_id: str, *, second: float = 0, experiment: str = "churn", **fields: object) -> Record:
    return run(run_id, second=second, sha=COMMIT.sha, tree=COMMIT.tree, experiment=experiment, **fields)


def test_a_deleted_run_is_not_there_until_it_is_restored(project: Project, find: Find) -> None:
    one, two = recorded("01"), recorded("02", second=1)
    project.ledger.append([one, two])
    project.ledger.append([deletion(two, second=2)])
    assert find("churn") == ["01"]
    gone = runs_of(project.ledger, [COMMIT], "churn", "churn", deleted=True)
    assert [(each.run.run_id, each.deleted is not None) for each in gone] == [("01", False), ("02", True)]
    project.ledger.append([deletion(two, second=3, deleted=False)])
    assert find("churn") == ["01", "02"]
    assert runs_of(project.ledger, [COMMIT], "churn", "churn")[1].restored


def test_the_latest_change_counts_whatever_came_first(project: Project, find: Find) -> None:
    one = recorded("01")
    project.ledger.append([deletion(one, second=5)])
    project.ledger.append([one])
    assert find("churn") == []
    project.ledger.append([deletion(one, second=4, deleted=False)])
    assert find("churn") == []
    project.ledger.append([deletion(one, second=6, deleted=False)])
    assert find("churn") == ["01"]


def test_changes_of_one_moment_are_decided_by_their_ids() -> None:
    one = recorded("01")
    same = [deletion(one, second=5, deleted=deleted, reason=str(n)) for n in range(3) for deleted in (True, False)]
    last = max(same, key=lambda record: record.id)
    for some in permutations(same, 6):
        state = changes.of_runs(some)["01"]
        assert (state.deleted is not None) is last.body["deleted"]


def test_what_is_changed_now_comes_after_a_clock_that_ran_ahead() -> None:
    ahead = deletion(recorded("01"), second=10**9)
    assert changes.time_after(ahead) > ahead.time
    assert changes.time_after(deletion(recorded("01"), second=0)) <= records.now()


def test_a_second_ending_does_not_take_the_place_of_a_deleted_one(project: Project, find: Find) -> None:
    one, two = recorded("01", run_key="same"), recorded("02", second=1, run_key="same")
    project.ledger.append([one, two, deletion(one, second=2)])
    assert find("churn") == []


def test_a_deleted_run_is_not_adopted_either(project: Project, find: Find) -> None:
    elsewhere = run("01", sha="c" * 40, tree="d" * 40)
    adoption = records.new(Adoption(sha=COMMIT.sha, tree=COMMIT.tree, run_id="01"), author=AUTHOR, time=time(1))
    project.ledger.append([elsewhere, adoption])
    assert find("churn") == ["01"]
    project.ledger.append([deletion(elsewhere, second=2)])
    assert find("churn") == []


def test_a_renamed_experiment_is_found_by_its_new_name_and_its_old(project: Project, find: Find) -> None:
    project.ledger.append([recorded("01", experiment="old"), experiment_change("old", second=1, name="new")])
    assert find("new") == ["01"]
    project.ledger.append([recorded("02", second=2, experiment="new")])
    assert find("new") == ["01", "02"]
    # A branch whose configuration still has the old name.
    assert find("old") == ["01", "02"]
    assert find("other") == []


def test_an_experiment_may_be_renamed_again_and_again(project: Project, find: Find) -> None:
    project.ledger.append([recorded("01", experiment="a"), experiment_change("a", second=1, name="b")])
    project.ledger.append([recorded("02", second=2, experiment="b")])
    project.ledger.append([experiment_change(name, second=3, name="c") for name in ("a", "b")])
    assert find("c") == ["01", "02"]
    assert find("b") == ["01", "02"]
    project.ledger.append([experiment_change(name, second=4, name="a") for name in ("a", "b")])
    assert find("a") == ["01", "02"]
    assert find("c") == []


def test_experiments_whose_names_were_swapped_are_told_apart(project: Project, find: Find) -> None:
    """No command does that; two people at once can."""
    project.ledger.append([recorded("01", experiment="a"), recorded("02", second=1, experiment="b")])
    project.ledger.append([experiment_change("a", second=2, name="b"), experiment_change("b", second=2, name="a")])
    assert find("a") == ["02"]
    assert find("b") == ["01"]


def test_a_rename_in_another_project_is_none_here(project: Project, find: Find) -> None:
    project.ledger.append(
        [recorded("01", experiment="old"), experiment_change("old", second=1, name="new", project="else")]
    )
    assert (find("old"), find("new")) == (["01"], [])


def test_a_deleted_experiment_has_no_runs_until_it_is_restored(project: Project, find: Find) -> None:
    project.ledger.append([recorded("01"), experiment_change("churn", second=1, deleted=True)])
    project.ledger.append([recorded("02", second=2)])
    assert find("churn") == []
    project.ledger.append([experiment_change("churn", second=3, deleted=False)])
    assert find("churn") == ["01", "02"]


def test_an_archived_experiment_stays_a_baseline(project: Project, find: Find) -> None:
    project.ledger.append([recorded("01"), experiment_change("churn", second=1, archived=True)])
    assert find("churn") == ["01"]


def test_the_baseline_is_the_nearest_that_is_there(project: Project) -> None:
    root = project.checkout.root
    shas = [commit(root, {"file": str(number)}) for number in range(12)]
    trees = [project.checkout.commit(sha).tree for sha in shas]
    far, near = (run(str(n), second=n, sha=shas[n], tree=trees[n], experiment="old") for n in (1, 10))
    project.ledger.append([far, near, experiment_change("old", second=20, name="new")])

    def baseline(name: str) -> str:
        found = nearest(project.checkout, project.ledger, shas[-1], "churn", name)
        return found[0].run.run_id if found else ""

    assert [baseline("new"), baseline("old"), baseline("else")] == ["10", "10", ""]
    project.ledger.append([deletion(near, second=21)])
    assert baseline("new") == "1"
    project.ledger.append([deletion(far, second=22), deletion(near, second=23, deleted=False)])
    assert baseline("new") == "10"


class Counting:
    """A ledger that counts how often it was asked."""

    def __init__(self, project: Project) -> None:
        self.ledger, self.asked = project.ledger, 0

    def find(self, *keys: str) -> list[Record]:
        self.asked += 1
        return self.ledger.find(*keys)


def test_only_a_rename_costs_another_look_up(project: Project) -> None:
    project.ledger.append([recorded("01", experiment="old")])

    def asked(name: str) -> int:
        counting = Counting(project)
        runs_of(counting, [COMMIT], "churn", name)  # type: ignore[arg-type]
        return counting.asked

    assert asked("old") == 1
    project.ledger.append([experiment_change("old", second=1, archived=True)])
    assert asked("old") == 1
    project.ledger.append([experiment_change("old", second=2, name="new")])
    assert (asked("old"), asked("new"), asked("other")) == (2, 2, 1)
