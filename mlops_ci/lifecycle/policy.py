"""
Which configuration rules.

A pull request is judged by the configuration of the branch that it wants to enter, and a release by the
tip of the default branch: nobody can weaken the rules in the change that they are to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops_ci import config as configuration
from mlops_ci import git
from mlops_ci.config import Config
from mlops_ci.entities import Policy
from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle.project import ALLOWED_SIGNERS, CONFIG_NAME, TEMPLATES

_RULING = (
    "project",
    "model",
    "store",
    "artifacts",
    "gates",
    "on_inconclusive",
    "registry",
    "serving",
    "targets",
)
_TIP = "refs/mlops/policy/tip"


@dataclass(frozen=True)
class DefaultBranch:
    """The default branch as the remote has it now (this clone's HEAD where there is no remote)."""

    name: str
    sha: str
    config_name: str
    config: Config
    allowed_signers: bytes
    repository: Checkout | SideRepository

    def templates(self, into: Path) -> Path | None:
        """Write the templates that this branch overrides below *into* and return it; None if there are none."""
        listed = self.repository.run(["ls-tree", "-r", "-z", self.sha, "--", f"{TEMPLATES.as_posix()}/"])
        for entry in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
            about, _, path = entry.partition("\t")
            mode, _, blob = about.split(" ")
            if mode.startswith("100"):  # a file: no link, no submodule
                place = into / Path(path).relative_to(TEMPLATES)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(self.repository.run(["cat-file", "blob", blob]))
        return into if into.is_dir() else None


def at_base(checkout: Checkout, base_sha: str, head: Config, *, name: str = CONFIG_NAME) -> tuple[Config, Policy]:
    """
    Return the configuration *name* at *base_sha*, and what *head* would change of it.

    Without that file there, *head*'s gates are shown and nothing is judged: the origin is "none".

    Raises:
        ConfigError: The base's configuration is wrong.
        UsageError: This clone does not have the base's commit.
    """
    try:
        checkout.commit(base_sha)
    except UsageError as error:
        raise UsageError(
            f"this clone lacks {base_sha[:7]}, which the change is to be merged into",
            hint="check out with `fetch-depth: 0`",
        ) from error
    text = checkout.read_file(base_sha, name)
    if text is None:
        return head, Policy(origin="none", sha=base_sha)
    base = configuration.parse(text, f"{name} at {base_sha[:7]}")
    return base, Policy(origin="base", sha=base_sha, changed_here=_changed(base, head))


def at_default_branch(checkout: Checkout, config_name: str = CONFIG_NAME) -> DefaultBranch:
    """
    Read the configuration *config_name* and the allowed signers at the tip of the default branch.

    Raises:
        ServiceError: The remote did not answer.
        UsageError: The default branch has no commit, or no configuration.
    """
    name, sha, repository = _tip(checkout)
    text = _read(repository, f"{sha}:{config_name}")
    if text is None:
        raise UsageError(
            f"the default branch {name} ({sha[:7]}) has no {config_name}",
            hint="releases are ruled by the default branch: merge one there first",
        )
    config = configuration.parse(text, f"{config_name} at {name} ({sha[:7]})")
    return DefaultBranch(
        name, sha, config_name, config, _read(repository, f"{sha}:{ALLOWED_SIGNERS}") or b"", repository
    )


def as_it_was(checkout: Checkout, now: DefaultBranch, sha: str) -> DefaultBranch:
    """The default branch at its earlier commit *sha*, or as it is *now* where this clone lacks that commit."""
    text = checkout.read_file(sha, now.config_name)
    if text is None:
        return now
    config = configuration.parse(text, f"{now.config_name} at {sha[:7]}")
    return DefaultBranch(
        now.name, sha, now.config_name, config, checkout.read_file(sha, ALLOWED_SIGNERS) or b"", checkout
    )


def default_branch_of(checkout: Checkout) -> str:
    """The default branch's name as this clone knows it, without asking anybody; "" if it does not."""
    try:
        name = git.text(["symbolic-ref", "--short", "refs/remotes/origin/HEAD"], cwd=checkout.root)
    except git.GitError:
        return ""
    return name.removeprefix("origin/")


def _tip(checkout: Checkout) -> tuple[str, str, Checkout | SideRepository]:
    if not checkout.remote:
        return checkout.branch() or "HEAD", checkout.commit("HEAD").sha, checkout
    name, sha = _ask_remote(checkout)
    try:
        git.run(["cat-file", "-e", f"{sha}^{{commit}}"], cwd=checkout.root)
    except git.GitError:
        # A repository apart, so that a shallow fetch makes neither the user's clone nor the ledger shallow.
        side = SideRepository(checkout, "policy")
        side.fetch([f"+{sha}:{_TIP}"], "--depth=1")
        return name, sha, side
    return name, sha, checkout


def _ask_remote(checkout: Checkout) -> tuple[str, str]:
    try:
        lines = git.text(["ls-remote", "--symref", "--", checkout.remote, "HEAD"], cwd=checkout.root).splitlines()
    except git.GitError as error:
        raise ServiceError(
            f"the git remote did not answer: {error}", hint="check the network, then try again"
        ) from error
    name = next((line.split()[1] for line in lines if line.startswith("ref:")), "HEAD")
    sha = next((line.split()[0] for line in lines if not line.startswith("ref:")), "")
    if not sha:
        raise UsageError("the remote's default branch has no commit", hint="push it first")
    return name.removeprefix("refs/heads/"), sha


def _read(repository: Checkout | SideRepository, name: str) -> bytes | None:
    try:
        return repository.run(["cat-file", "blob", name])
    except git.GitError:
        return None


def _changed(base: Config, head: Config) -> list[str]:
    before, after = msgspec.to_builtins(base), msgspec.to_builtins(head)
    return [key for key in _RULING if before.get(key) != after.get(key)]
