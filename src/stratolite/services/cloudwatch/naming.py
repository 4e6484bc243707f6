"""What metrics are named by: dimensions and units, and the refusals of what is none."""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.services.cloudwatch.state import Dimensions

UNITS_IN_ORDER = (
    "Megabits", "Terabits", "Gigabits", "Count", "Bytes", "Gigabytes", "Gigabytes/Second", "Kilobytes", "Kilobits/Second", "Terabytes",
    "Terabits/Second", "Bytes/Second", "Percent", "Megabytes", "Megabits/Second", "Milliseconds", "Microseconds", "Kilobytes/Second",
    "Gigabits/Second", "Megabytes/Second", "Bits", "Bits/Second", "Count/Second", "Seconds", "Kilobits", "Terabytes/Second", "None",
)  # fmt: skip
"""As AWS lists them, and takes the first that data has where none is asked for.

tests/aws/services/cloudwatch/test_cloudwatch.py of LocalStack: test_get_metric_data_different_units_no_unit_in_query
"""
UNITS = frozenset(UNITS_IN_ORDER)
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
