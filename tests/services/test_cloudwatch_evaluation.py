"""How missing datapoints count, row by row as AWS documents it, and rules of composite alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import pytest

from stratolite.services.cloudwatch import alarm_rules, statistics
from stratolite.services.cloudwatch.evaluation import Rules, judge

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEEP = ""
OK, ALARM, NONE = "OK", "ALARM", "INSUFFICIENT_DATA"
THREE_OF_THREE = [
    ("0 - X - X", (OK, OK, OK, OK)),
    ("0 - - - -", (OK, OK, OK, OK)),
    ("- - - - -", (NONE, KEEP, ALARM, OK)),
    ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("- - X - -", (ALARM, KEEP, ALARM, OK)),
]
TWO_OF_THREE = [
    ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
    ("0 - X - -", (OK, OK, ALARM, OK)),
    ("- - - - 0", (OK, OK, ALARM, OK)),
    ("- - - X -", (ALARM, KEEP, ALARM, OK)),
]


@pytest.mark.parametrize(
    ("row", "states", "needed"),
    [(*one, 3) for one in THREE_OF_THREE] + [(*one, 2) for one in TWO_OF_THREE],
)
def test_missing_data_counts_as_documented(row: str, states: tuple[str, ...], needed: int) -> None:
    """0 does not breach, X breaches, - is missing; three periods are evaluated, five are looked at."""
    values = {"0": 0.0, "X": 9.0, "-": None}
    points = [(n * 60_000, values[mark]) for n, mark in enumerate(row.split())]
    for treatment, state in zip(TREATMENTS, states, strict=True):
        rules = Rules("GreaterThanThreshold", 1.0, 3, needed, treatment)
        assert judge(points, rules).state == state, treatment


def test_reasons_are_awss_words() -> None:
    one = Rules("GreaterThanThreshold", 1.0, 1, 1, "missing")
    assert judge([(0, None)] * 3, one).reason == "Insufficient Data: 1 datapoint was unknown."
    assert judge([(0, 5.0)], one).reason == (
        "Threshold Crossed: 1 datapoint [5.0 (01/01/70 00:00:00)] was greater than the threshold (1.0)."
    )
    several = Rules("LessThanThreshold", 1.0, 3, 2, "missing")
    assert judge([(0, 0.0), (60_000, 5.0), (120_000, 0.5)], several).reason == (
        "Threshold Crossed: 2 out of the last 3 datapoints [0.5 (01/01/70 00:02:00), 0.0 (01/01/70"
        " 00:00:00)] were less than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("TRUE", True),
        ("NOT TRUE", False),
        ("ALARM(a)", True),
        ("OK('b') AND ALARM(\"a\")", True),
        ("OK(a) OR INSUFFICIENT_DATA(c)", True),
        ("ALARM(a) AND OK(a) OR TRUE", True),
        ("ALARM(a) AND (OK(a) OR FALSE)", False),
        ("NOT (ALARM(a) AND ALARM(b))", True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:a)", True),
    ],
)
def test_rules_of_composite_alarms(rule: str, holds: bool) -> None:
    """AND binds closer than OR; alarms are named plainly, quoted, or by ARN."""
    states = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}
    assert alarm_rules.parse(rule).holds(states.__getitem__) is holds


TEN = statistics.of_values([float(value) for value in range(1, 11)], [1.0] * 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p50", 5), ("p90", 9), ("p100", 10), ("tm90", 5), ("TM(10%:90%)", 5.5), ("TM(2:8)", 5.5), ("TM(:8)", 4.5), ("TM(2:)", 6.5),
        ("WM(4:5)", 4.6), ("wm90", 5.4), ("WM(10%:90%)", 5.5), ("WM(3:8)", 5.5), ("tc90", 9), ("TC(80%:)", 2), ("TC(0.5:3.5)", 3), ("ts90", 45),
        ("TS(80%:)", 19), ("IQM", 5.5), ("PR(:3)", 30), ("PR(3:7)", 40), ("PR(7:)", 30), ("TM(20:30)", None), ("tc10", 1),
    ],
)  # fmt: skip
def test_statistics_of_what_lies_between_bounds(name: str, value: float | None) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html: below is exclusive, above inclusive."""
    assert statistics.is_extended(name)
    found = statistics.statistic(TEN, name)
    assert found == (None if value is None else pytest.approx(value))
    assert statistics.statistic(statistics.of_statistics(3, 6, 1, 3), name) is None


@pytest.mark.parametrize(
    "name",
    ["tm", "TM()", "TM(:)", "TM(90%:10%)", "TM(10%:90)", "PR(10%:20%)", "pr50", "tm101", "p101", "PR(3:3)", "Sum", "p"],
)  # fmt: skip
def test_what_is_no_extended_statistic(name: str) -> None:
    assert not statistics.is_extended(name)
