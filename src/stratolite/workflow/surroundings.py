"""What an expression can see: the input, the context object, variables, and time and chance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from stratolite.workflow import paths
from stratolite.workflow.failures import Trouble


@dataclass(frozen=True, slots=True)
class Chance:
    """Where ids and random numbers come from; a test seeds it."""

    uuid: Callable[[], str]
    number: Callable[[], float]
    """From 0 up to but not 1."""


def seeded(seed: Any) -> float:
    """The number a seed stands for, from 0 up to but not 1."""
    digest = hashlib.sha256(orjson.dumps(seed)).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True, slots=True)
class View:
    """What the expressions of one field are evaluated against."""

    data: Any
    make_context: Callable[[], Mapping[str, Any]]
    """Gives the context object, which few expressions look at and which holds the execution's input."""
    variables: Mapping[str, Any]
    chance: Chance
    time_s: float
    """The cloud clock."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Of $states in JSONata: result, errorOutput."""

    @property
    def context(self) -> Mapping[str, Any]:
        return self.make_context()

    def of(self, data: Any) -> View:
        return View(data, self.make_context, self.variables, self.chance, self.time_s, self.extra)

    def read(self, path: paths.Path) -> Any:
        """Raises paths.Missing, Trouble for a variable that is not there."""
        if path.root == "":
            return path.read(self.data)
        if path.root == "$":
            return path.read(self.context)
        if path.root not in self.variables:
            raise Trouble(f"The variable '${path.root}' does not exist")
        return path.read(self.variables[path.root])
