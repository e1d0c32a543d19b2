"""TensorFlow and Keras: `.keras` and SavedModels, what a service then answers, and what is refused."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from mlops_ci import flavors
from mlops_ci.flavors import tables, tensorflow

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(7, 4)).astype("float32").tolist()
NAMED = [dict(zip("abcd", row, strict=True)) for row in ROWS]
PAIRS = [{"user": [number % 5], "item": [0.5 * number, 1.0]} for number in range(6)]


@keras.saving.register_keras_serializable("own")
class Doubled(keras.layers.Layer):
    """A layer of the user's own."""

    def call(self, inputs):
        return inputs * 2


class Scale(tf.Module):
    """A model without Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable([1.0, 2.0, 3.0, 4.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def __call__(self, x):
        return {"scaled": x * self.factor, "sum": tf.reduce_sum(x * self.factor, axis=1)}


class Texts(tf.Module):
    """A model of texts."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def __call__(self, text):
        return {"upper": tf.strings.upper(text)}


class Reader(tf.Module):
    """A model that hands out files."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="path")])
    def __call__(self, path):
        return tf.map_fn(tf.io.read_file, path)


def dense(*layers):
    keras.utils.set_random_seed(0)
    last = keras.layers.Dense(3, activation="softmax")
    return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dropout(0.9), last])


def two():
    keras.utils.set_random_seed(0)
    user, item = keras.Input((1,), dtype="int32", name="user"), keras.Input((2,), name="item")
    known = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(user))
    return keras.Model({"user": user, "item": item}, {"score": keras.layers.Dot(1)([known, item]), "known": known})


CASES = {
    "array": (dense(), ROWS, "model.keras"),
    "columns": (dense(), NAMED, "model.keras"),
    "normalized": (dense(keras.layers.BatchNormalization()), ROWS, "model.keras"),
    "inputs": (two(), PAIRS, "model.keras"),
    "own layer": (dense(Doubled()), ROWS, "saved_model/saved_model.pb"),
    "lambda": (dense(keras.layers.Lambda(lambda x: x + 1)), ROWS, "saved_model/saved_model.pb"),
    "module": (Scale(), ROWS, "saved_model/saved_model.pb"),
}


def expected_of(model, records):
    """The answers of *model* itself, asked by hand."""
    if isinstance(records[0], dict) and "user" in records[0]:
        given = {name: np.array([each[name] for each in records]) for name in ("user", "item")}
    else:
        given = np.array([list(each.values()) if isinstance(each, dict) else each for each in records], "float32")
    outputs = model(given)
    if not isinstance(outputs, dict):
        return outputs.numpy().tolist()
    return [{name: part.numpy().tolist()[at] for name, part in outputs.items()} for at in range(len(records))]


def flat(value):
    """The numbers in *value*, in its order."""
    if isinstance(value, dict):
        return [each for name in sorted(value) for each in flat(value[name])]
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


def save(model, folder, records=ROWS):
    """As `log_model` saves."""
    tensorflow.save(model, folder)
    columns = {"columns": list(records[0])} if isinstance(records[0], dict) else {}
    tables.remember(folder, flavor="tensorflow", **columns)


@pytest.mark.parametrize(("model", "records", "file"), CASES.values(), ids=CASES.keys())
def test_a_fresh_process_predicts_the_same(model, records, file, folder, ask):
    """All at once and each alone, from the file that suits the model."""
    save(model, folder, records)
    assert (folder / file).is_file()
    assert len(list(folder.glob("*"))) == 2  # the model and flavor.json
    answers, *alone = ask(folder, "tensorflow", records, *([record] for record in records))
    assert len(answers) == len(records)
    assert flat(answers) == pytest.approx(flat(expected_of(model, records)), rel=1e-5, abs=1e-6)
    assert flat(alone) == pytest.approx(flat(answers), rel=1e-4, abs=1e-6)
    assert flavors.detect(model) == "tensorflow"
    assert flavors.detect_files(folder) == "tensorflow"


def test_texts_are_records(folder, ask):
    """Of a model that takes them."""
    save(Texts(), folder)
    [answers] = ask(folder, "tensorflow", ["good", "bäd"])
    assert answers == ["GOOD", "BäD"]


def test_a_saved_model_is_found_where_it_is(folder, ask):
    """The folder of `tf.saved_model.save` itself, asked by the signature that the method names."""
    model = Scale()
    tf.saved_model.save(model, str(folder), signatures={"serve_it": model.__call__})
    assert flavors.detect_files(folder) == "tensorflow"
    with pytest.raises(ValueError, match=r"it has no signature 'serving_default'; known: serve_it$"):
        tensorflow.load(folder)
    tables.remember(folder, method="serve_it")
    [answers] = ask(folder, "tensorflow", ROWS)
    assert flat(answers) == pytest.approx(flat(expected_of(model, ROWS)), rel=1e-5)


@pytest.mark.parametrize("model", [dense(), Scale()], ids=["keras", "graph"])
@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([[1.0, 2.0, 3.0]], r"^the model takes records of shape \[4\], not \[3\]$"),
        ([ROWS[0], [1.0, 2.0]], r"^record 1 is of shape \[2\], and the first of shape \[4\]$"),
        ([[1.0, 2.0, 3.0, "x"]], r"^record 0 is no array of numbers of one size$"),
        ([{"a": 1.0}], "^record 0 is an object, and the model was saved without column names: send each"),
    ],
)
def test_a_wrong_record_is_one_sentence(model, records, sentence, folder):
    """That says which, and what is wrong."""
    save(model, folder)
    with pytest.raises(ValueError, match=sentence):
        tensorflow.predict(tensorflow.load(folder), records)


def test_a_record_without_a_column_or_an_input_is_named(tmp_path):
    """By its number."""
    for model, records, lacking in ((dense(), NAMED, "c"), (two(), PAIRS, "item")):
        folder = tmp_path / lacking
        folder.mkdir()
        save(model, folder, records)
        short = {name: value for name, value in records[1].items() if name != lacking}
        with pytest.raises(ValueError, match=rf"^record 1 has no '{lacking}'$"):
            tensorflow.predict(tensorflow.load(folder), [records[0], short])


def test_a_lambda_in_a_keras_file_is_refused(folder):
    """Keras' safe mode is on: it would be Python from the file."""
    dense(keras.layers.Lambda(lambda x: x + 1)).save(folder / "model.keras")
    with pytest.raises(ValueError, match=r"^model\.keras cannot be loaded: .*(Lambda|lambda|unsafe)"):
        tensorflow.load(folder)


def test_a_graph_that_reads_files_is_refused(folder):
    """When it is saved, and when it is loaded."""
    with pytest.raises(ValueError, match=r"the model cannot be saved: .*its graph has ReadFile, which reaches beyond"):
        save(Reader(), folder)
    with pytest.raises(ValueError, match=r"^saved_model\.pb cannot be loaded: .*its graph has ReadFile"):
        tensorflow.load(folder)


def test_a_format_without_a_safe_mode_is_refused(folder):
    """With what to do about it."""
    (folder / "weights.h5").write_bytes(b"")
    assert flavors.detect_files(folder) == "tensorflow"
    with pytest.raises(ValueError, match=r"^weights\.h5 cannot be loaded: .*save the model again as \.keras"):
        tensorflow.load(folder)


def test_a_model_without_a_signature_is_refused(folder):
    """There is nothing to ask."""
    with pytest.raises(
        ValueError, match=r"the model cannot be saved: .*it has no signature 'serving_default'; known: none"
    ):
        save(tf.Module(), folder)


def test_broken_and_missing_files_are_one_sentence(folder):
    """That names them."""
    with pytest.raises(FileNotFoundError, match=r"has no model\.keras and no saved_model$"):
        tensorflow.load(folder)
    for name in ("model.keras", "saved_model.pb"):
        (folder / name).write_bytes(pickle.dumps("no model"))
        with pytest.raises(ValueError, match=rf"^{name} cannot be loaded: "):
            tensorflow.load(folder)


def test_requirements_are_pinned(tmp_path):
    """Of a model and of its folder alike; Keras where it is Keras'."""
    for model, names in (
        (dense(), ["keras", "numpy", "tensorflow-cpu"]),
        (Scale(), ["numpy", "tensorflow-cpu"]),
    ):
        folder = tmp_path / type(model).__name__
        folder.mkdir()
        save(model, folder)
        found = tensorflow.requirements(model)
        assert [line.partition("==")[0] for line in found] == names
        assert tensorflow.requirements(folder) == found


def test_loading_writes_nothing_and_takes_one_thread(tmp_path, ask):
    """The folder is verified file by file before it is loaded, again and again."""
    for model in (dense(), Scale()):
        folder = tmp_path / type(model).__name__ / "model"
        folder.mkdir(parents=True)
        save(model, folder)
        before = sorted(folder.rglob("*"))
        then = "\nimport tensorflow as tf; print(tf.config.threading.get_intra_op_parallelism_threads())"
        _, told = ask(folder, "tensorflow", ROWS, then=then)
        assert told == ["1"]
        assert sorted(folder.rglob("*")) == before
