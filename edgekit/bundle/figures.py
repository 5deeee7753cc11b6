"""A figure with its interval and what it was measured on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`low`, `high`: a 95 % interval, where there is one. `data`: the data set of an accuracy, empty for other figures."""

    name: str
    value: float
    low: float | None
    high: float | None
    where: str
    data: str = ""
