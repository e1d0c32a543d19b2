"""
Images: a service folder with its recipe becomes a container image, which can be pushed.

A builder is a program of this machine: Docker with BuildKit, or buildah, which needs no daemon. What is put into
the folder, whether that was built before, and recording it are the business of `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import msgspec

PROVIDERS = {
    "buildah": "mlops_ci.images.buildah:BuildahBuilder",
    "docker": "mlops_ci.images.docker:DockerBuilder",
}

Tell = Callable[[str], None]
"""Gets each line that a builder says, as it says it; what is secret is not in it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is to be built.

    *context* holds the recipe, `Dockerfile`, and what that copies; *epoch* is the time that the image gets, in
    seconds since 1970; *secrets* are files by the id that the recipe mounts them by, and *hidden* are texts that
    nobody may read in what the builder says. Without *cached* nothing is taken from an earlier build.
    """

    context: Path
    reference: str
    epoch: int
    secrets: Mapping[str, Path] = {}
    hidden: list[str] = []
    cached: bool = True


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this machine. *image_id* is its configuration's digest; *layers* are those of its unpacked layers."""

    image_id: str
    size_bytes: int
    layers: list[str]
    platform: str


class Builder(Protocol):
    """What every builder can do; `tests/images/test_builders.py` holds each to it."""

    name: ClassVar[str]

    def __init__(self) -> None:
        """
        Find the program.

        Raises:
            UsageError: It is not on this machine, or too old, or lacks what it needs to build.
            ServiceError: Its daemon does not answer.
            MissingDependency: An extra is not installed.
        """
        ...

    @property
    def version(self) -> str:
        """What the program says of its version, with the program's path where that could be another."""
        ...

    @property
    def doubt(self) -> str:
        """Why the same inputs may give another digest the next time, as a sentence; "" if they will not."""
        ...

    def build(self, order: Order, tell: Tell) -> Built:
        """
        Build the image and name it; what was called so before loses its name.

        Raises:
            ConfigError: The recipe is at fault, or the certificate of an index is not trusted.
            IntegrityError: A package does not have the digest that the lock names.
            NotFound: There is no such base image.
            ServiceError: Something outside did not answer, or there is no room.
        """
        ...

    def inspect(self, reference: str) -> Built | None:
        """Return the image of that name, or id, on this machine; None if there is none."""
        ...

    def read(self, image: str, path: str) -> bytes:
        """Return a file of *image*, by its absolute *path*; nothing if it is not there."""
        ...

    def push(self, reference: str, tell: Tell) -> str:
        """
        Send the image to the registry that its name begins with, and return the digest of its manifest there.

        Layers that the registry has are not sent again. Credentials are those that `docker login` or `buildah login`
        left.

        Raises:
            UsageError: The registry does not accept the credentials, or there are none.
            ServiceError: The registry did not answer, or has no room.
        """
        ...
