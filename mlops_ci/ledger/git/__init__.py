"""
The ledger that needs no server: records as refs of the project's own git remote.

Every record is a parentless commit that holds `record.json` and takes its author and date from the
record, so that a retried push is the same bytes. It is pushed as one ref for each of its keys,
`refs/mlops/records/<key>/<id>`: writers never meet, and a reader fetches by prefix what it needs. From time to
time `fold` moves those refs into `refs/mlops/ledger`, so that no server has to hold a million of them.
A claim is a ref that is created only if it is not there, `refs/mlops/claims/<name>`. What lies below these
two is what the last fetch found; what was not sent yet is named by `refs/mlops/pending/<id>` and
`refs/mlops/pending-claims/<name>`, here only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice

from mlops_ci.errors import Conflict, IntegrityError, MlopsCIError, ServiceError
from mlops_ci.git import Checkout, GitError
from mlops_ci.git.side import SideRepository
from mlops_ci.ledger.git import commits
from mlops_ci.ledger.git.folded import Folded
from mlops_ci.ledger.git.folding import MOST_REFS, Loose, fold
from mlops_ci.records import Record

_RECORDS = "refs/mlops/records"
_CLAIMS = "refs/mlops/claims"
_PENDING = "refs/mlops/pending"
_PENDING_CLAIMS = "refs/mlops/pending-claims"


class GitLedger:
    """The ledger of the repository that *checkout* was cloned from; without a remote, of this clone alone."""

    def __init__(self, checkout: Checkout) -> None:
        self._repository = SideRepository(checkout, "ledger")
        self._folded = Folded(checkout)

    def append(self, records: Sequence[Record], *, claims: Mapping[str, Record] | None = None) -> bool:
        """Write *records* here, then send them in one push; see `Ledger.append`."""
        if not records:
            return True
        ids = dict.fromkeys(record.id for record in records)
        waited = self._repository.refs(*(f"{_PENDING}/{id_}" for id_ in ids)) if claims else {}
        written = self._write(records)
        claimed = {name: written[record.id] for name, record in (claims or {}).items()}
        try:
            if not self._repository.remote:
                self._claim_here(claimed)
                return True
            sent = self._send(_refs(records, written), claimed)
        except MlopsCIError:
            self._forget(id_ for id_ in ids if f"{_PENDING}/{id_}" not in waited)
            raise
        if sent:
            self._forget(ids, claimed)
        return sent

    def find(self, *keys: str) -> list[Record]:
        """Fetch by prefix, then read; see `Ledger.find`."""
        if not keys:
            return []
        prefixes = [f"{_RECORDS}/{key}" for key in keys]
        self._fetch(f"{prefix}/*" for prefix in prefixes)
        held = self._load(self._repository.refs(*prefixes, _PENDING))
        # Refs first, then the fold: what is folded in between is seen twice, and not missed.
        folded = filter(None, map(commits.read, self._folded.find(keys)))
        return _in_order(
            chain(
                (record for ref, record in held.items() if _leads_to(keys, _keys_of(ref, record))),
                (record for record in folded if _leads_to(keys, record.keys)),
            )
        )

    def claims(self, prefix: str) -> dict[str, Record]:
        """See `Ledger.claims`. A claim that waits here is one too, unless the remote knows another."""
        self._fetch([f"{_CLAIMS}/{prefix}".rstrip("/") + "*"])
        names: dict[str, Record] = {}
        for folder in (_PENDING_CLAIMS, _CLAIMS):
            held = self._load(self._repository.refs(f"{folder}/{prefix}".rstrip("/")))
            names |= {ref.removeprefix(f"{folder}/"): record for ref, record in held.items()}
        return dict(sorted(names.items()))

    def all(self) -> Iterator[Record]:
        """Fetch everything, then read; see `Ledger.all`."""
        records, _ = self.unseen("", lambda _: set())
        yield from _in_order(records)

    def unseen(self, mark: str, known: Callable[[Sequence[str]], set[str]]) -> tuple[Iterator[Record], str]:
        """
        Fetch and read what is new; see `Ledger.unseen`. A mark says how many segments of the fold were read.

        Raises:
            IntegrityError: What was folded, and read by whoever holds *mark*, is there no more.
        """
        self._fetch([f"{_RECORDS}/*"])
        refs = self._repository.refs(_RECORDS, _PENDING)
        there = known(list(dict.fromkeys(map(_id_in, refs))))
        new = {ref: commit for ref, commit in refs.items() if _id_in(ref) not in there}
        self._folded.update()
        number, _, digest = mark.partition(" ")
        seen = int(number or 0)
        if self._folded.digest(seen) != digest and seen:
            raise IntegrityError(
                f"records that were read here before are gone from {self._repository.remote}, or were changed: "
                f"the first {seen} segments of refs/mlops/ledger are not what they were",
                hint="ask who rewrote that ref; `mlops-ci restore` brings records back from a backup",
            )
        folded = filter(None, map(commits.read, self._folded.since(seen)))
        loose = (record for ref, record in self._each(new) if _keys_of(ref, record))
        count = self._folded.count()
        return chain(loose, folded), f"{count} {self._folded.digest(count)}" if count else ""

    def fold(self, *, at_least: int = 1, most_refs: int = MOST_REFS) -> tuple[int, int]:
        """
        Move records from refs of their own into segments, in one push that deletes *most_refs* at most.

        Returns:
            How many were moved, and how many still have refs of their own. Nothing is moved if those are fewer than
            *at_least*, or if another fold came first.

        Raises:
            ServiceError: The remote did not answer, or refuses it; nothing was changed.
        """
        if not self._repository.remote:
            return 0, 0
        self._fetch([f"{_RECORDS}/*"])
        by_commit: defaultdict[str, list[str]] = defaultdict(list)
        for ref, commit in self._repository.refs(_RECORDS, oldest_first=True).items():
            by_commit[commit].append(ref)
        if len(by_commit) < at_least:
            return 0, len(by_commit)
        oldest = islice(by_commit.items(), most_refs)
        loose = self._loose({ref: commit for commit, refs in oldest for ref in refs})
        folded = fold(self._folded, loose, most_refs=most_refs)
        return folded, len(by_commit) - folded

    def pending(self) -> int:
        """See `Ledger.pending`; nothing waits while there is no remote."""
        return len(self._repository.refs(_PENDING)) if self._repository.remote else 0

    def waiting(self) -> list[Record]:
        """See `Ledger.waiting`."""
        return _in_order(self._load(self._repository.refs(_PENDING)).values())

    def sync(self) -> int:
        """
        Send what waits in one push; see `Ledger.sync`.

        Raises:
            Conflict: A name that was claimed here before the remote could be asked is another's by now. Its
                record still waits; everything else was sent.
        """
        self._repository.tidy()
        if not self._repository.remote:
            return 0
        waiting = self._repository.refs(_PENDING)
        claims = self._repository.refs(_PENDING_CLAIMS)
        claimed = {ref.removeprefix(f"{_PENDING_CLAIMS}/"): commit for ref, commit in claims.items()}
        try:
            return self._deliver(waiting, claimed)
        except ServiceError:
            self._fetch(f"{_CLAIMS}/{name}*" for name in claimed)
            lost = self._taken(claimed, _CLAIMS)
            if not lost:
                raise
        stay = {claimed[ref.removeprefix(f"{_CLAIMS}/")] for ref in lost}
        self._deliver(
            {ref: commit for ref, commit in waiting.items() if commit not in stay},
            {name: commit for name, commit in claimed.items() if commit not in stay},
        )
        ref = lost[0].replace(_CLAIMS, _PENDING_CLAIMS)
        raise _refusal(
            lost,
            hint=f"all else was sent; `git --git-dir={self._repository.path} update-ref -d {ref}` gives the name up",
        )

    def _deliver(self, waiting: Mapping[str, str], claimed: Mapping[str, str]) -> int:
        """Push the records of the pending refs *waiting* and the claims, all or none; return how many records."""
        held = self._load(waiting)
        if held:
            commits = {ref.rpartition("/")[2]: commit for ref, commit in waiting.items()}
            self._push(_refs(held.values(), commits), claimed)
            self._forget((ref.rpartition("/")[2] for ref in held), claimed)
        return len(held)

    def _send(self, refs: Mapping[str, str], claimed: Mapping[str, str]) -> bool:
        """Push an `append`; False if the remote did not answer and nothing was claimed."""
        self._refuse_taken(claimed, _PENDING_CLAIMS)
        try:
            self._push(refs, claimed)
        except ServiceError:
            if not claimed:
                return False
            # Was it refused because a name is taken, or is the remote away?
            self._fetch(f"{_CLAIMS}/{name}*" for name in claimed)
            self._refuse_taken(claimed, _CLAIMS)
            raise
        return True

    def _push(self, refs: Mapping[str, str], claimed: Mapping[str, str]) -> None:
        taken = {f"{_CLAIMS}/{name}": commit for name, commit in claimed.items()}
        self._repository.push({**refs, **taken}, create_only=taken)

    def _fetch(self, patterns: Iterable[str]) -> None:
        """Make what *patterns* match here what it is at the remote; what was deleted there goes here too."""
        wanted = list(patterns)
        refspecs = [f"+{pattern}:{pattern}" for pattern in wanted]
        try:
            self._repository.fetch(refspecs, "--prune")
        except ServiceError:
            # A ref that once was pushed where others have a folder is in the way, and no pattern covers it.
            here = self._repository.refs(_RECORDS, _CLAIMS)
            above = [ref for ref in here if any(pattern.startswith(f"{ref}/") for pattern in wanted)]
            if not above:
                raise
            self._repository.update(*(f"delete {ref}" for ref in above))
            self._repository.fetch(refspecs, "--prune")

    def _claim_here(self, claimed: Mapping[str, str]) -> None:
        """Take names in this clone, all or none; `sync` takes them at the remote."""
        self._refuse_taken(claimed, _CLAIMS, _PENDING_CLAIMS)
        refs = {f"{_PENDING_CLAIMS}/{name}": commit for name, commit in claimed.items()}
        here = self._repository.refs(*refs) if refs else {}
        try:
            self._repository.update(*(f"create {ref} {commit}" for ref, commit in refs.items() if ref not in here))
        except GitError:  # somebody was faster
            self._refuse_taken(claimed, _PENDING_CLAIMS)
            raise

    def _refuse_taken(self, claimed: Mapping[str, str], *folders: str) -> None:
        for folder in folders:
            if lost := self._taken(claimed, folder):
                raise _refusal(lost)

    def _taken(self, claimed: Mapping[str, str], folder: str) -> list[str]:
        """Which of the names another commit has in *folder* than the one that *claimed* gives; as refs."""
        wanted = {f"{folder}/{name}": commit for name, commit in claimed.items()}
        held = self._repository.refs(*wanted) if wanted else {}
        return [ref for ref, commit in wanted.items() if held.get(ref, commit) != commit]

    def _forget(self, ids: Iterable[str], claims: Iterable[str] = ()) -> None:
        """Let go of what waited here: it was sent, or refused."""
        self._repository.update(
            *(f"delete {_PENDING}/{id_}" for id_ in ids), *(f"delete {_PENDING_CLAIMS}/{name}" for name in claims)
        )

    def _write(self, records: Iterable[Record]) -> dict[str, str]:
        """Make a commit of each record, held by its pending ref; record id → commit."""
        unique = list({record.id: record for record in records}.values())
        stream = b"".join(
            commits.write(record, ref=f"{_PENDING}/{record.id}", mark=mark)
            for mark, record in enumerate(unique, start=1)
        )
        output = self._repository.change(["fast-import", "--quiet", "--date-format=raw", "--force"], stdin=stream)
        return dict(zip((record.id for record in unique), output.decode().split(), strict=True))

    def _load(self, refs: Mapping[str, str]) -> dict[str, Record]:
        """The records that *refs* hold; a ref with anything else is left out."""
        names = sorted(set(refs.values()))
        contents = self._repository.read([f"{name}:record.json" for name in names])
        records = dict(zip(names, map(commits.read, contents), strict=True))
        return {ref: record for ref, commit in refs.items() if (record := records[commit]) is not None}

    def _each(self, refs: Mapping[str, str]) -> Iterator[tuple[str, Record]]:
        """As `_load`, but no more than a thousand refs at a time."""
        rest = iter(refs.items())
        while page := dict(islice(rest, 1000)):
            yield from self._load(page).items()

    def _loose(self, refs: Mapping[str, str]) -> list[Loose]:
        """The records that *refs* of the remote rightly lead to."""
        found: dict[str, Record] = {}
        leading: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for ref, record in self._each(refs):
            if _keys_of(ref, record) and commits.is_known(record):
                found[record.id] = record
                leading[record.id][ref] = refs[ref]
        return [Loose(record, leading[id_]) for id_, record in found.items()]


def _keys_of(ref: str, record: Record) -> Sequence[str]:
    """The keys under which *ref* rightly leads to *record*: all of one that waits here, else the one it names."""
    folder, _, id_ = ref.rpartition("/")
    if folder == _PENDING:
        return record.keys
    key = folder.removeprefix(f"{_RECORDS}/")
    # Under which keys a newer program's record belongs only that program can tell.
    return (key,) if record.id == id_ and (key in record.keys or not commits.is_known(record)) else ()


def _id_in(ref: str) -> str:
    return ref.rpartition("/")[2]


def _leads_to(asked: Iterable[str], keys: Iterable[str]) -> bool:
    """Whether one of *keys* is, or lies below, one that was *asked* for."""
    wanted = frozenset(asked)
    return any(above in wanted for key in keys for above in accumulate(key.split("/"), "{}/{}".format))


def _in_order(records: Iterable[Record]) -> list[Record]:
    unique = {record.id: record for record in records}
    return [record for _, record in sorted(unique.items(), key=lambda item: (item[1].time, item[0]))]


def _refusal(refs: Sequence[str], hint: str = "what is claimed once stays so") -> Conflict:
    names = ", ".join(ref.partition("claims/")[2] for ref in refs)
    return Conflict(f"{names} is taken, by another record or by what is none: {', '.join(refs)}", hint=hint)


def _refs(records: Iterable[Record], commits: Mapping[str, str]) -> dict[str, str]:
    return {f"{_RECORDS}/{key}/{record.id}": commits[record.id] for record in records for key in record.keys}
