"""
TensorFlow and Keras. A Keras model becomes `model.keras`; one with code of its own, and a `tf.Module`, a SavedModel.

`model.keras` is read in Keras' safe mode, which refuses pickled functions, and only its own classes are looked up:
a model with classes, Lambda layers or functions that Keras does not have is exported as a SavedModel, whose graph holds
what they do. `.h5` is refused: it is from before the safe mode.

A SavedModel runs no Python, but its graph is a program: TensorFlow says to trust it like one. A graph with operations
that read or write any file, or call into Python, is refused; the operations that restore its own weights stay.

A record is an array, or an object of numbers (or texts) by column name in the order that `flavor.json` remembers; for
a model of several inputs an object by their names. `method` in `flavor.json` names the signature of a SavedModel, which
is `serving_default` otherwise. A single output is the answer itself, several are an object by name.

In a service TensorFlow gets OMP_NUM_THREADS threads, or one; a training keeps its own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import tables, tensors

_KERAS = "model.keras"
_GRAPH = "saved_model.pb"
_FOLDER = "saved_model"
_SUFFIXES = (".keras", ".h5", ".hdf5")
_VALUES = {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__"}
_REFUSED = {"EagerPyFunc", "MatchingFiles", "PyFunc", "PyFuncStateless", "ReadFile", "WriteFile"}


class Loaded(NamedTuple):
    """A model and how to ask it: *call* takes one array for each of *inputs*; *columns* is None for arrays."""

    call: Callable[..., Any]
    inputs: list[tensors.Input]
    columns: list[str] | None


def owns(model: Any) -> bool:
    """Whether *model* is a Keras model or a `tf.Module`."""
    kinds = (
        getattr(sys.modules.get(name), kind, None) for name, kind in (("keras", "Model"), ("tensorflow", "Module"))
    )
    return isinstance(model, tuple(kind for kind in kinds if isinstance(kind, type)))


def owns_files(path: Path) -> bool:
    """Whether *path* is a SavedModel, a `.keras` or `.h5` file, or a folder with exactly one of them."""
    return _find(path) is not None


def save(model: Any, folder: Path) -> None:
    """Write *model* as `model.keras` or `saved_model/`. Raises as the protocol says."""
    keras = sys.modules.get("keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # inside Keras, of NumPy
        try:
            if keras is not None and isinstance(model, keras.Model):
                _save_keras(model, folder, keras)
            else:
                _tensorflow().saved_model.save(model, str(folder / _FOLDER))
            load(folder)
        except Exception as error:
            raise ValueError(f"the model cannot be saved: {_sentence(error)}") from error


def load(folder: Path) -> Loaded:
    """Load the model. Raises as the protocol says."""
    path = _find(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has no {_KERAS} and no {_FOLDER}")
    options = tables.options(folder)
    try:
        if path.name == _GRAPH:
            call, inputs = _read_graph(path, options.get("method", "serving_default"))
        else:
            call, inputs = _read_keras(path, options.get("backend", "tensorflow"))
    except Exception as error:  # archives can be broken in any way
        raise ValueError(f"{path.name} cannot be loaded: {_sentence(error)}") from error
    return Loaded(call, inputs, options.get("columns"))


def predict(model: Loaded, records: list[Any]) -> list[Any]:
    """Return one prediction for each of *records*. Raises as the protocol says."""
    batch = tensors.stack(records, model.inputs, model.columns)
    try:
        outputs = model.call(*batch)
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        shapes = ", ".join(str(list(each.shape[1:])) for each in batch)
        raise ValueError(f"the model does not take records of shape {shapes}: {_sentence(error)}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "tensorflow":  # its errors are of no common kind
            raise
        raise ValueError(f"the model does not take the records: {_sentence(error)}") from error
    return tensors.unstack(_arrays(outputs), len(records))


def requirements(model: Any) -> list[str]:
    """Pin NumPy and TensorFlow, as `tensorflow` or `tensorflow-cpu`, and for a Keras model Keras and its backend."""
    keras = sys.modules.get("keras")
    if isinstance(model, Path):
        found = _find(model)
        by_keras = found is not None and found.suffix == ".keras"
        backend = tables.options(model).get("backend", "tensorflow")
    else:
        by_keras = keras is not None and isinstance(model, keras.Model)
        backend = keras.backend.backend() if keras is not None and by_keras else "tensorflow"
    pins = tables.pinned({"numpy", backend} | ({"keras"} if by_keras else set()))
    return sorted(line.replace("_", "-", 1).partition("+")[0] for line in pins)  # tensorflow_cpu


def _find(path: Path) -> Path | None:
    for graph in (path / _GRAPH, path / _FOLDER / _GRAPH):
        if graph.is_file():
            return graph
    if not path.is_file() and (path / "model.py").exists():  # which knows better how to load it
        return None
    return tables.one_file(path, _KERAS, _SUFFIXES)


def _tensorflow() -> Any:
    """TensorFlow's module, made for a service if this is one."""
    service = __name__.partition(".")[0] == "flavors"
    if service:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    found = importlib.import_module("tensorflow")
    if service:
        found.config.threading.set_intra_op_parallelism_threads(tables.threads())
        found.config.threading.set_inter_op_parallelism_threads(1)
    return found


def _save_keras(model: Any, folder: Path, keras: Any) -> None:
    path = folder / _KERAS
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        own = next(_own_classes(json.loads(archive.read("config.json"))), None)
    if own is None:
        tables.remember(folder, backend=keras.backend.backend())
        return
    path.unlink()
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"it has {own}, which Keras has not, and only TensorFlow exports such a model")
    model.export(str(folder / _FOLDER), verbose=False)


def _own_classes(node: Any) -> Iterator[str]:
    """The names of the classes and functions in a Keras configuration that are not of Keras."""
    if isinstance(node, dict):
        name = node.get("class_name")
        module = str(node.get("module")).partition(".")[0]
        known = module in {"keras", "builtins"} and name != "Lambda"
        known = known or name in _VALUES
        if "config" in node and isinstance(name, str) and not known:
            yield name
    if isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _own_classes(value)


def _read_keras(path: Path, backend: str) -> tuple[Callable[..., Any], list[tensors.Input]]:
    if path.suffix != ".keras":
        raise ValueError("it is of a format without a safe mode: save the model again as .keras")
    os.environ.setdefault("KERAS_BACKEND", backend)
    tensorflow = _tensorflow() if os.environ["KERAS_BACKEND"] == "tensorflow" else None
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    told = getattr(model, "_inputs_struct", None)  # the user's own names, where they gave a dict
    named = told if isinstance(told, dict) else {each.name: each for each in model.inputs}
    inputs = [tensors.Input(name, str(each.dtype), list(each.shape[1:])) for name, each in named.items()]

    def call(*batch: Any) -> Any:
        given = dict(zip(named, batch))  # noqa: B905  # Python 3.9
        return model(batch[0] if len(given) == 1 and told is not named else given, training=False)

    if tensorflow is None:
        return call, inputs
    specs = [tensorflow.TensorSpec(each.shape, each.dtype) for each in named.values()]
    return _on_tensors(tensorflow, tensorflow.function(call, input_signature=specs), specs), inputs


def _read_graph(path: Path, method: str) -> tuple[Callable[..., Any], list[tensors.Input]]:
    tensorflow = _tensorflow()
    _refuse_unsafe(path)
    model = tensorflow.saved_model.load(str(path.parent))
    if method not in model.signatures:
        known = ", ".join(sorted(model.signatures)) or "none"
        raise ValueError(f"it has no signature {method!r}; known: {known}")
    signature = model.signatures[method]
    specs = signature.structured_input_signature[1]
    inputs = [
        tensors.Input(name, spec.dtype.name, None if spec.shape.rank is None else spec.shape.as_list()[1:])
        for name, spec in specs.items()
    ]

    def call(*batch: Any) -> Any:
        outputs = signature(**dict(zip(specs, batch)))  # noqa: B905  # Python 3.9
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    call.model = model  # type: ignore[attr-defined]  # its weights live as long as it does
    return _on_tensors(tensorflow, call, list(specs.values())), inputs


def _on_tensors(tensorflow: Any, call: Callable[..., Any], specs: list[Any]) -> Callable[..., Any]:
    """*call* for arrays."""

    def on_arrays(*batch: Any) -> Any:
        given = (tensorflow.constant(array, spec.dtype) for array, spec in zip(batch, specs))  # noqa: B905  # Python 3.9
        return call(*given)

    return on_arrays


def _refuse_unsafe(path: Path) -> None:
    """Refuse a graph that could reach files or Python."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(path.read_bytes())
    for meta in saved.meta_graphs:
        graph = meta.graph_def
        operations = {node.op for node in graph.node}
        operations.update(node.op for function in graph.library.function for node in function.node_def)
        found = sorted(operations & _REFUSED)
        if found:
            raise ValueError(f"its graph has {found[0]}, which reaches beyond the model")


def _arrays(outputs: Any) -> Any:
    """NumPy's arrays for the tensors in *outputs*."""
    if isinstance(outputs, dict):
        return {name: _arrays(part) for name, part in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return [_arrays(part) for part in outputs]
    if hasattr(outputs, "detach"):  # Keras on PyTorch
        return outputs.detach().cpu().numpy()
    import numpy as np

    return outputs.numpy() if hasattr(outputs, "numpy") else np.asarray(outputs)


def _sentence(error: Exception) -> str:
    """The first line of what *error* says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
