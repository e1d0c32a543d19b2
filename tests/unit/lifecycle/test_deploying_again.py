"""What is looked at again when the target is held, and what is left alone where nobody knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_ci import records, targets
from mlops_ci.errors import AwaitsApproval, Refused, ServiceError
from mlops_ci.lifecycle.approvals.approval_requests import requests
from mlops_ci.lifecycle.deploying.deploy import deploy, stop
from mlops_ci.lifecycle.deployments import deployments
from mlops_ci.targets import Order, Tell, nothing_to_say
from mlops_ci.targets.uri import UriTarget
from tests.unit.lifecycle.scenes import CONFIG, Scene


class Held(UriTarget):
    """An address whose lock somebody else has for a while; *meanwhile* happens until they let go."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        type(self).meanwhile()
        with super().lock(owner):
            yield


class Leaves(UriTarget):
    """An address that takes a while to be taken away; *meanwhile* happens until it is."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def remove(self) -> bool:
        removed = super().remove()
        type(self).meanwhile()
        return removed


class Breaks(UriTarget):
    """An address at which nothing becomes ready."""

    def wait(self, order: Order, tell: Tell = nothing_to_say) -> str:
        del order, tell
        raise ServiceError("it does not become ready")


@pytest.fixture
def held(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Held]]:
    scene.deploy("1.0.0")
    monkeypatch.setitem(targets.PROVIDERS, "uri", f"{__name__}:Held")
    yield Held
    Held.meanwhile = staticmethod(lambda: None)


def ruled(tmp_path: Path, old: str, new: str) -> dict[str, str]:
    assert old in CONFIG
    return {"mlops.yaml": CONFIG.replace(old, new).replace("PLACE", str(tmp_path / "place"))}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("approval: {required: 1}", "approval: {required: 2}"),
        ("approval: {required: 1}", "approval: {required: 1}, freeze: [{days: [sat, sun], timezone: UTC}]"),
        ("approval: {required: 1}", "approval: {required: 1}, after: staging"),
        ("  production: {kind: uri, uri: PLACE, approval: {required: 1}}\n", ""),
        ("churn}", "churn, workers: 3}"),
    ],
)
def test_rules_that_changed_while_the_target_was_waited_for_are_not_passed_by(
    scene: Scene, held: type[Held], tmp_path: Path, old: str, new: str
) -> None:
    held.meanwhile = staticmethod(lambda: scene.rule(ruled(tmp_path, old, new)))
    with pytest.raises(Refused, match="the rules of main have changed since this was planned"):
        scene.deploy("1.1.0")
    assert scene.published["version"] == "1.0.0"


def test_templates_that_changed_meanwhile_are_not_passed_by(scene: Scene, held: type[Held]) -> None:
    held.meanwhile = staticmethod(lambda: scene.rule({".mlops/templates/service/README.md.j2": "other words\n"}))
    with pytest.raises(Refused, match="the rules of main have changed"):
        scene.deploy("1.1.0")


def test_going_back_goes_by_the_rules_of_the_moment(scene: Scene, held: type[Held], tmp_path: Path) -> None:
    scene.deploy("1.1.0")
    held.meanwhile = staticmethod(lambda: scene.rule(ruled(tmp_path, "required: 1", "required: 2")))
    with pytest.raises(Refused, match="the rules of main have changed"):
        scene.roll_back()


def test_a_key_that_was_taken_away_meanwhile_does_not_count(scene: Scene, held: type[Held]) -> None:
    held.meanwhile = staticmethod(lambda: scene.rule({".mlops/allowed_signers": "# nobody\n"}))
    with pytest.raises(Refused, match="needs 1 approval and has 0 of 1"):
        scene.deploy("1.1.0")
    assert scene.published["version"] == "1.0.0"


def test_another_change_of_the_default_branch_holds_nothing_up(scene: Scene, held: type[Held]) -> None:
    held.meanwhile = staticmethod(lambda: scene.rule({"README.md": "hello"}))
    assert scene.deploy("1.1.0").deployment.plan.version == "1.1.0"


def test_a_comment_in_the_second_of_the_request_counts(scene: Scene) -> None:
    """GitHub tells whole seconds, so that the answer may seem older than the question."""
    with pytest.raises(AwaitsApproval):
        deploy(scene.project, "production", into=scene.folder())
    (asked,) = requests(scene.project)
    second = asked.opens.replace(microsecond=0)
    assert asked.was_open_at(second)
    assert not asked.was_open_at(second - timedelta(seconds=1))
    assert asked.was_open_at(asked.expires - timedelta(seconds=1))
    assert not asked.was_open_at(asked.expires)


def test_stopping_goes_by_the_default_branch(scene: Scene, tmp_path: Path) -> None:
    """A work tree that says the target is elsewhere does not make a command stop what is there."""
    scene.deploy("1.0.0")
    (scene.root / "mlops.yaml").write_text(CONFIG.replace("PLACE", str(tmp_path / "elsewhere")))
    assert stop(scene.project, "production")
    assert not (tmp_path / "place" / "current.json").exists()


def test_stopping_says_nothing_of_what_was_deployed_meanwhile(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.deploy("1.0.0")
    made = scene.last()
    other = records.replace(made, plan=records.replace(made.plan, version="1.1.0"), previous="", started=records.now())
    monkeypatch.setitem(targets.PROVIDERS, "uri", f"{__name__}:Leaves")
    monkeypatch.setattr(Leaves, "meanwhile", staticmethod(lambda: scene.push(other)))
    assert stop(scene.project, "production")
    assert (scene.last().plan.version, scene.last().status) == ("1.1.0", "live")


def test_what_nobody_recorded_is_not_taken_away_when_the_first_deployment_fails(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.deploy("1.0.0", "staging")
    apart = f"uri: PLACE-staging, store: 'sqlite:///{tmp_path / 'new.db'}'"
    scene.rule(ruled(tmp_path, "uri: PLACE-staging", apart))
    monkeypatch.setitem(targets.PROVIDERS, "uri", f"{__name__}:Breaks")
    with pytest.raises(ServiceError) as failed:
        scene.deploy("1.1.0", "staging")
    assert "churn 1.0.0 was there before, and nothing is recorded to serve" in str(failed.value)
    assert (tmp_path / "place-staging" / "current.json").exists()
    assert [record.body["status"] for record in deployments(scene.project, "staging")] == ["failed"]
