"""What a change would make of the manifests; in a job without its code, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_ci import config
from mlops_ci.entities import ManifestChange
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import manifest_changes
from mlops_ci.lifecycle.project import Project
from tests.repositories import commit, git, make_clone

CONFIG = """\
project: churn
store: sqlite:///records.db
serving: {image: ghcr.io/acme/churn}
targets:
  staging: {kind: local, port: 3000}
  production: {kind: kubernetes, replicas: 3}
"""
NETWORK = ".mlops/templates/targets/kubernetes/networkpolicy.yaml.j2"
SERVICE = ".mlops/templates/targets/kubernetes/service.yaml.j2"
OWN = "apiVersion: v1\nkind: Service\nmetadata: {name: {{ name | yaml }}}\nspec: {clusterIP: None}\n"


@dataclass
class Place:
    """A clone whose main branch has *base*, and a change of it."""

    root: Path
    base: str

    def changes(self, files: dict[str, str], *, checked_out: bool = True) -> tuple[list[ManifestChange], list[str]]:
        """What a change that brings *files* would make of the manifests."""
        commit(self.root, files)
        root = self.root
        head = config.load(root / "mlops.yaml")
        if not checked_out:  # as the job that may write has it: git's objects, and no file
            root = self.root.parent / "apart"
            git(self.root.parent, "clone", "--quiet", "--no-checkout", str(self.root), "apart")
        project = Project(Checkout.find(root), head)
        base = config.parse(git(self.root, "show", f"{self.base}:mlops.yaml"), "base")
        return manifest_changes.changes(project, base, self.base)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = make_clone(tmp_path, {"mlops.yaml": CONFIG, SERVICE: OWN})
    return Place(root, git(root, "rev-parse", "HEAD").strip())


def shown(change: ManifestChange) -> list[str]:
    """The lines that come and go."""
    return re.findall(r"^[+-](?![+-]).*", change.diff, re.MULTILINE)


def test_a_change_of_nothing_that_is_rendered_is_none(place: Place) -> None:
    assert place.changes({"train.py": "1", "mlops.yaml": CONFIG + "gates: [{metric: accuracy, min: 0.5}]\n"}) == (
        [],
        [],
    )


@pytest.mark.parametrize("checked_out", [True, False])
def test_what_a_setting_changes_is_told_for_the_targets_that_it_changes(place: Place, *, checked_out: bool) -> None:
    """The placeholder of the version is the same on both sides, so only what the change does differs."""
    edited = CONFIG.replace("replicas: 3", "replicas: 5")
    (found,), notes = place.changes({"mlops.yaml": edited}, checked_out=checked_out)
    assert (found.target, found.left_out, notes) == ("production", 0, [])
    assert shown(found) == ["-  replicas: 3", "+  replicas: 5"]
    assert found.diff.startswith("--- a/deployment.yaml\n+++ b/deployment.yaml\n@@ ")


def test_a_target_that_comes_or_goes_is_told_as_a_whole(place: Place) -> None:
    only_staging = "".join(CONFIG.splitlines(keepends=True)[:-1])
    (gone,), _ = place.changes({"mlops.yaml": only_staging})
    assert gone.target == "production"
    assert "+++ /dev/null" in gone.diff
    assert all(line.startswith("-") for line in shown(gone))


def test_templates_of_the_change_are_rendered_where_they_are_checked_out(place: Place) -> None:
    found, notes = place.changes({SERVICE: OWN.replace("None", "10.0.0.7")})
    assert notes == []
    assert [(one.target, shown(one)) for one in found] == [
        ("production", ["-spec: {clusterIP: None}", "+spec: {clusterIP: 10.0.0.7}"]),
    ]


def test_templates_of_the_change_are_never_rendered_where_they_are_not(place: Place) -> None:
    """A template that fails as soon as it is rendered shows that it was not; the text of the change is there."""
    bomb = OWN + "{{ nobody_said_this | yaml }}\n{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    edited = CONFIG.replace("replicas: 3", "replicas: 5")
    found, notes = place.changes({"mlops.yaml": edited, SERVICE: bomb + "{% endfor %}\n"}, checked_out=False)
    assert [one.target for one in found] == ["production", ""]
    assert shown(found[0]) == ["-  replicas: 3", "+  replicas: 5"]
    assert "+{{ nobody_said_this | yaml }}" in found[1].diff
    assert notes == [
        "This change edits templates, which are not rendered in this job; the diff of their text is shown."
    ]


def test_a_change_that_takes_templates_away_is_rendered_without_them(place: Place) -> None:
    git(place.root, "rm", "--quiet", SERVICE)
    (found,), notes = place.changes({}, checked_out=False)
    assert notes == []
    assert "-spec: {clusterIP: None}" in shown(found)
    assert "+  type: ClusterIP" in shown(found)


def test_a_template_that_fails_is_a_note_and_no_error(place: Place) -> None:
    found, notes = place.changes({SERVICE: "{{ nobody_said_this | yaml }}"})
    assert found == []
    (note,) = notes
    assert note.startswith("The manifests of production cannot be rendered as this change would have them: template ")
    assert "'nobody_said_this' is undefined" in note


def test_a_long_difference_is_cut_after_a_whole_hunk(place: Place) -> None:
    """Those that are left out are counted."""
    rows = "".join(f"row{number}: {{}}\n{'# ' * 30}\n" * 3 for number in range(60))
    commit(place.root, {NETWORK: rows})
    place.base = git(place.root, "rev-parse", "HEAD").strip()
    edited = re.sub(r"(row\d+)", r"\1x", rows)
    apart = re.sub(r"((?:.*\n){12})", lambda found: found[1].replace("x: {}", ": {}"), edited, count=20)
    (found,), _ = place.changes({NETWORK: apart, SERVICE: OWN})
    assert len(found.diff) <= 8_000
    assert found.left_out > 0
    for head, body in re.findall(r"^@@ -\d+,(\d+) .* @@\n((?:[ +-].*\n)*)", found.diff, re.MULTILINE):
        assert sum(line[0] in " -" for line in body.splitlines()) == int(head)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{DB_PASSWORD: hunter2}", "{DB_PASSWORD: hunter3}"),
        ("{ADDRESS: 'postgresql://u:hunter2@db/x'}", "{ADDRESS: 'postgresql://u:hunter3@db/x'}"),
        ("{KEY: ghp_hunter200000000000000000}", "{KEY: ghp_hunter300000000000000000}"),
    ],
)
def test_no_secret_gets_into_it(place: Place, before: str, after: str) -> None:
    """Nobody should write one there, and somebody does."""
    with_env = CONFIG.replace("replicas: 3", f"replicas: 3, env: {before}")
    commit(place.root, {"mlops.yaml": with_env})
    place.base = git(place.root, "rev-parse", "HEAD").strip()
    (found,), _ = place.changes({"mlops.yaml": with_env.replace(before, after)})
    assert "hunter" not in found.diff
    assert "[redacted]" in found.diff
