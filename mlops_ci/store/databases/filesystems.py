"""
Says whether a file lies on a disk of this machine or somewhere on a network.

SQLite's write-ahead log is shared memory, which a network file system does not give to two machines:
there the rollback journal is the one that keeps a database whole.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")

# Named by the kernel or by fuse; what is not listed here may be anywhere and counts as a network's.
_LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "hfs", "jfs", "ntfs3", "overlay", "ramfs", "reiserfs"}
    | {"tmpfs", "ubifs", "udf", "vfat", "exfat", "xfs", "zfs", "fuseblk", "fuse.fuse-overlayfs", "aufs", "rootfs"}
)


def is_local(path: Path, mounts: str) -> bool:
    """
    Whether *path* (absolute, without links) lies on a local file system.

    Args:
        path: A file or folder, there or not.
        mounts: The text of `/proc/self/mounts`. What it does not answer counts as not local.
    """
    above = [mount for mount in _parse(mounts) if path.is_relative_to(mount[0])]
    best = max(reversed(above), key=_depth, default=None)  # of two at one place, the later one hides the other
    return best is not None and best[1] in _LOCAL


def mounts() -> str:
    """What is mounted on this machine, or "" where the kernel does not say."""
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _parse(text: str) -> list[tuple[Path, str]]:
    fields = (line.split(" ") for line in text.splitlines())
    return [(Path(_unescape(field[1])), field[2]) for field in fields if len(field) > 2]


def _unescape(word: str) -> str:
    """Undo what the kernel does to a blank in a path: it writes its code in octal after a backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _depth(mount: tuple[Path, str]) -> int:
    return len(mount[0].parts)
