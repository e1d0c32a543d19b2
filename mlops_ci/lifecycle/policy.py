"""
Which configuration and which waivers rule.

A pull request is judged by the rules of the branch that it wants to enter, and a release by those of the tip of the
default branch: nobody can weaken the rules in the change that they are to judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops_ci import config as configuration
from mlops_ci import git
from mlops_ci.config import Config
from mlops_ci.entities import Policy, Waiver
from mlops_ci.errors import ConfigError, Refused, ServiceError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository
from mlops_ci.lifecycle import committed_templates, policy_edits
from mlops_ci.lifecycle.project import ALLOWED_SIGNERS, CONFIG_NAME, TEMPLATES, Project

if TYPE_CHECKING:
    from mlops_ci.config.waivers import WaiverRow

WAIVERS = ".mlops/waivers.yaml"
_TIP = "refs/mlops/policy/tip"
BESIDE = {WAIVERS: "waivers", ALLOWED_SIGNERS: "approvers", TEMPLATES.as_posix(): "templates"}
"""What rules beside the configuration, and what a report calls it."""

_MOST_EDITS = 50


@dataclass(frozen=True)
class Ruling:
    """
    The configuration that rules, and what rules beside it.

    Attributes:
        config: The configuration.
        policy: Where it comes from, and what the change that is judged would make of it.
        waivers: Those for its project.
        gate_lines: Where in the configuration each gate begins, from 1; empty if that is not known.
        notes: What a report must say of it, in sentences.
    """

    config: Config
    policy: Policy
    waivers: Sequence[Waiver] = ()
    gate_lines: Sequence[int] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class DefaultBranch:
    """The default branch as the remote has it now (this clone's HEAD where there is no remote)."""

    name: str
    sha: str
    config_name: str
    config: Config
    allowed_signers: bytes
    repository: Checkout | SideRepository

    def ruling(self) -> Ruling:
        """What rules here with its waivers; those that are wrong waive nothing, and a note says so."""
        rows, notes = _lenient(self.repository, self.sha, f"{self.name} ({self.sha[:7]})")
        policy = Policy(origin="default branch", sha=self.sha, config_name=self.config_name)
        text = _read(self.repository, f"{self.sha}:{self.config_name}") or b""
        return _ruling(self.config, policy, rows, text, notes)

    def renders_as(self, other: DefaultBranch) -> bool:
        """Whether it has the configuration and the templates of *other*."""
        mine, theirs = (_beside(branch.repository, branch.sha).get(TEMPLATES.as_posix()) for branch in (self, other))
        return (self.config, mine) == (other.config, theirs)

    def templates(self, into: Path) -> Path | None:
        """Write the templates that this branch overrides below *into* and return it; None if there are none."""
        return committed_templates.write(self.repository, self.sha, into)


def at_base(checkout: Checkout, base_sha: str, head: Config, *, name: str = CONFIG_NAME) -> Ruling:
    """
    Return what rules at *base_sha* with the configuration *name* there, and what *head* and HEAD would make of it.

    Without that file there, *head*'s gates are shown and nothing is judged: the origin is "none". Waivers that are
    wrong there waive nothing, and a note says so: a change that mends them must not be stopped by them.

    Raises:
        ConfigError: The base's configuration is wrong, or waivers that HEAD brings are.
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
    before, after = _beside(checkout, base_sha), _beside(checkout, "HEAD")
    own = _rows(checkout, "HEAD", WAIVERS) if before.get(WAIVERS) != after.get(WAIVERS) else None
    if text is None:
        return Ruling(head, Policy(origin="none", sha=base_sha, config_name=name))
    base = configuration.parse(text, f"{name} at {base_sha[:7]}")
    rows, notes = _lenient(checkout, base_sha, base_sha[:7]) if WAIVERS in before else ([], [])
    edits = policy_edits.edits(base, head)
    if own is not None:
        edits += policy_edits.changes(_waiver_values(rows), _waiver_values(own))
    if len(edits) > _MOST_EDITS:
        notes.append(f"This change would edit {len(edits)} values of the policy; the first {_MOST_EDITS} are shown.")
    changed = [called for path, called in BESIDE.items() if before.get(path) != after.get(path)]
    policy = Policy(
        origin="base",
        sha=base_sha,
        changed_here=[*policy_edits.sections(base, head), *changed],
        edits=edits[:_MOST_EDITS],
        config_name=name,
    )
    return _ruling(base, policy, rows, text, notes)


def at_commit(checkout: Checkout, config: Config, *, name: str = CONFIG_NAME) -> Ruling:
    """
    Return what rules at HEAD, whose configuration is *config*.

    Raises:
        ConfigError: Its waivers are wrong.
    """
    sha = checkout.commit("HEAD").sha
    text = checkout.read_file(sha, name) or b""
    rows = _rows(checkout, sha, f"{WAIVERS} at {sha[:7]}")
    return _ruling(config, Policy(origin="commit", sha=sha, config_name=name), rows, text)


def in_work_tree(checkout: Checkout, config: Config, *, name: str = CONFIG_NAME) -> Ruling:
    """
    Return what rules on a laptop: the files as they are now, of which *config* was read before.

    Raises:
        ConfigError: The waivers are wrong, or cannot be read.
    """
    text = _file(checkout.root / WAIVERS)
    rows = configuration.parse_waivers(text, WAIVERS) if text is not None else []
    policy = Policy(origin="local", config_name=name)
    return _ruling(config, policy, rows, _file(checkout.root / name) or b"")


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


def ruled(project: Project) -> Project:
    """
    *project* under the configuration of the default branch.

    Raises:
        ServiceError: The remote did not answer.
        UsageError: The default branch has no commit, or no configuration.
    """
    return project.ruled_by(at_default_branch(project.checkout, project.config_name).config)


def demand_same_stores(project: Project) -> None:
    """
    Make sure that *project* looks for the records of targets where the default branch has them kept.

    Raises:
        Refused: It does not, and would leave out what is there.
        ServiceError: The remote did not answer.
    """
    try:
        theirs = ruled(project).config
    except UsageError:  # nothing that could keep them elsewhere
        return
    kept = [{name: target.store for name, target in config.targets.items()} for config in (theirs, project.config)]
    for name in {**kept[0], **kept[1]}:
        there, here = (stores.get(name, "") for stores in kept)
        if there != here:
            raise Refused(
                f"the default branch keeps the records of {name} in another store than {project.config_name} here says",
                hint="check out the default branch first",
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
        lines = checkout.run(["ls-remote", "--symref", "--", checkout.remote, "HEAD"]).decode().splitlines()
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


def _beside(repository: Checkout | SideRepository, revision: str) -> dict[str, str]:
    """What lies beside the configuration at *revision*: the mode and name of each object, by path."""
    listed = repository.run(["ls-tree", "-z", revision, "--", *BESIDE]).decode("utf-8", "surrogateescape")
    entries = [entry.partition("\t") for entry in listed.split("\0")[:-1]]
    return {path: about for about, _, path in entries}


def _rows(repository: Checkout | SideRepository, revision: str, source: str) -> list[WaiverRow]:
    """The waivers at *revision*, which messages call *source*; none without the file."""
    text = _read(repository, f"{revision}:{WAIVERS}")
    return configuration.parse_waivers(text, source) if text is not None else []


def _lenient(repository: Checkout | SideRepository, revision: str, where: str) -> tuple[list[WaiverRow], list[str]]:
    """The waivers at *revision*; if they are wrong none, and a note."""
    try:
        return _rows(repository, revision, f"{WAIVERS} at {where}"), []
    except ConfigError as error:
        return [], [f"Nothing is waived, since a file is wrong: {str(error).splitlines()[0]}."]


def _ruling(
    config: Config, policy: Policy, rows: Sequence[WaiverRow], text: bytes, notes: Sequence[str] = ()
) -> Ruling:
    """What rules by *config*, which *text* says, and those of *rows* that are for its project."""
    waivers = [row.waiver for row in rows if row.project in {"", config.project}]
    return Ruling(config, policy, waivers, configuration.gate_lines(text, config.gates), notes)


def _waiver_values(rows: Sequence[WaiverRow]) -> dict[str, object]:
    values: dict[str, object] = {}
    for row in rows:
        name = f"{row.project}: {row.metric}" if row.project else row.metric
        fields = {key: value for key, value in msgspec.to_builtins(row.waiver).items() if key != "metric"}
        values |= policy_edits.named("waivers", name, fields)
    return values


def _file(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error
