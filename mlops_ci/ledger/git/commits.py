"""
A record as a commit: parentless, with `record.json` in it, and with author and date of the record.

Who may push to the remote may push anything to it, so what is read is taken for a record only if it is sound.
"""

from __future__ import annotations

from mlops_ci import records as recording
from mlops_ci.errors import MlopsCIError
from mlops_ci.records import Record


def write(record: Record, *, ref: str, mark: int) -> bytes:
    """The commit of *record*, held by *ref*, in the language of `git fast-import`; it prints the commit's name."""
    data = recording.encode(record)
    who = identity(record.author.name, record.author.email, record.time)
    subject = f"{record.kind} {record.id[:12]}\n".encode()
    return b"".join(
        (
            f"commit {ref}\nmark :{mark}\n".encode(),
            b"author " + who + b"\ncommitter " + who + b"\n",
            f"data {len(subject)}\n".encode() + subject,
            f"M 100644 inline record.json\ndata {len(data)}\n".encode() + data + b"\n",
            f"get-mark :{mark}\n".encode(),
        )
    )


def identity(name: str, email: str, time: str) -> bytes:
    """Who and when (*time* as in a record), as a commit has it."""
    seconds = int(recording.moment(time).timestamp())
    return f"{_clean(name)} <{_clean(email)}> {seconds} +0000".encode()


def read(content: bytes | None) -> Record | None:
    """
    The record in *content*, or None if it is not a sound one: it must not stop everybody else.

    One of a kind that a newer program knows is sound. What it is found by is not known here, so it has no keys.
    """
    if content is None:
        return None
    try:
        record = recording.decode(content)
        if is_known(record):
            record.read(recording.KINDS[record.kind])
        sound = bool(record.id and (record.keys or not is_known(record)) and recording.moment(record.time).tzinfo)
    except (MlopsCIError, LookupError, TypeError, ValueError, AttributeError):
        return None
    return record if sound else None


def is_known(record: Record) -> bool:
    """Whether this program knows what records of that kind say."""
    return record.kind in recording.KINDS


def _clean(text: str) -> str:
    """Git's identity lines end at angle brackets and line breaks."""
    return "".join(" " if character in "<>" or not character.isprintable() else character for character in text).strip()
