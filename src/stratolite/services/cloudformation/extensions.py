"""The transform AWS::LanguageExtensions: Fn::ForEach written out, functions where plain CloudFormation wants text.

Fn::Length, Fn::ToJsonString and Fn::FindInMap's default are resolved with all other functions (``intrinsics``); here is
only what changes the template itself.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/transform-aws-languageextensions.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.services.cloudformation.intrinsics import (
    EXTENSIONS,
    Scope,
    function_of,
    resolve,
    text_of,
)
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import DEPTH_MAX, NODES_COUNT_MAX

NAME = "AWS::LanguageExtensions"
_LOOP = "Fn::ForEach::"
_SECTIONS = ("Conditions", "Resources", "Outputs")
_LOOPS_DEPTH_MAX = 5
_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]")


def extend(raw: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """The template without loops. ``scope`` knows parameters, mappings and conditions."""
    writer = _Writer(scope)
    made = dict(raw)
    for name in _SECTIONS:
        if isinstance(raw.get(name), dict):
            try:
                made[name] = writer.write(raw[name], {}, 0, 0)
            except Misplaced as fault:
                fault.within(name)
                raise
    for name, resource in (made.get("Resources") or {}).items():
        if not isinstance(resource, dict):
            continue
        for member in ("DeletionPolicy", "UpdateReplacePolicy"):
            if isinstance(resource.get(member), dict):
                try:
                    resource[member] = resolve(resource[member], scope)
                except Misplaced as fault:
                    fault.within("Resources", name, member)
                    raise
    return made


def refuse_extensions(node: Any, depth: int = 0) -> None:
    """Raises Misplaced where a template that does not declare the transform uses what needs it."""
    if depth > DEPTH_MAX:
        return
    if isinstance(node, dict):
        for key, value in node.items():
            if key in EXTENSIONS or str(key).startswith(_LOOP):
                raise Misplaced(
                    f"Template error: {key} needs the transform {NAME}, which the template does not declare",
                    (str(key),),
                )
            try:
                refuse_extensions(value, depth + 1)
            except Misplaced as fault:
                fault.within(str(key))
                raise
    elif isinstance(node, list):
        for n, value in enumerate(node):
            try:
                refuse_extensions(value, depth + 1)
            except Misplaced as fault:
                fault.within(str(n))
                raise


class _Writer:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._count = 0

    def write(self, node: Any, items: dict[str, str], depth: int, loops: int) -> Any:
        """``node`` with the loops' items filled in and its own loops written out."""
        self._count += 1
        if self._count > NODES_COUNT_MAX or depth > DEPTH_MAX:
            raise Misplaced("Template format error: the template is nested or repeated too much")
        if isinstance(node, str):
            return _filled(node, items)
        if isinstance(node, list):
            return [self.write(item, items, depth + 1, loops) for item in node]
        if not isinstance(node, dict):
            return node
        if function_of(node) == "Ref":
            (name,) = node.values()
            if isinstance(name, str) and name in items:
                return items[name]
            return {"Ref": self._named(name, items, depth, loops)}
        if function_of(node) == "Fn::GetAtt":
            (parts,) = node.values()
            if isinstance(parts, list):
                return {"Fn::GetAtt": [self._named(part, items, depth, loops) for part in parts]}
        made: dict[str, Any] = {}
        for key, value in node.items():
            if str(key).startswith(_LOOP):
                try:
                    self._loop(value, items, depth, loops + 1, made)
                except Misplaced as fault:
                    fault.within(str(key))
                    raise
            else:
                try:
                    made[_filled(key, items)] = self.write(value, items, depth + 1, loops)
                except Misplaced as fault:
                    fault.within(str(key))
                    raise
        return made

    def _named(self, name: Any, items: dict[str, str], depth: int, loops: int) -> Any:
        written = self.write(name, items, depth + 1, loops)
        return resolve(written, self._scope) if isinstance(written, dict) else written

    def _loop(
        self, loop: Any, items: dict[str, str], depth: int, loops: int, made: dict[str, Any]
    ) -> None:
        if loops > _LOOPS_DEPTH_MAX:
            raise Misplaced(f"Fn::ForEach loops are nested deeper than {_LOOPS_DEPTH_MAX}")
        if (
            not isinstance(loop, list)
            or len(loop) != 3
            or not isinstance(loop[0], str)
            or not isinstance(loop[2], dict)
        ):
            raise Misplaced("Fn::ForEach layout is incorrect")
        identifier, collection, body = loop
        values = resolve(self.write(collection, items, depth + 1, loops), self._scope)
        if not isinstance(values, list) or any(isinstance(v, dict | list) for v in values):
            raise Misplaced(
                "Fn::ForEach could not resolve the collection: it must be a list of strings"
            )
        for value in values:
            inner = {**items, identifier: text_of(value)}
            for key, output in body.items():
                if key.startswith(_LOOP):
                    self._loop(output, inner, depth + 1, loops + 1, made)
                    continue
                name = _filled(key, inner)
                if name == key:
                    raise Misplaced(
                        f"Fn::ForEach: {key} does not contain ${{{identifier}}}", (key,)
                    )
                if name in made:
                    raise Misplaced(f"Fn::ForEach makes {name} twice", (key,))
                made[name] = self.write(output, inner, depth + 1, loops)


def _filled(text: Any, items: dict[str, str]) -> Any:
    if not isinstance(text, str) or "{" not in text:
        return text
    for name, value in items.items():
        text = text.replace(f"${{{name}}}", value)
        text = text.replace(f"&{{{name}}}", _NOT_ALPHANUMERIC.sub("", value))
    return text
