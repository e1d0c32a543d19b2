"""
Every error that a user can meet, and the exit code that it ends the process with.

    MlopsCIError
    +-- UsageError            2   the command cannot mean anything here
    |   +-- ConfigError       2   mlops.yaml is missing, malformed or names something unknown
    |   +-- InputError        2   a file that training left cannot be read as what it should be
    |   +-- NotFound          2   no such run, model version, target or deployment
    |   +-- MissingDependency 2   an optional extra is not installed
    +-- ServiceError          3   a remote, a bucket or a service did not answer; safe to try again
    +-- Refused               4   a policy says no
    |   +-- AwaitsApproval    4   people have to act first, and then the same command may be run again
    |   +-- Conflict          4   the name already means something else, for good
    |   +-- IntegrityError    4   bytes do not match the digest that names them
    +-- TrainingFailed        5   the training command failed

Exit codes 1 (a gate failed) and 6 (undecided) are results, not errors: a verdict carries them.
"""

from __future__ import annotations

from typing import ClassVar


class MlopsCIError(Exception):
    """Base class. *hint* says what the user can do next; it is printed on its own line."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(MlopsCIError):
    """The command cannot mean anything here."""


class ConfigError(UsageError):
    """`mlops.yaml` is missing, malformed or names something unknown."""


class InputError(UsageError):
    """A file that training left cannot be read as what it should be."""


class NotFound(UsageError):
    """No such run, model version, target or deployment."""


class MissingDependency(UsageError):
    """An optional extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"pip install 'mlops-ci[{extra}]'")


class ServiceError(MlopsCIError):
    """A remote, a bucket or a service did not answer; the same command may be run again."""

    exit_code: ClassVar[int] = 3


class Refused(MlopsCIError):
    """A policy says no."""

    exit_code: ClassVar[int] = 4


class AwaitsApproval(Refused):
    """People have to act first: approve, or deploy to the target before. Then the same command may be run again."""


class Conflict(Refused):
    """The name already means something else, for good."""


class IntegrityError(Refused):
    """Bytes do not match the digest that names them."""


class TrainingFailed(MlopsCIError):
    """The training command failed; its own exit code is in the record."""

    exit_code: ClassVar[int] = 5
