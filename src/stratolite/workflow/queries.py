"""JSONata expressions: {% $states.input.price * 2 %}, evaluated in bounded time.

    compute = compile_value({"total": "{% $sum($states.input.prices) %}"}, report, "Output", "/States/A")
    compute(view)                                # QueryTrouble: it could not be evaluated, or gave nothing

The library is imported with the first expression there is. An expression may run ``TIME_MS_MAX`` and nest ``DEPTH_MAX``
deep, its regular expressions included; what makes much out of nothing ($pad, ranges) is capped.

Source  https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from stratolite.workflow.failures import QueryTrouble
from stratolite.workflow.surroundings import View, seeded

TIME_MS_MAX = 250
DEPTH_MAX = 150
LENGTH_MAX = 300_000
"""Of a padded text, in letters; of a range, in numbers."""
TEXT_LENGTH_MAX = 10_000
"""Of one expression, in letters."""

Compute = Callable[[View], Any]
Report = Callable[[str, str], None]


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def compile_value(value: Any, report: Report, field: str, place: str) -> Compute:
    """A value with expressions anywhere in it; ``field`` is how errors call its place within the state."""
    if is_expression(value):
        return _compile_expression(value[2:-2].strip(), report, field, f"{place}/{field}")
    if isinstance(value, dict):
        members = {n: compile_value(v, report, f"{field}/{n}", place) for n, v in value.items()}
        return lambda view: {name: member(view) for name, member in members.items()}
    if isinstance(value, list):
        items = [compile_value(v, report, f"{field}[{i}]", place) for i, v in enumerate(value)]
        return lambda view: [item(view) for item in items]
    return lambda view: value


def _compile_expression(text: str, report: Report, field: str, place: str) -> Compute:
    try:
        _parsed(text)
    except ValueError as error:
        report(f"The JSONata expression '{text}' is not valid: {error}", place)
        return lambda view: None
    return lambda view: _evaluate(text, field, view)


def shown_kind(value: Any) -> str:
    """What errors call its type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def expected(text: str, field: str, wanted: str, value: Any) -> QueryTrouble:
    """For a value of another type than the field needs."""
    return QueryTrouble(
        f"The JSONata expression '{text}' specified for the field '{field}' returned an unexpected result type. Expected "
        f"'{wanted}', but was '{shown_kind(value)}' for value: {orjson.dumps(value).decode()}",
        field,
    )


@lru_cache(maxsize=1)
def _library() -> Any:
    depth = sys.getrecursionlimit()
    import jsonata
    from jsonata import functions, jexception, utils

    sys.setrecursionlimit(depth)  # the import raises it for the whole process
    return jsonata, functions, jexception, utils


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    """Raises ValueError with what is wrong."""
    if len(text) > TEXT_LENGTH_MAX:
        raise ValueError(f"it is longer than {TEXT_LENGTH_MAX} characters")
    jexception = _library()[2]
    try:
        made = _evaluator()(text, _Pattern)
    except (jexception.JException, RecursionError, IndexError, AttributeError, TypeError, ValueError) as error:  # fmt: skip
        raise ValueError(_said(error)) from error
    if made.errors:
        raise ValueError(_said(made.errors[0]))
    made.set_output_convert_nulls(False)
    return made


@lru_cache(maxsize=1)
def _evaluator() -> Any:
    jsonata, _, jexception, _ = _library()

    class Evaluator(jsonata.Jsonata):  # type: ignore[misc, name-defined]  # the library has no types
        """The library's, whose ranges and paddings stay within bounds."""

        def evaluate_range_expression(self, lhs: Any, rhs: Any) -> Any:
            if _is_number(lhs) and _is_number(rhs) and rhs - lhs >= LENGTH_MAX:
                raise jexception.JException("D2014", -1, rhs - lhs + 1)
            return super().evaluate_range_expression(lhs, rhs)

    return Evaluator


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Pattern:
    """A regular expression that gives up in time; the library asks for these four methods."""

    def __init__(self, pattern: str, flags: Any) -> None:
        import regex

        bits = regex.IGNORECASE if flags.case_insensitive else 0
        self._made = regex.compile(pattern, bits | (regex.MULTILINE if flags.multiline else 0))
        self.pattern, self.flags = pattern, self._made.flags

    def search(self, string: str) -> Any:
        return self._made.search(string, timeout=TIME_MS_MAX / 1000)

    def match(self, string: str) -> Any:
        return self._made.match(string, timeout=TIME_MS_MAX / 1000)

    def finditer(self, string: str) -> Any:
        return self._made.finditer(string, timeout=TIME_MS_MAX / 1000)

    def sub(self, repl: Any, string: str, count: int = 0) -> str:
        return str(self._made.sub(repl, string, count=count, timeout=TIME_MS_MAX / 1000))

    def split(self, string: str, maxsplit: int = 0) -> list[str]:
        return list(self._made.split(string, maxsplit=maxsplit, timeout=TIME_MS_MAX / 1000))


def _said(error: BaseException) -> str:
    code = getattr(error, "error", "")
    if isinstance(error, RecursionError):
        return "D1011: Stack overflow error"
    if isinstance(error, TimeoutError):
        return "D1012: the regular expression took too long"
    text = str(error).split(" {code=")[0]
    return f"{code}: {text}" if code else f"{type(error).__name__}: {text}"


def _evaluate(text: str, field: str, view: View) -> Any:
    _, _, _, utils = _library()
    expression = _parsed(text)
    null = utils.Utils.NULL_VALUE
    states = {"input": view.data, **view.extra}
    if "context" in text:
        states["context"] = view.context
    variables = {**view.variables, "states": states}
    bindings = {**_functions(view), **_with_nulls(variables, null)}
    expression.environment.set_runtime_bounds(TIME_MS_MAX, DEPTH_MAX)
    try:
        found = expression.evaluate(None, bindings)
    except Exception as error:
        raise QueryTrouble(
            f"The JSONata expression '{text}' specified for the field '{field}' threw an error during evaluation. {_said(error)}",
            field,
        ) from error
    if found is None:
        raise QueryTrouble(
            f"The JSONata expression '{text}' specified for the field '{field}' returned nothing (undefined).",
            field,
        )
    try:
        return _plain(found, null)
    except TypeError as error:
        raise QueryTrouble(
            f"The JSONata expression '{text}' specified for the field '{field}' returned an unsupported result type.",
            field,
        ) from error


def _plain(value: Any, null: Any) -> Any:
    """The library's value as JSON has it. Raises TypeError for functions."""
    if value is null or value is None:
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else _finite(value)
    if isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(inner, null) for name, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(inner, null) for inner in value]
    raise TypeError(type(value).__name__)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TypeError("not a number")
    return value


def _functions(view: View) -> dict[str, Any]:
    """AWS's own functions, and the library's that know time or chance or make much out of little."""
    jsonata, functions, jexception, utils = _library()

    def wrong(name: str) -> Exception:
        return jexception.JException("T0410", -1, 1, name)  # type: ignore[no-any-return]

    def partition(items: Any = None, size: Any = None) -> Any:
        if not isinstance(items, list) or not _is_number(size) or int(size) < 1:
            raise wrong("partition")
        return [items[at : at + int(size)] for at in range(0, len(items), int(size))]

    def range_(first: Any = None, last: Any = None, step: Any = None) -> Any:
        if not all(map(_is_number, (first, last, step))) or not step:
            raise wrong("range")
        if abs(last - first) / abs(step) >= LENGTH_MAX:
            raise wrong("range")
        count = int((last - first) / step) + 1
        made = [first + step * number for number in range(max(count, 0))]
        return made[0] if len(made) == 1 else made  # a sequence of one is its one value

    def hash_(text: Any = None, kind: Any = None) -> Any:
        name = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}.get(kind)  # fmt: skip
        if not isinstance(text, str) or name is None:
            raise wrong("hash")
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    def random_(seed: Any = None) -> Any:
        return view.chance.number() if seed is None else seeded(seed)

    def parse(text: Any = None) -> Any:
        if not isinstance(text, str):
            raise wrong("parse")
        try:
            return _with_nulls(orjson.loads(text), utils.Utils.NULL_VALUE)
        except orjson.JSONDecodeError as error:
            raise wrong("parse") from error

    def pad(text: Any = None, width: Any = None, letter: Any = None) -> Any:
        if _is_number(width) and abs(width) > LENGTH_MAX:
            raise wrong("pad")
        return functions.Functions.pad(text, width, letter)

    def now(picture: Any = None, zone: Any = None) -> Any:
        return functions.Functions.datetime_from_millis(millis(), picture, zone)

    def millis() -> Any:
        return int(view.time_s * 1000)

    made = {
        "partition": partition, "range": range_, "hash": hash_, "random": random_, "uuid": view.chance.uuid, "parse": parse,
        "pad": pad, "now": now, "millis": millis,
    }  # fmt: skip
    return {name: jsonata.Jsonata.JLambda(function) for name, function in made.items()} | {
        "eval": None
    }


def _with_nulls(value: Any, null: Any) -> Any:
    """JSON as the library wants it: its own null, since None means nothing at all."""
    if value is None:
        return null
    if isinstance(value, dict):
        return {name: _with_nulls(inner, null) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_nulls(inner, null) for inner in value]
    return value
