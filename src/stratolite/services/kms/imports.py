"""Imported key material: wrapped under a key that lives a day, taken in, expiring, deleted, imported again.

An import token is all there is of a wrapping key: JSON {key (ARN), algorithm, until_s, private (PKCS #8, base64)},
sealed by the vault for "kms import". Material that has expired counts as gone from that moment; a job removes it.

Source  https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Service, Settle, prepared
from stratolite.services.kms import material, state
from stratolite.services.kms.faults import invalid, unsupported
from stratolite.services.kms.lookup import (
    check_stays,
    expired,
    find,
    is_external,
    is_replica,
    state_of,
    without_expired,
)
from stratolite.services.kms.specs import SPECS, SYMMETRIC
from stratolite.services.kms.state import Key, Place, material_id

EXPIRE = "kms.expire"
TOKEN_VALID_S = 86_400
VALID_DAYS_MAX = 365
_SEAL = "kms import"
_ALGORITHMS = (
    "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256",
)  # fmt: skip
_WRAPPING_SPECS = ("RSA_2048", "RSA_3072", "RSA_4096")


class Imports(Service):
    async def _make_wrapping(self, call: Call, request: Request) -> Request:
        spec, algorithm = request["WrappingKeySpec"], request["WrappingAlgorithm"]
        if spec not in _WRAPPING_SPECS:
            raise unsupported(f"WrappingKeySpec {spec}")
        if algorithm not in _ALGORITHMS:  # AWS takes RSAES_PKCS1_V1_5 no more since October 2023
            raise Fault("UnsupportedOperationException", f"{algorithm} is not supported.")
        made = await asyncio.to_thread(material.make, call.world, spec)
        return {**request, "_wrapping": made}

    @prepared(_make_wrapping)
    def get_parameters_for_import(self, call: Call, request: Request) -> Response:
        found = _importing(call, request)
        algorithm = request["WrappingAlgorithm"]
        if SPECS[found.record["spec"]].is_rsa and not algorithm.startswith("RSA_AES"):
            raise Fault(
                "UnsupportedOperationException",
                f"{algorithm} cannot wrap the key material of a {found.record['spec']} key.",
            )
        until_s = call.tx.time_s + TOKEN_VALID_S
        private = request["_wrapping"]
        token = {
            "key": found.arn,
            "algorithm": algorithm,
            "until_s": until_s,
            "private": base64.b64encode(private).decode(),
        }
        return {
            "KeyId": found.arn,
            "ImportToken": call.cloud.vault.seal(orjson.dumps(token), _SEAL),
            "PublicKey": material.public_der(private),
            "ParametersValidTo": until_s,
        }

    def import_key_material(self, call: Call, request: Request) -> Response:
        found = _importing(call, request)
        valid_to_s = _valid_to(call, request)
        raw = _unwrapped(call, found, request)
        entry = {
            **state.seal(call, found.id, raw, call.tx.time_s),
            "digest": hashlib.sha256(found.id.encode() + raw).hexdigest(),
            "valid_to_s": valid_to_s,
            "about": request.get("KeyMaterialDescription") or "",
        }
        entries, pending = list(found.record["materials"]), found.record["pending"]
        wanted = request.get("ImportType")
        symmetric = found.record["spec"] == SYMMETRIC
        if not symmetric and any(request.get(m) for m in ("ImportType", "KeyMaterialId")):
            raise invalid("ImportType and KeyMaterialId are for symmetric encryption keys")
        if not entries:
            if is_replica(found):
                _check_primary_has(call, found, entry["digest"])
            entries, number = [entry], 0
        elif wanted == "NEW_KEY_MATERIAL":
            if is_replica(found):
                raise Fault(
                    "UnsupportedOperationException",
                    "New key material must be imported into the primary key first.",
                )
            if request.get("KeyMaterialId"):
                raise invalid("KeyMaterialId cannot be specified with NEW_KEY_MATERIAL")
            if any(one["digest"] == entry["digest"] for one in entries):
                raise _incorrect()
            if pending and pending["digest"] != entry["digest"]:
                raise Fault(
                    "KMSInvalidStateException",
                    f"New key material (id: {material_id(found, len(entries) + 1)}) cannot be imported into KMS key"
                    f" {found.id}, because another key material (id: {material_id(found, len(entries))})"
                    " is pending rotation.",
                )
            pending, number = entry, len(entries)
        else:
            number = _number(call, found, entry["digest"])
            if request.get("KeyMaterialId") not in (None, material_id(found, number)):
                raise _incorrect()
            if number < len(entries):
                entries[number] = {
                    **entry, "kind": entries[number]["kind"], "at_s": entries[number]["at_s"],
                    "about": entry["about"] or entries[number]["about"],
                }  # fmt: skip
            else:
                pending = entry
        back = state_of(found) == "PendingImport"
        record = {**found.record, "materials": entries, "pending": pending}
        record["enabled"] = back or found.record["enabled"]
        put = state.put_key(call.tx, found.place, record)
        if valid_to_s is not None:
            payload = orjson.dumps([*found.place, found.id])
            call.cloud.work.put(call.tx, EXPIRE, payload, due_s=valid_to_s)
        response: Response = {"KeyId": found.arn}
        if symmetric:
            response["KeyMaterialId"] = material_id(put, number)
        return response

    def delete_imported_key_material(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        if not is_external(found):
            raise wrong_origin(found)
        check_stays(found)
        entries, pending = list(found.record["materials"]), found.record["pending"]
        response: Response = {"KeyId": found.arn}
        wanted = request.get("KeyMaterialId")
        ids = [material_id(found, n) for n in range(len(entries) + bool(pending))]
        if wanted is not None and wanted not in ids:
            raise Fault("NotFoundException", f"Key material {wanted} does not exist")
        number = len(entries) - 1 if wanted is None else ids.index(wanted)
        if number >= len(entries) and pending:
            pending = None
        elif number >= 0:
            entries[number] = {**entries[number], "sealed": ""}
        if found.record["spec"] == SYMMETRIC and ids:
            response["KeyMaterialId"] = ids[number]
        record = {**found.record, "materials": entries, "pending": pending}
        state.put_key(call.tx, found.place, record)
        if not is_replica(found) and number >= len(entries):  # what was to come goes everywhere
            for one in state.relatives(call.tx, found):
                state.put_key(call.tx, one.place, {**one.record, "pending": None})
        return response


def _importing(call: Call, request: Request) -> Key:
    found = find(call, request["KeyId"])
    if not is_external(found):
        raise wrong_origin(found)
    check_stays(found)
    return found


def wrong_origin(found: Key) -> Fault:
    return Fault(
        "UnsupportedOperationException",
        f"{found.arn} origin is {found.record.get('origin', 'AWS_KMS')} which is not valid for this operation.",
    )


def _incorrect() -> Fault:
    return Fault(
        "IncorrectKeyMaterialException",
        "The key material in the request is not that which was imported before.",
    )


def _valid_to(call: Call, request: Request) -> float | None:
    given = request.get("ValidTo")
    if (request.get("ExpirationModel") or "KEY_MATERIAL_EXPIRES") != "KEY_MATERIAL_EXPIRES":
        if given is not None:
            raise invalid("ValidTo cannot be specified if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")  # fmt: skip
        return None
    if given is None:
        raise invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
    now_s = call.tx.time_s
    if not now_s < given <= now_s + VALID_DAYS_MAX * 86_400:
        raise invalid(f"ValidTo must be a time within the next {VALID_DAYS_MAX} days")
    return float(given)


def _unwrapped(call: Call, found: Key, request: Request) -> bytes:
    try:
        token: dict[str, Any] = orjson.loads(call.cloud.vault.open(request["ImportToken"], _SEAL))
    except ValueError as error:
        raise Fault("InvalidImportTokenException", "The import token is not valid.") from error
    if token["key"] != found.arn:
        raise Fault("InvalidImportTokenException", "The import token is for another key.")
    if token["until_s"] <= call.tx.time_s:
        raise Fault("ExpiredImportTokenException", "The import token has expired.")
    private = base64.b64decode(token["private"])
    raw = material.unwrap(private, token["algorithm"], request["EncryptedKeyMaterial"])
    if raw is None:
        raise Fault("InvalidCiphertextException", "")
    if not material.fits(raw, found.record["spec"]):
        raise Fault(
            "IncorrectKeyMaterialException",
            f"The key material is not valid for a {found.record['spec']} key.",
        )
    return raw


def _number(call: Call, found: Key, digest: str) -> int:
    """Which of the key's materials this is; of a replica also the one that its primary is to be rotated to."""
    for number, one in enumerate(found.record["materials"]):
        if one["digest"] == digest:
            return number
    pending = found.record["pending"]
    if is_replica(found):
        primary = state.relatives(call.tx, found)[0]
        pending = primary.record["pending"]
    if pending and pending["digest"] == digest:
        return len(found.record["materials"])
    raise _incorrect()


def _check_primary_has(call: Call, found: Key, digest: str) -> None:
    held = state.relatives(call.tx, found)[0].record["materials"]
    if not any(one["digest"] == digest for one in held):
        raise _incorrect()


def rotate(call: Call, found: Key) -> None:
    """To the material that waits for it, in all regions at once. Raises KMSInvalidStateException."""
    family = [found, *(without_expired(call, one) for one in state.relatives(call.tx, found))]
    if any(not one.record["pending"] for one in family):
        raise Fault(
            "KMSInvalidStateException",
            f"No available key material pending rotation for the key: {found.arn}.",
        )
    for one in family:
        fresh = {**one.record["pending"], "at_s": call.tx.time_s, "kind": "ON_DEMAND"}
        record = {**one.record, "materials": [*one.record["materials"], fresh], "pending": None}
        state.put_key(call.tx, one.place, record)


class Expirer:
    """Removes imported material whose time has come."""

    queue = EXPIRE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, key_id = orjson.loads(job.payload)

        def expire(tx: Tx) -> None:
            found = state.key(tx, Place(account, region), key_id)
            if found is None:
                return
            left = expired(found.record, tx.time_s)
            if left is not None:
                state.put_key(tx, found.place, left)

        return expire
