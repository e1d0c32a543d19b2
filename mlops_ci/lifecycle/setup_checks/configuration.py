"""The files that rule: mlops.yaml, here and on the default branch, the waivers, and who may sign."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from mlops_ci import config as configuration
from mlops_ci.config import Config
from mlops_ci.errors import ConfigError, MlopsCIError, ServiceError
from mlops_ci.gates.waivers import WARNED_DAYS
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import policy, policy_edits
from mlops_ci.lifecycle.project import ALLOWED_SIGNERS
from mlops_ci.lifecycle.setup_checks.clone import Remote
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, unknown, warning, wrong
from mlops_ci.numerals import count

_KEYS = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")


def check(config: Config, name: str) -> Iterator[Finding]:
    """Yield what is to be said of the work tree's configuration, the file *name*, which could be read."""
    numbers = f"{count(len(config.gates), 'gate')} and {count(len(config.targets), 'target')}"
    yield right("configuration.valid", f"{name} is valid: {config.project}, with {numbers}")
    if config.run is None:
        text = f"{name} names no training command: `mlops-ci ci` has nothing to run"
        yield warning("configuration.run", text, "say `run: command: python train.py`", file=name)
    if not config.gates:
        text = f"{name} has no gate: every model passes"
        yield warning("configuration.gates", text, "say which metric must hold what: `gates:`", file=name)


def invalid(name: str, error: MlopsCIError) -> Finding:
    """The finding for a configuration that could not be read."""
    lines = str(error).splitlines()
    more = f" (and {count(len(lines) - 1, 'problem')} more)" if len(lines) > 1 else ""
    how = error.hint or "`mlops-ci config check` shows all of it"
    return wrong(
        "configuration.valid", f"{lines[0]}{more}", how if not more else f"`mlops-ci config check`; {how}", file=name
    )


def check_default_branch(checkout: Checkout, config: Config, name: str, remote: Remote) -> Iterator[Finding]:
    """Yield whether the default branch has a configuration, and whether the work tree's would rule otherwise."""
    check = "configuration.default_branch"
    if checkout.remote and remote.failure:
        yield unknown(check, "the rules of the default branch are in the remote, which did not answer")
        return
    try:
        ruling = policy.at_default_branch(checkout, name)
    except ServiceError as error:
        yield unknown(check, f"the rules of the default branch could not be read: {error}")
    except ConfigError as error:
        text = f"the default branch rules, and its file is wrong: {str(error).splitlines()[0]}"
        yield wrong(check, text, "merge a change that mends it")
    except MlopsCIError as error:
        yield warning(check, f"{error}: nothing is judged until it has one", f"merge {name} there")
    else:
        differing = policy_edits.sections(ruling.config, config)
        if differing:
            text = (
                f"{name} here would rule otherwise in {', '.join(differing)}; until it is merged, {ruling.name}'s rules"
            )
            yield warning(check, text, f"merge it into {ruling.name}; everything below is about the file here")
        else:
            yield right(check, f"{ruling.name} ({ruling.sha[:7]}) has the same rules")


def check_waivers(root: Path, config: Config, today: date) -> Iterator[Finding]:
    """Yield what is to be said of the waivers, on the day *today*."""
    check, name = "configuration.waivers", policy.WAIVERS
    try:
        text = (root / name).read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        yield wrong(check, f"{name} cannot be read: {error.strerror}", "mend its rights", file=name)
        return
    try:
        rows = configuration.parse_waivers(text, name)
    except ConfigError as error:
        yield wrong(check, str(error).splitlines()[0], "until that is mended, nothing is waived", file=name)
        return
    mine = [row.waiver for row in rows if row.project in {"", config.project}]
    due = []
    for waiver in mine:
        days = (date.fromisoformat(waiver.expires) - today).days
        if days < 0:
            said = f"the waiver of {waiver.metric} ended on {waiver.expires}: a failure blocks again"
            due.append(warning(check, said, f"remove the row, or let {waiver.owner} renew it", file=name))
        elif days <= WARNED_DAYS:
            when = f"in {count(days, 'day')}" if days else "today"
            said = f"the waiver of {waiver.metric} ends {when}, on {waiver.expires}"
            due.append(warning(check, said, f"{waiver.owner} owns it: mend the model, or renew the row", file=name))
    yield from due
    if not due:
        yield right(check, f"{count(len(mine), 'waiver')}, none ends within {WARNED_DAYS} days")


def signers(root: Path) -> list[str]:
    """Who may sign by the work tree's allowed_signers: the names on each line that has a key."""
    try:
        lines = (root / ALLOWED_SIGNERS).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return [name for row in rows if any(_is_key(word) for word in row[1:]) for name in row[0].split(",")]


def check_signers(root: Path) -> Iterator[Finding]:
    """Yield what is to be said of the file of keys, if it is there."""
    check, name = "configuration.allowed_signers", ALLOWED_SIGNERS
    try:
        lines = (root / name).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    found = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip() and line.strip()[0] != "#"]
    how = 'write `<email> namespaces="mlops-ci" <public key>`'
    for number, row in found:
        if not any(_is_key(word) for word in row[1:]):
            yield wrong(check, "this line has no public key of SSH's", how, file=name, line=number)
        elif set("*?!") & set(row[0]):
            text = f"{row[0]} is a pattern, and an approval needs a person"
            yield wrong(check, text, "write the e-mail address out", file=name, line=number)
    people = dict.fromkeys(signers(root))
    if people:
        yield right(check, f"{count(len(people), 'name')} may sign approvals")


def _is_key(word: str) -> bool:
    return word.startswith(_KEYS)
