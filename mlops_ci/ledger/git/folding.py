"""
Folds: moves records from refs of their own into `refs/mlops/ledger`, in one atomic push.

The ledger moves forward and the refs vanish together, or nothing happens: of two folders at the same moment one is
refused whole. Records that arrive meanwhile keep their refs, and claims are never folded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlops_ci import records as recording
from mlops_ci.git.side import PushRefused
from mlops_ci.ledger.git import commits, layout
from mlops_ci.ledger.git.folded import TIP, Folded
from mlops_ci.records import Record

MOST_REFS = 2_000
"""As many are deleted in one push at most: some hosts limit that, and a command line ends somewhere."""

_DRAFT = "refs/mlops/draft"


@dataclass(frozen=True)
class Loose:
    """A record and the refs (name → commit) that lead to it at the remote."""

    record: Record
    refs: Mapping[str, str]


def fold(folded: Folded, loose: Sequence[Loose], *, most_refs: int = MOST_REFS) -> int:
    """
    Fold *loose*, oldest first, as many as one push takes; return how many that were, 0 if another fold came first.

    A push that is refused is tried again with half as many.

    Raises:
        ServiceError: The remote did not answer, or refuses to fold a single record; nothing was changed.
    """
    tip = folded.update()
    bite = _bite(loose, most_refs)
    while bite:
        commit = compose(folded, [one.record for one in bite])
        gone = {ref: commit for one in bite for ref, commit in one.refs.items()}
        try:
            folded.repository.push({TIP: commit, **dict.fromkeys(gone, "")}, replacing={TIP: tip, **gone})
        except PushRefused:
            if folded.update() != tip:
                return 0
            if len(bite) == 1:
                raise
            bite = bite[: len(bite) // 2]
        else:
            folded.repository.update(f"update {TIP} {commit}")
            return len(bite)
    return 0


def _bite(loose: Sequence[Loose], most_refs: int) -> list[Loose]:
    """The oldest of *loose* that have no more than *most_refs*. What no object should hold stays a ref."""
    bite: list[Loose] = []
    refs = 0
    for one in sorted(loose, key=lambda one: (one.record.time, one.record.id)):
        refs += len(one.refs)
        if bite and refs > most_refs:
            break
        if len(recording.encode(one.record)) < layout.LARGEST_BYTES:
            bite.append(one)
    return bite


def compose(folded: Folded, records: Sequence[Record]) -> str:
    """Make the commit that follows the newest fold and holds *records* too; nothing is sent."""
    stream = b"".join(_stream(folded, records))
    return (
        folded.repository.change(["fast-import", "--quiet", "--date-format=raw", "--force"], stdin=stream)
        .decode()
        .strip()
    )


def _stream(folded: Folded, records: Sequence[Record]) -> Iterator[bytes]:
    """The fold in the language of `git fast-import`. The same records after the same fold are the same bytes."""
    who = commits.identity("mlops-ci", "", records[-1].time)
    subject = f"fold {len(records)} records\n".encode()
    yield f"commit {_DRAFT}\nmark :1\n".encode() + b"committer " + who + b"\n"
    yield f"data {len(subject)}\n".encode() + subject
    if folded.tip:
        yield f"from {folded.tip}\n".encode()
    else:
        yield b"deleteall\n"
    for path, data in _files(folded, records):
        yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
    yield b"get-mark :1\n"


def _files(folded: Folded, records: Sequence[Record]) -> Iterator[tuple[str, bytes]]:
    """The new segments, and the pages of the index that change."""
    encoded = {recording.encode(record): record for record in records}
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for number, lines in enumerate(layout.into_segments(encoded), start=folded.count()):
        yield layout.segment_path(number), b"".join(line + b"\n" for line in lines)
        for line in lines:
            for key in encoded[line].keys:
                hash_ = layout.hash_of(key)
                if hash_:
                    numbers[hash_].add(number)
    for path, page in folded.pages(numbers).items():
        yield from layout.pages(path, layout.with_lines(page.data, {hash_: numbers[hash_] for hash_ in page.hashes}))
