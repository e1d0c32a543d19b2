"""Who rules: the base, the commit, the default branch or the work tree, and what a change would make of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_ci import config
from mlops_ci.entities import ValueChange
from mlops_ci.errors import ConfigError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import policy, policy_edits
from mlops_ci.lifecycle.policy import Ruling
from tests.repositories import commit, git, make_clone

CONFIG = """\
project: churn
gates:
  - metric: accuracy
    min: 0.9
  - metric: log_loss
    max_increase: 5%
targets:
  production: {kind: local, port: 3000, approval: {required: 2, from: [octo-lead, octocat]}}
"""
ROW = """\
  - metric: accuracy
    ceiling: 0.85
    owner: octo-lead
    reason: known
    expires: 2026-12-31
"""
WAIVERS = f"waivers:\n{ROW}"
SIGNERS = "octo-lead ssh-ed25519 AAAAC3Nz\n"


@dataclass
class Place:
    """A clone whose main branch has *base*; the work tree is a change of it."""

    root: Path
    base: str

    def change(self, files: dict[str, str]) -> Ruling:
        """What rules over a change that brings *files*."""
        commit(self.root, files)
        return policy.at_base(self.checkout, self.base, self.head)

    @property
    def checkout(self) -> Checkout:
        return Checkout.find(self.root)

    @property
    def head(self) -> config.Config:
        return config.load(self.root / "mlops.yaml")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    files = {
        "mlops.yaml": CONFIG,
        ".mlops/waivers.yaml": WAIVERS,
        ".mlops/allowed_signers": SIGNERS,
        ".mlops/templates/service.py": "x\n",
    }
    root = make_clone(tmp_path, files)
    git(root, "remote", "set-head", "origin", "main")
    return Place(root, git(root, "rev-parse", "HEAD"))


def metrics(ruling: Ruling) -> list[str]:
    return [waiver.metric for waiver in ruling.waivers]


def test_a_change_is_ruled_by_its_base_whatever_it_brings(place: Place) -> None:
    brought = WAIVERS.replace("0.85", "0.1").replace("2026-12-31", "2999-12-31") + ROW.replace("accuracy", "log_loss")
    ruling = place.change({".mlops/waivers.yaml": brought})
    assert [(waiver.metric, waiver.ceiling, waiver.expires) for waiver in ruling.waivers] == [
        ("accuracy", 0.85, "2026-12-31")
    ]
    assert (ruling.policy.origin, ruling.policy.config_name, ruling.gate_lines) == ("base", "mlops.yaml", [3, 5])
    assert ruling.policy.changed_here == ["waivers"]
    assert [(edit.name, edit.baseline, edit.candidate) for edit in ruling.policy.edits] == [
        ("waivers[accuracy].ceiling", "0.85", "0.1"),
        ("waivers[accuracy].expires", "2026-12-31", "2999-12-31"),
        ("waivers[log_loss].ceiling", None, "0.85"),
        ("waivers[log_loss].owner", None, "octo-lead"),
        ("waivers[log_loss].reason", None, "known"),
        ("waivers[log_loss].expires", None, "2026-12-31"),
    ]


def test_what_a_change_leaves_alone_is_no_edit(place: Place) -> None:
    found = place.change({"train.py": "print(1)\n"}).policy
    assert (found.changed_here, found.edits) == ([], [])


def test_approvers_and_templates_are_named_when_they_change(place: Place) -> None:
    files = {".mlops/allowed_signers": f"{SIGNERS}hubot ssh-ed25519 AAAA\n", ".mlops/templates/more/a.txt": "y\n"}
    assert place.change(files).policy.changed_here == ["approvers", "templates"]


def test_a_link_in_the_place_of_the_waivers_is_a_change_and_is_not_followed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(WAIVERS.replace("0.85", "0.1"))
    (place.root / ".mlops/waivers.yaml").unlink()
    (place.root / ".mlops/waivers.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(ConfigError, match=r"^\.mlops/waivers\.yaml:1: found"):
        place.change({})


def test_waivers_that_are_wrong_in_the_change_are_refused_with_their_line(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"(?m)^\.mlops/waivers\.yaml:4: waivers\[0\]\.ownr: unknown key"):
        place.change({".mlops/waivers.yaml": WAIVERS.replace("owner", "ownr")})


def test_waivers_that_are_wrong_at_the_base_waive_nothing_and_can_be_mended(place: Place) -> None:
    place.base = commit(place.root, {".mlops/waivers.yaml": WAIVERS.replace("owner", "ownr")})
    ruling = place.change({"train.py": "1\n"})
    assert ruling.waivers == []
    assert "Nothing is waived" in ruling.notes[0]
    assert f"waivers.yaml at {place.base[:7]}:2: waivers[0].owner: is missing" in ruling.notes[0]
    assert place.change({".mlops/waivers.yaml": WAIVERS}).policy.changed_here == ["waivers"]


def test_without_a_configuration_at_the_base_nothing_is_waived(place: Place) -> None:
    git(place.root, "rm", "--quiet", "mlops.yaml")
    place.base = commit(place.root, {})
    ruling = place.change({"mlops.yaml": CONFIG})
    assert (ruling.policy.origin, ruling.waivers) == ("none", ())


def test_a_waiver_for_another_project_does_not_count(place: Place) -> None:
    rows = WAIVERS + ROW.replace("accuracy", "log_loss\n    project: fraud")
    place.base = commit(place.root, {".mlops/waivers.yaml": rows})
    assert metrics(place.change({})) == ["accuracy"]


def test_a_push_is_ruled_by_its_commit_and_not_by_what_training_wrote(place: Place) -> None:
    (place.root / ".mlops/waivers.yaml").write_text(WAIVERS.replace("0.85", "0.1"))
    ruling = policy.at_commit(place.checkout, place.head)
    assert [waiver.ceiling for waiver in ruling.waivers] == [0.85]
    assert (ruling.policy.origin, ruling.policy.sha, ruling.gate_lines) == ("commit", place.base, [3, 5])


def test_a_laptop_is_ruled_by_its_work_tree(place: Place) -> None:
    (place.root / ".mlops/waivers.yaml").write_text(WAIVERS.replace("0.85", "0.1"))
    ruling = policy.in_work_tree(place.checkout, place.head)
    assert [waiver.ceiling for waiver in ruling.waivers] == [0.1]
    assert (ruling.policy.origin, ruling.gate_lines) == ("local", [3, 5])
    (place.root / ".mlops/waivers.yaml").unlink()
    assert policy.in_work_tree(place.checkout, place.head).waivers == []


def test_waivers_that_are_wrong_where_one_works_are_refused(place: Place) -> None:
    wrong = {".mlops/waivers.yaml": WAIVERS.replace("12-31", "13-31")}
    commit(place.root, wrong)
    for ruling in (policy.at_commit, policy.in_work_tree):
        with pytest.raises(ConfigError, match="which is no day"):
            ruling(place.checkout, place.head)


def test_a_folder_in_the_place_of_the_waivers_is_one_sentence(place: Place) -> None:
    (place.root / ".mlops/waivers.yaml").unlink()
    (place.root / ".mlops/waivers.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"waivers\.yaml cannot be read"):
        policy.in_work_tree(place.checkout, place.head)


def test_a_release_is_ruled_by_the_tip_of_the_default_branch(place: Place) -> None:
    commit(place.root, {".mlops/waivers.yaml": WAIVERS.replace("0.85", "0.1")})
    ruling = policy.at_default_branch(place.checkout).ruling()
    assert [waiver.ceiling for waiver in ruling.waivers] == [0.85]
    assert (ruling.policy.origin, ruling.policy.sha, ruling.gate_lines) == ("default branch", place.base, [3, 5])


def test_a_release_of_a_default_branch_with_wrong_waivers_waives_nothing(place: Place) -> None:
    commit(place.root, {".mlops/waivers.yaml": "waivers: 1\n"})
    git(place.root, "push", "--quiet", "origin", "HEAD:main")
    ruling = policy.at_default_branch(place.checkout).ruling()
    assert ruling.waivers == []
    assert "at main (" in ruling.notes[0]


def edits(before: str, after: str) -> list[tuple[object, ...]]:
    found = policy_edits.edits(config.parse(before, "a"), config.parse(after, "b"))
    return [(edit.name, edit.baseline, edit.candidate) for edit in found]


def test_each_value_that_would_change_is_named_with_what_it_is_and_would_be() -> None:
    after = CONFIG.replace("0.9", "0.5").replace("required: 2", "required: 1").replace("octocat]", "hubot]")
    assert edits(CONFIG, after.replace("5%", "5%\n    on_fail: warn")) == [
        ("gates[accuracy].min", "0.9", "0.5"),
        ("gates[log_loss].max_increase", "5%", "5%, warns only"),
        ("targets.production.approval.required", "2", "1"),
        ("targets.production.approval.from", "[octo-lead, octocat]", "[octo-lead, hubot]"),
    ]


def test_a_gate_more_at_the_top_is_one_edit_and_another_order_is_none() -> None:
    more = CONFIG.replace("gates:\n", "gates:\n  - {metric: auc, min: 0.7}\n")
    assert edits(CONFIG, more) == [("gates[auc].min", None, "0.7")]
    assert edits(more, CONFIG) == [("gates[auc].min", "0.7", None)]
    first, second = "  - metric: accuracy\n    min: 0.9\n", "  - metric: log_loss\n    max_increase: 5%\n"
    assert edits(CONFIG, CONFIG.replace(first + second, second + first)) == []


def test_two_gates_with_one_rule_of_one_metric_are_both_seen() -> None:
    two = "project: x\ngates: [{metric: a, min: 1, on_fail: warn}, {metric: a, min: %s}]\n"
    assert edits(two % "0.5", two % "0.1") == [("gates[a].min (2)", "0.5", "0.1")]


def test_options_of_a_target_are_named_as_the_file_has_them() -> None:
    assert edits(CONFIG, CONFIG.replace("3000", "3001")) == [("targets.production.port", "3000", "3001")]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://octocat:hunter2@db.example.com/x",
        "postgresql://octocat:hunt/er2@db.example.com/x",
        "postgresql://octocat:hunter2@hunter2@db.example.com/x",
        "postgresql://db.example.com/x?user=octocat&password=hunter2",
        "postgresql://db.example.com/x?sslpassword=hunter2&a=b",
        "mysql+pymysql://:hunter2@db.example.com/x",
    ],
)
def test_no_password_is_shown(address: str) -> None:
    for before, after in (("git", address), (address, "git"), (address, address.replace("hunt", "paint"))):
        [found] = policy_edits.edits(
            config.parse(f"project: x\nstore: {before}\n", "a"), config.parse(f"project: x\nstore: {after}\n", "b")
        )
        said = f"{found.baseline} {found.candidate}"
        assert not [part for part in ("hunter2", "er2", "painter2", "hunt", "paint") if part in said], said
        assert "db.example.com" in said
        assert found.baseline != found.candidate


def test_a_long_value_is_cut(place: Place) -> None:
    reason = "x" * 400
    found = place.change({".mlops/waivers.yaml": WAIVERS.replace("known", reason)}).policy.edits
    assert found == [ValueChange(name="waivers[accuracy].reason", baseline="known", candidate="x" * 120 + "…")]


def test_at_most_fifty_edits_are_listed_and_a_note_counts_them(place: Place) -> None:
    rows = "".join(ROW.replace("accuracy", f"m{number}") for number in range(20))
    ruling = place.change({".mlops/waivers.yaml": f"waivers:\n{rows}"})
    assert len(ruling.policy.edits) == 50
    assert ruling.notes == ["This change would edit 84 values of the policy; the first 50 are shown."]
