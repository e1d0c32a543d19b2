"""`log_model(convert="onnx")`: the ONNX model where it predicts the same, the native one and a reason where not."""

from __future__ import annotations

import json
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlops_ci as mlops
from mlops_ci import flavors
from mlops_ci.capture import events
from mlops_ci.tracking import convert
from tests.flavors.tabular import CANCER, IRIS, WORDS

X = pd.DataFrame(CANCER.data[:200, :5], columns=["mean radius", "b", "c", "d", "e"])
Y = CANCER.target[:200]
TOWNS = pd.DataFrame({"town": ["Ulm", "Bonn", "Köln", "Ulm"] * 10, "the size": np.arange(40.0) ** 0.5})
IN_TOWN = np.array(["in", "out", "out", "in"] * 10)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / "model" / name).read_text("utf-8"))


def log(model: Any, example: Any, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")  # LightGBM says it of arrays
        with mlops.start_run() as run:
            run.log_model(model, input_example=example, convert="onnx", **options)


def towns() -> Any:
    columns = ColumnTransformer([("t", OneHotEncoder(), ["town"]), ("n", StandardScaler(), ["the size"])])
    return make_pipeline(columns, LogisticRegression()).fit(TOWNS, IN_TOWN)


def of(module: str, name: str, **options: Any) -> Any:
    return getattr(import_module(module), name)(**options)


def linear(y: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)


SIX = {"n_estimators": 6}
QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "iterations": 6}
MODELS = {
    "words": (lambda: linear(WORDS), X, "predict"),
    "truth": (lambda: linear(Y.astype(bool)), X, "predict"),
    "floats": (lambda: linear(Y.astype(float)), X, "predict"),
    "probabilities": (lambda: linear(WORDS), X, "predict_proba"),
    "arrays": (lambda: LogisticRegression(max_iter=999).fit(IRIS.data, IRIS.target), IRIS.data, "predict_proba"),
    "columns": (towns, TOWNS, "predict_proba"),
    "regressor": (lambda: LinearRegression().fit(X, X["c"] * 2 + X["b"]), X, "predict"),
    "forest": (lambda: RandomForestRegressor(9, random_state=0).fit(X, X["c"] * 2 + X["b"]), X, "predict"),
    "xgboost": (lambda: of("xgboost", "XGBClassifier", **SIX).fit(X, Y), X, "predict_proba"),
    "xgboost-labels": (
        lambda: of("xgboost", "XGBClassifier", **SIX).fit(IRIS.data, IRIS.target),
        IRIS.data,
        "predict",
    ),
    "xgboost-regressor": (lambda: of("xgboost", "XGBRegressor", **SIX).fit(X, X["b"]), X, "predict"),
}
MORE = {
    "lightgbm": (lambda: of("lightgbm", "LGBMClassifier", verbose=-1, **SIX).fit(X, WORDS), X, "predict"),
    "lightgbm-probabilities": (
        lambda: of("lightgbm", "LGBMClassifier", verbose=-1, **SIX).fit(X, WORDS),
        X,
        "predict_proba",
    ),
    "lightgbm-regressor": (lambda: of("lightgbm", "LGBMRegressor", verbose=-1, **SIX).fit(X, X["b"]), X, "predict"),
    "catboost": (lambda: of("catboost", "CatBoostClassifier", **QUIET).fit(X, WORDS), X, "predict"),
    "catboost-probabilities": (
        lambda: of("catboost", "CatBoostClassifier", **QUIET).fit(X, WORDS),
        X,
        "predict_proba",
    ),
}


@pytest.mark.parametrize(
    ("make", "example", "method"),
    [
        *(pytest.param(*case, id=name) for name, case in MODELS.items()),
        *(pytest.param(*case, id=name, marks=pytest.mark.full) for name, case in MORE.items()),
    ],
)
def test_the_onnx_model_says_what_the_native_one_says(make, example, method, folder):
    """Labels as they were called, probabilities in their order; what was compared is remembered, and told."""
    model = make()
    log(model, example, method=method)
    facts = content(folder, "flavor.json")
    assert facts["flavor"] == "onnx"
    assert facts["converted_from"] == flavors.detect(model)
    assert facts["compared_rows"] >= 2 * len(example)
    assert facts["largest_difference"] <= convert.TOLERANCE
    module = flavors.find("onnx")
    records = example.to_dict("records") if hasattr(example, "to_dict") else example.tolist()
    answers = module.predict(module.load(folder / "model"), records)
    expected = np.asarray(getattr(model, method)(example))
    expected = expected[:, 0] if expected.shape[1:] == (1,) else expected
    if method == "predict" and facts["largest_difference"] == 0.0:
        assert json.dumps(answers) == json.dumps(expected.tolist())
    else:
        np.testing.assert_allclose(answers, expected, rtol=1e-5, atol=1e-5)
    kept = {path.name for path in (folder / "model").iterdir()}
    assert kept == {"model.onnx", "flavor.json", "requirements.txt", "signature.json", "input_example.json"}
    assert {line.partition("==")[0] for line in (folder / "model/requirements.txt").read_text().splitlines()} == {
        "numpy",
        "onnxruntime",
    }
    found = events.read(folder)
    assert found.tags["model.conversion"].startswith(f"converted from {facts['converted_from']} to ONNX; of ")
    assert not found.warnings


class Steps(ClassifierMixin, BaseEstimator):
    """A classifier that no converter knows."""

    def fit(self, _x: Any, _y: Any) -> Steps:
        return self

    def predict(self, x: Any) -> Any:
        return np.asarray(x)[:, 0] > 1


@pytest.mark.filterwarnings("ignore:log_model. the model can be loaded only where")
def test_what_cannot_be_converted_stays_as_it_was(folder):
    """With the reason, as a warning of the run."""
    with pytest.warns(mlops.TrackingWarning, match="not converted to ONNX: double: MissingShapeCalculator"):
        log(Steps().fit(X, Y), X)
    assert content(folder, "flavor.json")["flavor"] == "sklearn"
    assert content(folder, "input_example.json")["predictions"]
    assert "model.conversion" not in events.read(folder).tags
    assert not list((folder / "tmp").iterdir())


def boosted(x: Any, y: Any) -> Any:
    """What skl2onnx converts in single precision alone, after a difference that needs double precision."""
    return make_pipeline(StandardScaler(with_std=False), GradientBoostingClassifier(random_state=0)).fit(x, y)


def test_a_conversion_that_is_not_exact_is_refused_with_the_number(folder):
    """In single precision a billion and one is a billion."""
    x = 1e9 + np.arange(300.0)[:, None]
    with pytest.warns(mlops.TrackingWarning, match="not converted to ONNX") as caught:
        log(boosted(x, np.arange(300) % 2), x, method="predict_proba")
    sentence = str(caught[0].message)
    assert re.search(r"single: of 600 predictions one differs by 0\.\d relative \(0\.\d+, by ONNX 0\.\d+\)", sentence)
    assert sentence.endswith("where 1e-05 is allowed")
    assert content(folder, "flavor.json")["flavor"] == "sklearn"


@pytest.mark.usefixtures("folder")
def test_rows_beside_the_example_are_compared_too():
    """Here those of the example are exact in single precision, and what lies between them is not."""
    x = 2.0**30 + 128.0 * np.arange(-100, 101)[:, None]
    with pytest.warns(mlops.TrackingWarning, match="not converted to ONNX") as caught:
        log(boosted(x, np.arange(201) % 2), x)
    found = re.search(r"single: prediction (\d+) is [01], by ONNX [01]$", str(caught[0].message))
    assert found
    assert int(found[1]) >= len(x)


@pytest.mark.parametrize(
    ("model", "example", "reason"),
    [
        (lambda: LinearRegression().fit(X, Y), None, "there is no input example to compare the predictions on"),
        (lambda: str, [1], "no flavor saves"),
    ],
    ids=["no example", "no flavor"],
)
@pytest.mark.usefixtures("folder")
def test_without_what_it_needs_there_is_no_conversion(model, example, reason):
    """In a sentence."""
    with pytest.warns(mlops.TrackingWarning, match=reason):
        log(model(), example)


def test_a_flavor_without_conversion_says_so(folder):
    """Plain Python is nothing that ONNX knows; ONNX is converted already."""
    (folder.parent / "scorer").mkdir()
    (folder.parent / "scorer/model.py").write_text("def predict(records):\n    return records\n")
    model = linear(Y)
    with mlops.start_run() as run:
        with pytest.warns(mlops.TrackingWarning, match="there is no conversion from python to ONNX"):
            run.log_model(folder.parent / "scorer", input_example=[1], convert="onnx")
        assert content(folder, "flavor.json")["flavor"] == "python"
        run.log_model(model, input_example=X, convert="onnx")
        (folder.parent / "mine.onnx").write_bytes((folder / "model/model.onnx").read_bytes())
        run.log_model(folder.parent / "mine.onnx", input_example=X, convert="onnx")
    assert "converted_from" not in content(folder, "flavor.json")
    assert content(folder, "input_example.json")["predictions"] == model.predict(X)[:5].tolist()


def test_the_environment_may_ask_for_it(folder, monkeypatch):
    """As `mlops-ci run --convert` does; code that says otherwise is heard."""
    monkeypatch.setenv("MLOPS_CONVERT", "onnx")
    with mlops.start_run() as run:
        run.log_model(linear(Y), input_example=X)
        assert content(folder, "flavor.json")["flavor"] == "onnx"
        run.log_model(linear(Y), input_example=X, convert="")
        assert content(folder, "flavor.json")["flavor"] == "sklearn"
        with pytest.warns(mlops.TrackingWarning, match="there is no conversion to 'tflite'; known: onnx"):
            run.log_model(linear(Y), input_example=X, convert="tflite")


def test_records_that_are_changed_keep_their_kind():
    """Whole numbers stay whole and within bounds, text and nulls are those of the example."""
    records = [{"n": index, "x": index / 3, "t": "ab"[index % 2], "v": None, "b": True} for index in range(50)]
    changed = convert._changed(records, 0.1)
    assert len(changed) == 100
    assert all(type(row["n"]) is int and 0 <= row["n"] < 50 and row["v"] is None for row in changed)
    assert {row["t"] for row in changed} == {"a", "b"}
    assert all(row["b"] is True for row in changed)
    assert len({row["x"] for row in changed} - {row["x"] for row in records}) == 100
    assert changed == convert._changed(records, 0.1)


def test_a_model_that_knows_the_values_of_training_alone_is_compared_on_those(folder):
    """A number that is a category cannot be moved."""
    x = pd.DataFrame({"kind": [1.0, 2.0, 4.0] * 40, "size": np.arange(120.0) ** 0.5})
    columns = ColumnTransformer(
        [("k", OneHotEncoder(handle_unknown="error"), ["kind"]), ("s", "passthrough", ["size"])]
    )
    log(make_pipeline(columns, LinearRegression()).fit(x, x["kind"] * x["size"]), x)
    assert content(folder, "flavor.json")["compared_rows"] == 240


def test_documents_are_compared_as_they_are(folder):
    """They cannot be moved; what hashes them has no conversion."""
    texts = ["good film", "bad film"] * 10
    with pytest.warns(mlops.TrackingWarning, match="not converted to ONNX"):
        log(make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()).fit(texts, [1, 0] * 10), texts)
    assert content(folder, "input_example.json")["predictions"] == [1, 0, 1, 0, 1]
