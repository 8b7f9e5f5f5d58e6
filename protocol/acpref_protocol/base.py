"""The building blocks of every model: how objects, optional members and text formats are checked.

JSON and Python differ in one point that matters here: JSON tells ``null`` from an absent member, Python has only
``None``. On the wire a ``null`` is refused wherever the protocol has no such value; in Python ``None`` always means
that the member is absent. So a body that validates and is written again says exactly what it said before.

Every format check is a regular expression of the compiled validator: validating costs no Python call per member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")

_BY_ITS_TYPE = core_schema.simple_ser_schema("any")
"""For unions: write the value as what it is. Otherwise each member of the union is tried on a copy of the value."""


class _Members(BaseModel):
    """What closed and open objects share."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        serialize_by_alias=True,
    )

    if not TYPE_CHECKING:

        def __init__(self, /, **members: Any) -> None:
            present = {name: value for name, value in members.items() if value is not None}
            self.__pydantic_validator__.validate_python(present, self_instance=self)

        # Marks the constructor as pydantic's own, so that validating a body does not go through it: None means absent
        # to Python code only, and a null on the wire is still refused.
        __init__.__pydantic_base_init__ = True

    def to_json(self) -> bytes:
        """The object as UTF-8 JSON without the absent members."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)

    def to_object(self) -> dict[str, Any]:
        """The object as plain JSON values (dict, list, str, int, float, bool) without the absent members."""
        return self.model_dump(mode="json", exclude_none=True)


class Model(_Members):
    """A closed object: unknown members are refused. Strict (no coercion) and frozen.

    Construct it with ``None`` for a member that is to be absent; dump it with ``exclude_none=True`` or ``to_json()``.
    Validation errors never show the offending value, which may be a card number.
    """

    model_config = ConfigDict(extra="forbid")


def _write_with_nulls(model: BaseModel, write: SerializerFunctionWrapHandler) -> Any:
    """What ``exclude_none`` leaves, and the unknown members that are null: there absence would say something else."""
    written = write(model)
    if unknown := model.__pydantic_extra__:
        written.update({name: None for name, value in unknown.items() if value is None})
    return written


class OpenModel(_Members):
    """An object to which anybody may add members: unknown ones are kept and written again unchanged, even null."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: Any = handler(source)
        schema["serialization"] = core_schema.wrap_serializer_function_ser_schema(
            _write_with_nulls, when_used="unless-none"
        )
        return cast("CoreSchema", schema)


class Inline:
    """Marks an object type that the specification writes in place, without a name of its own."""


class Composed:
    """Marks an object type that the specification describes as its base type and what it adds to that."""


class _Optional:
    """Takes ``null`` out of the values of an optional member and leaves ``None`` as its default."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if schema["type"] != "nullable":
            raise TypeError(f"Opt needs a type that is not optional itself, got {source!r}")
        present: CoreSchema = schema["schema"]
        return present


# The runtime must see typing.Optional here: the union operator does not take a type variable's later argument.
Opt = Annotated[Optional[T], _Optional()]  # noqa: UP045
"""An optional member: ``name: Opt[str] = None``. Absent is ``None`` in Python; ``null`` on the wire is refused."""


class Checked:
    """Checks a value by a schema of the compiled validator, with one plain error message at the value itself.

    Without this the errors would name the regular expression or the branch of the union that failed, which is neither
    readable nor a place in the body.
    """

    def __init__(self, schema: CoreSchema, described: JsonSchemaValue, message: str) -> None:
        self._schema = core_schema.custom_error_schema(
            schema, custom_error_type="invalid_value", custom_error_message=message
        )
        self._described = described

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self._schema.copy()  # pydantic notes things in the schema of each member

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self._described)


class OneOf:
    """For a union whose JSON Schema is ``oneOf``, with one plain message instead of the errors of every branch."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source),
            custom_error_type="invalid_value",
            custom_error_message=self._message,
            serialization=_BY_ITS_TYPE,
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        return {"oneOf" if keyword == "anyOf" else keyword: value for keyword, value in described.items()}


def number(*, minimum: int | None = None, maximum: int | None = None) -> Checked:
    """A JSON number that is no amount of money (a rate, a weight). Integers stay ``int``; booleans are refused.

    Written ``Annotated[int | float, number(minimum=0)]``; the bounds are inclusive.
    """
    bounds = {"minimum": minimum, "maximum": maximum}
    given = {keyword: bound for keyword, bound in bounds.items() if bound is not None}
    return Checked(
        core_schema.union_schema(
            [
                core_schema.int_schema(strict=True, ge=minimum, le=maximum),
                core_schema.float_schema(strict=True, ge=minimum, le=maximum, allow_inf_nan=False),
            ],
            serialization=_BY_ITS_TYPE,
        ),
        {"type": "number", **given},
        " ".join(["Must be a number", *(f"of {keyword} {bound}" for keyword, bound in given.items())]),
    )


def text(checked: str, message: str, **keywords: str) -> Checked:
    """A string checked by the regular expression ``checked``, described in JSON Schema by ``keywords`` instead."""
    return Checked(
        core_schema.str_schema(strict=True, pattern=checked), {"type": "string", **keywords}, message
    )


def enumeration(value: str) -> WithJsonSchema:
    """Describes ``Literal[value]`` as an enumeration of one value, which may grow, instead of a constant."""
    return WithJsonSchema({"type": "string", "enum": [value]})


def _distinct(items: list[Any]) -> list[Any]:
    try:
        distinct = len(set(items)) == len(items)
    except TypeError:  # unhashable: objects that hold lists
        distinct = all(item not in items[:index] for index, item in enumerate(items))
    if not distinct:
        raise PydanticCustomError("unique_items", "Items must be distinct")
    return items


class UniqueItems:
    """``Annotated[list[X], UNIQUE]``: a list without two equal items."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_distinct, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "uniqueItems": True}


UNIQUE = UniqueItems()

# --- Formats. Rust's regular expressions: linear time, `^` and `$` match only at the ends of the text. ---

_YEAR = r"(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|{_LEAP}-02-29)"
)
_HOUR_MINUTE = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATE_TIME = rf"^{_DATE}[Tt]{_HOUR_MINUTE}:(?:[0-5][0-9]|60)(?:\.[0-9]+)?(?:[Zz]|[+-]{_HOUR_MINUTE})$"

_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
_AUTHORITY = (
    r"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
_URI = (
    rf"^[A-Za-z][A-Za-z0-9+.\-]*:(?://{_AUTHORITY}(?:/{_PCHAR}*)*|/?(?:{_PCHAR}+(?:/{_PCHAR}*)*)?)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?$"
)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?"
_EMAIL = (
    rf'^(?:{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*")'
    rf"@(?:{_LABEL}(?:\.{_LABEL})*|\[[A-Za-z0-9:.\-]+\])$"
)

DateTime = Annotated[
    str, text(_DATE_TIME, "Must be an RFC 3339 date and time with an offset", format="date-time")
]
"""RFC 3339 date and time with an offset, a day of the calendar; a leap second is tolerated. Kept as it was sent."""

Uri = Annotated[str, text(_URI, "Must be an absolute URI", format="uri")]
"""An absolute URI of RFC 3986; no scheme is preferred here."""

Email = Annotated[str, text(_EMAIL, "Must be an email address", format="email")]
"""A mailbox of RFC 5321 in ASCII."""

Currency = Annotated[str, text("^[a-z]{3}$", "Must be a lower-case ISO 4217 code", pattern="^[a-z]{3}$")]
"""An ISO 4217 code in lower case."""

FeedCurrency = Annotated[str, text("^[A-Z]{3}$", "Must be an upper-case ISO 4217 code", pattern="^[A-Z]{3}$")]
"""An ISO 4217 code in upper case, as feeds write it."""

Country = Annotated[
    str, text("^[A-Z]{2}$", "Must be an upper-case ISO 3166-1 alpha-2 code", pattern="^[A-Z]{2}$")
]
"""An ISO 3166-1 alpha-2 code in upper case."""

Date = Annotated[
    str, text("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "Must have the form YYYY-MM-DD", pattern=r"^\d{4}-\d{2}-\d{2}$")
]
"""A date as in a protocol version: ``YYYY-MM-DD``."""

JsonObject = dict[str, Any]
"""An object that the protocol does not look into; it is kept unchanged, nulls included."""

_SCALAR_SCHEMA = core_schema.union_schema(
    [
        core_schema.str_schema(strict=True),
        core_schema.bool_schema(strict=True),
        core_schema.int_schema(strict=True),
        core_schema.float_schema(strict=True, allow_inf_nan=False),
    ],
    serialization=_BY_ITS_TYPE,
)


def scalar(described: JsonSchemaValue) -> Checked:
    """Text, a number or a truth value, described in JSON Schema as ``described``."""
    return Checked(_SCALAR_SCHEMA, described, "Must be text, a number or a truth value")
