"""Writes a template as JSON whose parts stand on the lines they have in its file, so that a server's "(line 7)" is the file's.

Short forms are written out and packaging has put places in S3 for local code: only the line breaks are the file's.
"""

from __future__ import annotations

import json
from typing import Any

import yaml


def laid_out(body: Any, root: yaml.Node | None) -> str:
    """``body`` as JSON, beside ``root``, what its file says; what the file does not have stands where one is already."""
    page = _Page()
    page.write(body, root)
    return "".join(page.parts)


class _Page:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.line = 0

    def write(self, value: Any, node: yaml.Node | None) -> None:
        if isinstance(value, dict) and len(value) == 1 and node is not None and _is_short(node):
            name, argument = next(iter(value.items()))
            self.parts.append("{" + json.dumps(name) + ": ")
            self._part(argument, node)
            self.parts.append("}")
            return
        self._part(value, node)

    def _part(self, value: Any, node: yaml.Node | None) -> None:
        if isinstance(value, dict):
            there = node.value if isinstance(node, yaml.MappingNode) else ()
            keys = {
                key.value: (key, item) for key, item in there if isinstance(key, yaml.ScalarNode)
            }
            self.parts.append("{")
            for count, (name, item) in enumerate(value.items()):
                self.parts.append(", " if count else "")
                key, inner = keys.get(name, (None, None))
                self._go_to(key)
                self.parts.append(json.dumps(str(name)) + ": ")
                self.write(item, inner)
            self.parts.append("}")
        elif isinstance(value, list):
            items = node.value if isinstance(node, yaml.SequenceNode) else ()
            self.parts.append("[")
            for count, item in enumerate(value):
                self.parts.append(", " if count else "")
                inner = items[count] if count < len(items) else None
                self._go_to(inner)
                self.write(item, inner)
            self.parts.append("]")
        else:
            self.parts.append(json.dumps(value, default=str))

    def _go_to(self, node: yaml.Node | None) -> None:
        """An alias stands before where it is used: nothing goes back."""
        if node is not None and node.start_mark.line > self.line:
            self.parts.append("\n" * (node.start_mark.line - self.line))
            self.line = node.start_mark.line


def _is_short(node: yaml.Node) -> bool:
    """``!Sub x``, which the body has as {"Fn::Sub": "x"}."""
    return node.tag.startswith("!") and node.tag != "!"
