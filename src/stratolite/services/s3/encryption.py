"""Encryption of objects: what a request or its bucket asks for, the data key, and what is told about it.

How an object's body is sealed stands in its head as ``more["sse"]``:

    alg    AES256, aws:kms, aws:kms:dsse, or C for a customer's key
    w      the data key: sealed by the vault (AES256), by KMS, or under the bucket key
    key    ARN of the KMS key
    bk     the bucket key, sealed by KMS, where there is one
    ctx    the caller's own encryption context, base64 JSON as it came
    md5, salt, check    of a customer's key: its digest as the customer gave it, and an HMAC to know it again

An object that nobody asked to be encrypted is kept as it came and said to be AES256; see docs/decisions for why.
Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any, NamedTuple

import orjson

from stratolite.data_keys import decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.s3 import state
from stratolite.services.s3.faults import access_denied, invalid_argument, invalid_request
from stratolite.services.s3.state import Bucket

KMS = ("aws:kms", "aws:kms:dsse")
VAULT_PURPOSE = "s3 data key"
BUCKET_KEY_S = 86_400.0
"""How long objects share a bucket key."""
_CUSTOMER = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
ASKING = frozenset({"ServerSideEncryption", "SSEKMSKeyId", *_CUSTOMER})


class Sealing(NamedTuple):
    data_key: bytes
    sse: dict[str, Any]


def wanted(call: Call, bucket: Bucket, request: Request) -> dict[str, Any] | None:
    """{"alg", "key"?, "bucket_key"?, "ctx"?, "customer"?} for a write, None for none. Raises Fault."""
    customer = customer_key(request)
    algorithm = request.get("ServerSideEncryption")
    if customer is not None:
        if algorithm is not None:
            raise invalid_argument(
                "Server Side Encryption with Customer provided key is incompatible with the "
                "encryption method specified",
                "x-amz-server-side-encryption",
                algorithm,
            )
        if blocks_customers(call, bucket):
            raise access_denied()
        return {"alg": "C", "customer": customer}
    if algorithm is None:
        if request.get("SSEKMSKeyId"):
            raise invalid_argument(
                "Server Side Encryption with AWS KMS managed key requires HTTP header "
                "x-amz-server-side-encryption : aws:kms",
                "x-amz-server-side-encryption",
                "null",
            )
        if "encryption" not in bucket.on:
            return None
        rule = state.config(call.tx, bucket, "encryption")[0]
        default = rule["ApplyServerSideEncryptionByDefault"]
        made = {"alg": default["SSEAlgorithm"], "key": default.get("KMSMasterKeyID")}
        if rule.get("BucketKeyEnabled"):
            made["bucket_key"] = True
        return made
    if algorithm == "AES256":
        if request.get("SSEKMSKeyId"):
            raise invalid_argument(
                "Server Side Encryption with AWS KMS managed key requires HTTP header "
                "x-amz-server-side-encryption : aws:kms",
                "x-amz-server-side-encryption",
                algorithm,
            )
        return {"alg": algorithm}
    if algorithm not in KMS:
        raise invalid_argument(
            "The encryption method specified is not supported",
            "x-amz-server-side-encryption",
            algorithm,
        )
    key = request.get("SSEKMSKeyId")
    uses_bucket_key = request.get("BucketKeyEnabled")
    if "encryption" in bucket.on:
        rule = state.config(call.tx, bucket, "encryption")[0]
        default = rule["ApplyServerSideEncryptionByDefault"]
        if key is None and default["SSEAlgorithm"] == algorithm:
            key = default.get("KMSMasterKeyID")
        if uses_bucket_key is None:
            uses_bucket_key = rule.get("BucketKeyEnabled")
    made = {"alg": algorithm, "key": key}
    if uses_bucket_key:
        made["bucket_key"] = True
    if context := request.get("SSEKMSEncryptionContext"):
        _context(context)
        made["ctx"] = context
    return made


def blocks_customers(call: Call, bucket: Bucket) -> bool:
    """Whether it takes nothing under customers' keys, as new buckets do since April 2026.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-s3-c-encryption-setting-faq.html
    """
    if bucket.blocks_sse_c or "encryption" not in bucket.on:
        return bucket.blocks_sse_c
    return "BlockedEncryptionTypes" in state.config(call.tx, bucket, "encryption")[0]


def customer_key(request: Request, prefix: str = "") -> tuple[bytes, str] | None:
    """(key, its MD5 as given) of SSE-C headers; ``prefix`` is CopySource for a copy's source. Raises Fault."""
    algorithm, key, md5 = (request.get(prefix + member) for member in _CUSTOMER)
    if algorithm is None and key is None and md5 is None:
        return None
    if not prefix and (other := request.get("ServerSideEncryption")) is not None:
        raise invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption "
            "method specified",
            _ARGUMENT,
            other,
        )
    if algorithm is not None and algorithm != "AES256":
        raise Fault(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
            status=400,
            ArgumentName=_ARGUMENT,
            ArgumentValue=algorithm,
        )
    required = (
        "Requests specifying Server Side Encryption with Customer provided keys must provide "
    )
    if algorithm is None:
        raise _wrong(required + "a valid encryption algorithm.")
    if key is None:
        raise _wrong(required + "an appropriate secret key.")
    raw = _base64(key)
    if len(raw) != 32 or md5 is None:
        raise _wrong("The secret key was invalid for the specified algorithm.")
    if _base64(md5) != hashlib.md5(raw, usedforsecurity=False).digest():
        raise _wrong("The calculated MD5 hash of the key did not match the hash that was provided.")
    return raw, md5


_ARGUMENT = "x-amz-server-side-encryption"


def _wrong(message: str) -> Fault:
    """Words and members: localstack's recorded snapshots of its SSE-C tests."""
    return Fault("InvalidArgument", message, status=400, ArgumentName=_ARGUMENT)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def begin(call: Call, bucket: Bucket, key: str, asked: dict[str, Any]) -> Sealing:
    """A data key for a new object or upload; in a transaction. Raises Fault, KMS's as S3 names them."""
    algorithm = asked["alg"]
    if algorithm == "C":
        raw, md5 = asked["customer"]
        salt = call.world.token(16)
        check = hmac.digest(raw, b"check" + salt, "sha256")
        return Sealing(raw, {"alg": "C", "md5": md5, "salt": salt, "check": check})
    if algorithm == "AES256":
        data_key = call.world.token(32)
        return Sealing(
            data_key, {"alg": algorithm, "w": call.cloud.vault.seal(data_key, VAULT_PURPOSE)}
        )
    master = asked.get("key") or "alias/aws/s3"
    told = {"alg": algorithm}
    if asked.get("ctx"):
        told["ctx"] = asked["ctx"]
    if asked.get("bucket_key") and algorithm == "aws:kms":
        return _under_bucket_key(call, bucket, master, told)
    context = _kms_context(bucket, key, told)
    made = _kms(
        call,
        bucket,
        "GenerateDataKey",
        {"KeyId": master, "KeySpec": "AES_256", "EncryptionContext": context},
    )
    sse = {**told, "key": made["KeyId"], "w": made["CiphertextBlob"]}
    return Sealing(made["Plaintext"], sse)


def wrapped(
    call: Call, bucket: Bucket, key: str, asked: dict[str, Any], data_key: bytes
) -> dict[str, Any]:
    """How a body that is sealed with ``data_key`` is from now on under the KMS key that is asked for. Raises Fault."""
    told = {"alg": asked["alg"]}
    if asked.get("bucket_key"):
        return _under_bucket_key(call, bucket, asked["key"], told, data_key).sse
    context = _kms_context(bucket, key, told)
    made = _kms(
        call,
        bucket,
        "Encrypt",
        {"KeyId": asked["key"], "Plaintext": data_key, "EncryptionContext": context},
    )
    return {**told, "key": made["KeyId"], "w": made["CiphertextBlob"]}


def _under_bucket_key(
    call: Call, bucket: Bucket, master: str, told: dict[str, Any], data_key: bytes = b""
) -> Sealing:
    """For a fresh data key, or for one that is there."""
    context = {"aws:s3:arn": f"arn:aws:s3:::{bucket.name}"}
    kept = state.config(call.tx, bucket, "bucket-key")
    now_s = call.tx.time_s
    if kept and kept["master"] == master and now_s - kept["made_s"] < BUCKET_KEY_S:
        sealed = base64.b64decode(kept["w"])
        opened = _kms(
            call, bucket, "Decrypt", {"CiphertextBlob": sealed, "EncryptionContext": context}
        )
        arn, bucket_key = opened["KeyId"], opened["Plaintext"]
    else:
        made = _kms(
            call,
            bucket,
            "GenerateDataKey",
            {"KeyId": master, "KeySpec": "AES_256", "EncryptionContext": context},
        )
        arn, bucket_key, sealed = made["KeyId"], made["Plaintext"], made["CiphertextBlob"]
        value = {"master": master, "made_s": now_s, "w": base64.b64encode(sealed).decode()}
        state.put_config(call.tx, bucket, "bucket-key", value)
    data_key = data_key or call.world.token(32)
    return Sealing(
        data_key,
        {**told, "key": arn, "bk": sealed, "w": encrypt(call.world, bucket_key, data_key)},
    )


def open_key(call: Call, bucket: Bucket, key: str, sse: dict[str, Any], request: Request, prefix: str = "") -> bytes:  # fmt: skip
    """The data key of a sealed object, for whom may have it. Raises Fault."""
    if (
        sse.get("alg") == "C"
        and request.get(f"{prefix}SSECustomerKey") is not None
        and request.get(f"{prefix}SSECustomerKeyMD5") is None
    ):
        raise _not_the_key()  # LocalStack's recorded get-obj-sse-c-no-md5
    customer = customer_key(request, prefix)
    if sse.get("alg") != "C":
        if customer is not None:
            raise _not_applicable()
        if not sse:
            return b""
        if sse["alg"] == "AES256":
            return call.cloud.vault.open(sse["w"], VAULT_PURPOSE)  # type: ignore[no-any-return]
        if "bk" in sse:
            context = {"aws:s3:arn": f"arn:aws:s3:::{bucket.name}"}
            asked = {"CiphertextBlob": sse["bk"], "EncryptionContext": context}
            opened = _kms(call, bucket, "Decrypt", asked)
            return decrypt(opened["Plaintext"], sse["w"])
        asked = {"CiphertextBlob": sse["w"], "EncryptionContext": _kms_context(bucket, key, sse)}
        return _kms(call, bucket, "Decrypt", asked)["Plaintext"]  # type: ignore[no-any-return]
    if customer is None:
        raise invalid_request(
            "The object was stored using a form of Server Side Encryption. The correct parameters "
            "must be provided to retrieve the object."
        )
    raw, _ = customer
    if not hmac.compare_digest(hmac.digest(raw, b"check" + sse["salt"], "sha256"), sse["check"]):
        raise _not_the_key()
    return raw


def _not_the_key() -> Fault:
    return Fault(
        "AccessDenied",
        "Requests specifying Server Side Encryption with Customer provided keys must provide "
        "the correct secret key.",
        status=403,
    )


def _not_applicable() -> Fault:
    return invalid_request("The encryption parameters are not applicable to this object.")


def shown(sse: dict[str, Any] | None) -> dict[str, Any]:
    """The members of an answer that say how an object is encrypted."""
    if not sse:
        return {"ServerSideEncryption": "AES256"}
    if sse["alg"] == "C":
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": sse["md5"]}
    told: dict[str, Any] = {"ServerSideEncryption": sse["alg"]}
    if "key" in sse:
        told["SSEKMSKeyId"] = sse["key"]
    if "bk" in sse:
        told["BucketKeyEnabled"] = True
    return told


def hides_digest(sse: dict[str, Any]) -> bool:
    """Whether the ETag must say nothing of the body: all but what S3 encrypts with keys of its own."""
    return bool(sse["alg"] != "AES256")


def _kms_context(bucket: Bucket, key: str, sse: dict[str, Any]) -> dict[str, str]:
    own = _context(sse["ctx"]) if sse.get("ctx") else {}
    return {**own, "aws:s3:arn": f"arn:aws:s3:::{bucket.name}/{key}"}


def _context(text: str) -> dict[str, str]:
    try:
        found = orjson.loads(_base64(text))
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise invalid_argument(
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 "
            "string holding JSON which represents a string-string map",
            "x-amz-server-side-encryption-context",
            text,
        )
    return found


def _kms(call: Call, bucket: Bucket, operation: str, request: Request) -> dict[str, Any]:
    """KMS in the bucket's region, asked in the caller's name by way of S3."""
    there = call.scoped(bucket.account, bucket.region)
    try:
        return there.invoke("kms", operation, {**request, "_via": "s3"})
    except Fault as fault:
        code = fault.code.removesuffix("Exception") if fault.code.startswith("Access") else ""
        if code:
            raise Fault("AccessDenied", fault.message, status=403) from fault
        raise Fault(f"KMS.{fault.code}", fault.message, status=400) from fault
