"""The service folder and the recipe of its image, as text."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci.entities import Signature
from mlops_ci.errors import ConfigError
from mlops_ci.release import BENTOML, image_files, service_files
from mlops_ci.resources import PACKAGE, SERVING
from tests.integration.served_model import sample_release

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40)
INSTRUCTIONS = {"FROM", "RUN", "ENV", "COPY", "LABEL", "WORKDIR", "EXPOSE", "USER", "CMD"}


def instructions(dockerfile: str) -> list[str]:
    """The lines of a Dockerfile, continued ones joined, without comments."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()


def test_the_service_folder_is_complete() -> None:
    """But for the model, which the caller adds."""
    assert set(service_files(sample_release())) == {
        *("manifest.json", "model_flavor.py", "requirements.txt", "runtime.py", "service.py"),
    }


def test_code_that_does_not_vary_is_copied_as_it_is() -> None:
    files = service_files(sample_release())
    assert files["runtime.py"] == (SERVING / "runtime.py").read_text()
    assert files["model_flavor.py"] == (PACKAGE / "flavors/sklearn.py").read_text()


def test_what_is_served_knows_nothing_of_this_package() -> None:
    """It runs where mlops-ci is not installed."""
    for text in (text for name, text in service_files(sample_release()).items() if name.endswith(".py")):
        imported = {
            name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        assert not [name for name in imported if name.partition(".")[0] == "mlops_ci"]


@given(model=PRINTABLE, alias=st.text(max_size=40), choice=st.text(max_size=20))
@example(model='"""\n', alias="a\nimport os", choice="'")
@example(model="{{ 7 }}", alias='", exec("")', choice="\\")
def test_hostile_names_stay_data_in_the_code(model: str, alias: str, choice: str) -> None:
    """The rendered module has the statements that it always has, and the names are its constants."""
    kinds = {"type": "object", "properties": {alias: {"type": "number"}, alias + "2": {"enum": [choice]}}}
    signature = Signature(inputs=kinds, outputs={"type": "number"})
    plain = ast.parse(service_files(sample_release())["service.py"])
    tree = ast.parse(service_files(sample_release(model=model, signature=signature))["service.py"])
    assert [type(node) for node in tree.body] == [type(node) for node in plain.body]
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert alias in constants
    assert choice in constants


def test_the_manifest_names_every_file_with_its_digest() -> None:
    release = sample_release(model='a"b')
    manifest = json.loads(service_files(release)["manifest.json"])
    assert manifest["model"] == 'a"b'
    assert manifest["files"] == [{"path": "model.joblib", "digest": "sha256:" + "0" * 64, "size_bytes": 895}]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["b==1", "a==2"], ["a==2", "b==1", BENTOML]),
        (["bentoml==1.4.35"], ["bentoml==1.4.35"]),
        (["bentoml-extension==1"], ["bentoml-extension==1", BENTOML]),
    ],
)
def test_requirements_are_the_models_and_the_servers(own: list[str], expected: list[str]) -> None:
    lines = service_files(sample_release(requirements=own))["requirements.txt"].splitlines()
    assert sorted(lines) == sorted(expected)


def test_a_requirement_cannot_say_where_packages_come_from() -> None:
    with pytest.raises(ConfigError, match=r"requirements\.txt\.j2, line 2: .*is not a requirement"):
        service_files(sample_release(requirements=["--index-url https://evil"]))


def test_an_unknown_flavor_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown flavor 'sklern'") as caught:
        service_files(sample_release(flavor="sklern"))
    assert "'sklearn'" in caught.value.hint


@given(text=PRINTABLE)
@example('"')
@example("$(id)")
@example("\\")
@example("# x")
def test_hostile_values_stay_on_their_line_of_the_dockerfile(text: str) -> None:
    dockerfile = image_files(sample_release(model=text, version=text, source=text))["Dockerfile"]
    lines = instructions(dockerfile)
    assert {line.split()[0] for line in lines} <= INSTRUCTIONS
    assert len(lines) == len(instructions(image_files(sample_release())["Dockerfile"]))


@pytest.mark.parametrize("field", ["base_image", "platform", "source"])
def test_a_line_break_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=r"Dockerfile\.j2, line \d+: "):
        image_files(sample_release(**{field: "x\nRUN evil"}))


def test_the_image_runs_as_nobody_and_writes_only_below_tmp() -> None:
    lines = instructions(image_files(sample_release())["Dockerfile"])
    assert "USER 10001:10001" in lines
    assert any('BENTOML_HOME="/tmp/bentoml"' in line for line in lines)
    assert all("/tmp/" in value for line in lines for value in re.findall(r'(?:HOME|_DIR)="([^"]*)"', line))


def test_the_model_is_the_last_layer() -> None:
    """So that a new model on the same libraries is pulled as the model alone."""
    assert instructions(image_files(sample_release())["Dockerfile"])[-1] == "COPY --chmod=0555 model/ ./model/"


def test_no_secret_is_an_argument_of_the_build() -> None:
    """An argument stays in the image's history; secrets are mounted."""
    text = image_files(sample_release())["Dockerfile"]
    assert not re.search(r"^ARG", text, re.MULTILINE)
    assert "--mount=type=secret" in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "FROM python:3.11-slim"),
        ({"python": "3.13"}, "FROM python:3.13-slim"),
        ({"base_image": "corp/python@sha256:0f", "platform": "linux/arm64"},
         "FROM --platform=linux/arm64 corp/python@sha256:0f"),
    ],
)  # fmt: skip
def test_base_and_platform_are_settings(changes: dict[str, Any], line: str) -> None:
    lines = instructions(image_files(sample_release(**changes))["Dockerfile"])
    assert [each for each in lines if each.startswith("FROM")] == [f"{line} AS packages", line]


def test_labels_say_where_the_image_comes_from() -> None:
    text = image_files(sample_release(source="https://github.com/acme/churn"))["Dockerfile"]
    for label in (
        'org.opencontainers.image.revision="' + "3f2a91c0" * 5,
        'org.opencontainers.image.version="1.0.0"',
        'org.opencontainers.image.source="https://github.com/acme/churn"',
        'mlops-ci.model-digest="sha256:' + "1" * 64,
    ):
        assert f"LABEL {label}" in text


def test_everything_that_the_image_copies_is_let_into_the_build() -> None:
    files = image_files(sample_release())
    allowed = {line[1:].rstrip("/") for line in files[".dockerignore"].splitlines() if line.startswith("!")}
    copies = [line.split()[1:-1] for line in instructions(files["Dockerfile"]) if line.startswith("COPY ")]
    wanted = {name.rstrip("/") for line in copies if "--from=packages" not in line for name in line if name[0] != "-"}
    assert wanted == allowed
