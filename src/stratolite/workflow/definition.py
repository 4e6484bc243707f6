"""A definition in the Amazon States Language, checked and compiled once.

    machine, problems = compile_definition(text)          # None and why, where it is no definition
    for task in machine.tasks(): ...                       # Resource and parameters of every Task, for whoever runs them

Sources  https://states-language.net/spec.html
         https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from stratolite.workflow import choices, paths, queries, templates
from stratolite.workflow.failures import QueryTrouble, Trouble
from stratolite.workflow.surroundings import View

Compute = Callable[[View], Any]
TYPES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")
WAIT_S_MAX = 31_536_000
TIMEOUT_S_MAX = 99_999_999
_DEPTH_MAX = 32
_PROBLEMS_MAX = 100
NULL: Any = object()
"""Of InputPath, OutputPath and ResultPath: null was said."""


class Problem(NamedTuple):
    """``code`` and ``message`` in AWS's words; ``place`` is "" where there is none."""

    code: str
    message: str
    place: str


@dataclass(slots=True)
class Retrier:
    errors: list[str]
    interval_s: float
    rate: float
    attempts_max: int
    delay_s_max: float | None
    has_jitter: bool


@dataclass(slots=True)
class Catcher:
    errors: list[str]
    next: str
    result_path: Any
    output: Compute | None
    assign: dict[str, Compute]


@dataclass(slots=True)
class Rule:
    test: Compute
    next: str
    output: Compute | None
    assign: dict[str, Compute]


@dataclass(slots=True)
class Scope:
    """The states of a machine, of one branch or of an iteration."""

    start: str
    states: dict[str, State]
    place: str


@dataclass(slots=True)
class State:
    """One state; a member that its type or query language does not have keeps its default."""

    name: str
    type: str
    place: str
    has_queries: bool
    """JSONata, not JSONPath."""
    raw: dict[str, Any]
    next: str | None = None
    is_end: bool = False
    input_path: Any = None
    output_path: Any = None
    result_path: Any = None
    parameters: Compute | None = None
    """Of JSONata: Arguments."""
    result_selector: Compute | None = None
    output: Compute | None = None
    assign: dict[str, Compute] = field(default_factory=dict)
    resource: str = ""
    credentials: Compute | None = None
    timeout: Compute | None = None
    heartbeat: Compute | None = None
    retry: list[Retrier] = field(default_factory=list)
    catch: list[Catcher] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    default: str | None = None
    wait: Compute | None = None
    """What Seconds, SecondsPath, Timestamp or TimestampPath says."""
    error: Compute | None = None
    cause: Compute | None = None
    branches: list[Scope] = field(default_factory=list)
    """Of a Map state one: what is done with each item."""
    items: Compute | None = None
    item_selector: Compute | None = None
    max_concurrency: Compute | None = None


@dataclass(slots=True)
class Machine:
    scope: Scope
    timeout_s: float | None
    comment: str

    def at(self, place: tuple[tuple[str, int], ...]) -> Scope:
        """The scope of a branch: the states that led there, each with the branch's number."""
        scope = self.scope
        for name, branch in place:
            scope = scope.states[name].branches[branch]
        return scope

    def states(self) -> Iterator[State]:
        """All of them, inner ones too."""
        scopes = [self.scope]
        while scopes:
            for state in scopes.pop().states.values():
                yield state
                scopes += state.branches

    def tasks(self) -> Iterator[State]:
        return (state for state in self.states() if state.type == "Task")


def compile_definition(text: str) -> tuple[Machine | None, list[Problem]]:
    """The machine, or None with all that is wrong with the text."""
    if not text.strip():
        return None, [Problem("SCHEMA_VALIDATION_FAILED", "Definition must be a valid JSON object", "")]  # fmt: skip
    try:
        said = orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError) as error:
        return None, [Problem("INVALID_JSON_DESCRIPTION", *_where(text, error))]
    if not isinstance(said, dict):
        return None, [Problem("SCHEMA_VALIDATION_FAILED", "Definition must be a valid JSON object", "")]  # fmt: skip
    try:
        return _Compiler().machine(said)
    except RecursionError:
        return None, [Problem("SCHEMA_VALIDATION_FAILED", "Definition is nested too deep", "/")]


def _where(text: str, error: BaseException) -> tuple[str, str]:
    line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
    return json_trouble(text, line, column)


def json_trouble(text: str, line: int, column: int) -> tuple[str, str]:
    """What AWS's parser says of text that is no JSON, and where."""
    lines = text.split("\n")
    rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    word = ""
    for letter in rest:
        if not letter.isalnum():
            break
        word += letter
    place = f'[Source: (String)"{text[:500]}"; line: {line}, column: {column + len(word)}]'
    if word and not word[0].isdigit():
        said = f"Unrecognized token '{word}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
    elif rest:
        inner = text.lstrip()[:1] == "{"
        wanted = "was expecting double-quote to start field name" if inner else "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"  # fmt: skip
        said = f"Unexpected character ('{rest[0]}' (code {ord(rest[0])})): {wanted}"
    else:
        said = "Unexpected end-of-input"
    return f"{said}\n at {place}", place


_COMMON = frozenset({"Type", "Comment", "QueryLanguage", "Assign"})
_FLOW = frozenset({"Next", "End"})
_PATHS = frozenset({"InputPath", "OutputPath"})
_RESULT = frozenset({"ResultPath", "ResultSelector"})
_TRYING = frozenset({"Retry", "Catch"})
_TIMES = frozenset({"TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"})  # fmt: skip
_MAP = frozenset({"ItemProcessor", "Iterator", "ItemSelector", "MaxConcurrency", "ItemBatcher", "Label", "ItemReader", "ResultWriter", "ToleratedFailureCount", "ToleratedFailurePercentage"})  # fmt: skip
_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "Pass": (_FLOW | _PATHS | {"Result", "ResultPath", "Parameters"}, _FLOW | {"Output"}),
    "Task": (
        _FLOW | _PATHS | _RESULT | _TRYING | _TIMES | {"Resource", "Parameters", "Credentials"},
        _FLOW | _TRYING | {"Resource", "Arguments", "Output", "TimeoutSeconds", "HeartbeatSeconds", "Credentials"},
    ),
    "Choice": (_PATHS | {"Choices", "Default"}, frozenset({"Choices", "Default", "Output"})),
    "Wait": (
        _FLOW | _PATHS | {"Seconds", "Timestamp", "SecondsPath", "TimestampPath"},
        _FLOW | {"Seconds", "Timestamp", "Output"},
    ),
    "Succeed": (_PATHS, frozenset({"Output"})),
    "Fail": (frozenset({"Error", "Cause", "ErrorPath", "CausePath"}), frozenset({"Error", "Cause"})),
    "Parallel": (
        _FLOW | _PATHS | _RESULT | _TRYING | {"Branches", "Parameters"},
        _FLOW | _TRYING | {"Branches", "Arguments", "Output"},
    ),
    "Map": (
        _FLOW | _PATHS | _RESULT | _TRYING | _MAP
        | {"Parameters", "ItemsPath", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"},
        _FLOW | _TRYING | _MAP | {"Items", "Output"},
    ),
}  # fmt: skip
_DISTRIBUTED = ("ItemBatcher", "ItemReader", "ResultWriter", "Label", "ToleratedFailureCount", "ToleratedFailurePercentage", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath")  # fmt: skip


class _Compiler:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.top_has_queries = False
        self.ends = 0

    def wrong(self, message: str, place: str, code: str = "SCHEMA_VALIDATION_FAILED") -> None:
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(Problem(code, message, place))

    def machine(self, said: dict[str, Any]) -> tuple[Machine | None, list[Problem]]:
        self.top_has_queries = self._language(said, "", is_top=True)
        unknown = set(said) - {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}  # fmt: skip
        for name in sorted(unknown):
            self.wrong(f"The field '{name}' is not supported by Step Functions", "/")
        if said.get("Version", "1.0") != "1.0":
            self.wrong("The field 'Version' should have one of these values: [1.0]", "/Version")
        timeout_s = said.get("TimeoutSeconds")
        if timeout_s is not None and not _is_whole(timeout_s, 1, TIMEOUT_S_MAX):
            self.wrong("Expected value of type Integer", "/TimeoutSeconds")
        scope = self.scope(said, "", 1)
        if self.problems or scope is None:
            return None, self.problems
        return Machine(scope, timeout_s, said.get("Comment", "")), []

    def _language(self, said: dict[str, Any], place: str, *, is_top: bool) -> bool:
        language = said.get("QueryLanguage")
        if language is None:
            return self.top_has_queries
        if language not in ("JSONPath", "JSONata"):
            self.wrong("The field 'QueryLanguage' should have one of these values: [JSONPath, JSONata]", f"{place}/QueryLanguage")  # fmt: skip
        if not is_top and self.top_has_queries and language == "JSONPath":
            self.wrong("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", place)  # fmt: skip
        return bool(language == "JSONata")

    # -- scopes

    def scope(self, said: Any, place: str, depth: int) -> Scope | None:
        if depth > _DEPTH_MAX:
            self.wrong(f"States may be nested {_DEPTH_MAX} deep", place or "/")
            return None
        if not isinstance(said, dict):
            self.wrong("Expected value of type Object", place or "/")
            return None
        missing = [name for name in ("States", "StartAt") if name not in said]
        if missing:
            self.wrong(f"These fields are required: [{', '.join(missing)}]", place or "/")
            return None
        inner = said["States"]
        if not isinstance(inner, dict) or not inner:
            self.wrong("Expected value of type Object" if not isinstance(inner, dict) else "Value cannot be empty", f"{place}/States")  # fmt: skip
            return None
        before = len(self.problems)
        states = {}
        for name, state in inner.items():
            if not name or len(name) > 80:
                self.wrong("State name must be between 1 and 80 characters long", f"{place}/States/{name}")  # fmt: skip
            made = self.state(name, state, f"{place}/States/{name}", depth)
            if made is not None:
                states[name] = made
        scope = Scope(str(said["StartAt"]), states, place)
        if before == len(self.problems):
            self._transitions(scope)
        return scope

    def _transitions(self, scope: Scope) -> None:
        """Every target is there, every state is a target, one of them ends."""
        reached = {scope.start}
        has_end = False
        targets = [(scope.start, f"{scope.place}/StartAt")]
        for state in scope.states.values():
            place = state.place
            has_end = has_end or state.is_end
            if state.next is not None:
                targets.append((state.next, f"{place}/Next"))
            targets += [(rule.next, f"{place}/Choices[{at}]/Next") for at, rule in enumerate(state.rules)]  # fmt: skip
            if state.default is not None:
                targets.append((state.default, f"{place}/Default"))
            targets += [(c.next, f"{place}/Catch[{at}]/Next") for at, c in enumerate(state.catch)]
        for target, place in targets:
            if target not in scope.states:
                self.wrong(f"Missing 'Next' target: {target}", place, "MISSING_TRANSITION_TARGET")
            reached.add(target)
        if not has_end:
            self.wrong("Workflow has no terminal state", "", "MISSING_END_STATE")
            return
        for name, state in scope.states.items():
            if name not in reached:
                self.wrong(f'State "{name}" is not reachable.', state.place, "MISSING_TRANSITION_TARGET")  # fmt: skip

    # -- states

    def state(self, name: str, said: Any, place: str, depth: int) -> State | None:
        if not isinstance(said, dict):
            self.wrong("Expected value of type Object", place)
            return None
        kind = said.get("Type")
        if kind is None:
            self.wrong("These fields are required: [Type]", place)
            return None
        if kind not in TYPES:
            self.wrong(f"The field 'Type' should have one of these values: [{', '.join(TYPES)}]", f"{place}/Type")  # fmt: skip
            return None
        has_queries = self._language(said, place, is_top=False)
        known = _FIELDS[kind][1 if has_queries else 0] | _COMMON
        for member in said:
            if member not in known:
                other = member in _FIELDS[kind][0 if has_queries else 1]
                language = "JSONata" if has_queries else "JSONPath"
                reason = f" with QueryLanguage {language}" if other else ""
                self.wrong(f"The field '{member}' is not supported by Step Functions{reason}", f"{place}/{member}")  # fmt: skip
        state = State(name, kind, place, has_queries, said)
        self._flow(state, said)
        self._paths(state, said)
        state.assign = self._assign(said.get("Assign"), has_queries=has_queries, place=place)
        if "Output" in said:
            state.output = self._query(said["Output"], "Output", place)
        getattr(self, f"_{kind.lower()}")(state, said, depth)
        return state

    def _flow(self, state: State, said: dict[str, Any]) -> None:
        if state.type in ("Succeed", "Fail"):
            state.is_end = True
            return
        if state.type == "Choice":
            return
        end, next_ = said.get("End"), said.get("Next")
        if next_ is not None and not isinstance(next_, str):
            self.wrong("Expected value of type String", f"{state.place}/Next")
            return
        if end is not None and not isinstance(end, bool):
            self.wrong("Expected value of type Boolean", f"{state.place}/End")
            return
        if bool(end) == (next_ is not None):
            self.wrong("Must have exactly one of 'Next' or 'End'" if next_ is not None else "These fields are required: [End] or [Next]", state.place)  # fmt: skip
        state.next, state.is_end = next_, bool(end)

    def _paths(self, state: State, said: dict[str, Any]) -> None:
        state.input_path = self._path(said, "InputPath", state.place)
        state.output_path = self._path(said, "OutputPath", state.place)
        state.result_path = self._reference(said, "ResultPath", state.place)
        for name in ("Parameters", "ResultSelector", "ItemSelector"):
            if name in said and not state.has_queries and not isinstance(said[name], dict) and name != "Parameters":  # fmt: skip
                self.wrong("Expected value of type Object", f"{state.place}/{name}")
        if "Parameters" in said and state.type != "Map":
            state.parameters = self._template(said["Parameters"], f"{state.place}/Parameters")
        if "Arguments" in said:
            state.parameters = self._query(said["Arguments"], "Arguments", state.place)
        if "ResultSelector" in said:
            state.result_selector = self._template(said["ResultSelector"], f"{state.place}/ResultSelector")  # fmt: skip

    def _path(self, said: dict[str, Any], name: str, place: str) -> Any:
        if name not in said:
            return None
        text = said[name]
        if text is None:
            return NULL
        try:
            return paths.parse(text)
        except (ValueError, TypeError, AttributeError):
            self.wrong(f"The value for the field '{name}' must be a valid JSONPath expression", f"{place}/{name}")  # fmt: skip
            return None

    def _reference(self, said: dict[str, Any], name: str, place: str) -> Any:
        if name not in said:
            return None
        text = said[name]
        if text is None:
            return NULL
        try:
            return paths.parse_reference(text)
        except (ValueError, TypeError, AttributeError):
            self.wrong("Value is not a Reference Path", f"{place}/{name}")
            return None

    def _template(self, value: Any, place: str) -> Compute:
        return templates.compile_template(value, self.wrong, place)

    def _query(self, value: Any, field_: str, place: str) -> Compute:
        return queries.compile_value(value, self.wrong, field_, place)

    def _assign(self, said: Any, *, has_queries: bool, place: str) -> dict[str, Compute]:
        if said is None:
            return {}
        if not isinstance(said, dict):
            self.wrong("Expected value of type Object", f"{place}/Assign")
            return {}
        made: dict[str, Compute] = {}
        for name, value in said.items():
            plain = name if has_queries else name.removesuffix(".$")
            if not plain.isidentifier() or len(plain) > 80 or plain == "states":
                self.wrong(f"The variable name '{plain}' is not valid", f"{place}/Assign/{name}")
            if has_queries:
                made[plain] = self._query(value, f"Assign/{name}", place)
            elif name.endswith(".$"):
                made[plain] = templates.compile_expression(value, name, self.wrong, f"{place}/Assign")  # fmt: skip
            else:
                made[plain] = self._template(value, f"{place}/Assign/{name}")
        return made

    # -- each type

    def _pass(self, state: State, said: dict[str, Any], depth: int) -> None:
        return

    def _succeed(self, state: State, said: dict[str, Any], depth: int) -> None:
        return

    def _fail(self, state: State, said: dict[str, Any], depth: int) -> None:
        state.error = self._text(state, said, "Error")
        state.cause = self._text(state, said, "Cause")

    def _text(self, state: State, said: dict[str, Any], name: str) -> Compute | None:
        if name in said and f"{name}Path" in said:
            self.wrong(f"Only one of these fields may be specified: [{name}, {name}Path]", state.place)  # fmt: skip
        if name in said:
            if not isinstance(said[name], str):
                self.wrong("Expected value of type String", f"{state.place}/{name}")
                return None
            return self._query(said[name], name, state.place) if state.has_queries else (lambda view: said[name])  # fmt: skip
        if f"{name}Path" in said:
            return templates.compile_expression(said[f"{name}Path"], f"{name}Path", self.wrong, f"{state.place}/{name}Path")  # fmt: skip
        return None

    def _task(self, state: State, said: dict[str, Any], depth: int) -> None:
        resource = said.get("Resource")
        if resource is None:
            self.wrong("These fields are required: [Resource]", state.place)
        elif not isinstance(resource, str) or not resource.startswith("arn:"):
            self.wrong(f"Value is not a valid resource ARN: {resource}", f"{state.place}/Resource")
        else:
            state.resource = resource
        state.timeout = self._whole(state, said, "TimeoutSeconds", 1, TIMEOUT_S_MAX)
        state.heartbeat = self._whole(state, said, "HeartbeatSeconds", 1, TIMEOUT_S_MAX)
        timeout_s, heartbeat_s = said.get("TimeoutSeconds"), said.get("HeartbeatSeconds")
        if _is_whole(timeout_s, 1, TIMEOUT_S_MAX) and _is_whole(heartbeat_s, 1, TIMEOUT_S_MAX) and heartbeat_s >= timeout_s:  # type: ignore[operator]  # fmt: skip
            self.wrong("Heartbeat must be smaller than timeout", state.place)
        if (who := said.get("Credentials")) is not None:
            if not isinstance(who, dict) or not ({"RoleArn", "RoleArn.$"} & set(who)):
                self.wrong("The field 'RoleArn' is required but was missing", f"{state.place}/Credentials")  # fmt: skip
            elif state.has_queries:
                state.credentials = self._query(who, "Credentials", state.place)
            else:
                state.credentials = self._template(who, f"{state.place}/Credentials")
        self._trying(state, said)

    def _whole(
        self, state: State, said: dict[str, Any], name: str, least: int, most: int
    ) -> Compute | None:
        """A whole number, written out, computed, or at a path."""
        place = f"{state.place}/{name}"
        path_name = f"{name}Path"
        if name in said and path_name in said:
            self.wrong(f"Only one of these fields may be specified: [{name}, {path_name}]", state.place)  # fmt: skip
        if path_name in said and not state.has_queries:
            path = self._path(said, path_name, state.place)
            if path is None or path is NULL:
                return None
            return lambda view: _number_at(path, path_name, view, least, most)
        if name not in said:
            return None
        value = said[name]
        if state.has_queries and queries.is_expression(value):
            compute, text = self._query(value, name, state.place), value[2:-2].strip()

            def checked(view: View) -> Any:
                found = compute(view)
                if not _is_whole(found, least, most):
                    raise queries.expected(text, name, "number", found)
                return found

            return checked
        if not _is_whole(value, least, most):
            self.wrong("Expected value of type Integer" if not _is_whole(value, -(10**12), 10**12) else f"Number is out of range [{least}, {most}]", place)  # fmt: skip
        return lambda view: value

    def _trying(self, state: State, said: dict[str, Any]) -> None:
        for at, one in enumerate(self._list(said, "Retry", state.place)):
            place = f"{state.place}/Retry[{at}]"
            if (errors := self._errors(one, place)) is not None:
                state.retry.append(self._retrier(one, errors, place))
        for at, one in enumerate(self._list(said, "Catch", state.place)):
            place = f"{state.place}/Catch[{at}]"
            errors = self._errors(one, place)
            if errors is None:
                continue
            if not isinstance(one.get("Next"), str):
                self.wrong("These fields are required: [Next]", place)
                continue
            output = self._query(one["Output"], "Output", place) if "Output" in one else None
            assign = self._assign(one.get("Assign"), has_queries=state.has_queries, place=place)
            path = self._reference(one, "ResultPath", place)
            state.catch.append(Catcher(errors, one["Next"], path, output, assign))

    def _retrier(self, one: dict[str, Any], errors: list[str], place: str) -> Retrier:
        rate, jitter = one.get("BackoffRate", 2.0), one.get("JitterStrategy", "NONE")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1.0:
            self.wrong("Number must be greater than or equal to 1.0", f"{place}/BackoffRate")
            rate = 2.0
        if jitter not in ("NONE", "FULL"):
            self.wrong("The field 'JitterStrategy' should have one of these values: [FULL, NONE]", f"{place}/JitterStrategy")  # fmt: skip
        numbers: dict[str, Any] = {}
        for name, least, most, usual in (
            ("IntervalSeconds", 1, TIMEOUT_S_MAX, 1), ("MaxAttempts", 0, TIMEOUT_S_MAX, 3), ("MaxDelaySeconds", 1, WAIT_S_MAX, None),
        ):  # fmt: skip
            numbers[name] = one.get(name, usual)
            if name in one and not _is_whole(one[name], least, most):
                self.wrong(f"Number is out of range [{least}, {most}]", f"{place}/{name}")
                numbers[name] = usual
        return Retrier(
            errors, numbers["IntervalSeconds"], rate, numbers["MaxAttempts"], numbers["MaxDelaySeconds"], jitter == "FULL"
        )  # fmt: skip

    def _errors(self, one: Any, place: str) -> list[str] | None:
        if not isinstance(one, dict):
            self.wrong("Expected value of type Object", place)
            return None
        errors = one.get("ErrorEquals")
        if errors is None:
            self.wrong("These fields are required: [ErrorEquals]", place)
            return None
        if not isinstance(errors, list) or not errors or not all(isinstance(e, str) for e in errors):  # fmt: skip
            self.wrong("Value must be a non-empty Array of Strings", f"{place}/ErrorEquals")
            return None
        if "States.ALL" in errors and len(errors) > 1:
            self.wrong("States.ALL must appear alone", f"{place}/ErrorEquals")
        return errors

    def _list(self, said: dict[str, Any], name: str, place: str) -> list[Any]:
        found = said.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            self.wrong("Expected value of type Array", f"{place}/{name}")
            return []
        for at, one in enumerate(found[:-1]):
            if isinstance(one, dict) and one.get("ErrorEquals") == ["States.ALL"]:
                self.wrong(f"States.ALL must be in the last {name} rule", f"{place}/{name}[{at}]/ErrorEquals")  # fmt: skip
        return found

    def _choice(self, state: State, said: dict[str, Any], depth: int) -> None:
        rules = said.get("Choices")
        if rules is None:
            self.wrong("These fields are required: [Choices]", state.place)
            return
        if not isinstance(rules, list) or not rules:
            self.wrong("Value must be a non-empty Array", f"{state.place}/Choices")
            return
        for at, one in enumerate(rules):
            place = f"{state.place}/Choices[{at}]"
            if not isinstance(one, dict) or not isinstance(one.get("Next"), str):
                self.wrong("These fields are required: [Next]", place)
                continue
            if state.has_queries:
                test: Compute = self._condition(one, at, state.place)
            else:
                test = choices.compile_rule(one, self.wrong, place)
            output = self._query(one["Output"], f"Choices[{at}]/Output", state.place) if "Output" in one else None  # fmt: skip
            assign = self._assign(one.get("Assign"), has_queries=state.has_queries, place=place)
            state.rules.append(Rule(test, one["Next"], output, assign))
        default = said.get("Default")
        if default is not None and not isinstance(default, str):
            self.wrong("Expected value of type String", f"{state.place}/Default")
            return
        state.default = default

    def _condition(self, one: dict[str, Any], at: int, place: str) -> Compute:
        if "Condition" not in one:
            self.wrong("These fields are required: [Condition]", f"{place}/Choices[{at}]")
            return lambda view: False
        value, name = one["Condition"], f"Choices[{at}]/Condition"
        if isinstance(value, bool):
            return lambda view: value
        if not queries.is_expression(value):
            self.wrong("Condition must be a boolean or a JSONata expression", f"{place}/{name}")
            return lambda view: False
        compute = self._query(value, name, place)

        def holds(view: View) -> bool:
            found = compute(view)
            if not isinstance(found, bool):
                raise queries.expected(value[2:-2].strip(), name, "boolean", found)
            return found

        return holds

    def _wait(self, state: State, said: dict[str, Any], depth: int) -> None:
        names = [n for n in ("Seconds", "Timestamp", "SecondsPath", "TimestampPath") if n in said]
        if len(names) != 1:
            self.wrong("Must have exactly one of 'Seconds', 'SecondsPath', 'Timestamp' or 'TimestampPath'", state.place)  # fmt: skip
            return
        name, value = names[0], said[names[0]]
        place = f"{state.place}/{name}"
        if name.endswith("Path"):
            path = self._path(said, name, state.place)
            if path is None or path is NULL:
                return
            compute = _seconds_at if name == "SecondsPath" else _timestamp_at
            state.wait = lambda view: compute(path, name, view)
        elif state.has_queries and queries.is_expression(value):
            inner, text = self._query(value, name, state.place), value[2:-2].strip()
            state.wait = lambda view: _queried_wait(inner(view), text, name, view)
        elif name == "Seconds":
            if not _is_whole(value, 0, WAIT_S_MAX):
                self.wrong(f"Number is out of range [0, {WAIT_S_MAX}]" if _is_whole(value, -(10**12), 10**12) else "Expected value of type Integer", place)  # fmt: skip
            state.wait = lambda view: view.time_s + value
        else:
            moment = choices.timestamp(value)
            if moment is None:
                self.wrong("String does not match RFC3339 timestamp" if isinstance(value, str) else "Expected value of type String", place)  # fmt: skip
            state.wait = lambda view: moment

    def _parallel(self, state: State, said: dict[str, Any], depth: int) -> None:
        branches = said.get("Branches")
        if branches is None:
            self.wrong("These fields are required: [Branches]", state.place)
            return
        if not isinstance(branches, list) or not branches:
            self.wrong("Value cannot be empty" if branches == [] else "Expected value of type Array", f"{state.place}/Branches")  # fmt: skip
            return
        for at, one in enumerate(branches):
            made = self.scope(one, f"{state.place}/Branches[{at}]", depth + 1)
            if made is not None:
                state.branches.append(made)
        self._trying(state, said)

    def _map(self, state: State, said: dict[str, Any], depth: int) -> None:
        name = "ItemProcessor" if "ItemProcessor" in said else "Iterator"
        if name not in said:
            self.wrong("These fields are required: [ItemProcessor]", state.place)
            return
        processor = said[name]
        mode = (processor.get("ProcessorConfig") or {}) if isinstance(processor, dict) else {}
        if mode.get("Mode", "INLINE") != "INLINE":
            self.wrong("Map states of the mode DISTRIBUTED are not offered by Stratolite", f"{state.place}/{name}/ProcessorConfig")  # fmt: skip
        for member in _DISTRIBUTED:
            if member in said:
                self.wrong(f"The field '{member}' is for Map states of the mode DISTRIBUTED, which are not offered by Stratolite", f"{state.place}/{member}")  # fmt: skip
        made = self.scope(processor, f"{state.place}/{name}", depth + 1)
        if made is not None:
            state.branches.append(made)
        state.items = self._items(state, said)
        selector = "ItemSelector" if "ItemSelector" in said else "Parameters"
        if selector in said:
            place = f"{state.place}/{selector}"
            state.item_selector = self._query(said[selector], selector, state.place) if state.has_queries else self._template(said[selector], place)  # fmt: skip
        state.max_concurrency = self._concurrency(state, said)
        self._trying(state, said)

    def _items(self, state: State, said: dict[str, Any]) -> Compute | None:
        if "ItemsPath" in said and not state.has_queries:
            path = self._path(said, "ItemsPath", state.place)
            if path is None or path is NULL:
                return None
            return lambda view: read_path(path, view)
        if "Items" not in said:
            return None
        value = said["Items"]
        compute = self._query(value, "Items", state.place)
        if not queries.is_expression(value):
            return compute

        def listed(view: View) -> Any:
            found = compute(view)
            if not isinstance(found, list):
                raise queries.expected(value[2:-2].strip(), "Items", "array", found)
            return found

        return listed

    def _concurrency(self, state: State, said: dict[str, Any]) -> Compute | None:
        if "MaxConcurrencyPath" in said and not state.has_queries:
            path = self._path(said, "MaxConcurrencyPath", state.place)
            if path is None or path is NULL:
                return None
            return lambda view: _concurrency_at(path, view)
        return self._whole(state, said, "MaxConcurrency", 0, 10**9)


# -- values at paths, with AWS's words for what is wrong with them


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def read_path(path: paths.Path, view: View) -> Any:
    """As InputPath and its like are read. Raises Trouble."""
    try:
        return view.read(path)
    except paths.Missing as missing:
        start = "No results for path:" if missing.is_leaf else "Missing property in path"
        raise Trouble(f"Invalid path '{path.text}' : {start} {missing.place}") from missing
    except ValueError as error:
        raise Trouble(f"Invalid path '{path.text}' : {error}") from error


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _number_at(path: paths.Path, name: str, view: View, least: int, most: int) -> int:
    value = read_path(path, view)
    if not _is_whole(value, least, most):
        raise Trouble(f"The {name} parameter does not reference a valid number: {path.text} == {_shown(value)}")  # fmt: skip
    return int(value)


def _seconds_at(path: paths.Path, name: str, view: View) -> float:
    try:
        value = view.read(path)
    except paths.Missing as missing:
        raise Trouble(f"The {name} parameter does not reference an input value: {path.text}") from missing  # fmt: skip
    if isinstance(value, bool) or not isinstance(value, int):
        raise Trouble(f"The {name} parameter cannot be parsed as a long value: {path.text} == {_shown(value)}")  # fmt: skip
    if value < 0:
        raise Trouble(f"The {name} parameter references a negative value: {path.text} == {value}")
    if value > WAIT_S_MAX:
        raise Trouble("Wait state delay is too long.")
    return view.time_s + value


def _timestamp_at(path: paths.Path, name: str, view: View) -> float:
    try:
        value = view.read(path)
    except paths.Missing as missing:
        raise Trouble(f"The {name} parameter does not reference an input value: {path.text}") from missing  # fmt: skip
    moment = choices.timestamp(value)
    if moment is None:
        raise Trouble(f"The {name} parameter does not reference a valid ISO-8601 extended offset date-time format string: {path.text} == {_shown(value)}")  # fmt: skip
    if moment - view.time_s > WAIT_S_MAX:
        raise Trouble("Wait state delay is too long.")
    return moment


def _queried_wait(value: Any, text: str, name: str, view: View) -> float:
    if name == "Seconds":
        if not _is_whole(value, 0, WAIT_S_MAX):
            raise queries.expected(text, name, "number", value)
        return float(view.time_s + value)
    if not isinstance(value, str):
        raise queries.expected(text, name, "string", value)
    moment = choices.timestamp(value)
    if moment is None:
        raise LateQueryTrouble(f"The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {value}", name)  # fmt: skip
    return moment


class LateQueryTrouble(QueryTrouble):
    """The expression itself was evaluated; what it gave is wrong."""


def _concurrency_at(path: paths.Path, view: View) -> int:
    value = read_path(path, view)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Trouble(f'The MaxConcurrencyPath field refers to value "{_shown(value)}" which is not a valid integer: {path.text}')  # fmt: skip
    if value < 0:
        raise Trouble("MaxConcurrency cannot be negative.")
    return value
