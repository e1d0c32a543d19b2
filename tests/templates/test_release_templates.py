"""The service folder, as text."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci import flavors
from mlops_ci.entities import Signature
from mlops_ci.errors import ConfigError
from mlops_ci.release import service_files
from mlops_ci.resources import PACKAGE, SERVING
from tests.integration.served_model import sample_release

PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40)


def test_the_service_folder_is_complete() -> None:
    """But for the model, which the caller adds."""
    files = set(service_files(sample_release()))
    assert files == {
        *("bentofile.yaml", "manifest.json", "requirements.txt", "service.py"),
        *("flavors/__init__.py", "flavors/sklearn.py", "flavors/tables.py"),
        *(f"serving/{path.name}" for path in SERVING.glob("*.py")),
    }
    assert set(service_files(sample_release(runtime="asgi"))) == files - {"bentofile.yaml"}


def test_code_that_does_not_vary_is_copied_as_it_is() -> None:
    files = service_files(sample_release())
    assert files["serving/app.py"] == (SERVING / "app.py").read_text()
    assert files["flavors/sklearn.py"] == (PACKAGE / "flavors/sklearn.py").read_text()


@pytest.mark.parametrize("flavor", flavors.PROVIDERS)
def test_a_flavor_brings_what_it_imports_from_beside_it(flavor: str) -> None:
    files = service_files(sample_release(flavor=flavor))
    wanted = {
        module
        for name, text in files.items()
        if name.startswith("flavors/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.level
        for module in ([node.module] if node.module else [alias.name for alias in node.names])
    }
    assert {f"flavors/{module}.py" for module in wanted} | {f"flavors/{flavor}.py"} <= files.keys()


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
    ("changes", "names", "not_names"),
    [
        ({}, {"bentoml", "uvicorn", "orjson"}, {"pyarrow", "grpcio", "opentelemetry-sdk"}),
        ({"runtime": "asgi"}, {"uvicorn", "orjson"}, {"bentoml"}),
        ({"formats": ("json", "parquet")}, {"pyarrow"}, set()),
        ({"settings": {"grpc_port": 8081, "tracing": True}}, {"grpcio", "protobuf", "opentelemetry-sdk"}, set()),
    ],
)
def test_requirements_are_those_of_what_is_asked_for(
    changes: dict[str, Any], names: set[str], not_names: set[str]
) -> None:
    lines = service_files(sample_release(requirements=["a==2"], **changes))["requirements.txt"].splitlines()
    assert all("==" in line for line in lines)
    found = {line.partition("==")[0] for line in lines}
    assert names | {"a"} <= found
    assert not not_names & found


def test_the_models_own_line_wins() -> None:
    """It may need another version of what the server needs, too."""
    own = ["BentoML==1.4.35", "prometheus_client==0.20.0", "bentoml-extension==1"]
    lines = service_files(sample_release(requirements=own))["requirements.txt"].splitlines()
    assert set(own) <= set(lines)
    assert not [line for line in lines if line.startswith(("bentoml==", "prometheus-client=="))]


def test_a_requirement_cannot_say_where_packages_come_from() -> None:
    with pytest.raises(ConfigError, match=r"requirements\.txt\.j2, line 2: .*is not a requirement"):
        service_files(sample_release(requirements=["--index-url https://evil"]))


def test_an_unknown_flavor_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown flavor 'sklern'") as caught:
        service_files(sample_release(flavor="sklern"))
    assert "'sklearn'" in caught.value.hint
