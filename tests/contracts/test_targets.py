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
from mlops_ci.errors import ConfigError
from mlops_ci.targets import PROVIDERS, Target
from tests.integration.served_model import sample_release

LEAST: dict[str, dict[str, Any]] = {"local": {"port": 3000}, "kubernetes": {}}
"""The least that the configuration must say of each kind."""

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
        target: Target = provider("staging", read, state=tmp_path / "state")
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
        assert isinstance(yaml.safe_load(text), dict), path
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
    found = [value for text in files.values() for value in _values(yaml.safe_load(text))]
    assert version in found
    assert model in found


def test_a_repository_replaces_one_template(open_target: Open, kind: str, tmp_path: Path) -> None:
    target = open_target()
    ours = target.render(sample_release())
    path = "process.yaml" if kind == "local" else "service.yaml"
    place = tmp_path / f"templates/targets/{kind}/{path}.j2"
    place.parent.mkdir(parents=True)
    place.write_text("mine: {{ release.model | yaml }}\n")
    theirs = target.render(sample_release(), tmp_path / "templates")
    assert theirs == {**ours, path: 'mine: "cancer"\n'}
    place.write_text("mine: {{ release.modl | yaml }}\n")
    with pytest.raises(ConfigError, match=rf"template targets/{kind}/{path}\.j2, line 1: .*modl"):
        target.render(sample_release(), tmp_path / "templates")


def test_where_nothing_was_deployed_nothing_runs(open_target: Open) -> None:
    assert open_target().status() is None
    assert open_target().remove() is False


def _values(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [found for value in node.values() for found in _values(value)]
    if isinstance(node, list):
        return [found for value in node for found in _values(value)]
    return [node]
