"""Secrets: create, describe, update, delete and restore, tag."""

from __future__ import annotations

import re
import string
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.secretsmanager import faults, passwords, replicas, state, worker
from stratolite.services.secretsmanager.faults import arn_of, bad_parameter, bad_request
from stratolite.services.secretsmanager.values import (
    CURRENT,
    Values,
    add_version,
    given,
    stages_of_versions,
)

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+\Z")
_TAGS_MAX = 50
_RECOVERY_DAYS = 30
_AWS_KEY = "alias/aws/secretsmanager"
_SUFFIX = string.ascii_letters + string.digits


class Secrets(Values):
    def create_secret(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("secretsmanager")
        if not _NAME.match(name):
            raise Fault("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!", status=400)  # fmt: skip
        if request.get("Type"):
            raise faults.not_offered("Type")
        value, token = given(request), request.get("ClientRequestToken") or call.world.uuid()
        known = state.get(call.tx, keys, name)
        if known is not None:
            if known["deleted_s"]:
                raise bad_request("You can't create this secret because a secret with this name is already scheduled for deletion.")  # fmt: skip
            if known["token"] == token:
                if value is not None:
                    add_version(call, name, known, token, value, [])
                return _created(call, name, known, token if value else None)
            raise Fault("ResourceExistsException", f"The operation failed because the secret {name} already exists.")  # fmt: skip
        record = {
            "suffix": "".join(_SUFFIX[b % len(_SUFFIX)] for b in call.world.token(6)),
            "description": request.get("Description", ""),
            "kms": _kms(call, request.get("KmsKeyId")),
            "tags": _merged({}, request.get("Tags")),
            "policy": None,
            "created_s": call.tx.time_s,
            "changed_s": call.tx.time_s,
            "accessed_s": 0,
            "deleted_s": 0,
            "due_s": 0,
            "rotation": None,
            "rotated_s": 0,
            "timer": 0,
            "stages": {},
            "versions": {},
            "token": token,
        }
        if value is not None:
            add_version(call, name, record, token, value, [CURRENT])
        if more := request.get("AddReplicaRegions"):
            force = bool(request.get("ForceOverwriteReplicaSecret"))
            replicas.replicate(call, name, record, more, force=force)
        state.put(call.tx, keys, name, record)
        answer = _created(call, name, record, token if value else None)
        return answer | ({"ReplicationStatus": replicas.shown(call, name, record)} if more else {})

    def describe_secret(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find(call, request["SecretId"])
        answer = described(where, name, record)
        if status := replicas.shown(where, name, record):
            answer["ReplicationStatus"] = status
        return answer | {"VersionIdsToStages": stages_of_versions(record)}

    def update_secret(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        if request.get("Type"):
            raise faults.not_offered("Type")
        if "Description" in request:
            record["description"] = request["Description"]
        if "KmsKeyId" in request:
            record["kms"] = _kms(call, request["KmsKeyId"])
        value = given(request)
        version = request.get("ClientRequestToken") or call.world.uuid()
        if value is not None:
            add_version(where, name, record, version, value, [CURRENT])
        record["changed_s"] = call.tx.time_s
        replicas.keep(where, name, record)
        return _created(where, name, record, version if value else None)

    def delete_secret(self, call: Call, request: Request) -> Response:
        force, days = request.get("ForceDeleteWithoutRecovery"), request.get("RecoveryWindowInDays")
        if force and days is not None:
            raise bad_parameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")  # fmt: skip
        if days is not None and not 7 <= days <= 30:
            raise bad_parameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")  # fmt: skip
        try:
            where, name, record = faults.find(call, request["SecretId"])
        except Fault:
            if not force:
                raise
            where, name = faults.home(call, request["SecretId"])
            arn = f"arn:aws:secretsmanager:{where.region}:{where.account}:secret:{name}"
            return {"ARN": arn, "Name": name, "DeletionDate": call.tx.time_s}
        if record["deleted_s"] and not force:
            raise bad_request("You can't perform this operation on the secret because it was already scheduled for deletion.")  # fmt: skip
        faults.refuse_replica(record)
        replicas.refuse_deletion(name, record)
        keys = where.keys("secretsmanager")
        if force:
            state.delete(call.tx, keys, name, record)
            due_s = call.tx.time_s
        else:
            due_s = call.tx.time_s + (days or _RECOVERY_DAYS) * 86_400
            record |= {"deleted_s": call.tx.time_s, "due_s": due_s}
            record["timer"] = worker.delete_later(where, name, due_s)
            state.put(call.tx, keys, name, record)
        return {"ARN": arn_of(where, name, record), "Name": name, "DeletionDate": due_s}

    def restore_secret(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find(call, request["SecretId"])
        if record["deleted_s"]:
            record |= {"deleted_s": 0, "due_s": 0, "timer": 0}
            worker.next_rotation(where, name, record)
            state.put(call.tx, where.keys("secretsmanager"), name, record)
        return {"ARN": arn_of(where, name, record), "Name": name}

    def tag_resource(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        record["tags"] = _merged(record["tags"], request["Tags"])
        replicas.keep(where, name, record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in request["TagKeys"]}
        replicas.keep(where, name, record)
        return {}

    def get_random_password(self, call: Call, request: Request) -> Response:
        return {"RandomPassword": passwords.generate(call.world, request)}


def described(call: Call, name: str, record: state.Record) -> Response:
    """What DescribeSecret and ListSecrets both say."""
    answer: Response = {
        "ARN": arn_of(call, name, record),
        "Name": name,
        "LastChangedDate": record["changed_s"],
        "CreatedDate": record["created_s"],
    }
    for member, value in (
        ("Description", record["description"]),
        ("KmsKeyId", record["kms"]),
        ("LastAccessedDate", record["accessed_s"]),
        ("DeletedDate", record["deleted_s"]),
        ("LastRotatedDate", record["rotated_s"]),
        ("PrimaryRegion", primary_region(call, record)),
        ("Tags", [{"Key": k, "Value": v} for k, v in record["tags"].items()]),
    ):
        if value:
            answer[member] = value
    if rotation := record["rotation"]:
        answer |= {"RotationEnabled": rotation["enabled"], "RotationLambdaARN": rotation["function"]}  # fmt: skip
        if rotation["rules"]:
            answer["RotationRules"] = rotation["rules"]
        if rotation["enabled"] and rotation.get("next_s"):
            answer["NextRotationDate"] = rotation["next_s"]
    return answer


def primary_region(call: Call, record: state.Record) -> str:
    """Of a secret that is replicated, "" of others."""
    return str(record.get("primary") or (call.region if record.get("replicas") else ""))


def _created(call: Call, name: str, record: state.Record, version: str | None) -> Response:
    answer = {"ARN": arn_of(call, name, record), "Name": name}
    return answer | ({"VersionId": version} if version else {})


def _merged(tags: dict[str, str], more: list[dict[str, Any]] | None) -> dict[str, str]:
    if any("Key" not in t for t in more or ()):  # the model does not ask for it
        raise bad_parameter("Tag keys must not be null.")
    if any(t["Key"].lower().startswith("aws:") for t in more or ()):
        raise bad_parameter("aws: prefixed tag key names are not allowed for external use.")
    made = tags | {t["Key"]: t.get("Value", "") for t in more or ()}
    if len(made) > _TAGS_MAX:
        raise bad_parameter("The number of tags exceeds the limit of 50.")
    return made


def _kms(call: Call, key: str | None) -> str:
    """ "" for the account's own key. Raises Fault for a key nobody here could use."""
    if not key or key.endswith(_AWS_KEY):
        return ""
    if "kms" not in call.cloud.services:
        raise faults.not_offered(f"KmsKeyId {key}")
    call.invoke("kms", "DescribeKey", {"KeyId": key})
    return key
