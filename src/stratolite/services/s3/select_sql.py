"""S3 Select's SQL, checked token by token and said in DuckDB's: one SELECT over S3Object, known functions, nothing else.

Whatever is not on a list here is refused before DuckDB sees it; DuckDB is locked down all the same (``select_child``).
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stratolite.errors import Fault

EXPRESSION_SIZE_BYTES_MAX = 256 << 10
_DIGITS_MAX = 18
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*")|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><=|>=|<>|!=|\|\||[-+*/%=<>(),.\[\]]))"""
)
_WORDS = frozenset(
    [
        "SELECT",
        "FROM",
        "WHERE",
        "LIMIT",
        "AS",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "NULL",
        "MISSING",
        "TRUE",
        "FALSE",
        "LIKE",
        "ESCAPE",
        "BETWEEN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST",
        "FOR",
        "LEADING",
        "TRAILING",
        "BOTH",
    ]
)
_REFUSED = frozenset(
    [
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "JOIN",
        "WITH",
        "INTO",
        "VALUES",
        "TABLE",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "ATTACH",
        "COPY",
        "EXPORT",
        "PRAGMA",
        "SET",
        "INSTALL",
        "LOAD",
        "CALL",
        "GROUP",
        "ORDER",
        "HAVING",
        "WINDOW",
        "OVER",
        "QUALIFY",
        "USING",
        "LATERAL",
        "UNNEST",
        "EXISTS",
        "ANY",
        "ALL",
        "DISTINCT",
    ]
)
_TYPES = frozenset(
    [
        "BOOL",
        "BOOLEAN",
        "INT",
        "INTEGER",
        "STRING",
        "FLOAT",
        "DECIMAL",
        "NUMERIC",
        "TIMESTAMP",
        "CHAR",
        "VARCHAR",
        "DOUBLE",
    ]
)
_PARTS = frozenset(
    ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "TIMEZONE_HOUR", "TIMEZONE_MINUTE"]
)
# Function -> its name in DuckDB; None: written otherwise, see _call.
_FUNCTIONS: dict[str, str | None] = {
    "AVG": "avg", "COUNT": "count", "MAX": "max", "MIN": "min", "SUM": "sum", "COALESCE": "coalesce",
    "NULLIF": "nullif", "CHAR_LENGTH": "length", "CHARACTER_LENGTH": "length", "LOWER": "lower", "UPPER": "upper",
    "SUBSTRING": "substring", "TRIM": "trim", "EXTRACT": "extract", "CAST": "cast", "DATE_ADD": None, "DATE_DIFF": None,
    "TO_STRING": None, "TO_TIMESTAMP": None, "UTCNOW": None,
}  # fmt: skip
_FORMATS = (
    ("yyyy", "%Y"), ("yy", "%y"), ("y", "%Y"), ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("M", "%-m"), ("dd", "%d"),
    ("d", "%-d"), ("a", "%p"), ("hh", "%I"), ("h", "%-I"), ("HH", "%H"), ("H", "%-H"), ("mm", "%M"), ("m", "%-M"),
    ("ss", "%S"), ("s", "%-S"), ("SSS", "%g"), ("X", "Z"),
)  # fmt: skip


class Token(NamedTuple):
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


class Query(NamedTuple):
    path: list[str | int]
    """Steps below S3Object: names, indexes, and -1 for ``[*]``."""
    alias: str
    items: str
    """The select list in DuckDB's SQL; ``*`` for all."""
    names: list[str]
    """What the answer calls each item."""
    where: str
    limit: int | None

    def sql(self, table: str) -> str:
        text = f'SELECT {self.items} FROM {table} AS "{self.alias}"'  # noqa: S608 - of checked tokens
        if self.where:
            text += f" WHERE {self.where}"
        if self.limit is not None:
            text += f" LIMIT {self.limit}"
        return text


def _unexpected(token: Token | None) -> Fault:
    text = token.text if token else "the end"
    return Fault("ParseUnexpectedToken", f"Unexpected token found: {text}", status=400)


def tokens_of(text: str) -> list[Token]:
    if len(text.encode()) > EXPRESSION_SIZE_BYTES_MAX:
        raise Fault("ExpressionTooLong", "The SQL expression is too long: The maximum byte-length for the SQL expression is 256 KB.", status=400)  # fmt: skip
    found, at, text = [], 0, text.rstrip().removesuffix(";").rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise Fault(
                "LexerInvalidChar",
                "The SQL expression contains an invalid character.",
                status=400,
            )
        token = Token(match.lastgroup, match[match.lastgroup])
        if token.word in _REFUSED:
            raise _unexpected(token)
        found.append(token)
        at = match.end()
    return found


def parse(text: str, columns: list[str] | None = None) -> Query:
    """``columns`` are a CSV's header, which ``_1`` and so on count. Raises Fault."""
    tokens = tokens_of(text)
    if not tokens or tokens[0].word != "SELECT":
        raise Fault(
            "ParseExpectedKeyword",
            "Did not find the expected keyword in the SQL expression.",
            status=400,
        )
    at, depth = 1, 0
    while at < len(tokens) and not (depth == 0 and tokens[at].word == "FROM"):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        at += 1
    if at == len(tokens):
        raise Fault(
            "ParseSelectMissingFrom",
            "The SQL expression contains a missing FROM after SELECT list.",
            status=400,
        )
    listed = tokens[1:at]
    path, alias, at = _source(tokens, at + 1)
    where: list[Token] = []
    limit = None
    if at < len(tokens) and tokens[at].word == "WHERE":
        end = next((i for i in range(at, len(tokens)) if tokens[i].word == "LIMIT"), len(tokens))
        where, at = tokens[at + 1 : end], end
        if not where:
            raise _unexpected(None)
    if at < len(tokens):
        if tokens[at].word != "LIMIT" or at + 2 != len(tokens) or not tokens[at + 1].text.isdigit():
            raise _unexpected(tokens[at])
        limit = int(tokens[at + 1].text[:_DIGITS_MAX])  # no object has that many records anyway
    said = _Writer(columns)
    items, names = said.items(listed, alias)
    return Query(path, alias, items, names, said.all(where), limit)


def _source(tokens: list[Token], at: int) -> tuple[list[str | int], str, int]:
    if at >= len(tokens) or tokens[at].word != "S3OBJECT":
        raise Fault(
            "InvalidDataSource",
            "The data source in the FROM clause must be S3Object.",
            status=400,
        )
    at += 1
    path: list[str | int] = []
    while at < len(tokens) and tokens[at].text in (".", "["):
        if tokens[at].text == ".":
            step = tokens[at + 1] if at + 1 < len(tokens) else None
            if step is None or step.kind not in ("word", "quoted"):
                raise _unexpected(step)
            path.append(step.text.strip('"') if step.kind == "quoted" else step.text)
            at += 2
            continue
        inside = tokens[at + 1] if at + 2 < len(tokens) else None
        if inside is None or tokens[at + 2].text != "]":
            raise _unexpected(inside)
        if inside.text != "*" and not (inside.text.isdigit() and len(inside.text) <= _DIGITS_MAX):
            raise _unexpected(inside)
        path.append(-1 if inside.text == "*" else int(inside.text))
        at += 3
    alias = "S3Object"
    if at < len(tokens) and tokens[at].word == "AS":
        at += 1
        if at == len(tokens):
            raise _unexpected(None)
    if at < len(tokens) and tokens[at].kind in ("word", "quoted") and tokens[at].word not in _WORDS:
        alias = tokens[at].text.strip('"').replace('"', "")
        at += 1
    if at < len(tokens) and tokens[at].text == ",":
        raise _unexpected(tokens[at])
    return path, alias, at


class _Writer:
    """Writes checked tokens as DuckDB's SQL."""

    def __init__(self, columns: list[str] | None) -> None:
        self._columns = columns

    def items(self, listed: list[Token], alias: str) -> tuple[str, list[str]]:
        if [t.text for t in listed] == ["*"] or (
            len(listed) == 3 and listed[1].text == "." and listed[2].text == "*"
        ):
            return "*", []
        parts, names = [], []
        for number, given in enumerate(_split(listed), 1):
            if not given:
                raise _unexpected(None)
            name, one = f"_{number}", given
            if len(one) > 2 and one[-2].word == "AS":
                name, one = one[-1].text.strip('"'), one[:-2]
            elif all(t.kind in ("word", "quoted") or t.text == "." for t in one):
                last = one[-1]
                name = last.text.strip('"') if last.kind == "quoted" else last.text
            parts.append(self.all(one))
            names.append(name)
        return ", ".join(parts), names

    def all(self, tokens: list[Token]) -> str:
        out: list[str] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            following = tokens[at + 1].text if at + 1 < len(tokens) else ""
            before = tokens[at - 1].text if at else ""
            if token.kind == "word":
                word = token.word
                if following == "(" and word not in _WORDS - {"CAST"}:
                    if before == ".":
                        raise _unexpected(token)
                    end = _closing(tokens, at + 1)
                    out.append(self._call(word, tokens[at + 2 : end]))
                    at = end + 1
                    continue
                if word == "MISSING":
                    out.append("NULL")
                elif word == "SELECT":
                    raise _unexpected(token)
                elif word in _WORDS or word in _TYPES or word in _PARTS:
                    out.append(word if before != "." else f'"{token.text}"')
                else:
                    out.append(f'"{self._column(token.text)}"')
            else:
                out.append(token.text)
            at += 1
        return _join(out)

    def _column(self, name: str) -> str:
        if self._columns and re.fullmatch(r"_[1-9]\d{0,4}", name):
            at = int(name[1:])
            if at <= len(self._columns) and name not in self._columns:
                return self._columns[at - 1].replace('"', '""')
        return name

    def _call(self, name: str, inside: list[Token]) -> str:
        if name not in _FUNCTIONS:
            raise Fault(
                "UnsupportedFunction",
                "Encountered an unsupported SQL function.",
                status=400,
            )
        ours = _FUNCTIONS[name]
        if ours is not None:
            return f"{ours}({self.all(inside)})"
        arguments = _split(inside) if inside else []
        if name == "UTCNOW" and not arguments:
            return "CAST(now() AT TIME ZONE 'UTC' AS TIMESTAMP)"
        if name == "TO_TIMESTAMP" and len(arguments) == 1:
            return f"CAST({self.all(arguments[0])} AS TIMESTAMP)"
        if name == "TO_STRING" and len(arguments) == 2 and arguments[1][0].kind == "string":
            return f"strftime({self.all(arguments[0])}, '{_format(arguments[1][0].text[1:-1])}')"
        if name in ("DATE_ADD", "DATE_DIFF") and len(arguments) == 3:
            part = arguments[0][0].word
            if part in _PARTS and len(arguments[0]) == 1:
                one, two = self.all(arguments[1]), self.all(arguments[2])
                if name == "DATE_DIFF":
                    return f"date_diff('{part.lower()}', {one}, {two})"
                return f"({two} + to_{part.lower()}s(CAST({one} AS INTEGER)))"
        raise Fault(
            "EvaluatorInvalidArguments",
            "Incorrect number of arguments in the function call in the SQL expression.",
            status=400,
        )


def _format(pattern: str) -> str:
    out, at = [], 0
    while at < len(pattern):
        for theirs, ours in sorted(_FORMATS, key=lambda pair: -len(pair[0])):
            if pattern.startswith(theirs, at):
                out.append(ours)
                at += len(theirs)
                break
        else:
            out.append(pattern[at].replace("%", "%%").replace("'", "''"))
            at += 1
    return "".join(out)


def _join(parts: list[str]) -> str:
    text = " ".join(parts)
    return text.replace(" . ", ".").replace(" [ ", "[").replace(" ]", "]")


def _split(tokens: list[Token]) -> list[list[Token]]:
    """At the commas that are in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _closing(tokens: list[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "sign":
            depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if depth == 0:
            return index
    raise _unexpected(None)
