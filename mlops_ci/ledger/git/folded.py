"""
Reads what was folded: `refs/mlops/ledger` of the remote, without bringing all of it here.

It is kept in a side repository of its own, shallow and partial, so that the one with what waits to be sent stays whole.
A look-up brings the newest fold's two upper levels of trees, then, level by level, what leads to the records that are
asked for. Where a server hands out no single objects, the whole of the newest fold is brought instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlops_ci.errors import ServiceError
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
from mlops_ci.ledger.git import layout
from mlops_ci.ledger.git.layout import Entry

TIP = "refs/mlops/ledger"
_AT_ONCE = 64

_Tree = Mapping[str, Entry]


@dataclass(frozen=True)
class Page:
    """A page of the index, b"" if there is none yet, and the hashes that stand, or would stand, on it."""

    data: bytes
    hashes: Sequence[str]
    oid: str = ""


class Folded:
    """The newest fold that the remote of *checkout* has, as of the last `update`."""

    def __init__(self, checkout: Checkout) -> None:
        self.repository = SideRepository(checkout, "folded")
        self._whole = SideRepository(checkout, "folded-whole")
        self._here: set[str] = set()
        self._index: _Tree = {}
        self._folders: dict[int, str] = {}
        self.tip = ""

    def update(self, hashes: Iterable[str] = ()) -> str:
        """
        Learn of the newest fold, and return its commit, or "" if there is none.

        *hashes* are those that `pages` will be asked for: their way is shorter if it begins here.

        Raises:
            ServiceError: The remote did not answer.
        """
        self.repository.tidy()
        self._fetch()
        names = set(map(layout.first_name, hashes))
        first = [entry.oid for name, entry in self._index.items() if entry.is_tree and name in names]
        try:
            self._bring([*first, *([self._folders[max(self._folders)]] if self._folders else [])])
        except ServiceError:
            if self.repository is self._whole:
                raise
            # It gives no single objects, or it is away.
            self.repository, self.tip = self._whole, ""
            self._fetch()
        return self.tip

    def find(self, keys: Iterable[str]) -> list[bytes]:
        """
        Return, of the newest fold, the records that may have one of *keys*, or a key below one, and some others too.

        Raises:
            ServiceError: The remote did not answer.
        """
        hashes = {layout.hash_of(key) for key in keys}
        wanted = [hash_ for hash_ in hashes if hash_]
        if not self.update(wanted):
            return []
        if None in hashes:
            return list(self.since(0))
        numbers: set[int] = set()
        for page in self.pages(wanted).values():
            numbers.update(*layout.segments_of(page.data, page.hashes).values())
        return list(self._records(sorted(numbers)))

    def since(self, number: int) -> Iterator[bytes]:
        """
        Yield the records of the segments from *number* on, as of the last `update`.

        Raises:
            ServiceError: The remote did not answer; nothing was yielded.
        """
        yield from self._records(range(number, self.count()))

    def count(self) -> int:
        """How many segments there are. Raises as `find`."""
        if not self._folders:
            return 0
        last = max(self._folders)
        [files] = self._bring_trees([self._folders[last]])
        return (last << 8) + max(_numbered(files), default=-1) + 1

    def digest(self, count: int) -> str:
        """What stands for the first *count* segments: it changes if what was folded for good was. Raises as `find`."""
        oids = self._segments(range(count))
        return layout.hash_of(f"segments/{'-'.join(oids)}") or ""

    def pages(self, hashes: Iterable[str]) -> dict[str, Page]:
        """Path → the page of the index for each of *hashes*; as of the last `update`. Raises as `find`."""
        found: dict[str, tuple[str, list[str]]] = {}
        level = {"index": ("", list(hashes))}
        for first, end in layout.digits():
            if not level:
                break
            trees = self._bring_trees([oid for oid, _ in level.values()]) if first else [self._index]
            below: dict[str, tuple[str, list[str]]] = {}
            for (path, (_, sought)), tree in zip(level.items(), trees, strict=True):
                for name, some in _grouped(sought, first, end).items():
                    entry = tree.get(name)
                    goes_on = below if entry and entry.is_tree else found
                    goes_on[f"{path}/{name}"] = (entry.oid if entry else "", some)
            level = below
        self._bring(oid for oid, _ in found.values())
        data = self.repository.read([oid or "-" for oid, _ in found.values()])
        return {
            path: Page(content or b"", some, oid)
            for (path, (oid, some)), content in zip(found.items(), data, strict=True)
        }

    def _records(self, numbers: Sequence[int]) -> Iterator[bytes]:
        segments = self._segments(numbers)
        self._bring(segments)
        for start in range(0, len(segments), _AT_ONCE):
            for data in self.repository.read(segments[start : start + _AT_ONCE]):
                yield from (data or b"").splitlines()

    def _segments(self, numbers: Sequence[int]) -> list[str]:
        """The objects that are the segments *numbers*; one that an index names and that is not there is left out."""
        needed = [folder for folder in dict.fromkeys(number >> 8 for number in numbers) if folder in self._folders]
        trees = dict(zip(needed, self._bring_trees([self._folders[folder] for folder in needed]), strict=True))
        files = {folder: _numbered(tree) for folder, tree in trees.items()}
        return [
            files[number >> 8][number & 255]
            for number in numbers
            if number >> 8 in files and number & 255 in files[number >> 8]
        ]

    def _fetch(self) -> None:
        partial = [] if self.repository is self._whole else ["--filter=tree:2"]
        there = self.repository.fetch([f"+{TIP}*:{TIP}*"], "--depth=1", *partial)
        tip = self.repository.refs(TIP).get(TIP, "") if there else ""
        if tip != self.tip or not self._here:
            self._here = self.repository.objects() if tip else set()
            self._index, folders = self._trees([f"{tip}:index", f"{tip}:segments"]) if tip else ({}, {})
            self._folders = _numbered(folders, trees=True)
        self.tip = tip

    def _bring_trees(self, oids: Sequence[str]) -> list[_Tree]:
        """The entries of the trees *oids*; none of one that is ""."""
        self._bring(oids)
        return self._trees([oid or "-" for oid in oids])

    def _trees(self, names: Sequence[str]) -> list[_Tree]:
        return [layout.read_tree(data) if data else {} for data in self.repository.read(names)]

    def _bring(self, oids: Iterable[str]) -> None:
        """Have the objects *oids* here, but not what they lead to."""
        missing = [oid for oid in dict.fromkeys(oids) if oid and oid not in self._here]
        if missing:
            self.repository.bring(missing)
            self._here.update(missing)


def _grouped(hashes: Iterable[str], first: int, end: int) -> dict[str, list[str]]:
    """*hashes* by what stands in them from *first* to *end*."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for hash_ in hashes:
        groups[hash_[first:end]].append(hash_)
    return groups


def _numbered(tree: _Tree, *, trees: bool = False) -> dict[int, str]:
    """Number → object of what *tree* holds under a hexadecimal number."""
    return {
        int(name, 16): entry.oid for name, entry in tree.items() if entry.is_tree is trees and layout.is_number(name)
    }
