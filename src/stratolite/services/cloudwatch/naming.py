"""What metrics are named by: dimensions and units, and the refusals of what is none."""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.services.cloudwatch.state import Dimensions

UNITS = frozenset(
    {
        "Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
        "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second",
        "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second",
        "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
    }
)  # fmt: skip
_DIMENSIONS_MAX = 30


def wrong(message: str) -> Fault:
    return Fault("InvalidParameterValue", message)


def combination(message: str) -> Fault:
    return Fault("InvalidParameterCombination", message)


def dimensions_of(given: list[dict[str, str]] | None) -> Dimensions:
    pairs = [(one["Name"], one["Value"]) for one in given or ()]
    if len(pairs) > _DIMENSIONS_MAX:
        raise wrong(
            f"The collection Dimensions must not have a size greater than {_DIMENSIONS_MAX}."
        )
    for name, value in pairs:
        if not name or not value or len(name) > 255 or len(value) > 1024:
            raise wrong("Dimension names are 1 to 255 characters, values 1 to 1024.")
    if len({name for name, _ in pairs}) < len(pairs):
        raise wrong("No Metric may specify the same dimension twice.")
    return tuple(sorted(pairs))
