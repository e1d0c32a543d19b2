"""
Rows, columns and types of CSV, in one pass and a bounded amount of memory.

A column is boolean, integer, number, timestamp or string if all its values are, apart from those that stand
for "missing"; integers and numbers together are numbers; a column of nothing but missing values is empty.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from mlops_ci.data.tables import Table
from mlops_ci.entities import Column

_CHUNK_ROWS = 2_000
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None"})
_TYPES = {
    "boolean": re.compile(r"true|false", re.IGNORECASE),
    "integer": re.compile(r"[+-]?[0-9]+"),
    "number": re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf(inity)?)", re.IGNORECASE),
    "timestamp": re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
    ),
}
_DELIMITERS = (",", ";", "\t", "|")


def read(file: io.BufferedReader) -> Table:
    """Read the table in *file* (UTF-8; the delimiter is the one that the header has); what is odd is noted."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a document in a field is no fault
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        return _table(text)
    except UnicodeDecodeError:
        return Table(note="rows and columns are not known: the file is not UTF-8")
    except csv.Error as error:
        return Table(note=f"rows and columns are not known: {error}")
    finally:
        text.detach()


def _table(text: io.TextIOWrapper) -> Table:
    first = text.readline()
    rows = _Rows(chain([first], text), next((each for each in _DELIMITERS if each in first), ","))
    if not rows.header:
        return Table(rows=0, columns=[], note="there is no header: the file is empty, or begins with a blank line")
    found: list[set[str]] = [set() for _ in rows.header]
    for chunk in rows.chunks():
        for kinds, values in zip(found, zip(*chunk, strict=True), strict=True):
            if "string" not in kinds:
                kinds.update(_kinds(set(values), kinds))
    columns = [Column(name=name, type=_type(kinds)) for name, kinds in zip(rows.header, found, strict=True)]
    return Table(rows=rows.count, columns=columns, note="; ".join([*_odd_header(rows.header), *rows.odd()]))


class _Rows:
    """The rows, all as wide as the header; those that were not are counted."""

    def __init__(self, lines: Iterable[str], delimiter: str) -> None:
        self._reader = csv.reader(lines, delimiter=delimiter)
        self.header = next(self._reader, [])
        self.count = 0
        self._odd = 0
        self._first_odd = ""

    def chunks(self) -> Iterator[list[list[str]]]:
        """Yield the rows by the thousand; blank lines are no rows."""
        rows = self._even(len(self.header))
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            self.count += len(chunk)
            yield chunk

    def odd(self) -> Iterator[str]:
        """Yield a sentence on the rows that were not as wide as the header."""
        if self._odd:
            yield f"{self._odd} row{'s'[: self._odd != 1]} not as wide as the header, first {self._first_odd}"

    def _even(self, width: int) -> Iterator[list[str]]:
        for row in self._reader:
            if len(row) == width:
                yield row
            elif row:
                self._odd += 1
                self._first_odd = self._first_odd or f"line {self._reader.line_num}: {len(row)} values, not {width}"
                yield (row + [""] * width)[:width]


def _kinds(values: set[str], seen: set[str]) -> set[str]:
    """The types of the distinct *values*. Those *seen* before are tried first, which is most of the speed."""
    found, rest = set(), values - MISSING
    for name in sorted(_TYPES, key=lambda each: each not in seen):
        if not rest:
            break
        matches = _TYPES[name].fullmatch
        left = {value for value in rest if not matches(value)}
        if len(left) < len(rest):
            found.add(name)
        rest = left
    return found | {"string"} if rest else found


def _type(kinds: Iterable[str]) -> str:
    found = set(kinds)
    if found == {"integer", "number"}:
        return "number"
    return "empty" if not found else found.pop() if len(found) == 1 else "string"


def _odd_header(header: list[str]) -> Iterator[str]:
    if _kinds(set(header), set()) <= {"integer", "number"}:
        yield "the first line looks like values, and was taken for names"
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        yield f"more than one column is named {repeated[0]!r}"
