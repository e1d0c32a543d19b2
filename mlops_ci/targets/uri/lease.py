"""
The lock of an address: a file that names its owner and until when, written under a condition.

Whoever has it renews it; an owner who died does not, and after a while somebody else takes it. The clocks of the
machines that deploy must agree to within a minute.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import msgspec

from mlops_ci import records
from mlops_ci.errors import ServiceError
from mlops_ci.targets.uri.place import Changed, Place

PATH = "lock.json"
_VALID_S = 300.0
_ATTEMPTS = 3


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the lock says; *token* tells one taking of it from another by the same owner."""

    owner: str
    token: str
    expires: str


class Lease:
    """One taking of the lock."""

    def __init__(self, place: Place, name: str, owner: str, valid_s: float) -> None:
        self._place = place
        self._name = name
        self._owner = owner
        self._valid = timedelta(seconds=valid_s)
        self._token = secrets.token_hex(8)
        self._tag = ""

    def take(self) -> None:
        """Raise `ServiceError` if somebody else has it."""
        for _ in range(_ATTEMPTS):
            found = self._place.read(PATH)
            note = self._decoded(found.data) if found else None
            if note and records.moment(note.expires).astimezone(UTC) > datetime.now(UTC):
                raise ServiceError(
                    f"{note.owner} is changing the target {self._name!r} in {self._place.address}",
                    hint=f"wait, then run the same command again; the lock ends at {note.expires[:19]}Z"
                    " if its owner died",
                )
            with suppress(Changed):
                self._tag = self._place.write_if(PATH, self._encoded(), found.tag if found else "")
                return
        raise ServiceError(
            f"others are changing the target {self._name!r} in {self._place.address}",
            hint="wait, then run the same command again",
        )

    def renew_until(self, over: threading.Event) -> None:
        """Write it anew before it ends, until *over*; a time-out now and then does no harm."""
        while not over.wait(self._valid.total_seconds() / 3):
            try:
                self._tag = self._place.write_if(PATH, self._encoded(), self._tag)
            except Changed:
                return
            except ServiceError:
                continue

    def demand(self) -> None:
        """Raise `ServiceError` if it is not ours any more."""
        found = self._place.read(PATH)
        note = self._decoded(found.data) if found else None
        if note is None or note.token != self._token:
            whom = f"to {note.owner}" if note else "to somebody who has let go of it since"
            raise ServiceError(
                f"the lock of the target {self._name!r} in {self._place.address} was lost {whom}",
                hint="run the same command again",
            )

    def give_back(self) -> None:
        """Let others have it; where that fails it ends by itself."""
        with suppress(Changed, ServiceError):
            self._place.delete(PATH, self._tag)

    def _encoded(self) -> bytes:
        expires = records.timestamp(datetime.now(UTC) + self._valid)
        return msgspec.json.encode(Note(owner=self._owner, token=self._token, expires=expires)) + b"\n"

    def _decoded(self, data: bytes) -> Note:
        try:
            note = msgspec.json.decode(data, type=Note)
            records.moment(note.expires).astimezone(UTC)
        except (msgspec.DecodeError, ValueError) as error:
            raise ServiceError(
                f"{PATH} in {self._place.address} is not a lock", hint="see whose it is, and delete it"
            ) from error
        return note


@contextmanager
def held(place: Place, name: str, owner: str, valid_s: float = _VALID_S) -> Iterator[Lease]:
    """Hold the lock of *place*; it is valid for *valid_s* seconds after its owner was killed."""
    lease = Lease(place, name, owner, valid_s)
    lease.take()
    over = threading.Event()
    renewing = threading.Thread(target=lease.renew_until, args=(over,), daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        over.set()
        renewing.join()
        lease.give_back()
