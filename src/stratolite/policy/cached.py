"""A principal's policies ready to be asked, remembering the answers that no condition took part in.

    rules = Rules(identity=documents, boundary=None)
    rules.decide(key, question_of)

Which answers may be kept shows in the asking: an evaluation that never looked into the context gives
the same answer whatever the context is. ``Rules`` must be thrown away with the documents it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from stratolite.policy.decide import Decision, Question, decide
from stratolite.policy.document import Document
from stratolite.policy.patterns import Context

_KNOWN_COUNT_MAX = 4096
Key = tuple[str, ...]


class Watched(Mapping[str, Sequence[str]]):
    """A context that is made when somebody looks into it, and knows that somebody did."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Context]) -> None:
        self._make = make
        self._made: Context | None = None

    @property
    def seen(self) -> bool:
        return self._made is not None

    def _all(self) -> Context:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: str) -> Sequence[str]:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


@dataclass(slots=True)
class Rules:
    """Everything that says what a principal may do, apart from the resource's own policy."""

    identity: Sequence[Document] = ()
    boundary: Document | None = None
    sessions: Sequence[Document] | None = None
    service_control: Sequence[Sequence[Document]] = ()
    known: dict[Key, Decision] = field(default_factory=dict)
    """By everything but the context that a decision depends on, as the asker's key says."""

    def decide(
        self,
        key: Key,
        question: Callable[[Context], Question],
        context: Callable[[], Context],
        resource_policy: Document | None = None,
        *,
        resource_must_allow: bool = False,
    ) -> Decision:
        found = self.known.get(key)
        if found is not None:
            return found
        watched = Watched(context)
        made = decide(
            question(watched),
            identity=self.identity,
            resource_policy=resource_policy,
            boundary=self.boundary,
            sessions=self.sessions,
            service_control=self.service_control,
            resource_must_allow=resource_must_allow,
        )
        if not watched.seen:
            if len(self.known) >= _KNOWN_COUNT_MAX:
                self.known.clear()
            self.known[key] = made
        return made

    def decide_alike(self, action: str, start: str) -> bool:
        """Whether all resources whose ARNs begin with ``start`` are decided alike, unless a condition tells them apart."""
        documents = chain(
            self.identity,
            () if self.boundary is None else (self.boundary,),
            self.sessions or (),
            *self.service_control,
        )
        return all(
            statement.is_of_all_or_none(start)
            for document in documents
            for statement in document.statements
            if statement.is_about(action)
        )
