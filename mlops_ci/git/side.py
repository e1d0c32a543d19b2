"""
A bare repository of our own beside the checkout's, which shares nothing with it but the way to its remote.

Filtered and shallow fetches rewrite the configuration of the repository that they run in, so they run in
this one. What its refs mean is the business of whoever names them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_ci import git
from mlops_ci.errors import ServiceError

# Nobody's hooks, and no collection of garbage in mid-command: a fetch must not cost a second now and then.
_OWN_SETTINGS = ("core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "push.followTags=false")


@dataclass(frozen=True)
class SideRepository:
    """The bare repository *name* below the checkout's common git directory, made when it is first used."""

    checkout: git.Checkout
    name: str

    @cached_property
    def path(self) -> Path:
        """Where it is; made now if it was not there."""
        path = self.checkout.state / f"{self.name}.git"
        if not path.exists():
            self._make(path)
        return path

    def _make(self, path: Path) -> None:
        """Make the repository aside and give it its name at once: another process may be doing the same."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{self.name}-"))
        try:
            git.run(["init", "--quiet", "--bare", "--template=", fresh], cwd=self.checkout.root)
            fresh.rename(path)
        except OSError:
            if not path.exists():
                raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    @property
    def remote(self) -> str:
        """The address of the checkout's `origin`, or ""."""
        return self.checkout.remote

    def run(self, args: Sequence[str | Path], stdin: bytes | None = None) -> bytes:
        """Run git here, with the checkout's credentials. Raises as `git.run`."""
        settings = [word for setting in _OWN_SETTINGS for word in ("-c", setting)]
        return git.run(
            [*settings, f"--git-dir={self.path}", *args],
            cwd=self.path,
            stdin=stdin,
            env=self.checkout.transport,
        )

    def fetch(self, refspecs: Iterable[str], *options: str) -> None:
        """
        Bring refs from the remote; patterns that match nothing bring nothing. Without a remote, do nothing.

        Raises:
            ServiceError: The remote did not answer.
        """
        wanted = list(refspecs)
        if not self.remote or not wanted:
            return
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options, "--", self.remote]
        try:
            self.run([*command, *wanted])
        except git.GitError as error:
            raise _unreachable(error) from error

    def push(self, refs: Mapping[str, str], *, create_only: Iterable[str] = ()) -> None:
        """
        Write *refs* (name → object) to the remote, all or none.

        Args:
            refs: What to write; a ref that is there already with the same object is fine.
            create_only: Those of *refs* that must not be there with another object. (A plain push would
                move an existing ref forward.)

        Raises:
            ServiceError: The remote refused or did not answer; nothing was written.
        """
        leases = [f"--force-with-lease={ref}:" for ref in create_only]
        specs = [f"{target}:{ref}" for ref, target in refs.items()]
        try:
            self.run(["push", "--quiet", "--atomic", *leases, "--", self.remote, *specs])
        except git.GitError as error:
            raise _unreachable(error) from error

    def update(self, *commands: str) -> None:
        """Change refs here in one transaction; *commands* as `git update-ref --stdin` reads them."""
        if commands:
            stdin = "".join(f"{command}\n" for command in commands).encode(errors="surrogateescape")
            self.run(["update-ref", "--stdin"], stdin=stdin)

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Name → object of the refs here that are, or lie below, *prefixes*."""
        output = self.run(["for-each-ref", "--format=%(refname) %(objectname)", *prefixes])
        # A ref that somebody pushed may be named in any bytes but spaces and control characters.
        lines = output.decode(errors="surrogateescape").removesuffix("\n").split("\n")
        return dict(line.split(" ") for line in lines if line)

    def read(self, objects: Sequence[str]) -> list[bytes | None]:
        """The contents of *objects* (anything that names a blob), in order; None for one that is not here."""
        if not objects:
            return []
        output = self.run(["cat-file", "--batch"], stdin="".join(f"{name}\n" for name in objects).encode())
        contents: list[bytes | None] = []
        start = 0
        for _ in objects:
            end = output.index(b"\n", start)
            header = output[start:end].split(b" ")
            if not header[-1].isdigit():  # missing, or a submodule
                contents.append(None)
                start = end + 1
                continue
            size = int(header[-1])
            contents.append(output[end + 1 : end + 1 + size])
            start = end + size + 2
        return contents


def _unreachable(error: git.GitError) -> ServiceError:
    return ServiceError(
        f"the git remote did not do what was asked: {error}",
        hint="check the network and your rights to push; the same command may be run again",
    )
