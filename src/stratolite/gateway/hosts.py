"""What a Host header names: us, a bucket of ours, a door of ours, or somebody else.

Path form (``http://localhost:4566/bucket/key``, ``/_aws/execute-api/ID/...``) is the primary way in, for
``*.localhost`` does not resolve everywhere. Host forms, under ``localhost`` and the configured names:

    BUCKET.s3[.REGION].localhost            the bucket's objects
    LABEL.NAME[.REGION].localhost           a door: NAME is execute-api, lambda-url or s3-website
    POINT-ACCOUNT.localhost                 an access point's objects, as SDKs write its ARN
    BUCKET.s3-website-REGION.localhost      the older spelling of website hosts
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_KNOWN_COUNT_MAX = 4096
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|\[::1\]")
_FORM = re.compile(
    r"(?P<label>.+)\.(?P<name>s3-website|s3|execute-api|lambda-url)"
    r"(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?"
)


_POINT = re.compile(r"[a-z0-9][a-z0-9-]{1,48}[a-z0-9]-\d{12}")


class Place(NamedTuple):
    ours: bool
    """Named by us or by loopback: not a name some web page could have pointed here (DNS rebinding)."""
    name: str = ""
    """``s3`` for a bucket host, else a door's name; empty for path form."""
    label: str = ""
    region: str = ""
    base: str = "localhost"
    """The name of ours under which it stands: where path form is served."""


class Hosts:
    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = ("localhost", *(name.lower().strip(".") for name in names))
        self._known: dict[str, Place] = {}

    def place(self, host: str) -> Place:
        found = self._known.get(host)
        if found is None:
            if len(self._known) >= _KNOWN_COUNT_MAX:
                self._known.clear()
            found = self._known[host] = self._read(host)
        return found

    def _read(self, host: str) -> Place:
        name = re.sub(r":\d+$", "", host).lower().rstrip(".")
        if _LOOPBACK.fullmatch(name) or name in self._names:
            return Place(True)
        for ours in self._names:
            if name.endswith("." + ours):
                label = name[: -len(ours) - 1]
                form = _FORM.fullmatch(label)
                if form is None:
                    if _POINT.fullmatch(label):
                        return Place(True, "s3", label, "", ours)
                    return Place(True)
                return Place(True, form["name"], form["label"], form["region"] or "", ours)
        return Place(False)


def is_loopback(peer: str) -> bool:
    return peer == "::1" or peer.startswith(("127.", "::ffff:127."))
