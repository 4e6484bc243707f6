"""What roles and users have in common: policies inline and attached, tags, listing, deletion."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import state
from stratolite.services.iam.managed import aws_managed
from stratolite.services.iam.names import TITLES, check_document, check_name, missing

PAGE_COUNT = 100
TAGS_COUNT_MAX = 50
ATTACHED_COUNT_MAX = 10
_INLINE_BYTES_MAX = {"user": 2048, "role": 10_240, "group": 5120}
_COUNT_MAX = {"user": 5000, "group": 300, "role": 1000, "policy": 1500, "instance-profile": 1000}
_PLURALS = {
    "user": "UsersPerAccount",
    "group": "GroupsPerAccount",
    "role": "RolesPerAccount",
    "policy": "CustomerManagedPoliciesPerAccount",
    "instance-profile": "InstanceProfilesPerAccount",
}
_CASELESS = frozenset({"role", "user"})
_HIDDEN = ("StackToken", "Linked")


def load(call: Call, kind: str, name: str) -> dict[str, Any]:
    """A copy of the record. Raises Fault NoSuchEntity."""
    found = state.get(call.tx, call.account, kind, name)
    if found is None:
        raise missing(kind, name)
    return dict(found)


def shown(record: dict[str, Any], *fields: str) -> dict[str, Any]:
    """A record as the API gives it: documents percent-encoded (RFC 3986)."""
    out = {k: v for k, v in record.items() if v not in (None, []) and k not in _HIDDEN}
    if "AssumeRolePolicyDocument" in out:
        out["AssumeRolePolicyDocument"] = quote(out["AssumeRolePolicyDocument"], safe="-_.~")
    for field in fields:
        out.pop(field, None)
    return out


def role_made(record: dict[str, Any]) -> dict[str, Any]:
    """A role as the operations that make or change one answer it."""
    return shown(record, "MaxSessionDuration")


def load_own(call: Call, kind: str, name: str) -> dict[str, Any]:
    """The same for who wants to change it. Raises Fault for what only its AWS service may change."""
    record = load(call, kind, name)
    if record.get("Linked"):
        raise Fault(
            "UnmodifiableEntity",
            f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
        )
    return record


def check_room(call: Call, kind: str) -> None:
    """Raises Fault when the account may have no more of them."""
    if state.count(call.tx, call.account, kind) >= _COUNT_MAX[kind]:
        quota = f"Cannot exceed quota for {_PLURALS[kind]}: {_COUNT_MAX[kind]}"
        raise Fault("LimitExceeded", quota)


def same_step(call: Call, kind: str, name: str, request: Request) -> dict[str, Any] | None:
    """What this very step of a stack made before a crash. ``StackToken`` is ours: no wire carries it."""
    found = state.get(call.tx, call.account, kind, name)
    token = request.get("StackToken")
    return found if found and token and found.get("StackToken") == token else None


def listed(call: Call, kind: str, request: Request, member: str, *hide: str) -> Response:
    """One page of roles or users under PathPrefix."""
    limit = request.get("MaxItems", PAGE_COUNT)
    records, after = state.page(call.tx, call.account, kind, request.get("Marker", ""), limit)
    prefix = request.get("PathPrefix", "/")
    kept = [shown(r, *hide) for r in records if r["Path"].startswith(prefix)]
    return {member: kept, "IsTruncated": after is not None} | ({"Marker": after} if after else {})


def paged(items: list[str], request: Request) -> dict[str, Any]:
    """One page of sorted names as ``Items`` with IsTruncated and Marker: the last name given."""
    after, limit = request.get("Marker", ""), request.get("MaxItems", PAGE_COUNT)
    rest = [item for item in items if item > after]
    out: dict[str, Any] = {"Items": rest[:limit], "IsTruncated": len(rest) > limit}
    return out | ({"Marker": rest[limit - 1]} if len(rest) > limit else {})


def move(call: Call, kind: str, old: str, new: str) -> None:
    """What hangs on a user or group goes to its new name; the caller writes the record there."""
    for policy, text in list(state.inline(call.tx, call.account, kind, old)):
        state.delete_inline(call.tx, call.account, kind, old, policy)
        state.put_inline(call.tx, call.account, kind, new, policy, text)
    for arn in state.attached(call.tx, call.account, kind, old):
        state.detach(call.tx, call.account, kind, old, arn)
        state.attach(call.tx, call.account, kind, new, arn)
    state.delete(call.tx, call.account, kind, old)


def put_inline(call: Call, kind: str, request: Request) -> Response:
    name, policy = request[f"{TITLES[kind]}Name"], request["PolicyName"]
    load_own(call, kind, name)
    check_name("policyName", policy, 128)
    check_document(request["PolicyDocument"])
    size = state.policy_bytes(call.tx, call.account, kind, name, policy)
    if size + state.packed_size(request["PolicyDocument"]) > _INLINE_BYTES_MAX[kind]:
        raise Fault(
            "LimitExceeded",
            f"Maximum policy size of {_INLINE_BYTES_MAX[kind]} bytes exceeded for {kind} {name}",
        )
    state.put_inline(call.tx, call.account, kind, name, policy, request["PolicyDocument"])
    return {}


def get_inline(call: Call, kind: str, request: Request) -> Response:
    name, policy = request[f"{TITLES[kind]}Name"], request["PolicyName"]
    load(call, kind, name)
    text = _inline(call, kind, name, policy)
    return {
        f"{TITLES[kind]}Name": name,
        "PolicyName": policy,
        "PolicyDocument": quote(text, safe="-_.~"),
    }


def delete_inline(call: Call, kind: str, request: Request) -> Response:
    name, policy = request[f"{TITLES[kind]}Name"], request["PolicyName"]
    load_own(call, kind, name)
    _inline(call, kind, name, policy)
    state.delete_inline(call.tx, call.account, kind, name, policy)
    return {}


def _inline(call: Call, kind: str, name: str, policy: str) -> str:
    text = state.get_inline(call.tx, call.account, kind, name, policy)
    if text is None:
        raise Fault("NoSuchEntity", f"The {kind} policy with name {policy} cannot be found.")
    return text


def list_inline(call: Call, kind: str, request: Request) -> Response:
    name = request[f"{TITLES[kind]}Name"]
    load(call, kind, name)
    names = [policy for policy, _ in state.inline(call.tx, call.account, kind, name)]
    page = paged(names, request)
    return {"PolicyNames": page.pop("Items")} | page


def managed_exists(call: Call, arn: str) -> bool:
    if arn.startswith("arn:aws:iam::aws:policy/"):
        return aws_managed(arn) is not None
    if not arn.startswith(f"arn:aws:iam::{call.account}:policy/"):
        return False
    found = state.get(call.tx, call.account, "policy", arn.rsplit("/", 1)[-1])
    return found is not None and found["Arn"] == arn


def attach(call: Call, kind: str, request: Request) -> Response:
    name, arn = request[f"{TITLES[kind]}Name"], request["PolicyArn"]
    load_own(call, kind, name)
    if not arn.startswith("arn:"):
        raise Fault("ValidationError", f"ARN {arn} is not valid.")
    if not managed_exists(call, arn):
        raise missing("policy", arn)
    held = state.attached(call.tx, call.account, kind, name)
    if arn not in held and len(held) >= ATTACHED_COUNT_MAX:
        quota = f"Cannot exceed quota for PoliciesPer{TITLES[kind]}: {ATTACHED_COUNT_MAX}"
        raise Fault("LimitExceeded", quota)
    state.attach(call.tx, call.account, kind, name, arn)
    return {}


def detach(call: Call, kind: str, request: Request) -> Response:
    name, arn = request[f"{TITLES[kind]}Name"], request["PolicyArn"]
    load_own(call, kind, name)
    if arn not in state.attached(call.tx, call.account, kind, name):
        raise Fault("NoSuchEntity", f"Policy {arn} was not found.")
    state.detach(call.tx, call.account, kind, name, arn)
    return {}


def list_attached(call: Call, kind: str, request: Request) -> Response:
    name = request[f"{TITLES[kind]}Name"]
    load(call, kind, name)
    arns = state.attached(call.tx, call.account, kind, name)
    page = paged(arns, request)
    prefix = request.get("PathPrefix", "/")
    policies = [
        {"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn}
        for arn in page.pop("Items")
        if arn.split(":", 5)[5].removeprefix("policy").startswith(prefix)
    ]
    return {"AttachedPolicies": policies} | page


def delete(call: Call, kind: str, name: str) -> None:
    """Raises Fault DeleteConflict while policies or keys still hang on it."""
    load_own(call, kind, name)
    remove(call, kind, name)


def remove(call: Call, kind: str, name: str) -> None:
    """The same without asking whose it is."""
    record = load(call, kind, name)
    if next(state.inline(call.tx, call.account, kind, name), None) is not None:
        raise Fault("DeleteConflict", "Cannot delete entity, must delete policies first.")
    if state.attached(call.tx, call.account, kind, name):
        raise Fault("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    if kind == "user" and state.keys_of(call.tx, call.account, name):
        raise Fault("DeleteConflict", "Cannot delete entity, must delete access keys first.")
    if kind == "user":
        if state.groups_of(call.tx, call.account, name):
            raise Fault(
                "DeleteConflict", "Cannot delete entity, must remove user from groups first."
            )
        for what, said in (
            ("login-profile", "login profile"),
            ("user-mfa", "MFA device"),
            ("signing-certificate", "signing certificate"),
            ("ssh-key", "SSH public keys"),
        ):
            if state.has_any(call.tx, call.account, what, name):
                raise Fault("DeleteConflict", f"Cannot delete entity, must delete {said} first.")
    if kind == "role" and state.profiles_of(call.tx, call.account, name):
        raise Fault(
            "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first."
        )
    if boundary := record.get("PermissionsBoundary"):
        arn = boundary["PermissionsBoundaryArn"]
        state.set_boundary(call.tx, call.account, kind, name, arn, None)
    if kind in ("user", "role"):
        state.forget_use(call.tx, call.account, kind, name)
    state.delete(call.tx, call.account, kind, name)


def new_tags(request: Request, kind: str = "") -> list[dict[str, str]]:
    """The tags something is made with. Raises Fault for a key that is there twice or AWS's own."""
    tags: list[dict[str, str]] = request.get("Tags") or []
    keys = [t["Key"].lower() if kind in _CASELESS else t["Key"] for t in tags]
    if len(set(keys)) != len(keys):
        note = " Please note that Tag keys are case insensitive." if kind in _CASELESS else ""
        raise Fault("InvalidInput", f"Duplicate tag keys found.{note}")
    if any(key.lower().startswith("aws:") for key in keys):
        raise Fault("InvalidInput", "Tag keys beginning with aws: are reserved for system use.")
    return tags


def tag(call: Call, kind: str, name: str, tags: list[dict[str, str]]) -> Response:
    record = load_own(call, kind, name)
    new_tags({"Tags": tags}, kind)

    def same(key: str) -> str:
        return key.lower() if kind in _CASELESS else key

    merged = {same(t["Key"]): t for t in [*record.get("Tags", []), *tags]}
    if len(merged) > TAGS_COUNT_MAX:
        raise Fault("LimitExceeded", "The number of tags has reached the maximum limit.")
    record["Tags"] = list(merged.values())
    state.put(call.tx, call.account, kind, name, record)
    return {}


def untag(call: Call, kind: str, name: str, keys: list[str]) -> Response:
    record = load_own(call, kind, name)
    gone = {k.lower() for k in keys} if kind in _CASELESS else set(keys)
    record["Tags"] = [
        t
        for t in record.get("Tags", [])
        if (t["Key"].lower() if kind in _CASELESS else t["Key"]) not in gone
    ]
    state.put(call.tx, call.account, kind, name, record)
    return {}


def tags_of(call: Call, kind: str, name: str, request: Request) -> Response:
    tags = {t["Key"]: t for t in load(call, kind, name).get("Tags", [])}
    page = paged(sorted(tags), request)
    return {"Tags": [tags[key] for key in page.pop("Items")]} | page
