"""Where a file lies decides which journal SQLite may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_ci.store.databases import filesystems

MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/ada/fast xfs rw 0 0
//nas/models /mnt/two\\040words cifs rw 0 0
ada@host:/ /mnt/ssh fuse.sshfs rw 0 0
C:\\134 /mnt/c 9p rw 0 0
pool@tcp:/scratch /scratch lustre rw 0 0
bucket /mnt/bucket fuse.new-thing rw 0 0
/dev/loop3 /homework ext4 rw 0 0

short line
"""


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/var/lib/mlops.db", True),
        ("/tmp/mlops.db", True),
        ("/home/ada/mlops.db", False),
        ("/home/ada/fast/mlops.db", True),
        ("/homework/mlops.db", True),
        ("/mnt/two words/mlops.db", False),
        ("/mnt/ssh/mlops.db", False),
        ("/mnt/c/mlops.db", False),
        ("/scratch/a/b/c/mlops.db", False),
        ("/mnt/bucket/mlops.db", False),
    ],
)
def test_the_deepest_mount_says_what_a_file_lies_on(path: str, *, local: bool) -> None:
    assert filesystems.is_local(Path(path), MOUNTS) is local


def test_the_last_of_two_mounts_at_one_place_is_the_one_that_is_seen() -> None:
    assert not filesystems.is_local(Path("/data/mlops.db"), "/dev/vdc /data ext4 rw 0 0\nnas:/x /data nfs rw 0 0\n")


def test_what_nobody_says_counts_as_a_network() -> None:
    assert not filesystems.is_local(Path("/var/lib/mlops.db"), "")
