"""
Git: facts of the checkout, and the plumbing that other rooms run it with.

Nothing here writes to the user's work tree, index, configuration or branches.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mlops_ci.entities import Author
from mlops_ci.errors import ServiceError, UsageError

# What the checkout's configuration says about reaching its remote; everything else stays its own.
_TRANSPORT = r"^(http|https|credential|url|protocol|ssh|remote|core\.sshcommand|core\.askpass|user)(\.|$)"
_TIMEOUT_S = 600


class GitError(UsageError):
    """Git said no; the message is its last line."""

    def __init__(self, command: Sequence[str], stderr: str) -> None:
        lines = [line for line in stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), "".join(lines[-1:]))
        verb = next((word for word in command if not word.startswith("-") and "=" not in word), "")
        super().__init__(f"git {verb}: {said.removeprefix('fatal: ') or 'failed'}")
        self.stderr = stderr


def run(
    args: Sequence[str | Path],
    *,
    cwd: Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    inherits: Sequence[int] = (),
) -> bytes:
    """
    Run git in *cwd* and return what it printed; it inherits the file descriptors *inherits*.

    Raises:
        GitError: It ended with another code than 0.
        ServiceError: It took longer than ten minutes.
        UsageError: There is no git on this machine.
    """
    command = [os.fspath(arg) for arg in args]
    try:
        done = subprocess.run(
            ["git", *command],
            cwd=cwd,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(env or {})},
            pass_fds=inherits if os.name == "posix" else (),
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"git {command[0]} did not end within {_TIMEOUT_S} s") from error
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="apt-get install git") from error
    if done.returncode:
        raise GitError(command, done.stderr.decode(errors="replace"))
    return done.stdout


def text(args: Sequence[str | Path], *, cwd: Path) -> str:
    """Run git in *cwd* and return its output, stripped. Raises as `run`."""
    return run(args, cwd=cwd).decode(errors="surrogateescape").strip()


@dataclass(frozen=True)
class Commit:
    """A commit's SHA, the SHA of its tree, and the e-mail addresses of its author and committer."""

    sha: str
    tree: str
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkout:
    """
    A git repository with a work tree, as it stood when it was found.

    Attributes:
        root: The top of the work tree.
        common: The git directory that all work trees of the repository share.
        lent: Settings that CI lends us for reaching the remote, and that the checkout's configuration lacks.
    """

    root: Path
    common: Path
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    lent: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def find(cls, start: Path, *, lent: Mapping[str, str] | None = None) -> Checkout:
        """
        Find the repository that *start* lies in; of the settings *lent*, those count that it does not have.

        Raises:
            UsageError: There is none.
        """
        query = ["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"]
        try:
            root, common = text(query, cwd=start).splitlines()
        except GitError as error:
            raise UsageError(
                f"{start} is not in a git repository: {error}",
                hint="`git init` makes one, or run mlops-ci inside the repository of your project",
            ) from error
        settings = _settings(Path(root))
        missing = {name: value for name, value in (lent or {}).items() if name.lower() not in settings}
        return cls(Path(root), Path(common), settings, missing)

    @property
    def state(self) -> Path:
        """Our folder in the git directory: it never dirties the work tree."""
        return self.common / "mlops"

    @property
    def remote(self) -> str:
        """The address of `origin`, else of the only remote, else ""; a relative path is made absolute."""
        names = {name.split(".", 1)[1].rpartition(".")[0] for name in self.settings if name.startswith("remote.")}
        name = "origin" if "origin" in names or len(names) != 1 else min(names)
        url = self.setting(f"remote.{name}.pushurl") or self.setting(f"remote.{name}.url")
        if url and "://" not in url and not url.startswith("/") and (self.root / url).exists():
            return str((self.root / url).resolve())
        return url

    def setting(self, name: str) -> str:
        """The last value of a setting about the user or the remote, or ""."""
        values = self.settings.get(name.lower(), ())
        return values[-1] if values else ""

    @cached_property
    def transport(self) -> dict[str, str]:
        """Environment variables that let git in another repository reach the remote as this checkout does."""
        pairs = [
            (name, value)
            for name, values in self.settings.items()
            if not name.startswith(("remote.", "user."))
            for value in values
        ]
        return _as_environment([*pairs, *self.lent.items()])

    @cached_property
    def credentials(self) -> dict[str, str]:
        """Environment variables that let git in this very checkout reach the remote with what CI lends us."""
        already = os.environ.get("GIT_CONFIG_COUNT", "")
        return _as_environment(list(self.lent.items()), first=int(already) if already.isdecimal() else 0)

    @property
    def author(self) -> Author:
        """Who git says the user is."""
        name = os.environ.get("GIT_AUTHOR_NAME") or self.setting("user.name")
        email = os.environ.get("GIT_AUTHOR_EMAIL") or self.setting("user.email")
        if name or email:
            return Author(name=name or email, email=email, via="git")
        return Author(name=os.environ.get("USER") or os.environ.get("USERNAME") or "unknown", via="system")

    def commit(self, revision: str) -> Commit:
        """
        Resolve *revision*.

        Raises:
            UsageError: There is no such commit here.
        """
        try:
            sha, tree, *people = text(
                ["show", "-s", "--no-show-signature", "--format=%H%n%T%n%ae%n%ce", f"{revision}^{{commit}}"],
                cwd=self.root,
            ).splitlines()
        except GitError as error:
            hint = "commit your work first" if revision == "HEAD" else "git fetch, or name another revision"
            raise UsageError(f"no commit {revision!r} in {self.root}", hint=hint) from error
        return Commit(sha, tree, tuple(dict.fromkeys(people)))

    def branch(self) -> str:
        """The checked-out branch, or "" on a detached HEAD."""
        try:
            return self.run(["symbolic-ref", "--quiet", "--short", "HEAD"]).decode(errors="replace").strip()
        except GitError:
            return ""

    def diff_digest(self) -> str:
        """
        `sha256:<hex>` of what differs from HEAD in tracked files; "" if nothing does.

        Files that git does not track are no difference, as in `git describe --dirty`: training leaves some.
        """
        index = Path(text(["rev-parse", "--path-format=absolute", "--git-path", "index"], cwd=self.root))
        with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
            # A copy: git brings the index up to date meanwhile, and would hold up a commit that is made at that moment.
            # With its time, by which git knows files that may have changed in the moment after they were added.
            copy = shutil.copy2(index, Path(folder, "index")) if index.exists() else index
            command = ["diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv"]
            changes = self.run(command, env={"GIT_INDEX_FILE": str(copy)})
        return f"sha256:{hashlib.sha256(changes).hexdigest()}" if changes else ""

    def untracked(self) -> list[str]:
        """The files that git neither tracks nor ignores, relative to the top."""
        listed = self.run(["ls-files", "--others", "--exclude-standard", "-z"])
        return [name for name in listed.decode(errors="replace").split("\0") if name]

    def run(
        self, args: Sequence[str | Path], stdin: bytes | None = None, *, env: Mapping[str, str] | None = None
    ) -> bytes:
        """Run git in the work tree, with *env* added to the environment. Raises as `git.run`."""
        return run(args, cwd=self.root, stdin=stdin, env={**(self.credentials if self.lent else {}), **(env or {})})

    def ancestors(self, revision: str, *, limit: int) -> list[Commit]:
        """*revision* and its ancestors, nearest first, as far as this clone knows them; at most *limit*."""
        lines = text(
            ["log", f"-{limit}", "--no-show-signature", "--format=%H %T", revision, "--"], cwd=self.root
        ).splitlines()
        return [Commit(sha, tree) for sha, tree in (line.split() for line in lines)]

    def merge_base(self, one: str, other: str) -> str:
        """The best common ancestor of two revisions, or "" where this clone knows none."""
        try:
            return text(["merge-base", one, other], cwd=self.root)
        except GitError:
            return ""

    def parents(self, revision: str) -> list[str]:
        """The SHAs of a commit's parents, first parent first."""
        return text(["rev-list", "--parents", "-1", revision, "--"], cwd=self.root).split()[1:]

    def is_shallow(self) -> bool:
        """Whether history ends early here."""
        return (self.common / "shallow").exists()

    def read_file(self, revision: str, path: str, *, filtered: bool = False) -> bytes | None:
        """
        The bytes of *path* at *revision*, or None if it is not there.

        *filtered*: as a checkout would write them, with line endings and filters such as LFS applied.
        """
        name = f"{revision}:{path}"
        try:
            return self.run(["cat-file", "--filters", name] if filtered else ["cat-file", "blob", name])
        except GitError:
            return None


def _as_environment(pairs: Sequence[tuple[str, str]], first: int = 0) -> dict[str, str]:
    """Settings as environment variables: an argument would show them to everybody on the machine."""
    env = {"GIT_CONFIG_COUNT": str(first + len(pairs))}
    for index, (name, value) in enumerate(pairs, start=first):
        env[f"GIT_CONFIG_KEY_{index}"] = name
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    return env


def _settings(root: Path) -> dict[str, list[str]]:
    try:
        output = run(["config", "--null", "--get-regexp", _TRANSPORT], cwd=root)
    except GitError:  # nothing matched
        return {}
    settings: dict[str, list[str]] = {}
    for entry in output.decode(errors="replace").split("\0"):
        name, _, value = entry.partition("\n")
        if name:
            settings.setdefault(name, []).append(value)
    return settings


def unique(values: Iterable[str]) -> list[str]:
    """*values* without repetition and without "", in order."""
    return [value for value in dict.fromkeys(values) if value]
