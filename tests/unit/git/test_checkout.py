"""What the checkout says of itself, in every state that a checkout can be in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_ci.errors import UsageError
from mlops_ci.git import Checkout
from tests.repositories import clone, commit, git


def test_no_repository_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not in a git repository") as caught:
        Checkout.find(tmp_path)
    assert "git init" in caught.value.hint


def test_no_commit_yet_is_one_sentence(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UsageError, match="no commit 'HEAD'") as caught:
        Checkout.find(tmp_path).commit("HEAD")
    assert caught.value.hint == "commit your work first"


def test_found_from_a_folder_below(work: Path) -> None:
    (work / "a/b").mkdir(parents=True)
    assert Checkout.find(work / "a/b").root == work


def test_a_linked_work_tree_shares_our_state(work: Path, tmp_path: Path) -> None:
    git(work, "worktree", "add", "--quiet", str(tmp_path / "other"), "-b", "other")
    linked = Checkout.find(tmp_path / "other")
    assert linked.state == Checkout.find(work).state
    assert linked.branch() == "other"


def test_a_clean_tree_has_no_diff(work: Path) -> None:
    assert Checkout.find(work).diff_digest() == ""


def test_a_changed_file_is_a_diff_with_its_own_digest(work: Path) -> None:
    checkout = Checkout.find(work)
    (work / "README.md").write_text("one")
    first = checkout.diff_digest()
    (work / "README.md").write_text("two")
    assert first.startswith("sha256:")
    assert checkout.diff_digest() not in {"", first}


@pytest.mark.parametrize("name", ["new file.txt", "ünïcode"])
def test_a_file_that_git_does_not_know_is_no_diff_and_is_named(work: Path, name: str) -> None:
    checkout = Checkout.find(work)
    (work / name).write_text("one")
    assert (checkout.diff_digest(), checkout.untracked()) == ("", [name])


def test_the_index_is_not_rewritten(work: Path) -> None:
    """Nor is a file that was only touched a difference."""
    os.utime(work / "README.md", (1, 1))
    before = (work / ".git/index").read_bytes()
    assert Checkout.find(work).diff_digest() == ""
    assert (work / ".git/index").read_bytes() == before


def test_a_file_that_was_changed_in_the_moment_after_it_was_added_is_a_diff(work: Path) -> None:
    """Of the same size, and with the same time as the index: git then looks into the file, if it knows that time."""
    git(work, "config", "core.trustctime", "false")
    readme, index = work / "README.md", work / ".git/index"
    changed = readme.read_text().swapcase()
    os.utime(readme, (1, 1))
    git(work, "update-index", "--refresh")
    os.utime(index, (1, 1))
    readme.write_text(changed)
    os.utime(readme, (1, 1))
    assert Checkout.find(work).diff_digest()


def test_a_diff_reaches_the_remote_with_what_ci_lends(work: Path, tmp_path: Path) -> None:
    """In a clone without contents, git brings those that a difference is told from."""
    git(work, "config", "uploadpack.allowFilter", "true")
    lazy = tmp_path / "lazy"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--no-checkout", work.as_uri(), str(lazy))
    git(lazy, "config", "remote.origin.url", "file:///nowhere/churn")
    (lazy / "README.md").write_text("changed")
    lent = {f"url.{work.as_uri()}.insteadOf": "file:///nowhere/churn"}
    assert Checkout.find(lazy, lent=lent).diff_digest()


def test_another_remote_than_origin_is_taken_where_it_is_the_only_one(work: Path, tmp_path: Path) -> None:
    git(work, "remote", "rename", "origin", "upstream")
    assert Checkout.find(work).remote == str(tmp_path / "origin.git")


def test_ignored_files_are_no_diff(work: Path) -> None:
    commit(work, {".gitignore": "out/\n"})
    (work / "out").mkdir()
    (work / "out/model").write_text("x")
    assert (Checkout.find(work).diff_digest(), Checkout.find(work).untracked()) == ("", [])


def test_a_detached_head_has_no_branch(work: Path) -> None:
    git(work, "checkout", "--quiet", "--detach")
    assert Checkout.find(work).branch() == ""


def test_a_shallow_clone_says_so(work: Path, tmp_path: Path) -> None:
    commit(work, {"a": "a"})
    git(work, "push", "--quiet", "origin", "HEAD:main")
    assert Checkout.find(clone(tmp_path / "origin.git", tmp_path / "shallow", "--depth=1")).is_shallow()
    assert not Checkout.find(work).is_shallow()


def test_a_relative_remote_is_made_absolute(work: Path, tmp_path: Path) -> None:
    git(work, "remote", "set-url", "origin", "../origin.git")
    assert Checkout.find(work).remote == str(tmp_path / "origin.git")


def test_settings_for_transport_are_passed_on_and_the_rest_is_not(work: Path) -> None:
    git(work, "config", "http.https://example.com/.extraheader", "AUTHORIZATION: basic x")
    git(work, "config", "core.autocrlf", "true")
    passed = Checkout.find(work).transport
    assert "http.https://example.com/.extraheader" in passed.values()
    assert "core.autocrlf" not in passed.values()


def test_ancestors_are_nearest_first_with_their_trees(work: Path) -> None:
    first = git(work, "rev-parse", "HEAD")
    second = commit(work, {"a": "a"})
    found = Checkout.find(work).ancestors("HEAD", limit=10)
    assert [ancestor.sha for ancestor in found] == [second, first]
    assert found[0].tree == git(work, "rev-parse", "HEAD^{tree}")


def test_unrelated_revisions_have_no_merge_base(work: Path) -> None:
    git(work, "checkout", "--quiet", "--orphan", "lonely")
    commit(work, {"a": "a"})
    assert Checkout.find(work).merge_base("lonely", "main") == ""
