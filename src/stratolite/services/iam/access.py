"""What IAM must allow for its own operations, and the condition keys they set.

Source  https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Sequence

from stratolite.service import Access, Call, Request
from stratolite.services.iam import names, state

_ARNS = ("PolicyArn", "OpenIDConnectProviderArn", "SAMLProviderArn", "PolicySourceArn")
_NAMED = (
    ("group", "GroupName"),
    ("instance-profile", "InstanceProfileName"),
    ("role", "RoleName"),
    ("user", "UserName"),
    ("server-certificate", "ServerCertificateName"),
    ("policy", "PolicyName"),
)
_OF_MFA = frozenset(
    {"DeleteVirtualMFADevice", "TagMFADevice", "UntagMFADevice", "ListMFADeviceTags"}
)
_OWN = frozenset({
    "ChangePassword", "CreateAccessKey", "CreateLoginProfile", "DeleteAccessKey", "DeleteLoginProfile",
    "DeleteSigningCertificate", "GetLoginProfile", "GetUser", "ListAccessKeys", "ListMFADevices", "ListSSHPublicKeys",
    "ListSigningCertificates", "UpdateAccessKey", "UpdateSigningCertificate", "UploadSigningCertificate",
})  # fmt: skip


_AS = {"RevealAccessKey": "UpdateAccessKey"}


def needed(call: Call, operation: str, request: Request) -> Sequence[Access]:
    action = f"iam:{_AS.get(operation, operation)}"
    if operation in _OF_MFA:
        return ((action, request["SerialNumber"]),)
    if name := request.get("VirtualMFADeviceName"):
        return ((action, names.arn(call.account, "mfa", request.get("Path", "/"), name)),)
    for kind, field in _NAMED:
        name = request.get(field)
        if not name or (kind == "policy" and operation != "CreatePolicy"):
            continue
        here = (action, _arn(call, kind, name, request.get("Path", "/")))
        if operation == "AddRoleToInstanceProfile":
            return (here, ("iam:PassRole", _arn(call, "role", request["RoleName"], "/")))
        return (here,)
    if operation == "CreateServiceLinkedRole":
        path = f"/aws-service-role/{request['AWSServiceName']}/"
        return ((action, names.arn(call.account, "role", path, "*")),)
    if operation in _OWN and call.principal.kind == "user":
        return ((action, call.principal.arn),)
    if operation == "GetAccessKeyLastUsed":
        record = state.get_key(call.tx, request["AccessKeyId"])
        if record and record["UserName"] and record["Account"] == call.account:
            return ((action, _arn(call, "user", record["UserName"], "/")),)
    resource = next((request[f] for f in _ARNS if request.get(f)), "*")
    return ((action, resource),)


def _arn(call: Call, kind: str, name: str, path: str) -> str:
    found = state.get(call.tx, call.account, kind, name)
    return names.arn(call.account, kind, found["Path"] if found else path, name)


def condition_keys(
    call: Call, operation: str, request: Request, asked: Access
) -> dict[str, list[str]]:
    action, resource = asked
    keys: dict[str, list[str]] = {}
    if action == "iam:PassRole":
        keys["iam:passedtoservice"] = ["ec2.amazonaws.com"]
    if (arn := request.get("PolicyArn")) and operation.startswith(("Attach", "Detach")):
        keys["iam:policyarn"] = [arn]
    if service := request.get("AWSServiceName"):
        keys["iam:awsservicename"] = [service]
    record = _record(call, resource)
    boundary = request.get("PermissionsBoundary") if operation.startswith("Create") else None
    if record is not None:
        for tag in record.get("Tags", ()):
            keys[f"iam:resourcetag/{tag['Key'].lower()}"] = [tag["Value"]]
            keys[f"aws:resourcetag/{tag['Key'].lower()}"] = [tag["Value"]]
        limit = record.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        boundary = request.get("PermissionsBoundary") or limit
    if boundary:
        keys["iam:permissionsboundary"] = [boundary]
    return keys


def _record(call: Call, resource: str) -> state.Record | None:
    parts = resource.split(":", 5)
    if len(parts) < 6 or parts[4] != call.account or "/" not in parts[5]:
        return None
    kind, _, path = parts[5].partition("/")
    named = {"oidc-provider": "oidc", "saml-provider": "saml", "mfa": "mfa"}
    if kind in named:
        return state.get(call.tx, call.account, named[kind], resource)
    return state.get(call.tx, call.account, kind, path.rsplit("/", 1)[-1])
