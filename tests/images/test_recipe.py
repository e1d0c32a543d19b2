"""The recipe of an image, as text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci.errors import ConfigError
from mlops_ci.images import recipes
from mlops_ci.release import image_files
from tests.integration.served_model import sample_release

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40)
INSTRUCTIONS = {"FROM", "RUN", "ENV", "COPY", "LABEL", "WORKDIR", "EXPOSE", "USER", "CMD"}


def dockerfile(**changes: Any) -> str:
    return image_files(sample_release(**changes))["Dockerfile"]


def instructions(recipe: str) -> list[str]:
    """The lines of a Dockerfile, continued ones joined, without comments."""
    lines = [line for line in recipe.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()


@given(text=PRINTABLE)
@example('"')
@example("$(id)")
@example("\\")
@example("# x")
@example('" evil="1')
def test_hostile_values_stay_on_their_line(text: str) -> None:
    plain, lines = instructions(dockerfile()), instructions(dockerfile(model=text, version=text, source=text))
    assert {line.split()[0] for line in lines} <= INSTRUCTIONS
    assert len(lines) == len(plain)
    [labels] = [line for line in lines if line.startswith("LABEL ")]
    values = re.findall(r' ([\w.-]+)="((?:[^"\\]|\\.)*)"', labels)
    assert " ".join(f'{name}="{value}"' for name, value in values) == labels.removeprefix("LABEL ")
    assert [name for name, _ in values] == re.findall(
        r' ([\w.-]+)="', next(line for line in plain if line[:5] == "LABEL")
    )


@pytest.mark.parametrize("field", ["base_image", "platform", "source", "python"])
def test_a_line_break_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=r"Dockerfile\.j2, line \d+: "):
        dockerfile(**{field: "x\nRUN evil"})


def test_it_runs_as_a_number_and_writes_only_below_tmp() -> None:
    lines = instructions(dockerfile())
    assert "USER 10001:10001" in lines
    assert not [line for line in lines if "useradd" in line]
    environment = " ".join(line for line in lines if line.startswith("ENV "))
    assert "HOME=/tmp " in environment
    assert all(value.startswith("/tmp") for value in re.findall(r'(?:HOME|_DIR)="?([^ "]*)', environment))


def test_all_that_differs_between_versions_is_the_last_layer() -> None:
    """So that a new model on the same libraries is pulled as the model alone."""
    one = dockerfile(version="1.0.0", sha="1" * 40, model_digest="sha256:" + "1" * 64)
    two = dockerfile(version="2.0.0", sha="2" * 40, model_digest="sha256:" + "2" * 64)
    parts = [recipes.parts("\n".join(instructions(each))) for each in (one, two)]
    assert parts[0]
    assert parts[1]
    assert parts[0][0] == parts[1][0]
    assert parts[0][1] != parts[1][1]
    assert instructions(one)[-1] == "COPY . /app/service/"
    assert [line.split()[0] for line in parts[0][1].split("\n") if line] == ["LABEL", "COPY"]


def test_no_secret_is_an_argument_of_the_build() -> None:
    """An argument stays in the image's history; secrets are mounted."""
    text = dockerfile()
    assert not re.search(r"^ARG", text, re.MULTILINE)
    assert set(re.findall(r"type=secret,id=(\w+)", text)) == {"ca", "pip", "uv", "netrc"}


def test_every_package_is_installed_by_its_hash() -> None:
    lines = instructions(dockerfile())
    installs = [part for line in lines for part in re.findall(r"pip install[^&|;]*", line)]
    assert len(installs) == 2
    assert all("--require-hashes" in each and "--no-deps" in each for each in installs)
    assert "--no-build" in installs[1]


@pytest.mark.parametrize(
    ("changes", "base", "platform"),
    [
        ({}, "python:3.11-slim", ""),
        ({"python": "3.13"}, "python:3.13-slim", ""),
        ({"base_image": "corp/python@sha256:0f", "platform": "linux/arm64"}, "corp/python@sha256:0f", "linux/arm64"),
        ({"base_image": "localhost:5000/base:1"}, "localhost:5000/base:1", ""),
    ],
)
def test_base_and_platform_are_settings(changes: dict[str, Any], base: str, platform: str) -> None:
    text = dockerfile(**changes)
    option = f"--platform={platform} " if platform else ""
    found = [line for line in instructions(text) if line.startswith("FROM")]
    assert found == [f"FROM {option}{base} AS packages", f"FROM {option}{base} AS runtime", "FROM runtime"]
    assert recipes.bases(text) == [base]
    assert recipes.platform(text) == platform


@pytest.mark.parametrize(
    "recipe",
    [
        "FROM base\nCOPY . /\n",
        "FROM base AS one\nFROM base\nCOPY . /\n",
        "FROM base AS one\nCOPY mine.txt /\nFROM one\nCOPY . /\n",
        "FROM base AS zero\nFROM base AS one\nFROM one\nCOPY --from=zero /x /x\n",
        "FROM base AS one\nFROM base AS two\nFROM one\nCOPY . /\n",
    ],
)
def test_a_recipe_of_another_shape_is_not_divided(recipe: str) -> None:
    assert recipes.parts(recipe) is None


def test_labels_say_where_the_image_comes_from() -> None:
    text = dockerfile(source="https://github.com/acme/churn")
    for label in (
        'org.opencontainers.image.revision="' + "3f2a91c0" * 5,
        'org.opencontainers.image.version="1.0.0"',
        'org.opencontainers.image.source="https://github.com/acme/churn"',
        'mlops-ci.model-digest="sha256:' + "1" * 64,
    ):
        assert f" {label}" in text


def test_what_lies_beside_the_service_stays_out_of_the_image() -> None:
    left_out = image_files(sample_release())[".dockerignore"].splitlines()
    assert {"Dockerfile", ".*"} <= set(left_out)
