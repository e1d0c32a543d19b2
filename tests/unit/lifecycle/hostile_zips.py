"""Zip files as nobody's library writes them: every field of every head can be set. Knows nothing of the package."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PLAIN_FILE = 0o100644 << 16


@dataclass
class Entry:
    """
    A member. *said* are fields of its heads that are not what the content makes them: *size*, *packed*, *crc*.

    *local* and *central* are put in the place of fields of one head only: *name*, *size*, *offset*, *extra*.
    """

    name: bytes
    content: bytes = b""
    method: int = 0
    flags: int = 0
    external: int = PLAIN_FILE
    said: dict[str, int] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> bytes:
        """What stands in the file."""
        if self.method != 8:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()

    def head(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a head."""
        return {
            "name": self.name,
            "crc": zlib.crc32(self.content),
            "packed": len(self.stored),
            "size": len(self.content),
            "needs": 20,
            "made_by": 3 << 8 | 20,
            "date": 33,
            "time": 0,
            "disk": 0,
            "internal": 0,
            "extra": b"",
            "comment": b"",
            "flags": self.flags,
            "method": self.method,
            "external": self.external,
            **self.said,
            **changes,
        }


def zipped(entries: Iterable[Entry], *, before: bytes = b"", comment: bytes = b"", **end: int) -> bytes:
    """The file; *end* are fields of its last record that are not as they should be: *count*, *length*, *start*…"""
    data, heads, number = bytearray(before), bytearray(), 0
    for entry in entries:
        here = entry.head(entry.local)
        there = entry.head({"offset": len(data), **entry.central})
        data += struct.pack(
            "<4s5H", b"PK\3\4", here["needs"], here["flags"], here["method"], here["time"], here["date"]
        )
        data += struct.pack("<3I2H", here["crc"], here["packed"], here["size"], len(here["name"]), len(here["extra"]))
        data += here["name"] + here["extra"] + entry.stored
        heads += struct.pack("<4s4H", b"PK\1\2", there["made_by"], there["needs"], there["flags"], there["method"])
        heads += struct.pack("<2H3I", *(there[name] for name in ("time", "date", "crc", "packed", "size")))
        heads += struct.pack("<3H", *(len(there[name]) for name in ("name", "extra", "comment")))
        heads += struct.pack("<2H2I", *(there[name] for name in ("disk", "internal", "external", "offset")))
        heads += there["name"] + there["extra"] + there["comment"]
        number += 1
    last = {"disk": 0, "count": number, "length": len(heads), "start": len(data), **end}
    tail = struct.pack("<4s4H", b"PK\5\6", last["disk"], 0, last["count"], last["count"])
    return bytes(data + heads + tail + struct.pack("<2IH", last["length"], last["start"], len(comment)) + comment)


def members(runs: Iterable[bytes], artifacts: Iterable[bytes] = ()) -> list[Entry]:
    """The members of a bundle, in order, with its manifest."""
    contents = {f"records/{hashlib.sha256(data).hexdigest()}.json": data for data in runs}
    contents |= {f"artifacts/{hashlib.sha256(data).hexdigest()}": data for data in artifacts}
    return listed(contents)


def listed(contents: Mapping[str, bytes]) -> list[Entry]:
    """*contents* with a manifest of them."""
    sizes = {name: len(data) for name, data in contents.items()}
    manifest = {"format": "mlops-ci bundle", "members": sizes, "version": 1}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    return [Entry(name.encode(), data) for name, data in sorted({**contents, "manifest.json": text}.items())]
