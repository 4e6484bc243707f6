"""The operations: find things by their tags, tag many at once, list the keys and values in use."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service, Tagged
from stratolite.services.resourcegroupstaggingapi import things
from stratolite.services.resourcegroupstaggingapi.things import bad

LOOKED_AT_COUNT_MAX = 1_000  # things behind one page
_PAGE = 50
_PAGE_MAX = 100
_VALUES_PAGE = 500
_PLACE_LENGTH_MAX = 2_048


class Resourcegroupstaggingapi(Service):
    name: ClassVar[str] = "resourcegroupstaggingapi"
    prefix: ClassVar[str] = "tag"
    validated: ClassVar[bool] = True

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonresourcegrouptaggingapi.html"""
        return ((f"tag:{operation}", "*"),)

    # -- reading

    def get_resources(self, call: Call, request: Request) -> Response:
        """A page ends with ResourcesPerPage things, with TagsPerPage tags, or where it has looked at enough."""
        for member in ("IncludeComplianceDetails", "ExcludeCompliantResources"):
            if request.get(member):
                raise bad(f"{member} is not offered by Stratolite")
        wanted = _filters(request.get("TagFilters") or ())
        if arns := request.get("ResourceARNList"):
            return self._by_arn(call, arns, request)
        most = int(request.get("ResourcesPerPage") or _PAGE)
        if not 1 <= most <= _PAGE_MAX:
            raise bad(f"ResourcesPerPage must be between 1 and {_PAGE_MAX}")
        tags_most = int(request.get("TagsPerPage") or 0)
        if tags_most and (not 100 <= tags_most <= 500 or tags_most % 100):
            raise bad("TagsPerPage must be 100, 200, 300, 400 or 500")
        kinds = self._kinds(request.get("ResourceTypeFilters") or ())
        found: list[dict[str, Any]] = []
        tags_count = 0
        token = ""
        for place, thing in self._walk(call, kinds, request.get("PaginationToken") or ""):
            if thing is None:
                token = place
                break
            if not thing.tags or not _fits(thing.tags, wanted):
                continue
            if len(found) == most or (tags_most and tags_count + len(thing.tags) > tags_most):
                break
            found.append(_shape(thing.arn, thing.tags))
            tags_count += len(thing.tags)
            token = place
        else:
            token = ""
        return {"PaginationToken": token, "ResourceTagMappingList": found}

    def get_tag_keys(self, call: Call, request: Request) -> Response:
        keys, token = self._gathered(call, request, lambda tags: tags)
        return {"PaginationToken": token, "TagKeys": keys}

    def get_tag_values(self, call: Call, request: Request) -> Response:
        key = request["Key"]
        values, token = self._gathered(
            call, request, lambda tags: [tags[key]] if key in tags else []
        )
        return {"PaginationToken": token, "TagValues": values}

    def _by_arn(self, call: Call, arns: list[str], request: Request) -> Response:
        others = ("PaginationToken", "ResourcesPerPage", "TagsPerPage", "TagFilters", "ResourceTypeFilters")  # fmt: skip
        if any(request.get(member) for member in others):
            raise bad("ResourceARNList cannot be used together with other parameters")
        found = []
        for arn in filter(things.is_listed, dict.fromkeys(arns)):
            try:
                tags = things.read(call, arn)
            except Fault as fault:
                if (fault.status or 400) >= 500 or "AccessDenied" in fault.code or fault.code == "InvalidParameterException":  # fmt: skip
                    raise
                continue  # it is not there
            if tags:
                found.append(_shape(arn, tags))
        return {"PaginationToken": "", "ResourceTagMappingList": found}

    def _gathered(self, call: Call, request: Request, of: Any) -> tuple[list[str], str]:
        """Distinct texts of a page of things, in order, and where to go on."""
        found: set[str] = set()
        kinds, token = self._kinds(()), ""
        for place, thing in self._walk(call, kinds, request.get("PaginationToken") or ""):
            if thing is not None:
                found.update(of(thing.tags))
            if thing is None or len(found) >= _VALUES_PAGE:
                token = place
                break
        return sorted(found), token

    def _kinds(self, wanted: Sequence[str]) -> list[tuple[str, str]]:
        """(service, type) of every type looked at, in a fixed order."""
        for text in wanted:
            if not text or text.count(":") > 1 or not text.isprintable():
                raise bad(f"Invalid resource type: {text}")
        known = [
            (name, kind)
            for name in sorted(self.cloud.services)
            for kind in self.cloud.service(name).tag_types
        ]
        if not wanted:
            return known
        return [
            (name, kind)
            for name, kind in known
            if kind in wanted or kind.partition(":")[0] in wanted
        ]

    def _walk(
        self, call: Call, kinds: list[tuple[str, str]], token: str
    ) -> Iterator[tuple[str, Tagged | None]]:
        """Things with the token that goes on behind each; (token, None) once it has looked at enough."""
        start, looked_at = _place(token), 0
        if token and not any(kind == start.kind for _, kind in kinds):
            raise bad("PaginationToken is not one of these filters")
        begun = not token
        last = token
        for name, kind in kinds:
            after = ""
            if not begun:
                if kind != start.kind:
                    continue
                begun, after = True, start.after
            for thing in self.cloud.service(name).tagged(call, kind, after):
                if looked_at == LOOKED_AT_COUNT_MAX:
                    yield last, None
                    return
                looked_at += 1
                last = _token(kind, thing.place)
                yield last, thing

    # -- writing

    async def tag_resources(self, call: Call, request: Request) -> Response:
        """Each in a transaction of its own: some may fail."""
        tags = request["Tags"]
        return await _each(call, request, lambda c, arn: things.put(c, arn, tags))

    async def untag_resources(self, call: Call, request: Request) -> Response:
        keys = request["TagKeys"]
        return await _each(call, request, lambda c, arn: things.drop(c, arn, keys))


async def _each(call: Call, request: Request, act: Any) -> Response:
    failed: dict[str, Any] = {}
    for arn in dict.fromkeys(request["ResourceARNList"]):

        def body(inner: Call, arn: str = arn) -> None:
            inner.service = "tagging"
            act(inner, arn)

        try:
            await call.transact(body)
        except Fault as fault:
            failed[arn] = {
                "StatusCode": fault.status or 400,
                "ErrorCode": fault.code,
                "ErrorMessage": fault.message,
            }
    return {"FailedResourcesMap": failed}


class _Place(NamedTuple):
    kind: str
    after: str


def _token(kind: str, after: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([kind, after])).decode()


def _place(token: str) -> _Place:
    """Raises Fault for a token that is none of ours."""
    if not token:
        return _Place("", "")
    try:
        kind, after = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError) as error:
        raise bad("PaginationToken is not valid") from error
    if not isinstance(kind, str) or not isinstance(after, str) or len(after) > _PLACE_LENGTH_MAX:
        raise bad("PaginationToken is not valid")
    if kind == "events:rule" and "|" not in after:
        raise bad("PaginationToken is not valid")
    return _Place(kind, after)


def _filters(given: Sequence[Mapping[str, Any]]) -> list[tuple[str, frozenset[str]]]:
    """Keys, each with the values it may have: none for any."""
    for one in given:
        if not one.get("Key"):
            raise bad("A tag filter must have a key")
    keys = [one["Key"] for one in given]
    if len(set(keys)) < len(keys):
        raise bad("A tag key can be in one filter only")
    return [(one["Key"], frozenset(one.get("Values") or ())) for one in given]


def _fits(tags: Mapping[str, str], wanted: list[tuple[str, frozenset[str]]]) -> bool:
    return all(key in tags and (not values or tags[key] in values) for key, values in wanted)


def _shape(arn: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "ResourceARN": arn,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
    }
