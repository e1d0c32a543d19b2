"""The model's signature as pydantic types: reads requests strictly, and says where one is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, get_args, get_origin

from pydantic import ConfigDict, FailFast, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from serving.batch import Batch
from serving.errors import Rejected

_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True)
_MOST_ERRORS = 20
_MOST_PLACES = 1000


class Schema:
    """
    What one record and one prediction are.

    Args:
        record: The type of a record, or of each of its fields by name; `NotRequired` marks one that may be absent.
        prediction: The type of a prediction; for the description of the service only.
    """

    def __init__(self, record: Any, prediction: Any) -> None:
        self.fields: dict[str, Any] | None = dict(record) if isinstance(record, Mapping) else None
        self.record: Any = _object("Record", self.fields) if self.fields is not None else record
        self.prediction: Any = prediction
        self._max_rows = 0

    def bind(self, max_rows: int) -> None:
        """Make what reads requests of at most *max_rows* rows."""
        self._max_rows = max_rows
        many = Field(min_length=1, max_length=max_rows)
        listed = _list_of(self.record, many)
        shapes: dict[str, Any] = {"records": NotRequired[listed]}
        if self.fields is not None:
            columns = {name: _column(kind, many) for name, kind in self.fields.items()}
            shapes["columns"] = NotRequired[_object("Columns", columns)]
        self.request: TypeAdapter[dict[str, Any]] = TypeAdapter(_object("Request", shapes))
        self.one: TypeAdapter[Any] = TypeAdapter(self.record)
        self.many: TypeAdapter[list[Any]] = TypeAdapter(listed)

    def read(self, body: bytes) -> Batch:
        """
        Read `{"records": [...]}` or `{"columns": {...}}`.

        Raises:
            Rejected: The body is neither, or a value is not what the signature says.
        """
        try:
            asked = self.request.validator.validate_json(body)
        except ValidationError as error:
            raise self.rejection(error) from None
        records, columns = asked.get("records"), asked.get("columns")
        if records is not None and columns is None:
            return Batch(len(records), records=records)
        if columns is None or records is not None:
            raise self._rejected("send either `records` or `columns`", ["records"], "missing")
        return self._of_columns(columns)

    def read_one(self, body: bytes) -> Batch:
        """Read a single record. Raises as `read`."""
        try:
            return Batch(1, records=[self.one.validate_json(body)])
        except ValidationError as error:
            raise self.rejection(error) from None

    def check(self, records: list[Any]) -> Batch:
        """Check *records* that came by another protocol. Raises as `read`."""
        try:
            return Batch(len(records), records=self.many.validate_python(records))
        except ValidationError as error:
            raise self.rejection(error, "records") from None

    def rejection(self, error: ValidationError, *prefix: str) -> Rejected:
        """What the caller is told of *error*: the places, and no value that was sent."""
        if error.error_count() > _MOST_PLACES:
            return Rejected(400, "invalid", f"the request is wrong in {error.error_count():,} places")
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(each["type"] == "too_long" and each["loc"][-1:] == ("records",) for each in found):
            return self._too_many()
        places = [[*prefix, *each["loc"]] for each in found]
        detail = [{**each, "loc": place} for each, place in zip(found[:_MOST_ERRORS], places, strict=False)]
        place = ".".join(map(str, places[0]))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        sentence = f"{place}: {found[0]['msg']}{more}" if place else f"{found[0]['msg']}{more}"
        return Rejected(400, "invalid", sentence, detail=detail)

    def _of_columns(self, columns: dict[str, list[Any]]) -> Batch:
        lengths = {name: len(values) for name, values in columns.items()}
        rows = next(iter(lengths.values()), 0)
        for name, length in lengths.items():
            if length != rows:
                first = next(iter(lengths))
                raise self._rejected(f"{name!r} has {length} values, and {first!r} has {rows}", ["columns", name])
        if rows > self._max_rows:
            raise self._too_many()
        return Batch(rows, columns=columns)

    def _too_many(self) -> Rejected:
        return Rejected(413, "too-many-rows", f"a request has at most {self._max_rows} rows: send several")

    @staticmethod
    def _rejected(sentence: str, loc: list[Any], kind: str = "value_error") -> Rejected:
        return Rejected(400, "invalid", sentence, detail=[{"type": kind, "loc": loc, "msg": sentence}])


def _object(name: str, fields: Mapping[str, Any]) -> Any:
    return with_config(_STRICT)(TypedDict(name, fields))  # type: ignore[operator]  # its fields are data


def _column(kind: Any, many: Any) -> Any:
    if get_origin(kind) is NotRequired:
        return NotRequired[_list_of(get_args(kind)[0], many)]
    return _list_of(kind, many)


def _list_of(kind: Any, many: Any) -> Any:
    # Up to the first that is wrong: a request of many megabytes can be wrong in as many places.
    return Annotated[list[kind], many, FailFast()]
