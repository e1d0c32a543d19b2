"""
The file that a bundle is: a zip file of one narrow form, and a reader that takes no other.

    artifacts/<hex>        bytes, named by their SHA-256
    manifest.json          the format, and the size of every other member, in RFC 8785 form
    records/<hex>.json     a record's RFC 8785 bytes, named by their SHA-256

Members are sorted, follow each other without a gap, and are stored: the upload packs the file anyway, and what is not
packed cannot be a bomb. A zip library makes sense of whatever it is given, so none reads here: every head is compared
with the one that `write` makes for such a member. What members mean is for `bundle`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlops_ci import records
from mlops_ci.errors import IntegrityError, Refused, ServiceError, UsageError
from mlops_ci.reports.escape import visible

FORMAT = "mlops-ci bundle"
VERSION = 1
ARTIFACTS, MANIFEST, RECORDS = "artifacts/", "manifest.json", "records/"
_NAME = re.compile(r"artifacts/[0-9a-f]{64}|manifest\.json|records/[0-9a-f]{64}\.json")
_LONGEST_NAME = len(ARTIFACTS) + 64 + len(".json")
_CHUNK = 1 << 20
# Beyond these a zip file needs another form.
_MOST_MEMBERS, _MOST_BYTES = (1 << 16) - 2, (1 << 31) - 1
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_UNIX, _ZIP_2 = 3, 20
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_DOS_DATE = 1 << 5 | 1
_LOCAL, _LOCAL_SIGN = struct.Struct("<4s5H3I2H"), b"PK\x03\x04"
_CENTRAL, _CENTRAL_SIGN = struct.Struct("<4s6H3I5H2I"), b"PK\x01\x02"
_END, _END_SIGN = struct.Struct("<4s4H2IH"), b"PK\x05\x06"


@dataclass(frozen=True)
class Limits:
    """How much is read, and so written; the form itself ends at 2^31 bytes and 65,535 members."""

    bytes_in_all: int = 2_000_000_000
    members: int = 12_000
    artifact_bytes: int = 2_000_000_000
    records: int = 64
    record_bytes: int = 4_000_000
    record_bytes_in_all: int = 16_000_000


LIMITS = Limits()


class Member(NamedTuple):
    """A member's size, CRC-32, and where its bytes start."""

    size_bytes: int
    crc: int
    start: int


def write(path: Path, contents: Mapping[str, bytes | Path], limits: Limits = LIMITS) -> None:
    """
    Write *contents*, by their names without the manifest, to *path*: aside first, so that it is whole or not there.

    Raises:
        UsageError: It would be more than *limits* allow.
        IntegrityError: A file's bytes do not have the digest that names it.
        ServiceError: There is no room.
    """
    sizes = {name: _size(content) for name, content in contents.items()}
    listed = manifest(sizes)
    members = {**contents, MANIFEST: listed}
    excess = _excess({**sizes, MANIFEST: len(listed)}, limits)
    if excess:
        raise UsageError(f"the bundle would hold {excess}", hint="log less, or train and record in one job")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
            for name in sorted(members):
                _copy(members[name], name, archive)
        aside.replace(path)
    except OSError as error:
        raise ServiceError(
            f"cannot write {path}: {error.strerror}", hint="make room, or the folder writable"
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def manifest(sizes: Mapping[str, int]) -> bytes:
    """The only manifest that a bundle of members with *sizes* (without it) can have."""
    return records.canonical({"format": FORMAT, "members": dict(sizes), "version": VERSION})


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """
    Open the file at *path*.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        # What waits for a writer, or never ends, is not opened at all.
        file = path.open("rb") if stat.S_ISREG(path.stat().st_mode) else None
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", hint="name the file that the training job left"
        ) from error
    if file is None:
        raise UsageError(f"{path} is no file", hint="name the file that the training job left")
    with file:
        yield file


def directory(file: BinaryIO, limits: Limits = LIMITS) -> dict[str, Member]:
    """
    Return the members of *file* but for the manifest, which was compared with them.

    Raises:
        Refused: Any byte but the contents of members is not as `write` makes it, or there is more than *limits* allow.
    """
    members: dict[str, Member] = {}
    heads, start, count = _heads(file, limits)
    end, last = 0, ""
    for name, member in _listed(heads):
        if name <= last:
            raise Refused(f"it holds {name} twice, or not in order")
        if member.start != end + _LOCAL.size + len(name):
            raise Refused(f"{name} does not follow the member before it")
        file.seek(end)
        if file.read(_LOCAL.size + len(name)) != _local(name, member):
            raise Refused(f"the head of {name} is not as its directory says")
        members[name], end, last = member, member.start + member.size_bytes, name
    if end != start or len(members) != count:
        raise Refused("it has other members than its directory says")
    excess = _excess({name: each.size_bytes for name, each in members.items()}, limits)
    if excess:
        raise Refused(f"it holds {excess}")
    _compare_manifest(file, members)
    return {name: member for name, member in members.items() if name != MANIFEST}


def chunks(file: BinaryIO, name: str, member: Member) -> Iterator[bytes]:
    """
    The bytes of *member*, a piece at a time.

    Raises:
        Refused: At its end, if they do not have its checksum.
    """
    file.seek(member.start)
    left, crc = member.size_bytes, 0
    while left and (chunk := file.read(min(left, _CHUNK))):
        left -= len(chunk)
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if left or crc != member.crc:
        raise Refused(f"the bytes of {name} do not have their checksum")


def extract(file: BinaryIO, name: str, member: Member, place: Path) -> None:
    """
    Write *member* to the new file *place*.

    Raises:
        Refused: Its bytes do not have the digest that names it.
        ServiceError: There is no room.
    """
    digest = hashlib.sha256()
    try:
        with place.open("xb") as target:
            for chunk in chunks(file, name, member):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise ServiceError(f"cannot write {place}: {error.strerror}", hint="make room") from error
    if digest.hexdigest() not in name:
        raise Refused(f"the bytes of {name} do not have the digest that names it")


def _heads(file: BinaryIO, limits: Limits) -> tuple[bytes, int, int]:
    """The zip file's directory, where it starts, and how many members it is said to have."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(_END_SIGN):
        raise Refused("it is no zip file, is cut off, or something follows it")
    count, length, start = _END.unpack(end)[4:7]
    if end != _END.pack(_END_SIGN, 0, 0, count, count, length, start, 0):
        raise Refused("it ends otherwise than a bundle does")
    if start + length + _END.size != size_bytes:
        raise Refused("something stands before it, or is missing")
    if count > limits.members or length > count * (_CENTRAL.size + _LONGEST_NAME):
        raise Refused(f"it holds {count:,} members with heads of {length:,} bytes, and {limits.members:,} are the most")
    file.seek(start)
    return file.read(length), start, count


def _listed(heads: bytes) -> Iterator[tuple[str, Member]]:
    """The members that a directory names, each with a head such as `write` makes."""
    position = 0
    while position < len(heads):
        if len(heads) - position < _CENTRAL.size:
            raise Refused("its directory is cut off")
        head = _CENTRAL.unpack_from(heads, position)
        flags, method, crc, size_bytes, name_length = head[3], head[4], head[7], head[9], head[10]
        end = position + _CENTRAL.size + name_length
        name = heads[position + _CENTRAL.size : end].decode("utf-8", errors="replace")
        if not _NAME.fullmatch(name):
            raise Refused(f"it holds {visible(name)!r}, a name that no bundle has")
        if head[15] != _ATTRIBUTES:
            raise Refused(f"{name} is no plain file")
        if flags or method:
            raise Refused(f"{name} is {'encrypted' if flags & 1 else 'packed'}, which no bundle is")
        member = Member(size_bytes, crc, head[16] + _LOCAL.size + len(name))
        if heads[position:end] != _central(name, member):
            raise Refused(f"the head of {name} is none that a bundle has")
        yield name, member
        position = end


def _local(name: str, member: Member) -> bytes:
    """The head before *member*."""
    of_content = (member.crc, member.size_bytes, member.size_bytes, len(name), 0)
    return _LOCAL.pack(_LOCAL_SIGN, _ZIP_2, 0, 0, 0, _DOS_DATE, *of_content) + name.encode()


def _central(name: str, member: Member) -> bytes:
    """The head of *member* in the directory."""
    of_content = (member.crc, member.size_bytes, member.size_bytes, len(name), 0, 0, 0, 0, _ATTRIBUTES)
    offset = member.start - _LOCAL.size - len(name)
    made_by = _UNIX << 8 | _ZIP_2
    head = _CENTRAL.pack(_CENTRAL_SIGN, made_by, _ZIP_2, 0, 0, 0, _DOS_DATE, *of_content, offset)
    return head + name.encode()


def _compare_manifest(file: BinaryIO, members: Mapping[str, Member]) -> None:
    expected = manifest({name: each.size_bytes for name, each in members.items() if name != MANIFEST})
    found = members.get(MANIFEST)
    if found is None or found.size_bytes != len(expected) or b"".join(chunks(file, MANIFEST, found)) != expected:
        raise Refused(
            f"its {MANIFEST} is not that of a bundle of version {VERSION} with its members",
            hint="both jobs need the same version of mlops-ci",
        )


def _excess(sizes: Mapping[str, int], limits: Limits) -> str:
    """What of a bundle with members of *sizes* is too much, in words; "" if nothing is."""
    bounds = {RECORDS: limits.record_bytes, ARTIFACTS: limits.artifact_bytes}
    for name, size_bytes in sizes.items():
        most = next((most for start, most in bounds.items() if name.startswith(start)), size_bytes)
        if size_bytes > most:
            return f"{name} of {size_bytes:,} bytes, and {most:,} are the most"
    of_records = [size_bytes for name, size_bytes in sizes.items() if name.startswith(RECORDS)]
    heads = sum(_LOCAL.size + _CENTRAL.size + 2 * len(name) for name in sizes)
    for what, found, most in (
        ("records", len(of_records), limits.records),
        ("bytes of records", sum(of_records), limits.record_bytes_in_all),
        ("members", len(sizes), min(limits.members, _MOST_MEMBERS)),
        ("bytes in all", sum(sizes.values()) + heads + _END.size, min(limits.bytes_in_all, _MOST_BYTES)),
    ):
        if found > most:
            return f"{found:,} {what}, and {most:,} are the most"
    return ""


def _copy(content: bytes | Path, name: str, archive: zipfile.ZipFile) -> None:
    """Write a member. Who reads it finds its digest in its name, unless it is the manifest."""
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    info.create_system, info.external_attr = _UNIX, _ATTRIBUTES
    digest = hashlib.sha256()
    with archive.open(info, "w") as target:
        for chunk in [content] if isinstance(content, bytes) else _read(content):
            digest.update(chunk)
            target.write(chunk)
    if name != MANIFEST and digest.hexdigest() not in name:
        raise IntegrityError(f"what is to be {name} has another digest", hint="was it changed meanwhile?")


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk
