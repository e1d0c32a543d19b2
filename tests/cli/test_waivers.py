"""Waivers through the real command: who may waive, for how long, and how a wrong file is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli.conftest import CONFIG, Workplace
from tests.repositories import git

WAIVERS = ".mlops/waivers.yaml"


@cache
def day(days: int) -> str:
    """The day in so many days, in UTC: the same for a test that runs over midnight."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def row(*, metric: str = "accuracy", ceiling: float = 0.7, expires: str = "") -> str:
    return (
        f"  - metric: {metric}\n    ceiling: {ceiling}\n    owner: octo-lead\n    reason: little data yet\n"
        f"    issue: https://github.com/octocat/churn/issues/12\n    expires: {expires or day(100)}\n"
    )


def on_main(project: Workplace, *rows: str) -> None:
    """Push waivers to main, and begin a change whose accuracy is 0.75, where 0.8 is required."""
    text = "waivers:\n" + "".join(rows) if rows else "waivers: []\n"
    project.commit({WAIVERS: text, "mlops.yaml": CONFIG.replace("    max_drop: 0.01\n", "")})
    project.push()
    git(project.root, "fetch", "--quiet", "origin")
    project.commit({"params.json": '{"accuracy": 0.75}'}, branch="change")


def gate(project: Workplace, *, expect: int = 0) -> dict[str, Any]:
    project.run("run")
    said = project.run("gate", "--base", "origin/main", "--json", expect=expect)
    found: dict[str, Any] = json.loads(said)
    return found


def test_a_waiver_on_the_base_lets_its_failure_pass(project: Workplace) -> None:
    on_main(project, row())
    found = gate(project)
    [minimum] = found["results"]
    assert (found["verdict"], minimum["verdict"], minimum["waiver"]["owner"]) == ("pass", "fail", "octo-lead")
    assert minimum["line"] == 5


def test_a_waiver_that_the_change_brings_or_widens_does_not_count(project: Workplace) -> None:
    on_main(project, row(ceiling=0.78))
    project.commit({WAIVERS: f"waivers:\n{row(ceiling=0.1)}"})
    found = gate(project, expect=1)
    assert found["policy"]["changed_here"] == ["waivers"]
    assert [edit["name"] for edit in found["policy"]["edits"]] == ["waivers[accuracy].ceiling"]
    assert "beyond the 0.78 that is waived until" in found["results"][0]["reason"]


def test_an_expired_waiver_fails_and_says_whose_it_was(project: Workplace) -> None:
    on_main(project, row(expires=day(-2)))
    found = gate(project, expect=1)
    assert f"the waiver of octo-lead ended on {day(-2)}" in found["results"][0]["reason"]


def test_a_release_is_waived_by_the_default_branch(project: Workplace) -> None:
    script = (project.root / "train.py").read_text() + "    run.log_model('model.py')\n"
    project.commit({"train.py": script, "model.py": "def predict(rows):\n    return rows\n"})
    on_main(project)
    git(project.root, "switch", "--quiet", "-C", "main")
    project.push()
    project.commit({WAIVERS: f"waivers:\n{row()}"})
    project.run("run")
    git(project.root, "tag", "churn@v1.0.0")
    assert "at least 0.8 is required" in project.run("register", "churn@v1.0.0", expect=4)
    project.push()
    assert "1.0.0" in project.run("register", "churn@v1.0.0")


def test_on_a_laptop_the_file_counts_as_it_is(project: Workplace) -> None:
    project.commit({"params.json": '{"accuracy": 0.75}', WAIVERS: f"waivers:\n{row()}"})
    project.run("run")
    project.run("gate")
    project.commit({WAIVERS: "waivers: []\n"})
    project.run("run")
    project.run("gate", expect=1)


def test_a_nan_is_not_waived(project: Workplace) -> None:
    on_main(project, row(ceiling=-1e300))
    project.commit({"params.json": '{"accuracy": NaN}'})
    assert gate(project, expect=1)["results"][0]["waiver"] is None


def test_config_check_reads_the_waivers_too(project: Workplace) -> None:
    assert "1 gate, 0 targets, 0 waivers, nothing is wrong" in project.run("config", "check")
    project.commit(
        {WAIVERS: f"waivers:\n{row()}{row(metric='acuracy', expires=day(10))}{row(metric='a', expires=day(500))}"}
    )
    said = project.run("config", "check")
    assert "3 waivers, nothing is wrong" in said
    assert "The waiver of acuracy names a metric that no gate has" in said
    assert "The waiver of acuracy ends in" in said
    assert "octo-lead owns it; see https://github.com/octocat/churn/issues/12" in said
    assert "which is more than a year away" in said


def test_everything_that_is_wrong_with_the_waivers_is_said_at_once(project: Workplace) -> None:
    text = f"waivers:\n{row()}{row()}".replace("owner: octo-lead\n", "ownr: octo-lead\n", 1)
    project.commit({WAIVERS: text.replace(day(100), "soon", 1)})
    said = project.run("config", "check", expect=2)
    assert ".mlops/waivers.yaml:4: waivers[0].ownr: unknown key; did you mean 'owner'?" in said
    assert '.mlops/waivers.yaml:7: waivers[0].expires: found "soon"; allowed: a day such as 2026-12-31' in said
    assert ".mlops/waivers.yaml:8: waivers[1].metric: accuracy is waived twice, first on line 2" in said
    project.run("run")
    assert "did you mean 'owner'" in project.run("gate", expect=2)


@pytest.mark.parametrize(
    "text",
    ["", "[", "\x00", "waivers: &a [*a]", "x" * 2_000_000, "- " * 5_000],
    ids=["empty", "cut", "nul", "circle", "long", "deep"],  # a test's name is in the environment of what it starts
)
def test_nonsense_in_the_file_is_one_sentence(project: Workplace, text: str) -> None:
    (project.root / ".mlops").mkdir()
    (project.root / WAIVERS).write_text(text)
    assert ".mlops/waivers.yaml" in project.run("config", "check", expect=2)


def test_the_schema_for_editors_knows_a_row(project: Workplace) -> None:
    schema = json.loads(project.run("config", "schema", "--waivers"))
    found = yaml.load(f"waivers:\n{row()}", yaml.CSafeLoader)
    found["waivers"][0]["expires"] = str(found["waivers"][0]["expires"])
    jsonschema.validate(found, schema)
    found["waivers"][0].pop("owner")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema)
