"""
GitHub's published description of its own API, and what a request or an answer breaks of it.

The description is what `./dev test` has taken out of npm's `@octokit/openapi`. openapi-core decides; it says nothing of
names that the description does not have, so those are looked for here. What is excepted stands in `EXCEPTED`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import ValidationError
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.templating.paths.exceptions import PathError
from openapi_core.templating.responses.exceptions import ResponseFinderError
from openapi_core.validation.response.exceptions import InvalidData
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.github.emulator import NODE
from tests.github.messages import Reply, Request

_HOST = "https://api.github.com"
# A method and a path, and why the description cannot judge them.
EXCEPTED = {
    r"POST /graphql": "GraphQL is described elsewhere",
    r"(GET|PATCH|DELETE) /repos/[^/]+/[^/]+/git/(ref|refs|matching-refs)/.*/.*": "a ref has slashes, and no parameter "
    "of OpenAPI may",
    r"GET /repos/[^/]+/[^/]+/contents/.*/.*": "a file's path has slashes, and no parameter of OpenAPI may",
    r"POST /repos/[^/]+/[^/]+/releases/\d+/assets": "it belongs to the host for uploads",
}
# What the description says and GitHub does not hold itself: a place in an answer and a message, and the reason.
UNTRUE = {
    r"(.*\.)?(state_reason|conclusion): None is not one of .*": "GitHub answers null while there is none",
    r".*: '' is not a 'uri'": "GitHub answers with an empty text where there is none",
}


@dataclass
class _Asked:
    """A request as openapi-core wants it."""

    request: Request
    parameters: RequestParameters = field(init=False)
    host_url: str = _HOST

    def __post_init__(self) -> None:
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(self.request.query, keep_blank_values=True)),
            header=Headers(list(self.request.headers.items())),
            cookie=ImmutableMultiDict(),
        )

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def method(self) -> str:
        return self.request.method.lower()

    @property
    def body(self) -> bytes | None:
        return self.request.data or None

    @property
    def content_type(self) -> str:
        return self.request.headers.get("content-type", "application/json").lower()


@dataclass
class _Answered:
    """An answer as openapi-core wants it."""

    reply: Reply

    @property
    def data(self) -> bytes:
        return self.reply.data

    @property
    def status_code(self) -> int:
        return self.reply.status

    @property
    def content_type(self) -> str:
        return self.reply.headers.get("content-type", "application/json")

    @property
    def headers(self) -> Mapping[str, Any]:
        return self.reply.headers


class Contract:
    """The description; `contract` has the one that a process needs."""

    def __init__(self) -> None:
        self.spec = json.loads((NODE / "api.github.com.json").read_text("utf-8"))
        config: Any = Config(spec_validator_cls=None)  # that it is valid was seen to by GitHub, and takes a minute
        self._api = OpenAPI.from_dict(self.spec, config=config)

    def of_request(self, request: Request) -> list[str]:
        """What *request* breaks, a sentence each."""
        if _excepted(request):
            return []
        problems = [_told(error) for error in self._api.iter_request_errors(_Asked(request))]
        if not problems and (operation := self.operation(request)):
            problems = [*self._unknown_params(operation, request), *self._unknown_keys(operation, request)]
        return problems

    def of_reply(self, request: Request, reply: Reply) -> list[str]:
        """What *reply* to *request* breaks; an error may have a status that is not described for its path."""
        if _excepted(request):
            return []
        errors = list(self._api.iter_response_errors(_Asked(request), _Answered(reply)))
        if reply.status >= 400 and any(isinstance(error, (ResponseFinderError, PathError)) for error in errors):
            return []
        return [told for error in errors if (told := _told(error))]

    def operation(self, request: Request) -> dict[str, Any] | None:
        """The description of what *request* asks for; None if there is none."""
        try:
            found = self._api.request_validator._find_path(_Asked(request))
        except PathError:
            return None
        return dict(self.spec["paths"][found.path_result.pattern][request.method.lower()])

    def documentation(self, request: Request) -> str:
        """Where GitHub's manual describes what *request* asks for."""
        operation = self.operation(request) or {}
        return str(operation.get("externalDocs", {}).get("url", "https://docs.github.com/rest"))

    def _unknown_params(self, operation: dict[str, Any], request: Request) -> Iterator[str]:
        known = {self._resolved(entry)["name"] for entry in operation.get("parameters", [])}
        for name in request.params:
            if name not in known:
                yield f"there is no parameter {name!r}"

    def _unknown_keys(self, operation: dict[str, Any], request: Request) -> Iterator[str]:
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content or not isinstance(request.body, dict):
            return
        known = set(self._keys(content["application/json"]["schema"]))
        for name in request.body:
            if known and name not in known:
                yield f"the body has no {name!r}"

    def _keys(self, schema: dict[str, Any]) -> Iterator[str]:
        schema = self._resolved(schema)
        yield from schema.get("properties", {})
        for kind in ("oneOf", "anyOf", "allOf"):
            for part in schema.get(kind, []):
                yield from self._keys(part)

    def _resolved(self, entry: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in entry:
            return entry
        found: Any = self.spec
        for part in entry["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)


@functools.cache
def contract() -> Contract:
    """The description, read once by each process."""
    return Contract()


def _excepted(request: Request) -> bool:
    return any(re.fullmatch(pattern, f"{request.method} {request.path}") for pattern in EXCEPTED)


def _told(error: BaseException) -> str:
    """An error of openapi-core with what is beneath it, and without the value, which is long."""
    said: list[str] = []
    current: BaseException | None = error
    while current is not None:
        parts = [line for part in getattr(current, "schema_errors", ()) for line in _flat(part)]
        said += parts or ([] if isinstance(current, InvalidData | InvalidSchemaValue) else [str(current)[:300]])
        current = current.__cause__
    return "; ".join(dict.fromkeys(said))


def _flat(error: ValidationError) -> list[str]:
    """An error of a schema, and those of the alternatives that did not fit either."""
    place = ".".join(str(step) for step in error.absolute_path) or "the whole"
    if any(re.fullmatch(pattern, f"{place}: {error.message}") for pattern in UNTRUE):
        return []
    beneath = [line for part in error.context or () for line in _flat(part)]
    if error.context and not beneath:  # only what is untrue
        return []
    return [f"{place}: {error.message[-200:]}", *beneath]
