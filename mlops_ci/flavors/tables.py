"""
Records, or columns, become the arrays and frames that tabular flavors ask their models with.

Lent to training and copied beside the flavor that serves, so: the standard library at import, nothing of the
package around, and Python 3.9. A null is NaN. What is wrong with a record is a `ValueError` that names it.
"""

from __future__ import annotations

import json
import os
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
        Return *records* as float64, a row each; as object, where *text* is allowed and there is some.

        Raises:
            ValueError: As `rows`; or rows differ in length, or hold what is no number.
        """
        rows = self.rows(records)
        if text and isinstance(rows[0], str):  # documents, for a vectorizer
            return rows
        return self._matrix(rows, text=text)

    def frame(self, records: list[Any]) -> Any:
        """Return *records* as a pandas frame with the types of training. Raises as `rows`, and for text in numbers."""
        import pandas as pd

        rows = self.rows(records)
        if self.names is not None and not isinstance(records[0], dict):
            _refuse_uneven(rows, len(self.names))
        return self._typed(pd.DataFrame(rows, columns=self.names))

    def array_of(self, columns: Mapping[str, Any], rows: int, *, text: bool = False) -> Any:
        """Return what `array` returns, of *columns*: a name → a NumPy array of *rows* values. Raises as `array`."""
        import numpy as np

        found = self.values_of(columns)
        if any(each.dtype == object for each in found):
            return self._matrix(list(zip(*(each.tolist() for each in found))), text=text)  # noqa: B905  # Python 3.9
        table = np.empty((rows, len(found)))
        for index, each in enumerate(found):
            table[:, index] = each
        return table

    def frame_of(self, columns: Mapping[str, Any], rows: int) -> Any:
        """Return what `frame` returns, of *columns*: a name → a NumPy array of *rows* values. Raises as `frame`."""
        import pandas as pd

        found = {name: self._column(columns, name) for name in self.names or columns}
        values = {name: each.tolist() if each.dtype == object else each for name, each in found.items()}
        return self._typed(pd.DataFrame(values, index=range(rows)))

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

    def _matrix(self, rows: list[Any], *, text: bool) -> Any:
        import numpy as np

        try:
            found = np.array(rows)
        except ValueError:
            _refuse_uneven(rows, self.count)
            self._refuse_text(rows)
            raise
        if found.ndim == 1 or (found.ndim == 2 and self.count is not None and found.shape[1] != self.count):
            _refuse_uneven(rows, self.count)
        kind = found.dtype.kind
        if kind == "f":
            return found
        if kind in "iub":
            return found.astype(np.float64)
        if text and any(isinstance(value, str) for row in rows for value in row):
            return np.array(rows, dtype=object)
        self._refuse_text(rows)
        return np.array(rows, dtype=np.float64)

    def _refuse_text(self, rows: list[Any]) -> None:
        for number, row in enumerate(rows):
            for index, value in enumerate(row):
                if value is not None and not hasattr(value, "__float__"):
                    name = repr(self.names[index]) if self.names else f"place {index}"
                    raise ValueError(f"record {number} has {value!r} in {name}, where the model wants a number")

    def _typed(self, frame: Any) -> Any:
        """*frame* with the types of training, where the values alone do not tell."""
        casts = {}
        for name, dtype in self.dtypes.items():
            if name not in frame.columns:
                continue
            column = frame[name]
            if dtype.startswith(_KEPT):
                casts[name] = dtype
            elif dtype.startswith(("int", "uint")):
                plain = column.dtype != object and column.notna().all() and (column == column.round()).all()
                casts[name] = dtype if plain else "float64"
            elif column.isna().all():  # of text: an empty column of numbers is another thing
                frame[name] = column.astype(object).where(column.notna(), float("nan"))
        for name, dtype in casts.items():
            try:
                frame[name] = frame[name].astype(dtype)
            except (ValueError, TypeError):
                wanted = "a moment" if dtype.startswith("datetime64") else "a number"
                raise ValueError(f"column {name!r} has a value that is not {wanted}") from None
        return frame


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
