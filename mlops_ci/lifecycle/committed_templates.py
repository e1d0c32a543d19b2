"""The templates that a commit overrides, read from git's objects: what is checked out does not matter."""

from __future__ import annotations

from pathlib import Path

from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle.project import TEMPLATES


def write(repository: Checkout | SideRepository, revision: str, into: Path) -> Path | None:
    """Write the templates that *revision* overrides below *into* and return it; None if there are none."""
    listed = repository.run(["ls-tree", "-r", "-z", revision, "--", f"{TEMPLATES.as_posix()}/"])
    for entry in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        about, _, path = entry.partition("\t")
        mode, _, blob = about.split(" ")
        if mode.startswith("100"):  # a file: no link, no submodule
            place = into / Path(path).relative_to(TEMPLATES)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(repository.run(["cat-file", "blob", blob]))
    return into if into.is_dir() else None


def digest_of(repository: Checkout | SideRepository, revision: str) -> str:
    """The name that git has for the templates at *revision*; "" if there are none."""
    listed = repository.run(["ls-tree", "-z", revision, "--", TEMPLATES.as_posix()])
    return listed.decode("utf-8", "surrogateescape").partition("\t")[0].rpartition(" ")[2]
