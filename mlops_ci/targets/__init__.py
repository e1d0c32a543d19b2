"""
Targets: where a model version is deployed.

A target renders what it would deploy, checks it, and deploys what was rendered: nothing reaches a machine
that was not a file first. Whether a deployment is allowed, and recording it, are the business of `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec

from mlops_ci.release import Release

PROVIDERS = {
    "kubernetes": "mlops_ci.targets.kubernetes:KubernetesTarget",
    "local": "mlops_ci.targets.local:LocalTarget",
}

__all__ = ["PROVIDERS", "Check", "Release", "Status", "Target", "Verify", "nothing_to_verify"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is wrong with rendered files, and what nobody could look at; each a sentence that names its file.

    Files that were not looked at are not valid: `valid` wants both lists empty.
    """

    problems: list[str] = []
    unchecked: list[str] = []

    @property
    def valid(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return not self.problems and not self.unchecked


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a target runs now. *plan_digest* is what `apply` was told; *ready* is what the service says of itself."""

    model: str
    version: str
    digest: str
    url: str
    plan_digest: str = ""
    ready: bool = True


Verify = Callable[[str], None]


def nothing_to_verify(url: str) -> None:
    """Take what answers at *url* as it is."""


class Target(Protocol):
    """What every target can do; `tests/contracts/test_targets.py` holds each to it."""

    Options: ClassVar[type[msgspec.Struct]]
    """What `targets.<name>` in the configuration may say besides `kind` and the rules of deployment."""

    applies: ClassVar[bool]
    """Whether `apply` deploys; False where this version only renders and checks."""

    def __init__(self, name: str, options: Any, *, state: Path) -> None:
        """
        Prepare; nothing is touched yet.

        Args:
            name: The target's name in the configuration.
            options: An `Options`.
            state: A folder on this machine that is this target's own; made when it is needed.
        """
        ...

    def render(self, release: Release, overrides: Path | None = None) -> dict[str, str]:
        """
        Return what would be deployed: text by relative path, the same bytes for the same arguments.

        Raises:
            ConfigError: A template of *overrides* fails, or a value cannot be written where it belongs.
        """
        ...

    def check(self, files: Mapping[str, str]) -> Check:
        """Look at rendered *files* (text by relative path) without asking anybody."""
        ...

    def apply(self, bundle: Path, *, plan_digest: str = "", verify: Verify = nothing_to_verify) -> str:
        """
        Deploy what was rendered, wait until it is ready, and return its URL.

        Running it again finishes what was begun; what already runs stays.

        Args:
            bundle: A folder with `service/` and `targets/<name>/`; it may vanish afterwards.
            plan_digest: The digest of the approved plan, for `status`.
            verify: Asked with the URL once the service is ready; its `ServiceError` counts as not being ready.

        Raises:
            MissingDependency: An extra is not installed.
            ServiceError: It did not become ready. What ran before runs again.
            UsageError: This target cannot be applied from here.
        """
        ...

    def status(self) -> Status | None:
        """Return what runs now; None if nothing does, or nobody here can know."""
        ...

    def remove(self) -> bool:
        """Stop what `apply` started, and nothing else; False if there was nothing."""
        ...
