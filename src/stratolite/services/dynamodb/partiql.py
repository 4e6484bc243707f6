"""PartiQL text to syntax trees: the part of the language that DynamoDB speaks.

    SELECT * | path, ... FROM table[.index] [WHERE condition] [ORDER BY key [ASC | DESC], ...]
    INSERT INTO table VALUE {...} [ON CONFLICT DO NOTHING]
    UPDATE table (SET path = data | REMOVE path)... WHERE condition [RETURNING (ALL | MODIFIED) (OLD | NEW) *]
    FROM table WHERE condition (SET ... | REMOVE ...)... [RETURNING ...]
    DELETE FROM table WHERE condition [RETURNING ALL OLD *]
    EXISTS(SELECT ...)

Conditions and operands are ``grammar``'s nodes, so the same compilers turn them into tests and changes. A literal is
("value", "=N") with its value in ``Statement.literals``, a parameter ("value", "?N").
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from stratolite.errors import Fault
from stratolite.services.dynamodb import numerals
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Node, Path, two_paths
from stratolite.services.dynamodb.values import Value

STATEMENT_LENGTH_MAX = 8192
DEPTH_MAX = 64
_NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<ion>`[^`]*`)
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<op><<|>>|<>|<=|>=|!=|\|\||[=<>(){}\[\],.:*?+/%-])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset(
    (
        "ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "CROSS", "DELETE", "DESC", "DISTINCT", "EXISTS", "FALSE", "FROM", "FULL",
        "GROUP", "HAVING", "IN", "INNER", "INSERT", "INTO", "IS", "JOIN", "LEFT", "LIKE", "LIMIT", "MISSING", "NOT", "NULL",
        "ON", "OR", "ORDER", "OUTER", "PIVOT", "REMOVE", "RETURNING", "RIGHT", "SELECT", "SET", "TRUE", "UNION", "UNPIVOT",
        "UPDATE", "VALUES", "WHERE",
    )
)  # fmt: skip
_TYPES = {
    "NULL": "NULL", "BOOL": "BOOL", "BOOLEAN": "BOOL", "BLOB": "B", "STRING": "S", "NUMERIC": "N", "NUMBER": "N",
    "DECIMAL": "N", "STRUCT": "M", "TUPLE": "M", "LIST": "L",
}  # fmt: skip
_FUNCTIONS = {
    "attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1,
}  # fmt: skip
_BOOLEAN = frozenset(_FUNCTIONS) - {"size"}
_SCALE_MAX = 2**31


class Token(NamedTuple):
    kind: str
    """number, string, quoted, ion, word, op or end."""
    text: str
    start: int
    line: int
    column: int

    @property
    def place(self) -> str:
        return f"{self.line}:{self.column}:{len(self.text)}"


@dataclass
class Statement:
    """One parsed statement; shared by all calls with the same text, so frozen."""

    kind: str = ""
    """select, insert, update, delete or exists."""
    table: str = ""
    index: str | None = None
    paths: list[Path] | None = None
    """What a SELECT projects; None means everything."""
    where: Node | None = None
    order: list[tuple[str, bool]] = field(default_factory=list)
    """(attribute, whether descending)."""
    item: dict[str, Any] = field(default_factory=dict)
    """What an INSERT puts: names to nodes ("value", ...), ("list", [...]) or ("map", {...})."""
    ignores_conflict: bool = False
    actions: list[Node] = field(default_factory=list)
    """What an UPDATE does, as ``updates.compile_update`` takes it."""
    returning: str | None = None
    """ "ALL OLD" and so on."""
    literals: dict[str, Value] = field(default_factory=dict)
    composed: dict[str, Node] = field(default_factory=dict)
    """Values that are only known with the parameters: "=N" to ("list" | "map" | "set", ...)."""
    parameters: int = 0
    checks: list[tuple[str, Node]] = field(default_factory=list)
    """(operator, operand) of comparisons that need operands with an order."""


class Malformed(Exception):
    """The message is the whole of DynamoDB's."""


def parse(text: str) -> Statement:
    """Raises ValidationException in DynamoDB's words."""
    found = _parse(text)
    if isinstance(found, str):
        raise invalid(found)
    return found


@lru_cache(maxsize=1000)
def _parse(text: str) -> Statement | str:
    try:
        return _Parser(text).statement()
    except Malformed as error:
        return str(error)
    except Fault as fault:
        return fault.message


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at, line, line_start = 0, 1, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or (found[0] == "/" and text.startswith("/*", at)):
            raise Malformed(_NOT_WELL_FORMED)
        kind = found.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, found[0], at, line, at - line_start + 1))
        if newlines := found[0].count("\n"):
            line += newlines
            line_start = at + found[0].rindex("\n") + 1
        at = found.end()
    tokens.append(Token("end", "", len(text), line, len(text) - line_start + 1))
    return tokens


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0
        self.made = Statement()

    # -- tokens

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def is_word(self, word: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token.kind == "word" and token.text.upper() == word

    def take_word(self, *words: str) -> bool:
        if all(self.is_word(word, i) for i, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def is_op(self, text: str) -> bool:
        token = self.peek()
        return token.kind == "op" and token.text == text

    def take_op(self, text: str) -> bool:
        if self.is_op(text):
            self.at += 1
            return True
        return False

    def expect_op(self, text: str) -> None:
        if not self.take_op(text):
            self.fail(f"Expected '{text}'")

    def expect_word(self, word: str) -> None:
        if not self.take_word(word):
            self.fail(f"Expected {word}")

    def failure(self, detail: str = "Unexpected term") -> Malformed:
        return Malformed(_NOT_WELL_FORMED + detail)

    def fail(self, detail: str = "Unexpected term") -> NoReturn:
        raise self.failure(detail)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.fail("Nesting is too deep")

    # -- statements

    def statement(self) -> Statement:
        made = self.made
        if self.is_word("SELECT"):
            self.select()
        elif self.take_word("INSERT"):
            self.insert()
        elif self.take_word("UPDATE"):
            made.kind = "update"
            self.source(dml=True)
            self.changes()
            self.condition_part()
            self.returning()
        elif self.take_word("FROM"):
            made.kind = "update"
            self.source(dml=True)
            self.condition_part()
            self.changes()
            if made.where is not None and self.is_word("WHERE"):
                self.leftover()
            self.returning()
        elif self.take_word("DELETE"):
            made.kind = "delete"
            self.expect_word("FROM")
            self.source(dml=True)
            self.condition_part()
            self.returning()
            if made.returning not in (None, "ALL OLD"):
                raise Malformed(
                    f"Invalid returning clause: RETURNING {made.returning} *. "
                    "Only RETURNING ALL OLD * is allowed in DELETE statements."
                )
        elif self.take_word("EXISTS"):
            self.expect_op("(")
            if not self.is_word("SELECT"):
                self.fail("Expected data manipulation")
            self.select()
            made.kind = "exists"
            self.expect_op(")")
        else:
            self.fail("Expected data manipulation")
        if self.peek().kind != "end":
            self.leftover()
        if made.where is not None:
            _check_boolean(
                made.where, "WHERE clause must contain an expression that resolves to a boolean"
            )
        _check_overlaps([action[1] for action in made.actions])
        return made

    def leftover(self) -> NoReturn:
        self.fail("Unexpected token after expression")

    def select(self) -> None:
        made = self.made
        self.expect_word("SELECT")
        made.kind = "select"
        if self.is_word("VALUE") and self.peek(1).kind in ("word", "quoted"):
            raise Malformed("Select projection doesn't support value or pivot keywords")
        if self.take_word("DISTINCT"):
            raise Malformed("Unsupported clause: DISTINCT")
        if self.take_op("*"):
            if self.is_op(","):
                raise Malformed(
                    "Other attributes should not be present in the projection when '*' is used."
                )
        else:
            made.paths = [self.projected()]
            while self.take_op(","):
                made.paths.append(self.projected())
            names = [projected_name(path) for path in made.paths]
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise Malformed(f"Duplicate identifiers in select clause: {name}")
        self.expect_word("FROM")
        self.source()
        if self.take_word("WHERE"):
            made.where = self.condition()
        if self.take_word("ORDER", "BY"):
            made.order.append(self.ordering())
            while self.take_op(","):
                made.order.append(self.ordering())
            if made.where is None and not self.is_word("WHERE"):
                raise Malformed(
                    "Must have WHERE clause in the statement when using ORDER BY clause."
                )
        for clause in ("LIMIT", "GROUP", "HAVING", "UNION"):
            if self.is_word(clause):
                raise Malformed(f"Unsupported clause: {clause}")

    def projected(self) -> Path:
        token = self.peek()
        if token.kind == "op" and token.text == "*":
            raise Malformed(
                "Other attributes should not be present in the projection when '*' is used."
            )
        if token.kind == "word" and self.peek(1).text == "(":
            raise Malformed(f"Unexpected path component at {token.place}")
        path = self.path()
        if self.take_word("AS"):
            raise Malformed("Aliasing is not supported")
        return path

    def ordering(self) -> tuple[str, bool]:
        path = self.path()
        if len(path) != 1:
            raise Malformed("Argument to ORDER BY must be of type VariableReference. Type: PATH")
        name = str(path[0])
        if self.take_word("DESC"):
            return name, True
        self.take_word("ASC")
        return name, False

    def source(self, *, dml: bool = False) -> None:
        """A table, or one of its indexes."""
        names = [self.name()]
        while self.take_op("."):
            names.append(self.name())
        if self.is_op(","):
            raise Malformed(
                "FROM clause may only contain a single table name in data manipulation statements"
                if dml
                else "Only select from a single table or index is supported."
            )
        if self.is_word("AS") or (
            self.peek().kind in ("word", "quoted") and self.peek().text.upper() not in _KEYWORDS
        ):
            raise Malformed("Aliasing is not supported")
        if "" in names:
            raise Malformed("Path component cannot be an empty string")
        if len(names) > 2:
            raise Malformed("A path may contain at most 2 components in the FROM clause")
        if dml and len(names) == 2:
            raise Malformed("This operation is not supported on an index")
        self.made.table, self.made.index = names[0], names[1] if len(names) == 2 else None

    def condition_part(self) -> None:
        if not self.take_word("WHERE"):
            raise Malformed(
                "Where clause does not contain a mandatory equality on all key attributes"
            )
        self.made.where = self.condition()

    def insert(self) -> None:
        made = self.made
        made.kind = "insert"
        self.expect_word("INTO")
        made.table = self.name()
        if not made.table:
            raise Malformed("Path component cannot be an empty string")
        if self.is_op("."):
            raise Malformed("This operation is not supported on an index")
        if self.is_word("VALUES") or self.is_op("<<"):
            raise Malformed(
                "Unsupported operation: Inserting multiple items in a single statement is not supported, "
                'use "INSERT INTO tableName VALUE item" instead'
            )
        if not self.take_word("VALUE"):
            self.leftover() if self.peek().kind in ("word", "quoted") else self.fail(
                "Expected VALUE"
            )
        if not self.is_op("{"):
            raise Malformed(
                "Unsupported format in item expression. Please use struct format {...} to express item values "
                "for insert statement."
            )
        node = self.data("root", top=True)
        made.item = node[1]
        if self.take_word("ON", "CONFLICT"):
            if not self.take_word("DO", "NOTHING"):
                raise Malformed('Invalid conflict action. Only "DO NOTHING" action is supported.')
            made.ignores_conflict = True
        if self.is_word("RETURNING"):
            raise Malformed("RETURNING is not supported in INSERT")

    def returning(self) -> None:
        if not self.take_word("RETURNING"):
            return
        for scope in ("ALL", "MODIFIED"):
            for when in ("OLD", "NEW"):
                if self.take_word(scope, when):
                    self.made.returning = f"{scope} {when}"
                    if not self.take_op("*"):
                        raise Malformed(
                            "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause"
                        )
                    if self.is_op(","):
                        raise Malformed(
                            "Invalid syntax with multiple returning elements in RETURNING clause"
                        )
                    return
        self.fail()

    # -- updates

    def changes(self) -> None:
        actions = self.made.actions
        while True:
            if self.take_word("SET"):
                actions.append(self.assignment())
                while self.take_op(","):
                    actions.append(self.assignment())
            elif self.take_word("REMOVE"):
                actions.append(("REMOVE", self.path()))
                while self.take_op(","):
                    actions.append(("REMOVE", self.path()))
            else:
                break
        if not actions:
            if self.is_word("INSERT") or self.is_word("DELETE"):
                raise Malformed(
                    "Only SET and REMOVE are supported in update expressions at this time"
                )
            self.fail()

    def assignment(self) -> Node:
        path = self.path()
        self.expect_op("=")
        token = self.peek()
        name = token.text.upper()
        if name in ("SET_ADD", "SET_DELETE") and self.peek(1).text == "(":
            return self.set_change(path, token, name)
        return ("SET", path, self.assigned())

    def set_change(self, path: Path, token: Token, name: str) -> Node:
        self.at += 1
        first = self.peek(1)
        args = self.arguments(self.assigned)
        if len(args) != 2:
            raise Malformed(f"{name} must have exactly two arguments at {token.place}")
        if args[0] != ("path", path):
            raise Malformed(
                f"The first argument to {name} must equal the assignment value at {token.place}"
            )
        value = args[1]
        if value[0] != "value" or self.literal_kind(value) not in ("SS", "NS", "BS", "?"):
            raise Malformed(
                f"The second argument to {name} must be a value with type SET at {first.place}"
            )
        return ("ADD" if name == "SET_ADD" else "DELETE", path, value[1])

    def literal_kind(self, node: Node) -> str:
        found = self.made.literals.get(node[1])
        if found is not None:
            return next(iter(found))
        if node[1] in self.made.composed:
            return {"list": "L", "map": "M", "set": "?"}[self.made.composed[node[1]][0]]
        return "?"

    def assigned(self) -> Node:
        self.deeper()
        node = self.term()
        while self.is_op("+") or self.is_op("-"):
            sign = self.next().text
            node = (sign, node, self.term())
        self.depth -= 1
        return node

    def term(self) -> Node:
        token = self.peek()
        if self.take_op("("):
            node = self.assigned()
            self.expect_op(")")
            return node
        if token.kind == "word" and self.peek(1).text == "(":
            name = token.text.lower()
            if name not in ("list_append", "if_not_exists"):
                raise Malformed(f"Unrecognized function: {name} at {token.place}")
            self.at += 1
            args = self.arguments(self.assigned)
            if len(args) != 2:
                raise Malformed(_operands(name, len(args)))
            if name == "if_not_exists" and args[0][0] != "path":
                raise Malformed(
                    f"Operator or function requires a document path; operator or function: {name}"
                )
            return ("fn", name, args)
        if self.is_path():
            return ("path", self.path())
        return self.value()

    # -- conditions

    def condition(self) -> Node:
        self.deeper()
        node = self.conjunction()
        while self.take_word("OR"):
            node = ("or", node, self.conjunction())
        self.depth -= 1
        return node

    def conjunction(self) -> Node:
        node = self.negation()
        while self.take_word("AND"):
            node = ("and", node, self.negation())
        return node

    def negation(self) -> Node:
        if self.take_word("NOT"):
            self.deeper()
            node = ("not", self.negation())
            self.depth -= 1
            return node
        return self.primary()

    def primary(self) -> Node:
        if self.is_op("("):
            start, parameters = self.at, self.made.parameters
            self.at += 1
            node = self.condition()
            self.expect_op(")")
            if node[0] not in ("path", "value") and not _is_size(node):
                return node
            self.at, self.made.parameters = start, parameters
        return self.comparison()

    def comparison(self) -> Node:
        x = self.operand()
        token = self.peek()
        if token.kind == "op" and token.text in ("=", "<>", "!=", "<", "<=", ">", ">="):
            self.at += 1
            sign = "<>" if token.text == "!=" else token.text
            y = self.operand()
            return self.compared(sign, x, y)
        if self.is_word("NOT") and (self.is_word("BETWEEN", 1) or self.is_word("IN", 1)):
            self.at += 1
            return ("not", self.ranged(x))
        if self.is_word("BETWEEN") or self.is_word("IN"):
            return self.ranged(x)
        if self.take_word("IS"):
            return self.typed(x)
        if token.kind == "word" and token.text.upper() == "LIKE":
            raise Malformed("Unsupported operator in Condition Expression. Operator: LIKE")
        if token.kind == "op" and token.text in ("+", "-", "*", "/", "%", "||"):
            raise Malformed(f"Unsupported operator in Condition Expression. Operator: {token.text}")
        return x

    def compared(self, sign: str, x: Node, y: Node) -> Node:
        for a, b in ((x, y), (y, x)):
            if a[0] == "fn" and a[1] in _BOOLEAN:
                truth = self.made.literals.get(b[1], {}) if b[0] == "value" else {}
                if sign not in ("=", "<>") or "BOOL" not in truth:
                    raise Malformed(
                        "WHERE clause must contain an expression that resolves to a boolean"
                    )
                return a if truth["BOOL"] is (sign == "=") else ("not", a)
        if sign not in ("=", "<>"):
            self.made.checks += [(sign, x), (sign, y)]
        return ("cmp", sign, x, y)

    def ranged(self, x: Node) -> Node:
        if self.take_word("BETWEEN"):
            low = self.operand()
            self.expect_word("AND")
            high = self.operand()
            self.made.checks += [("BETWEEN", x), ("BETWEEN", low), ("BETWEEN", high)]
            return ("between", x, low, high)
        self.expect_word("IN")
        closing = {"(": ")", "[": "]", "<<": ">>"}.get(self.peek().text)
        if closing is None:
            raise Malformed(_IN)
        self.at += 1
        if self.is_op(closing):
            raise Malformed(_IN)
        choices = [self.operand()]
        while self.take_op(","):
            choices.append(self.operand())
        self.expect_op(closing)
        if x[0] != "path":
            raise Malformed(_IN)
        return ("in", x, choices)

    def typed(self, x: Node) -> Node:
        negated = self.take_word("NOT")
        token = self.next()
        name = token.text.upper()
        node: Node
        if name == "MISSING":
            node = ("fn", "attribute_not_exists", [x])
        elif name in _TYPES:
            node = ("fn", "attribute_type", [x, self.literal({"S": _TYPES[name]})])
        else:
            raise Malformed(
                f"Unsupported data type for IS operator: {token.text}. Supported data types are "
                "[MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]"
            )
        return ("not", node) if negated else node

    def operand(self) -> Node:
        token = self.peek()
        if self.take_op("("):
            node = self.operand()
            self.expect_op(")")
            return node
        if token.kind == "word" and self.peek(1).text == "(" and token.text.upper() != "IN":
            return self.function(token)
        if self.is_word("MISSING"):
            raise Malformed("MISSING must be compared using IS operator")
        if self.is_path():
            return ("path", self.path())
        return self.value()

    def function(self, token: Token) -> Node:
        name = token.text.lower()
        if name == "exists" and self.is_word("SELECT", 2):
            raise Malformed("EXISTS can only be used in ExecuteTransaction write requests.")
        if name not in _FUNCTIONS:
            raise Malformed(f"Unrecognized function: {name} at {token.place}")
        self.at += 1
        args = self.arguments(self.operand)
        if len(args) != _FUNCTIONS[name]:
            raise Malformed(_operands(name, len(args)))
        if name in ("attribute_exists", "attribute_not_exists") and args[0][0] != "path":
            raise Malformed(
                f"Operator or function requires a document path; operator or function: {name}"
            )
        return ("fn", name, args)

    def arguments(self, one: Callable[[], Node]) -> list[Node]:
        self.expect_op("(")
        self.deeper()
        args: list[Node] = []
        if not self.is_op(")"):
            args.append(one())
            while self.take_op(","):
                args.append(one())
        self.expect_op(")")
        self.depth -= 1
        return args

    # -- paths and names

    def is_path(self) -> bool:
        token = self.peek()
        return token.kind == "quoted" or (
            token.kind == "word" and token.text.upper() not in _KEYWORDS
        )

    def name(self) -> str:
        token = self.peek()
        if token.kind == "quoted":
            self.at += 1
            return token.text[1:-1].replace('""', '"')
        if token.kind == "word" and token.text.upper() not in _KEYWORDS:
            self.at += 1
            return token.text
        raise self.failure()

    def path(self) -> Path:
        parts: list[str | int] = [self.name()]
        while True:
            if self.take_op("."):
                if self.is_op("*"):
                    raise Malformed("Unpivot path component like a.*.b are not supported")
                if not self.is_path():
                    self.fail("Invalid path dot component")
                parts.append(self.name())
            elif self.take_op("["):
                token = self.next()
                if token.text == "*":
                    raise Malformed("Wildcard path component like a[*].b are not supported")
                if token.kind == "string":
                    parts.append(_string(token.text))
                elif token.kind == "number" and token.text.isdecimal():
                    if int(token.text) >= 2**31:
                        raise Malformed(
                            f"List index is not within the allowable range; index: [{token.text}]"
                        )
                    parts.append(int(token.text))
                else:
                    self.fail("Invalid path component")
                self.expect_op("]")
            else:
                return tuple(parts)

    # -- values

    def literal(self, value: Value) -> Node:
        name = f"={len(self.made.literals) + len(self.made.composed)}"
        self.made.literals[name] = value
        return ("value", name)

    def value(self) -> Node:
        """A literal or a parameter as an operand."""
        node = self.data("root")
        if node[0] == "value":
            return node
        if self.is_constant(node):
            return self.literal(composed(node, self.made.literals))
        name = f"={len(self.made.literals) + len(self.made.composed)}"
        self.made.composed[name] = node
        return ("value", name)

    def is_constant(self, node: Node) -> bool:
        if node[0] == "value":
            return bool(node[1][0] != "?")
        parts = node[1].values() if node[0] == "map" else node[1]
        return all(map(self.is_constant, parts))

    def data(self, where: str, *, top: bool = False) -> Node:
        self.deeper()
        node = self._data(where, top=top)
        self.depth -= 1
        return node

    def _data(self, where: str, *, top: bool) -> Node:
        token = self.next()
        text = token.text
        if token.kind == "number":
            return self.number(text, where)
        if token.kind == "string":
            return self.literal({"S": _string(text)})
        if token.kind == "word" and self.peek().text != "(":
            word = text.upper()
            if word in ("TRUE", "FALSE"):
                return self.literal({"BOOL": word == "TRUE"})
            if word == "NULL":
                return self.literal({"NULL": True})
        if token.kind == "word" and self.peek().text == "(":
            raise Malformed(
                f"Unsupported data type: {text.lower()} under key {where} at {token.place}"
            )
        if token.kind == "ion":
            raise Malformed(f"Ion Literals are not supported: {text[1:-1]} under key {where}")
        if token.kind != "op":
            self.fail("Unexpected term" if token.kind != "end" else "Unexpected end of statement")
        if text in ("-", "+"):
            if self.peek().kind != "number":
                self.fail()
            return self.number(("-" if text == "-" else "") + self.next().text, where)
        if text == "?":
            self.made.parameters += 1
            return ("value", f"?{self.made.parameters - 1}")
        if text == "[":
            return ("list", self.sequence("]", where))
        if text == "<<":
            members = self.sequence(">>", where)
            if not members:
                raise Malformed("Empty bags are not supported")
            return ("set", members)
        if text == "{":
            return ("map", self.members(where, top=top))
        raise self.failure()

    def sequence(self, closing: str, where: str) -> list[Node]:
        found: list[Node] = []
        if self.take_op(closing):
            return found
        while True:
            found.append(self.data(f"{where}[{len(found)}]"))
            if self.take_op(closing):
                return found
            self.expect_op(",")

    def members(self, where: str, *, top: bool) -> dict[str, Node]:
        found: dict[str, Node] = {}
        if self.take_op("}"):
            return found
        while True:
            token = self.next()
            if token.kind != "string":
                self.fail("Expected a string as a key")
            key = _string(token.text)
            if key in found:
                raise Malformed(f"Duplicate keys in tuple. Key: {key} under {where}")
            self.expect_op(":")
            found[key] = self.data(where if top else f"{where}.{key}")
            if self.take_op("}"):
                return found
            self.expect_op(",")

    def number(self, text: str, where: str) -> Node:
        digits, _, power = text.lower().partition("e")
        if power:
            fraction = len(digits.partition(".")[2])
            if not -_SCALE_MAX < int(power) < _SCALE_MAX or not (
                -_SCALE_MAX < fraction - int(power) < _SCALE_MAX
            ):
                self.fail("")
        try:
            return self.literal({"N": numerals.canonical(text)})
        except numerals.NotANumber as error:
            raise Malformed(f"{error} under {where}") from None


_IN = (
    "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq "
    "with at least one member"
)


def _operands(name: str, count: int) -> str:
    return (
        "Incorrect number of operands for operator or function; "
        f"operator or function: {name}, number of operands: {count}"
    )


def _check_boolean(node: Node, message: str) -> None:
    if node[0] in ("path", "value") or _is_size(node):
        raise Malformed(message)
    if node[0] in ("and", "or"):
        for each in node[1:]:
            _check_boolean(each, "The arguments to AND/OR must be Expressions")
    if node[0] == "not":
        _check_boolean(node[1], "The argument to NOT must be a Type or Expression")


def _check_overlaps(paths: list[Path]) -> None:
    for i, path in enumerate(paths):
        for other in paths[:i]:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                raise Malformed(two_paths("overlap", other, path))


def _is_size(node: Node) -> bool:
    return bool(node[0] == "fn" and node[1] == "size")


def _string(text: str) -> str:
    return text[1:-1].replace("''", "'")


def projected_name(path: Path) -> str:
    """What a projected path is called in the result: its last name, with the indexes behind it."""
    last = max(i for i, part in enumerate(path) if isinstance(part, str))
    return str(path[last]) + "".join(f"[{part}]" for part in path[last + 1 :])


def composed(node: Node, values: dict[str, Value]) -> Value:
    """The attribute value of a data node. Raises ValidationException for a bag that is no set."""
    kind, inner = node
    if kind == "value":
        return values[inner]
    if kind == "list":
        return {"L": [composed(each, values) for each in inner]}
    if kind == "map":
        return {"M": {name: composed(each, values) for name, each in inner.items()}}
    members = [composed(each, values) for each in inner]
    kinds = {next(iter(member)) for member in members}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise invalid(
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags"
        )
    (of,) = kinds
    found = [member[of] for member in members]
    if len(set(found)) != len(found):
        raise invalid(
            "One or more parameter values were invalid: "
            f"Input collection [{', '.join(found)}] contains duplicates."
        )
    return {f"{of}S": found}
