"""Aliases: names for keys that can be moved from one to another."""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import state
from stratolite.services.kms.faults import bad_marker, invalid, no_alias
from stratolite.services.kms.lookup import find, split
from stratolite.services.kms.state import Key

_NAME = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}")


class Aliases(Service):
    def create_alias(self, call: Call, request: Request) -> Response:
        name = _checked(request["AliasName"])
        found = self._target(call, request)
        place = state.here(call)
        if state.alias(call.tx, place, name) is not None:
            raise Fault(
                "AlreadyExistsException",
                f"An alias with the name {place.arn(name)} already exists",
            )
        now_s = call.tx.time_s
        value = {"key": found.id, "created_s": now_s, "updated_s": now_s}
        state.put_alias(call.tx, place, name, value)
        return {}

    def update_alias(self, call: Call, request: Request) -> Response:
        name = _checked(request["AliasName"])
        place = state.here(call)
        old = state.alias(call.tx, place, name)
        if old is None:
            raise no_alias(place.arn(name))
        found = self._target(call, request)
        before = state.key(call.tx, place, old["key"])
        if before is not None and (
            before.record["usage"] != found.record["usage"]
            or (before.record["spec"] == "SYMMETRIC_DEFAULT")
            != (found.record["spec"] == "SYMMETRIC_DEFAULT")
        ):
            raise Fault("KMSInvalidStateException", "The keys must be of the same type and usage")
        value = {**old, "key": found.id, "updated_s": call.tx.time_s}
        state.put_alias(call.tx, place, name, value, old["key"])
        return {}

    def _target(self, call: Call, request: Request) -> Key:
        key_id = request["TargetKeyId"]
        if "alias/" in key_id:
            raise invalid("Aliases must refer to keys. Not aliases")
        found = find(call, key_id)
        if found.record["deletion_s"] is not None:
            raise Fault("KMSInvalidStateException", f"{found.arn} is pending deletion.")
        if found.place != state.here(call):
            raise invalid(f"Invalid arn {key_id}")
        return found

    def delete_alias(self, call: Call, request: Request) -> Response:
        name = _checked(request["AliasName"])
        place = state.here(call)
        old = state.alias(call.tx, place, name)
        if old is None:
            raise no_alias(place.arn(name))
        state.delete_alias(call.tx, place, name, old["key"])
        return {}

    def list_aliases(self, call: Call, request: Request) -> Response:
        most, after = request.get("Limit") or 50, request.get("Marker") or ""
        if after and not after.startswith("alias/"):
            raise bad_marker()
        place = state.here(call)
        if request.get("KeyId"):
            place, _ = split(call, request["KeyId"])
            found = find(call, request["KeyId"])
            names = list(state.aliases_of(call.tx, found, after, most + 1))
        else:
            names = list(state.aliases(call.tx, place, after, most + 1))
        listed: list[dict[str, Any]] = []
        for name in names[:most]:
            alias = state.alias(call.tx, place, name)
            assert alias is not None, name
            listed.append(
                {
                    "AliasName": name,
                    "AliasArn": place.arn(name),
                    "TargetKeyId": alias["key"],
                    "CreationDate": alias["created_s"],
                    "LastUpdatedDate": alias["updated_s"],
                }
            )
        response: Response = {"Aliases": listed, "Truncated": len(names) > most}
        if len(names) > most:
            response["NextMarker"] = names[most - 1]
        return response


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        if not name.startswith("alias/"):
            raise invalid(
                'Alias must start with the prefix "alias/". Please see'
                " https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
            )
        raise Fault("InvalidAliasNameException", f"Alias {name} is not valid")
    if name.startswith("alias/aws/"):
        raise invalid("Alias names beginning with alias/aws/ are reserved")
    return name
