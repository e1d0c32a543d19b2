"""The clone and this machine: git, its remote, Python, and the packages that the configuration needs here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mlops_ci.config import Config
from mlops_ci.errors import MlopsCIError
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle.project import public_address
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, warning, wrong

_OLDEST = (3, 11)
_DRIVERS = {"postgresql": "psycopg", "postgres": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql", "duckdb": "data", "kubernetes_validate": "kubernetes"}
_TABLES = {".parquet", ".pq"}


@dataclass(frozen=True)
class Remote:
    """What the remote said: its default branch and where that is ("" each, if it has none), or why it did not."""

    branch: str = ""
    sha: str = ""
    failure: str = ""


def ask_remote(checkout: Checkout) -> Remote:
    """Ask the remote for its default branch; no failure is raised."""
    if not checkout.remote:
        return Remote(failure="there is none")
    try:
        said = checkout.run(["ls-remote", "--symref", "--", checkout.remote, "HEAD"]).decode(errors="replace")
    except MlopsCIError as error:
        return Remote(failure=str(error))
    lines = [line.split() for line in said.splitlines()]
    branch = next((words[1] for words in lines if words[:1] == ["ref:"] and len(words) > 1), "")
    sha = next((words[0] for words in lines if words[:1] != ["ref:"] and words[-1:] == ["HEAD"]), "")
    return Remote(branch.removeprefix("refs/heads/"), sha)


def check(checkout: Checkout, remote: Remote) -> Iterator[Finding]:
    """Yield what is to be said of the clone."""
    yield from _commit(checkout)
    yield from _remote(checkout, remote)
    if checkout.is_shallow():
        yield warning(
            "git.history",
            "this clone is shallow: of its history only the end is here",
            "`git fetch --unshallow`; in a workflow, `fetch-depth: 0` in the checkout step",
        )


def _commit(checkout: Checkout) -> Iterator[Finding]:
    check = "git.commit"
    try:
        commit = checkout.commit("HEAD")
    except MlopsCIError:
        yield wrong(check, "the repository has no commit, and a run belongs to one", "commit your work")
        return
    where = checkout.branch()
    yield right(check, f"{where or 'a commit without a branch'} is checked out at {commit.sha[:7]}")


def _remote(checkout: Checkout, remote: Remote) -> Iterator[Finding]:
    check = "git.remote"
    address = public_address(checkout.remote)
    if not checkout.remote:
        yield warning(
            check,
            "the repository has no remote: what is recorded stays in this clone",
            "`git remote add origin <address>`",
        )
    elif remote.failure:
        how = "check the address (`git remote -v`), the network, and your access; then `git ls-remote` tells more"
        yield wrong(check, f"the remote {address} did not answer: {remote.failure}", how)
    elif not remote.sha:
        yield wrong(check, f"the remote {address} has no commit on its default branch", "push yours")
    else:
        yield right(check, f"the remote answers; its default branch is {remote.branch or 'not named'}")


def check_rights(checkout: Checkout, config: Config, remote: Remote) -> Iterator[Finding]:
    """Yield whether records may be pushed, where that is how they are kept."""
    if not checkout.remote or remote.failure or "git" not in {config.store, config.artifacts}:
        return
    check = "git.push"
    try:
        may = SideRepository(checkout, "ledger").may_push()
    except MlopsCIError as error:
        yield wrong(check, f"whether records may be pushed was not answered: {error}", error.hint or "try again")
        return
    if may:
        yield right(check, "records may be pushed from here")
    else:
        how = "ask for write access to the repository; a job that records takes `permissions: contents: write`"
        yield wrong(check, "records may not be pushed from here: they would wait in this clone", how)


def check_machine(config: Config | None, store: str) -> Iterator[Finding]:
    """Yield whether this Python has what *config* needs; *store* is the address that `store:` names, or ""."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST:
        yield wrong("python.version", f"this is Python {running}", "run mlops-ci with Python 3.11 or newer")
    else:
        yield right("python.version", f"Python {running}")
    if config:
        yield from _packages(config, store)


def _packages(config: Config, store: str) -> Iterator[Finding]:
    check = "python.packages"
    driver = _DRIVERS.get(store.partition("://")[0].partition("+")[0], "")
    needed = {driver: "the store cannot be reached"} if driver else {}
    if config.run and any(Path(path).suffix.lower() in _TABLES for path in config.run.data.values()):
        needed["duckdb"] = "Parquet files are recorded without their rows and columns"
    if any(target.kind == "kubernetes" for target in config.targets.values()):
        needed["kubernetes_validate"] = "manifests are rendered, and not validated"
    absent = [name for name in needed if find_spec(name) is None]
    for name in absent:
        say = wrong if name == driver else warning
        how = f"pip install 'mlops-ci[{_EXTRAS[name]}]'; the action installs it by itself"
        yield say(check, f"{name.replace('_', '-')} is not installed here: {needed[name]}", how)
    if needed and not absent:
        yield right(check, f"what mlops.yaml needs is installed: {', '.join(needed).replace('_', '-')}")
