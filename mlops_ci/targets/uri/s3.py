"""A bucket that speaks S3: objects are replaced whole, and conditional writes tell when somebody else was faster."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_ci import digests
from mlops_ci.errors import ServiceError
from mlops_ci.providers import optional_extra
from mlops_ci.targets.uri.place import Changed, Entry, Stamped

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_ATTEMPTS = 3
_GONE = {"NoSuchKey", "404"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409", *_GONE}
_NEEDED = "ListBucket, GetObject, PutObject and DeleteObject"
_SENTENCES = {
    "NoSuchBucket": ("there is no such bucket", "make it, or name another one as `uri`"),
    "AccessDenied": ("access is denied", f"the credentials need {_NEEDED}"),
    "403": ("access is denied", f"the credentials need {_NEEDED}"),
    "InvalidAccessKeyId": ("the access key is unknown there", "see AWS_ACCESS_KEY_ID, or `profile` of the target"),
    "SignatureDoesNotMatch": ("the secret key is wrong", "see AWS_SECRET_ACCESS_KEY, or `profile` of the target"),
    "ExpiredToken": ("the session has expired", "sign in again"),
}


class S3Place:
    """See `Place`; the tag of an object is its ETag."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = "", profile: str = "") -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._profile = profile
        self.address = f"s3://{bucket}/{prefix}".rstrip("/")

    def read(self, path: str) -> Stamped | None:
        """Get an object."""
        with self._said("read", path):
            found = self._get(path)
            return Stamped(found["Body"].read(), found["ETag"]) if found else None

    def write_if(self, path: str, data: bytes, tag: str) -> str:
        """Put an object under a condition; a first attempt that was not answered may have been ours."""
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with self._said("write", path):
            try:
                return str(self._client.put_object(**self._at(path), Body=data, **condition)["ETag"])
            except self._refusal as error:
                if _code(error) not in _CHANGED:
                    raise
                found = self.read(path)
                if found is None or found.data != data:
                    raise Changed(path) from error
                return found.tag

    def put_file(self, path: str, source: Path, digest: str) -> None:
        """Upload, in parts where it is large; the SDK's checksums see it arrive."""
        if digests.of_file(source) != digest:
            raise ServiceError(f"{source.name} is not the file {digest[:19]} that was ordered")
        with self._said("write", path):
            self._client.upload_file(str(source), self._bucket, self._prefix + path)

    def digest(self, path: str) -> str | None:
        """Download in pieces, and keep none."""
        with self._said("read", path):
            found = self._get(path)
            if found is None:
                return None
            read = hashlib.sha256()
            for piece in found["Body"].iter_chunks(1 << 20):
                read.update(piece)
        return f"sha256:{read.hexdigest()}"

    def list(self, folder: str) -> dict[str, Entry]:
        """List, page by page."""
        with self._said("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"
            )
            return {
                found["Key"].removeprefix(self._prefix): Entry(found["Size"], found["LastModified"].timestamp())
                for page in pages
                for found in page.get("Contents", [])
            }

    def delete(self, path: str, tag: str = "") -> None:
        """Delete an object."""
        with self._said("delete", path):
            try:
                self._client.delete_object(**self._at(path), **({"IfMatch": tag} if tag else {}))
            except self._refusal as error:
                if _code(error) not in _CHANGED:
                    raise
                if _code(error) not in _GONE:
                    raise Changed(path) from error

    def point(self, path: str | None) -> None:
        """There are no links in a bucket."""

    def pointed(self) -> str | None:
        """There are no links in a bucket."""
        return None

    def tidy(self) -> None:
        """Leave parts of unfinished uploads to the bucket's own rules."""

    def _at(self, path: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + path}

    def _get(self, path: str) -> Any:
        try:
            return self._client.get_object(**self._at(path))
        except self._refusal as error:
            if _code(error) in _GONE:
                return None
            raise

    @cached_property
    def _refusal(self) -> type[Exception]:
        from botocore.exceptions import ClientError  # noqa: PLC0415  # only whoever deploys to a bucket has it

        refusal: type[Exception] = ClientError
        return refusal

    @cached_property
    def _client(self) -> Any:
        with optional_extra("s3"):
            import boto3  # noqa: PLC0415  # as above
            from botocore.config import Config  # noqa: PLC0415  # as above

        session = boto3.Session(profile_name=self._profile or None)
        config = Config(
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        return session.client("s3", endpoint_url=self._endpoint or None, config=config)

    @contextmanager
    def _said(self, what: str, path: str) -> Iterator[None]:
        """Say in a sentence what the SDK says in many; nothing of the credentials is in it."""
        with optional_extra("s3"):
            from boto3 import exceptions as boto3_exceptions  # noqa: PLC0415  # as above
            from botocore import exceptions  # noqa: PLC0415  # as above

        where = f"cannot {what} {path} in {self.address}"
        try:
            yield
        except (exceptions.BotoCoreError, exceptions.ClientError, boto3_exceptions.Boto3Error) as error:
            # An upload that failed wraps what the service said.
            wrapped = isinstance(error, boto3_exceptions.Boto3Error)
            cause = (wrapped and error.__context__) or error
            why, hint = _why(cause, self._endpoint)
            raise ServiceError(f"{where}: {why}", hint=hint) from error
        except OSError as error:
            raise ServiceError(f"{where}: {error.strerror or type(error).__name__}") from error


def _code(error: BaseException) -> str:
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _why(error: BaseException, endpoint: str) -> tuple[str, str]:
    """What is the matter, and what to do."""
    from botocore import exceptions  # noqa: PLC0415  # as above

    if isinstance(error, exceptions.ClientError):
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return _SENTENCES.get(code, (f"the service answered {status} {code}".rstrip(), "run the same command again"))
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "there are no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile` of the target"
    if isinstance(error, exceptions.ProfileNotFound):
        return "there is no such profile", "see `profile` of the target and the AWS configuration of this machine"
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        who = endpoint or "the service"
        return f"{who} does not answer", "see `endpoint` of the target and the network, then run the same command again"
    return f"the SDK says {type(error).__name__}", "see the AWS configuration of this machine"
