"""DynamoDB's numbers: 38 significant digits, magnitudes 1E-130 to 9.99E+125, exact, one text for one value.

A number is stored in its canonical text (plain notation, no sign on zero, no superfluous zeros), as DynamoDB
answers it, so equal numbers are equal strings and stored JSON can be spliced into answers.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact

DIGITS_MAX = 38
EXPONENT_MAX = 125
EXPONENT_MIN = -130
_POWER_DIGITS_MAX = 19

_PLAIN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?", re.ASCII).fullmatch
_SYNTAX = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?", re.ASCII).fullmatch
_EXACT = Context(prec=400, Emax=9999, Emin=-9999)


class NotANumber(ValueError):
    """The text is no number DynamoDB can keep; the message is DynamoDB's."""


def canonical(text: str) -> str:
    """The one text of the number written as ``text``. Raises NotANumber."""
    if len(text) <= DIGITS_MAX and _PLAIN(text) and text != "-0":
        return text
    sign, digits, exponent = _parse(text)
    if not digits:
        return "0"
    return _plain(sign, digits, exponent)


def _parse(text: str) -> tuple[str, str, int]:
    """(sign "" or "-", significant digits, E) for sign d.ddd x 10**E; digits "" for zero."""
    if not text:
        raise NotANumber("The parameter cannot be converted to a numeric value")
    found = _SYNTAX(text)
    if found is None:
        raise NotANumber(f"The parameter cannot be converted to a numeric value: {text}")
    sign, whole, fraction, only_fraction, power = found.groups()
    fraction = fraction or only_fraction or ""
    digits = (whole or "") + fraction
    stripped = digits.lstrip("0")
    ten = _power(text, power) if power else 0
    if not stripped:
        _check_exponent(ten)
        return "", "", 0
    exponent = ten - len(fraction) + len(stripped) - 1
    stripped = stripped.rstrip("0")
    _check_exponent(exponent)
    if len(stripped) > DIGITS_MAX:
        raise NotANumber("Attempting to store more than 38 significant digits in a Number")
    return ("-" if sign == "-" else ""), stripped, exponent


def _power(text: str, power: str) -> int:
    """An exponent as it is written, which must fit into 64 bits."""
    if (
        len(power.lstrip("+-0")) <= _POWER_DIGITS_MAX
        and -(1 << 63) <= (ten := int(power)) < 1 << 63
    ):
        return ten
    raise NotANumber(f"The parameter cannot be converted to a numeric value: {text}")


def _check_exponent(exponent: int) -> None:
    """Of zero, too, as it is written: recorded in https://github.com/paritysuite/dynamodb-conformance, October 2026."""
    if exponent > EXPONENT_MAX:
        raise NotANumber(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        )
    if exponent < EXPONENT_MIN:
        raise NotANumber(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        )


def _plain(sign: str, digits: str, exponent: int) -> str:
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits + "0" * (exponent + 1 - len(digits))
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def add(left: str, right: str, *, minus: bool = False) -> str:
    """left + right (or left - right) of canonical texts, exactly. Raises NotANumber out of range."""
    if len(left) < 16 and len(right) < 16:
        try:
            return str(int(left) - int(right) if minus else int(left) + int(right))
        except ValueError:
            pass  # a fraction
    x, y = Decimal(left), Decimal(right)
    total = _EXACT.subtract(x, y) if minus else _EXACT.add(x, y)
    assert not _EXACT.flags[Inexact], "400 digits hold any sum of two numbers in range"
    return canonical(str(total))


def compare_key(text: str) -> int | Decimal:
    """Something that orders as the number does."""
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def size_bytes(text: str) -> int:
    """What a canonical number counts for in an item's size: about a byte for two digits, one more."""
    negative = text[0] == "-"
    digits = text[1:] if negative else text
    if "." in digits:
        whole, _, fraction = digits.partition(".")
        if whole == "0":
            significant = len(fraction.lstrip("0"))
            exponent = significant - len(fraction) - 1
        else:
            significant, exponent = len(whole) + len(fraction), len(whole) - 1
    else:
        significant, exponent = len(digits.rstrip("0")), len(digits) - 1
        if not significant:
            return 1
    even = 0 if significant % 2 or exponent % 2 else 1
    return 1 + (significant + 1) // 2 + even + negative


def ordered_bytes(text: str) -> bytes:
    """Bytes that sort as the numbers do; ``text`` must be canonical.

    0x80                                           zero
    0xC0  E+130  pairs                             positive: d.ddd x 10**E, digits two by two, each pair + 1
    0x40  255-(E+130)  101-each pair  102          negative: everything turned round, closed by 102
    """
    sign, digits, exponent = _parse(text)
    if not digits:
        return b"\x80"
    if len(digits) % 2:
        digits += "0"
    pairs = [int(digits[i : i + 2]) + 1 for i in range(0, len(digits), 2)]
    if not sign:
        return bytes((0xC0, exponent - EXPONENT_MIN, *pairs))
    return bytes((0x40, 255 - (exponent - EXPONENT_MIN), *[101 - p for p in pairs], 102))
