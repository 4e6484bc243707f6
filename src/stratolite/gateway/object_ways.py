"""Objects on the short way of ``ways``: signed GETs and PUTs of /BUCKET/KEY without a query.

Which operation such a path means hangs on the method and on the headers, and what the headers say is known beforehand
but for the places that change: a request is what was decoded once, with bucket, key, body and those places in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stratolite.gateway.outgoing import Ready
from stratolite.gateway.sigv4 import UNSIGNED
from stratolite.gateway.ways import Errand, Way
from stratolite.http import HttpResponse

if TYPE_CHECKING:
    from stratolite.gateway.app import Visit

_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject"}
_OTHERWISE = frozenset(
    {"origin", "smithy-protocol", "x-amz-target", "x-amz-account-id", "x-amz-outpost-id"}
)
"""Headers that may lead elsewhere by their value or by the path."""
_HASH_LENGTHS = (64, len(UNSIGNED))
# /BUCKET/KEY without a query, and not one of our own paths
_LINES = {
    method: re.compile(
        rb"%b (/(?!_)([!\"$-.0->@-~]+)/([!\"$->@-~]+)) HTTP/1\.1" % method.encode()
    ).fullmatch
    for method in _OPERATIONS
}


class ObjectErrand(Errand):
    __slots__ = ()

    @staticmethod
    def is_for(visit: Visit) -> bool:
        request = visit.request
        return (
            visit.service == "s3"
            and visit.operation == _OPERATIONS.get(request.method)
            and _OTHERWISE.isdisjoint(request.headers)
            and len(request.headers.get("x-amz-content-sha256", "")) in _HASH_LENGTHS
            and (request.method == "GET" or "content-length" in request.headers)
            and _is_object(request.path)
            and visit.codec.header_members is not None
        )

    @staticmethod
    def prepare(way: Way, visit: Visit, names: list[str]) -> bool:
        decoded = dict(visit.codec.decode(visit.request))
        for member in ("Bucket", "Key", "Body"):
            decoded.pop(member, None)
        members = visit.codec.header_members
        decoded.pop("ContentLength", None)
        for at, name in enumerate(names):
            if name != "content-length" and (found := members.get(name)) is not None:
                decoded.pop(found[0], None)
                way.taken.append((at, *found))
        if any(isinstance(value, (dict, list)) for value in decoded.values()):
            return False  # metadata, which changes with every object
        way.base = decoded
        way.line = _LINES[visit.request.method]
        return True

    @staticmethod
    def understands(_body: bytes) -> bool:
        return True

    def decode(self) -> dict[str, Any]:
        way = self.way
        if b"%" in self.path:
            return way.codec.decode(self.request(self._body, self._peer))  # type: ignore[no-any-return]
        bucket, _, key = self.path[1:].decode().partition("/")
        request = {"Bucket": bucket, "Key": key, **way.base}
        if way.operation == "PutObject":
            request["Body"], request["ContentLength"] = self._body, self.length
        for at, member, read in way.taken:
            value = self.places[at].decode()
            request[member] = value if read is None else read(value)
        return request

    def encode(self, response: dict[str, Any]) -> HttpResponse:
        codec = self.way.codec
        found = codec.encode_lines(response, self._request_id)
        if found is None:
            return codec.encode(response, self._request_id)  # type: ignore[no-any-return]
        return Ready(*found)


def _is_object(path: str) -> bool:
    """/BUCKET/KEY, and not one of our own paths."""
    return 1 < path.find("/", 1) < len(path) - 1 and path[:2] != "/_"
