"""
A model of each tabular flavor, and of plain Python: what `tests/contracts/test_flavors.py` asks of every one.

A framework is imported when its model is made, so that a run without it can leave it out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tests.flavors.plain import Threshold, Weighted, doubled

CANCER = load_breast_cancer()
X, Y = StandardScaler().fit_transform(CANCER.data[:200, :5]), CANCER.target[:200]
ROWS = X[:20].tolist()
NAMES = ["mean radius", "b", "c", "d", "e"]
FRAME = pd.DataFrame(X, columns=NAMES)
RECORDS = FRAME[:20][NAMES[::-1]].to_dict("records")
IRIS = load_iris()
TEXTS = ["good film", "bad film", "good", "bad"] * 5
TOWNS = pd.DataFrame({"town": pd.Categorical(["Ulm", "Bonn", "Köln", "Ulm"] * 10), "size": np.arange(40.0)})
IN_TOWN = np.array([0, 1, 1, 0] * 10)
SOME = [{"size": 3.0, "town": "Köln"}, {"size": 7.0, "town": "Ulm"}]
PLAIN_TOWNS = TOWNS.astype({"town": object})
SIX = {"n_estimators": 6}


@dataclass
class Case:
    """
    A model of *flavor*, records for it, and what it says of them in the process that trained it.

    Attributes:
        options: For `flavor.json`, as `log_model` writes it.
        packages: What the requirements name.
        exact: Whether to the last digit.
        quiet: How the warnings begin that its library gives about itself.
    """

    flavor: str
    make: Callable[[], Any]
    records: list[Any]
    expected: Callable[[Any], Any]
    options: dict[str, Any]
    packages: set[str]
    exact: bool = True
    quiet: list[str] = field(default_factory=list)


SKLEARN = {"scikit-learn", "numpy", "scipy", "joblib"}
SAFE = SKLEARN | {"skops"}
XGBOOST = {"xgboost-cpu", "numpy", "scipy"}
LIGHTGBM = {"lightgbm", "numpy", "scipy"}
STATSMODELS = {"statsmodels", "numpy", "pandas", "scipy"}
PROBA = {"method": "predict_proba"}


def sklearn_case(
    model: Any, packages: set[str], *, method: str = "predict", x: Any = X, y: Any = Y, rows: Any = ROWS
) -> Case:
    def expected(fitted: Any) -> Any:
        return getattr(fitted, method)(rows)

    return Case("sklearn", lambda: model.fit(x, y), rows, expected, {"method": method}, packages)


def mixed() -> Case:
    """Columns by name, of text and of numbers, each with nulls."""
    frame = pd.DataFrame({"town": ["Ulm", "Bonn", None, "Ulm"] * 10, "size": [1.0, 2.0, None, 4.0] * 10})
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("text", encoder, ["town"]), ("number", SimpleImputer(), ["size"])])
    records = [{"size": None, "town": "Ulm"}, {"size": 3, "town": None}]
    asked = pd.DataFrame({"town": ["Ulm", np.nan], "size": [np.nan, 3.0]})
    return Case(
        "sklearn",
        lambda: make_pipeline(columns, LogisticRegression()).fit(frame, IN_TOWN),
        records,
        lambda model: model.predict_proba(asked),
        {**PROBA, "dtypes": {"town": "object", "size": "float64"}},
        SKLEARN | {"pandas"},
    )


IDS = pd.DataFrame({"id": np.array([2**53 + step for step in range(4)] * 5), "size": np.arange(20.0)})


def of_ids(*, frame: bool) -> Case:
    """A column of whole numbers that a float does not hold."""
    encoder: Any = OneHotEncoder(handle_unknown="ignore")
    encoder = ColumnTransformer([("id", encoder, ["id"])]) if frame else encoder
    return Case(
        "sklearn",
        lambda: make_pipeline(encoder, DecisionTreeClassifier(random_state=0)).fit(IDS, [0, 1, 2, 3] * 5),
        IDS[:4].to_dict("records"),
        lambda model: model.predict(IDS[:4]),
        {"dtypes": {"id": "int64", "size": "float64"}},
        SKLEARN | {"pandas"} if frame else SKLEARN,
    )


def of_nulls(rows: list[int], dtype: str) -> Case:
    """Text with nulls, as an array; *rows* are those that are asked for."""
    frame = pd.DataFrame({"town": pd.Series(["u", "v", np.nan] * 6, dtype=dtype)})
    asked = frame.iloc[rows]
    return Case(
        "sklearn",
        lambda: make_pipeline(OneHotEncoder(), DecisionTreeClassifier(random_state=0)).fit(frame, [0, 1, 2] * 6),
        [{"town": None if pd.isna(town) else town} for town in asked["town"]],
        lambda model: model.predict(asked),
        {"dtypes": {"town": dtype}},
        SKLEARN,
    )


def xgboost_case(name: str, method: str = "predict", *, x: Any = FRAME, y: Any = Y, **settings: Any) -> Case:
    def make() -> Any:
        xgboost = import_module("xgboost")

        return getattr(xgboost, name)(**{**SIX, **settings}).fit(x, y)

    framed = isinstance(x, pd.DataFrame)
    records = RECORDS if framed else x[:20].tolist()
    return Case("xgboost", make, records, lambda m: getattr(m, method)(x[:20]), {"method": method}, XGBOOST)


def xgboost_categories() -> Case:
    def make() -> Any:
        xgboost = import_module("xgboost")

        return xgboost.XGBClassifier(enable_categorical=True, **SIX).fit(TOWNS, IN_TOWN)

    return Case(
        "xgboost",
        make,
        SOME,
        lambda m: m.predict_proba(TOWNS.iloc[[2, 4]].assign(size=[3.0, 7.0])),
        {**PROBA, "dtypes": {"town": "category", "size": "float64"}},
        XGBOOST | {"pandas"},
    )


def xgboost_numbers(rows: list[int], dtype: str) -> Case:
    """Categories that are whole numbers, with nulls."""
    kinds = pd.Categorical.from_codes([0, 1, 2, -1] * 10, pd.Index([10, 20, 30], dtype=dtype))
    frame = pd.DataFrame({"kind": kinds, "town": TOWNS["town"], "size": np.arange(40.0)})
    asked = frame.iloc[rows].astype({"kind": object, "town": object})

    def make() -> Any:
        xgboost = import_module("xgboost")

        return xgboost.XGBRegressor(enable_categorical=True, **SIX).fit(frame, [0.0, 1.0, 2.0, 3.0] * 10)

    records = [
        {"kind": None if pd.isna(kind) else int(kind), "town": town, "size": size}
        for kind, town, size in asked.itertuples(index=False)
    ]
    dtypes = {"kind": "category", "town": "category", "size": "float64"}
    return Case(
        "xgboost", make, records, lambda m: m.predict(frame.iloc[rows]), {"dtypes": dtypes}, XGBOOST | {"pandas"}
    )


def booster() -> Case:
    """One of XGBoost's own interface; what it says is the probability."""

    def data() -> Any:
        xgboost = import_module("xgboost")

        return xgboost.DMatrix(FRAME, Y)

    def make() -> Any:
        xgboost = import_module("xgboost")

        return xgboost.train({"objective": "binary:logistic"}, data(), 5)

    return Case("xgboost", make, RECORDS, lambda m: m.predict(data())[:20], {}, XGBOOST)


def onnx_case(names: list[str] | None, method: str, *, zipmap: bool = True, text: bool = False) -> Case:
    """A pipeline in ONNX; with *names*, one input for each column; with *text*, one of them is that."""
    y = np.where(Y, "yes", "no")
    steps: list[Any] = [StandardScaler(), LogisticRegression()]
    x: Any = X.astype(np.float32)
    records: list[Any] = x[:20].tolist()
    if text:
        encoder = ColumnTransformer([("t", OneHotEncoder(), ["town"]), ("n", StandardScaler(), ["size"])])
        steps, x, y, records = [encoder, LogisticRegression()], PLAIN_TOWNS, IN_TOWN, SOME
    asked = pd.DataFrame(SOME) if text else x[:20]
    pipeline = make_pipeline(*steps).fit(x, y)

    def make() -> Any:
        types = import_module("skl2onnx.common.data_types")
        wanted = [("x", types.FloatTensorType([None, 5]))]
        if text:
            wanted = [("town", types.StringTensorType([None, 1])), ("size", types.FloatTensorType([None, 1]))]
        return import_module("skl2onnx").convert_sklearn(pipeline, initial_types=wanted, options={"zipmap": zipmap})

    def expected(_model: Any) -> Any:
        return getattr(pipeline, method)(asked)

    options = {"method": method, **({"columns": names} if names else {})}
    exact = method == "predict"
    return Case("onnx", make, records, expected, options, {"onnxruntime", "numpy"}, exact=exact)


def lightgbm_case(
    name: str, method: str, *, x: Any = FRAME, y: Any = Y, records: Any = RECORDS, **options: Any
) -> Case:
    def make() -> Any:
        lightgbm = import_module("lightgbm")

        return getattr(lightgbm, name)(verbose=-1, min_child_samples=2, n_jobs=1, **SIX).fit(x, y)

    def expected(model: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # of arrays, at each call
            return getattr(model, method)(x[:20] if records is RECORDS else x[: len(records)])

    return Case("lightgbm", make, records, expected, {"method": method, **options}, LIGHTGBM)


def catboost_case(
    name: str, method: str, *, x: Any = FRAME, y: Any = Y, records: Any = RECORDS, **settings: Any
) -> Case:
    def make() -> Any:
        catboost = import_module("catboost")

        model = getattr(catboost, name)(
            iterations=6, verbose=False, allow_writing_files=False, thread_count=1, **settings
        )
        return model.fit(x, y)

    def expected(model: Any) -> Any:
        answers = getattr(model, method)(x[: len(records)])
        return answers[:, 0] if answers.shape[1:] == (1,) else answers  # the class among several

    return Case("catboost", make, records, expected, {"method": method}, {"catboost", "numpy", "pandas", "scipy"})


def statsmodels_case(kind: str) -> Case:
    table = pd.DataFrame(X, columns=list("vwxyz")).assign(const=1.0)
    y = X @ [1.0, 2.0, 3.0, 4.0, 5.0] + np.sin(np.arange(200))
    series = pd.Series(np.sin(np.arange(60)) + np.arange(60))
    rows = table[:20].to_dict("records")

    def make() -> Any:
        sm, smf = import_module("statsmodels.api"), import_module("statsmodels.formula.api")
        if kind == "formula":
            return smf.ols("y ~ v + np.log(w + 9)", table.assign(y=y)).fit()
        if kind == "arrays":
            return sm.Logit(IRIS.target > 1, IRIS.data[:, :2]).fit(disp=0)
        return sm.OLS(y, table).fit() if kind == "frame" else sm.tsa.ExponentialSmoothing(series, trend="add").fit()

    def expected(model: Any) -> Any:
        if kind == "series":
            return np.asarray(model.forecast(3))[[2, 0]]
        return np.asarray(model.predict(IRIS.data[:20, :2] if kind == "arrays" else table[:20]))

    asked = {"arrays": IRIS.data[:20, :2].tolist(), "series": [{"step": 3}, {"step": 1}]}
    options = {"columns": list(table)} if kind == "formula" else {}
    readers = {"patsy", "formulaic"} if kind == "formula" else set()
    return Case("statsmodels", make, asked.get(kind, rows), expected, options, STATSMODELS | readers, exact=False)


PANDAS = ["The inplace keyword", "The 'convert_dates' keyword"]  # what pandas 3.1 says to Prophet


def prophet_case() -> Case:
    """A regressor, moments that are not in order, and one of them twice."""
    records = [{"ds": "2025-05-01", "r": 1.0}, {"ds": "2025-04-20", "r": 2.0}, {"ds": "2025-05-01", "r": 3.0}]

    def make() -> Any:
        table = pd.DataFrame({"ds": pd.date_range("2025-01-01", periods=100), "r": np.arange(100) % 7 * 1.0})
        model = import_module("prophet").Prophet().add_regressor("r")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", PANDAS[0])
            return model.fit(table.assign(y=np.arange(100) + 3 * table["r"]))

    def expected(model: Any) -> list[float]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", PANDAS[0])
            frames = [pd.DataFrame([each]).astype({"ds": "datetime64[ns]"}) for each in records]
            return [float(model.predict(frame)["yhat"][0]) for frame in frames]

    packages = {"prophet", "numpy", "pandas", "holidays"}
    return Case("prophet", make, records, expected, {}, packages, exact=False, quiet=PANDAS)


def python_case(model: Any, records: list[Any], packages: set[str]) -> Case:
    predict = getattr(model, "predict", model)
    return Case("python", lambda: model, records, lambda _: predict(records), {}, packages)


LIGHT = {
    "pipeline": sklearn_case(make_pipeline(StandardScaler(), LogisticRegression()), SAFE),
    "forest": sklearn_case(RandomForestClassifier(10, random_state=0), SKLEARN, method="predict_proba"),
    "regressor": sklearn_case(HistGradientBoostingRegressor(max_iter=5), SKLEARN),
    "calibrated": sklearn_case(CalibratedClassifierCV(LogisticRegression()), SKLEARN, method="predict_proba"),
    "outputs": sklearn_case(
        MultiOutputClassifier(RandomForestClassifier(3, random_state=0)), SKLEARN, y=np.c_[Y, 1 - Y]
    ),
    "text": sklearn_case(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), SAFE, x=TEXTS, y=["+", "-"] * 10, rows=["good", "bad"]
    ),
    "mixed": mixed(),
    "ids-frame": of_ids(frame=True),
    "ids-array": of_ids(frame=False),
    **{f"nulls-{len(rows)}-{dtype}": of_nulls(rows, dtype) for rows in ([0, 1, 2], [2]) for dtype in ("object", "str")},
    "xgboost-labels": xgboost_case("XGBClassifier"),
    "xgboost-probabilities": xgboost_case("XGBClassifier", "predict_proba", x=IRIS.data, y=IRIS.target),
    "xgboost-softmax": xgboost_case(
        "XGBClassifier", "predict_proba", x=IRIS.data, y=IRIS.target, objective="multi:softmax"
    ),
    "xgboost-several-labels": xgboost_case("XGBClassifier", y=np.c_[Y, 1 - Y]),
    "xgboost-forest": xgboost_case("XGBRFClassifier"),
    "xgboost-regressor": xgboost_case("XGBRegressor", missing=-1.0),
    "xgboost-linear": xgboost_case("XGBRegressor", booster="gblinear"),
    "xgboost-categories": xgboost_categories(),
    "xgboost-whole-categories": xgboost_numbers([0, 1, 2], "int64"),
    "xgboost-whole-categories-and-null": xgboost_numbers([0, 3, 2], "int64"),
    "xgboost-null-for-a-category": xgboost_numbers([3], "int64"),
    "xgboost-small-categories": xgboost_numbers([0, 3], "int8"),
    "xgboost-booster": booster(),
    "onnx-labels": onnx_case(None, "predict"),
    "onnx-zipmap": onnx_case(None, "predict_proba"),
    "onnx-tensor": onnx_case(None, "predict_proba", zipmap=False),
    "onnx-columns": onnx_case(["size", "town"], "predict", text=True),
    "object": python_case(Threshold("age", 30.5), [{"age": 12.5}, {"age": 61}], set()),
    "pickled": python_case(Weighted(np.array([0.5, 2.0])), [[1.0, 2.0], [3.0, 4.0]], {"numpy"}),
    "function": python_case(doubled, [1, 2.5], set()),
}
WORDS = np.where(Y, "yes", "no")
FULL = {
    "lightgbm-labels": lightgbm_case("LGBMClassifier", "predict", y=WORDS, columns=NAMES),
    "lightgbm-probabilities": lightgbm_case("LGBMClassifier", "predict_proba", y=WORDS, columns=NAMES),
    "lightgbm-several": lightgbm_case(
        "LGBMClassifier", "predict", x=IRIS.data, y=IRIS.target_names[IRIS.target], records=IRIS.data[:99].tolist()
    ),
    "lightgbm-regressor": lightgbm_case("LGBMRegressor", "predict", columns=NAMES),
    "catboost-labels": catboost_case("CatBoostClassifier", "predict", y=WORDS),
    "catboost-probabilities": catboost_case("CatBoostClassifier", "predict_proba", y=WORDS),
    "catboost-several": catboost_case(
        "CatBoostClassifier", "predict", x=IRIS.data, y=IRIS.target, records=IRIS.data[:99].tolist()
    ),
    "catboost-regressor": catboost_case("CatBoostRegressor", "predict"),
    "catboost-categories": catboost_case(
        "CatBoostClassifier",
        "predict_proba",
        x=PLAIN_TOWNS.assign(kind=[1, 2] * 20),
        y=IN_TOWN,
        records=PLAIN_TOWNS.assign(kind=[1, 2] * 20)[:9].to_dict("records"),
        cat_features=["town", "kind"],
    ),
    **{f"statsmodels-{kind}": statsmodels_case(kind) for kind in ("formula", "frame", "arrays", "series")},
    "prophet": prophet_case(),
}
CASES = [
    *(pytest.param(case, id=name) for name, case in LIGHT.items()),
    *(pytest.param(case, id=name, marks=pytest.mark.full) for name, case in FULL.items()),
]
