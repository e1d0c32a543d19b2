"""
A bare repository of our own beside the checkout's, which shares nothing with it but the way to its remote.

Filtered and shallow fetches rewrite the configuration of the repository that they run in, so they run in
this one. What its refs mean is the business of whoever names them.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_ci import git, locks
from mlops_ci.errors import ServiceError

# Said of a ref that was there when the remote was asked and is gone, or folded, when it is fetched.
_GONE = "not our ref"
_FETCHES = 4
_REMOTE = "ours"
_LEFT_LOCK = re.compile(r"Unable to create '(.+\.lock)': File exists")
_MOST_LEFT_LOCKS = 20
_NO_ROOM = ("No space left on device", "Out of diskspace", "couldn't write '/", "Read-only file system")
_MOST_PACKS, _MOST_LOOSE = 50, 6_000

# Nobody's hooks, and no collection of garbage in mid-command: a fetch must not cost a second now and then.
_OWN_SETTINGS = ("core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false", "push.followTags=false")

# A ref by ref answer, or a server that finds the whole too large; not one that asks for patience or for a password.
_REFUSALS = ("rejected]", "HTTP 413")


# Git hosts differ in their words; over HTTP the code is what counts. Somebody who may not even look is asked who it is.
_NO_RIGHTS = re.compile(
    r"error: 40[13]|denied|not allowed|read.only|could not read (Username|Password)|terminal prompts disabled"
    r"|Authentication failed|not authorized|insufficient permission",
    re.IGNORECASE,
)


_LATER = re.compile(r"rate limit|error: 429|secondary|abuse", re.IGNORECASE)


class PushRefused(ServiceError):
    """The remote answered, and will not take this push as it is."""


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
        return self._run(args, stdin)

    def change(self, args: Sequence[str | Path], stdin: bytes | None = None) -> bytes:
        """
        As `run`, while no other process changes anything here.

        Git would not wait for another, and the locks of one that was killed would stay. Ours is the lock that counts,
        so what is locked by git when we hold it was left behind.
        """
        with locks.held(self.path.with_suffix(".lock")) as lock:
            for _ in range(_MOST_LEFT_LOCKS):
                try:
                    return self._run(args, stdin, [lock])
                except git.GitError as error:
                    self._refuse_full_disk(error)
                    left = _LEFT_LOCK.search(error.stderr)
                    if not left or not Path(left[1]).is_relative_to(self.path):
                        raise
                    Path(left[1]).unlink(missing_ok=True)
            return self._run(args, stdin, [lock])

    def _refuse_full_disk(self, error: git.GitError) -> None:
        if any(sign in error.stderr for sign in _NO_ROOM):
            raise ServiceError(
                f"git cannot write to {self.path}: no space left, or read-only",
                hint="make room; nothing that was recorded is lost, and `mlops-ci sync` goes on",
            ) from error

    def _run(self, args: Sequence[str | Path], stdin: bytes | None, inherits: Sequence[int] = ()) -> bytes:
        settings = [word for setting in _OWN_SETTINGS for word in ("-c", setting)]
        command = [*settings, f"--git-dir={self.path}", *args]
        # A git that outlives us goes on holding the lock.
        return git.run(command, cwd=self.path, stdin=stdin, env=self._transport, inherits=inherits)

    @cached_property
    def _transport(self) -> dict[str, str]:
        """
        How to reach the remote, which has a name here, in the environment: its address may hold a password.

        (What a partial repository notes about its remote, it notes under that name, and so not with the address.)
        """
        found = self.checkout.transport
        number = int(found["GIT_CONFIG_COUNT"])
        remote = {f"GIT_CONFIG_KEY_{number}": f"remote.{_REMOTE}.url", f"GIT_CONFIG_VALUE_{number}": self.remote}
        return {**found, **remote, "GIT_CONFIG_COUNT": str(number + 1)}

    def fetch(self, refspecs: Iterable[str], *options: str) -> bool:
        """
        Bring refs from the remote; patterns that match nothing bring nothing. Without a remote, do nothing.

        Returns:
            False if nothing can have been brought; without `--depth`, git does not say whether a pattern matched.

        Raises:
            ServiceError: The remote did not answer.
        """
        wanted = list(refspecs)
        if not self.remote or not wanted:
            return False
        command = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", *options, "--", _REMOTE]
        attempt = 0
        while True:
            attempt += 1
            try:
                self.change([*command, *wanted])
            except git.GitError as error:
                if not error.stderr and any(option.startswith("--depth") for option in options):
                    return False  # how git says that nothing matched, if history is to be cut
                if _GONE not in error.stderr or attempt == _FETCHES:
                    raise _unreachable(error) from error
            else:
                return True

    def listed(self, pattern: str) -> dict[str, str]:
        """
        Name → object of the remote's refs that match *pattern*; to fetch would bring the objects too.

        Raises:
            ServiceError: The remote did not answer.
        """
        try:
            output = self.run(["ls-remote", "--", _REMOTE, pattern])
        except git.GitError as error:
            raise _unreachable(error) from error
        lines = [line.split("\t") for line in output.decode(errors="surrogateescape").splitlines()]
        return {ref: name for name, ref in lines}

    def bring(self, objects: Iterable[str]) -> None:
        """
        Bring *objects* from the remote by their names, and nothing that they lead to.

        Raises:
            ServiceError: The remote did not answer, or gives no single objects.
        """
        # To promise what we have would be to claim what it leads to: git must not negotiate here.
        command = ["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
        wanted = "".join(f"{name}\n" for name in objects).encode()
        try:
            self.change([*command, "--filter=tree:0", "--stdin", "--", _REMOTE], stdin=wanted)
        except git.GitError as error:
            raise _unreachable(error) from error

    def objects(self) -> set[str]:
        """The names of all objects that are here. (To ask for one by name would fetch it, in a partial repository.)"""
        output = self.run(["cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)"])
        return set(output.decode().split())

    def tidy(self) -> None:
        """Pack what many small commands left, if it is much; nothing that a ref leads to is lost."""
        packs = sum(1 for _ in (self.path / "objects" / "pack").glob("*.pack"))
        loose = sum(1 for _ in (self.path / "objects" / "17").glob("*"))  # a 256th of all, as git itself estimates
        if packs > _MOST_PACKS or loose > _MOST_LOOSE // 256:
            self.change(["gc", "--quiet"])

    def push(
        self, refs: Mapping[str, str], *, create_only: Iterable[str] = (), replacing: Mapping[str, str] | None = None
    ) -> None:
        """
        Write *refs* (name → object, "" to delete it) to the remote, all or none.

        Args:
            refs: What to write; a ref that is there already with the same object is fine.
            create_only: Those of *refs* that must not be there with another object. (A plain push would
                move an existing ref forward.)
            replacing: Those of *refs* that must be there with this very object.

        Raises:
            PushRefused: The remote will not take this push as it is; nothing was written.
            ServiceError: The remote did not answer, or takes nothing now; nothing was written.
        """
        leases = [f"--force-with-lease={ref}:" for ref in create_only]
        leases += [f"--force-with-lease={ref}:{expected}" for ref, expected in (replacing or {}).items()]
        specs = [f"{target}:{ref}" for ref, target in refs.items()]
        try:
            self.change(["push", "--quiet", "--atomic", *leases, "--", _REMOTE, *specs])
        except git.GitError as error:
            refused = any(sign in error.stderr for sign in _REFUSALS)
            raise _unreachable(error, PushRefused if refused else ServiceError) from error

    def may_push(self) -> bool:
        """
        Whether the remote lets us write: it is asked as before a push, and nothing is written. True without a remote.

        Raises:
            ServiceError: The remote did not answer.
        """
        if not self.remote:
            return True
        tree = self.run(["hash-object", "-t", "tree", "-w", "--stdin"], stdin=b"").decode().strip()
        try:
            self.run(["push", "--quiet", "--dry-run", "--", _REMOTE, f"{tree}:refs/mlops/probe"])
        except git.GitError as error:
            if _NO_RIGHTS.search(error.stderr) and not _LATER.search(error.stderr):
                return False
            raise _unreachable(error) from error
        return True

    def update(self, *commands: str) -> None:
        """Change refs here in one transaction; *commands* as `git update-ref --stdin` reads them."""
        if commands:
            stdin = "".join(f"{command}\n" for command in commands).encode(errors="surrogateescape")
            self.change(["update-ref", "--stdin"], stdin=stdin)

    def refs(self, *prefixes: str, oldest_first: bool = False) -> dict[str, str]:
        """Name → object of the refs here that are, or lie below, *prefixes*; by name, or by the commits' dates."""
        order = ["--sort=committerdate"] if oldest_first else []
        output = self.run(["for-each-ref", "--format=%(refname) %(objectname)", *order, *prefixes])
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


def _unreachable(error: git.GitError, kind: type[ServiceError] = ServiceError) -> ServiceError:
    return kind(
        f"the git remote did not do what was asked: {error}",
        hint="check the network and your rights to push; the same command may be run again",
    )
