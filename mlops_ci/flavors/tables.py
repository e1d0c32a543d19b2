"""
Records, or columns, become the arrays and frames that tabular flavors ask their models with.

Lent to training and copied beside the flavor that serves, so: the standard library at import, nothing of the
package around, and Python 3.9. A null is NaN. What is wrong with a record is a `ValueError` that names it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from operator import itemgetter
from pathlib import Path
from typing import Any

# Where the distribution's name is not the module's.
_PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
}
# What a frame's column is made to be again; JSON gave it back as text, or as a whole number.
_KEPT = ("category", "datetime64", "float")
_TEXT = ("object", "str", "category")
_INTEGER = re.compile(r"u?int\d+", re.IGNORECASE)
# What libraries say of records and is no secret, in our words: theirs quote what was sent.
_REFUSALS = (
    (re.compile(r"contains NaN"), "a value contains NaN, which is what null becomes"),
    (re.compile(r"infinity or a value too large|contains inf"), "a value is infinite, or too large"),
    (re.compile(r"unknown categor|not in the training set"), "a category is none that training saw"),
    (
        re.compile(r"has \d+ features?, but .* expecting|number of features in data"),
        "there are too few or too many values",
    ),
)
_TOO_LARGE = "a record has a number that is too large"
EXACT = 2**53
"""From here on, a float does not hold every whole number."""


class Columns:
    """
    The columns at training, in their order.

    Attributes:
        names: None where training saw none: then records are arrays.
        dtypes: What pandas called the types at training, by name, as far as they are known.
        count: How many there are, where that is known.
    """

    def __init__(
        self, names: Iterable[str] | None, dtypes: Mapping[str, str] | None = None, count: int | None = None
    ) -> None:
        self.names = None if names is None else list(names)
        self.dtypes = dict(dtypes or {})
        self.count = count if self.names is None else len(self.names)
        self._pick = None if self.names is None else _picker(self.names)
        types = [self.dtypes.get(name, "") for name in self.names or ()]
        self._whole = [place for place, dtype in enumerate(types) if _INTEGER.match(dtype)]
        self._floats = {place for place, dtype in enumerate(types) if dtype.startswith("float")}
        self._text = any(dtype.startswith(_TEXT) for dtype in types)

    def rows(self, records: list[Any]) -> list[Any]:
        """
        Return *records* as rows in the order of training; arrays, and anything else, stay as they are.

        Raises:
            ValueError: A record lacks a column, or is an object where training saw no names.
        """
        if not isinstance(records[0], dict):
            return records
        if self._pick is None or self.names is None:
            raise ValueError("the model was trained without column names: send each record as an array")
        try:
            return list(map(self._pick, records))
        except (KeyError, TypeError):
            raise ValueError(next(_lacking(records, self.names))) from None

    def array(self, records: list[Any], *, text: bool = False) -> Any:
        """
        Return *records* as float64, a row each; where *text* is allowed, as object if there may be some.

        There, whole numbers that a float does not hold stay what they are, in columns of integers.

        Raises:
            ValueError: As `rows`; or rows differ in length, or hold what is no number.
        """
        rows = self.rows(records)
        if text and isinstance(rows[0], str):  # documents, for a vectorizer
            return rows
        return self.matrix(rows, text=text)

    def frame(self, records: list[Any]) -> Any:
        """Return *records* as a pandas frame with the types of training. Raises as `rows`, and for text in numbers."""
        import pandas as pd

        rows = self.rows(records)
        if self.names is not None and not isinstance(records[0], dict):
            _refuse_uneven(rows, len(self.names))
        frame = pd.DataFrame(rows, columns=self.names)
        return self._typed(frame, lambda name: [row[frame.columns.get_loc(name)] for row in rows])

    def array_of(self, columns: Mapping[str, Any], rows: int, *, text: bool = False) -> Any:
        """Return what `array` returns, of *columns*: a name → a NumPy array of *rows* values. Raises as `array`."""
        import numpy as np

        found = self.values_of(columns)
        if (text and self._text) or any(each.dtype.kind not in "fb" for each in found):
            return self.matrix(list(zip(*(each.tolist() for each in found))), text=text)  # noqa: B905  # Python 3.9
        table = np.empty((rows, len(found)))
        for index, each in enumerate(found):
            table[:, index] = each
        return table

    def frame_of(self, columns: Mapping[str, Any], rows: int) -> Any:
        """Return what `frame` returns, of *columns*: a name → a NumPy array of *rows* values. Raises as `frame`."""
        import pandas as pd

        found = {name: self._column(columns, name) for name in self.names or columns}
        values = {name: each.tolist() if each.dtype == object else each for name, each in found.items()}
        return self._typed(pd.DataFrame(values, index=range(rows)), lambda name: found[name].tolist())

    def table(self, records: list[Any], *, frame: bool, text: bool = False) -> Any:
        """Return *records* as a *frame*, or as an array, in which *text* may be allowed. Raises as those."""
        return self.frame(records) if frame else self.array(records, text=text)

    def table_of(self, columns: Mapping[str, Any], rows: int, *, frame: bool, text: bool = False) -> Any:
        """Return what `table` returns, of *columns* with *rows* values each. Raises as `table`."""
        return self.frame_of(columns, rows) if frame else self.array_of(columns, rows, text=text)

    def values_of(self, columns: Mapping[str, Any]) -> list[Any]:
        """Return the values of each column, in the order of training. Raises as `array_of`, but for the values."""
        if self.names is None:
            raise ValueError("the model was trained without column names: send each record as an array")
        return [self._column(columns, name) for name in self.names]

    def _column(self, columns: Mapping[str, Any], name: str) -> Any:
        try:
            return columns[name]
        except KeyError:
            raise ValueError(f"there is no column {name!r}") from None

    def matrix(self, rows: list[Any], *, text: bool = False) -> Any:
        """Return *rows*, as `rows` returns them, as `array` does. Raises as `array`."""
        import numpy as np

        try:
            found = np.array(rows)
        except ValueError:
            _refuse_uneven(rows, self.count)
            self._refuse_text(rows)
            raise
        except OverflowError:
            raise ValueError(_TOO_LARGE) from None
        if found.ndim == 1 or (found.ndim == 2 and self.count is not None and found.shape[1] != self.count):
            _refuse_uneven(rows, self.count)
        kind = found.dtype.kind
        numbers = kind in "fiub"
        if text and (self._text or (not numbers and any(isinstance(value, str) for row in rows for value in row))):
            return self._objects(rows)
        if not numbers:
            self._refuse_text(rows)
        if text and not self.dtypes and kind in "iu" and _beyond(found):
            return found
        if text and self._whole and _beyond(found[:, self._whole]):
            return self._objects(rows)
        try:
            return np.asarray(found if numbers else rows, dtype=np.float64)
        except OverflowError:
            raise ValueError(_TOO_LARGE) from None

    def _objects(self, rows: list[Any]) -> Any:
        """*rows* as they are, but for null."""
        import numpy as np

        return np.array([[self._value(place, value) for place, value in enumerate(row)] for row in rows], dtype=object)

    def _value(self, place: int, value: Any) -> Any:
        if value is None:
            return float("nan")
        return float(value) if place in self._floats and isinstance(value, int) else value

    def _refuse_text(self, rows: list[Any]) -> None:
        for number, row in enumerate(rows):
            for index, value in enumerate(row):
                if value is not None and not hasattr(value, "__float__"):
                    name = repr(self.names[index]) if self.names else f"place {index}"
                    raise ValueError(f"record {number} has {kind(value)} in {name}, where the model wants a number")

    def _typed(self, frame: Any, values: Callable[[str], list[Any]]) -> Any:
        """*frame*, which was made of *values*, with the types of training, where the values alone do not tell."""
        casts = {}
        for name, dtype in self.dtypes.items():
            if name not in frame.columns:
                continue
            column = frame[name]
            if dtype == "category" and column.dtype.kind == "f":
                frame[name] = _categories(values(name), column)
            elif dtype.startswith(_KEPT):
                casts[name] = dtype
            elif _INTEGER.match(dtype):
                if column.dtype.kind not in "iu":
                    frame[name] = _integers(name, values(name), column)
                casts.update(_integer_cast(name, dtype, frame[name]))
            elif column.dtype == object or column.isna().all():  # of text: an empty column of numbers is another thing
                frame[name] = column.astype(object).where(column.notna(), float("nan"))
        for name, dtype in casts.items():
            try:
                frame[name] = frame[name].astype(dtype)
            except (ValueError, TypeError):
                wanted = "a moment" if dtype.startswith("datetime64") else "a number"
                raise ValueError(f"column {name!r} has a value that is not {wanted}") from None
        return frame


def kind(value: Any) -> str:
    """Return what *value*, of a record, is; not the value, which is nobody else's business."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124  # NaN
        return "null"
    if isinstance(value, (str, bool)):
        return "text" if isinstance(value, str) else "true or false"
    if isinstance(value, (int, float)):
        return "a whole number" if value == value // 1 else "a fraction"
    return "an object" if isinstance(value, dict) else "an array" if hasattr(value, "__len__") else "something else"


def refusal(error: Exception) -> ValueError:
    """Return what the caller is told of the *error* of a library: nothing that was sent, and no path."""
    said = str(error)
    reason = next((f": {ours}" for theirs, ours in _REFUSALS if theirs.search(said)), "")
    return ValueError(f"the model refuses the records{reason}")


def options(folder: Path) -> dict[str, Any]:
    """Return what `flavor.json` in *folder* says; {} where there is none."""
    path = folder / "flavor.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def remember(folder: Path, **values: Any) -> None:
    """Write *values* into `flavor.json` in *folder*, beside what is there."""
    text = json.dumps({**options(folder), **values}, indent=1, ensure_ascii=False)
    (folder / "flavor.json").write_text(text + "\n", encoding="utf-8")


def one_file(path: Path, name: str, suffixes: tuple[str, ...]) -> Path | None:
    """Return *path* if it ends in one of *suffixes*; of a folder, its file *name* or the only one that does so."""
    if path.is_file():
        return path if path.suffix in suffixes else None
    if (path / name).is_file():
        return path / name
    found = [file for file in path.glob("*") if file.suffix in suffixes]
    return found[0] if len(found) == 1 else None


def threads() -> int:
    """Return how many threads a model may use for one prediction: `OMP_NUM_THREADS`, else 1."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else 1


def pinned(modules: Iterable[str]) -> list[str]:
    """Return `name==version` of the installed packages that have *modules*, sorted; Python's own need none."""
    names = {name for name in map(distribution, modules) if name}
    return sorted(f"{name}=={metadata.version(name)}" for name in names)


def distribution(module: str) -> str | None:
    """Return the installed package that has *module*, "" for Python's own, None for the project's own."""
    root = module.partition(".")[0]
    if not root:  # a relative import
        return None
    old = sys.version_info < (3, 10)
    if not old and root in sys.stdlib_module_names and root != "__main__":  # type: ignore[unused-ignore]
        return ""
    for name in _PACKAGES.get(root, (root,)):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return name
    if old:  # which cannot tell
        return ""
    return next(iter(metadata.packages_distributions().get(root, ())), None)


def _picker(names: list[str]) -> Callable[[Any], Any]:
    """What takes the values of *names* out of a record, as a tuple; in C, since it is asked at each request."""
    if len(names) == 1:
        return lambda record: (record[names[0]],)
    return itemgetter(*names) if names else lambda _: ()


def _lacking(records: list[Any], columns: list[str]) -> Iterator[str]:
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            yield f"record {number} is not an object like the first"
            continue
        yield from (f"record {number} has no {name!r}" for name in columns if name not in record)


def _refuse_uneven(rows: list[Any], count: int | None) -> None:
    for number, row in enumerate(rows):
        if isinstance(row, (dict, str)) or not hasattr(row, "__len__"):
            raise ValueError(f"record {number} is neither an object nor an array of values")
        wanted = len(rows[0]) if count is None else count
        if len(row) != wanted:
            raise ValueError(f"record {number} has {len(row)} values, where the model wants {wanted}")


def _beyond(table: Any) -> bool:
    """Whether there is a number that a float may not hold."""
    if table.dtype == object:
        return any(isinstance(value, int) and abs(value) >= EXACT for value in table.ravel().tolist())
    return bool(((table >= EXACT) | (table <= -EXACT)).any())


def _number(value: Any) -> Any:
    """*value* as an integer if it is whole."""
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else value


def _integers(name: str, values: list[Any], column: Any) -> Any:
    """*values* to the last digit; else *column*, as pandas read them."""
    import numpy as np

    found = [_number(value) for value in values]
    whole = [value for value in found if isinstance(value, int)]
    least, most = min(whole, default=0), max(whole, default=0)
    if least < -(2**63) or most >= 2**64 or (least < 0 and most >= 2**63):
        raise ValueError(f"column {name!r} has a whole number of more than 64 bits")
    if len(whole) == len(found):
        return np.array(found, dtype=np.uint64 if most >= 2**63 else np.int64)
    if most >= EXACT or least <= -EXACT:
        raise ValueError(
            f"column {name!r} has a null or a fraction beside a whole number that only an integer holds: "
            "ask for each in a request of its own"
        )
    return column


def _integer_cast(name: str, dtype: str, column: Any) -> dict[str, str]:
    """What *column* of integers is made to be; one that *dtype* does not hold is left alone."""
    import numpy as np

    if column.dtype.kind not in "iu":
        return {name: "float64"}
    limits = np.iinfo(dtype.partition("[")[0].lower())
    fits = column.empty or (int(column.min()) >= limits.min and int(column.max()) <= limits.max)
    return {name: dtype} if fits else {}


def _categories(values: list[Any], column: Any) -> Any:
    """Whole numbers as such, though null made floats of them."""
    import pandas as pd

    found = [_number(value) for value in values]
    known = sorted({value for value in found if isinstance(value, int) and abs(value) < 2**63})
    places = {value: place for place, value in enumerate(known)}
    if not known or any(value not in places and kind(value) != "null" for value in found):
        return column.astype("category")
    return pd.Categorical.from_codes([places.get(value, -1) for value in found], pd.Index(known, dtype="int64"))
