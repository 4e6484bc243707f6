"""Server certificates, users' signing certificates and their SSH public keys: kept, checked, and used by nothing here.

    server-certificate/<name>  {metadata, CertificateBody, CertificateChain, Sealed private key, Tags}
    signing-certificate/<user>/<id>, ssh-key/<user>/<id>  {..., Status, UploadDate}
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_UploadServerCertificate.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_UploadSigningCertificate.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_UploadSSHPublicKey.html
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state
from stratolite.services.iam.access_keys import own_name

_SERVER, _SIGNING, _SSH = "server-certificate", "signing-certificate", "ssh-key"
_PER_USER_MAX, _SSH_PER_USER_MAX, _SERVER_COUNT_MAX = 2, 5, 20
_META = (
    "Path", "ServerCertificateName", "ServerCertificateId", "Arn", "UploadDate", "Expiration",
)  # fmt: skip


class Certificates:
    """Mixed into ``Iam``."""

    # -- of servers

    def upload_server_certificate(self, call: Call, request: Request) -> Response:
        name = request["ServerCertificateName"]
        names.check_name("serverCertificateName", name, 128)
        path = names.check_path(request.get("Path", "/"))
        if again := holders.same_step(call, _SERVER, name, request):
            return _uploaded(again)
        if state.get(call.tx, call.account, _SERVER, name):
            raise Fault(
                "EntityAlreadyExists", f"The Server Certificate with name {name} already exists."
            )
        if state.count(call.tx, call.account, _SERVER) >= _SERVER_COUNT_MAX:
            quota = f"Cannot exceed quota for ServerCertificatesPerAccount: {_SERVER_COUNT_MAX}"
            raise Fault("LimitExceeded", quota)
        ends_s = _check_pair(request["CertificateBody"], request["PrivateKey"])
        identity = names.new_id(call.world, _SERVER)
        sealed = call.cloud.vault.seal(request["PrivateKey"].encode(), f"certificate:{identity}")
        record: dict[str, Any] = {
            "Path": path,
            "ServerCertificateName": name,
            "ServerCertificateId": identity,
            "Arn": names.arn(call.account, _SERVER, path, name),
            "UploadDate": int(call.tx.time_s),
            "Expiration": ends_s,
            "CertificateBody": request["CertificateBody"],
            "CertificateChain": request.get("CertificateChain"),
            "Sealed": base64.b64encode(sealed).decode(),
            "Tags": holders.new_tags(request),
            "StackToken": request.get("StackToken"),
        }
        state.put(call.tx, call.account, _SERVER, name, record)
        return _uploaded(record)

    def get_server_certificate(self, call: Call, request: Request) -> Response:
        record = _server(call, request)
        shown = {
            "ServerCertificateMetadata": _metadata(record),
            "CertificateBody": record["CertificateBody"],
            "Tags": record["Tags"],
        }
        if record["CertificateChain"]:
            shown["CertificateChain"] = record["CertificateChain"]
        return {"ServerCertificate": shown}

    def list_server_certificates(self, call: Call, request: Request) -> Response:
        limit = request.get("MaxItems", holders.PAGE_COUNT)
        found, after = state.page(call.tx, call.account, _SERVER, request.get("Marker", ""), limit)
        prefix = request.get("PathPrefix", "/")
        kept = [_metadata(r) for r in found if r["Path"].startswith(prefix)]
        return {"ServerCertificateMetadataList": kept, "IsTruncated": after is not None} | (
            {"Marker": after} if after else {}
        )

    def update_server_certificate(self, call: Call, request: Request) -> Response:
        record = _server(call, request)
        name = request["ServerCertificateName"]
        new: str = request.get("NewServerCertificateName") or name
        path = names.check_path(request.get("NewPath", record["Path"]))
        if new != name:
            names.check_name("newServerCertificateName", new, 128)
            if state.get(call.tx, call.account, _SERVER, new):
                raise Fault(
                    "EntityAlreadyExists", f"The Server Certificate with name {new} already exists."
                )
            state.delete(call.tx, call.account, _SERVER, name)
        record |= {"ServerCertificateName": new, "Path": path}
        record["Arn"] = names.arn(call.account, _SERVER, path, new)
        state.put(call.tx, call.account, _SERVER, new, record)
        return {}

    def delete_server_certificate(self, call: Call, request: Request) -> Response:
        _server(call, request)
        state.delete(call.tx, call.account, _SERVER, request["ServerCertificateName"])
        return {}

    def tag_server_certificate(self, call: Call, request: Request) -> Response:
        _server(call, request)
        return holders.tag(call, _SERVER, request["ServerCertificateName"], request["Tags"])

    def untag_server_certificate(self, call: Call, request: Request) -> Response:
        _server(call, request)
        return holders.untag(call, _SERVER, request["ServerCertificateName"], request["TagKeys"])

    def list_server_certificate_tags(self, call: Call, request: Request) -> Response:
        _server(call, request)
        return holders.tags_of(call, _SERVER, request["ServerCertificateName"], request)

    # -- of users, to sign with

    def upload_signing_certificate(self, call: Call, request: Request) -> Response:
        user, body = _user(call, request), request["CertificateBody"]
        _certificate(body)
        held = state.parts_of(call.tx, call.account, _SIGNING, user)
        if any(c["CertificateBody"] == body for c in held):
            raise Fault("DuplicateCertificate", "The certificate is already uploaded.")
        if len(held) >= _PER_USER_MAX:
            raise Fault(
                "LimitExceeded", f"Cannot exceed quota for CertificatesPerUser: {_PER_USER_MAX}"
            )
        record = {
            "UserName": user,
            "CertificateId": base64.b32encode(call.world.token(20)).decode()[:24],
            "CertificateBody": body,
            "Status": "Active",
            "UploadDate": int(call.tx.time_s),
        }
        state.put_part(call.tx, call.account, _SIGNING, user, record["CertificateId"], record)
        return {"Certificate": record}

    def list_signing_certificates(self, call: Call, request: Request) -> Response:
        held = state.parts_of(call.tx, call.account, _SIGNING, _user(call, request))
        return {"Certificates": held, "IsTruncated": False}

    def update_signing_certificate(self, call: Call, request: Request) -> Response:
        user, record = _signing(call, request)
        names.check_one_of("status", request["Status"], ("Active", "Inactive"))
        record |= {"Status": request["Status"]}
        state.put_part(call.tx, call.account, _SIGNING, user, record["CertificateId"], record)
        return {}

    def delete_signing_certificate(self, call: Call, request: Request) -> Response:
        user, record = _signing(call, request)
        state.delete_part(call.tx, call.account, _SIGNING, user, record["CertificateId"])
        return {}

    # -- SSH

    def upload_ssh_public_key(self, call: Call, request: Request) -> Response:
        user, body = request["UserName"], request["SSHPublicKeyBody"]
        holders.load(call, "user", user)
        fingerprint = _fingerprint(body)
        held = state.parts_of(call.tx, call.account, _SSH, user)
        if any(k["Fingerprint"] == fingerprint for k in held):
            raise Fault("DuplicateSSHPublicKey", "The SSH public key is already uploaded.")
        if len(held) >= _SSH_PER_USER_MAX:
            raise Fault(
                "LimitExceeded",
                f"Cannot exceed quota for SSHPublicKeysPerUser: {_SSH_PER_USER_MAX}",
            )
        record = {
            "UserName": user,
            "SSHPublicKeyId": names.new_id(call.world, _SSH),
            "Fingerprint": fingerprint,
            "SSHPublicKeyBody": body,
            "Status": "Active",
            "UploadDate": int(call.tx.time_s),
        }
        state.put_part(call.tx, call.account, _SSH, user, record["SSHPublicKeyId"], record)
        return {"SSHPublicKey": record}

    def get_ssh_public_key(self, call: Call, request: Request) -> Response:
        record = _ssh(call, request)
        names.check_one_of("encoding", request["Encoding"], ("SSH", "PEM"))
        if request["Encoding"] == "PEM":
            record["SSHPublicKeyBody"] = _as_pem(record["SSHPublicKeyBody"])
        return {"SSHPublicKey": record}

    def list_ssh_public_keys(self, call: Call, request: Request) -> Response:
        held = state.parts_of(call.tx, call.account, _SSH, _user(call, request))
        fields = ("UserName", "SSHPublicKeyId", "Status", "UploadDate")
        return {"SSHPublicKeys": [{k: r[k] for k in fields} for r in held], "IsTruncated": False}

    def update_ssh_public_key(self, call: Call, request: Request) -> Response:
        record = _ssh(call, request)
        names.check_one_of("status", request["Status"], ("Active", "Inactive"))
        record |= {"Status": request["Status"]}
        state.put_part(
            call.tx, call.account, _SSH, record["UserName"], record["SSHPublicKeyId"], record
        )
        return {}

    def delete_ssh_public_key(self, call: Call, request: Request) -> Response:
        record = _ssh(call, request)
        state.delete_part(call.tx, call.account, _SSH, record["UserName"], record["SSHPublicKeyId"])
        return {}


def _user(call: Call, request: Request) -> str:
    name: str = request.get("UserName") or own_name(call)
    holders.load(call, "user", name)
    return name


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    return {k: record[k] for k in _META}


def _uploaded(record: dict[str, Any]) -> Response:
    out: Response = {"ServerCertificateMetadata": _metadata(record)}
    return out | ({"Tags": record["Tags"]} if record["Tags"] else {})


def _server(call: Call, request: Request) -> dict[str, Any]:
    name = request["ServerCertificateName"]
    found = state.get(call.tx, call.account, _SERVER, name)
    if found is None:
        raise Fault("NoSuchEntity", f"The Server Certificate with name {name} cannot be found.")
    return dict(found)


def _signing(call: Call, request: Request) -> tuple[str, dict[str, Any]]:
    user, identity = _user(call, request), request["CertificateId"]
    found = state.get_part(call.tx, call.account, _SIGNING, user, identity)
    if found is None:
        raise Fault("NoSuchEntity", f"The Certificate with id {identity} cannot be found.")
    return user, dict(found)


def _ssh(call: Call, request: Request) -> dict[str, Any]:
    user, identity = _user(call, request), request["SSHPublicKeyId"]
    found = state.get_part(call.tx, call.account, _SSH, user, identity)
    if found is None:
        raise Fault("NoSuchEntity", f"The Public Key with id {identity} cannot be found.")
    return dict(found)


def _certificate(body: str) -> Any:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(body.encode())
    except ValueError as error:
        raise Fault("MalformedCertificate", f"Certificate {body} is malformed.") from error


def _check_pair(body: str, private_key: str) -> int:
    """When the certificate ends. Raises Fault unless the key is the certificate's."""
    from cryptography.hazmat.primitives import serialization

    made = _certificate(body)
    try:
        key = serialization.load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError) as error:
        raise Fault("MalformedCertificate", "Private Key is malformed.") from error
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != made.public_key().public_bytes(*form):
        raise Fault(
            "KeyPairMismatch", "The private key does not match the public key of the certificate."
        )
    return int(made.not_valid_after_utc.timestamp())


def _public_key(body: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    load = serialization.load_ssh_public_key
    if body.lstrip().startswith("-----"):
        load = serialization.load_pem_public_key  # type: ignore[assignment]
    try:
        key = load(body.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Fault(
            "InvalidPublicKey", "The public key is malformed or otherwise invalid."
        ) from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Fault("UnrecognizedPublicKeyEncoding", "The public key must be an RSA key.")
    return key


def _fingerprint(body: str) -> str:
    from cryptography.hazmat.primitives import serialization

    spoken = _public_key(body).public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    digest = hashlib.md5(base64.b64decode(spoken.split()[1]), usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def _as_pem(body: str) -> str:
    from cryptography.hazmat.primitives import serialization

    made: bytes = _public_key(body).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return made.decode()
