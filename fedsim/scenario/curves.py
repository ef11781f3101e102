"""Curves of the day in a scenario: a packaged one by name, or shares of one's own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from fedsim.errors import InputError
from fedsim.fleet.curve import Curve, curve_from, curve_names
from fedsim.scenario.table import Share, Span, Table
from fedsim.scenario.wording import no_such, said


def _curve(value: Any) -> Any:
    if isinstance(value, str) and value not in curve_names():
        raise said(f"{no_such('curve', value, curve_names())}; or write {{ hourly = [24 shares], long_stay = '2 h' }}")
    return value if isinstance(value, str) else CurveTable.model_validate(value)


_OPEN = WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})  # the curve says why


class CurveTable(Table):
    """A curve of one's own: the shares of devices online in each hour from midnight, and how long stays last."""

    model_config = ConfigDict(
        json_schema_extra={"dependentRequired": {"short_stay": ["short_every"], "short_every": ["short_stay"]}}
    )

    hourly: Annotated[list[Annotated[Share, _OPEN]], Field(min_length=24, max_length=24)]
    long_stay: Span
    short_stay: Span | None = None
    short_every: Span | None = None

    @model_validator(mode="after")
    def _sound(self) -> CurveTable:
        if (self.short_stay is None) != (self.short_every is None):
            raise said("has one of short_stay and short_every: short stays need both")
        try:
            self.curve()
        except InputError as error:
            raise said(str(error)) from None
        return self

    @classmethod
    def example(cls) -> str:
        return "{ hourly = [24 shares], long_stay = '2 h' }, or one of " + ", ".join(map(repr, curve_names()))

    def curve(self) -> Curve:
        """Return the curve itself."""
        if self.short_stay is None or self.short_every is None:
            return curve_from(self.hourly, long_stay_s=self.long_stay)
        short = {"short_stay_s": self.short_stay, "short_every_s": self.short_every}
        return curve_from(self.hourly, long_stay_s=self.long_stay, **short)


CurveOf = Annotated[str | CurveTable, BeforeValidator(_curve)]
