"""Every flavor saves a model that a copy of its module, in a fresh process without ours, loads and asks."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_ci import flavors
from mlops_ci.flavors import tables
from mlops_ci.resources import PACKAGE
from tests.flavors.plain import Threshold, Weighted, reads_a_global
from tests.flavors.tabular import CASES, Case, X, Y, xgboost_numbers

FLAVORS = PACKAGE / "flavors"
# What each flavor's folder holds; where that is a framework that `./dev test` lacks, the test is a long one.
FILES = [
    pytest.param("sklearn", "model.joblib", id="joblib"),
    pytest.param("sklearn", "model.skops", id="skops"),
    pytest.param("xgboost", "model.ubj", id="xgboost"),
    pytest.param("onnx", "model.onnx", id="onnx"),
    pytest.param("python", "model.py", id="python"),
    pytest.param("lightgbm", "model.txt", id="lightgbm", marks=pytest.mark.full),
    pytest.param("catboost", "model.cbm", id="catboost", marks=pytest.mark.full),
    pytest.param("statsmodels", "model.pickle", id="statsmodels", marks=pytest.mark.full),
    pytest.param("prophet", "prophet.json", id="prophet", marks=pytest.mark.full),
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def saved(case: Case, tmp_path: Path) -> tuple[Any, Path]:
    """The model, and the folder that it was saved in."""
    model, folder = case.make(), tmp_path / "model"
    folder.mkdir()
    flavors.find(case.flavor).save(model, folder)
    tables.remember(folder, flavor=case.flavor, **case.options)
    return model, folder


ASK = """
import json, sys, warnings
warnings.simplefilter("error")
for start in sys.argv[2:]:
    warnings.filterwarnings("ignore", start)
sys.modules["mlops_ci"] = None
sys.dont_write_bytecode = True
from importlib import import_module
from pathlib import Path
flavor, records = import_module("flavors." + sys.argv[1]), json.load(sys.stdin)
model = flavor.load(Path("model"))
answers = flavor.predict(model, records)
if hasattr(flavor, "predict_columns") and isinstance(records[0], dict):
    import numpy as np
    def column(values):
        numbers = all(isinstance(value, (int, float, type(None))) for value in values)
        numbers = numbers and not any(isinstance(value, int) and abs(value) > 2**53 for value in values)
        return np.array(values, dtype=float if numbers else object)
    columns = {name: column([record[name] for record in records]) for name in [*records[0], *records[0]]}
    columns["not asked for"] = column(["x"] * len(records))
    assert flavor.predict_columns(model, columns, len(records)) == answers, "columns and records differ"
print(json.dumps(answers, allow_nan=False))
"""


def ask(folder: Path, flavor: str, records: list[Any], quiet: list[str] | None = None) -> Any:
    """Ask the model in *folder* as its service does: with a copy of the flavor's module, and no mlops_ci."""
    place = folder.parent / "flavors"
    place.mkdir(exist_ok=True)
    (place / "__init__.py").write_text("")
    for name in ("tables", flavor):
        shutil.copyfile(FLAVORS / f"{name}.py", place / f"{name}.py")
    done = subprocess.run(
        [sys.executable, "-c", ASK, flavor, *(quiet or [])],
        cwd=folder.parent,
        input=json.dumps(records),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def test_a_fresh_process_predicts_the_same(case, saved):
    """
    To the last digit, as JSON, one prediction for each record, from columns too, and without a warning.

    And it writes nothing: the folder is verified file by file before it is loaded, again and again.
    """
    model, folder = saved
    before = sorted(folder.rglob("*"))
    expected = case.expected(model)
    expected = expected.tolist() if hasattr(expected, "tolist") else expected
    answers = ask(folder, case.flavor, case.records, case.quiet)
    if case.exact:
        assert answers == expected
    else:
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-6)
    assert sorted(folder.rglob("*")) == before


def test_files_and_objects_are_detected(case, saved):
    """With `flavor.json` and without."""
    model, folder = saved
    assert flavors.detect(model) == case.flavor
    assert flavors.detect_files(folder) == case.flavor
    (folder / "flavor.json").unlink()
    assert flavors.detect_files(folder) == case.flavor


def test_requirements_are_pinned(case, saved):
    """Sorted, each with one version: the one that is installed here."""
    found = flavors.find(case.flavor).requirements(saved[0])
    assert found == sorted(found)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!-]*", line) for line in found)
    assert {line.partition("==")[0] for line in found} == case.packages
    assert flavors.find(case.flavor).requirements(saved[1]) == found


@pytest.mark.parametrize("name", [*flavors.PROVIDERS, "tables"])
def test_the_module_is_self_contained(name):
    """At import the standard library alone, and of the package nothing but the modules that flavors share."""
    tree = ast.parse((FLAVORS / f"{name}.py").read_text("utf-8"))
    top = {name for node in tree.body for name in imported(node)}
    everywhere = {name for node in ast.walk(tree) for name in imported(node)}
    shared = {path.stem for path in FLAVORS.glob("[a-z]*.py")} - set(flavors.PROVIDERS)
    assert top <= sys.stdlib_module_names | {"__future__"} | {f".{module}" for module in shared}
    assert "mlops_ci" not in everywhere


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    if node.level:
        return {f".{node.module}"} if node.module else {f".{alias.name}" for alias in node.names}
    return {str(node.module).partition(".")[0]}


def test_detection_imports_no_framework():
    """Or it would cost each training all of them; a folder is known by the names of its files."""
    code = """
from pathlib import Path
from mlops_ci import flavors
class Other: predict = None
for name in flavors.PROVIDERS:
    flavors.find(name).owns(Other())
    flavors.find(name).owns_files(Path("nowhere"))
print(*{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
"""
    place = f"import sys; sys.path.append({str(PACKAGE.parent)!r})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{place}\n{code}"], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {"mlops_ci", "__main__"}


@pytest.mark.parametrize(("name", "file"), FILES)
def test_an_empty_folder_is_one_sentence(name, file, tmp_path):
    """That names the file which is missing."""
    file = file.replace("skops", "joblib")
    with pytest.raises(FileNotFoundError, match=f"has no {re.escape(file)}$"):
        flavors.find(name).load(tmp_path)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_broken_file_is_one_sentence(name, file, tmp_path):
    """That names the file."""
    (tmp_path / file).write_text("this is } no model")
    with pytest.raises(ValueError, match=rf"^{re.escape(file)} cannot be loaded: \w+: .*\Z"):
        flavors.find(name).load(tmp_path)


def test_columns_are_put_in_the_order_of_training(tmp_path):
    """Records say what is what by name; one that lacks a column is named."""
    module = flavors.find("sklearn")
    model = LogisticRegression().fit(X[:, :3], Y)
    module.save(model, tmp_path)
    (tmp_path / "flavor.json").write_text('{"flavor": "sklearn", "columns": ["a", "b", "c"]}')
    loaded = module.load(tmp_path)
    records = [dict(zip("cab", row[[2, 0, 1]].tolist(), strict=True)) for row in X[:9]]
    assert module.predict(loaded, records) == model.predict(X[:9, :3]).tolist()
    del records[4]["b"]
    with pytest.raises(ValueError, match=r"^record 4 has no 'b'$"):
        module.predict(loaded, records)


@pytest.mark.parametrize(
    "value", ["4111-secret", [4111], {"4111": 1}, 10**400], ids=["text", "array", "object", "large"]
)
def test_what_was_sent_is_not_in_what_is_said(value, tmp_path):
    """The sentence goes into logs, and to whoever asked for others."""
    module = flavors.find("sklearn")
    module.save(LogisticRegression().fit(X[:, :2], Y), tmp_path)
    with pytest.raises(ValueError, match="record") as error:
        module.predict(module.load(tmp_path), [[1, 2], [1, value]])
    assert "4111" not in str(error.value)


@pytest.mark.parametrize("kind", [4111, 4111.5, 2**40, "4111"])
@pytest.mark.parametrize("dtype", ["int64", "int8"])
def test_a_category_that_training_did_not_see_is_refused_in_our_words(kind, dtype, tmp_path):
    """XGBoost says where in its own source it found that."""
    case = xgboost_numbers([0], dtype)
    module = flavors.find("xgboost")
    module.save(case.make(), tmp_path)
    tables.remember(tmp_path, **case.options)
    with pytest.raises(
        ValueError, match=r"^(column 'kind' has a|.* records: a) category (that|is none that) training"
    ) as error:
        module.predict(module.load(tmp_path), [{**case.records[0], "kind": kind}])
    assert "4111" not in str(error.value)


def test_nan_is_said_where_the_model_refuses_it(tmp_path):
    """Null becomes it, which is not what who sent it expects."""
    module = flavors.find("sklearn")
    module.save(LogisticRegression().fit(X[:, :2], Y), tmp_path)
    with pytest.raises(ValueError, match=r"^the model refuses the records: a value contains NaN, which is what null"):
        module.predict(module.load(tmp_path), [[1, None]])


def test_a_model_without_columns_wants_arrays(tmp_path):
    """An object's order means nothing."""
    module = flavors.find("sklearn")
    module.save(LogisticRegression().fit(X, Y), tmp_path)
    with pytest.raises(ValueError, match="send each record as an array"):
        module.predict(module.load(tmp_path), [{"a": 1}])


def test_names_at_training_do_not_warn_at_prediction(tmp_path):
    """Each step of a model that was trained on a data frame would, at each request."""
    module = flavors.find("sklearn")
    model = make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression()))
    model.fit(X[:, :2], Y)
    for part in (model[0], model[1], *(each.estimator for each in model[1].calibrated_classifiers_)):
        part.feature_names_in_ = np.array(["a", "b"], dtype=object)
    module.save(model, tmp_path)
    loaded = module.load(tmp_path)
    assert loaded.columns.names == ["a", "b"]
    assert not loaded.frame
    assert module.predict(loaded, [{"b": 1.0, "a": 2.0}])


def test_code_that_cannot_leave_its_process_is_refused(tmp_path):
    """Each with what to do about it."""
    module = flavors.find("python")
    with pytest.raises(ValueError, match=r"uses 'UNREADABLE', which exists only while .* runs"):
        module.save(reads_a_global, tmp_path)
    with pytest.raises(ValueError, match="is defined inside something else"):
        module.save(lambda records: records, tmp_path)
    with pytest.raises(ValueError, match="an attribute of Weighted is of a class in"):
        module.save(Weighted([Threshold("a")]), tmp_path)


def test_only_what_the_model_needs_is_taken_along(tmp_path):
    """No statement that would train again, no import that nobody uses."""
    flavors.find("python").save(Threshold("age"), tmp_path)
    source = (tmp_path / "model.py").read_text("utf-8")
    names = [getattr(node, "name", None) or ast.unparse(node) for node in ast.parse(source).body]
    assert names == [
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        "from typing import Any",
        "THRESHOLD = 0.5",
        "Threshold",
        "above",
    ]


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("def predict(records):\n    return [1 for _ in records]\n", [1, 1]),
        ("class M:\n    def predict(self, records):\n        return records\n\ndef load():\n    return M()\n", [5, 6]),
        ("def load(folder):\n    return lambda records: [folder.name for _ in records]\n", ["model", "model"]),
    ],
    ids=["predict", "load", "load(folder)"],
)
def test_a_folder_written_by_hand_is_a_model(source, answer, tmp_path):
    """`model.py` has `predict(records)`, or `load` that returns something with it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.py").write_text(source)
    assert ask(folder, "python", [5, 6]) == answer


@pytest.mark.parametrize("answer", ["records[1:]", "None", "{'a': 1}"])
def test_an_answer_of_another_length_is_refused(answer, tmp_path):
    """One prediction for each record."""
    (tmp_path / "model.py").write_text(f"def predict(records):\n    return {answer}\n")
    module = flavors.find("python")
    with pytest.raises(ValueError, match="must answer 2 records with a list as long"):
        module.predict(module.load(tmp_path), [1, 2])


def test_unknown_files_and_objects_are_one_sentence(tmp_path):
    """That names what is known."""
    with pytest.raises(ValueError, match=r"no flavor saves a builtins\.int; write a folder"):
        flavors.detect(3)
    with pytest.raises(ValueError, match=r"is not a model of a known flavor \(catboost, lightgbm, "):
        flavors.detect_files(tmp_path)
    (tmp_path / "flavor.json").write_text('{"flavor": "scikit"}')
    with pytest.raises(ValueError, match=r"there is no flavor 'scikit'; known: catboost, lightgbm, "):
        flavors.detect_files(tmp_path)
