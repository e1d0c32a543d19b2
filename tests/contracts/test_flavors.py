"""Every flavor saves a model that a copy of its module, alone in a fresh process, loads and asks."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_ci import flavors
from mlops_ci.resources import PACKAGE

THRESHOLD = 0.5
UNREADABLE = open  # exists only while this module runs


@dataclass
class Threshold:
    """A model of plain Python; its state is JSON."""

    column: str
    at: float = THRESHOLD

    def predict(self, records: list[dict[str, Any]]) -> list[bool]:
        return [above(record[self.column], self.at) for record in records]


class Weighted:
    """A model of plain Python; its state is not JSON."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def predict(self, records: list[list[float]]) -> np.ndarray:
        return np.array(records) @ self.weights


def above(value: float, limit: float) -> bool:
    return value > limit


def doubled(records: list[Any]) -> list[Any]:
    """A model that is a function."""
    return [{"twice": 2 * value, "json": json.dumps(value)} for value in records]


def reads_a_global(records: list[Any]) -> list[Any]:
    """Not a model that can leave this process."""
    return [UNREADABLE for _ in records]


CANCER = load_breast_cancer()
X, Y = StandardScaler().fit_transform(CANCER.data[:200, :5]), CANCER.target[:200]
ROWS = X[:20].tolist()
TEXTS = ["good film", "bad film", "good", "bad"] * 5


@dataclass
class Case:
    """A model of *flavor*, records for it, and what it says of them in the process that trained it."""

    flavor: str
    make: Callable[[], Any]
    records: list[Any]
    expected: Callable[[Any], Any]
    options: dict[str, Any]
    packages: set[str]


SKLEARN = {"scikit-learn", "numpy", "scipy", "joblib"}


def sklearn_case(model: Any, *, method: str = "predict", x: Any = X, y: Any = Y, rows: Any = ROWS) -> Case:
    return Case(
        flavor="sklearn",
        make=lambda: model.fit(x, y),
        records=rows,
        expected=lambda fitted: getattr(fitted, method)(rows),
        options={"method": method},
        packages=SKLEARN,
    )


def python_case(model: Any, records: list[Any], packages: set[str]) -> Case:
    predict = getattr(model, "predict", model)
    return Case("python", lambda: model, records, lambda _: predict(records), {}, packages)


CASES = {
    "pipeline": sklearn_case(make_pipeline(StandardScaler(), LogisticRegression())),
    "forest": sklearn_case(RandomForestClassifier(10, random_state=0), method="predict_proba"),
    "regressor": sklearn_case(HistGradientBoostingRegressor(max_iter=5)),
    "calibrated": sklearn_case(CalibratedClassifierCV(LogisticRegression()), method="predict_proba"),
    "outputs": sklearn_case(MultiOutputClassifier(RandomForestClassifier(3, random_state=0)), y=np.c_[Y, 1 - Y]),
    "text": sklearn_case(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), x=TEXTS, y=["+", "-"] * 10, rows=["good", "bad"]
    ),
    "object": python_case(Threshold("age", 30.5), [{"age": 12.5}, {"age": 61}], set()),
    "pickled": python_case(Weighted(np.array([0.5, 2.0])), [[1.0, 2.0], [3.0, 4.0]], {"numpy"}),
    "function": python_case(doubled, [1, 2.5], set()),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def saved(case: Case, tmp_path: Path) -> tuple[Any, Path]:
    """The model, and the folder that it was saved in."""
    model, folder = case.make(), tmp_path / "model"
    folder.mkdir()
    flavors.find(case.flavor).save(model, folder)
    (folder / "flavor.json").write_text(json.dumps({"flavor": case.flavor, **case.options}))
    return model, folder


ASK = """
import json, sys, warnings
warnings.simplefilter("error")
sys.modules["mlops_ci"] = None
sys.dont_write_bytecode = True
import model_flavor
from pathlib import Path
answers = model_flavor.predict(model_flavor.load(Path("model")), json.load(sys.stdin))
print(json.dumps(answers, allow_nan=False))
"""


def ask(folder: Path, flavor: str, records: list[Any]) -> Any:
    """Ask the model in *folder* as its service does: with a copy of the flavor's module, and no mlops_ci."""
    shutil.copyfile(PACKAGE / "flavors" / f"{flavor}.py", folder.parent / "model_flavor.py")
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=folder.parent,
        input=json.dumps(records),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def test_a_fresh_process_predicts_the_same(case, saved):
    """To the last digit, as JSON, one prediction for each record, and without a warning."""
    model, folder = saved
    expected = case.expected(model)
    expected = expected.tolist() if hasattr(expected, "tolist") else expected
    assert ask(folder, case.flavor, case.records) == expected


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


def test_loading_writes_nothing(case, saved):
    """The folder is verified file by file before it is loaded, again and again."""
    folder = saved[1]
    before = sorted(folder.rglob("*"))
    ask(folder, case.flavor, case.records)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", flavors.PROVIDERS)
def test_the_module_is_self_contained(name):
    """At import the standard library alone, and nothing of the package anywhere."""
    tree = ast.parse((PACKAGE / "flavors" / f"{name}.py").read_text("utf-8"))
    top = {name for node in tree.body for name in imported(node)}
    everywhere = {name for node in ast.walk(tree) for name in imported(node)}
    assert top <= sys.stdlib_module_names | {"__future__"}
    assert "mlops_ci" not in everywhere


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {str(node.module).partition(".")[0]} if isinstance(node, ast.ImportFrom) else set()


@pytest.mark.parametrize("name", flavors.PROVIDERS)
def test_an_empty_folder_is_one_sentence(name, tmp_path):
    """That names the file which is missing."""
    with pytest.raises(FileNotFoundError, match=r"has no model\.(joblib|py)$"):
        flavors.find(name).load(tmp_path)


@pytest.mark.parametrize("name", flavors.PROVIDERS)
def test_a_broken_file_is_one_sentence(name, tmp_path):
    """That names the file."""
    for file in ("model.joblib", "model.py"):
        (tmp_path / file).write_text("this is } no model")
    with pytest.raises(ValueError, match=r"model\.(joblib|py) cannot be loaded: \w+: "):
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
    assert loaded.columns == ["a", "b"]
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
    with pytest.raises(ValueError, match=r"is not a model of a known flavor \(python, sklearn\)"):
        flavors.detect_files(tmp_path)
    (tmp_path / "flavor.json").write_text('{"flavor": "scikit"}')
    with pytest.raises(ValueError, match=r"there is no flavor 'scikit'; known: python, sklearn"):
        flavors.detect_files(tmp_path)
