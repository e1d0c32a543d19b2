"""
Targets: where a model version is deployed.

A target renders what it would deploy, checks it, and deploys what was rendered: nothing reaches a machine
that was not a file first. Whether a deployment is allowed, recording it, and the order of the steps (plan, apply, wait,
verify, else roll back) are the business of `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec

from mlops_ci.release import Release

PROVIDERS = {
    "kubernetes": "mlops_ci.targets.kubernetes:KubernetesTarget",
    "local": "mlops_ci.targets.local:LocalTarget",
    "uri": "mlops_ci.targets.uri:UriTarget",
}

__all__ = [
    "PROVIDERS",
    "Answer",
    "Ask",
    "Change",
    "Check",
    "Order",
    "Release",
    "Smoke",
    "Status",
    "Target",
    "Tell",
    "nothing_to_say",
    "nothing_to_smoke",
]


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


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is to be deployed.

    Attributes:
        files: What `render` returned: text by relative path.
        plan_digest: The digest of the approved plan, for `status`.
        service: The folder of the service with the model in it; it may vanish once `apply` has returned. None where
            something is deployed again that was deployed before.
        force: Undo what others changed there meanwhile, instead of refusing: going back must not fail for that.
    """

    files: Mapping[str, str]
    plan_digest: str = ""
    service: Path | None = None
    force: bool = False


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` would do to one thing. *what* names it for a person, *diff* is unified; "" where nothing differs."""

    action: Literal["create", "update", "delete", "same"]
    what: str
    diff: str = ""


class Answer(NamedTuple):
    """What a service answered: the status of HTTP, and the body."""

    status: int
    body: bytes


Ask = Callable[[str, bytes | None], Answer]
"""GET a path of the service ("/metadata"), or POST a JSON body to it; raises `ServiceError` if nobody answers."""

Smoke = Callable[[Ask], None]
"""Asks a service what it likes, and raises `ServiceError` if the answers are wrong."""

Tell = Callable[[str], None]
"""Told in a line how far it is."""


def nothing_to_smoke(ask: Ask) -> None:
    """Take the service as it is."""


def nothing_to_say(line: str) -> None:
    """Keep it to oneself."""


class Target(Protocol):
    """What every target can do; `tests/contracts/test_targets.py` holds each to it."""

    Options: ClassVar[type[msgspec.Struct]]
    """What `targets.<name>` in the configuration may say besides `kind` and the rules of deployment."""

    needs_image: ClassVar[bool]
    """Whether `Release.image` must name an image in a registry, by its digest."""

    def __init__(self, name: str, options: Any, *, project: str, state: Path) -> None:
        """
        Prepare; nothing is touched yet.

        Args:
            name: The target's name in the configuration.
            options: An `Options`.
            project: The name of the project, which tells its own from others'.
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

    def plan(self, files: Mapping[str, str]) -> list[Change]:
        """
        Compare *files* with what is there: what `apply` would do, in its order.

        Of what was deployed already, anything but "same" has been changed there by somebody else.

        Raises:
            UsageError: It would not be taken, or something is there that is not ours.
            ServiceError: Nobody answered, or our rights do not suffice to look.
        """
        ...

    def lock(self, owner: str) -> AbstractContextManager[None]:
        """
        Keep everybody else from changing the target.

        A lock whose owner died is taken over, after a while at most.

        Args:
            owner: Who we are, for those who have to wait: "ann@example.org on build-7".

        Raises:
            ServiceError: Somebody else has it; the sentence says who.
        """
        ...

    def apply(self, order: Order, tell: Tell = nothing_to_say) -> None:
        """
        Begin to deploy *order*; `wait` and `verify` follow. What is there already stays; what was begun is finished.

        Raises:
            MissingDependency: An extra is not installed.
            UsageError: It cannot be applied from here; nothing was begun.
            ServiceError: It did not work, and may have been done in part.
        """
        ...

    def wait(self, order: Order, tell: Tell = nothing_to_say) -> str:
        """
        Wait until what was applied is ready, and return its URL.

        Raises:
            ServiceError: It did not become ready; the sentence says why, and the hint what to do.
        """
        ...

    def verify(self, order: Order, smoke: Smoke = nothing_to_smoke) -> None:
        """
        Make sure that what is there is what was ordered, and let *smoke* try it, where there is a service to be asked.

        What passed is what `rollback` may go back to.

        Raises:
            ServiceError: It is something else, or *smoke* says no.
        """
        ...

    def rollback(self, order: Order | None, tell: Tell = nothing_to_say) -> None:
        """
        Go back to *order*, which passed `verify` before; None: nothing did, so take away what was begun.

        `wait` and `verify` follow as for `apply`.

        Raises:
            ServiceError: It did not work; running it again is safe.
        """
        ...

    def status(self) -> Status | None:
        """
        Return what runs now; None if nothing does.

        Raises:
            ServiceError: Nobody answered.
        """
        ...

    def remove(self) -> bool:
        """
        Take away what `apply` put there, and nothing else; False if there was nothing.

        Raises:
            ServiceError: Nobody answered; running it again is safe.
        """
        ...
