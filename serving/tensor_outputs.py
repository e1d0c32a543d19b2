"""
Predictions become tensors: `predictions`, or one for each property where a prediction is an object.

A number is FP64, an integer INT64, a boolean BOOL, a string BYTES; an array of them is a tensor of more dimensions. A
null among numbers is NaN. Where the signature does not say what a prediction is, the predictions do; what has no
tensor of its own (an object within an object, say) is BYTES with JSON in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import orjson

from serving.errors import Rejected, invalid
from serving.manifest import Manifest
from serving.tensor_inputs import described
from serving.tensors import DATATYPE, inner_shape, kinds_of, unsayable

_ONLY = "predictions"
_FITS: dict[str, set[type]] = {"BOOL": {bool}, "INT64": {int}, "FP64": {int, float}, "BYTES": {str}}
_INT64 = range(-(2**63), 2**63)


class Output(NamedTuple):
    """A tensor of answers; *values* are in row-major order, NaN for null."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Any]


class Outputs:
    """
    Makes the output tensors of one model.

    Args:
        manifest: Has the signature.
        encoded: Gives answers as JSON, or raises `Rejected` where they are none.
    """

    def __init__(self, manifest: Manifest, encoded: Callable[[list[Any]], bytes]) -> None:
        schema = (manifest.content.get("signature") or {}).get("outputs", {})
        properties = schema.get("properties") if kinds_of(schema) == {"object"} else None
        self._schemas: dict[str, Mapping[str, Any]] = properties or ({_ONLY: schema} if kinds_of(schema) else {})
        self._by_property = bool(properties)
        self._nulls = "null" in kinds_of(schema)
        self._encoded = encoded

    def metadata(self) -> list[dict[str, Any]]:
        """Return name, datatype and shape of each output; nothing where the signature does not say."""
        return [
            described(name, schema) if _is_tensor(schema) else {"name": name, "datatype": "BYTES", "shape": [-1]}
            for name, schema in self._schemas.items()
        ]

    def demand(self, wanted: Sequence[str]) -> None:
        """Raise `Rejected` where an output of *wanted* is known not to be."""
        if self._schemas:
            _pick(wanted, list(self._schemas))

    def tensors(self, answers: list[Any], wanted: Sequence[str] = ()) -> list[Output]:
        """
        Return the outputs *wanted* (all, if it is empty) of *answers*.

        Raises:
            Rejected: 400 for an output that is not there, 500 for answers that no tensor holds.
        """
        columns = self._columns(answers)
        return [self._output(name, columns[name]) for name in _pick(wanted, list(columns))]

    def _output(self, name: str, column: list[Any]) -> Output:
        schema = self._schemas.get(name, {})
        if kinds_of(schema) and not _is_tensor(schema):
            return self._json(name, column)
        if not kinds_of(schema):
            return self._of_flat(name, *_flat(column, math.inf)) or self._json(name, column)
        inner, items = inner_shape(schema)
        flat, shape = _flat(column, len(inner))
        found = self._of_flat(name, flat, shape, described(name, items)["datatype"])
        if found is None or len(shape) <= len(inner):
            raise unsayable(name)
        return found

    def _of_flat(self, name: str, flat: list[Any], shape: list[int], datatype: str = "BOOL") -> Output | None:
        """The tensor of *datatype*, or of the first that holds the values; None where none does."""
        kinds = set(map(type, flat))
        if type(None) in kinds:
            if not kinds <= {int, float, type(None)}:
                return None
            return Output(name, "FP64", shape, [math.nan if value is None else self._finite(value) for value in flat])
        fitting = [each for each in dict.fromkeys((datatype, *_FITS)) if kinds <= _FITS[each]]
        if not fitting or (fitting[0] == "INT64" and not (min(flat) in _INT64 and max(flat) in _INT64)):
            return None
        if fitting[0] == "FP64":
            flat = [self._finite(value) for value in flat]
        return Output(name, fitting[0], shape, flat)

    def _finite(self, value: float) -> float:
        """*value*, or NaN where /predict says null for what is not finite."""
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
        if self._nulls:
            return math.nan
        raise Rejected(500, "non-finite", "the model answered with a number that is not finite")

    def _json(self, name: str, column: list[Any]) -> Output:
        self._encoded(column)
        texts = [orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode() for value in column]
        return Output(name, "BYTES", [len(texts)], texts)

    def _columns(self, answers: list[Any]) -> dict[str, list[Any]]:
        objects = all(isinstance(answer, dict) for answer in answers)
        if self._by_property:
            if not objects:
                raise unsayable(_ONLY)
            return {name: [answer.get(name) for answer in answers] for name in self._schemas}
        if (
            not self._schemas
            and objects
            and answers[0]
            and all(answer.keys() == answers[0].keys() for answer in answers)
        ):
            return {str(name): [answer[name] for answer in answers] for name in answers[0]}
        return {_ONLY: answers}


def _pick(wanted: Sequence[str], known: list[str]) -> list[str]:
    for name in wanted:
        if name not in known:
            raise invalid(f"the model has no output {name!r}; it has {', '.join(map(repr, known))}", "outputs", name)
    return list(dict.fromkeys(wanted)) or known


def _is_tensor(schema: Mapping[str, Any]) -> bool:
    """Whether values of *schema* are a tensor and not JSON within one."""
    kinds = kinds_of(inner_shape(schema)[1]) - {"null"}
    return (len(kinds) == 1 and kinds <= DATATYPE.keys()) or kinds == {"integer", "number"}


def _flat(column: list[Any], most: float) -> tuple[list[Any], list[int]]:
    """The values within at most *most* levels of lists of one length, and the shape of them."""
    flat, shape = column, [len(column)]
    while len(shape) <= most and flat and all(isinstance(value, list | tuple) for value in flat):
        size = len(flat[0])
        if not size or any(len(value) != size for value in flat):
            break
        flat = list(chain.from_iterable(flat))
        shape.append(size)
    return flat, shape
