"""What every target promises, asked of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops_ci import providers
from mlops_ci.errors import ConfigError, InputError, ServiceError
from mlops_ci.targets import PROVIDERS, Order, Target
from tests.integration.served_model import free_port, sample_release

LEAST: dict[str, dict[str, Any]] = {"kubernetes": {}, "local": {"port": 3000}, "uri": {"uri": "/srv/models"}}
"""The least that the configuration must say of each kind."""

HERE = ["local", "uri"]
"""The kinds that can be reached on any machine; a cluster has tests of its own."""

FILE = {"kubernetes": "service.yaml", "local": "process.yaml", "uri": "manifest.json"}
"""One of the files that each kind renders."""

PROJECT = "cancer-detection"

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80)
Open = Callable[..., Target]


@pytest.fixture(params=sorted(PROVIDERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_target(kind: str, tmp_path: Path) -> Open:
    provider = providers.load("target", PROVIDERS, kind)

    def opened(**options: Any) -> Target:
        read = msgspec.convert({**LEAST[kind], **options}, provider.Options)
        target: Target = provider("staging", read, project=PROJECT, state=tmp_path / "state")
        return target

    return opened


@pytest.fixture(params=HERE)
def reachable(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """The target as each command opens it, where it can be reached."""
    kind = str(request.param)
    options: dict[str, dict[str, Any]] = {
        "local": {"port": free_port()},
        "uri": {"uri": str(tmp_path / "published")},
    }
    provider = providers.load("target", PROVIDERS, kind)

    def opened() -> Target:
        target: Target = provider(
            "staging", provider.Options(**options[kind]), project=PROJECT, state=tmp_path / "state"
        )
        return target

    return opened


def test_an_unknown_option_is_refused(open_target: Open) -> None:
    """Or a slip of the pen would quietly be the default."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `prot`"):
        open_target(prot=1)


def test_the_same_release_renders_to_the_same_bytes(open_target: Open) -> None:
    assert open_target().render(sample_release()) == open_target().render(sample_release())


def test_a_new_version_renders_to_other_bytes(open_target: Open) -> None:
    """Or its approval could be taken for that of the one before."""
    new = sample_release(version="1.0.1", model_digest="sha256:" + "2" * 64)
    assert open_target().render(sample_release()) != open_target().render(new)


def test_what_is_rendered_has_no_problems(open_target: Open) -> None:
    target = open_target()
    checked = target.check(target.render(sample_release(image="ghcr.io/acme/cancer@sha256:" + "a" * 64)))
    assert checked.problems == []
    assert checked.valid


def test_every_file_parses_and_ends_in_a_line_break(open_target: Open) -> None:
    for path, text in open_target().render(sample_release()).items():
        documents = list(yaml.safe_load_all(text))
        assert documents, path
        assert all(isinstance(document, dict) for document in documents), path
        assert text.endswith("\n"), path


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "kind: x\n", "\x00"])
def test_a_broken_file_is_found_and_named(open_target: Open, text: str) -> None:
    """Whichever of the files it is."""
    target = open_target()
    files = target.render(sample_release())
    for path in files:
        problems = target.check({**files, path: text}).problems
        assert any(path in problem for problem in problems), path


def test_nothing_at_all_is_a_problem(open_target: Open) -> None:
    assert open_target().check({}).problems


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(version=PRINTABLE, model=PRINTABLE)
@example(version="1\"'", model="{{ 7 * 7 }}")
@example(version="1: [", model="- x # y")
@example(version="1.0.0+build", model="Ünïcode_Model.v2")
def test_hostile_names_stay_data(open_target: Open, version: str, model: str) -> None:
    """What a person called something comes back from the rendered file as it was."""
    target = open_target()
    files = target.render(sample_release(version=version, model=model, image="a/b:1"))
    assert target.check(files).problems == []
    found = [value for text in files.values() for value in _values(list(yaml.safe_load_all(text)))]
    assert version in found
    assert model in found


def test_a_repository_replaces_one_template(open_target: Open, kind: str, tmp_path: Path) -> None:
    target = open_target()
    ours = target.render(sample_release())
    path = FILE[kind]
    place = tmp_path / f"templates/targets/{kind}/{path}.j2"
    place.parent.mkdir(parents=True)
    place.write_text("mine: {{ release.model | yaml }}\n")
    theirs = target.render(sample_release(), tmp_path / "templates")
    assert theirs == {**ours, path: 'mine: "cancer"\n'}
    place.write_text("mine: {{ release.modl | yaml }}\n")
    with pytest.raises(ConfigError, match=rf"template targets/{kind}/{path}\.j2, line 1: .*modl"):
        target.render(sample_release(), tmp_path / "templates")


def test_each_kind_says_whether_it_needs_an_image(open_target: Open, kind: str) -> None:
    assert open_target().needs_image is (kind == "kubernetes")


def test_to_open_and_to_render_touches_nothing(open_target: Open, tmp_path: Path) -> None:
    open_target().render(sample_release())
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_was_deployed_nothing_runs(reachable: Open, tmp_path: Path) -> None:
    """And to ask leaves nothing behind."""
    assert reachable().status() is None
    assert reachable().remove() is False
    assert list(tmp_path.iterdir()) == []


def test_the_plan_of_what_is_not_there_is_to_create_it(reachable: Open, tmp_path: Path) -> None:
    target = reachable()
    changes = target.plan(target.render(sample_release()))
    assert changes
    assert {change.action for change in changes} == {"create"}
    assert all(change.what and not change.diff for change in changes)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_held_refuses_others_and_names_its_owner(reachable: Open) -> None:
    """Until it is given back, also by whoever failed."""
    with (
        reachable().lock("ann@example.org on build-7"),
        pytest.raises(ServiceError, match=r"ann@example\.org on build-7 is changing the target 'staging'") as caught,
        reachable().lock("bob"),
    ):
        raise AssertionError
    assert caught.value.hint
    for _ in range(2):
        with pytest.raises(KeyError), reachable().lock("bob"):
            raise KeyError


def test_a_rollback_where_nothing_was_begun_leaves_nothing(reachable: Open) -> None:
    with reachable().lock("ann"):
        reachable().rollback(None)
    assert reachable().status() is None
    assert reachable().remove() is False


def test_a_rollback_to_what_is_not_kept_says_what_to_do(reachable: Open) -> None:
    target = reachable()
    order = Order(files=target.render(sample_release()))
    with pytest.raises(ServiceError, match=r"cancer 1\.0\.0 .*is not kept") as caught:
        target.rollback(order)
    assert "deploy its version again" in caught.value.hint
    assert target.status() is None


def test_what_was_not_applied_does_not_pass(reachable: Open) -> None:
    target = reachable()
    with pytest.raises(ServiceError, match=r"nothing .* cancer 1\.0\.0"):
        target.verify(Order(files=target.render(sample_release())))


def test_an_order_of_another_kind_is_refused(reachable: Open) -> None:
    with pytest.raises(InputError, match="for staging") as caught:
        reachable().apply(Order(files={"other.yaml": "a: 1\n"}))
    assert caught.value.hint == "render it first"
    assert reachable().status() is None


def _values(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [found for value in node.values() for found in _values(value)]
    if isinstance(node, list):
        return [found for value in node for found in _values(value)]
    return [node]
