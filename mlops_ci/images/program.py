"""Runs a builder's program, passes on what it says, and makes a sentence of how it failed."""

from __future__ import annotations

import os
import re
import subprocess
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlops_ci.errors import ConfigError, IntegrityError, MlopsCIError, NotFound, ServiceError, UsageError
from mlops_ci.images import Tell

_KEPT_LINES = 200


@dataclass(frozen=True)
class _Cause:
    pattern: str
    error: type[MlopsCIError]
    message: str
    hint: str


# The first that matches: what is said last of all (a reset connection) is often the end of something known better.
_CAUSES = [
    _Cause(
        r"no space left on device|disk quota exceeded",
        ServiceError,
        "there is no room on the disk that images are built on",
        "make room there (`docker system prune`, `buildah prune`), then run the same command again",
    ),
    _Cause(
        r"cannot connect to the docker daemon|error during connect|is the docker daemon running",
        ServiceError,
        "the Docker daemon does not answer",
        "start it, set DOCKER_HOST, or build without a daemon: `--builder buildah`",
    ),
    _Cause(
        r"do not match the hashes|hash mismatch",
        IntegrityError,
        "a package does not have the digest that the lock names",
        "find out who changed it; `--upgrade-lock` locks what the index has now",
    ),
    _Cause(
        r"certificate_verify_failed|unknownissuer|invalid peer certificate|certificate signed by unknown authority",
        ConfigError,
        "the certificate of a package index or registry is not trusted",
        "`--ca FILE` names the certificates that packages are fetched with; a registry's belong where Docker or"
        " buildah look for them",
    ),
    _Cause(
        r"this base has python ([\d.]+), and the service is to run on ([\d.]+)",
        ConfigError,
        "the base image has Python {0}, and the service is to run on {1}",
        "`serving: python` and `serving: base` in mlops.yaml have to agree",
    ),
    _Cause(
        r"no address associated|name resolution|no such host|dns error|failed to lookup address|"
        r"name or service not known",
        ServiceError,
        "a name was not found on the network",
        "look whether this machine, and containers on it, reach the package index and the registry",
    ),
    _Cause(
        r"unauthorized|authentication required|no basic auth credentials|incorrect username or password|"
        r"access to the resource is denied|401 unauthorized|403 forbidden",
        UsageError,
        "the registry does not accept the credentials, or got none",
        "`docker login` or `buildah login` to it with a user that may write there",
    ),
    _Cause(
        r"pull access denied|manifest unknown|manifest for .* not found|repository does not exist|: not found$|"
        r"name unknown|no such image",
        NotFound,
        "the base image was not found",
        "`serving: base` in mlops.yaml names it; a private one wants `docker login` or `buildah login`",
    ),
    _Cause(
        r"unexpected http status:? 5\d\d|unexpected status.* 5\d\d|internal server error|bad gateway|"
        r"service unavailable|status code:? 5\d\d|http status:? 5\d\d",
        ServiceError,
        "a registry or package index answered that something is wrong with it",
        "it is safe to run the same command again",
    ),
    _Cause(
        r"connection refused|connection reset|broken pipe|unexpected eof|\beof$|: eof\b|i/o timeout|timed out|"
        r"client connection lost|error sending request|use of closed network connection",
        ServiceError,
        "a registry or package index did not answer",
        "it is safe to run the same command again",
    ),
    _Cause(
        r"toomanyrequests|too many requests|pull rate limit",
        ServiceError,
        "a registry or package index lets nobody in for a while: too many requests",
        "log in to it, or wait and run the same command again",
    ),
]


def run(
    command: Sequence[str], tell: Tell, *, what: str, env: Mapping[str, str] | None = None, hidden: Iterable[str] = ()
) -> list[str]:
    """
    Run *command* to its end and return the last lines that it said; each was told as it came.

    Args:
        command: A program and its arguments, none of them secret: others can see them.
        tell: Gets each line of both streams.
        what: What fails if it does, for the message: "building", "pushing".
        env: Added to our own environment.
        hidden: Texts that are replaced in what it says.

    Raises:
        MlopsCIError: It failed; see `failure`.
    """
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                said = redacted(line.rstrip(), hidden)
                if said:
                    last.append(said)
                    tell(said)
        except BaseException:
            process.terminate()  # it must not go on when we do not
            raise
    code = process.returncode
    if code:
        raise failure(list(last), what, f"{os.path.basename(command[0])} ended with exit code {code}")  # noqa: PTH119
    return list(last)


def ask(*command: str, env: Mapping[str, str] | None = None) -> str | None:
    """What a short *command* prints; None if it cannot be started, or fails."""
    try:
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def failure(lines: Sequence[str], what: str, otherwise: str) -> MlopsCIError:
    """The error that the last *lines* of a program speak of; *otherwise* is said if none is known."""
    text = "\n".join(lines[-_KEPT_LINES:])
    for cause in _CAUSES:
        found = re.search(cause.pattern, text, re.IGNORECASE | re.MULTILINE)
        if found:
            return cause.error(f"{what} failed: {cause.message.format(*found.groups())}", hint=cause.hint)
    return ServiceError(f"{what} failed: {otherwise}", hint="its last lines say why")


def redacted(line: str, hidden: Iterable[str]) -> str:
    """*line* without the texts that are *hidden*."""
    for text in hidden:
        line = line.replace(text, "****") if text else line
    return line
