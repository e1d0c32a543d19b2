"""
The file that a backup is: how it is written whole, and how every byte of it is verified.

A zip file, so that anybody can look into it, with the members

    records.jsonl     every record's RFC 8785 bytes, in order of time and id; the SHA-256 of a line is the record's id
    claims.jsonl      every claimed name and the id of the record that has it
    artifacts/<hex>   every artifact, named by its SHA-256
    manifest.json     what there is, how much, and the SHA-256 of each other member

Its comment ends with the SHA-256 of all bytes before those digits, so that no byte of it can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from mlops_ci import records
from mlops_ci.errors import IntegrityError, MlopsCIError, UsageError
from mlops_ci.records import Record

FORMAT = "mlops-ci backup"
VERSION = 1
RECORDS, CLAIMS, ARTIFACTS, MANIFEST = "records.jsonl", "claims.jsonl", "artifacts/", "manifest.json"
_SEAL = b"mlops-ci backup; SHA-256 of all bytes before these digits: "
_DIGITS = 64
_CHUNK = 1 << 20
# What a zip file that was tampered with makes the library raise, beside its own error.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    OSError,
    TypeError,
    msgspec.MsgspecError,
)

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it was, and how much it is."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file in the backup."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a backup has.

    *left_out* are artifacts that records name and that could not be had, with the reason; *lost* those of them that
    not only deleted runs name.
    """

    format: str
    version: int
    tool: str
    time: str
    records: int
    claims: int
    artifacts: int
    artifact_bytes: int
    with_artifacts: bool
    left_out: dict[str, str]
    lost: list[str]
    members: dict[str, Member]


class Writer:
    """Writes members one after the other into *file*, which is seekable; `seal` ends it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self.members: dict[str, Member] = {}

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Begin the member *name*; what is passed to the function that it gives is written to it."""
        digest, size_bytes = hashlib.sha256(), 0
        with self._zip.open(_info(name), "w", force_zip64=True) as target:

            def write(data: bytes) -> None:
                nonlocal size_bytes
                target.write(data)
                digest.update(data)
                size_bytes += len(data)

            yield write
        self.members[name] = Member(sha256=digest.hexdigest(), size_bytes=size_bytes)

    def copy(self, name: str, path: Path) -> None:
        """Write the file at *path* as the member *name*."""
        with self.member(name) as write, path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                write(chunk)

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest, end the zip file, and bring all of it to the disk."""
        self._zip.writestr(_info(MANIFEST), msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.comment = _SEAL + b"0" * _DIGITS
        self._zip.close()
        end = self._file.seek(0, os.SEEK_END)
        digest = _digest(self._file, end - _DIGITS)
        self._file.seek(end - _DIGITS)
        self._file.write(digest.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """End the zip file where it is: it will not be kept."""
        self._zip.fp = None


@dataclass
class Backup:
    """A backup that was verified and is open for reading."""

    path: Path
    sha256: str
    manifest: Manifest
    claims: dict[str, str] = field(default_factory=dict)
    _zip: zipfile.ZipFile = field(repr=False, kw_only=True)

    def records(self) -> Iterator[Record]:
        """Every record, in order."""
        with self._zip.open(RECORDS) as lines:
            for line in lines:
                yield records.decode(line.removesuffix(b"\n"))

    def artifacts(self) -> dict[str, int]:
        """Every artifact's digest, and its size in bytes."""
        members = self.manifest.members.items()
        return {
            f"sha256:{name.removeprefix(ARTIFACTS)}": member.size_bytes
            for name, member in members
            if name.startswith(ARTIFACTS)
        }

    def extract(self, digest: str, folder: Path) -> Path:
        """Write an artifact to a file in *folder*."""
        name = digest.removeprefix("sha256:")
        place = folder / name
        with self._zip.open(ARTIFACTS + name) as source, place.open("wb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        return place


@contextmanager
def verified(path: Path, progress: Progress) -> Iterator[Backup]:
    """
    Open the backup at *path*, every byte of which is verified first.

    Raises:
        UsageError: There is no such file, it is no backup, or one of a newer version.
        IntegrityError: It is truncated, or was changed; the sentence names the member.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", hint="name the file that `mlops-ci backup` wrote"
        ) from error
    with file:
        sealed = _sealed(file, path)
        with _open(file, path) as members:
            backup = _Check(path, members, progress).run(sealed)
            if _digest(file, file.seek(0, os.SEEK_END) - _DIGITS) != sealed:
                raise _damaged(path, "the zip file's own headers")
            yield backup


def _open(file: BinaryIO, path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise _damaged(path, "the zip file's directory") from error


@dataclass
class _Check:
    """Goes through every member once."""

    path: Path
    members: zipfile.ZipFile
    progress: Progress
    ids: set[str] = field(default_factory=set)
    claims: dict[str, str] = field(default_factory=dict)
    last: tuple[str, str] = ("", "")

    def run(self, sealed: str) -> Backup:
        manifest = self._manifest()
        names = self.members.namelist()
        if sorted(names) != sorted([*manifest.members, MANIFEST]):
            odd = sorted(set(names) ^ {*manifest.members, MANIFEST}) or sorted(names)
            raise _damaged(self.path, odd[0])
        total = sum(member.size_bytes for member in manifest.members.values())
        done = 0
        # Records before claims, which name them.
        for name in sorted(manifest.members, key=lambda name: (name != RECORDS, name)):
            self._member(name, manifest.members[name])
            done += manifest.members[name].size_bytes
            self.progress("verify the backup, bytes", done, total)
        artifacts = [each.size_bytes for name, each in manifest.members.items() if name.startswith(ARTIFACTS)]
        found = (len(self.ids), len(self.claims), len(artifacts), sum(artifacts))
        if found != (manifest.records, manifest.claims, manifest.artifacts, manifest.artifact_bytes):
            raise _damaged(self.path, MANIFEST)
        return Backup(self.path, sealed, manifest, self.claims, _zip=self.members)

    def _manifest(self) -> Manifest:
        try:
            data = self.members.read(MANIFEST)
            head = json.loads(data)
            if (head["format"], head["version"]) != (FORMAT, VERSION):
                raise UsageError(
                    f"{self.path} is a {head['format']} of version {head['version']}, and {VERSION} is known here",
                    hint="install a newer mlops-ci",
                )
            return msgspec.json.decode(data, type=Manifest)
        except _DAMAGE as error:
            raise _damaged(self.path, MANIFEST) from error

    def _member(self, name: str, said: Member) -> None:
        digest, size_bytes = hashlib.sha256(), 0
        line_of = {RECORDS: self._record, CLAIMS: self._claim}.get(name)
        try:
            with self.members.open(name) as source:
                for part in source if line_of else iter(lambda: source.read(_CHUNK), b""):
                    digest.update(part)
                    size_bytes += len(part)
                    if line_of:
                        line_of(part)
        except _DAMAGE as error:
            raise _damaged(self.path, name) from error
        except MlopsCIError as error:
            raise IntegrityError(f"{self.path}: {name}: {error}", hint=error.hint) from error
        named = name.removeprefix(ARTIFACTS) if name.startswith(ARTIFACTS) else said.sha256
        if {digest.hexdigest()} != {said.sha256, named} or size_bytes != said.size_bytes:
            raise _damaged(self.path, name)

    def _record(self, line: bytes) -> None:
        record = records.decode(line.removesuffix(b"\n"))
        id_ = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
        if record.kind not in records.KINDS:
            raise UsageError(
                f"a record of kind {record.kind!r} is none that is known here", hint="install a newer mlops-ci"
            )
        if record.id != id_ or (record.time, id_) <= self.last or not line.endswith(b"\n"):
            raise ValueError(line)
        record.read(records.KINDS[record.kind])
        self.last = (record.time, id_)
        self.ids.add(id_)

    def _claim(self, line: bytes) -> None:
        claim = json.loads(line)
        if claim["record"] not in self.ids or claim["name"] in self.claims:
            raise ValueError(line)
        self.claims[claim["name"]] = claim["record"]


def _info(name: str) -> zipfile.ZipInfo:
    """The head of a member, without a time: the manifest has it."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _digest(file: IO[bytes], length: int) -> str:
    """The SHA-256 of the first *length* bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while length > 0 and (chunk := file.read(min(_CHUNK, length))):
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


def _sealed(file: IO[bytes], path: Path) -> str:
    """The digest that the file ends with."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(_SEAL) - _DIGITS))
    end = file.read()
    if end.startswith(_SEAL) and len(end) == len(_SEAL) + _DIGITS:
        return end.removeprefix(_SEAL).decode(errors="replace")
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise UsageError(f"{path} is no backup", hint="name the file that `mlops-ci backup` wrote")
    raise IntegrityError(
        f"{path} is truncated, or was changed, in {_last_member(file, size)}", hint="take another copy of it"
    )


def _last_member(file: IO[bytes], size: int) -> str:
    """The member that a zip file of *size* bytes ends in, by the heads that stand before each."""
    start, name = 0, ""
    while True:
        file.seek(start)
        head = file.read(30)
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            return "its directory" if head[:4] == b"PK\x01\x02"[: len(head[:4])] else f"what follows {name}"
        packed, _, name_length, extra_length = struct.unpack("<IIHH", head[18:30])
        name = file.read(name_length).decode(errors="replace")
        extra = file.read(extra_length)
        if packed == 0xFFFFFFFF and len(extra) >= 20:
            packed = struct.unpack("<Q", extra[12:20])[0]
        start += 30 + name_length + extra_length + packed
        if start > size:
            return name


def _damaged(path: Path, name: str) -> IntegrityError:
    return IntegrityError(f"{path} is damaged: {name} is not what was written", hint="take another copy of it")
