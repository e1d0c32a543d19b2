"""Real git repositories for tests: a bare remote, and clones of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "engineer",
    "GIT_AUTHOR_EMAIL": "engineer@example.com",
    "GIT_COMMITTER_NAME": "engineer",
    "GIT_COMMITTER_EMAIL": "engineer@example.com",
}


def git(folder: Path, *args: str, stdin: str | None = None) -> str:
    """Run git in *folder*, with nobody's configuration, and return what it printed."""
    done = subprocess.run(
        ["git", *args],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
    )
    return done.stdout.strip()


def make_remote(folder: Path) -> Path:
    """A bare repository whose default branch is main."""
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    return folder / "origin.git"


def clone(remote: Path, folder: Path, *options: str) -> Path:
    """A clone of *remote* at *folder*."""
    git(folder.parent, "clone", "--quiet", *options, remote.as_uri() if options else str(remote), str(folder))
    return folder


def commit(folder: Path, files: dict[str, str], message: str = "change") -> str:
    """Write *files*, commit them, and return the SHA."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def make_clone(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A remote and a clone of it whose main branch has one commit, pushed."""
    remote = make_remote(folder)
    work = clone(remote, folder / "work")
    commit(work, files or {"README.md": "hello\n"})
    git(work, "push", "--quiet", "origin", "HEAD:main")
    return work
