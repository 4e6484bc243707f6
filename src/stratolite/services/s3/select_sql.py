"""S3 Select's SQL: one SELECT over S3Object, checked token by token and said in DuckDB's.

Whatever is not read here is refused before DuckDB sees it; DuckDB is locked down all the same (``select_child``).
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-select.html
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from stratolite.services.s3.select_expression import (
    END,
    KEYWORDS,
    Reader,
    Step,
    Token,
    Value,
    unexpected,
)
from stratolite.services.s3.select_faults import fault

EXPRESSION_SIZE_BYTES_MAX = 256 << 10
_DIGITS_MAX = 18
ANY = -1
"""The step ``[*]``."""
MEMBERS = -2
"""The step ``.*``."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*")|(?P<ion>`[^`]*`)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><=|>=|<>|!=|\|\||[-+*/%=<>(),.\[\]]))"""
)


class Header(NamedTuple):
    """The columns of a CSV object."""

    names: list[str] | None
    """As its first line has them; None where it has none."""
    width: int


class Query(NamedTuple):
    path: list[str | int]
    """Steps below S3Object: names, indexes, ``ANY`` and ``MEMBERS``."""
    items: list[str]
    """The select list in DuckDB's SQL; none for ``*``."""
    names: list[str]
    """What the answer calls each item."""
    raw: list[bool]
    """Which items are JSON's text: absent where it is NULL."""
    where: str
    limit: int | None

    def sql(self, table: str, whole: str) -> str:
        text = f'SELECT {", ".join(self.items) or whole} FROM {table} AS "r"'  # noqa: S608 - of checked tokens
        if self.where:
            text += f" WHERE {self.where}"
        if self.limit is not None:
            text += f" LIMIT {self.limit}"
        return text


def tokens_of(text: str) -> list[Token]:
    if len(text.encode()) > EXPRESSION_SIZE_BYTES_MAX:
        raise fault("ExpressionTooLong")
    if "\0" in text or "\x02" in text:  # they mean something between this and the child
        raise fault("LexerInvalidChar")
    found, at, text = [], 0, text.rstrip().removesuffix(";").rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise fault("LexerInvalidChar")
        found.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def parse(
    text: str, kind: str | None = None, header: Header | None = None, *, now: str = "2000T"
) -> Query:
    """``kind`` is csv, json or parquet, None while nothing is known of the object. Raises Fault."""
    tokens = tokens_of(text)
    if not tokens or tokens[0].word != "SELECT":
        raise fault("ParseExpectedKeyword")
    at, depth = 1, 0
    while at < len(tokens) and not (depth == 0 and tokens[at].word == "FROM"):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0) if tokens[at].kind == "sign" else 0
        at += 1
    if at == len(tokens):
        raise fault("ParseSelectMissingFrom")
    listed = tokens[1:at]
    path, alias, at = _source(tokens, at + 1, kind)
    columns = _Columns(kind, header, alias, path)
    reader = Reader(tokens, at, columns.value, now)
    where = reader.expression().sql if reader.takes("WHERE") else ""
    limit = _limit(reader) if reader.takes("LIMIT") else None
    if reader.peek() is not END:
        if reader.peek().word in ("JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "NATURAL"):
            raise fault("ParseMalformedJoin")
        raise unexpected(reader.peek())
    items = _items(Reader(listed, 0, columns.value, now), columns, json_items=kind == "json")
    return Query(path, *items, where, limit)


def _limit(reader: Reader) -> int:
    if reader.takes("-"):
        raise fault("EvaluatorNegativeLimit")
    number = reader.next().text
    if not number.isdigit():
        raise fault("ParseExpectedNumber")
    return int(number[:_DIGITS_MAX])  # no object has that many records anyway


def _items(
    reader: Reader, columns: _Columns, *, json_items: bool
) -> tuple[list[str], list[str], list[bool]]:
    if reader.peek() is END:
        raise fault("ParseEmptySelect")
    if reader.takes("*"):
        if reader.peek() is not END:
            raise fault("ParseAsteriskIsNotAloneInSelectList")
        return [], [], []
    one, two, three, more = (reader.peek(n) for n in range(4))
    if columns.is_row(one) and (two.text, three.text, more) == (".", "*", END):
        return [], [], []
    items: list[str] = []
    names: list[str] = []
    raw: list[bool] = []
    while True:
        value = reader.expression()
        name = value.name or f"_{len(items) + 1}"
        if reader.takes("AS") or reader.peek().kind in ("word", "quoted"):
            alias = reader.next()
            if alias.kind not in ("word", "quoted") or alias.word in KEYWORDS:
                raise fault("ParseExpectedIdentForAlias")
            name = alias.name
        as_it_is = json_items and (value.path is not None or value.kind == "missing")
        items.append(_place("raw", value.path) if as_it_is and value.path is not None else value.sql)  # fmt: skip
        names.append(name)
        raw.append(as_it_is)
        if reader.peek() is END:
            return items, names, raw
        reader.expect(",")


def _source(
    tokens: list[Token], at: int, kind: str | None
) -> tuple[list[str | int], str | None, int]:
    if at >= len(tokens) or tokens[at].word != "S3OBJECT":
        raise fault("InvalidDataSource")
    reader = Reader(tokens, at + 1, lambda _: Value("NULL"), "")
    path: list[str | int] = []
    while True:
        if reader.takes("."):
            step = reader.next()
            if step.text == "*":
                path.append(MEMBERS)
            elif step.kind in ("word", "quoted"):
                path.append(step.name)
            else:
                raise fault("ParseInvalidPathComponent")
        elif reader.takes("["):
            inside = reader.next()
            if inside.text == "*":
                path.append(ANY)
            elif inside.kind == "string":
                path.append(inside.text[1:-1].replace("''", "'"))
            elif inside.text.isdigit() and len(inside.text) <= _DIGITS_MAX:
                path.append(int(inside.text))
            else:
                raise fault("ParseInvalidPathComponent")
            reader.expect("]")
        else:
            break
    if path[:1] not in ([], [ANY]) or (len(path) > 1 and kind in ("csv", "parquet")):
        raise fault("InvalidKeyPath")
    alias = None
    asked = reader.takes("AS")
    token = reader.peek()
    if token.kind in ("word", "quoted") and token.word not in KEYWORDS:
        alias = reader.next().name
    elif asked:
        raise fault("ParseExpectedIdentForAlias")
    if reader.takes(","):
        raise fault("MultipleDataSourcesUnsupported")
    return path, alias, reader.at


def _place(mode: str, steps: list[Step] | None) -> str:
    """Where the child, which knows the object's structure, writes the SQL of a path: see ``select_child.filled``."""
    return f"\0{mode}{json.dumps(steps or [])}\0"


class _Columns:
    """What a path in an expression means."""

    def __init__(
        self, kind: str | None, header: Header | None, alias: str | None, path: list[str | int]
    ) -> None:
        self._kind, self._header = kind, header
        last = path[-1] if path else ANY
        self._row_name = alias or (last if isinstance(last, str) else None)

    def is_row(self, token: Token) -> bool:
        return token.kind in ("word", "quoted") and self._starts_row([token.name])

    def _starts_row(self, steps: list[Step]) -> bool:
        if isinstance(steps[0], int):
            return False
        name = steps[0] if isinstance(steps[0], str) else steps[0][0]
        if name.lower() == "s3object":
            return True
        if self._row_name is not None and name.lower() == self._row_name.lower():
            return True
        return self._kind == "json" and name == "_1" and self._row_name is None

    def value(self, steps: list[Step]) -> Value:
        alone = len(steps) == 1 and self._kind != "json"
        within = steps[1:] if not alone and self._starts_row(steps) else steps
        if self._kind is None:
            return Value("NULL", path=steps)
        if self._kind == "json":
            return Value(_place("typed", within), path=within, there=_place("there", within))
        if not within or isinstance(within[0], int):
            raise fault("InvalidKeyPath")
        if self._kind == "parquet":
            return Value(_parquet(within), path=within)
        if len(within) > 1:
            raise fault("InvalidKeyPath")
        number = self._csv(within[0])
        if number is None:
            return Value("CAST(NULL AS VARCHAR)", "text", there="false")
        return Value(f'"r"."_{number}"', "text")

    def _csv(self, step: str | list[str]) -> int | None:
        """The column's number, from 1 on; None for a number that the object has no column of."""
        header = self._header or Header(None, 0)
        names = header.names or []
        if isinstance(step, list):
            found = [n for n, one in enumerate(names, 1) if one == step[0]]
        else:
            found = [n for n, one in enumerate(names, 1) if one.lower() == step.lower()]
        if len(found) > 1:
            raise fault("AmbiguousFieldName")
        if found:
            return found[0]
        counted = re.fullmatch(r"_([1-9]\d{0,4})", step[0] if isinstance(step, list) else step)
        if counted is None:
            raise fault("MissingHeaders")
        return int(counted[1]) if int(counted[1]) <= header.width else None


def _parquet(steps: list[Step]) -> str:
    text = '"r"'
    for step in steps:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            name = step if isinstance(step, str) else step[0]
            text += '."' + name.replace('"', '""') + '"'
    return text
