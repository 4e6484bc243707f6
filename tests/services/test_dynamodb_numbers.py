"""Numbers and keys: one text for one value, and bytes that sort as the values do."""

from __future__ import annotations

import base64
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratolite.services.dynamodb import keycode, numerals


@st.composite
def numbers(draw: st.DrawFn) -> Decimal:
    """Any number DynamoDB can hold."""
    digits = draw(st.text("0123456789", min_size=1, max_size=38))
    exponent = draw(st.integers(numerals.EXPONENT_MIN, numerals.EXPONENT_MAX))
    value = Decimal(digits[0] + "." + (digits[1:] or "0")).scaleb(exponent, Context(prec=60))
    if value.adjusted() < numerals.EXPONENT_MIN:
        value = Decimal(1)
    return value.copy_negate() if draw(st.booleans()) else value  # -value rounds to 28 digits


near = st.builds(
    lambda digits, sign: Decimal(f"{sign}1.{digits}"),
    st.text("019", max_size=4),
    st.sampled_from(["", "-"]),
)
"""Numbers of which one begins another."""


@given(numbers())
def test_a_canonical_number_is_the_same_number_in_plain_notation(value: Decimal) -> None:
    """DynamoDB answers 1E+2 as 100 and 1.50 as 1.5; stored text is spliced into answers, so it must be final."""
    text = numerals.canonical(str(value))
    assert Decimal(text) == value
    assert "E" not in text
    assert text == numerals.canonical(text)
    assert text == "0" or not text.startswith("-0") or "." in text
    assert "." not in text or text[-1] != "0"


@given(numbers() | near, numbers() | near)
def test_number_keys_sort_as_numbers(a: Decimal, b: Decimal) -> None:
    """A range key of type N is compared by value; rows are ordered by bytes."""
    x, y = (keycode.of_number(numerals.canonical(str(v))) for v in (a, b))
    assert (x < y, x == y) == (a < b, a == b)


@given(st.text(max_size=6), st.text(max_size=6))
def test_string_keys_sort_by_their_utf8_bytes(a: str, b: str) -> None:
    """AWS: strings are compared by the bytes of their UTF-8 encoding."""
    x, y = keycode.of_string(a), keycode.of_string(b)
    assert (x < y, x == y) == (a.encode() < b.encode(), a == b)


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_binary_keys_sort_by_unsigned_bytes(a: bytes, b: bytes) -> None:
    """AWS: DynamoDB treats each byte of a binary as unsigned when it compares."""
    x, y = (keycode.of_binary(base64.b64encode(v).decode()) for v in (a, b))
    assert (x < y, x == y) == (a < b, a == b)


@given(st.text("\0\x01a\U0010ffff", max_size=5), st.text("\0\x01a\U0010ffff", max_size=5))
def test_a_prefix_range_holds_exactly_what_begins_with_the_prefix(start: str, value: str) -> None:
    """begins_with reads one range of rows, also when the prefix ends in the highest or lowest byte."""
    low = keycode.of_string(start)[:-1]
    assert (low <= keycode.of_string(value) < keycode.after(low)) == value.startswith(start)


@given(st.text("\0a\xff", max_size=4), st.text("\0a\xff", max_size=4))
def test_a_key_that_begins_another_is_only_followed_by_ff(a: str, b: str) -> None:
    """So the rows under a key, which go on with another byte, never lie among another key's."""
    x, y = keycode.of_string(a), keycode.of_string(b)
    assert x == y or not y.startswith(x) or y[len(x)] == 0xFF


@given(numbers(), numbers(), st.booleans())
def test_sums_are_exact_or_refused(a: Decimal, b: Decimal, minus: bool) -> None:
    """SET a = a + :x must never round: DynamoDB fails where 38 digits do not hold the sum."""
    exact = Context(prec=500)
    wanted = exact.subtract(a, b) if minus else exact.add(a, b)
    x, y = numerals.canonical(str(a)), numerals.canonical(str(b))
    try:
        found = numerals.add(x, y, minus=minus)
    except numerals.NotANumber:
        digits = len(str(wanted.normalize(exact).as_tuple().digits)) // 3
        assert digits > numerals.DIGITS_MAX or not -130 <= wanted.adjusted() <= 125
    else:
        assert Decimal(found) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The parameter cannot be converted to a numeric value"),
        ("abc", "The parameter cannot be converted to a numeric value: abc"),
        ("1_0", "The parameter cannot be converted to a numeric value: 1_0"),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        (" 1", "The parameter cannot be converted to a numeric value:  1"),
        (
            "1E126",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "1e999999999999",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "1E-131",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
        (
            "0e126",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        (
            "0e-131",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
        (
            "1e9223372036854775808",
            "The parameter cannot be converted to a numeric value: 1e9223372036854775808",
        ),
        ("1" * 39, "Attempting to store more than 38 significant digits in a Number"),
    ],
)
def test_what_is_no_number_is_refused_in_aws_words(text: str, message: str) -> None:
    """People's tests match on these; checked against recorded answers."""
    with pytest.raises(numerals.NotANumber) as caught:
        numerals.canonical(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 1),
        ("1", 2),
        ("12", 2),
        ("150", 3),
        ("123", 3),
        ("-1", 3),
        ("1000", 2),
        ("0.5", 2),
        ("-12.5", 4),
        ("12345678901234567890123456789012345678", 20),
        ("1010", 3),
        ("0.0000001", 2),
        ("1E125", 2),
        ("1E-100", 2),
        ("1.5", 3),
        ("1.234", 4),
        ("3.14159", 5),
        ("123456", 4),
        ("100.5", 4),
        ("0.15", 2),
        ("0e125", 1),
        ("1e0000001", 2),
    ],
)
def test_a_number_counts_a_byte_for_two_digits(text: str, size: int) -> None:
    """A byte for two digits on each side of the point: measured at AWS's limit to the byte, August 2026.

    https://github.com/paritysuite/dynamodb-conformance (tests/tier3/limits/numberByteSize.test.ts)
    """
    assert numerals.size_bytes(numerals.canonical(text)) == size
