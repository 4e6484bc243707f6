"""The Velocity Template Language, as far as mapping templates use it: parsed once, rendered in bounded work.

    template = parse("#set($x = $input.path('$.name')){\\"hello\\": \\"$x\\"}")
    text = template.render({"input": Input(...), "util": Util(), "context": {...}, "stageVariables": {...}})

References with properties, methods and indexes, quiet and formal ones; #set, #if, #elseif, #else, #foreach with
$foreach, #break, #stop, comments, #[[unparsed]]#; literals, lists, ranges, maps, interpolated strings; arithmetic,
comparison and logic. What a reference does not find renders as nothing, as API Gateway does and plain Velocity does not.
#macro, #define, #parse, #include and #evaluate are refused by name.

Sources https://velocity.apache.org/engine/1.7/vtl-reference.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stratolite.services.apigateway import vtl_values as values
from stratolite.services.apigateway.vtl_values import Failed

STEPS_MAX = 50_000
"""Pieces of a template rendered or evaluated at one time; some 50 ms."""
_DEPTH_MAX = 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_NAMES = "set|if|elseif|else|end|foreach|break|stop|macro|define|parse|include|evaluate"
_DIRECTIVE = re.compile(rf"#(?:(?P<plain>{_NAMES})\b|\{{(?P<braced>{_NAMES})\}})")
_SPACE = re.compile(r"\s*")
_LINE_REST = re.compile(r"[ \t]*\r?\n")
_REFUSED = frozenset({"macro", "define", "parse", "include", "evaluate"})
_WORDS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "and": "&&", "or": "||"}  # fmt: skip
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_OPERATOR = re.compile(r"\|\||&&|==|!=|<=|>=|[<>+*/%-]|(?:eq|ne|lt|gt|le|ge|and|or)\b")


class Malformed(Exception):
    """The template is none; says where."""


class NotOffered(Malformed):
    """A directive that is not offered."""


class _Stop(Exception):
    """#stop: nothing more is rendered."""


class _Break(Exception):
    """#break: the innermost loop ends."""


class Scope:
    """What a rendering knows and how much it has worked."""

    __slots__ = ("_steps", "names", "out", "size")

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.out: list[str] = []
        self.size = 0
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Failed("the template takes too long")

    def write(self, text: str) -> None:
        self.size += len(text)
        values.bounded(self.size)
        self.out.append(text)


Node = Callable[[Scope], None]
Expression = Callable[[Scope], Any]


class Template:
    __slots__ = ("_nodes",)

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def render(self, names: dict[str, Any]) -> str:
        """``names`` may be changed by #set. Raises Failed."""
        scope = Scope(names)
        try:
            _run(self._nodes, scope)
        except (_Stop, _Break):
            pass
        except (RecursionError, ArithmeticError) as error:
            raise Failed(str(error)) from error
        return "".join(scope.out)


def parse(text: str) -> Template:
    """Raises Malformed, NotOffered."""
    parser = _Parser(text)
    try:
        nodes, end = parser.block(())
    except RecursionError as error:
        raise Malformed("it is nested too deeply") from error
    if end:
        raise Malformed(f"#{end} without its beginning")
    return Template(nodes)


def _run(nodes: list[Node], scope: Scope) -> None:
    for node in nodes:
        scope.step()
        node(scope)


class _Parser:
    def __init__(self, text: str, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._depth = depth

    # -- text and directives

    def block(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        """Nodes up to one of the directives ``ends`` or the end of the text, and which it was."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise Malformed("it is nested too deeply")
        nodes: list[Node] = []
        plain: list[str] = []

        def flush() -> None:
            if plain:
                nodes.append(_text("".join(plain)))
                plain.clear()

        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char == "\\" and text[self._at + 1 : self._at + 2] in ("$", "#"):
                plain.append(text[self._at + 1])
                self._at += 2
            elif char == "$":
                start = self._at
                reference = self._reference(in_text=True)
                if reference is None:
                    plain.append("$")
                    self._at = start + 1
                else:
                    flush()
                    nodes.append(_shown(reference))
            elif char == "#" and self._comment():
                continue
            elif text.startswith("#[[", self._at):
                end = text.find("]]#", self._at)
                if end < 0:
                    raise Malformed("#[[ without its end")
                plain.append(text[self._at + 3 : end])
                self._at = end + 3
            elif char == "#" and (found := _DIRECTIVE.match(text, self._at)):
                name = found["plain"] or found["braced"]
                if name in ends:
                    flush()
                    self._at = found.end()
                    self._depth -= 1
                    return nodes, name
                if name in _REFUSED:
                    raise NotOffered(f"#{name} is not offered by Stratolite yet")
                if name in ("end", "else", "elseif"):
                    raise Malformed(f"#{name} without its beginning")
                flush()
                self._at = found.end()
                nodes.append(self._directive(name))
            else:
                plain.append(char)
                self._at += 1
        flush()
        self._depth -= 1
        if ends:
            raise Malformed("#end is missing")
        return nodes, ""

    def _comment(self) -> bool:
        text = self._text
        if text.startswith("##", self._at):
            end = text.find("\n", self._at)
            self._at = len(text) if end < 0 else end + 1
            return True
        if text.startswith("#*", self._at):
            end = text.find("*#", self._at + 2)
            if end < 0:
                raise Malformed("#* without its end")
            self._at = end + 2
            return True
        return False

    def _directive(self, name: str) -> Node:
        if name == "break":
            return _raise(_Break)
        if name == "stop":
            return _raise(_Stop)
        if name == "set":
            return self._set()
        return self._if() if name == "if" else self._foreach()

    def _set(self) -> Node:
        self._expect("(")
        self._skip()
        start = self._at
        target = self._reference(in_text=False)
        if target is None:
            raise Malformed(f"#set wants a reference at {start}")
        self._expect("=")
        value = self._expression()
        self._expect(")")
        self._line_rest()
        return _assign(target, value)

    def _if(self) -> Node:
        branches: list[tuple[Expression, list[Node]]] = []
        end = "elseif"
        while end == "elseif":
            self._expect("(")
            condition = self._expression()
            self._expect(")")
            self._line_rest()
            nodes, end = self.block(("elseif", "else", "end"))
            branches.append((condition, nodes))
        otherwise: list[Node] = []
        if end == "else":
            self._line_rest()
            otherwise, _ = self.block(("end",))
        self._line_rest()
        return _choice(branches, otherwise)

    def _foreach(self) -> Node:
        self._expect("(")
        self._skip()
        target = self._reference(in_text=False)
        if target is None or target.path:
            raise Malformed("#foreach wants a name")
        self._skip()
        if not self._text.startswith("in", self._at):
            raise Malformed("#foreach wants in")
        self._at += 2
        items = self._expression()
        self._expect(")")
        self._line_rest()
        nodes, _ = self.block(("end",))
        self._line_rest()
        return _loop(target.name, items, nodes)

    # -- references

    def _reference(self, *, in_text: bool) -> Reference | None:
        """At a ``$``. None if no reference begins there."""
        text, at = self._text, self._at + 1
        if text[self._at : self._at + 1] != "$":
            return None
        at += text.startswith("!", at)
        formal = text.startswith("{", at)
        at += formal
        found = _NAME.match(text, at)
        if found is None:
            return None
        self._at = found.end()
        path: list[tuple[str, Any]] = []
        while self._at < len(text):
            if text[self._at] == ".":
                name = _NAME.match(text, self._at + 1)
                if name is None:
                    break
                self._at = name.end()
                if text.startswith("(", self._at):
                    path.append((name[0], self._arguments()))
                else:
                    path.append((name[0], None))
            elif text[self._at] == "[":
                start = self._at
                self._at += 1
                try:
                    index = self._expression()
                    self._expect("]")
                except Malformed:
                    if not in_text:
                        raise
                    self._at = start
                    break
                path.append(("", index))
            else:
                break
        if formal:
            if not text.startswith("}", self._at):
                if in_text:
                    return None
                raise Malformed(f"${{{found[0]} without its end")
            self._at += 1
        return Reference(found[0], path)

    def _arguments(self) -> list[Expression]:
        self._expect("(")
        found: list[Expression] = []
        self._skip()
        while not self._text.startswith(")", self._at):
            if found:
                self._expect(",")
            found.append(self._expression())
            self._skip()
        self._expect(")")
        return found

    # -- expressions

    def _expression(self, level: int = 0) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._expression(level + 1)
        while True:
            self._skip()
            found = _OPERATOR.match(self._text, self._at)
            operator = _WORDS.get(found[0], found[0]) if found else ""
            if found is None or operator not in _LEVELS[level]:
                return left
            self._at = found.end()
            left = _binary(operator, left, self._expression(level + 1))

    def _unary(self) -> Expression:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise Malformed("it is nested too deeply")
        try:
            self._skip()
            text = self._text
            if text.startswith("!", self._at) or re.compile(r"not\b").match(text, self._at):
                self._at += 1 if text[self._at] == "!" else 3
                inner = self._unary()
                return lambda scope: not values.is_true(inner(scope))
            if text.startswith("-", self._at):
                self._at += 1
                inner = self._unary()
                return lambda scope: values.arithmetic("-", 0, inner(scope))
            return self._primary()
        finally:
            self._depth -= 1

    def _primary(self) -> Expression:
        text, char = self._text, self._text[self._at : self._at + 1]
        if char == "(":
            self._at += 1
            inner = self._expression()
            self._expect(")")
            return inner
        if char == "$":
            reference = self._reference(in_text=False)
            if reference is None:
                raise Malformed(f"no reference at {self._at}")
            return reference.value
        if char in ("'", '"'):
            return self._string(char)
        if char == "[":
            return self._list()
        if char == "{":
            return self._map()
        if found := _NUMBER.match(text, self._at):
            self._at = found.end()
            return _constant(float(found[0]) if found[1] else int(found[0]))
        for word, value in (("true", True), ("false", False), ("null", None)):
            if re.compile(rf"{word}\b").match(text, self._at):
                self._at += len(word)
                return _constant(value)
        raise Malformed(f"no expression at {self._at}: {text[self._at : self._at + 20]}")

    def _string(self, quote: str) -> Expression:
        """Two quotes inside stand for one; double quotes are rendered."""
        pieces, at = [], self._at + 1
        while True:
            end = self._text.find(quote, at)
            if end < 0:
                raise Malformed("a string without its end")
            pieces.append(self._text[at:end])
            at = end + 1
            if not self._text.startswith(quote, at):
                break
            pieces.append(quote)
            at += 1
        self._at = at
        text = "".join(pieces)
        if quote == "'" or ("$" not in text and "#" not in text):
            return _constant(text)
        nodes, _ = _Parser(text, self._depth).block(())
        return _interpolated(nodes)

    def _list(self) -> Expression:
        self._expect("[")
        self._skip()
        items: list[Expression] = []
        while not self._text.startswith("]", self._at):
            if items:
                self._expect(",")
            items.append(self._expression())
            self._skip()
            if len(items) == 1 and self._text.startswith("..", self._at):
                self._at += 2
                last = self._expression()
                self._expect("]")
                return _range(items[0], last)
        self._expect("]")
        return lambda scope: [item(scope) for item in items]

    def _map(self) -> Expression:
        self._expect("{")
        self._skip()
        pairs: list[tuple[Expression, Expression]] = []
        while not self._text.startswith("}", self._at):
            if pairs:
                self._expect(",")
            key = self._expression()
            self._expect(":")
            pairs.append((key, self._expression()))
            self._skip()
        self._expect("}")
        return lambda scope: {values.text(key(scope)): value(scope) for key, value in pairs}

    # -- small things

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _expect(self, token: str) -> None:
        self._skip()
        if not self._text.startswith(token, self._at):
            raise Malformed(
                f"{token} expected at {self._at}: {self._text[self._at : self._at + 20]}"
            )
        self._at += len(token)

    def _line_rest(self) -> None:
        """A directive alone on the rest of its line takes the line's end with it."""
        if found := _LINE_REST.match(self._text, self._at):
            self._at = found.end()


class Reference:
    """``$name`` and what follows: (property, None), (method, arguments) or ("", index)."""

    __slots__ = ("name", "path")

    def __init__(self, name: str, path: list[tuple[str, Any]]) -> None:
        self.name = name
        self.path = path

    def value(self, scope: Scope) -> Any:
        return self._follow(scope, self.path)

    def _follow(self, scope: Scope, path: list[tuple[str, Any]]) -> Any:
        found = scope.names.get(self.name)
        for name, more in path:
            scope.step()
            if found is None:
                return None
            if not name:
                found = values.item(found, more(scope))
            elif more is None:
                found = values.item(found, name)
            else:
                found = values.call(found, name, [argument(scope) for argument in more])
        return found

    def assign(self, scope: Scope, value: Any) -> None:
        if not self.path:
            scope.names[self.name] = value
            return
        name, more = self.path[-1]
        if name and more is not None:
            raise Failed("#set cannot assign to a method")
        holder = self._follow(scope, self.path[:-1])
        values.set_item(holder, name or more(scope), value)


# -- nodes and expressions as functions


def _text(text: str) -> Node:
    return lambda scope: scope.write(text)


def _shown(reference: Reference) -> Node:
    return lambda scope: scope.write(values.text(reference.value(scope)))


def _raise(kind: type[Exception]) -> Node:
    def node(scope: Scope) -> None:  # noqa: ARG001 - the form of a node
        raise kind

    return node


def _assign(target: Reference, value: Expression) -> Node:
    return lambda scope: target.assign(scope, value(scope))


def _choice(branches: list[tuple[Expression, list[Node]]], otherwise: list[Node]) -> Node:
    def node(scope: Scope) -> None:
        for condition, nodes in branches:
            if values.is_true(condition(scope)):
                _run(nodes, scope)
                return
        _run(otherwise, scope)

    return node


def _loop(name: str, items: Expression, nodes: list[Node]) -> Node:
    def node(scope: Scope) -> None:
        found = values.items(items(scope))
        kept = {key: scope.names.get(key) for key in (name, "foreach", "velocityCount")}
        try:
            for index, item in enumerate(found):
                scope.step()
                scope.names[name] = item
                scope.names["velocityCount"] = index + 1
                scope.names["foreach"] = {
                    "index": index,
                    "count": index + 1,
                    "hasNext": index + 1 < len(found),
                    "first": index == 0,
                    "last": index + 1 == len(found),
                    "parent": kept["foreach"],
                }
                _run(nodes, scope)
        except _Break:
            pass
        scope.names.update(kept)

    return node


def _constant(value: Any) -> Expression:
    return lambda scope: value  # noqa: ARG005 - the form of an expression


def _interpolated(nodes: list[Node]) -> Expression:
    def expression(scope: Scope) -> str:
        out, size = scope.out, scope.size
        scope.out = []
        try:
            _run(nodes, scope)
            return "".join(scope.out)
        finally:
            scope.out, scope.size = out, size

    return expression


def _range(first: Expression, last: Expression) -> Expression:
    return lambda scope: values.span(first(scope), last(scope))


def _binary(operator: str, left: Expression, right: Expression) -> Expression:
    if operator == "&&":
        return lambda scope: values.is_true(left(scope)) and values.is_true(right(scope))
    if operator == "||":
        return lambda scope: values.is_true(left(scope)) or values.is_true(right(scope))
    if operator in ("==", "!="):
        wanted = operator == "=="
        return lambda scope: values.equal(left(scope), right(scope)) is wanted
    if operator in ("<", ">", "<=", ">="):
        return lambda scope: values.compared(operator, left(scope), right(scope))
    return lambda scope: values.arithmetic(operator, left(scope), right(scope))
