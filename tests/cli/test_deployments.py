"""Deploying, going back, promoting, locking, looking back: the real commands, on processes of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import records
from tests.cli.conftest import CONFIG, Workplace
from tests.cli.test_release import TRAIN_WITH_MODEL
from tests.integration.served_model import call, free_port
from tests.repositories import git

MODEL = """
import os

class Factor:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, records):
        if os.path.exists(BROKEN) and self.factor == 0.95:
            return [0.0 for record in records]
        return [record["x"] * self.factor for record in records]
"""


def targets(*ports: int, more: str = "") -> str:
    options = "kind: local, start_timeout_s: 60"
    return (
        "serving: {runtime: asgi}\ntargets:\n"
        f"  staging: {{{options}, port: {ports[0]}}}\n  live: {{{options}, port: {ports[1]}, after: staging{more}}}\n"
    )


@pytest.fixture
def place(project: Workplace) -> Iterator[Workplace]:
    """A project with the versions 1.0.0 and 1.1.0, and two targets; the model is wrong while a file is there."""
    ports = free_port(), free_port()
    model = MODEL.replace("BROKEN", repr(str(project.root.parent / "broken")))
    project.commit({"model.py": model, "train.py": TRAIN_WITH_MODEL, "mlops.yaml": CONFIG + targets(*ports)})
    for version, accuracy in (("1.0.0", 0.9), ("1.1.0", 0.95)):
        project.commit({"params.json": json.dumps({"accuracy": accuracy})})
        project.run("run")
        git(project.root, "tag", f"churn@v{version}")
        project.push("HEAD:main", f"churn@v{version}")
        project.run("register", f"churn@v{version}")
    yield project
    for name in ("staging", "live"):
        project.run("deployments", "stop", name)


def table(place: Workplace, *options: str) -> Any:
    return json.loads(place.run("deployments", "--json", *options))


def version_at(place: Workplace, target: str) -> str:
    [one] = [one for one in table(place, "--target", target) if one["serving"]]
    port = int(one["deployment"]["url"].rpartition(":")[2])
    status, answer = call(port, "/predict", {"records": [{"x": 1.0}]})
    assert status == 200
    assert answer["version"] == one["deployment"]["plan"]["version"]
    return str(answer["version"])


def test_forth_and_back(place: Workplace) -> None:
    """A preview says what is done, doing it twice changes nothing, and what was before can be put back."""
    said = place.run("deploy", "staging", "--version", "1.0.0", "--dry-run")
    assert said.startswith("churn 1.0.0 on staging: plan ")
    assert "\n+ " in said
    plan = said.splitlines()[0].rpartition(" ")[2]
    assert table(place) == []
    assert "something of it has changed" in place.run(
        "deploy", "staging", "--version", "1.1.0", "--plan", plan, expect=4
    )
    assert "churn 1.0.0 is live on staging" in place.run("deploy", "staging", "--version", "1.0.0", "--plan", plan)
    assert "was live already" in place.clone("other").run("deploy", "staging", "--version", "1.0.0")
    then = records.now()
    assert "it would be refused now" not in place.run("deploy", "staging", "--diff")
    assert "not live on staging, which comes before live" in place.run("deploy", "live", "--dry-run", expect=4)
    assert "churn 1.0.0 is live on live" in place.run("promote", "staging", "live")
    place.run("deploy", "staging")
    assert version_at(place, "staging") == "1.1.0"

    assert "churn 1.0.0 is live again on staging" in place.run("rollback", "staging", "--reason", "too slow")
    assert version_at(place, "staging") == "1.0.0"
    place.run("rollback", "staging", "--to", "v1.1.0")
    assert version_at(place, "staging") == "1.1.0"
    assert "it has had 1.1.0, 1.0.0" in place.run("rollback", "staging", "--to", "3.0.0", expect=2)
    assert "nothing else was live on live before" in place.run("rollback", "live", expect=2)

    story = [
        (one["deployment"]["cause"], one["deployment"]["reason"], one["serving"])
        for one in table(place, "--target", "staging")
    ]
    assert story == [
        ("rollback", "", True),
        ("rollback", "too slow", False),
        ("deploy", "", False),
        ("deploy", "", False),
    ]
    said = place.run("deployments", "--limit", "1")
    assert said.count("●") == 2, "what serves is always there"
    assert "3 older ones not shown: --limit" in said
    [one] = table(place, "--at", then)
    assert (one["deployment"]["plan"]["target"], one["deployment"]["plan"]["version"]) == ("staging", "1.0.0")
    assert place.run("deployments", "--at", "2020-01-01") == "nothing served then\n"
    assert "is no time" in place.run("deployments", "--at", "yesterday", expect=2)
    assert "did you mean" in place.run("deployments", "--target", "stagin", expect=2)


def test_what_fails_is_undone_and_both_are_recorded(place: Workplace) -> None:
    place.run("deploy", "staging", "--version", "1.0.0")
    broken = place.root.parent / "broken"
    broken.touch()
    said = place.run("deploy", "staging", expect=3)
    assert "churn 1.0.0 runs again" in said
    assert version_at(place, "staging") == "1.0.0"
    restored, failed, live = table(place, "--target", "staging")
    assert [one["deployment"]["status"] for one in (restored, failed, live)] == ["restored", "failed", "live"]
    assert [one["serving"] for one in (restored, failed, live)] == [False, False, True]
    assert restored["deployment"]["undoes"] == failed["record"]
    assert restored["deployment"]["smoke"]["matched"]
    assert "own example" in failed["deployment"]["reason"]
    assert "same" in place.run("deployments", "check", "staging")
    broken.unlink()
    assert "churn 1.1.0 is live" in place.run("deploy", "staging")


def test_a_locked_target_is_its_owners(place: Workplace) -> None:
    said = place.run("deployments", "lock", "staging", "--for", "2h", "--reason", "load test")
    assert "staging is locked until" in said
    other = place.clone("other")
    other = Workplace(other.root, {**other.env, "GIT_AUTHOR_NAME": "Other", "GIT_AUTHOR_EMAIL": "other@example.com"})
    for command in (("deploy", "staging"), ("rollback", "staging"), ("deployments", "stop", "staging")):
        said = other.run(*command, expect=4)
        assert "has locked staging until" in said
        assert "load test" in said
    assert "has locked staging" in other.run("deployments", "lock", "staging", "--reason", "mine", expect=4)
    assert "churn 1.1.0 is live" in place.run("deploy", "staging")
    assert [row["lock"]["reason"] for row in json.loads(other.run("deployments", "locks", "--json"))] == ["load test"]
    assert "staging is free" in other.run("deployments", "unlock", "staging", "--reason", "it is over")
    assert "is not locked" in other.run("deployments", "unlock", "staging", expect=2)
    assert other.run("deployments", "locks") == "nothing is locked\n"
    assert "is no length of time" in other.run(
        "deployments", "lock", "staging", "--for", "2y", "--reason", "x", expect=2
    )


def test_a_frozen_target_takes_rollbacks_alone(place: Workplace) -> None:
    place.run("deploy", "staging", "--version", "1.0.0")
    place.run("deploy", "staging")
    today = records.now()[:10]
    text = (place.root / "mlops.yaml").read_text()
    frozen = f", freeze: [{{from: {today}, until: {_tomorrow()}, reason: audit}}]}}\n  live"
    place.commit({"mlops.yaml": text.replace("}\n  live", frozen)})
    place.push()
    assert ": audit" in place.run("deploy", "staging", "--version", "1.0.0", expect=4)
    assert "it would be refused now: staging is frozen" in place.run(
        "deploy", "staging", "--version", "1.0.0", "--dry-run", expect=4
    )
    place.run("rollback", "staging")
    assert version_at(place, "staging") == "1.0.0"


def test_a_check_tells_what_runs_from_what_is_recorded(place: Workplace) -> None:
    assert "nothing is deployed" in place.run("deployments", "check")
    place.run("deploy", "staging", "--version", "1.0.0")
    states = {one["target"]: one["state"] for one in json.loads(place.run("deployments", "check", "--json"))}
    assert states == {"staging": "same", "live": "empty"}
    state = next(Path(place.env["MLOPS_STATE_HOME"]).rglob("process.json"))
    kept = state.read_bytes()
    state.unlink()
    assert "1.0.0 is recorded, and nothing runs" in place.run("deployments", "check", "staging", expect=1)
    state.write_bytes(kept)


def _tomorrow() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
