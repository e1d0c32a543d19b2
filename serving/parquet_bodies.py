"""
Parquet files decoded within a limit.

What the footer says of a file's size is only a claim. The headers of the pages are what the decoder goes by, so they
are read here first: their sizes once decompressed, and their counts of values. The footer is read here too, for
pyarrow's own view of a column ends the process where the footer was tampered with. Texts stay in dictionaries while
they are read, for a file may hold one text for ten thousand rows. Texts that are said by what they share with the one
before (DELTA_BYTE_ARRAY) are not read, for nothing says beforehand how long they become.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from serving.arrow_bodies import Limits, decoded_size
from serving.errors import Rejected, invalid

_MOST_PAGES = 20_000
_MOST_HEADER = 1_000_000
_MOST_VALUES = 300_000
_DEEPEST = 16
_DELTA_BYTE_ARRAY = 7
_DATA, _DICTIONARY, _DATA_V2 = 5, 7, 8
_WIDEST = 8
"""Bytes of a number, which a page may say in less than a bit."""


def read(body: bytes, limits: Limits, check: Callable[[Any], None]) -> Any:
    """
    Return the `pyarrow.Table` of *body*.

    Args:
        body: A file.
        limits: What it may be.
        check: Gets the table's schema before any data is looked at, and raises.

    Raises:
        Rejected: It is above the limits.
        ValueError: It is no such file. So are pyarrow's exceptions.
    """
    import pyarrow as pa  # noqa: PLC0415  # large, and most services have none
    import pyarrow.parquet as pq  # noqa: PLC0415  # as above

    footer = _footer(memoryview(body))
    plain = pq.ParquetFile(pa.BufferReader(body), pre_buffer=False)
    metadata = plain.metadata
    check(plain.schema_arrow)
    limits.check_rows(metadata.num_rows)
    _measure(memoryview(body), footer, limits)
    leaves = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    file = pq.ParquetFile(pa.BufferReader(body), metadata=metadata, read_dictionary=texts, pre_buffer=False)
    batches, rows, size = [], 0, 0
    for batch in file.iter_batches(batch_size=1024, use_threads=False):
        batch.validate(full=True)
        rows += batch.num_rows
        limits.check_rows(rows)
        size += decoded_size(batch)
        limits.check_size(size)
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _footer(body: memoryview) -> dict[int, Any]:
    if len(body) < 12 or bytes(body[-4:]) != b"PAR1":
        raise ValueError("it does not end as one")
    (length,) = struct.unpack("<I", body[-8:-4])
    if length > len(body) - 12:
        raise ValueError("its footer is longer than it is")
    return _Thrift(body[len(body) - 8 - length : -8]).fields()


def _measure(body: memoryview, footer: dict[int, Any], limits: Limits) -> None:
    """Add up what the pages of all columns announce."""
    size = count = 0
    for chunk in _chunks(footer):
        count += 1
        for page in _pages(body, chunk):
            count += 1
            size += _announced(page)
            if count > _MOST_PAGES:
                raise invalid(f"the table is in more than {_MOST_PAGES} pieces")
            limits.check_size(size)


def _chunks(footer: dict[int, Any]) -> Iterator[Any]:
    """What the footer says of each column of each group of rows."""
    for group in _list(footer, 4):
        for column in _list(group, 1):
            yield column.get(3) if isinstance(column, dict) else None


def _list(fields: Any, number: int) -> list[Any]:
    found = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(found, list):
        raise ValueError("its footer is none")  # noqa: TRY004  # of the bytes, not of an argument
    return found


def _announced(page: dict[int, Any]) -> int:
    """The bytes of *page* decompressed, or of its values as numbers, where those are more."""
    values = 0
    for field, encoding in ((_DATA, 2), (_DICTIONARY, 2), (_DATA_V2, 4)):
        if field in page:
            values += _whole(page[field], 1)
            if _whole(page[field], encoding) == _DELTA_BYTE_ARRAY:
                said = "Parquet with the encoding DELTA_BYTE_ARRAY is not read: write it as PLAIN"
                raise Rejected(415, "format", said)
    return max(_whole(page, 2), _WIDEST * values)


def _whole(fields: Any, number: int, kind: type[int] = int) -> int:
    """The field *number*, which has to be an integer from 0."""
    found = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool) or found < 0:
        raise ValueError("a header lacks a number")
    return found


def _pages(body: memoryview, chunk: Any) -> Iterator[dict[int, Any]]:
    """The headers of the pages of *chunk*, from where the decoder begins to where its bytes end."""
    at = _whole(chunk, 9)
    # What has not its type is as if it were not there, to the decoder.
    if 11 in chunk and 0 < _whole(chunk, 11, _Long) < at:
        at = chunk[11]
    end = at + _whole(chunk, 7)
    if end > len(body):
        raise ValueError("a column is not within the file")
    while at < end:
        thrift = _Thrift(body[at : min(end, at + _MOST_HEADER)])
        header = thrift.fields()
        at += thrift.at + _whole(header, 3)
        yield header


class _Long(int):
    """An integer of 64 bits."""


class _Thrift:
    """Reads the compact form of Thrift. Fields are by number; a text is None, for nobody asks for it."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._values = 0
        self.at = 0

    def fields(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("a header is nested too deeply")
        found: dict[int, Any] = {}
        last = 0
        while head := self._byte():
            last = last + (head >> 4) if head >> 4 else self._number()
            if last in found:  # a decoder may take the first or the last
                raise ValueError("a header says a thing twice")
            found[last] = self._value(head & 15, depth)
        return found

    def _byte(self) -> int:
        self.at += 1
        return self._view[self.at - 1]

    def _size(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 63:
                raise ValueError("a header has too long a number")

    def _number(self) -> int:
        found = self._size()
        return (found >> 1) ^ -(found & 1)

    def _value(self, kind: int, depth: int) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ValueError("a header has too much in it")
        if kind in {1, 2}:
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in {4, 5, 6}:
            return _Long(self._number()) if kind == 6 else self._number()
        if kind in {7, 8}:
            length = 8 if kind == 7 else self._size()
            self.at += length
            return None
        if kind in {9, 10}:
            head = self._byte()
            length = head >> 4 if head >> 4 < 15 else self._size()
            if length > _MOST_VALUES:
                raise ValueError("a header has too much in it")
            inner = 3 if head & 15 in {1, 2} else head & 15  # a boolean has a byte here, and none in a field
            return [self._value(inner, depth + 1) for _ in range(length)]
        if kind == 12:
            return self.fields(depth + 1)
        raise ValueError("a header has a field of an unknown type")
