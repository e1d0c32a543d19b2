"""
Records: how a fact becomes bytes, and what names it.

A record is JSON in RFC 8785 form; its id is the SHA-256 of those bytes. What JSON has no word for is
wrapped: `{"$float": "nan"}`, an integer of 2^53 or more as `{"$int": "…"}`, and an object that looks like
one of these as `{"$object": {…}}`. Where records are kept is the ledger's business.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import msgspec
import msgspec.structs
import rfc8785

from mlops_ci import entities
from mlops_ci.entities import Author
from mlops_ci.errors import InputError, IntegrityError

SCHEMA = "1.0"

_Entity = TypeVar("_Entity", bound=msgspec.Struct)

KINDS: dict[str, type[msgspec.Struct]] = {
    "run": entities.Run,
    "adoption": entities.Adoption,
    "run-change": entities.RunChange,
    "experiment-change": entities.ExperimentChange,
    "verdict": entities.GateReport,
    "version": entities.ModelVersion,
    "image": entities.Image,
    "request": entities.ApprovalRequest,
    "approval": entities.Approval,
    "deployment": entities.Deployment,
    "target-lock": entities.TargetLock,
}


class Record(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    One immutable fact.

    *kind* names the type of *body* in `KINDS`; *schema* is `major.minor`; *time* is RFC 3339 in UTC with
    microseconds.
    """

    kind: str
    schema: str
    time: str
    author: Author
    body: dict[str, Any]

    @cached_property
    def id(self) -> str:
        """64 hexadecimal digits: the SHA-256 of `encode(self)`."""
        return hashlib.sha256(encode(self)).hexdigest()

    def read(self, entity: type[_Entity]) -> _Entity:
        """
        Return the body as *entity*; fields of newer minor versions are ignored.

        Raises:
            IntegrityError: The body is not what its kind promises.
        """
        try:
            return msgspec.convert(self.body, entity)
        except msgspec.ValidationError as error:
            raise IntegrityError(f"record {self.id[:12]} is not a {self.kind}: {error}") from error

    @property
    def keys(self) -> tuple[str, ...]:
        """The names under which a ledger finds this record."""
        return _KEYS[self.kind](self.body) if self.kind in _KEYS else ()


def new(entity: msgspec.Struct, *, author: Author, time: str | None = None) -> Record:
    """Make the record of *entity*, whose type must be in `KINDS`; *time* is now unless given."""
    kind = next(name for name, struct in KINDS.items() if struct is type(entity))
    body = _plain(msgspec.to_builtins(entity))
    return Record(kind=kind, schema=SCHEMA, time=time or now(), author=author, body=body)


def replace(entity: _Entity, **fields: Any) -> _Entity:
    """A copy of *entity* with other *fields*."""
    return msgspec.structs.replace(entity, **fields)


def encode(record: Record) -> bytes:
    """The record's RFC 8785 bytes."""
    return canonical(msgspec.to_builtins(record))


def decode(data: bytes) -> Record:
    """
    Read a record back.

    Raises:
        IntegrityError: Not a record, or of a major version that this program does not know.
    """
    try:
        record = msgspec.convert(_unwrap(json.loads(data, parse_int=_number)), Record)
    except (ValueError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise IntegrityError(f"not a record: {error}") from error
    if record.schema.partition(".")[0] != SCHEMA.partition(".")[0]:
        raise IntegrityError(
            f"a record of schema {record.schema}, and this program reads {SCHEMA}",
            hint="install a newer mlops-ci",
        )
    return record


def canonical(value: Any) -> bytes:
    """
    RFC 8785 bytes of JSON-like *value*; non-finite floats and large integers are wrapped first.

    Raises:
        InputError: It holds what JSON cannot: text that is not Unicode, say.
    """
    try:
        wrapped = _wrap(value)
        if _is_plain(wrapped):
            return _PLAIN.encode(wrapped).encode()
        return rfc8785.dumps(wrapped)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a value cannot be recorded: {error}", hint="records hold JSON") from error


def digest(value: Any) -> str:
    """`sha256:<hex>` of *value*'s canonical bytes; a struct counts as its fields."""
    return "sha256:" + hashlib.sha256(canonical(msgspec.to_builtins(value))).hexdigest()


def now() -> str:
    """The time of day as records write it: UTC, RFC 3339, microseconds."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """*moment* (with a time zone) as records write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(time: str) -> datetime:
    """The moment that a record's *time* names."""
    return datetime.fromisoformat(time)


def from_seconds(seconds: float) -> datetime:
    """The moment *seconds* after 1970, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _plain(value: Any) -> Any:
    """Through JSON's eyes: tuples become lists, so that a body equals itself read back."""
    return msgspec.to_builtins(value, str_keys=True)


_LARGEST = 2**53 - 1
_WRAPPERS = frozenset({"$float", "$int", "$object"})


def _wrap(value: Any) -> Any:
    if isinstance(value, dict):
        wrapped = {key: _wrap(item) for key, item in value.items()}
        return {"$object": wrapped} if _is_wrapper(value) else wrapped
    if isinstance(value, list | tuple):
        return [_wrap(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"$float": repr(value)}
        # RFC 8785 writes both alike.
        return int(value) if value.is_integer() and -_LARGEST <= value <= _LARGEST else value
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        return {"$int": str(value)}
    return value


def _unwrap(value: Any) -> Any:
    if isinstance(value, dict):
        if not _is_wrapper(value):
            return {key: _unwrap(item) for key, item in value.items()}
        [(kind, inner)] = value.items()
        if kind == "$object":
            return {key: _unwrap(item) for key, item in dict(inner).items()}
        return float(inner) if kind == "$float" else int(inner)
    if isinstance(value, list):
        return [_unwrap(item) for item in value]
    return value


# Four times as fast as rfc8785, and the same bytes where `_is_plain` says so: the rest is left to that library.
_PLAIN = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def _is_plain(value: Any) -> bool:
    """Whether the standard library writes *value* as RFC 8785 does: keys in ASCII, no number with an exponent."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and key.isascii() and _is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    if kind is float:
        return bool(_SHORTEST <= abs(value) < _LONGEST)
    return bool(kind in _AS_THEY_ARE)


# Between these, both write a float without an exponent, by the shortest digits that lead back to it.
_SHORTEST, _LONGEST = 1e-4, 1e15
_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


def _is_wrapper(value: dict[str, Any]) -> bool:
    return len(value) == 1 and not _WRAPPERS.isdisjoint(value)


def _number(text: str) -> int | float:
    """RFC 8785 writes the float 1e20 without a point; integers of that size are wrapped, so it can be told."""
    value = int(text)
    return value if -_LARGEST <= value <= _LARGEST else float(text)


def _run_keys(body: dict[str, Any]) -> tuple[str, ...]:
    git = body["git"]
    shas = dict.fromkeys((git["trained_sha"], git["head_sha"]))
    named = [f"sha/{sha}" for sha in shas if sha] + ([f"tree/{git['tree']}"] if git["tree"] else [])
    return (*named, f"run/{body['run_id']}")


def experiment_key(project: str, name: str) -> str:
    """The key of what was changed of an experiment that is, or was, called *name*: a digest, since any text is one."""
    return f"experiment/{hashlib.sha256(canonical([project, name])).hexdigest()}"


def _plan_keys(body: dict[str, Any]) -> tuple[str, ...]:
    target = body["plan"]["target"] if "plan" in body else body["target"]
    return (f"plan/{body['plan_digest'].removeprefix('sha256:')}", f"target/{target}")


_KEYS: dict[str, Callable[[dict[str, Any]], tuple[str, ...]]] = {
    "run": _run_keys,
    "adoption": lambda body: (f"sha/{body['sha']}", f"run/{body['run_id']}"),
    "run-change": lambda body: (
        *(f"sha/{sha}" for sha in dict.fromkeys(body["shas"])),
        *([f"tree/{body['tree']}"] if body["tree"] else []),
        f"run/{body['run_id']}",
    ),
    "experiment-change": lambda body: tuple(
        dict.fromkeys(
            experiment_key(body["project"], name) for name in (body["experiment"], body.get("name")) if name is not None
        )
    ),
    "verdict": lambda body: (f"run/{body['candidate']['run_id']}",),
    "version": lambda body: (f"model/{body['model']}/{body['version']}", f"run/{body['run_id']}"),
    "image": lambda body: (
        f"image/{body['version_record']}",
        f"lock/{body['lock_inputs'].removeprefix('sha256:')}",
    ),
    "request": _plan_keys,
    "approval": _plan_keys,
    "deployment": _plan_keys,
    "target-lock": lambda body: (f"target/{body['target']}",),
}
