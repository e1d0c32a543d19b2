"""
The ledger's tables: records are added and found, names are claimed. What records mean is left to `projection`.

Every function works within the transaction of the connection that it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from mlops_ci import records as recording
from mlops_ci.errors import Conflict, IntegrityError
from mlops_ci.records import Record
from mlops_ci.store.schema import claims, record_keys, records

PAGE = 500  # rows at a time; also stays far below every database's limit of parameters


class Fact(NamedTuple):
    """A record together with its id, which costs an encoding to find out."""

    id: str
    record: Record

    @property
    def order(self) -> tuple[str, str]:
        """What records are sorted by."""
        return self.record.time, self.id


def add(connection: sa.Connection, new: Iterable[Record]) -> list[Fact]:
    """Write those of *new* that are not there yet, and return them."""
    texts = {}
    for record in new:
        text = recording.encode(record)
        texts[hashlib.sha256(text).hexdigest()] = (record, text.decode())
    for page in pages(texts):
        for known in connection.scalars(sa.select(records.c.id).where(records.c.id.in_(page))):
            del texts[known]
    if texts:
        connection.execute(
            sa.insert(records),
            [
                {"id": id_, "kind": record.kind, "time": record.time, "canonical": text}
                for id_, (record, text) in texts.items()
            ],
        )
    facts = [Fact(id_, record) for id_, (record, _) in texts.items()]
    keys = [{"key": key, "record_id": fact.id} for fact in facts for key in dict.fromkeys(_keys(fact.record))]
    if keys:
        connection.execute(sa.insert(record_keys), keys)
    return facts


def claim(connection: sa.Connection, wanted: Mapping[str, Record]) -> None:
    """
    Let each record take its name.

    Raises:
        Conflict: Another record has it; the caller must roll back.
    """
    new = {name: record.id for name, record in wanted.items()}
    query = sa.select(claims.c.name, claims.c.record_id, records.c.time).join(records)
    for page in pages(new):
        for name, holder, time in connection.execute(query.where(claims.c.name.in_(page))):
            if holder != new.pop(name):
                raise Conflict(
                    f"{name} is taken, since {time}, by record {holder[:12]}",
                    hint="a name is given once and for good: choose the next one",
                )
    if new:
        connection.execute(sa.insert(claims), [{"name": name, "record_id": id_} for name, id_ in new.items()])


def find(connection: sa.Connection, keys: Sequence[str]) -> list[Record]:
    """The records that have a key equal to, or below, one of *keys*, in order."""
    found: dict[tuple[str, str], Record] = {}
    for key in dict.fromkeys(keys):
        matching = sa.select(record_keys.c.record_id).where(_at_or_below(record_keys.c.key, key))
        rows = connection.execute(_ALL.where(records.c.id.in_(matching)))
        found |= {(row.time, row.id): _read(row) for row in rows}
    return [found[order] for order in sorted(found)]


def claimed(connection: sa.Connection, prefix: str) -> dict[str, Record]:
    """The claims named *prefix* or below it; every claim if *prefix* is ""."""
    query = _ALL.add_columns(claims.c.name).join(claims).order_by(claims.c.name)
    if prefix:
        query = query.where(_at_or_below(claims.c.name, prefix))
    return {row.name: _read(row) for row in connection.execute(query)}


def load(connection: sa.Connection, ids: Iterable[str]) -> Iterator[Fact]:
    """The records named *ids*, in that order."""
    for some in pages(ids):
        rows = {row.id: row for row in connection.execute(_ALL.where(records.c.id.in_(some)))}
        yield from (Fact(id_, _read(rows[id_])) for id_ in some)


def page(connection: sa.Connection, after: tuple[str, str]) -> list[Fact]:
    """The next `PAGE` records that follow *after* in order; `("", "")` comes before them all."""
    time, id_ = after
    follows = sa.or_(records.c.time > time, sa.and_(records.c.time == time, records.c.id > id_))
    query = _ALL.where(records.c.time >= time, follows).order_by(records.c.time, records.c.id).limit(PAGE)
    return [Fact(row.id, _read(row)) for row in connection.execute(query)]


def pages(items: Iterable[str]) -> Iterator[list[str]]:
    """Split *items* into lists of at most `PAGE`."""
    rest = list(items)
    for start in range(0, len(rest), PAGE):
        yield rest[start : start + PAGE]


_ALL = sa.select(records.c.id, records.c.time, records.c.canonical)


def _at_or_below(column: sa.Column[str], prefix: str) -> sa.ColumnElement[bool]:
    """`a` and all of `a/…`, as a range that an index answers: "0" is the character after "/"."""
    prefix = prefix.rstrip("/")
    return sa.or_(column == prefix, sa.and_(column >= f"{prefix}/", column < f"{prefix}0"))


def _read(row: Any) -> Record:
    """
    The record in a row that has `id` and `canonical`.

    Raises:
        IntegrityError: Somebody changed it.
    """
    data = row.canonical.encode()
    if hashlib.sha256(data).hexdigest() != row.id:
        raise IntegrityError(
            f"record {row.id[:12]} was changed after it was written", hint="put a copy from a backup in its place"
        )
    return recording.decode(data)


def _keys(record: Record) -> tuple[str, ...]:
    """A record whose body is not what its kind promises, in somebody else's ledger, is kept but has no keys."""
    try:
        return record.keys
    except (AttributeError, KeyError, TypeError):
        return ()
