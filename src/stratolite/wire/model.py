"""Loads one service's AWS model from botocore's data files, without importing botocore.

A model is plain dicts as in ``service-2.json``, stripped of documentation. Wherever a shape is
referred to (a member, a list's element), the traits of the reference win over those of the shape:
``Model.resolve`` merges the two, and all other files of this room work on such merged dicts, which
are called ``ref`` and always hold ``shape`` (its name) and ``type``.
"""

from __future__ import annotations

import gzip
import os
from functools import cache
from importlib.util import find_spec
from typing import Any

import orjson

from stratolite.wire import overlays

Ref = dict[str, Any]

_DROPPED = (
    "documentation",
    "pattern",
    "min",
    "max",
    "enum",
    "box",
    "deprecatedMessage",
)


class Model:
    """One service: its operations, shapes and the protocols it may be spoken in."""

    def __init__(self, service: str, raw: dict[str, Any]) -> None:
        self.service = service
        self.metadata: dict[str, Any] = raw["metadata"]
        self.operations: dict[str, dict[str, Any]] = raw["operations"]
        self.shapes: dict[str, dict[str, Any]] = raw["shapes"]
        self.protocols: list[str] = list(
            self.metadata.get("protocols") or [self.metadata["protocol"]]
        )
        self.query_compatible = "awsQueryCompatible" in self.metadata
        self.target_prefix: str = self.metadata.get("targetPrefix", "")
        self.json_shapes = overlays.JSON_SHAPES.get(service, frozenset())
        self._errors: dict[str, Ref] | None = None
        self._refs: dict[int, Ref] = {}

    def resolve(self, reference: dict[str, Any]) -> Ref:
        """The shape a reference names, with the reference's own traits over the shape's."""
        found = self._refs.get(id(reference))
        if found is None:
            found = {**self.shapes[reference["shape"]], **reference}
            self._refs[id(reference)] = found
        return found

    def members(self, ref: Ref) -> dict[str, Ref]:
        """Member name -> ref of a structure."""
        resolve = self.resolve
        return {name: resolve(member) for name, member in ref.get("members", {}).items()}

    def input(self, operation: str) -> Ref | None:
        found = self.operations[operation].get("input")
        return self.resolve(found) if found else None

    def output(self, operation: str) -> Ref | None:
        found = self.operations[operation].get("output")
        return self.resolve(found) if found else None

    def errors(self) -> dict[str, Ref]:
        """Error shapes by shape name and by wire code (``NoSuchEntity``)."""
        if self._errors is None:
            self._errors = found = {}
            for name, shape in self.shapes.items():
                if shape.get("exception"):
                    found[name] = {**shape, "shape": name}
            for ref in list(found.values()):
                found.setdefault(error_code(ref), ref)
        return self._errors


def error_code(ref: Ref) -> str:
    """The code of an error shape on XML wires, and in ``x-amzn-query-error``."""
    return str(ref.get("error", {}).get("code") or ref["shape"])


@cache
def load(service: str) -> Model:
    """The newest model of ``service``. Raises LookupError when botocore has none."""
    raw = read_raw(service)
    _strip(raw)
    overlays.apply(service, raw)
    return Model(service, raw)


def read_raw(service: str) -> dict[str, Any]:
    """The newest ``service-2.json`` as it is; large. Raises LookupError when botocore has none."""
    folder = os.path.join(data_folder(), service)
    versions = sorted(os.listdir(folder), reverse=True) if service in services() else []
    for version in versions:
        for name, opener in (("service-2.json.gz", gzip.open), ("service-2.json", open)):
            path = os.path.join(folder, version, name)
            if os.path.exists(path):
                with opener(path, "rb") as file:
                    raw: dict[str, Any] = orjson.loads(file.read())
                return raw
    raise LookupError(service)


@cache
def services() -> frozenset[str]:
    """Names of all services botocore has a folder for."""
    root = data_folder()
    return frozenset(entry.name for entry in os.scandir(root) if entry.is_dir())


@cache
def data_folder() -> str:
    spec = find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("botocore, which carries the AWS models, is not installed")
    return os.path.join(spec.submodule_search_locations[0], "data")


def _strip(raw: dict[str, Any]) -> None:
    for operation in raw["operations"].values():
        operation.pop("documentation", None)
    for shape in raw["shapes"].values():
        for key in _DROPPED:
            shape.pop(key, None)
        for member in shape.get("members", {}).values():
            for key in _DROPPED:
                member.pop(key, None)
