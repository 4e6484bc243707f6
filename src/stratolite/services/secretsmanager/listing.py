"""ListSecrets: in order of name, filtered as https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_search-secret.html says."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.secretsmanager import state
from stratolite.services.secretsmanager.faults import bad_parameter
from stratolite.services.secretsmanager.secrets import Secrets, described, primary_region
from stratolite.services.secretsmanager.values import stages_of_versions

_PAGE = 100
_LOOKED_AT_MAX = 1000
"""Secrets a call reads: with narrow filters a page may be short and its token goes on, as on AWS."""


class Listing(Secrets):
    def list_secrets(self, call: Call, request: Request) -> Response:
        if request.get("SortBy", "created-date") not in ("created-date", "name"):
            raise bad_parameter(f"SortBy {request['SortBy']} is not offered by Stratolite")
        filters, limit = request.get("Filters") or [], request.get("MaxResults") or _PAGE
        reverse = request.get("SortOrder") == "desc"
        token = request.get("NextToken", "")
        try:
            after = bytes.fromhex(token).decode()
        except ValueError as error:
            raise Fault("InvalidNextTokenException", "Invalid NextToken.") from error
        found: list[Response] = []
        looked = 0
        last = ""
        rows = state.rows(call.tx, call.keys("secretsmanager"), after, reverse=reverse)
        for name, record in rows:
            if len(found) == limit or looked == _LOOKED_AT_MAX:
                return {"SecretList": found, "NextToken": last.encode().hex()}
            looked, last = looked + 1, name
            if record["deleted_s"] and not request.get("IncludePlannedDeletion"):
                continue
            if all(_matches(call, one, name, record) for one in filters):
                one = described(call, name, record)
                found.append(one | {"SecretVersionsToStages": stages_of_versions(record)})
        return {"SecretList": found}


def _matches(call: Call, one: dict[str, Any], name: str, record: state.Record) -> bool:
    """Whether one value of a filter fits; with "!" before it, whether it does not."""
    kind = one.get("Key", "all")
    for value in one.get("Values") or ():
        negated = value.startswith("!")
        wanted = value[1:] if negated else value
        if kind == "primary-region":
            fits = primary_region(call, record).startswith(wanted)
        else:
            fits = _fits(kind, wanted, name, record)
        if fits != negated:
            return True
    return False


def _fits(kind: str, value: str, name: str, record: state.Record) -> bool:
    tags = record["tags"]
    if kind == "name":
        return name.startswith(value)
    if kind == "tag-key":
        return any(key.startswith(value) for key in tags)
    if kind == "tag-value":
        return any(held.startswith(value) for held in tags.values())
    if kind == "description":
        return _has_words(record["description"], value)
    if kind == "all":
        texts = (name, record["description"], *tags, *tags.values())
        return any(_has_words(text, value) for text in texts)
    return False  # owning-service: nothing here has one


def _has_words(text: str, value: str) -> bool:
    """Each word of ``value`` begins a word of ``text``, in any case."""
    words = text.lower().replace("/", " ").replace("-", " ").split()
    return all(any(w.startswith(v) for w in words) or v in text.lower() for v in value.lower().split())  # fmt: skip
