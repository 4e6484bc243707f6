"""Access keys of users and of the account's root, two at most of each.

Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html
"""

from __future__ import annotations

import base64
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, inside, key_ids, names, state

KEYS_COUNT_MAX = 2
NEVER = {"ServiceName": "N/A", "Region": "N/A"}


class AccessKeyOperations:
    """Mixed into ``Iam``."""

    def create_access_key(self, call: Call, request: Request) -> Response:
        user = _whose(call, request)
        if token := request.get("StackToken"):  # what this step of a stack made before a crash
            for record in state.keys_of(call.tx, call.account, user):
                if record.get("StackToken") == token:
                    return {"AccessKey": key_shown(record) | _secret(call, record)}
        if len(state.keys_of(call.tx, call.account, user)) >= KEYS_COUNT_MAX:
            quota = f"Cannot exceed quota for AccessKeysPerUser: {KEYS_COUNT_MAX}"
            raise Fault("LimitExceeded", quota)
        key_id = key_ids.new(call.world, "AKIA", call.account)
        while state.get_key(call.tx, key_id) is not None:
            key_id = key_ids.new(call.world, "AKIA", call.account)
        secret = base64.b64encode(call.world.token(30)).decode()
        sealed = call.cloud.vault.seal(secret.encode(), f"access-key:{key_id}")
        record = {
            "UserName": user,
            "AccessKeyId": key_id,
            "Status": "Active",
            "CreateDate": int(call.tx.time_s),
            "Account": call.account,
            "Sealed": base64.b64encode(sealed).decode(),
        }
        if token := request.get("StackToken"):
            record["StackToken"] = token
        state.put_key(call.tx, record)
        return {"AccessKey": key_shown(record) | {"SecretAccessKey": secret}}

    def list_access_keys(self, call: Call, request: Request) -> Response:
        keys = [key_shown(k) for k in state.keys_of(call.tx, call.account, _whose(call, request))]
        page = holders.paged(sorted(k["AccessKeyId"] for k in keys), request)
        kept = set(page.pop("Items"))
        return {"AccessKeyMetadata": [k for k in keys if k["AccessKeyId"] in kept]} | page

    def update_access_key(self, call: Call, request: Request) -> Response:
        record = _own_key(call, request)
        names.check_one_of("status", request["Status"], ("Expired", "Active", "Inactive"))
        state.put_key(call.tx, record | {"Status": request["Status"]})
        return {}

    def delete_access_key(self, call: Call, request: Request) -> Response:
        record = _own_key(call, request)
        state.delete_key(call.tx, call.account, record["UserName"], record["AccessKeyId"])
        return {}

    def reveal_access_key(self, call: Call, asked: Request) -> Response:
        """For a stack alone, no wire carries it: the secret once more, for who may change the key."""
        inside.check(call, "RevealAccessKey", stacks=True)
        return {
            "AccessKey": key_shown(_own_key(call, asked)) | _secret(call, _own_key(call, asked))
        }

    # -- for STS alone, no wire carries them

    def new_key_id(self, call: Call, asked: Request) -> Response:
        inside.check(call, "NewKeyId")
        return {"AccessKeyId": key_ids.new(call.world, asked["Prefix"], call.account)}

    def find_access_key(self, call: Call, asked: Request) -> Response:
        """Account, None if the id tells none."""
        inside.check(call, "FindAccessKey")
        record = state.get_key(call.tx, asked["AccessKeyId"])
        account = record["Account"] if record else key_ids.account_of(asked["AccessKeyId"])
        return {"Account": account}

    async def get_access_key_last_used(self, call: Call, request: Request) -> Response:
        if call.cloud.usage is not None:
            await call.cloud.usage.flush()

        def look(inner: Call) -> Response:
            key_id = request["AccessKeyId"]
            record = state.get_key(inner.tx, key_id)
            if record is None or record["Account"] != inner.account:
                raise Fault(
                    "AccessDenied",
                    f"User: {inner.principal.arn} is not authorized to perform iam:GetAccessKeyLastUsed on resource:"
                    f" access key {key_id}",
                    status=403,
                )
            used = state.used(inner.tx, inner.account, "key", key_id)
            last = NEVER if used is None else dict(used)
            return {"UserName": record["UserName"], "AccessKeyLastUsed": last}

        return await call.transact(look)


def key_shown(record: dict[str, Any]) -> dict[str, Any]:
    fields = ("UserName", "AccessKeyId", "Status", "CreateDate")
    return {k: record[k] for k in fields if record[k] != ""}


def _whose(call: Call, request: Request) -> str:
    """The user named or asking; "" is the account's root. Raises Fault."""
    name: str = request.get("UserName", "")
    if not name and call.principal.kind == "root":
        return ""
    name = name or own_name(call)
    holders.load(call, "user", name)
    return name


def own_name(call: Call) -> str:
    """The user who asks. Raises Fault for anybody else."""
    if call.principal.kind != "user":
        raise Fault(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    return call.principal.name


def _own_key(call: Call, request: Request) -> dict[str, Any]:
    key_id = request["AccessKeyId"]
    record = state.get_key(call.tx, key_id)
    user = request.get("UserName") or (record and record["UserName"])
    if record is None or record["Account"] != call.account or record["UserName"] != user:
        raise _no_key(key_id)
    return record


def _secret(call: Call, record: dict[str, Any]) -> dict[str, str]:
    sealed = base64.b64decode(record["Sealed"])
    plain = call.cloud.vault.open(sealed, f"access-key:{record['AccessKeyId']}")
    return {"SecretAccessKey": plain.decode()}


def _no_key(key_id: str) -> Fault:
    return Fault("NoSuchEntity", f"The Access Key with id {key_id} cannot be found.")
