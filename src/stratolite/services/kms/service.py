"""The operations of KMS put together, what IAM must allow for each, and who a key's policy and grants let in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Access, Call, Cloud, Job, Request, Resource, Settle, Tagged, Worker
from stratolite.services.kms import bus, lookup, state, use
from stratolite.services.kms.aliases import Aliases
from stratolite.services.kms.faults import absent
from stratolite.services.kms.imports import Expirer, Imports
from stratolite.services.kms.key_grants import GRANTS_COUNT_MAX, KeyGrants, grant_to_retire
from stratolite.services.kms.keys import DAY_S, PURGE, Keys
from stratolite.services.kms.policies import Policies
from stratolite.services.kms.regions import Regions
from stratolite.services.kms.rotation import Rotation
from stratolite.services.kms.signing import Signing
from stratolite.services.kms.state import Place
from stratolite.services.kms.use import Use

_ON_ALIAS = frozenset({"CreateAlias", "UpdateAlias", "DeleteAlias"})
_PURGE_COUNT = 200
_CONTEXT_FREE = frozenset({"DescribeKey", "RetireGrant"})
_CONDITION_KEYS = {
    "KeyPairSpec": "kms:datakeypairspec",
    "KeyAgreementAlgorithm": "kms:keyagreementalgorithm",
    "BypassPolicyLockoutSafetyCheck": "kms:bypasspolicylockoutsafetycheck",
    "EncryptionAlgorithm": "kms:encryptionalgorithm",
    "SigningAlgorithm": "kms:signingalgorithm",
    "MacAlgorithm": "kms:macalgorithm",
    "MessageType": "kms:messagetype",
    "GranteePrincipal": "kms:granteeprincipal",
    "RetiringPrincipal": "kms:retiringprincipal",
    "PendingWindowInDays": "kms:schedulekeydeletionpendingwindowindays",
    "RotationPeriodInDays": "kms:rotationperiodindays",
    "WrappingAlgorithm": "kms:wrappingalgorithm",
    "WrappingKeySpec": "kms:wrappingkeyspec",
    "ExpirationModel": "kms:expirationmodel",
    "ValidTo": "kms:validto",
    "ReplicaRegion": "kms:replicaregion",
    "PrimaryRegion": "kms:primaryregion",
    "EncapsulationAlgorithm": "kms:encapsulationalgorithm",
}


# What is named and by which algorithm, on either side of ReEncrypt.
_SIDES = {
    "kms:ReEncryptFrom": ("SourceKeyId", "SourceEncryptionAlgorithm"),
    "kms:ReEncryptTo": ("DestinationKeyId", "DestinationEncryptionAlgorithm"),
}
_ENCRYPTING = frozenset({
    "Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
})  # fmt: skip

# What may be asked of another account's key; https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html
_ACROSS = frozenset({
    "CreateGrant", "Decapsulate", "Decrypt", "DeriveSharedSecret", "DescribeKey", "Encapsulate", "Encrypt", "GenerateDataKey",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
    "GetKeyRotationStatus", "GetPublicKey", "ListGrants", "RevokeGrant", "Sign", "Verify", "VerifyMac",
})  # fmt: skip

# What AWS asks for though its model calls it optional.
_NEEDED = {"Decrypt": ("CiphertextBlob",)}

_TAGGED_PAGE = 100


class Kms(Keys, Aliases, Policies, Rotation, Imports, Regions, Use, Signing, KeyGrants):
    name: ClassVar[str] = "kms"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("kms:key",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        place = state.here(call)
        while ids := state.keys(call.tx, place, after, _TAGGED_PAGE):
            for key_id in ids:
                found = state.key(call.tx, place, key_id)
                if found is not None:
                    yield Tagged(key_id, found.arn, found.record["tags"])
            after = ids[-1]

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"kms:{operation}"
        if operation == "ReEncrypt":
            if request.get("SourceKeyId"):
                source = lookup.find(call, request["SourceKeyId"])
            elif use.ignores_ciphertext(request):
                raise absent("SourceKeyId")
            elif "CiphertextBlob" in request:
                source = use.key_of_blob(call, request["CiphertextBlob"])
            else:  # the model lets it out for a dry run without it
                raise absent("CiphertextBlob")
            if "CiphertextBlob" not in request and not use.ignores_ciphertext(request):
                raise absent("CiphertextBlob")
            target = lookup.find(call, request["DestinationKeyId"])
            return (("kms:ReEncryptFrom", source.arn), ("kms:ReEncryptTo", target.arn))
        if operation in _ON_ALIAS:
            alias = state.here(call).arn(request["AliasName"])
            if operation == "DeleteAlias":
                held = state.alias(call.tx, state.here(call), request["AliasName"])
                if held is None:
                    return ((action, alias),)
                return ((action, alias), (action, state.here(call).arn(f"key/{held['key']}")))
            _check_own(call, operation, target := lookup.find(call, request["TargetKeyId"]))
            needed = [(action, alias), (action, target.arn)]
            if operation == "UpdateAlias":  # the key it named until now has a say, too
                held = state.alias(call.tx, state.here(call), request["AliasName"])
                if held is not None and held["key"] != target.id:
                    needed.append((action, state.here(call).arn(f"key/{held['key']}")))
            return needed
        if operation == "RetireGrant":
            found, grant = grant_to_retire(call, request)
            mine = {call.principal.arn, _role_arn(call), _service(call)}
            if state.retirer(grant) in mine or (
                state.grantee(grant) in mine and "RetireGrant" in grant["Operations"]
            ):
                return ()
            return ((action, found.arn),)
        ignored = operation == "Decrypt" and use.ignores_ciphertext(request)
        for member in ("KeyId",) if ignored else _NEEDED.get(operation, ()):
            if member not in request:
                raise absent(member)
        if operation == "Decrypt" and not request.get("KeyId"):
            return ((action, use.key_of_blob(call, request["CiphertextBlob"]).arn),)
        if request.get("KeyId"):
            found = lookup.find(call, request["KeyId"])
            _check_own(call, operation, found)
            return ((action, found.arn),)
        if operation == "CreateKey" and request.get("Tags"):
            return ((action, "*"), ("kms:TagResource", state.here(call).arn("key/*")))
        return ((action, "*"),)

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """The key's policy, and what grants give to the very principal who asks."""
        if ":key/" not in resource:
            return None
        try:
            found = lookup.find(call, resource)
        except Fault:
            return None
        policy: dict[str, Any] = found.record["policy"]
        given = [
            one
            for who in dict.fromkeys((call.principal.arn, _role_arn(call), _service(call)))
            for one in state.grants_held(call.tx, found, who, GRANTS_COUNT_MAX)
        ]
        if not given:
            return orjson.dumps(policy).decode()
        statements = policy["Statement"]
        if not isinstance(statements, list):
            statements = [statements]
        who = {"AWS": "*"}
        if call.principal.kind == "service":
            who = {"Service": call.principal.name}
        granted = [statement for one in given for statement in _statements(one, who)]
        return orjson.dumps({**policy, "Statement": [*statements, *granted]}).decode()

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        """https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html"""
        keys = {
            key: [_said(request[member])]
            for member, key in _CONDITION_KEYS.items()
            if request.get(member) is not None
        }
        keys["kms:calleraccount"] = [call.principal.account]
        if via := request.get("_via"):
            keys["kms:viaservice"] = [f"{via}.{call.region}.amazonaws.com"]
        action, resource = needed
        member = {
            "kms:ReEncryptFrom": "SourceEncryptionContext",
            "kms:ReEncryptTo": "DestinationEncryptionContext",
        }.get(action, "EncryptionContext")
        if context := request.get(member):
            keys["kms:encryptioncontextkeys"] = list(context)
            keys |= {f"kms:encryptioncontext:{k}".lower(): [v] for k, v in context.items()}
        named, algorithm = _SIDES.get(action, ("KeyId", "EncryptionAlgorithm"))
        if "alias/" in (asked := request.get(named) or ""):
            keys["kms:requestalias"] = [asked.rpartition(":")[2]]
        if operation in _ENCRYPTING:
            keys["kms:encryptionalgorithm"] = [request.get(algorithm) or "SYMMETRIC_DEFAULT"]
        if operation in ("Sign", "Verify"):
            keys["kms:messagetype"] = [request.get("MessageType") or "RAW"]
        if operation == "ReEncrypt":
            (_, source), (_, target) = self.access(call, operation, request)
            keys["kms:reencryptonsamekey"] = [_said(source == target)]
        if operation == "CreateGrant":
            constraints = request.get("Constraints") or {}
            if kinds := [name for name in constraints if constraints[name]]:
                keys["kms:grantconstrainttype"] = kinds
            context = constraints.get("EncryptionContextEquals") or constraints.get(
                "EncryptionContextSubset"
            )
            if context:
                keys["kms:encryptioncontextkeys"] = list(context)
                keys |= {f"kms:encryptioncontext:{k}".lower(): [v] for k, v in context.items()}
            keys["kms:grantoperations"] = list(request["Operations"])
            keys["kms:grantisforawsresource"] = ["true" if request.get("_via") else "false"]
        if ":key/" in resource:
            try:
                found = lookup.find(call, resource)
            except Fault:
                return keys
            tags = found.record["tags"]
            keys |= {f"aws:resourcetag/{k.lower()}": [v] for k, v in tags.items()}
            names = list(state.aliases_of(call.tx, found, "", 50))
            if names:
                keys["kms:resourcealiases"] = names
            keys |= _kind(found.record["spec"], found.record["usage"])
            keys["kms:keyorigin"] = [found.record.get("origin", "AWS_KMS")]
            keys["kms:multiregion"] = ["true" if "multi" in found.record else "false"]
            if "multi" in found.record:
                kind = "REPLICA" if lookup.is_replica(found) else "PRIMARY"
                keys["kms:multiregionkeytype"] = [kind]
        elif operation == "CreateKey":
            spec = (
                request.get("KeySpec")
                or request.get("CustomerMasterKeySpec")
                or "SYMMETRIC_DEFAULT"
            )
            keys |= _kind(spec, request.get("KeyUsage") or "ENCRYPT_DECRYPT")
            if request.get("MultiRegion"):
                keys["kms:multiregionkeytype"] = ["PRIMARY"]
            keys["kms:keyorigin"] = [request.get("Origin") or "AWS_KMS"]
            keys["kms:multiregion"] = ["true" if request.get("MultiRegion") else "false"]
        given = request.get("Tags") or ()
        keys |= {f"aws:requesttag/{t['TagKey'].lower()}": [t["TagValue"]] for t in given}
        if given:
            keys["aws:tagkeys"] = [t["TagKey"] for t in given]
        return keys

    def workers(self) -> Iterable[Worker]:
        return (Purger(self.cloud), Expirer(self.cloud))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.kms.resources import RESOURCES

        return RESOURCES


def _check_own(call: Call, operation: str, found: state.Key) -> None:
    """Raises AccessDeniedException for what can only be done in the key's own account, whatever its policy says."""
    if operation not in _ACROSS and found.place.account != call.account:
        raise Fault(
            "AccessDeniedException",
            f"{operation} cannot be performed on {found.arn}, a KMS key in a different AWS account",
            status=400,
        )


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(spec: str, usage: str) -> dict[str, list[str]]:
    """What kind of key it is, by the names of today and those that they had before."""
    return {
        "kms:keyspec": [spec],
        "kms:keyusage": [usage],
        "kms:customermasterkeyspec": [spec],
        "kms:customermasterkeyusage": [usage],
    }


def _role_arn(call: Call) -> str:
    who = call.principal
    if who.kind != "role":
        return who.arn
    return f"arn:aws:iam::{who.account}:role/{who.name}"


def _service(call: Call) -> str:
    return call.principal.name if call.principal.kind == "service" else call.principal.arn


def _statements(grant: dict[str, Any], who: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A grant as statements, made for one who holds it: ``who`` needs no closer naming.

    What constrains the encryption context is not asked of DescribeKey and RetireGrant. Who may create grants by a grant gives
    away no more than it has: no other operations, and under constraints as strict.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateGrant.html
    """
    constraints = grant.get("Constraints") or {}
    equals = constraints.get("EncryptionContextEquals")
    context = equals or constraints.get("EncryptionContextSubset") or {}
    source = constraints.get("SourceArn")
    same = {"aws:SourceArn": source} if source else {}
    tests = same | {f"kms:EncryptionContext:{k}": v for k, v in context.items()}
    every = {"kms:EncryptionContextKeys": list(equals)} if equals else {}
    no_more = {**every, "kms:GrantOperations": grant["Operations"]}
    strict = {"kms:GrantConstraintType": "EncryptionContextEquals"} if equals else {}
    for name in grant["Operations"]:
        condition: dict[str, Any] = {"StringEquals": tests, "ForAllValues:StringEquals": every}
        if name in _CONTEXT_FREE:
            condition = {"StringEquals": same}
        elif name == "CreateGrant":
            condition = {"StringEquals": tests, "ForAllValues:StringEquals": no_more}
            condition["ForAnyValue:StringEquals"] = strict
        condition = {test: keys for test, keys in condition.items() if keys}
        made = {"Effect": "Allow", "Principal": who, "Action": f"kms:{name}", "Resource": "*"}
        yield {**made, "Condition": condition} if condition else made


class Purger:
    """Removes a key whose time has come, unless its deletion was cancelled."""

    queue = PURGE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, key_id = orjson.loads(job.payload)
        call = self._cloud.call(account, region)

        def purge(tx: Tx) -> None:
            found = state.key(tx, Place(account, region), key_id)
            if found is None:
                return
            due_s = found.record["deletion_s"]
            if due_s is None or due_s > tx.time_s:
                return
            if not state.delete_key(tx, found, _PURGE_COUNT):
                self._cloud.work.put(tx, PURGE, job.payload)
                return
            for one in state.relatives(tx, found):
                self._end_wait(tx, one)
            call.tx = tx
            bus.tell_of_deletion(call, found)

        return purge

    def _end_wait(self, tx: Tx, primary: state.Key) -> None:
        """Of a primary key that is to go once its last replica is gone: its own days begin."""
        fresh = state.key(tx, primary.place, primary.id)
        days = fresh.record.get("window_days") if fresh else None
        if fresh is None or not days or fresh.record["multi"]["replicas"]:
            return
        due_s = tx.time_s + days * DAY_S
        record = {k: v for k, v in fresh.record.items() if k != "window_days"}
        state.put_key(tx, fresh.place, {**record, "deletion_s": due_s})
        payload = orjson.dumps([*fresh.place, fresh.id])
        self._cloud.work.put(tx, PURGE, payload, due_s=due_s)
