"""Which data go to which devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from fedsim.scenario.table import Table
from fedsim.scenario.wording import said


class AssignTable(Table):
    """Shards ranked *by* go to devices ranked *to* with a correlation of *rho*: 1 in order, 0 at random, -1 reversed.

    by: the number of examples, or the label most have. to: the speed of a device's profile, the share of the first
    day for which it is online, or its time zone.
    """

    by: Literal["samples", "label"]
    to: Literal["class", "online", "zone"]
    rho: Annotated[float, Field(ge=-1, le=1)]

    @classmethod
    def example(cls) -> str:
        return "{ by = 'samples', to = 'online', rho = 0.8 }"


def _of_stored(value: object, info: ValidationInfo) -> object:
    if value is not None and info.data.get("data") == "synthetic":
        raise said("is not to be had with data 'synthetic', which devices make for themselves: take a stored data set")
    return value


Assign = Annotated[AssignTable | None, BeforeValidator(_of_stored)]
