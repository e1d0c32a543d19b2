"""
Arrow streams and files decoded within a limit.

A few bytes of Arrow can announce gigabytes: compressed buffers, columns without buffers, one text for ten thousand
rows. Each message is therefore measured by its own metadata before anything of it is decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from serving.errors import Rejected, invalid

_MAGIC = b"ARROW1\0\0"
_MOST_MESSAGES = 20_000
_VALUE_BYTES = 4
"""What a value counts beside its bytes: about as many characters it has in JSON, and a list points to it."""
_V5 = 4


class Limits(NamedTuple):
    """What a table may have: *rows*, and *size* in bytes once it is decoded."""

    rows: int
    size: int

    def check_rows(self, count: int) -> None:
        """Raise `Rejected` (413) if *count* rows are too many."""
        if count > self.rows:
            raise Rejected(413, "too-many-rows", f"a request has at most {self.rows} rows: send several")

    def check_size(self, count: int) -> None:
        """Raise `Rejected` (413) if a decoded table of *count* bytes is too large."""
        if count > self.size:
            raise Rejected(413, "too-large", f"a table has at most {self.size} bytes once it is decoded: send several")


def read(body: bytes, limits: Limits, check: Callable[[Any], None]) -> Any:
    """
    Return the `pyarrow.Table` of *body*, every value of which was validated.

    Args:
        body: A stream, or a file, which is a stream between a magic word and a footer.
        limits: What it may be.
        check: Gets the table's schema before any data is looked at, and raises.

    Raises:
        Rejected: It is above the limits.
        ValueError: It is no such body. So are pyarrow's exceptions and `struct.error`.
    """
    import pyarrow as pa  # noqa: PLC0415  # large, and most services have none

    view = memoryview(body)[len(_MAGIC) if body.startswith(_MAGIC) else 0 :]
    reader = pa.ipc.open_stream(pa.py_buffer(view))
    check(reader.schema)
    _measure(view, limits)
    batches, size = [], 0
    for batch in reader:
        batch.validate(full=True)
        size += decoded_size(batch)
        limits.check_size(size)
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def decoded_size(batch: Any) -> int:
    """How many bytes the values of *batch* have, where a dictionary's text counts each time that it is used."""
    return sum(map(_size, batch.columns))


def _size(array: Any) -> int:
    import pyarrow as pa  # noqa: PLC0415  # as above
    import pyarrow.compute as pc  # noqa: PLC0415  # as above

    kind, types = array.type, pa.types
    size = _VALUE_BYTES * len(array)
    if types.is_dictionary(kind) and (types.is_string(kind.value_type) or types.is_large_string(kind.value_type)):
        return size + (pc.sum(pc.binary_length(array.dictionary).take(array.indices).cast("int64")).as_py() or 0)
    if types.is_struct(kind):
        return size + sum(_size(array.field(index)) for index in range(kind.num_fields))
    if types.is_nested(kind):
        return size + _size(array.flatten())
    return size + int(array.nbytes)


def _measure(view: memoryview, limits: Limits) -> None:
    """Add up what the messages of *view* announce."""
    import pyarrow as pa  # noqa: PLC0415  # as above

    rows, size = 0, 0
    messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(view))
    for count, message in enumerate(messages):
        if count > _MOST_MESSAGES:
            raise invalid(f"the table is in more than {_MOST_MESSAGES} pieces")
        if message.type == "schema":
            continue
        flat = _Flat.root(memoryview(message.metadata))
        batch = flat.table(2)
        if message.type == "dictionary":
            batch = batch.table(1)
        else:
            rows += batch.number(0)
        limits.check_rows(rows)
        size += _announced(flat, batch, message)
        limits.check_size(size)


def _announced(flat: _Flat, batch: _Flat, message: Any) -> int:
    """How large the buffers of *batch* are once they are decompressed, and what its values count."""
    # Before there was a field for it, the compression was said beside the message.
    compressed = bool(batch.at_field(3)) or (flat.number(0, "<h") < _V5 and bool(flat.at_field(4)))
    size = sum(_VALUE_BYTES * length for length, _nulls in batch.pairs(1))
    body = memoryview(message.body) if message.body else memoryview(b"")
    for offset, length in batch.pairs(2):
        if compressed and length > 0:
            if offset < 0:
                raise ValueError("a buffer begins before the message")
            (whole,) = struct.unpack_from("<q", body, offset)
            length = length if whole == -1 else whole  # noqa: PLW2901  # -1 says: not compressed after all
        if length < 0:
            raise ValueError("a buffer has a negative length")
        size += length
    return size


class _Flat(NamedTuple):
    """A table of FlatBuffers, which pyarrow has verified, at the place *at* of *buffer*."""

    buffer: memoryview
    at: int

    @classmethod
    def root(cls, buffer: memoryview) -> _Flat:
        return cls(buffer, *struct.unpack_from("<I", buffer, 0))

    def at_field(self, index: int) -> int:
        """Where the field *index* is; 0 if it is left out."""
        vtable = self.at - struct.unpack_from("<i", self.buffer, self.at)[0]
        slot = 4 + 2 * index
        if slot >= struct.unpack_from("<H", self.buffer, vtable)[0]:
            return 0
        offset = int(struct.unpack_from("<H", self.buffer, vtable + slot)[0])
        return self.at + offset if offset else 0

    def number(self, index: int, form: str = "<q") -> int:
        place = self.at_field(index)
        return int(struct.unpack_from(form, self.buffer, place)[0]) if place else 0

    def table(self, index: int) -> _Flat:
        place = self._followed(index)
        if not place:
            raise ValueError("a message has no content")
        return _Flat(self.buffer, place)

    def pairs(self, index: int) -> list[tuple[int, int]]:
        """A vector of two integers each."""
        place = self._followed(index)
        if not place:
            return []
        (count,) = struct.unpack_from("<I", self.buffer, place)
        return list(struct.iter_unpack("<qq", self.buffer[place + 4 : place + 4 + 16 * count]))

    def _followed(self, index: int) -> int:
        place = self.at_field(index)
        return place + int(struct.unpack_from("<I", self.buffer, place)[0]) if place else 0
