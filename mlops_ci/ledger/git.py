"""
The ledger that needs no server: records as refs of the project's own git remote.

Every record is a parentless commit that holds `record.json` and takes its author and date from the
record, so that a retried push is the same bytes. It is pushed as one ref for each of its keys,
`refs/mlops/records/<key>/<id>`: writers never meet, and a reader fetches by prefix what it needs.
A claim is a ref that is created only if it is not there, `refs/mlops/claims/<name>`. What could not be
sent yet is named by `refs/mlops/pending/<id>`, here only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlops_ci import records as recording
from mlops_ci.errors import Conflict, ServiceError
from mlops_ci.git import Checkout, GitError
from mlops_ci.git.side import SideRepository
from mlops_ci.records import Record

_RECORDS = "refs/mlops/records"
_CLAIMS = "refs/mlops/claims"
_PENDING = "refs/mlops/pending"


class GitLedger:
    """The ledger of the repository that *checkout* was cloned from; without a remote, of this clone alone."""

    def __init__(self, checkout: Checkout) -> None:
        self._repository = SideRepository(checkout, "ledger")

    def append(self, records: Sequence[Record], *, claims: Mapping[str, Record] | None = None) -> bool:
        """Write *records* here, then send them in one push; see `Ledger.append`."""
        if not records:
            return True
        commits = self._write(records)
        refs = _refs(records, commits)
        taken = {f"{_CLAIMS}/{name}": commits[record.id] for name, record in (claims or {}).items()}
        if not self._repository.remote:
            self._keep(records, refs, taken)
            return True
        try:
            self._repository.push({**refs, **taken}, create_only=taken)
        except ServiceError as error:
            if taken:
                self._forget(records)
                self._explain_refusal(taken, error)
            self._keep(records, refs, {})
            return False
        self._keep(records, refs, taken, sent=True)
        return True

    def find(self, *keys: str) -> list[Record]:
        """Fetch by prefix, then read; see `Ledger.find`."""
        if not keys:
            return []
        prefixes = [f"{_RECORDS}/{key}" for key in keys]
        self._repository.fetch(f"+{prefix}/*:{prefix}/*" for prefix in prefixes)
        return self._read(self._repository.refs(*prefixes).values())

    def claims(self, prefix: str) -> dict[str, Record]:
        """See `Ledger.claims`."""
        under = f"{_CLAIMS}/{prefix}".rstrip("/")
        self._repository.fetch([f"+{under}*:{under}*"])
        refs = self._repository.refs(under)
        by_commit = dict(self._load(refs.values()))
        return {ref.removeprefix(f"{_CLAIMS}/"): by_commit[commit] for ref, commit in sorted(refs.items())}

    def all(self) -> Iterator[Record]:
        """Fetch everything, then read; see `Ledger.all`."""
        self._repository.fetch([f"+{_RECORDS}/*:{_RECORDS}/*"])
        yield from self._read(self._repository.refs(_RECORDS, _PENDING).values())

    def pending(self) -> int:
        """See `Ledger.pending`."""
        return len(self._repository.refs(_PENDING)) if self._repository.remote else 0

    def sync(self) -> int:
        """Send what waits in one push; see `Ledger.sync`."""
        waiting = self._repository.refs(_PENDING)
        if not waiting or not self._repository.remote:
            return 0
        records = self._read(waiting.values())
        commits = {ref.rpartition("/")[2]: commit for ref, commit in waiting.items()}
        refs = _refs(records, commits)
        self._repository.push(refs)
        self._keep(records, refs, {}, sent=True)
        return len(records)

    def _write(self, records: Iterable[Record]) -> dict[str, str]:
        """Make a commit of each record, held by its pending ref; record id → commit."""
        unique = list({record.id: record for record in records}.values())
        stream = b"".join(_import(record, mark) for mark, record in enumerate(unique, start=1))
        output = self._repository.run(["fast-import", "--quiet", "--date-format=raw", "--force"], stdin=stream)
        return dict(zip((record.id for record in unique), output.decode().split(), strict=True))

    def _keep(
        self, records: Iterable[Record], refs: Mapping[str, str], taken: Mapping[str, str], *, sent: bool = False
    ) -> None:
        """Name *refs* and claims here too, and drop the pending refs of what was *sent*."""
        commands = [f"update {ref} {commit}" for ref, commit in refs.items()]
        commands += [f"{'update' if sent else 'create'} {ref} {commit}" for ref, commit in taken.items()]
        if sent:
            commands += [f"delete {_PENDING}/{id_}" for id_ in {record.id for record in records}]
        try:
            self._repository.update(*commands)
        except GitError:
            if not sent:
                self._refuse_other_claims(taken)
            raise

    def _forget(self, records: Iterable[Record]) -> None:
        self._repository.update(*(f"delete {_PENDING}/{id_}" for id_ in {record.id for record in records}))

    def _explain_refusal(self, taken: Mapping[str, str], error: ServiceError) -> None:
        """A push with claims was refused: because one is taken, or because the remote is away?"""
        self._repository.fetch(f"+{ref}*:{ref}*" for ref in taken)
        self._refuse_other_claims(taken)
        raise error

    def _refuse_other_claims(self, taken: Mapping[str, str]) -> None:
        held = self._repository.refs(*taken)
        for ref, commit in taken.items():
            if held.get(ref, commit) != commit:
                name = ref.removeprefix(f"{_CLAIMS}/")
                raise Conflict(f"{name} is taken, by another record", hint="what is claimed once stays so")

    def _read(self, commits: Iterable[str]) -> list[Record]:
        return sorted((record for _, record in self._load(commits)), key=lambda record: (record.time, record.id))

    def _load(self, commits: Iterable[str]) -> list[tuple[str, Record]]:
        unique = sorted(set(commits))
        contents = self._repository.read([f"{commit}:record.json" for commit in unique])
        return [
            (commit, recording.decode(content))
            for commit, content in zip(unique, contents, strict=True)
            if content is not None
        ]


def _refs(records: Iterable[Record], commits: Mapping[str, str]) -> dict[str, str]:
    return {f"{_RECORDS}/{key}/{record.id}": commits[record.id] for record in records for key in record.keys}


def _import(record: Record, mark: int) -> bytes:
    """The commit of *record* in the language of `git fast-import`."""
    data = recording.encode(record)
    seconds = int(recording.moment(record.time).timestamp())
    who = f"{_clean(record.author.name)} <{_clean(record.author.email)}> {seconds} +0000".encode()
    subject = f"{record.kind} {record.id[:12]}\n".encode()
    return b"".join(
        (
            f"commit {_PENDING}/{record.id}\nmark :{mark}\n".encode(),
            b"author " + who + b"\ncommitter " + who + b"\n",
            f"data {len(subject)}\n".encode() + subject,
            f"M 100644 inline record.json\ndata {len(data)}\n".encode() + data + b"\n",
            f"get-mark :{mark}\n".encode(),
        )
    )


def _clean(text: str) -> str:
    """Git's identity lines end at angle brackets and line breaks."""
    return "".join(" " if character in "<>" or not character.isprintable() else character for character in text).strip()
