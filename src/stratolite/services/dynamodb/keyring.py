"""Tables under KMS keys: how their data keys are made, opened for whom KMS lets, and described.

A table's record (and each of its streams' and backups', which may outlive it) has, under "Sse", JSON:

    {"Key": ARN of the KMS key, "Grant": id of the grant that lets us use it without a caller
     "Sealed": base64    the table key, as KMS sealed it
     "Data": base64      nonce (12) | AES-256-GCM of the data key under the table key
     "Status": "ENABLED" | "UPDATING"     the latter while what is stored is brought into the other form (``recasting``)
     "Managed": true     the key is the account's aws/dynamodb
     "Off": true         the table is going back to a key that is not of KMS: nothing new is sealed
     "Lost": seconds}    since when the KMS key is known not to be usable

As on AWS, another KMS key means another table key, under which the data key is sealed anew; the data key stays. A caller is let
in for five minutes before KMS is asked again, so that much later a change of the key, its policy or its grants shows (AWS asks
after five minutes in which nobody did).
Sources  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
         https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_SSEDescription.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from copy import copy
from typing import Any, NamedTuple

from stratolite.core import Tx
from stratolite.data_keys import decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Request, Response
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.sealing import Seal
from stratolite.services.dynamodb.table import Record, Table

MANAGED = "alias/aws/dynamodb"
ASKED_EVERY_S = 300
_KEPT_MAX = 4096
_INVALID = "One or more parameter values were invalid: "
_GRANTED = (
    "DescribeKey",
    "GenerateDataKey",
    "Decrypt",
    "Encrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
)
Sse = dict[str, Any]


class _Kept(NamedTuple):
    sealed: str
    until_s: float
    seal: Seal
    source: Table | None
    unlocked: Table | None


class Keyring:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._seals: dict[tuple[bytes, bool], Seal] = {}

    # -- using a table

    def unlocked(self, call: Call, table: Table) -> Table:
        """``table`` with what opens and seals its values, if KMS lets the caller. Raises Fault, KMS's as DynamoDB words it."""
        if table.sse is None:
            return table
        kept, place = self._asked(call, table.account, table.region, table.name, table.sse)
        if kept.source is not table or kept.unlocked is None:
            unlocked = copy(table)
            unlocked.seal = kept.seal
            kept = self._kept[place] = kept._replace(source=table, unlocked=unlocked)
        assert kept.unlocked is not None
        return kept.unlocked

    def unlocked_for_us(self, tx: Tx, table: Table) -> Table:
        """The same for what is done without a caller, by the table's grant."""
        if table.sse is None:
            return table
        return self.unlocked(self.ourselves(tx, table.account, table.region, table.arn), table)

    def seal(
        self, call: Call, account: str, region: str, name: str, sse: Sse | None
    ) -> Seal | None:
        """What opens the values of a stream or backup of the table called ``name``; None: they are not sealed."""
        return None if sse is None else self._asked(call, account, region, name, sse)[0].seal

    def seal_of(self, data_key: bytes) -> Seal:
        return self._seal(data_key, seals=True)

    def data_key(self, call: Call, account: str, region: str, name: str, sse: Sse) -> bytes:
        """Raises Fault."""
        there = call.scoped(account, region)
        ask = {"CiphertextBlob": base64.b64decode(sse["Sealed"]), **_context(account, name)}
        table_key = _kms(there, "Decrypt", ask)["Plaintext"]
        wrapped = base64.b64decode(sse["Data"])
        return decrypt(table_key, wrapped, name.encode())

    def ourselves(self, tx: Tx, account: str, region: str, arn: str) -> Call:
        call = self._cloud.call(account, region).as_service(_service(region), arn)
        call.tx = tx
        return call

    def _asked(
        self, call: Call, account: str, region: str, name: str, sse: Sse
    ) -> tuple[_Kept, tuple[str, ...]]:
        who, seals = call.principal, "Off" not in sse
        place = (who.kind, who.arn, who.name, who.session_policy, account, region, name, sse["Data"], str(seals))  # fmt: skip
        kept = self._kept.get(place)
        if kept is None or kept.sealed != sse["Sealed"] or call.tx.time_s >= kept.until_s:
            data_key = self.data_key(call, account, region, name, sse)
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            until_s = call.tx.time_s + ASKED_EVERY_S
            kept = _Kept(sse["Sealed"], until_s, self._seal(data_key, seals=seals), None, None)
            self._kept[place] = kept
        return kept, place

    def _seal(self, data_key: bytes, *, seals: bool) -> Seal:
        """One for all callers: its ciphers are made once."""
        found = self._seals.get((data_key, seals))
        if found is None:
            if len(self._seals) >= _KEPT_MAX:
                self._seals.clear()
            found = Seal(data_key, self._cloud.world.token, seals=seals)
            self._seals[data_key, seals] = found
        return found

    # -- choosing a key

    def begin(self, call: Call, record: Record, key: str) -> None:
        """Put the table of ``record``, which has no values yet or none that are sealed, under a KMS key."""
        account, region, _ = _place(record)
        data_key = call.world.token(32)
        record["Sse"] = self._wrapped(call.scoped(account, region), record, key, data_key)

    def change(self, call: Call, record: Record, key: str) -> None:
        """Another KMS key. Raises ValidationException if it is the same."""
        account, region, name = _place(record)
        old, there = record["Sse"], call.scoped(account, region)
        data_key = self.data_key(there, account, region, name, old)
        made = self._wrapped(there, record, key, data_key)
        if made["Key"] == old["Key"]:
            raise invalid(_INVALID + "Table is already encrypted by given KMSMasterKey")
        record["Sse"] = made | {k: old[k] for k in ("Off",) if k in old}
        self.retire(call.tx, record, old)

    def retire(self, tx: Tx, record: Record, sse: Sse) -> None:
        """The grant goes with the table or its use of the key; a key that is gone has no grants."""
        account, region, _ = _place(record)
        call = self.ourselves(tx, account, region, record["Description"]["TableArn"])
        request = {"KeyId": sse["Key"], "GrantId": sse["Grant"]}
        try:
            call.invoke("kms", "RetireGrant", request)
        except Fault as fault:
            if fault.code not in ("NotFoundException", "AccessDeniedException"):
                raise

    def _wrapped(self, there: Call, record: Record, key: str, data_key: bytes) -> Sse:
        """``there``: whoever chooses the key, in the table's region. All that DynamoDB needs of it is tried."""
        account, region, name = _place(record)
        context = _context(account, name)
        about = _kms(there, "DescribeKey", {"KeyId": key})["KeyMetadata"]
        if about["KeySpec"] != "SYMMETRIC_DEFAULT" or about["KeyUsage"] != "ENCRYPT_DECRYPT":
            raise invalid(f"KMS validation error: {about['Arn']} is not a symmetric encryption key")
        key = about["Arn"]
        grant = {
            "KeyId": key,
            "GranteePrincipal": _service(region),
            "RetiringPrincipal": _service(region),
            "Operations": list(_GRANTED),
            "Constraints": {"EncryptionContextSubset": context["EncryptionContext"]},
        }
        granted = _kms(there, "CreateGrant", grant)["GrantId"]
        made = _kms(there, "GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256", **context})
        sealed = made["CiphertextBlob"]
        table_key = _kms(there, "Decrypt", {"CiphertextBlob": sealed, **context})["Plaintext"]
        _may(there, "Encrypt", {"KeyId": key, "Plaintext": b"-", **context})
        contexts = {f"{end}{k}": v for end in ("Source", "Destination") for k, v in context.items()}
        ask = {"CiphertextBlob": sealed, "DestinationKeyId": key, **contexts}
        _may(there, "ReEncrypt", ask)
        wrapped = encrypt(there.world, table_key, data_key, name.encode())
        return {
            "Key": key,
            "Grant": granted,
            "Sealed": base64.b64encode(sealed).decode(),
            "Data": base64.b64encode(wrapped).decode(),
            "Status": "ENABLED",
        } | ({"Managed": True} if about["KeyManager"] == "AWS" else {})

    # -- describing

    def is_lost(self, tx: Tx, record: Record) -> bool:
        """Whether the KMS key cannot be used: it is off, going or gone, or the grant was revoked."""
        account, region, name = _place(record)
        call = self.ourselves(tx, account, region, record["Description"]["TableArn"])
        try:
            self.data_key(call, account, region, name, record["Sse"])
        except Fault:
            return True
        return False


def ring(cloud: Cloud) -> Keyring:
    """The one of the cloud's DynamoDB."""
    found: Keyring = cloud.service("dynamodb").keyring  # type: ignore[attr-defined]  # its Base has one
    return found


def ours(cloud: Cloud, tx: Tx, account: str, region: str, name: str) -> Table | None:
    """The table called ``name``, unlocked for work that has no caller. Raises Fault: the work comes again."""
    table = state.table(tx, account, region, name)
    if table is None or table.sse is None:
        return table
    return ring(cloud).unlocked_for_us(tx, table)


def wanted_key(request: Mapping[str, Any], member: str = "SSESpecification") -> str | None:
    """The KMS key an SSESpecification asks for, "" for none of KMS, None where there is none. Raises ValidationException."""
    wanted = request.get(member)
    if wanted is None:
        return None
    kind, key = wanted.get("SSEType"), wanted.get("KMSMasterKeyId")
    if kind == "AES256":
        raise invalid(_INVALID + "The only supported SSEType is KMS")
    if not wanted.get("Enabled"):
        if key is not None:
            raise invalid(_INVALID + "KMSMasterKeyId cannot be specified when SSE is not enabled")
        return ""
    return key or MANAGED


def description(sse: Sse) -> dict[str, Any]:
    """An SSEDescription."""
    found = {"Status": sse["Status"], "SSEType": "KMS", "KMSMasterKeyArn": sse["Key"]}
    return found | ({"InaccessibleEncryptionDateTime": sse["Lost"]} if "Lost" in sse else {})


def _place(record: Record) -> tuple[str, str, str]:
    _, _, _, region, account, _ = record["Description"]["TableArn"].split(":", 5)
    return account, region, record["Description"]["TableName"]


def _service(region: str) -> str:
    return f"dynamodb.{region}.amazonaws.com"


def _context(account: str, name: str) -> dict[str, dict[str, str]]:
    held = {"aws:dynamodb:tableName": name, "aws:dynamodb:subscriberId": account}
    return {"EncryptionContext": held}


def _kms(call: Call, operation: str, request: Request) -> Response:
    """KMS asked by way of DynamoDB. Raises Fault in DynamoDB's words."""
    try:
        return call.invoke("kms", operation, {**request, "_via": "dynamodb"})
    except Fault as fault:
        raise _worded(call, fault) from fault


def _may(call: Call, operation: str, request: Request) -> None:
    """Raise where the caller could not."""
    try:
        call.invoke("kms", operation, {**request, "DryRun": True, "_via": "dynamodb"})
    except Fault as fault:
        if fault.code != "DryRunOperationException":
            raise _worded(call, fault) from fault


def _worded(call: Call, fault: Fault) -> Fault:
    """As DynamoDB passes on what KMS says.

    Source  https://github.com/aws/aws-cdk/issues/18616
            https://github.com/aws-solutions/generative-ai-application-builder-on-aws/issues/29
    """
    answer, words, kind, code = (
        "ValidationException",
        "KMS validation error",
        fault.code,
        fault.code,
    )
    if code.startswith("AccessDenied"):
        answer = code = "AccessDeniedException"
        words, kind = "KMS key access denied error", "AWSKMSException"
    return Fault(
        answer,
        f"{words}: com.amazonaws.services.kms.model.{kind}: {fault.message} (Service: AWSKMS; Status Code: 400; "
        f"Error Code: {code}; Request ID: {call.request_id}; Proxy: null)",
        status=400,
    )
