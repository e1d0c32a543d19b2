"""What is saved, and what is refused when it is loaded."""

from __future__ import annotations

import pickle
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mlops_ci.flavors import find, tables
from tests.flavors.plain import Threshold
from tests.flavors.tabular import FRAME, RECORDS, X, Y


def test_skops_is_taken_where_it_trusts_every_type(tmp_path):
    """And a pickle where it does not."""
    module = find("sklearn")
    for model, name in ((LogisticRegression(), "model.skops"), (RandomForestClassifier(3), "model.joblib")):
        folder = tmp_path / name
        folder.mkdir()
        module.save(model.fit(X, Y), folder)
        assert [path.name for path in folder.iterdir()] == [name]


def test_a_skops_file_with_a_type_that_is_not_trusted_is_refused(tmp_path):
    """Loading it would run whatever that type does."""
    skops.io.dump(Threshold("age"), tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"^model.skops cannot be loaded: UntrustedTypesFoundException: "):
        find("sklearn").load(tmp_path)


def test_a_booster_saved_by_hand_is_a_model(tmp_path):
    """The older JSON as well, where the flavor is named."""
    xgboost = import_module("xgboost")
    model = xgboost.XGBClassifier(n_estimators=5).fit(FRAME, Y)
    module = find("xgboost")
    for name in ("mine.ubj", "mine.json"):
        folder = tmp_path / name
        folder.mkdir()
        model.save_model(folder / name)
        tables.remember(folder, flavor="xgboost", method="predict_proba")
        assert module.predict(module.load(folder), RECORDS) == model.predict_proba(FRAME[:20]).tolist()


def test_trees_after_the_best_iteration_are_left_out(tmp_path):
    """As XGBoost's estimators do it, and its boosters do not."""
    xgboost = import_module("xgboost")
    model = xgboost.XGBClassifier(n_estimators=99, early_stopping_rounds=2, missing=-1.0)
    model.fit(X[:120], Y[:120], eval_set=[(X[120:], Y[120:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    module = find("xgboost")
    module.save(model, tmp_path)
    tables.remember(tmp_path, method="predict_proba")
    records = [[-1.0, *row[1:]] for row in X[:20].tolist()]
    assert module.predict(module.load(tmp_path), records) == model.predict_proba(np.array(records)).tolist()


TOWNS = ["Bonn", "Köln", "Ulm"]


@pytest.mark.parametrize("town", [*TOWNS, "Kiel", None])
def test_a_category_alone_means_what_it_means_among_others(town, tmp_path):
    """A record knows one of them, or none; the model's file knows them all."""
    table = pd.DataFrame({"town": pd.Categorical(TOWNS * 9), "size": np.arange(27.0)})
    model = import_module("xgboost").XGBRegressor(enable_categorical=True, n_estimators=3, min_child_weight=0)
    model.fit(table, [1.0, 5.0, 9.0] * 9)
    module = find("xgboost")
    module.save(model, tmp_path)
    tables.remember(tmp_path, dtypes={"town": "category", "size": "float64"})
    asked = pd.DataFrame({"town": pd.Categorical([town], categories=[*TOWNS, "Kiel"]), "size": [3.0]})
    expected = model.predict(asked).tolist()
    assert module.predict(module.load(tmp_path), [{"town": town, "size": 3.0}]) == expected


def test_categories_that_are_numbers_stay_numbers(tmp_path):
    """So they do in a file that was written before XGBoost kept what they stand for; text is refused, not guessed."""
    x = np.c_[np.arange(18) % 3, np.arange(18.0)]
    kinds = {"enable_categorical": True, "feature_types": ["c", "q"]}
    model = import_module("xgboost").XGBRegressor(n_estimators=3, **kinds).fit(x, x[:, 0] ** 2)
    module = find("xgboost")
    module.save(model, tmp_path)
    loaded = module.load(tmp_path)
    assert module.predict(loaded, x.tolist()) == model.predict(x).tolist()
    with pytest.raises(ValueError, match=r"^record 0 has text in place 0, where the model wants a number$"):
        module.predict(loaded, [["Ulm", 1]])


@pytest.mark.parametrize("flavor", ["sklearn", "xgboost", "onnx"])
def test_a_method_that_the_model_lacks_is_said(flavor, tmp_path):
    """When it is loaded, and not at the first request."""
    if flavor == "onnx":
        to_onnx = import_module("skl2onnx").to_onnx
        model = to_onnx(LogisticRegression().fit(X, Y), X[:1].astype(np.float32))
    else:
        model = import_module("xgboost").XGBRegressor(n_estimators=2) if flavor == "xgboost" else LogisticRegression()
        model.fit(X, Y)
    module = find(flavor)
    module.save(model, tmp_path)
    tables.remember(tmp_path, method="transform")
    with pytest.raises(ValueError, match=r"has no transform\(\)"):
        module.load(tmp_path)


@pytest.mark.parametrize("name", ["XGBClassifier", pytest.param("LGBMClassifier", marks=pytest.mark.full)])
def test_a_model_that_was_not_trained_is_refused(name, tmp_path):
    """In one sentence."""
    module = import_module({"X": "xgboost", "L": "lightgbm"}[name[0]])
    with pytest.raises(ValueError, match=r"^the model was not trained$"):
        find(module.__name__).save(getattr(module, name)(), tmp_path)


@pytest.mark.full
def test_statsmodels_leaves_the_data_of_training_out(tmp_path):
    """The file is what leaves the house; the object in the training's hands keeps it."""
    secret = np.arange(500.0) + 0.123456789
    results = import_module("statsmodels.api").OLS(secret, np.c_[secret**2, np.ones(500)]).fit()
    module = find("statsmodels")
    module.save(results, tmp_path)
    assert secret[7:9].tobytes() in pickle.dumps(results)
    assert secret[7:9].tobytes() not in (tmp_path / "model.pickle").read_bytes()
    assert results.model.endog is not None
    with pytest.raises(ValueError, match=r"^record 0 has 3 values, where the model wants 2$"):
        module.predict(module.load(tmp_path), [[1, 2, 3]])


@pytest.mark.full
@pytest.mark.parametrize(("step", "said"), [(0, "0.0"), (1.5, "1.5"), (None, "nan")])
def test_a_horizon_is_a_whole_number_from_one(step, said, tmp_path):
    """What lies behind was seen, and is no forecast."""
    series = import_module("statsmodels.api").tsa.ExponentialSmoothing(np.arange(30.0) ** 1.1, trend="add").fit()
    module = find("statsmodels")
    module.save(series, tmp_path)
    with pytest.raises(ValueError, match=f"^a step is a whole number from 1, not {said}$"):
        module.predict(module.load(tmp_path), [{"step": 2}, {"step": step}])


@pytest.mark.full
def test_catboost_says_what_a_category_may_be(tmp_path):
    """Text or a whole number; a fraction is neither."""
    table = pd.DataFrame({"town": ["Ulm", "Bonn"] * 9, "size": np.arange(18.0)})
    model = import_module("catboost").CatBoostRegressor(
        iterations=2, verbose=False, allow_writing_files=False, cat_features=["town"]
    )
    module = find("catboost")
    module.save(model.fit(table, np.arange(18.0)), tmp_path)
    for value, what in ((1.5, "a fraction"), (None, "null")):
        with pytest.raises(ValueError, match=f"^record 1 has {what} in 'town', where the model wants text or a whole"):
            module.predict(module.load(tmp_path), [{"town": "Ulm", "size": None}, {"town": value, "size": 1}])


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:The .* keyword:DeprecationWarning")  # what pandas 3.1 says to Prophet
def test_prophet_wants_moments(tmp_path):
    """As text; what is none is said."""
    module, table = find("prophet"), pd.DataFrame({"ds": pd.date_range("2025-01-01", periods=40), "y": np.arange(40.0)})
    module.save(import_module("prophet").Prophet().fit(table), tmp_path)
    loaded = module.load(tmp_path)
    with pytest.raises(ValueError, match=r"^column 'ds' has a value that is not a moment"):
        module.predict(loaded, [{"ds": "soon"}])
    with pytest.raises(ValueError, match=r"^record 0 has no 'ds'$"):
        module.predict(loaded, [{"step": 1}])
