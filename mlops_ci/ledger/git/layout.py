"""
What a fold looks like: how records lie in the tree of `refs/mlops/ledger`. Pure; git itself is left to others.

    segments/<aa>/<bb>      records, one a line, in the order in which they were folded; never changed again
    index/<aa>[/<b>[/<c>…]] lines `<hash> <segment>`: which segment holds records under a key

The *hash* is of a key's first two words (`run/<id>`, `model/<name>`), so that a search below them finds all. A page
of the index that grew too large becomes a folder of sixteen, by the next digit of the hash: what a look-up reads is
bounded by that size, however many records there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

LARGEST_BYTES = 1_000_000
"""What git hosts advise for one object; a larger record stays a ref of its own."""

_SEGMENT_BYTES = 64_000
_PAGE_BYTES = 4_000
_DIGITS = 16  # of a hash; should two keys share one, their records are told apart when they are read
_FIRST = 2  # digits that name a page before it is divided


@dataclass(frozen=True)
class Entry:
    """What git says of one name in a tree."""

    oid: str
    is_tree: bool


def hash_of(key: str) -> str | None:
    """Where in the index *key* is to be found; None if it has one word only, and may be anywhere."""
    words = key.split("/", 2)[:2]
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:_DIGITS] if len(words) > 1 else None


def segment_path(number: int) -> str:
    """Where the segment *number* (from 0) lies."""
    return f"segments/{number >> 8:02x}/{number & 255:02x}"


def first_name(hash_: str) -> str:
    """The name below `index/` that leads to a hash."""
    return hash_[:_FIRST]


def digits() -> Iterator[tuple[int, int]]:
    """From where to where in a hash the names stand that lead down from `index/`, one after the other."""
    yield 0, _FIRST
    yield from ((digit, digit + 1) for digit in range(_FIRST, _DIGITS))


def is_number(name: str) -> bool:
    """Whether *name* is a number as paths and pages have it: hexadecimal, of at most eight digits."""
    return 0 < len(name) <= 8 and set(name) <= _HEXADECIMAL


def segments_of(page: bytes, hashes: Iterable[str]) -> dict[str, set[int]]:
    """The numbers of the segments that *page* names for each of *hashes*; a line that is none is left out."""
    found: dict[str, set[int]] = {hash_: set() for hash_ in hashes}
    for line in page.decode(errors="replace").splitlines():
        hash_, _, number = line.partition(" ")
        if hash_ in found and is_number(number):
            found[hash_].add(int(number, 16))
    return found


def with_lines(page: bytes, new: Mapping[str, Iterable[int]]) -> list[str]:
    """The lines of *page* and, for the segments that each hash of *new* is given, those to be added: sorted, unique."""
    lines = set(page.decode(errors="replace").splitlines())
    return sorted(lines | {f"{hash_} {number:x}" for hash_, numbers in new.items() for number in numbers})


def pages(path: str, lines: list[str]) -> Iterator[tuple[str, bytes]]:
    """The file at *path* with *lines*, or the files below it if that would be too large."""
    digits = path.removeprefix("index").replace("/", "")
    text = "".join(f"{line}\n" for line in lines).encode()
    shared = len({line[:_DIGITS] for line in lines}) == 1  # the lines of one hash cannot be told apart by it
    if len(text) <= _PAGE_BYTES or shared or len(digits) >= _DIGITS:
        yield path, text
        return
    for digit in "0123456789abcdef":
        some = [line for line in lines if line.startswith(digits + digit)]
        if some:
            yield from pages(f"{path}/{digit}", some)


def into_segments(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Split *records* into what shares a segment, in order."""
    segment: list[bytes] = []
    size = 0
    for data in records:
        if segment and size + len(data) >= _SEGMENT_BYTES:
            yield segment
            segment, size = [], 0
        segment.append(data)
        size += len(data) + 1
    if segment:
        yield segment


def read_tree(data: bytes) -> dict[str, Entry]:
    """Name → entry of the tree that git keeps as *data*, those in ASCII; of what is no tree, none."""
    found: dict[str, Entry] = {}
    start = 0
    while (end := data.find(b"\0", start)) > 0:
        mode, _, name = data[start:end].partition(b" ")
        oid = data[end + 1 : end + 21].hex()
        start = end + 21
        if name.isascii():
            found[name.decode()] = Entry(oid, mode == b"40000")
    return found


_HEXADECIMAL = frozenset("0123456789abcdef")
