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
from mlops_ci.errors import Conflict, IntegrityError, UsageError
from mlops_ci.records import Record
from mlops_ci.store.schema import claims, marks, record_keys, records

_LONGEST_KEY = 400  # what its column holds; what is longer is kept by a digest, and cannot be listed
PAGE = 500  # rows at a time; also stays far below every database's limit of parameters


class Fact(NamedTuple):
    """A record together with its id, which costs an encoding to find out."""

    id: str
    record: Record

    @property
    def order(self) -> tuple[str, str]:
        """What records are sorted by."""
        return self.record.time, self.id


def prepare(new: Iterable[Record]) -> dict[str, tuple[Record, str]]:
    """Encode *new* records, by id: what can be done before others have to wait."""
    texts = {}
    for record in new:
        text = recording.encode(record)
        texts[hashlib.sha256(text).hexdigest()] = (record, text.decode())
    return texts


def add(connection: sa.Connection, prepared: Mapping[str, tuple[Record, str]]) -> list[Fact]:
    """Write those of *prepared* that are not there yet, and return them."""
    texts = dict(prepared)
    for id_ in known(connection, texts):
        del texts[id_]
    if texts:
        connection.execute(
            _INSERT_RECORDS,
            [
                {"id": id_, "kind": record.kind, "time": record.time, "canonical": text}
                for id_, (record, text) in texts.items()
            ],
        )
    facts = [Fact(id_, record) for id_, (record, _) in texts.items()]
    keys = [{"key": key, "record_id": fact.id} for fact in facts for key in dict.fromkeys(_keys(fact.record))]
    if keys:
        connection.execute(_INSERT_KEYS, keys)
    return facts


def known(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of *ids* that are there."""
    found: set[str] = set()
    for page_ in pages(ids):
        found.update(connection.scalars(_KNOWN, {"page": page_}))
    return found


def mark(connection: sa.Connection, ledger: str) -> str:
    """How much of *ledger* was taken in; "" if nothing was noted."""
    return connection.scalar(sa.select(marks.c.mark).where(marks.c.ledger == ledger)) or ""


def set_mark(connection: sa.Connection, ledger: str, new: str) -> None:
    """Note how much of *ledger* was taken in."""
    connection.execute(sa.delete(marks).where(marks.c.ledger == ledger))
    connection.execute(sa.insert(marks), {"ledger": ledger, "mark": new})


def claim(connection: sa.Connection, wanted: Mapping[str, Record]) -> None:
    """
    Let each record take its name.

    Raises:
        Conflict: Another record has it; the caller must roll back.
        UsageError: The name is longer than a name can be.
    """
    new = {name: record.id for name, record in wanted.items()}
    if too_long := [name for name in new if len(name) > _LONGEST_KEY]:
        raise UsageError(
            f"{too_long[0][:40]}… is too long for a name that is taken once", hint=f"at most {_LONGEST_KEY} characters"
        )
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
        rows = {row.id: row for row in connection.execute(_NAMED, {"page": some})}
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


# Made once: SQLAlchemy then knows at a glance that it has compiled them before.
_ALL = sa.select(records.c.id, records.c.time, records.c.canonical)
_PAGE: sa.BindParameter[Any] = sa.bindparam("page", expanding=True)
_NAMED = _ALL.where(records.c.id.in_(_PAGE))
_KNOWN = sa.select(records.c.id).where(records.c.id.in_(_PAGE))
_INSERT_RECORDS = sa.insert(records)
_INSERT_KEYS = sa.insert(record_keys)


def _at_or_below(column: sa.Column[str], prefix: str) -> sa.ColumnElement[bool]:
    """`a` and all of `a/…`, as a range that an index answers: "0" is the character after "/"."""
    prefix = prefix.rstrip("/")
    if len(prefix) >= _LONGEST_KEY:  # kept by its digest, which has nothing below it
        return column == prefix
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
