"""What an execution remembers between two steps, and what one step changes of it.

Stored under keys that are tuples, each value MessagePack (a struct as an array of its fields, in order):

    ("root",)                 Root
    ("line", id)              Line: the top one is 1
    ("items", id, page)       JSON text of up to ``ITEMS_PAGE`` items of a Map state that have yet to start
    ("result", id, index)     JSON text: what a branch or an iteration of the line came to

A step touches the lines that move, not those that wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

Key = tuple[str | int, ...]
Read = Callable[[Key], bytes | None]
ITEMS_PAGE = 100
_encode = msgspec.msgpack.Encoder().encode


class Root(msgspec.Struct, array_like=True):
    events: int = 0
    """The id of the newest event."""
    lines: int = 0
    """The id of the newest line."""
    ready: list[tuple[int, str]] = []
    """(line, what it is to do), in order; more than one step may do."""
    is_over: bool = False


class Line(msgspec.Struct, array_like=True):
    """One line of control: the machine's own, a branch's or an iteration's."""

    id: int
    parent: int
    """0: none."""
    index: int
    """Which branch or iteration of its parent's state it is."""
    place: list[tuple[str, int]]
    """Its scope, as ``Machine.at`` takes it."""
    state: str
    input: str
    """JSON text: of the state it is in, or about to enter."""
    last: int
    """The id of its newest event."""
    variables: str = "{}"
    """Its own; those of its parents stand behind them."""
    item: str = ""
    """Of an iteration: JSON text of the context object's Map.Item."""
    entered: int = 0
    """The id of the event of its entering the state, 0: it has not."""
    before: int = 0
    """The id of the event before that."""
    entered_s: float = 0.0
    retries: list[int] = []
    """How often each retrier of the state was used."""
    doing: str = ""
    """What it waits for: task, wait, retry, children."""
    wait: str = ""
    """Tells this waiting from the line's other ones."""
    is_submitted: bool = False
    children: list[int] = []
    """The lines of its branches or iterations that run."""
    total: int = 0
    started: int = 0
    limit: int = 0
    """How many iterations may run at once."""
    size: int = 0
    """Bytes of the results so far."""
    heartbeat_s: float = 0.0


_decode_root = msgspec.msgpack.Decoder(Root).decode
_decode_line = msgspec.msgpack.Decoder(Line).decode


class Doc:
    """A JSON document, as text or as a value, whichever is there or needed."""

    __slots__ = ("_text", "_value")

    def __init__(self, value: Any = None, text: str | None = None) -> None:
        self._value, self._text = value, text

    @classmethod
    def of(cls, text: str) -> Doc:
        return cls(_UNREAD, text)

    @property
    def value(self) -> Any:
        if self._value is _UNREAD:
            assert self._text is not None
            self._value = orjson.loads(self._text)
        return self._value

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = orjson.dumps(self._value).decode()
        return self._text


_UNREAD: Any = object()


class Memory:
    """What is remembered as one step sees it; ``changes`` are to be kept, None for what goes."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.changes: dict[Key, bytes | None] = {}
        self._lines: dict[int, Line | None] = {}
        raw = read(("root",))
        self.root = Root() if raw is None else _decode_root(raw)

    def line(self, id_: int) -> Line | None:
        if id_ not in self._lines:
            raw = self._read(("line", id_))
            self._lines[id_] = None if raw is None else _decode_line(raw)
        return self._lines[id_]

    def add(self, line: Line) -> None:
        self._lines[line.id] = line

    def drop(self, line: Line) -> None:
        self._lines[line.id] = None
        self.changes[("line", line.id)] = None
        self.forget(line)

    def forget(self, line: Line) -> None:
        """The items and results of the state it is in."""
        for page in range(-(-line.total // ITEMS_PAGE)):
            self.changes[("items", line.id, page)] = None
        for index in range(line.total):
            self.changes[("result", line.id, index)] = None
        line.children, line.total, line.started, line.size = [], 0, 0, 0

    def get(self, key: Key) -> str | None:
        raw = self.changes[key] if key in self.changes else self._read(key)
        return None if raw is None else raw.decode()

    def put(self, key: Key, text: str) -> None:
        self.changes[key] = text.encode()

    def finish(self) -> dict[Key, bytes | None]:
        self.changes[("root",)] = _encode(self.root)
        for id_, line in self._lines.items():
            if line is not None:
                self.changes[("line", id_)] = _encode(line)
        return self.changes


def waits(read: Read, line: int, wait: str) -> bool:
    """Whether a line is still waiting as ``wait``."""
    found = Memory(read).line(line)
    return found is not None and bool(wait) and found.wait == wait
