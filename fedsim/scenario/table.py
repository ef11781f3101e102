"""The base of every table of a scenario: unknown keys are refused with the nearest known one."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from fedsim.errors import InputError, nearest
from fedsim.units import UNITS, parse


class Table(BaseModel):
    """A table whose values are strict: no text for numbers, no numbers without their unit, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        if not isinstance(data, dict) or cls.model_config.get("extra") != "forbid":
            return handler(data)
        errors = [_unknown(key, data[key], cls) for key in data if key not in cls.model_fields]
        try:
            made = handler({key: value for key, value in data.items() if key in cls.model_fields})
        except ValidationError as error:
            errors += [_again(one) for one in error.errors(include_url=False)]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return made


def said(message: str) -> PydanticCustomError:
    """Return a validation error whose text is *message*, as it stands."""
    return PydanticCustomError("fedsim", "{message}", {"message": message})


def quantity(kind: str) -> Any:
    """Return the type of a quantity of *kind*, written with its unit; a float in base units inside."""

    def read(value: object) -> float:
        try:
            return parse(value, kind)
        except InputError as error:
            raise said(str(error)) from None

    pattern = rf"^\s*[0-9.eE+-]+\s*({'|'.join(UNITS[kind])})\s*$"
    return Annotated[float, BeforeValidator(read), WithJsonSchema({"type": "string", "pattern": pattern})]


Time = quantity("time")
Size = quantity("size")
Count = Annotated[int, Field(ge=1)]


def show_error(error: Any) -> str:
    """Write one validation error as key = value: what is wrong."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("function-", "tagged-")))
    if error["type"] == "missing":
        return f"{where}: is missing; give it a value"
    value = error["input"]
    text = f"{value!r:.80}" if not isinstance(value, float) or math.isfinite(value) else str(value)
    return f"{where} = {text}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _unknown(key: str, value: Any, table: type[BaseModel]) -> InitErrorDetails:
    known = sorted(table.model_fields)
    message = f"unknown key{nearest(key, known)} (known: {', '.join(known)})"
    return InitErrorDetails(type=said(message), loc=(key,), input=value)


def _again(error: Any) -> InitErrorDetails:
    if error["type"] == "missing":
        return InitErrorDetails(type="missing", loc=error["loc"], input=error["input"])
    return InitErrorDetails(type=said(error["msg"]), loc=error["loc"], input=error["input"])
