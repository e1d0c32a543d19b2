"""What `log_model` and `log_data` leave in the run folder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

import mlops_ci as mlops
from mlops_ci import data
from mlops_ci.capture import events, models
from mlops_ci.tracking import tables

X = np.array([[0.0, 1.0], [1.0, 0.5], [2.0, 0.25], [3.0, 0.0]])
Y = np.array([0, 0, 1, 1])
RECORDS = [{"a": 0.0, "b": 1}, {"a": 3.0, "b": 0}]
OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


class Constant:
    """A model of plain Python."""

    def __init__(self, value):
        self.value = value

    def predict(self, records):
        return [self.value for _ in records]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def content(folder: Path, name: str):
    return json.loads((folder / "model" / name).read_text("utf-8"))


def test_a_model_is_kept_with_what_goes_in_and_out(folder):
    """Columns are those of the example where training saw none; the predictions are those of the saved model."""
    model = LogisticRegression().fit(X, Y)
    with mlops.start_run() as run:
        run.log_model(model, input_example=RECORDS)
    assert content(folder, "flavor.json") == {"flavor": "sklearn", "columns": ["a", "b"]}
    assert content(folder, "signature.json") == {"inputs": OBJECT, "outputs": {"type": "integer"}}
    assert content(folder, "input_example.json") == {"records": RECORDS, "predictions": [0, 1]}
    requirements = (folder / "model/requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in requirements} == {
        "scikit-learn",
        "numpy",
        "scipy",
        "joblib",
        "skops",
    }
    described = models.describe(folder / "model", None)
    assert described.flavor == "sklearn"
    assert described.requirements == requirements
    assert described.input_example


def test_the_method_says_what_the_service_answers(folder):
    """`predict_proba`: a list of two numbers."""
    model = LogisticRegression().fit(X, Y)
    with mlops.start_run() as run:
        run.log_model(model, input_example=X, method="predict_proba")
    assert content(folder, "signature.json") == {
        "inputs": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "outputs": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    }
    assert content(folder, "input_example.json")["predictions"] == model.predict_proba(X).tolist()


def test_a_saved_model_that_does_not_answer_is_a_warning(folder):
    """The model is kept, without an example that its service would fail on."""
    with mlops.start_run() as run, pytest.warns(mlops.TrackingWarning, match="LinearSVC has no predict_proba"):
        run.log_model(LinearSVC().fit(X, Y), input_example=X, method="predict_proba")
    assert (folder / "model/model.skops").exists()
    assert not (folder / "model/signature.json").exists()
    assert events.read(folder).warnings


def test_the_last_model_counts(folder):
    """Nothing of the one before is left."""
    with mlops.start_run() as run:
        run.log_model(LinearRegression().fit(X, Y), input_example=X)
        run.log_model(Constant(7), requirements=["numpy==2.0"])
    kept = {path.name for path in (folder / "model").iterdir()}
    assert kept == {"model.py", "state.json", "flavor.json", "requirements.txt"}
    assert (folder / "model/requirements.txt").read_text() == "numpy==2.0\n"


def test_what_no_flavor_saves_is_a_warning_and_leaves_the_model_before(folder):
    """With what to do instead."""
    with mlops.start_run() as run:
        run.log_model(Constant(7))
        with pytest.warns(mlops.TrackingWarning, match=r"no flavor saves a builtins\.dict; write a folder"):
            run.log_model({"weights": [1]})
        with pytest.warns(mlops.TrackingWarning, match="no flavor 'caffe'"):
            run.log_model(Constant(7), flavor="caffe")
    assert events.read(folder).model == folder / "model"
    assert not list((folder / "tmp").iterdir())


def test_a_folder_that_the_user_wrote_is_a_model(folder, tmp_path):
    """Its own requirements are kept."""
    written = tmp_path / "scorer"
    written.mkdir()
    (written / "helper.py").write_text("FACTOR = 2\n")
    (written / "model.py").write_text(
        "from helper import FACTOR\n\ndef predict(records):\n    return [FACTOR * r['a'] for r in records]\n"
    )
    (written / "requirements.txt").write_text("requests==2.0\n")
    with mlops.start_run() as run:
        run.log_model(written, input_example=[{"a": 2}])
    assert content(folder, "input_example.json")["predictions"] == [4]
    assert (folder / "model/requirements.txt").read_text() == "requests==2.0\n"
    assert not list((folder / "model").rglob("__pycache__"))


def test_an_example_may_come_in_many_shapes():
    """At most five records, as JSON has them."""
    assert tables.records({"a": [1, 2], "b": ["x", "y"]}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert tables.records({"a": np.float32(0.5), "b": float("nan")}) == [{"a": 0.5, "b": None}]
    assert tables.records(np.zeros((9, 2), dtype=int)) == [[0, 0]] * 5
    assert tables.records([1.5, 2.5]) == [[1.5, 2.5]]
    assert tables.records(["good", "bad"]) == ["good", "bad"]
    with pytest.raises(TypeError, match="a int is no input example"):
        tables.records(3)
    with pytest.raises(TypeError, match="no records"):
        tables.records([])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([1, 2], {"type": "number"}),
        ([True, False], {"type": "boolean"}),
        (["a", None], {"type": ["string", "null"]}),
        ([1, "a"], {"type": ["number", "string"]}),
        ([[1, 2], [3]], {"type": "array", "items": {"type": "number"}}),
        ([None], {}),
    ],
    ids=str,
)
def test_a_schema_says_what_the_values_are(rows, expected):
    """Whole numbers in an example are numbers: the next record may not be whole."""
    assert tables.schema(rows, {}, whole=False) == expected


def test_what_was_seen_is_in_the_signature(folder):
    """Of 100 records or more: the finite bounds of each column of numbers, and of a number that is predicted."""
    many = {"a": [float("nan"), float("inf"), *(step / 2 for step in range(-10, 188))], "b": ["x", "y"] * 100}
    with mlops.start_run() as run:
        run.log_model(First(), input_example=many)
        inputs = content(folder, "signature.json")["inputs"]["properties"]
        assert inputs == {"a": {"type": ["number", "null"], "x-seen": [-5.0, 93.5]}, "b": {"type": "string"}}
        assert content(folder, "signature.json")["outputs"] == {"type": "integer", "x-seen": [0, 198]}
        assert len(content(folder, "input_example.json")["records"]) == 5
        run.log_model(First(), input_example={name: values[:99] for name, values in many.items()})
    assert "x-seen" not in (folder / "model/signature.json").read_text()


class First:
    """Counts what it is asked, and says so for each record in turn."""

    def __init__(self):
        self.least = -5.0

    def predict(self, records):
        return [0 if record["a"] is None else int(2 * record["a"] + 11) for record in records]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda columns: columns, {"a": [0, 149], "t": []}),
        (lambda columns: {name: np.array(values) for name, values in columns.items()}, {"a": [0, 149], "t": []}),
        (pd.DataFrame, {"a": [0, 149], "t": []}),
        (lambda columns: pd.DataFrame(columns, index=range(150, 0, -1)), {"a": [0, 149], "t": []}),
        (lambda columns: pd.DataFrame(columns).to_dict("records"), {"a": [0, 149], "t": []}),
        (lambda columns: np.array([columns["a"]]).T, {}),
        (lambda columns: columns["t"], {}),
        (lambda columns: np.array(columns["t"]), {}),
    ],
    ids=["lists", "arrays", "frame", "frame with another index", "records", "array", "texts", "array of texts"],
)
def test_all_records_of_an_example_are_found(shape, expected):
    """In order, in parts, whatever holds them; and their bounds, where they have names."""
    columns = {"a": list(range(1150))[:150], "t": ["x"] * 150}
    example = shape(columns)
    found = [record for batch in tables.batches(example) for record in batch]
    assert len(found) == 150
    assert found[:5] == tables.records(example)
    assert found[149] in ({"a": 149, "t": "x"}, [149], "x")
    assert tables.ranges(example) == {name: both for name, both in expected.items() if both}


def test_long_examples_come_in_parts():
    """So that none is in memory twice."""
    sizes = [len(batch) for batch in tables.batches(pd.DataFrame({"a": range(2500)}))]
    assert sizes == [1000, 1000, 500]
    assert [len(batch) for batch in tables.batches(np.zeros((1001, 2)))] == [1000, 1]
    assert list(tables.batches({"a": 1.5, "b": 2})) == [[{"a": 1.5, "b": 2}]]
    assert list(tables.batches([1.5, 2.5])) == [[[1.5, 2.5]]]
    assert list(tables.batches(np.array([1.5, 2.5]))) == [[[1.5, 2.5]]]


def test_the_types_of_a_frame_are_remembered(folder):
    """JSON knows text and numbers alone."""
    frame = pd.DataFrame({"a": pd.array([0, 1, 2, 3], dtype="int32"), "b": X[:, 1]})
    with mlops.start_run() as run:
        run.log_model(LinearRegression().fit(frame, Y), input_example=frame)
    assert content(folder, "flavor.json")["dtypes"] == {"a": "int32", "b": "float64"}


def test_a_key_that_a_record_lacks_is_not_required():
    """The union of the keys is allowed."""
    found = tables.schema([{"a": 1, "b": 2}, {"a": 3}], {"a": "int64"}, whole=False)
    assert found["required"] == ["a"]
    assert found["properties"] == {"a": {"type": "integer"}, "b": {"type": "number"}}


def test_a_path_has_the_digest_that_the_data_room_gives(folder, tmp_path):
    """A file and a folder, told from the top of the checkout."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_text("x\n1\n")
    (tmp_path / "data/deep/ü.csv").write_text("x\n2\n")
    with mlops.start_run() as run:
        run.log_data("file", "data/a.csv")
        run.log_data("folder", tmp_path / "data")
    for found in events.read(folder).datasets:
        expected = data.fingerprint(found.name, tmp_path / found.path, tmp_path)
        assert (found.digest, found.size_bytes, found.path) == (expected.digest, expected.size_bytes, expected.path)


def test_an_array_has_a_digest_of_its_values(folder):
    """Equal for equal values, in every process; the shape counts."""
    with mlops.start_run() as run:
        run.log_data("train", X)
        run.log_data("same", X.copy())
        run.log_data("other", X.reshape(2, 4))
        with pytest.warns(mlops.TrackingWarning, match="neither a path nor a table"):
            run.log_data("wrong", 3)
        with pytest.warns(mlops.TrackingWarning, match=r"gone\.csv"):
            run.log_data("missing", "gone.csv")
    train, same, other = events.read(folder).datasets
    assert train.rows == 4
    assert train.digest == same.digest != other.digest
    assert "in memory" in train.note


def test_a_data_frame_is_known_by_what_it_can_do(folder):
    """Neither pandas nor polars is needed to log what they hold; here is a frame that is neither."""

    class Frame:
        columns = ("age", "town")
        dtypes = ("Int64", "String")

        def __len__(self):
            return 2

        def head(self, count):
            assert count == 5
            return self

        def to_dicts(self):
            return [{"age": 3, "town": "Ulm"}, {"age": None, "town": "Bonn"}]

        def write_csv(self):
            return "age,town\n3,Ulm\n,Bonn\n"

    with mlops.start_run() as run:
        run.log_data("train", Frame())
    dataset = events.read(folder).datasets[0]
    assert [(column.name, column.type) for column in dataset.columns] == [("age", "integer"), ("town", "string")]
    assert dataset.rows == 2
    schema = tables.schema(tables.records(Frame()), tables.dtypes(Frame()), whole=False)
    assert schema["properties"]["age"] == {"type": ["integer", "null"]}


@pytest.mark.usefixtures("folder")
def test_code_of_the_project_is_warned_of():
    """A class that only the training can import would fail in the service."""

    class Own(LinearRegression):
        pass

    Own.__qualname__ = "Own"
    globals()["Own"] = Own
    with mlops.start_run() as run, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.log_model(Own().fit(X, Y))
    assert [str(each.message) for each in caught] == [
        f"log_model: the model can be loaded only where {__name__}.Own can be imported"
    ]
