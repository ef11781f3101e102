"""The base of every table of a scenario: strict values, and unknown keys refused with the nearest known one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails

from fedsim.errors import nearest
from fedsim.scenario.wording import absent, no_such, reworded, said, wrong
from fedsim.units import ByteRate, Seconds

Errors = list[InitErrorDetails]
_LARGEST = 10**9


class Table(BaseModel):
    """A table whose values are strict: no text for numbers, no numbers without their unit, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def other_keys(cls, data: Mapping[str, Any], info: ValidationInfo) -> tuple[dict[str, Any], Errors]:  # noqa: ARG003
        """Return what the keys of *data* that are no fields say, and what is wrong with them."""
        return {}, unknown_keys("key", data, cls.model_fields)

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, data: Any, handler: ModelWrapValidatorHandler[Any], info: ValidationInfo) -> Any:
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise said("must be a table, such as " + cls.example())
        others, errors = cls.other_keys(data, info)
        known = {key: value for key, value in data.items() if key in cls.model_fields}
        try:
            made = handler(known | others)
        except ValidationError as error:
            errors += [one for one in reworded(error) if not _misspelt(one, data, cls)]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return made

    @classmethod
    def example(cls) -> str:
        """Return how such a table may look."""
        return f"{{ {next(iter(cls.model_fields))} = … }}"


def unknown_keys(what: str, data: Mapping[str, Any], known: Mapping[str, Any]) -> Errors:
    """Return the error for every key of *data* that is not among the *known*."""
    return [wrong((key,), value, no_such(what, key, known)) for key, value in data.items() if key not in known]


def by_kind(tables: Mapping[str, type[Table]], default: str | None = None) -> BeforeValidator:
    """Return what reads a table as the one its key *kind* names."""

    def pick(value: Any, info: ValidationInfo) -> Any:
        kinds = " or ".join(repr(name) for name in tables)
        if isinstance(value, Table):
            return value
        if not isinstance(value, dict):
            raise said(f"must be a table with the key kind, {kinds}")
        kind = value.get("kind", default)
        if kind is None:
            raise ValidationError.from_exception_data("kind", [absent(("kind",), f"is missing; give it {kinds}")])
        if kind not in list(tables):
            raise ValidationError.from_exception_data("kind", [wrong(("kind",), kind, no_such("kind", kind, tables))])
        return tables[kind].model_validate({**value, "kind": kind}, context=info.context)

    return BeforeValidator(pick)


def checked(check: Callable[[str], str | None]) -> BeforeValidator:
    """Return what refuses a text for the reason that *check* gives."""

    def read(value: Any) -> Any:
        reason = check(value) if isinstance(value, str) else None
        if reason:
            raise said(reason)
        return value

    return BeforeValidator(read)


Span = Annotated[Seconds, Field(gt=0)]
Rate = Annotated[ByteRate, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=_LARGEST)]


def _name(pattern: str, allowed: str) -> AfterValidator:
    def read(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise said(f"must be 1 to 64 characters: {allowed}")
        return value

    return AfterValidator(read)


Name = Annotated[str, _name(r"[a-z0-9_-]{1,64}", "small letters, digits, _ and -")]
Label = Annotated[
    str, _name(r"[A-Za-z0-9][A-Za-z0-9_.=+-]{0,63}", "letters, digits and _ . = + -, a letter or digit first")
]


def finite(value: object) -> bool:
    """Tell whether *value* holds no NaN and no infinity."""
    if isinstance(value, (list, tuple)):
        return all(finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _misspelt(error: InitErrorDetails, data: Mapping[str, Any], table: type[Table]) -> bool:
    """Tell whether a missing key is there under a name much like it, which is reported already."""
    place = error.get("loc", ())
    strange = [key for key in data if key not in table.model_fields]
    return len(place) == 1 and place[0] not in data and any(nearest(key, [str(place[0])]) for key in strange)
