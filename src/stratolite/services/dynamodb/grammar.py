"""Expression text to syntax trees: conditions (also filters and key conditions), updates, projections.

Conditions
    ("or" | "and", a, b)  ("not", a)  ("cmp", op, x, y)  ("between", x, low, high)  ("in", x, [..])
    ("fn", name, [..])                 attribute_exists, begins_with, ...
Operands
    ("path", (name, 3, name))  ("value", ":v")  ("fn", "size", [..])
    in updates also ("+" | "-", x, y)  ("fn", "if_not_exists" | "list_append", [..])
Updates
    [("SET", path, operand), ("REMOVE", path), ("ADD", path, ":v"), ("DELETE", path, ":v")]

DynamoDB answers one error per expression: a syntax error at once, else the first of a fixed order of kinds
(``_ORDER``), so the parser notes errors by kind and goes on.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from stratolite.services.dynamodb.reserved import RESERVED

Path = tuple[str | int, ...]
Node = tuple[Any, ...]

EXPRESSION_SIZE_BYTES_MAX = 4096
PATH_DEPTH_MAX = 32
_PARENS_MAX = 100

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:([A-Za-z_][A-Za-z0-9_]*)|([#:][A-Za-z0-9_]+)|([0-9]+)|(<=|>=|<>|[=<>()\[\],.+\-])|(\S))"
)


class Bad(Exception):
    """The expression is wrong; the message follows "Invalid FilterExpression: "."""


class Token(NamedTuple):
    kind: str
    """"name", "#", ":", "int", "op", "bad", "end"."""
    text: str
    start: int
    stop: int


def path_text(path: Path) -> str:
    return "[" + ", ".join(f"[{p}]" if isinstance(p, int) else p for p in path) + "]"


class Parser:
    """One expression. ``names`` is ExpressionAttributeNames, ``types`` the value types (":v" -> "S")."""

    def __init__(
        self,
        text: str,
        names: Mapping[str, str],
        types: Mapping[str, str],
        keywords: frozenset[str],
    ) -> None:
        self.source = text
        self.names, self.types = names, types
        self.keywords = keywords
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0
        self.errors: dict[str, str] = {}
        self.used_names: set[str] = set()
        self.used_values: set[str] = set()
        self.paths: list[Path] = []
        """Every path met, in order."""
        self.groups: dict[int, int] = {}

    # -- tokens

    def peek(self) -> Token:
        return self.tokens[self.at]

    def is_op(self, text: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "op" and token.text == text

    def is_word(self, word: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "name" and token.text.upper() == word

    def take_op(self, text: str) -> bool:
        if self.is_op(text):
            self.at += 1
            return True
        return False

    def expect_op(self, text: str) -> None:
        if not self.take_op(text):
            raise self.syntax_error()

    def syntax_error(self) -> Bad:
        token = self.tokens[self.at]
        before = self.tokens[self.at - 1] if self.at else token
        if token.kind == "end":
            return Bad(f'Syntax error; token: "<EOF>", near: "{before.text}"')
        following = self.tokens[self.at + 1]
        stop = token.stop if following.kind == "end" else following.stop
        near = self.source[before.start : stop]
        return Bad(f'Syntax error; token: "{token.text}", near: "{near}"')

    def note(self, kind: str, message: str) -> None:
        self.errors.setdefault(kind, message)

    def finish(self, order: tuple[str, ...]) -> None:
        if self.peek().kind != "end":
            raise self.syntax_error()
        for kind in order:
            if kind in self.errors:
                raise Bad(self.errors[kind])

    # -- names, values, paths

    def name(self) -> str:
        token = self.peek()
        if token.kind == "name" and token.text.upper() not in self.keywords:
            self.at += 1
            if token.text.upper() in RESERVED:
                self.note(
                    "reserved",
                    f"Attribute name is a reserved keyword; reserved keyword: {token.text}",
                )
            return token.text
        if token.kind == "#":
            self.at += 1
            self.used_names.add(token.text)
            found = self.names.get(token.text)
            if found is None:
                self.note(
                    "name",
                    "An expression attribute name used in the document path is not defined; "
                    f"attribute name: {token.text}",
                )
                return token.text
            return found
        raise self.syntax_error()

    def path(self, head: Path | None = None) -> Path:
        """A document path, or the rest of one whose beginning stood in parentheses."""
        if head is not None:
            self.paths.remove(head)
        parts: list[str | int] = [self.name()] if head is None else list(head)
        while True:
            if self.take_op("."):
                parts.append(self.name())
            elif self.is_op("["):
                self.at += 1
                token = self.peek()
                if token.kind != "int":
                    raise self.syntax_error()
                self.at += 1
                self.expect_op("]")
                index = int(token.text[:10])
                if index >= 2**31:
                    self.note(
                        "index",
                        f"List index is not within the allowable range; index: [{token.text}]",
                    )
                parts.append(index)
            else:
                found = tuple(parts)
                if len(found) > PATH_DEPTH_MAX:
                    self.note(
                        "index",
                        "The document path has too many nesting elements; "
                        f"nesting levels: {len(found)}",
                    )
                self.paths.append(found)
                return found

    def value(self) -> str:
        token = self.peek()
        if token.kind != ":":
            raise self.syntax_error()
        self.at += 1
        self.used_values.add(token.text)
        if token.text not in self.types:
            self.note(
                "value",
                "An expression attribute value used in expression is not defined; "
                f"attribute value: {token.text}",
            )
        return token.text

    def operand(self) -> Node:
        """A function, value or path, perhaps in parentheses."""
        if self.is_op("("):
            node = self.group(self.operand)
            if node[0] == "path" and (self.is_op(".") or self.is_op("[")):
                return ("path", self.path(node[1]))
            return node
        token = self.peek()
        if token.kind == ":":
            return ("value", self.value())
        after = self.tokens[self.at + 1] if token.kind == "name" else None
        if (
            after is not None
            and after.kind == "op"
            and after.text == "("
            and token.text.upper() not in self.keywords
        ):
            return self.function()
        return ("path", self.path())

    def group(self, inner: Callable[[], Node]) -> Node:
        start = self.at
        self.expect_op("(")
        self.depth += 1
        if self.depth > _PARENS_MAX:
            raise Bad(f"The expression is nested too deeply; parentheses: {_PARENS_MAX}")
        node = inner()
        self.depth -= 1
        self.expect_op(")")
        if self.groups.get(start + 1) == self.at - 2:
            self.note("parens", "The expression has redundant parentheses;")
        self.groups[start] = self.at - 1
        return node

    def check_ordered(self, name: str, operands: list[Node]) -> None:
        """What is compared has an order."""
        for operand in operands:
            kind = self.type_of(operand)
            if kind and kind not in "SNB":
                self.note("function", self.wrong_operand(name, kind))

    def function(self) -> Node:
        name = self.peek().text
        self.at += 1
        self.expect_op("(")
        self.depth += 1
        if self.depth > _PARENS_MAX:
            raise Bad(f"The expression is nested too deeply; parentheses: {_PARENS_MAX}")
        args = [self.operand()]
        while self.take_op(","):
            args.append(self.operand())
        self.depth -= 1
        self.expect_op(")")
        self.check_function(name, args)
        return ("fn", name, args)

    def check_function(self, name: str, args: list[Node]) -> None:
        raise NotImplementedError

    def count_matches(
        self, name: str, args: list[Node], wanted: Mapping[str, int], kind: str
    ) -> bool:
        if name not in wanted:
            self.note("unknown", f"Invalid function name; function: {name}")
            return False
        if len(args) != wanted[name]:
            self.note(
                kind,
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(args)}",
            )
            return False
        return True

    def type_of(self, operand: Node) -> str | None:
        """The type of a value operand, None if only the item can tell."""
        return self.types.get(operand[1]) if operand[0] == "value" else None

    def wrong_operand(self, name: str, kind: str) -> str:
        return (
            "Incorrect operand type for operator or function; "
            f"operator or function: {name}, operand type: {kind}"
        )


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while match := _TOKEN.match(text, at):
        index = match.lastindex or 0
        word = match[index]
        kind = ("", "name", word[0], "int", "op", "bad")[index]
        tokens.append(Token(kind, word, match.start(index), match.end()))
        at = match.end()
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def names_in(text: str, names: Mapping[str, str]) -> Iterator[str]:
    """The attributes an expression of any kind starts its paths with; it need not be a right one."""
    before = ""
    tokens = _tokens(text)
    for i, token in enumerate(tokens[:-1]):
        starts = before != "."
        before = token.text
        if not starts or (tokens[i + 1].text == "(" and token.kind == "name"):
            continue
        if token.kind == "#":
            yield names.get(token.text, token.text)
        elif token.kind == "name" and token.text.upper() not in _WORDS:
            yield token.text


# -- conditions

_CONDITION_WORDS = frozenset(("BETWEEN", "IN", "AND", "OR", "NOT"))
_CONDITION_FUNCTIONS = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_COMPARATORS = frozenset(("=", "<>", "<", "<=", ">", ">="))
_CONDITION_ORDER = ("parens", "unknown", "misused", "reserved", "condition", "index")


class ConditionParser(Parser):
    def __init__(self, text: str, names: Mapping[str, str], types: Mapping[str, str]) -> None:
        super().__init__(text, names, types, _CONDITION_WORDS)
        self.compared: list[tuple[str, str]] = []
        """Pairs of values that BETWEEN holds against each other; checked when the values are known."""
        self.type_names: list[str] = []
        """Values that name a type in attribute_type."""

    def parse(self) -> Node:
        node = self.disjunction()
        self.finish(_CONDITION_ORDER)
        return node

    def disjunction(self) -> Node:
        node = self.conjunction()
        while self.is_word("OR"):
            self.at += 1
            node = ("or", node, self.conjunction())
        return node

    def conjunction(self) -> Node:
        node = self.negation()
        while self.is_word("AND"):
            self.at += 1
            node = ("and", node, self.negation())
        return node

    def negation(self) -> Node:
        if self.is_word("NOT"):
            self.at += 1
            self.depth += 1
            if self.depth > _PARENS_MAX:
                raise Bad(f"The expression is nested too deeply; NOT: {_PARENS_MAX}")
            node = ("not", self.negation())
            self.depth -= 1
            return node
        return self.primary()

    def primary(self) -> Node:
        if self.is_op("(") and not self.operand_follows():
            return self.group(self.disjunction)
        node = self.simple()
        for kind in ("name", "value", "operand", "distinct", "function"):
            if kind in self.errors:
                self.note("condition", self.errors[kind])
                break
        return node

    def operand_follows(self) -> bool:
        """Whether the parenthesis here holds an operand ("(a) = :v") and not a condition."""
        depth, at = 0, self.at
        while True:
            token = self.tokens[at]
            if token.kind == "end":
                return False
            if token.kind == "op":
                if token.text == "(":
                    depth += 1
                elif token.text == ")":
                    depth -= 1
                    if not depth:
                        break
                elif token.text in _COMPARATORS:
                    return False
            elif token.kind == "name" and token.text.upper() in _CONDITION_WORDS:
                return False
            at += 1
        token = self.tokens[at + 1]
        return (token.kind == "op" and token.text in (_COMPARATORS | {".", "["})) or (
            token.kind == "name" and token.text.upper() in ("BETWEEN", "IN")
        )

    def simple(self) -> Node:
        x = self.operand()
        token = self.peek()
        if token.kind == "op" and token.text in _COMPARATORS:
            self.at += 1
            y = self.operand()
            self.not_boolean([x, y])
            self.check_distinct(token.text, [x, y])
            if token.text not in ("=", "<>"):
                self.check_ordered(token.text, [x, y])
            return ("cmp", token.text, x, y)
        if self.is_word("BETWEEN"):
            self.at += 1
            low = self.operand()
            if not self.is_word("AND"):
                raise self.syntax_error()
            self.at += 1
            high = self.operand()
            self.not_boolean([x, low, high])
            self.check_ordered("BETWEEN", [x, low, high])
            if low[0] == "value" and high[0] == "value":
                self.compared.append((low[1], high[1]))
            return ("between", x, low, high)
        if self.is_word("IN"):
            self.at += 1
            self.expect_op("(")
            choices = [self.operand()]
            while self.take_op(","):
                choices.append(self.operand())
            self.expect_op(")")
            self.not_boolean([x, *choices])
            if len(choices) > 100:
                self.note(
                    "operand",
                    f"Incorrect number of operands for operator or function; operator or function: IN, number of operands: {len(choices) + 1}",
                )
            return ("in", x, choices)
        if x[0] != "fn":
            raise self.syntax_error()
        if x[1] == "size":
            self.misused("size")
        return x

    def misused(self, name: str) -> None:
        self.note(
            "misused",
            f"The function is not allowed to be used this way in an expression; function: {name}",
        )

    def not_boolean(self, operands: list[Node]) -> None:
        for operand in operands:
            if operand[0] == "fn" and operand[1] != "size":
                self.misused(operand[1])
                return

    def check_distinct(self, name: str, args: list[Node]) -> None:
        if len(args) == 2 and args[0][0] == "path" and args[0] == args[1]:
            self.note(
                "distinct",
                "The first operand must be distinct from the remaining operands for this operator "
                f"or function; operator: {name}, first operand: {path_text(args[0][1])}",
            )

    def check_function(self, name: str, args: list[Node]) -> None:
        self.not_boolean(args)
        if not self.count_matches(name, args, _CONDITION_FUNCTIONS, "operand"):
            return
        self.check_distinct(name, args)
        if name in ("attribute_exists", "attribute_not_exists"):
            if args[0][0] != "path":
                self.note(
                    "function",
                    f"Operator or function requires a document path; operator or function: {name}",
                )
        elif name == "begins_with":
            for arg in args:
                kind = "N" if arg[0] == "fn" else self.type_of(arg)
                if kind and kind not in "SB":
                    self.note("function", self.wrong_operand(name, kind))
        elif name == "attribute_type":
            if args[1][0] == "fn":
                self.note("function", self.wrong_operand(name, "N"))
            elif args[1][0] != "value":
                self.note("function", self.wrong_operand(name, "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"))
            elif (kind := self.type_of(args[1])) and kind != "S":
                self.note("function", self.wrong_operand(name, kind))
            else:
                self.type_names.append(args[1][1])
        elif name == "size":
            kind = "N" if args[0][0] == "fn" else self.type_of(args[0])
            if kind in ("N", "BOOL", "NULL"):
                self.note("function", self.wrong_operand(name, kind))


# -- updates

_UPDATE_WORDS = frozenset(("SET", "REMOVE", "ADD", "DELETE"))
_WORDS = _CONDITION_WORDS | _UPDATE_WORDS
_UPDATE_FUNCTIONS = {"if_not_exists": 2, "list_append": 2}
_UPDATE_ORDER = (
    "reserved",
    "unknown",
    "section",
    "name",
    "value",
    "overlap",
    "conflict",
    "operand",
    "function",
    "index",
)
_LONG_TYPES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


class UpdateParser(Parser):
    def __init__(self, text: str, names: Mapping[str, str], types: Mapping[str, str]) -> None:
        super().__init__(text, names, types, _UPDATE_WORDS)
        self.targets: list[Path] = []

    def parse(self) -> list[Node]:
        actions: list[Node] = []
        seen: set[str] = set()
        while True:
            token = self.peek()
            word = token.text.upper() if token.kind == "name" else ""
            if word not in _UPDATE_WORDS:
                raise self.syntax_error()
            self.at += 1
            if word in seen:
                self.note(
                    "section",
                    f'The "{word}" section can only be used once in an update expression;',
                )
            seen.add(word)
            action = getattr(self, f"_{word.lower()}")
            actions.append(action())
            while self.take_op(","):
                actions.append(action())
            if self.peek().kind == "end":
                break
        self.finish(_UPDATE_ORDER)
        return actions

    def _set(self) -> Node:
        path = self.target()
        self.expect_op("=")
        return ("SET", path, self.assigned())

    def _remove(self) -> Node:
        return ("REMOVE", self.target())

    def _add(self) -> Node:
        path = self.target()
        return ("ADD", path, self.checked("ADD", ("NS", "SS", "BS", "N")))

    def _delete(self) -> Node:
        path = self.target()
        return ("DELETE", path, self.checked("DELETE", ("NS", "SS", "BS")))

    def checked(self, section: str, kinds: tuple[str, ...]) -> str:
        value = self.value()
        kind = self.types.get(value)
        if kind and kind not in kinds:
            self.note(
                "operand",
                "Incorrect operand type for operator or function; "
                f"operator: {section}, operand type: {_LONG_TYPES.get(kind, kind)}",
            )
        return value

    def target(self) -> Path:
        path = self.path()
        note_overlap(self, self.targets, path)
        self.targets.append(path)
        return path

    def assigned(self) -> Node:
        if self.is_op("("):
            start = self.at
            node = self.group(self.arithmetic)
            if not (self.is_op("+") or self.is_op("-")):
                return node
            self.at = start
        return self.arithmetic()

    def arithmetic(self) -> Node:
        x = self.operand()
        for sign in "+-":
            if self.take_op(sign):
                y = self.operand()
                for operand in (x, y):
                    kind = self.type_of(operand)
                    if operand[0] == "fn" and operand[1] == "list_append":
                        kind = "L"
                    if kind and kind != "N":
                        self.note("function", self.wrong_operand(sign, kind))
                return (sign, x, y)
        return x

    def check_function(self, name: str, args: list[Node]) -> None:
        if not self.count_matches(name, args, _UPDATE_FUNCTIONS, "function"):
            return
        if name == "if_not_exists":
            if args[0][0] != "path":
                self.note(
                    "function",
                    f"Operator or function requires a document path; operator or function: {name}",
                )
            return
        for arg in args:
            kind = self.type_of(arg)
            if kind and kind != "L":
                self.note("function", self.wrong_operand(name, kind))


def note_overlap(parser: Parser, known: list[Path], path: Path) -> None:
    """Note the first pair of paths that overlap, or that treat one thing as a list and as a map."""
    for other in known:
        for a, b in zip(other, path, strict=False):
            if isinstance(a, int) is not isinstance(b, int):
                parser.note("conflict", two_paths("conflict", other, path))
                break
            if a != b:
                break
        else:
            parser.note("overlap", two_paths("overlap", other, path))
            return


def two_paths(verb: str, one: Path, two: Path) -> str:
    return (
        f"Two document paths {verb} with each other; must remove or rewrite one of these paths; "
        f"path one: {path_text(one)}, path two: {path_text(two)}"
    )


# -- projections

_PROJECTION_ORDER = ("reserved", "name", "overlap", "conflict", "index")


class ProjectionParser(Parser):
    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        super().__init__(text, names, {}, frozenset())

    def parse(self) -> list[Path]:
        found: list[Path] = []
        while True:
            path = self.path()
            note_overlap(self, found, path)
            found.append(path)
            if not self.take_op(","):
                break
        self.finish(_PROJECTION_ORDER)
        return found
