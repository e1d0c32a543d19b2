"""A shallow clone, as CI makes one, knows its ancestors all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_ci.git import Checkout
from mlops_ci.git.history import deepened
from tests.repositories import clone, commit, git


@pytest.fixture
def shas(work: Path) -> list[str]:
    """Twelve commits on main, oldest first, and one on a branch that left it at the fifth."""
    found = [commit(work, {"a": f"{number}\n" * 1000}, f"commit {number}") for number in range(12)]
    git(work, "push", "--quiet", "origin", "HEAD:main")
    git(work, "checkout", "--quiet", "-b", "feature", found[4])
    found.append(commit(work, {"b": "b"}, "feature"))
    git(work, "push", "--quiet", "origin", "feature")
    git(work.parent / "origin.git", "config", "uploadpack.allowFilter", "true")
    return found


def test_ancestors_parents_and_merge_bases_are_known(work: Path, tmp_path: Path, shas: list[str]) -> None:
    shallow = clone(work.parent / "origin.git", tmp_path / "shallow", "--depth=1", "--branch=feature")
    before = git(shallow, "rev-list", "--all"), (shallow / ".git/config").read_text("utf-8")
    checkout = Checkout.find(shallow)
    assert checkout.parents("HEAD") == []
    deep = deepened(checkout, [shas[12], shas[11]], depth=50)
    assert deep.parents(shas[12]) == [shas[4]]
    assert deep.merge_base(shas[12], shas[11]) == shas[4]
    assert [found.sha for found in deep.ancestors(shas[11], limit=3)] == shas[11:8:-1]
    assert deep.ancestors(shas[11], limit=1)[0].tree == git(work, "rev-parse", f"{shas[11]}^{{tree}}")
    assert (git(shallow, "rev-list", "--all"), (shallow / ".git/config").read_text("utf-8")) == before


def test_only_commits_are_brought(work: Path, tmp_path: Path, shas: list[str]) -> None:
    shallow = clone(work.parent / "origin.git", tmp_path / "shallow", "--depth=1")
    deep = deepened(Checkout.find(shallow), [shas[11]], depth=50)
    kinds = git(deep.root, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    assert set(kinds) == {"commit"}
    assert len(kinds) == 13


def test_a_clone_that_is_not_shallow_is_asked_itself(work: Path, shas: list[str]) -> None:
    checkout = Checkout.find(work)
    assert deepened(checkout, shas, depth=50) is checkout
    assert not (work / ".git/mlops").exists()


def test_what_cannot_be_had_ends_where_the_clone_does(work: Path, tmp_path: Path, shas: list[str]) -> None:
    shallow = clone(work.parent / "origin.git", tmp_path / "shallow", "--depth=1")
    checkout = Checkout.find(shallow)
    local = commit(shallow, {"c": "c"})
    assert deepened(checkout, [local], depth=50) is checkout
    (work.parent / "origin.git").rename(tmp_path / "away")
    assert deepened(checkout, [shas[11]], depth=50) is checkout
