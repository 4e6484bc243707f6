"""The expressions of S3 Select, read token by token and written in DuckDB's SQL with as much of their type as is known.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-operators.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-sql-functions.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from stratolite.errors import Fault
from stratolite.services.s3 import select_times
from stratolite.services.s3.select_faults import fault

DEPTH_MAX = 40
Step = str | int | list[str]
"""Of a path: a name in any case, an index, and a name in quotes as a list of one."""
_TYPES = {
    "BOOL": ("BOOLEAN", "bool"), "BOOLEAN": ("BOOLEAN", "bool"), "INT": ("BIGINT", "number"), "INTEGER": ("BIGINT", "number"),
    "STRING": ("VARCHAR", "text"), "CHAR": ("VARCHAR", "text"), "VARCHAR": ("VARCHAR", "text"), "FLOAT": ("DOUBLE", "number"),
    "DOUBLE": ("DOUBLE", "number"), "DECIMAL": ("DECIMAL(38, 10)", "number"), "NUMERIC": ("DECIMAL(38, 10)", "number"),
    "TIMESTAMP": ("VARCHAR", "timestamp"),
}  # fmt: skip
_AGGREGATES = frozenset(["AVG", "COUNT", "MAX", "MIN", "SUM"])
_TEXTUAL = {"CHAR_LENGTH": "length", "CHARACTER_LENGTH": "length", "LOWER": "lower", "UPPER": "upper"}  # fmt: skip
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-keyword-list.html
KEYWORDS = frozenset(
    """absolute action add all allocate alter and any are as asc assertion at authorization avg bag begin between bit
    bit_length blob bool boolean both by cascade cascaded case cast catalog char char_length character character_length
    check clob close coalesce collate collation column commit connect connection constraint constraints continue convert
    corresponding count create cross current current_date current_time current_timestamp current_user cursor date day
    deallocate dec decimal declare default deferrable deferred delete desc describe descriptor diagnostics disconnect
    distinct domain double drop else end end-exec escape except exception exec execute exists external extract false fetch
    first float for foreign found from full get global go goto grant group having hour identity immediate in indicator
    initially inner input insensitive insert int integer intersect interval into is isolation join key language last
    leading left level like limit list local lower match max min minute missing module month names national natural nchar
    next no not null nullif numeric octet_length of on only open option or order outer output overlaps pad partial pivot
    position precision prepare preserve primary prior privileges procedure public read real references relative restrict
    revoke right rollback rows schema scroll second section select session session_user set sexp size smallint some space
    sql sqlcode sqlerror sqlstate string struct substring sum symbol system_user table temporary then time timestamp
    timezone_hour timezone_minute to trailing transaction translate translation trim true tuple union unique unknown
    unpivot update upper usage user using value values varchar varying view when whenever where with work write year zone
    """.upper().split()
)


class Token(NamedTuple):
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text


END = Token("end", "the end")


class Value(NamedTuple):
    sql: str
    kind: str = "any"
    """text, number, bool, timestamp, null, missing, list, or any where only the run can tell."""
    path: list[Step] | None = None
    there: str | None = None
    """SQL that says whether it is there at all, for what may be MISSING."""
    name: str | None = None


Column = Callable[[list[Step]], Value]


def unexpected(token: Token) -> Fault:
    if token.word in KEYWORDS:
        return fault("ParseUnExpectedKeyword")
    return fault("ParseUnexpectedToken")


class Reader:
    """Reads ``tokens`` from ``at`` on; ``column`` says what a path means; ``now`` is UTCNOW's text."""

    def __init__(self, tokens: list[Token], at: int, column: Column, now: str) -> None:
        self._tokens, self.at, self._column, self._now = tokens, at, column, now
        self._depth = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self._tokens[at] if at < len(self._tokens) else END

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def takes(self, *texts: str) -> bool:
        """The next token, where it is a word or sign of ``texts``."""
        token = self.peek()
        if token.word in texts or (token.kind == "sign" and token.text in texts):
            self.at += 1
            return True
        return False

    def expect(self, text: str, code: str = "") -> None:
        if not self.takes(text):
            raise fault(code) if code else unexpected(self.peek())

    # -- operators, the loosest first

    def expression(self) -> Value:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise fault("MaxOperatorsExceeded")
        value = self._both("OR", lambda: self._both("AND", self._negation))
        self._depth -= 1
        return value

    def _both(self, word: str, inner: Callable[[], Value]) -> Value:
        values = [inner()]
        while self.takes(word):
            values.append(inner())
        if len(values) == 1:
            return values[0]
        return Value(f"({f' {word} '.join(one.sql for one in values)})", "bool")

    def _negation(self) -> Value:
        count = 0
        while self.takes("NOT"):
            count += 1
        value = self._comparison()
        return value if not count else Value(f"({'NOT ' * count}{value.sql})", "bool")

    def _comparison(self) -> Value:
        value = self._sum()
        while True:
            token = self.peek()
            if token.kind == "sign" and token.text in ("=", "<>", "!=", "<", ">", "<=", ">="):
                self.at += 1
                one, two = _alike([value, self._sum()])
                value = Value(f"({one} {token.text} {two})", "bool")
            elif token.word == "IS":
                value = self._is(value)
            elif token.word in ("IN", "BETWEEN", "LIKE"):
                value = self._test(value, negated=False)
            elif token.word == "NOT" and self.peek(1).word in ("IN", "BETWEEN", "LIKE"):
                self.at += 1
                value = self._test(value, negated=True)
            else:
                return value

    def _is(self, value: Value) -> Value:
        self.at += 1
        negated = self.takes("NOT")
        word = self.next()
        if word.word == "NULL":
            sql = f"({value.sql} IS NULL)"
        elif word.word == "MISSING":
            sql = "true" if value.kind == "missing" else f"(NOT {value.there or 'true'})"
        else:
            raise unexpected(word)
        return Value(f"(NOT {sql})" if negated else sql, "bool")

    def _test(self, value: Value, *, negated: bool) -> Value:
        word = self.next().word
        if word == "IN":
            self.expect("(")
            one, *rest = _alike([value, *self._listed(")")])
            sql = f"({one} IN ({', '.join(rest)}))" if rest else "false"
        elif word == "BETWEEN":
            low = self._sum()
            self.expect("AND", "ParseExpectedKeyword")
            one, least, most = _alike([value, low, self._sum()])
            sql = f"({one} BETWEEN {least} AND {most})"
        else:
            pattern = self._sum()
            sql = f"{value.sql} LIKE {pattern.sql}"
            if {value.kind, pattern.kind} & {"number", "bool"}:
                raise fault("LikeInvalidInputs")
            if self.takes("ESCAPE"):
                sql += f" ESCAPE {self._sum().sql}"
            sql = f"({sql})"
        return Value(f"(NOT {sql})" if negated else sql, "bool")

    def _sum(self) -> Value:
        return self._chain(("+", "-", "||"), lambda: self._chain(("*", "/", "%"), self._signed))

    def _chain(self, signs: tuple[str, ...], inner: Callable[[], Value]) -> Value:
        value = inner()
        while (token := self.peek()).kind == "sign" and token.text in signs:
            self.at += 1
            other = inner()
            kind = "text" if token.text == "||" else "number"
            if kind == "number" and {value.kind, other.kind} & {"bool", "timestamp", "list"}:
                raise fault("IncorrectSqlFunctionArgumentType")
            value = Value(f"({value.sql} {token.text} {other.sql})", kind)
        return value

    def _signed(self) -> Value:
        count = 0
        while (token := self.peek()).kind == "sign" and token.text in "-+":
            self.at += 1
            count += token.text == "-"
        value = self._operand()
        return value if not count else Value(f"({'- ' * (count % 2)}{value.sql})", "number")

    # -- operands

    def _operand(self) -> Value:
        token = self.next()
        if token.kind == "string":
            return Value(token.text, "text")
        if token.kind == "number":
            return Value(token.text, "number")
        if token.kind == "ion":
            return _ion(token.text[1:-1])
        if token.kind == "quoted" or (token.kind == "word" and token.word not in KEYWORDS):
            if token.kind == "word" and self.peek().text == "(" and self.peek().kind == "sign":
                return self._call(token.word)
            return self._path(token)
        if token.text == "(" and token.kind == "sign":
            value = self.expression()
            self.expect(")")
            return value
        if token.text == "[" and token.kind == "sign":
            return Value(f"[{', '.join(_alike(self._listed(']')))}]", "list")
        return self._keyword(token)

    def _keyword(self, token: Token) -> Value:
        word = token.word
        if word in ("TRUE", "FALSE"):
            return Value(word, "bool")
        if word == "NULL":
            return Value("NULL", "null")
        if word == "MISSING":
            return Value("NULL", "missing", None, "false")
        if word == "CASE":
            return self._case()
        if word == "CAST":
            return self._cast()
        if word and self.peek().text == "(" and word not in ("SELECT", "AND", "OR", "IN", "FROM"):
            return self._call(word)
        raise fault("ParseExpectedExpression") if token is END else unexpected(token)

    def _path(self, token: Token) -> Value:
        steps: list[Step] = [[token.name] if token.kind == "quoted" else token.name]
        named = True
        while True:
            if self.takes("."):
                step = self.next()
                if step.kind not in ("word", "quoted") or step.word in KEYWORDS:
                    raise fault("ParseInvalidPathComponent")
                steps.append([step.name] if step.kind == "quoted" else step.name)
                named, token = True, step
            elif self.takes("["):
                inside = self.next()
                if inside.kind == "string":
                    steps.append([inside.text[1:-1].replace("''", "'")])
                elif inside.text.isdigit() and len(inside.text) <= 18:
                    steps.append(int(inside.text))
                else:
                    raise fault("ParseInvalidPathComponent")
                self.expect("]")
                named = False
            else:
                break
        if self.peek().text == "(" and self.peek().kind == "sign":
            raise unexpected(self.peek())
        return self._column(steps)._replace(name=token.name if named else None)

    def _listed(self, closing: str) -> list[Value]:
        """The expressions up to ``closing``, which is taken."""
        found: list[Value] = []
        if self.takes(closing):
            return found
        while True:
            found.append(self.expression())
            if self.takes(closing):
                return found
            self.expect(",")

    def _case(self) -> Value:
        subject = None if self.peek().word == "WHEN" else self.expression()
        parts, results = [], []
        while self.takes("WHEN"):
            test = self.expression()
            if subject is not None:
                one, two = _alike([subject, test])
                test = Value(f"({one} = {two})", "bool")
            self.expect("THEN", "ParseExpectedKeyword")
            results.append(self.expression())
            parts.append(f"WHEN {test.sql} THEN {results[-1].sql}")
        if not parts:
            raise fault("ParseExpectedWhenClause")
        if self.takes("ELSE"):
            results.append(self.expression())
            parts.append(f"ELSE {results[-1].sql}")
        self.expect("END", "ParseExpectedKeyword")
        return Value(f"(CASE {' '.join(parts)} END)", _common(results))

    def _cast(self) -> Value:
        self.expect("(", "ParseExpectedLeftParenAfterCast")
        value = self.expression()
        self.expect("AS", "ParseExpectedKeyword")
        named = self.next()
        if named.kind != "word":
            raise fault("ParseExpectedTypeName")
        if named.word not in _TYPES:
            raise fault("InvalidDataType")
        if self.takes("("):  # scale and precision are ignored
            while self.peek().kind == "number":
                self.at += 1
                self.takes(",")
            self.expect(")")
        self.expect(")")
        into, kind = _TYPES[named.word]
        if kind == "timestamp":
            return Value(select_times.made(value.sql, "CastFailed"), kind)
        if into == "BIGINT" and value.kind == "number":
            return Value(f"CAST(trunc({value.sql}) AS BIGINT)", kind)
        return Value(f"CAST({value.sql} AS {into})", kind)

    # -- functions

    def _call(self, name: str) -> Value:
        special = {"EXTRACT": self._extract, "TRIM": self._trim, "SUBSTRING": self._substring, "DATE_ADD": self._date_add,
                   "DATE_DIFF": self._date_diff}  # fmt: skip
        known = {*special, *_AGGREGATES, *_TEXTUAL, "COALESCE", "NULLIF", "TO_STRING", "TO_TIMESTAMP", "UTCNOW"}  # fmt: skip
        if name not in known:
            raise fault("UnsupportedFunction")
        self.expect("(")
        if name in special:
            value = special[name]()
            self.expect(")", "EvaluatorInvalidArguments")
            return value
        if self.takes("*"):
            self.expect(")")
            if name != "COUNT":
                raise fault("ParseUnsupportedCallWithStar")
            return Value("count(*)", "number")
        given = self._listed(")")
        if name in _AGGREGATES:
            return _aggregate(name, given)
        return _function(name, given, self._now)

    def _date_part(self, *, zones: bool = False) -> str:
        return select_times.part_of(self.next().word, zones=zones)

    def _extract(self) -> Value:
        part = self._date_part(zones=True)
        self.expect("FROM", "ParseExpectedKeyword")
        return Value(select_times.extracted(part, self.expression().sql), "number")

    def _date_add(self) -> Value:
        part = self._date_part()
        self.expect(",", "EvaluatorInvalidArguments")
        quantity = self.expression()
        self.expect(",", "EvaluatorInvalidArguments")
        if quantity.kind not in ("number", "any", "null", "missing"):
            raise fault("IncorrectSqlFunctionArgumentType")
        return Value(select_times.added(part, quantity.sql, self.expression().sql), "timestamp")

    def _date_diff(self) -> Value:
        part = self._date_part()
        self.expect(",", "EvaluatorInvalidArguments")
        first = self.expression().sql
        self.expect(",", "EvaluatorInvalidArguments")
        return Value(select_times.between(part, first, self.expression().sql), "number")

    def _trim(self) -> Value:
        function, removed, text = "trim", Value("' '", "text"), None
        if (side := self.peek().word) in ("LEADING", "TRAILING", "BOTH"):
            self.at += 1
            function = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}[side]
            if self.peek().word != "FROM":
                removed = self.expression()
            self.expect("FROM", "ParseExpectedKeyword")
        else:
            text = self.expression()
            if self.takes("FROM"):
                removed, text = text, None
        text = _texts([text or self.expression()])[0]
        return Value(f"{function}({text.sql}, {removed.sql})", "text")

    def _substring(self) -> Value:
        """Before the first character there are more of them, which are empty."""
        (text,) = _texts([self.expression()])
        if not self.takes(",", "FROM"):
            raise fault("EvaluatorInvalidArguments")
        start = f"CAST({self.expression().sql} AS BIGINT)"
        if not self.takes(",", "FOR"):
            return Value(f"substring({text.sql}, greatest({start}, 1))", "text")
        count = f"CAST({self.expression().sql} AS BIGINT)"
        taken = f"greatest({start} + {count} - greatest({start}, 1), 0)"
        return Value(f"substring({text.sql}, greatest({start}, 1), {taken})", "text")


def _aggregate(name: str, given: list[Value]) -> Value:
    if len(given) != 1:
        raise fault("ParseNonUnaryAgregateFunctionCall")
    value = given[0]
    if name == "COUNT":
        return Value(f"count({value.sql})", "number")
    if name in ("MIN", "MAX"):
        if value.kind == "timestamp":
            return Value(
                f"arg_{name.lower()}({value.sql}, {select_times.instant(value.sql)})", "timestamp"
            )
        return Value(f"{name.lower()}({value.sql})", value.kind)
    if value.kind in ("text", "bool", "timestamp", "list"):
        raise fault("IncorrectSqlFunctionArgumentType")
    return Value(f"{name.lower()}({value.sql})", "number")


def _function(name: str, given: list[Value], now: str) -> Value:
    wanted = {"NULLIF": 2, "UTCNOW": 0, "TO_STRING": 2, "COALESCE": max(1, len(given))}.get(name, 1)
    if len(given) != wanted:
        raise fault("EvaluatorInvalidArguments")
    if name == "UTCNOW":
        return Value(f"'{now}'", "timestamp")
    if name == "TO_TIMESTAMP":
        return Value(select_times.made(given[0].sql, "ValueParseFailure"), "timestamp")
    if name == "TO_STRING":
        if not re.fullmatch(r"'(?:[^']|'')*'", given[1].sql):
            raise fault("IncorrectSqlFunctionArgumentType")
        pattern = given[1].sql[1:-1].replace("''", "'")
        return Value(select_times.formatted(given[0].sql, pattern), "text")
    if name == "COALESCE":
        return Value(f"coalesce({', '.join(one.sql for one in given)})", _common(given))
    if name == "NULLIF":
        one, two = given
        if one.kind != two.kind and _known(one) and _known(two):
            return one._replace(name=None, path=None)
        left, right = _alike(given)
        return Value(f"(CASE WHEN {left} = {right} THEN NULL ELSE {one.sql} END)", _common([one]))
    (text,) = _texts(given)
    kind = "number" if _TEXTUAL[name] == "length" else "text"
    return Value(f"{_TEXTUAL[name]}({text.sql})", kind)


def _known(value: Value) -> bool:
    return value.kind not in ("any", "null", "missing")


def _common(values: list[Value]) -> str:
    kinds = {one.kind for one in values if one.kind not in ("null", "missing")}
    return kinds.pop() if len(kinds) == 1 else "any" if kinds else "null"


def _texts(values: list[Value]) -> list[Value]:
    if any(one.kind in ("number", "bool", "list") for one in values):
        raise fault("IncorrectSqlFunctionArgumentType")
    return [one._replace(sql="CAST(NULL AS VARCHAR)") if one.kind in ("null", "missing") else one for one in values]  # fmt: skip


def _alike(values: list[Value]) -> list[str]:
    """As they are compared. Raises Fault for types that never are."""
    kinds = {one.kind for one in values if _known(one)}
    if "timestamp" in kinds:
        if kinds - {"timestamp", "text"}:
            raise fault("UnsupportedTypeForQuerying")
        return [one.sql if one.kind in ("null", "missing") else select_times.instant(one.sql) for one in values]  # fmt: skip
    if len(kinds) > 1:
        raise fault("UnsupportedTypeForQuerying")
    return [one.sql for one in values]


def _ion(text: str) -> Value:
    text = text.strip()
    stamp = select_times.literal(text)
    if stamp is not None:
        return Value(f"'{stamp}'", "timestamp")
    if re.fullmatch(r"-?\d+(\.\d*)?([eEdD][+-]?\d+)?", text):
        return Value(f"({text.replace('d', 'e').replace('D', 'e')})", "number")
    if text in ("true", "false"):
        return Value(text, "bool")
    if text == "null":
        return Value("NULL", "null")
    if text[:1] == '"' and len(text) > 1:
        try:
            return Value("'" + str(json.loads(text)).replace("'", "''") + "'", "text")
        except ValueError:
            pass
    raise fault("LexerInvalidIONLiteral")
