"""
A model converted to ONNX, where that predicts the same.

The converters are the frameworks' own: skl2onnx, onnxmltools, CatBoost's export. Double precision comes first, single
precision after it. Whether one is exact enough is asked of both models: on all records of the example, and on the same
records with every column shuffled and its numbers moved, since an example alone seldom meets the places where
rounding decides.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlops_ci import flavors
from mlops_ci.flavors import onnx, sklearn
from mlops_ci.flavors import tables as columns
from mlops_ci.tracking import tables

TOLERANCE = 1e-5
_FEWEST = 100  # changed records, however small the example
_FILE = "model.onnx"
_LONGEST = 200


class Outcome(NamedTuple):
    """How far the two models differ at most, relative to the prediction, on how many records."""

    largest_difference: float
    rows: int

    def sentence(self, flavor: str) -> str:
        """What a person should know of it."""
        what = f"by {self.largest_difference:.1g} relative at most" if self.largest_difference else "nowhere"
        return f"converted from {flavor} to ONNX; of {self.rows:,} predictions compared, they differ {what}"


class _Candidate(NamedTuple):
    """A conversion that may be tried; *remember* is what the ONNX flavor has to know of it."""

    precision: str
    make: Callable[[], Any]
    remember: dict[str, Any]


class _Native(NamedTuple):
    """The model as it was saved: its folder, what its flavor's `load` returned, and a record for it."""

    folder: Path
    loaded: Any
    record: Any


def to_onnx(flavor: str, native: Path, example: Any, folder: Path) -> Outcome:
    """
    Write into *folder*, which exists, an ONNX model that predicts as the one in *native*.

    Args:
        flavor: Of the model in *native*.
        native: A model folder with its `flavor.json`.
        example: As `Run.log_model` takes it.
        folder: Gets `model.onnx` and its `flavor.json`, or remains without a model.

    Raises:
        ValueError: No conversion is exact enough, or none is to be had; one sentence, with the number.
    """
    if flavor not in _CONVERTERS:
        raise ValueError(f"there is no conversion from {flavor} to ONNX")
    if example is None:
        raise ValueError("there is no input example to compare the predictions on")
    module = flavors.find(flavor)
    try:
        loaded = module.load(native)
        records, predictions = _asked(lambda rows: module.predict(loaded, rows), example)
        candidates = list(_CONVERTERS[flavor](_Native(native, loaded, records[0])))
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed") from error
    method = columns.options(native).get("method", "predict")
    found = []
    for candidate in candidates:
        try:
            _write(candidate, folder, method)
            outcome = _compare(records, predictions, folder, certain=method == "predict_proba")
        except Exception as error:  # noqa: BLE001  # converters promise nothing
            found.append(f"{candidate.precision}: {_sentence(error)}")
            (folder / _FILE).unlink(missing_ok=True)
            continue
        facts = {"converted_from": flavor, "largest_difference": outcome.largest_difference}
        columns.remember(folder, compared_rows=outcome.rows, **facts)
        return outcome
    raise ValueError("; ".join(found))


def _asked(predict: Callable[[list[Any]], list[Any]], example: Any) -> tuple[list[Any], list[Any]]:
    """The records of *example* and changed ones, as many as the model knows an answer to, and the answers."""
    whole = [record for batch in tables.batches(example) for record in batch]
    answers = _in_batches(predict, whole)
    for spread in (0.1, 0.0):  # a model may know the values of training alone
        changed = _changed(whole, spread)
        try:
            return whole + changed, answers + _in_batches(predict, changed)
        except Exception:  # noqa: BLE001, S112  # it is the user's model
            continue
    return whole, answers


def _in_batches(predict: Callable[[list[Any]], list[Any]], records: list[Any]) -> list[Any]:
    size = tables.BATCH
    return [each for start in range(0, len(records), size) for each in predict(records[start : start + size])]


def _changed(records: list[Any], spread: float) -> list[Any]:
    """At least a hundred records whose values are of these, each column by itself; numbers moved by *spread*."""
    dice = random.Random(0)  # noqa: S311  # the same records at each run
    if not isinstance(records[0], (dict, list)):
        return []
    names = list(records[0]) if isinstance(records[0], dict) else list(range(len(records[0])))
    times = max(1, math.ceil(_FEWEST / len(records)))
    shuffled = [_moved([record[name] for record in records] * times, spread, dice) for name in names]
    rows: Iterator[Any] = zip(*shuffled)  # noqa: B905  # Python 3.9
    if isinstance(records[0], dict):
        return [dict(zip(names, row)) for row in rows]  # noqa: B905  # Python 3.9
    return [list(row) for row in rows]


def _moved(values: list[Any], spread: float, dice: random.Random) -> list[Any]:
    """*values* in another order; fractions moved by *spread* of their deviation, whole numbers within their bounds."""
    dice.shuffle(values)
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if not spread or len(numbers) < len([value for value in values if value is not None]) or not numbers:
        return values
    if all(float(number).is_integer() for number in numbers):
        kind, low, high = type(numbers[0]), int(min(numbers)), int(max(numbers))
        return [value if value is None else kind(dice.randint(low, high)) for value in values]
    mean = math.fsum(numbers) / len(numbers)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    return [value if value is None else value + dice.gauss(0.0, spread * deviation) for value in values]


def _write(candidate: _Candidate, folder: Path, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what converters say to their authors
        made = candidate.make()
    if isinstance(made, bytes):
        (folder / _FILE).write_bytes(made)
    else:
        onnx.save(made, folder)
    columns.remember(folder, method=method, **candidate.remember)


def _compare(records: list[Any], expected: list[Any], folder: Path, *, certain: bool) -> Outcome:
    """Ask the model in *folder*; raise a `ValueError` that says where it differs. *certain*: 1 is what is whole."""
    loaded = onnx.load(folder)
    answers = _in_batches(lambda rows: onnx.predict(loaded, rows), records)
    pairs = [_flat(number, one, other) for number, (one, other) in enumerate(zip(expected, answers))]  # noqa: B905  # Python 3.9
    largest = 0.0
    for place in zip(*pairs):  # noqa: B905  # Python 3.9
        sizes = sorted(abs(one) for one, _ in place if isinstance(one, float) and math.isfinite(one))
        floor = 1.0 if certain else sizes[len(sizes) // 2] if sizes else 0.0
        differences = [_difference(number, one, other, floor) for number, (one, other) in enumerate(place)]
        worst = max(range(len(differences)), key=differences.__getitem__)
        if not differences[worst] <= TOLERANCE:
            one, other = place[worst]
            raise ValueError(
                f"of {len(place):,} predictions one differs by {differences[worst]:.1g} relative "
                f"({one!r}, by ONNX {other!r}), where {TOLERANCE} is allowed"
            )
        largest = max(largest, differences[worst])
    return Outcome(largest, len(records))


def _flat(number: int, one: Any, other: Any) -> list[tuple[Any, Any]]:
    """The values of two predictions side by side."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [pair for first, second in zip(one, other) for pair in _flat(number, first, second)]  # noqa: B905  # Python 3.9
    if isinstance(one, (list, dict)) or isinstance(other, (list, dict)):
        raise ValueError(f"prediction {number} is {_brief(one)}, by ONNX {_brief(other)}")  # noqa: TRY004
    return [(one, other)]


def _difference(number: int, one: Any, other: Any, floor: float) -> float:
    if not (isinstance(one, float) and isinstance(other, float)):
        if type(one) is not type(other) or one != other:
            raise ValueError(f"prediction {number} is {one!r}, by ONNX {other!r}")
        return 0.0
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    found = abs(one - other) / max(abs(one), abs(other), floor)
    return math.inf if math.isnan(found) else found


def _from_sklearn(native: _Native) -> Iterator[_Candidate]:
    from skl2onnx import convert_sklearn
    from skl2onnx.common import data_types

    loaded, record = native.loaded, native.record
    estimator = sklearn.read(native.folder)  # not the loaded one, which has forgotten its columns
    names = loaded.columns.names or (list(record) if isinstance(record, dict) else None)
    classes = list(map(_plain, getattr(estimator, "classes_", ())))
    options = {"zipmap": False} if classes else None
    remember: dict[str, Any] = {} if names is None else {"columns": names}
    if classes and classes == list(range(len(classes))):  # False and True, 0.0 and 1.0 too
        remember["classes"] = classes
    for precision, number in (("double", data_types.DoubleTensorType), ("single", data_types.FloatTensorType)):
        wanted: list[tuple[str, Any]]
        if not isinstance(record, (dict, list)):
            wanted = [("X", data_types.StringTensorType([None, 1]))]
        elif names is not None and (loaded.frame or any(isinstance(record[name], str) for name in names)):
            kinds = (data_types.StringTensorType if isinstance(record[name], str) else number for name in names)
            wanted = [(name, kind([None, 1])) for name, kind in zip(names, kinds)]  # noqa: B905  # Python 3.9
        else:
            wanted = [("X", number([None, len(record if names is None else names)]))]

        def make(wanted: list[tuple[str, Any]] = wanted) -> Any:
            return convert_sklearn(estimator, initial_types=wanted, options=options)

        yield _Candidate(precision, make, remember)


def _from_xgboost(native: _Native) -> Iterator[_Candidate]:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    loaded = native.loaded
    booster = loaded.booster[: loaded.rounds[1]] if loaded.rounds[1] else loaded.booster
    booster.feature_names = None  # the converter reads f0, f1, ... alone
    wanted = [("X", FloatTensorType([None, booster.num_features()]))]
    yield _Candidate("single", lambda: convert_xgboost(booster, initial_types=wanted), _names_of(loaded))


def _from_lightgbm(native: _Native) -> Iterator[_Candidate]:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import DoubleTensorType, FloatTensorType

    loaded = native.loaded
    remember = {**_names_of(loaded), **({"classes": loaded.classes} if loaded.classes else {})}
    for precision, number in (("double", DoubleTensorType), ("single", FloatTensorType)):
        wanted = [("X", number([None, loaded.booster.num_feature()]))]

        def make(wanted: list[tuple[str, Any]] = wanted) -> Any:
            return convert_lightgbm(loaded.booster, initial_types=wanted, zipmap=False)

        yield _Candidate(precision, make, remember)


def _from_catboost(native: _Native) -> Iterator[_Candidate]:
    path = native.folder.parent / "catboost.onnx"

    def make() -> bytes:
        native.loaded.model.save_model(str(path), format="onnx")
        return path.read_bytes()

    yield _Candidate("single", make, _names_of(native.loaded))


_CONVERTERS: dict[str, Callable[[_Native], Iterator[_Candidate]]] = {
    "sklearn": _from_sklearn,
    "xgboost": _from_xgboost,
    "lightgbm": _from_lightgbm,
    "catboost": _from_catboost,
}


def _names_of(loaded: Any) -> dict[str, Any]:
    return {} if loaded.columns.names is None else {"columns": loaded.columns.names}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _brief(answer: Any) -> str:
    return f"a list of {len(answer)}" if isinstance(answer, list) else f"a {type(answer).__name__}"


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
