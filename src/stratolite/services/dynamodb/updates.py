"""Update actions applied to a parsed item: values first from the item as it was, then all changes.

Indexes in paths are those of the item as it was: removed elements go last, from the end, and elements set past
the end are appended in the order of their indexes.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stratolite.services.dynamodb import numerals
from stratolite.services.dynamodb.conditions import Values, compile_path, find
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Node, Path
from stratolite.services.dynamodb.values import Item, Value, clone, kind_of

Evaluate = Callable[[Item, Values], Value]
Apply = Callable[[Item, Values], None]

_INCORRECT = "An operand in the update expression has an incorrect data type"
_NO_PATH = "The document path provided in the update expression is invalid for update"


def compile_update(actions: list[Node]) -> Apply:
    """A function that changes a parsed item in place, or raises and leaves it to be thrown away."""
    sets = [(node[1], _compile_value(node[2])) for node in actions if node[0] == "SET"]
    removes = _last_first([node[1] for node in actions if node[0] == "REMOVE"])
    adds = [(node[1], node[2]) for node in actions if node[0] == "ADD"]
    deletes = [(node[1], node[2]) for node in actions if node[0] == "DELETE"]
    if len(sets) == len(actions) and all(len(path) == 1 for path, _ in sets):
        top = [(path[0], value) for path, value in sets]

        def apply_plain(item: Item, values: Values) -> None:
            item.update([(name, evaluate(item, values)) for name, evaluate in top])

        return apply_plain

    def apply(item: Item, values: Values) -> None:
        made = [(path, evaluate(item, values)) for path, evaluate in sets]
        made += [(path, added(find(item, path), values[name])) for path, name in adds]
        made.sort(key=_place)
        for path, value in made:
            put(item, path, value)
        for path, name in deletes:
            left = taken(find(item, path), values[name])
            if left is None:
                remove(item, path)
            elif left is not _ABSENT:
                put(item, path, left)
            else:
                _parent(item, path)
        for path in removes:
            remove(item, path)

    return apply


def _place(pair: tuple[Path, Value]) -> int:
    last = pair[0][-1]
    return last if isinstance(last, int) else -1


def _last_first(paths: list[Path]) -> list[Path]:
    """List elements from the highest index down, so that earlier removals move none of the later ones."""
    return sorted(paths, key=lambda p: [x if isinstance(x, int) else -1 for x in p], reverse=True)


def _compile_value(node: Node) -> Evaluate:
    kind = node[0]
    if kind == "value":
        name = node[1]
        return lambda _, values: values[name]
    if kind == "path":
        get = compile_path(node[1])

        def read(item: Item, values: Values) -> Value:
            found = get(item, values)
            if found is None:
                raise invalid(
                    "The provided expression refers to an attribute that does not exist in the item"
                )
            return clone(found)  # type: ignore[no-any-return]

        return read
    if kind in ("+", "-"):
        x, y = _compile_value(node[1]), _compile_value(node[2])
        minus = kind == "-"

        def sum_up(item: Item, values: Values) -> Value:
            left, right = x(item, values), y(item, values)
            try:
                return {"N": arithmetic(left["N"], right["N"], minus=minus)}
            except KeyError:
                raise invalid(_INCORRECT) from None

        return sum_up
    assert kind == "fn", kind
    first, second = node[2]
    other = _compile_value(second)
    if node[1] == "if_not_exists":
        get = compile_path(first[1])

        def default(item: Item, values: Values) -> Value:
            found = get(item, values)
            return other(item, values) if found is None else clone(found)

        return default
    one = _compile_value(first)

    def append(item: Item, values: Values) -> Value:
        left, right = one(item, values), other(item, values)
        if "L" not in left or "L" not in right:
            raise invalid(_INCORRECT)
        return {"L": left["L"] + right["L"]}

    return append


def arithmetic(left: str, right: str, *, minus: bool = False) -> str:
    try:
        return numerals.add(left, right, minus=minus)
    except numerals.NotANumber as error:
        raise invalid(str(error)) from None


_ABSENT: Value = {}


def added(old: Value | None, more: Value) -> Value:
    """ADD: numbers are summed, sets united."""
    kind = kind_of(more)
    if old is None:
        return more
    if kind not in old:
        raise invalid(_INCORRECT)
    if kind == "N":
        return {"N": arithmetic(old["N"], more["N"])}
    known = set(old[kind])
    return {kind: old[kind] + [x for x in more[kind] if x not in known]}


def taken(old: Value | None, less: Value) -> Value | None:
    """DELETE: what is left of a set, None if nothing is, ``_ABSENT`` if there was none."""
    if old is None:
        return _ABSENT
    kind = kind_of(less)
    if kind not in old:
        raise invalid(_INCORRECT)
    gone = set(less[kind])
    left = [x for x in old[kind] if x not in gone]
    return {kind: left} if left else None


def _parent(item: Item, path: Path) -> Any:
    """The map (dict) or list that holds what ``path`` names."""
    if len(path) == 1:
        return item
    above = find(item, path[:-1])
    inner = None if above is None else above.get("L" if isinstance(path[-1], int) else "M")
    if inner is None:
        raise invalid(_NO_PATH)
    return inner


def put(item: Item, path: Path, value: Value) -> None:
    parent, last = _parent(item, path), path[-1]
    if isinstance(last, int) and last >= len(parent):
        parent.append(value)
    else:
        parent[last] = value


def remove(item: Item, path: Path) -> None:
    parent, last = _parent(item, path), path[-1]
    if isinstance(last, int):
        if last < len(parent):
            del parent[last]
    else:
        parent.pop(last, None)
