"""Grants: single permissions on a key, given to a principal without touching the key's policy.

Source  https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite import principals
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import state
from stratolite.services.kms.faults import absent, bad_marker, invalid
from stratolite.services.kms.lookup import check_state, find
from stratolite.services.kms.specs import ENCAPSULATE, SPECS, SYMMETRIC
from stratolite.services.kms.use import dry_run

GRANTS_COUNT_MAX = 1000
"""Of one grantee on one key."""
_SYMMETRIC = {
    "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
}  # fmt: skip
_PRINCIPALS = (
    "GranteePrincipal",
    "RetiringPrincipal",
    "GranteeServicePrincipal",
    "RetiringServicePrincipal",
)
_GRANT_ID = re.compile("[0-9a-f]{64}")
_ALWAYS = {"CreateGrant", "RetireGrant", "DescribeKey"}
_SHOWN = (
    "KeyId", "GrantId", "Name", "CreationDate", "GranteePrincipal", "RetiringPrincipal", "IssuingAccount",
    "Operations", "Constraints", "GranteeServicePrincipal", "RetiringServicePrincipal",
)  # fmt: skip


class KeyGrants(Service):
    def create_grant(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        check_state(found)
        operations = list(dict.fromkeys(request["Operations"]))
        self._check_operations(found, operations, request.get("Constraints") or {})
        _check_principals(request)
        for member in ("GranteePrincipal", "RetiringPrincipal"):
            who = request.get(member)
            is_service = request.get("_via") and who and who.endswith(".amazonaws.com")
            is_arn = who is not None and who.startswith("arn:aws:")
            if who and not is_service and not (is_arn and principals.is_known(call, who)):
                raise Fault(
                    "InvalidArnException", f"ARN does not refer to a valid principal: {who}"
                )
        dry_run(request)
        kept: dict[str, Any] = {
            "KeyId": found.arn,
            "Name": request.get("Name") or "",
            "IssuingAccount": f"arn:aws:iam::{call.principal.account}:root",
            "Operations": operations,
        }
        kept |= {name: request[name] for name in (*_PRINCIPALS, "Constraints") if request.get(name)}
        held = state.grants_held(call.tx, found, state.grantee(kept), GRANTS_COUNT_MAX)
        if kept["Name"]:
            for one in held:
                if all(one.get(k) == kept.get(k) for k in (*kept, *_PRINCIPALS, "Constraints")):
                    return {"GrantToken": one["Token"], "GrantId": one["GrantId"]}
        if len(held) == GRANTS_COUNT_MAX:
            raise Fault("LimitExceededException", "Too many grants for the principal")
        kept["GrantId"] = call.world.token(32).hex()
        kept["Token"] = call.world.token(64).hex()
        kept["CreationDate"] = call.tx.time_s
        state.put_grant(call.tx, found, kept)
        return {"GrantToken": kept["Token"], "GrantId": kept["GrantId"]}

    def _check_operations(
        self, found: state.Key, operations: list[str], constraints: dict[str, Any]
    ) -> None:
        spec, usage = SPECS[found.record["spec"]], found.record["usage"]
        allowed = set(_ALWAYS)
        if found.record["spec"] == SYMMETRIC:
            allowed |= _SYMMETRIC
        elif usage == "ENCRYPT_DECRYPT":
            allowed |= {"Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"}
        elif usage == "SIGN_VERIFY":
            allowed |= {"Sign", "Verify", "GetPublicKey"}
        elif usage == ENCAPSULATE:
            allowed |= {"Encapsulate", "Decapsulate", "GetPublicKey"}
        elif spec.macs:
            allowed |= {"GenerateMac", "VerifyMac"}
        else:
            allowed |= {"DeriveSharedSecret", "GetPublicKey"}
        if wrong := [name for name in operations if name not in allowed]:
            raise invalid(
                f"Operations {wrong} are not valid for a key of spec {found.record['spec']}"
            )
        if constraints.keys() - {"SourceArn"} and found.record["spec"] != SYMMETRIC:
            raise invalid("Encryption context constraints need a symmetric encryption key")

    def list_grants(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        most, after = request.get("Limit") or 50, request.get("Marker") or ""
        if after and not _GRANT_ID.fullmatch(after):
            raise bad_marker()
        holder = request.get("GranteePrincipal") or _of_service(
            call, request, "GranteeServicePrincipal"
        )
        if request.get("GrantId"):
            one = state.grant(call.tx, found, request["GrantId"])
            listed = [one] if one and holder in (None, state.grantee(one)) else []
        elif holder:
            listed = state.grants_held(call.tx, found, holder, most + 1, after)
        else:
            listed = state.grants(call.tx, found, after, most + 1)
        response: Response = {
            "Grants": [_told(one) for one in listed[:most]],
            "Truncated": len(listed) > most,
        }
        if len(listed) > most:
            response["NextMarker"] = listed[most - 1]["GrantId"]
        return response

    def list_retirable_grants(self, call: Call, request: Request) -> Response:
        most, after = request.get("Limit") or 50, request.get("Marker") or ""
        if after and not _GRANT_ID.fullmatch(after.rpartition("/")[2]):
            raise bad_marker()
        who = request.get("RetiringPrincipal") or _of_service(
            call, request, "RetiringServicePrincipal"
        )
        if who is None:
            raise absent("RetiringPrincipal")
        listed = state.grants_to_retire(call.tx, state.here(call), who, after, most + 1)
        response: Response = {
            "Grants": [_told(one) for _, one in listed[:most]],
            "Truncated": len(listed) > most,
        }
        if len(listed) > most:
            response["NextMarker"] = listed[most - 1][0]
        return response

    def retire_grant(self, call: Call, request: Request) -> Response:
        found, one = grant_to_retire(call, request)
        dry_run(request)
        state.delete_grant(call.tx, found, one)
        return {}

    def revoke_grant(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        one = state.grant(call.tx, found, request["GrantId"])
        if one is None:
            raise Fault("NotFoundException", f"Grant ID {request['GrantId']} not found")
        dry_run(request)
        state.delete_grant(call.tx, found, one)
        return {}


def _check_principals(request: Request) -> None:
    """One grantee and at most one who retires; a service only for a source, and with somebody to retire it."""
    grantee, service = request.get("GranteePrincipal"), request.get("GranteeServicePrincipal")
    if not grantee and not service:  # the model lets each out for the other
        raise absent("GranteePrincipal")
    if grantee and service:
        raise invalid(
            "You can specify either GranteePrincipal or GranteeServicePrincipal, but not both."
        )
    retirers = [n for n in ("RetiringPrincipal", "RetiringServicePrincipal") if request.get(n)]
    if len(retirers) > 1:
        raise invalid(
            "You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both."
        )
    if service and not (request.get("Constraints") or {}).get("SourceArn"):
        raise invalid(
            "A SourceArn grant constraint must be specified with a GranteeServicePrincipal."
        )
    if service and not retirers:
        raise invalid(
            "Either a RetiringPrincipal or a RetiringServicePrincipal must be specified with a GranteeServicePrincipal."
        )


def _of_service(call: Call, request: Request, member: str) -> str | None:
    """A service principal that grants are listed by, which only services may do."""
    who: str | None = request.get(member)
    if who and call.principal.kind != "service":
        raise invalid(f"{member} can only be used by a service principal.")
    return who


def grant_to_retire(call: Call, request: Request) -> tuple[state.Key, dict[str, Any]]:
    """By its token or by its key and id. Raises Fault."""
    if request.get("GrantToken"):
        named = state.grant_of_token(call.tx, state.here(call), request["GrantToken"])
        if named is None:
            raise Fault("InvalidGrantTokenException", "")
        key_id, grant_id = named
    elif request.get("KeyId") and request.get("GrantId"):
        key_id, grant_id = request["KeyId"], request["GrantId"]
    else:
        raise invalid("Either a grant token or a key id and grant id must be given")
    found = find(call, key_id)
    one = state.grant(call.tx, found, grant_id)
    if one is None:
        raise Fault("NotFoundException", f"Grant ID {grant_id} not found")
    return found, one


def _told(grant: dict[str, Any]) -> dict[str, Any]:
    return {name: grant[name] for name in _SHOWN if name in grant}
