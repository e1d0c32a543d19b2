"""MLflow: folders that MLflow wrote, what a service then answers, and what is read out of `MLmodel`."""

from __future__ import annotations

import json
import os
import sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import cloudpickle
import mlflow.pyfunc as framework
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from sklearn.linear_model import LogisticRegression

from mlops_ci import flavors
from mlops_ci.flavors import mlflow as flavor

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore")]
FRAME = pd.DataFrame({"age": [1.5, 2.5, 3.0, 9.0], "visits": [1, 2, 3, 4]})
RECORDS = FRAME.to_dict("records")


class Given(framework.PythonModel):
    """Says what it was given."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002  # MLflow's names
        if isinstance(model_input, pd.DataFrame):
            types = [str(each) for each in model_input.dtypes]
            return pd.DataFrame(
                {
                    "columns": [list(map(str, model_input.columns))] * len(model_input),
                    "types": [types] * len(model_input),
                }
            )
        if isinstance(model_input, dict):
            return [sorted((name, str(part.dtype), list(part.shape)) for name, part in model_input.items())]
        return [[type(model_input).__name__, str(getattr(model_input, "dtype", ""))] for _ in model_input]


class Sums(framework.PythonModel):
    """Answers with a dict of columns, in which something is missing."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002  # MLflow's names
        sums = model_input.sum(axis=1)
        return {
            "sum": sums.to_numpy(),
            "day": [pd.Timestamp("2026-01-02")] * len(sums),
            "none": sums.to_numpy() * np.nan,
        }


class Coded(framework.PythonModel):
    """Imports code that lies beside it."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002  # MLflow's names
        from mine import VALUE  # noqa: PLC0415  # only the folder has it

        return [VALUE] * len(model_input)


def columns(*specs):
    return ModelSignature(inputs=Schema([ColSpec(kind, name, required=needed) for kind, name, needed in specs]))


def logistic(folder, **options):
    """A model of scikit-learn in MLflow's folder, and the model."""
    model = LogisticRegression().fit(FRAME, [0, 0, 1, 1])
    signature = infer_signature(FRAME, model.predict(FRAME))
    mlflow.sklearn.save_model(model, str(folder), signature=signature, serialization_format="cloudpickle", **options)
    return model


def save(model, folder, signature=None, **options):
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    framework.save_model(str(folder), python_model=model, signature=signature, **options)
    cloudpickle.unregister_pickle_by_value(here)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_fresh_process_predicts_the_same(method, folder, ask):
    """All at once and each alone; the order of the names does not matter, and arrays are in that of training."""
    model = logistic(folder, pyfunc_predict_fn=method)
    expected = getattr(model, method)(FRAME).tolist()
    turned = [dict(reversed(record.items())) for record in RECORDS]
    rows = [list(record.values()) for record in RECORDS]
    found = ask(folder, "mlflow", RECORDS, turned, rows, *([record] for record in RECORDS))
    assert found[:3] == [expected] * 3
    assert [answer for [answer] in found[3:]] == expected
    assert flavors.detect_files(folder) == "mlflow"


def test_a_python_model_is_saved_by_mlflow(folder, ask):
    """And one that was loaded is not saved again."""
    model = Sums()
    assert flavors.detect(model) == "mlflow"
    flavor.save(model, folder)
    [answers] = ask(folder, "mlflow", RECORDS)
    assert answers[0] == {"sum": 2.5, "day": "2026-01-02T00:00:00", "none": None}
    loaded = framework.load_model(str(folder))
    assert flavors.detect(loaded) == "mlflow"
    with pytest.raises(ValueError, match="was loaded from a folder of MLflow's: log the path of that folder"):
        flavor.save(loaded, folder)


def test_columns_have_the_types_of_the_signature(folder, ask):
    """JSON has one kind of number, and no moments."""
    specs = [("long", "l"), ("integer", "i"), ("double", "d"), ("float", "f"), ("boolean", "b"), ("string", "s")]
    save(Given(), folder, columns(*((kind, name, True) for kind, name in specs), ("datetime", "t", True)))
    record = {"l": 1, "i": 2.0, "d": 3, "f": None, "b": True, "s": "x", "t": "2026-01-02T03:04:05"}
    [[answer]] = ask(folder, "mlflow", [record])
    assert answer["columns"] == list("lidfbst")
    assert answer["types"][:5] == ["int64", "int32", "float64", "float32", "bool"]
    assert answer["types"][6].startswith("datetime64")


def test_a_column_that_is_optional_may_be_absent(folder, ask):
    """In one record, or in all of them."""
    save(Given(), folder, columns(("double", "a", True), ("double", "b", False)))
    [one], [some, _] = ask(folder, "mlflow", [{"a": 1}], [{"a": 1}, {"a": 2, "b": 3}])
    assert "a" in one["columns"]
    assert some["types"] == ["float64", "float64"]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"age": 1.5}, r"^record 1 has no 'visits'$"),
        ({"age": 1.5, "visits": 2.5}, r"^record 1 has 2\.5 in 'visits', where the model wants a whole number$"),
        ({"age": 1.5, "visits": None}, r"^record 1 has None in 'visits', where the model wants a whole number$"),
        ({"age": "old", "visits": 1}, r"^record 1 has 'old' in 'age', where the model wants a number$"),
        ([1.0], r"^record 1 is not an object like the first$"),
    ],
)
def test_a_wrong_record_is_one_sentence(record, sentence, folder):
    """That says which, and what is wrong."""
    logistic(folder)
    with pytest.raises(ValueError, match=sentence):
        flavor.predict(flavor.load(folder), [RECORDS[0], record])


def test_a_wrong_array_is_one_sentence(folder):
    """That counts."""
    logistic(folder)
    with pytest.raises(ValueError, match=r"^record 0 has 1 values, where the model wants 2$"):
        flavor.predict(flavor.load(folder), [[1.0]])


def test_tensors_are_stacked(tmp_path, ask):
    """One without a name, or several with; and what cannot be stacked is one sentence."""
    unnamed = Schema([TensorSpec(np.dtype("float32"), (-1, 2))])
    named = Schema([TensorSpec(np.dtype("int64"), (-1, 2), "ids"), TensorSpec(np.dtype("float32"), (-1,), "weight")])
    for schema, records, expected in (
        (unnamed, [[1, 2], [3, 4]], [["ndarray", "float32"]] * 2),
        (named, [{"weight": 1, "ids": [1, 2]}], [[["ids", "int64", [1, 2]], ["weight", "float32", [1]]]]),
    ):
        folder = tmp_path / str(len(schema.inputs)) / "model"
        folder.mkdir(parents=True)
        save(Given(), folder, ModelSignature(inputs=schema))
        assert ask(folder, "mlflow", records) == [expected]
        wrong = [[1], [2, 3]] if schema is unnamed else [{"weight": [1], "ids": [[1], 2]}]
        with pytest.raises(ValueError, match=r"^the records are no arrays of .* of one size: "):
            flavor.predict(flavor.load(folder), wrong)


def test_without_a_signature_records_are_taken_as_they_are(folder, ask):
    """Objects as a frame, arrays as an array, texts as a list."""
    save(Given(), folder)
    objects, arrays, texts = ask(folder, "mlflow", [{"a": 1.5}], [[1.0, 2.0]], ["good"])
    assert objects == [{"columns": ["a"], "types": ["float64"]}]
    assert arrays == [["ndarray", "float64"]]
    assert texts == [["list", ""]]
    assert flavor.signature(folder) is None


def test_the_signature_is_read(folder):
    """As `signature.json` has it, without loading the model."""
    logistic(folder)
    assert flavor.signature(folder) == {
        "inputs": {
            "type": "object",
            "properties": {"age": {"type": "number"}, "visits": {"type": "integer"}},
            "required": ["age", "visits"],
            "additionalProperties": False,
        },
        "outputs": {"type": "integer"},
    }


@pytest.mark.parametrize(
    ("spec", "schema"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "double", "required": False}, {"type": ["number", "null"]}),
        ({"type": "datetime"}, {"type": "string"}),
        ({"type": "array", "items": {"type": "long"}}, {"type": "array", "items": {"type": "integer"}}),
        (
            {"type": "map", "values": {"type": "boolean"}},
            {"type": "object", "additionalProperties": {"type": "boolean"}},
        ),
        (
            {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, -1, 3]}},
            {
                "type": "array",
                "items": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
            },
        ),
        (
            {"type": "object", "properties": {"a": {"type": "float", "required": False}}},
            {
                "type": "object",
                "properties": {"a": {"type": ["number", "null"]}},
                "required": [],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_every_type_of_mlflow_has_a_schema(spec, schema, folder):
    """Nested ones too."""
    (folder / "MLmodel").write_text("signature:\n  inputs: '" + json.dumps([spec]) + "'\n")
    assert flavor.signature(folder) == {"inputs": schema, "outputs": {}}


def test_requirements_are_what_mlflow_says(folder):
    """With the small package for the large one."""
    logistic(folder)
    found = flavor.requirements(folder)
    names = [line.partition("==")[0] for line in found]
    assert names == ["cloudpickle", "mlflow-skinny", "numpy", "pandas", "scikit-learn"]
    assert f"mlflow-skinny=={mlflow.__version__}" in found
    assert "cloudpickle" in flavor.requirements(Sums())[0]


def test_loading_writes_nothing_and_tells_nobody(folder, ask):
    """The folder, with code beside the model, is verified file by file before it is loaded, again and again."""
    code = folder.parent / "own"
    code.mkdir()
    (code / "mine.py").write_text("VALUE = 3\n")
    save(Coded(), folder, code_paths=[str(code / "mine.py")])
    before = sorted(folder.rglob("*"))
    then = "\nimport os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    [answers], told = ask(folder, "mlflow", RECORDS, then=then)
    assert answers == [3] * 4
    assert told == ["true"]
    assert sorted(folder.rglob("*")) == before


def test_broken_and_missing_files_are_one_sentence(folder):
    """That names them."""
    with pytest.raises(FileNotFoundError, match=r"has no MLmodel$"):
        flavor.load(folder)
    (folder / "MLmodel").write_text("this is } no model")
    with pytest.raises(ValueError, match=r"^MLmodel cannot be loaded: \w+: "):
        flavor.load(folder)
