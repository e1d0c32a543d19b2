"""
What workflow runs uploaded (GitHub calls them artifacts), as the archives that they are.

What is in an archive is not looked at here.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from mlops_ci.errors import IntegrityError, NotFound, Refused, ServiceError
from mlops_ci.github.answers import one_line, read
from mlops_ci.github.client import GitHub
from mlops_ci.github.wire import TIMEOUT_S, is_safe

if TYPE_CHECKING:
    import requests

_NEEDS = "actions: read"
_CHUNK_BYTES = 1 << 16
_ATTEMPTS = 4
_MOST_HOPS = 3
_MOST_S = 600.0


@dataclass(frozen=True)
class Upload:
    """
    One upload of a workflow run.

    Attributes:
        name: As the workflow called it; not to be taken for a file's name.
        digest: Of the archive, `sha256:<hex>`; "" where GitHub does not tell.
    """

    id: int
    name: str
    size_bytes: int
    expired: bool
    run_id: int
    digest: str = ""


class _Run(msgspec.Struct):
    id: int | None = None


class _Upload(msgspec.Struct):
    id: int
    name: str
    size_in_bytes: int
    expired: bool = False
    digest: str | None = None
    workflow_run: _Run | None = None


class _Broken(Exception):
    """A download that may be tried again."""


def uploads(hub: GitHub, run_id: int) -> list[Upload]:
    """
    Return what the workflow run *run_id* uploaded, over all pages.

    Raises:
        NotFound: There is no such run.
        PermissionMissing: The token may not read runs.
        ServiceError: GitHub did not answer.
    """
    what = f"list the uploads of run {run_id}"
    pages = hub.pages(f"actions/runs/{run_id}/artifacts", key="artifacts", what=what, needs=_NEEDS)
    found = [read(entry, _Upload, what=what) for entry in pages]
    return [
        Upload(
            id=entry.id,
            name=entry.name,
            size_bytes=entry.size_in_bytes,
            expired=entry.expired,
            run_id=(entry.workflow_run and entry.workflow_run.id) or run_id,
            digest=entry.digest or "",
        )
        for entry in found
    ]


def download(hub: GitHub, upload: Upload, into: Path, *, most_bytes: int) -> Path:
    """
    Write the archive to `<id>.zip` in the folder *into*, whole or not at all, and return its path.

    The token is not sent to where GitHub keeps it.

    Raises:
        IntegrityError: It is not what its digest says.
        NotFound: It is gone.
        PermissionMissing: The token may not read runs.
        Refused: It has more than *most_bytes*.
        ServiceError: GitHub, or where it keeps it, did not answer.
    """
    what = f"download the upload {one_line(upload.name)}"
    if upload.expired:
        raise NotFound(f"cannot {what}: it has expired", hint="run the workflow again that made it")
    if upload.size_bytes > most_bytes:
        raise _too_large(what, most_bytes)
    for attempt in range(1, _ATTEMPTS + 1):
        # Where it is kept is told for a minute only.
        place = hub.location(f"actions/artifacts/{upload.id}/zip", what=what, needs=_NEEDS)
        try:
            return _fetch(place, upload, into, most_bytes, what)
        except _Broken as error:
            if attempt == _ATTEMPTS:
                raise ServiceError(f"cannot {what}: {error}", hint="run the same again") from error
            hub.pause(attempt)
    raise AssertionError  # pragma: no cover


def _fetch(place: str, upload: Upload, into: Path, most_bytes: int, what: str) -> Path:
    import requests  # noqa: PLC0415  # with PyGithub
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # with PyGithub

    handle, name = tempfile.mkstemp(dir=into, prefix=".upload-")
    aside = Path(name)
    try:
        with (
            os.fdopen(handle, "wb") as file,
            requests.Session() as session,
            _follow(session, place, what) as answer,
        ):
            digest = _read(answer, file, most_bytes, what)
    except BaseException as error:
        aside.unlink()
        if isinstance(error, requests.RequestException | HTTPError):
            raise _Broken("the connection broke") from None  # its text holds the address, a key for a minute
        raise
    if upload.digest.startswith("sha256:") and upload.digest != f"sha256:{digest}":
        aside.unlink()
        raise IntegrityError(f"cannot {what}: it is not what its digest says", hint="run the workflow again")
    return aside.replace(into / f"{upload.id}.zip")


def _follow(session: requests.Session, place: str, what: str) -> requests.Response:
    session.auth = _nobody  # else a .netrc would speak up
    for _ in range(_MOST_HOPS):
        if not is_safe(place):
            raise Refused(f"cannot {what}: GitHub sends us where others could read along", hint="tell who runs it")
        answer = session.get(
            place, stream=True, timeout=TIMEOUT_S, allow_redirects=False, headers={"Accept-Encoding": "identity"}
        )
        if answer.status_code == 200:
            return answer
        with answer:
            if answer.next is None or answer.next.url is None:
                raise _Broken(f"the place where GitHub keeps it answered {answer.status_code}")
            place = answer.next.url
    raise _Broken("the place where GitHub keeps it sends us on and on")


def _read(answer: requests.Response, file: IO[bytes], most_bytes: int, what: str) -> str:
    digest = hashlib.sha256()
    started, size = time.monotonic(), 0
    for chunk in answer.iter_content(_CHUNK_BYTES):
        size += len(chunk)
        if size > most_bytes:
            raise _too_large(what, most_bytes)
        if time.monotonic() - started > _MOST_S:
            raise ServiceError(f"cannot {what}: it took longer than {_MOST_S:g} s", hint="run the same again")
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _too_large(what: str, most_bytes: int) -> Refused:
    return Refused(f"cannot {what}: it has more than {most_bytes:,} bytes", hint="upload less, or allow more")


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
