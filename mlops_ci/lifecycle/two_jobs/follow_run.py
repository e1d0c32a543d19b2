"""
The second half of a pull request whose own job could not write: of a fork's, of Dependabot's.

It is started by `workflow_run`, whose payload names no pull request for a fork. GitHub is asked which one it is, by
repository, branch and commit; a number in a bundle would be the stranger's word.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_ci.ci import Event
from mlops_ci.entities import Author, CiRun
from mlops_ci.errors import Refused
from mlops_ci.lifecycle.two_jobs.train_apart import NAME

if TYPE_CHECKING:
    from mlops_ci.github import GitHub

PREFIX = "mlops-bundle"
_MOST_BUNDLES = 64
_MOST_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Followed:
    """The event that the first half was started by, as GitHub knows it; *nothing* says why there is nothing to do."""

    event: Event
    self_reported: bool = False
    nothing: str = ""


def follow(event: Event, hub: GitHub) -> Followed:
    """
    Find out what the run was about that started this one.

    Raises:
        ServiceError: GitHub did not answer.
        Refused: The token may not ask.
    """
    from mlops_ci.github import pulls  # noqa: PLC0415  # a tenth of a second that only CI has to pay

    run = event.upstream
    if run is None or run.event != "pull_request":
        return Followed(
            event, nothing=f"the run was started by {run.event if run else 'nothing'}, which records by itself"
        )
    pull = pulls.pull_of(hub, head_repository=run.head_repository, head_branch=run.head_branch, head_sha=run.head_sha)
    if pull is None:
        what = f"{run.head_repository}:{run.head_branch} at {run.head_sha[:7]}"
        return Followed(
            event, nothing=f"no open pull request is of {what} any more; a newer commit has a run of its own"
        )
    known = CiRun(
        provider="github",
        run_url=f"{event.server_url}/{event.repository}/actions/runs/{run.run_id}",
        run_id=run.run_id,
        attempt=run.attempt,
        event="pull_request",
        pull_request=pull.number,
    )
    found = replace(
        event,
        kind="pull_request",
        name="pull_request",
        run=known,
        author=Author(name=run.actor or pull.author or "unknown", via="github"),
        sha=pull.merge_sha or pull.head_sha,
        base_sha=pull.base_sha,
        base_branch=pull.base_branch,
        head_sha=pull.head_sha,
        head_repository=pull.head_repository,
        number=pull.number,
        branch=pull.head_branch,
    )
    return Followed(found, self_reported=pull.head_repository.lower() != event.repository.lower())


def bundles(event: Event, hub: GitHub, into: Path) -> list[Path]:
    """
    Download the bundles that the run left.

    Raises:
        ServiceError: GitHub did not answer.
        Refused: There are more than a matrix has jobs, or one they are larger than bundles may be.
    """
    from mlops_ci.github import uploads  # noqa: PLC0415  # as in `follow`

    found = [each for each in uploads.uploads(hub, int(event.run.run_id)) if each.name.startswith(PREFIX)]
    if len(found) > _MOST_BUNDLES:
        raise Refused(f"the run left {len(found)} bundles, and {_MOST_BUNDLES} are the most that are read")
    into.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    left = _MOST_BYTES
    for each in found:
        wrapped = uploads.download(hub, each, into, most_bytes=left)
        paths.append(_unwrapped(wrapped, into / f"{each.id}.bundle", left))
        left -= paths[-1].stat().st_size
        wrapped.unlink()
    return paths


def _unwrapped(path: Path, into: Path, most_bytes: int) -> Path:
    """The bundle in the archive that GitHub made of it; whatever else is in there is left alone."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(NAME) as source, into.open("wb") as file:
            left = most_bytes
            while chunk := source.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise Refused(f"the bundles are larger than {_MOST_BYTES:,} bytes together")
                file.write(chunk)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError) as error:
        raise Refused(f"what the run uploaded as its bundle holds no readable {NAME}") from error
    return into
