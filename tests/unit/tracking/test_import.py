"""`import mlops_ci` in training code: the standard library alone, in old interpreters too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_ci
from mlops_ci import tracking
from mlops_ci.resources import PACKAGE

LENT = [PACKAGE / "__init__.py", *PACKAGE.glob("tracking/*.py"), *PACKAGE.glob("flavors/*.py")]


def loaded(code: str) -> set[str]:
    show = (
        "import sys, json; before = set(sys.modules)\n"
        + code
        + "\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_package_loads_next_to_nothing():
    """Every command begins with it."""
    assert loaded("import mlops_ci") == {"mlops_ci", "__future__"}


def test_tracking_loads_the_standard_library_alone():
    """And of our own package nothing but the room."""
    new = loaded("import mlops_ci; mlops_ci.start_run")
    foreign = {name for name in new if name.partition(".")[0] not in sys.stdlib_module_names}
    rooms = {
        "mlops_ci",
        "mlops_ci.tracking",
        *(f"mlops_ci.tracking.{room}" for room in ("folder", "points", "run", "values")),
    }
    assert foreign == rooms


def test_the_package_has_the_functions_of_the_room():
    """All of them, the same objects."""
    assert mlops_ci.__all__ == tracking.__all__
    assert all(getattr(mlops_ci, name) is getattr(tracking, name) for name in mlops_ci.__all__)
    assert set(mlops_ci.__all__) <= set(dir(mlops_ci))
    with pytest.raises(AttributeError, match="log_metrik"):
        _ = mlops_ci.log_metrik


def test_each_function_has_a_method_with_the_same_arguments():
    """So that `mlops.log_x(…)` and `run.log_x(…)` mean the same."""
    trees = {room: ast.parse((PACKAGE / "tracking" / f"{room}.py").read_text("utf-8")) for room in ("__init__", "run")}
    functions = {node.name: node for node in trees["__init__"].body if isinstance(node, ast.FunctionDef)}
    run = next(node for node in trees["run"].body if isinstance(node, ast.ClassDef) and node.name == "Run")
    methods = {node.name: node for node in run.body if isinstance(node, ast.FunctionDef)}
    for name in functions.keys() & methods.keys():
        method = methods[name].args
        method.args = method.args[1:]
        assert ast.dump(functions[name].args) == ast.dump(method), name
    assert len(functions.keys() & methods.keys()) >= 14


@pytest.mark.parametrize("path", LENT, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_lent_to_training_reads_in_python_3_9(path: Path):
    """The training's interpreter is the user's."""
    ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
