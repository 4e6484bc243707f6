"""From a pattern's text to its conditions: branches (one of them must hold) of paths (all must) of conditions (one must).

``$or`` multiplies the branches. A path is the names on the way joined by dots, as an event's is.
"""

from __future__ import annotations

from typing import NamedTuple

from stratolite.patterns import wildcards
from stratolite.patterns.conditions import (
    FALSE,
    NULL,
    TRUE,
    Condition,
    Range,
    address,
    at_least,
    at_most,
    network,
)
from stratolite.patterns.tokens import PatternError, Token, Tokens

Branch = dict[str, frozenset[Condition]]
BRANCHES_MAX = 1000
"""https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html#eb-filtering-complex-example-or"""
_ONE_KEY = "Only one key allowed in match expression"
_TOO_MANY = "Too many elements in numeric expression"
_TOO_COMPLEX = (
    "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences"
    " after a wildcard character"
)
_WORDS = {True: TRUE, False: FALSE, None: NULL}
_RESERVED = frozenset((
    "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
    "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after",
    "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
))  # fmt: skip


class Form(NamedTuple):
    """A pattern's conditions."""

    branches: tuple[Branch, ...]


def parse(text: str) -> Form:
    """Raises PatternError."""
    tokens = Tokens(text)
    if tokens.next().kind != "{":
        raise tokens.error("Filter is not an object")
    branches: list[Branch] = []
    _object(tokens, branches, (), inside_or=False)
    return Form(tuple(branches))


def _object(
    tokens: Tokens, branches: list[Branch], path: tuple[str, ...], *, inside_or: bool
) -> None:
    is_empty = True
    while (token := tokens.next()).kind != "}":
        is_empty = False
        name = token.value
        if name == "$or":
            _alternatives(tokens, branches, path)
            continue
        if inside_or and name in _RESERVED:
            raise tokens.error(
                f"{name} is Ruler reserved fieldName which cannot be used inside $or."
            )
        kind = tokens.next().kind
        if kind == "{":
            _object(tokens, branches, (*path, name), inside_or=inside_or)
        elif kind == "[":
            conditions = _conditions(tokens)
            if not branches:
                branches.append({})
            for branch in branches:
                branch[".".join((*path, name))] = conditions
        else:
            raise tokens.error(f'"{name}" must be an object or an array')
    if is_empty:
        raise tokens.error("Empty objects are not allowed")


def _alternatives(tokens: Tokens, branches: list[Branch], path: tuple[str, ...]) -> None:
    before = [dict(branch) for branch in branches] or [{}]
    branches.clear()
    if tokens.next().kind != "[":
        raise tokens.error("It must be an Array followed with $or.")
    count = 0
    while (token := tokens.next()).kind != "]":
        count += 1
        if token.kind != "{":
            raise tokens.error("Only JSON object is allowed in array of $or relationship.")
        more = [dict(branch) for branch in before]
        _object(tokens, more, path, inside_or=True)
        branches += more
        if len(branches) > BRANCHES_MAX:
            raise PatternError(
                f"Rule is too complex - $or makes more than {BRANCHES_MAX} combinations"
            )
    if count < 2:
        raise tokens.error("There must have at least 2 Objects in $or relationship.")


def _conditions(tokens: Tokens) -> frozenset[Condition]:
    found: list[Condition] = []
    while (token := tokens.next()).kind != "]":
        if token.kind == "{":
            found.append(_expression(tokens))
        elif token.kind == "string":
            number = address(token.value)
            found.append(
                Condition("exact", token.value) if number is None else Condition("address", number)
            )
        elif token.kind == "number":
            found.append(Condition("exact", token.value))
        elif token.kind == "word":
            found.append(Condition("exact", _WORDS[token.value]))
        else:
            raise tokens.error("Match value must be String, number, true, false, or null")
    if not found:
        raise tokens.error("Empty arrays are not allowed")
    return frozenset(found)


def _expression(tokens: Tokens) -> Condition:
    token = tokens.next()
    if token.kind != "name":
        raise tokens.error("Match expression name not found")
    name = token.value
    if name in ("prefix", "suffix"):
        if tokens.next().kind == "{":
            return _caseless_end(tokens, name)
        return _only(tokens, Condition(name, _text(tokens, name)))
    if name == "exactly":
        tokens.next()
        return _only(tokens, Condition("exact", _text(tokens, "exact")))
    if name == "equals-ignore-case":
        tokens.next()
        return _only(tokens, Condition("caseless", _text(tokens, name).lower()))
    if name == "wildcard":
        tokens.next()
        return _only(tokens, Condition("wildcard", _wildcard(tokens, _text(tokens, name))))
    if name == "cidr":
        tokens.next()
        text = _text(tokens, "prefix")  # as AWS says it
        try:
            return _only(tokens, Condition("cidr", network(text)))
        except ValueError as error:
            raise PatternError(str(error)) from error
    if name == "exists":
        token = tokens.next()
        if token.kind != "word" or token.value is None:
            raise tokens.error("exists match pattern must be either true or false.")
        return _only(tokens, Condition("exists" if token.value else "absent", None))
    if name == "numeric":
        if tokens.next().kind != "[":
            raise tokens.error("Value of numeric must be an array.")
        condition = _numeric(tokens)
        if tokens.next().kind != "}":
            raise tokens.error(_TOO_MANY)
        return condition
    if name == "anything-but":
        return _anything_but(tokens)
    raise tokens.error(f"Unrecognized match type {name}")


def _text(tokens: Tokens, name: str) -> str:
    if tokens.current.kind != "string":
        raise tokens.error(f"{name} match pattern must be a string")
    return str(tokens.current.value)


def _only(tokens: Tokens, condition: Condition) -> Condition:
    if tokens.next().kind != "}":
        raise tokens.error(_ONE_KEY)
    return condition


def _caseless_end(tokens: Tokens, name: str) -> Condition:
    token = tokens.next()
    if token.kind != "name":
        raise tokens.error(f"{name.capitalize()} expression name not found")
    if token.value != "equals-ignore-case":
        raise tokens.error(f"Unsupported {name} pattern: {token.value}")
    tokens.next()
    condition = Condition(f"caseless-{name}", _text(tokens, "equals-ignore-case").lower())
    return _only(tokens, _only(tokens, condition))


def _wildcard(tokens: Tokens, text: str) -> wildcards.Wildcard:
    try:
        found = wildcards.parse(text)
    except ValueError as error:
        raise tokens.error(str(error), asked=True) from error
    if wildcards.is_too_complex(found):
        raise PatternError(_TOO_COMPLEX)
    return found


# -- numbers


def _numeric(tokens: Tokens) -> Condition:
    token = tokens.next()
    if token.kind != "string":
        raise tokens.error(f"Invalid member in numeric match: {_shown(token)}", asked=True)
    operator = token.value
    if operator not in ("=", ">=", ">", "<=", "<"):
        tokens.next()
        raise tokens.error(f"Unrecognized numeric range operator: {operator}")
    value = _operand(tokens, "equals" if operator == "=" else operator)
    token = tokens.next()
    is_open = operator in ("<", ">")
    if operator[0] == ">" and token.kind != "]":
        return _between(tokens, token, value, is_open=is_open)
    if token.kind != "]":
        raise tokens.error(_TOO_MANY)
    if operator == "=":
        return Condition("exact", value)
    make = at_least if operator[0] == ">" else at_most
    return Condition("numeric", make(value, is_open=is_open))


def _between(tokens: Tokens, token: Token, low: float, *, is_open: bool) -> Condition:
    if token.kind != "string":
        raise tokens.error(f"Bad value in numeric range: {_shown(token)}", asked=True)
    operator = token.value
    if operator not in ("<", "<="):
        raise tokens.error(f"Bad numeric range operator: {operator}", asked=True)
    high = _operand(tokens, operator)
    if tokens.next().kind != "]":
        raise tokens.error("Too many terms in numeric range expression")
    if not low < high:
        raise tokens.error("Bottom must be less than top")
    return Condition("numeric", Range(low, is_open, high, operator == "<"))


def _operand(tokens: Tokens, of: str) -> float:
    token = tokens.next()
    if token.kind != "number":
        raise tokens.error(f"Value of {of} must be numeric")
    value: float = token.value
    return value


def _shown(token: Token) -> str:
    if token.kind == "word":
        return {True: "true", False: "false", None: "null"}[token.value]
    return str(token.value) if token.value is not None else token.kind


# -- anything-but

_BUT = {
    "equals-ignore-case": "caseless",
    "prefix": "prefix",
    "suffix": "suffix",
    "wildcard": "wildcard",
}
_BUT_WRONG = {
    "caseless": "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    "wildcard": "wildcard match pattern must be a string",
    "prefix": "prefix/suffix match pattern must be a string",
    "suffix": "prefix/suffix match pattern must be a string",
}


def _anything_but(tokens: Tokens) -> Condition:
    kind = ""
    token = tokens.next()
    if token.kind == "{":
        token = tokens.next()
        if token.kind != "name":
            raise tokens.error("Anything-But expression name not found")
        if token.value not in _BUT:
            raise tokens.error(f"Unsupported anything-but pattern: {token.value}")
        kind = _BUT[token.value]
        token = tokens.next()
    if token.kind not in ("[", "string", "number"):
        raise tokens.error("Value of anything-but must be an array or single string/number value.")
    if token.kind == "[":
        try:
            values = _list(tokens, kind)
        except PatternError as error:  # said, and said where, twice
            where = str(error).partition("\n")
            raise PatternError(str(error) + where[1] + where[2]) from error
    else:
        values = [_but_value(tokens, kind)]
    if not kind and (not values or len({isinstance(value, str) for value in values}) > 1):
        raise tokens.error(
            "Inside anything but list, either all values are number or string, mixed type is not supported"
        )
    for _ in range(2 if kind else 1):
        if tokens.next().kind != "}":
            raise tokens.error(_TOO_MANY)
    if kind == "wildcard":
        return Condition("but-wildcard", tuple(_wildcard(tokens, str(v)) for v in values))
    if kind in ("prefix", "suffix"):
        return Condition(f"but-{kind}", tuple(str(v) for v in values))
    if kind == "caseless":
        return Condition("but-caseless", frozenset(str(v).lower() for v in values))
    return Condition("but", frozenset(values))


def _list(tokens: Tokens, kind: str) -> list[str | float]:
    values = []
    while tokens.next().kind != "]":
        values.append(_but_value(tokens, kind))
    return values


def _but_value(tokens: Tokens, kind: str) -> str | float:
    token = tokens.current
    if kind and token.kind != "string":
        raise tokens.error(_BUT_WRONG[kind])
    if token.kind not in ("string", "number"):
        raise tokens.error("Inside anything but list, start|null|boolean is not supported.")
    if kind in ("prefix", "suffix") and not token.value:
        raise tokens.error("Null prefix/suffix not allowed", asked=True)
    value: str | float = token.value
    return value
