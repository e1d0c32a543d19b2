"""A checkout together with what its configuration names: the ledger, the artifact store, the author."""

from __future__ import annotations

import base64
import heapq
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_ci import artifacts, ci, ledger, providers
from mlops_ci import config as configuration
from mlops_ci.artifacts import ArtifactStore
from mlops_ci.ci import Event
from mlops_ci.config import Config
from mlops_ci.entities import Author
from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record

CONFIG_NAME = "mlops.yaml"
TEMPLATES = Path(".mlops/templates")
ALLOWED_SIGNERS = ".mlops/allowed_signers"


@dataclass(frozen=True)
class Project:
    """What a command works on. *config* is the one that rules (see `policy`), which may not be the checkout's."""

    checkout: Checkout
    config: Config
    event: Event | None = None
    config_name: str = CONFIG_NAME
    """Where the configuration lies in a commit: the same file of the base or the default branch rules."""

    @classmethod
    def open(cls, start: Path, *, config_path: Path | None = None) -> Project:
        """
        Open the project around *start* with the configuration of its work tree.

        Raises:
            UsageError: No repository.
            ConfigError: No configuration, or a wrong one.
        """
        checkout = Checkout.find(start, lent=lent_by_ci(os.environ))
        path = (config_path or checkout.root / CONFIG_NAME).resolve()
        name = path.relative_to(checkout.root).as_posix() if path.is_relative_to(checkout.root) else CONFIG_NAME
        return cls(checkout, configuration.load(path), ci.detect(), name)

    def ruled_by(self, config: Config) -> Project:
        """The same checkout under another configuration."""
        return Project(self.checkout, config, self.event, self.config_name)

    @property
    def store_address(self) -> str:
        """
        What `store:` names, looked up where that is an environment variable.

        Raises:
            ConfigError: It is not set.
        """
        return _address(self.config.store, "store")

    @property
    def store_variable(self) -> str:
        """The environment variable that `store:` names, or ""."""
        return _variable(self.config.store)

    @property
    def secret_variables(self) -> set[str]:
        """The environment variables that hold the address of a store, the project's or a target's."""
        stores = [self.config.store, *(target.store for target in self.config.targets.values())]
        return {variable for store in stores if (variable := _variable(store))}

    @cached_property
    def ledger(self) -> Ledger:
        """Where records are kept: `store:`. Those of a target may have a place of their own; see `ledger_of`."""
        return self._open(self.store_address)

    def ledger_of(self, target: str) -> Ledger:
        """
        Where deployments, approvals and locks of *target* are kept: its own `store:`, or the project's.

        Raises:
            ConfigError: Its `store:` names an environment variable that is not set.
            ServiceError: The database did not answer.
        """
        settings = self.config.targets.get(target)
        if settings is None or not settings.store:
            return self.ledger
        address = _address(settings.store, f"targets.{target}.store")
        if address not in self._opened:
            self._opened[address] = self._open(address)
        return self._opened[address]

    @property
    def own_ledgers(self) -> dict[str, Ledger]:
        """Those of the targets that have one, each by the key that its records have. Raises as `ledger_of`."""
        return {f"target/{name}": self.ledger_of(name) for name, target in self.config.targets.items() if target.store}

    def all_records(self) -> Iterator[Record]:
        """
        Yield every record that counts once, ordered by time and then id.

        That is those of targets where they are kept, and the others in the project's ledger. Raises as `ledger_of`.
        """
        homes = self.own_ledgers
        ours = (record for record in self.ledger.all() if homes.keys().isdisjoint(record.keys))
        theirs = (_with_key(key, home) for key, home in homes.items())
        return heapq.merge(ours, *theirs, key=lambda record: (record.time, record.id))

    @property
    def within_reach(self) -> list[str]:
        """The targets whose records can be read here: all but those that are out of reach."""
        return [name for name in self.config.targets if name not in self.out_of_reach]

    @property
    def out_of_reach(self) -> dict[str, str]:
        """The targets whose own store this environment has no address of, each with the variable that is not set."""
        stores = {name: _variable(target.store) for name, target in self.config.targets.items()}
        return {name: variable for name, variable in stores.items() if variable and not os.environ.get(variable)}

    @cached_property
    def _opened(self) -> dict[str, Ledger]:
        return {}

    def _open(self, address: str) -> Ledger:
        kind = "git" if address == "git" else "sql"
        provider = providers.load("ledger", ledger.PROVIDERS, kind)
        found: Ledger = provider(self.checkout) if kind == "git" else provider(address, base=self.checkout.root)
        return found

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Where bytes are kept: `artifacts:`."""
        address = self.config.artifacts
        kind = "git" if address == "git" else "local"
        provider = providers.load("artifact store", artifacts.PROVIDERS, kind)
        folder = self.checkout.root / address.removeprefix("file://")
        found: ArtifactStore = provider(self.checkout if kind == "git" else folder)
        return found

    @property
    def experiment(self) -> str:
        """The experiment that runs of this configuration belong to."""
        run = self.config.run
        return (run.experiment if run else "") or self.config.project

    @property
    def author(self) -> Author:
        """Who is acting: CI's actor, or git's user."""
        return self.event.author if self.event else self.checkout.author

    @property
    def repository(self) -> str:
        """A stable name of the repository: GitHub's, or the remote's address without credentials."""
        if self.event and self.event.repository:
            return self.event.repository
        return public_address(self.checkout.remote)

    def templates(self) -> Path | None:
        """The folder in which this project overrides templates, if it has one."""
        folder = self.checkout.root / TEMPLATES
        return folder if folder.is_dir() else None


def _with_key(key: str, ledger: Ledger) -> Iterator[Record]:
    return (record for record in ledger.all() if key in record.keys)


def _variable(store: str) -> str:
    """The environment variable that *store* names, or ""."""
    return store.removeprefix("env:") if store.startswith("env:") else ""


def _address(store: str, key: str) -> str:
    """What *store*, which the configuration says at *key*, stands for. Raises `ConfigError` if that is not set."""
    variable = _variable(store)
    if not variable:
        return store
    found = os.environ.get(variable, "")
    if not found:
        raise ConfigError(
            f"`{key}: env:{variable}` names an environment variable that is not set",
            hint="set it to the database's address; in a workflow, `env:` of the step takes it from a secret",
        )
    return found


def public_address(url: str) -> str:
    """*url* without user and password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found and "@" in rest.partition("/")[0] else url


def web_address(url: str) -> str:
    """
    The address at which people find the repository of *url*, or "" for a local one.

    The same for every way to clone it, so that what is rendered does not depend on who renders.
    """
    match = re.fullmatch(
        r"(?:(?:https?|ssh|git)://(?:[^@/]+@)?|[^@/:]+@)([^/:]+)(?::\d+(?=/))?[:/](.+?)(?:\.git)?/?", url
    )
    return f"https://{match[1]}/{match[2].lstrip('/')}" if match else ""


def lent_by_ci(env: Mapping[str, str]) -> dict[str, str]:
    """
    Git settings with which the workflow's token reaches GitHub, for a checkout that keeps no credentials.

    As `actions/checkout` writes them into the repository, and here for our own commands alone.
    """
    token, server = env.get("GITHUB_TOKEN", ""), env.get("GITHUB_SERVER_URL", "")
    if env.get("GITHUB_ACTIONS") != "true" or not token or not server.startswith("https://"):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {f"http.{server.rstrip('/')}/.extraheader": f"AUTHORIZATION: basic {basic}"}


def state_home(project: str) -> Path:
    """
    The folder on this machine for what outlives a checkout: processes of `local` targets.

    `$MLOPS_STATE_HOME`, else `$XDG_STATE_HOME/mlops-ci`, else `~/.local/state/mlops-ci`.
    """
    named = os.environ.get("MLOPS_STATE_HOME")
    if named:
        return Path(named) / project
    try:
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    except RuntimeError as error:
        raise UsageError("this user has no home folder", hint="set MLOPS_STATE_HOME to a folder") from error
    return home / "mlops-ci" / project
