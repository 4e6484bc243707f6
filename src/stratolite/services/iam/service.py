"""The IAM operations offered: roles, users, access keys, managed policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Resource, Response, Route, Service, Tagged
from stratolite.services.iam import access as rights
from stratolite.services.iam import holders, inside, names, principals, state
from stratolite.services.iam.access_keys import AccessKeyOperations, own_name
from stratolite.services.iam.account import Account
from stratolite.services.iam.certificates import Certificates
from stratolite.services.iam.groups import Groups
from stratolite.services.iam.instance_profiles import InstanceProfiles
from stratolite.services.iam.last_accessed import LastAccessed
from stratolite.services.iam.linked_roles import LinkedRoles
from stratolite.services.iam.login import Passwords
from stratolite.services.iam.mfa import MfaDevices
from stratolite.services.iam.providers import Providers
from stratolite.services.iam.simulation import Simulation
from stratolite.services.iam.versions import ManagedPolicies

_SESSION_S_MIN, _SESSION_S_MAX = 3600, 43200
_TRUST_BYTES_MAX = 2048
_TAGGED = {
    "instance-profile": ("instance-profile", "InstanceProfileName", "Arn"),
    "mfa": ("mfa", "SerialNumber", "SerialNumber"),
    "oidc-provider": ("oidc", "Arn", "Arn"),
    "policy": ("policy", "PolicyName", "Arn"),
    "saml-provider": ("saml", "Arn", "Arn"),
    "server-certificate": ("server-certificate", "ServerCertificateName", "Arn"),
}
"""Type in an ARN -> (kind in ``state``, member it is kept under, member that is its ARN)."""
_TAGGED_PAGE = 100


class Iam(
    Account,
    AccessKeyOperations,
    Certificates,
    LastAccessed,
    LinkedRoles,
    ManagedPolicies,
    Passwords,
    Providers,
    Groups,
    InstanceProfiles,
    MfaDevices,
    Simulation,
    Service,
):
    name: ClassVar[str] = "iam"
    validated: ClassVar[bool] = True
    tag_types: ClassVar[tuple[str, ...]] = tuple(f"iam:{kind}" for kind in _TAGGED)

    def route(self, operation: str) -> Route:
        """Operations are asked with the names of things as they were given, whatever the case they are asked for in."""
        found = self._routes.get(operation)
        if found is None:
            found = super().route(operation)
            if not found.is_async and operation not in names.MAKING:
                found = found._replace(method=_asked_by_any_case(found.method))
            self._routes[operation] = found
        return found

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        """Of what is found by its tags; as everything of IAM it is in us-east-1 for those who ask by region."""
        if call.region != "us-east-1":
            return
        stored, name, arn = _TAGGED[kind.partition(":")[2]]
        marker: str | None = after
        while marker is not None:
            records, marker = state.page(call.tx, call.account, stored, marker, _TAGGED_PAGE)
            for record in records:
                tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags") or ()}
                yield Tagged(record[name], record[arn], tags)

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation not in names.MAKING:
            request = spelled(call, request)
        return rights.needed(call, operation, request)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        return rights.condition_keys(call, operation, request, needed)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.iam import credential_resources, resources

        return (*resources.RESOURCES, *credential_resources.RESOURCES)

    # -- roles

    def create_role(self, call: Call, request: Request) -> Response:
        name = request["RoleName"]
        names.check_holder_name("role", name)
        path = names.check_path(request.get("Path", "/"))
        _check_trust(call, request["AssumeRolePolicyDocument"])
        session_s = _session_s(request.get("MaxSessionDuration", _SESSION_S_MIN))
        if again := holders.same_step(call, "role", name, request):
            return {"Role": holders.role_made(again)}
        if state.spelled(call.tx, call.account, "role", name):
            raise Fault("EntityAlreadyExists", f"Role with name {name} already exists.")
        holders.check_room(call, "role")
        record: dict[str, Any] = {
            "Path": path,
            "RoleName": name,
            "RoleId": names.new_id(call.world, "role"),
            "Arn": names.arn(call.account, "role", path, name),
            "CreateDate": int(call.tx.time_s),
            "AssumeRolePolicyDocument": request["AssumeRolePolicyDocument"],
            "MaxSessionDuration": session_s,
            "Tags": holders.new_tags(request, "role"),
            "StackToken": request.get("StackToken"),
        }
        if request.get("Description"):
            record["Description"] = request["Description"]
        if boundary := request.get("PermissionsBoundary"):
            if not holders.managed_exists(call, boundary):
                raise names.missing("policy", boundary)
            record["PermissionsBoundary"] = _boundary(boundary)
            state.set_boundary(call.tx, call.account, "role", name, None, boundary)
        state.put(call.tx, call.account, "role", name, record)
        return {"Role": holders.role_made(record)}

    def get_role(self, call: Call, request: Request) -> Response:
        record = holders.load(call, "role", request["RoleName"])
        used = state.used(call.tx, call.account, "role", request["RoleName"])
        return {"Role": holders.shown(record) | {"RoleLastUsed": used or {}}}

    def find_role(self, call: Call, asked: Request) -> Response:
        """For STS alone, no wire carries it: the role as it is kept."""
        inside.check(call, "FindRole")
        return {"Role": holders.load(call, "role", asked["RoleName"])}

    def find_unknown_principal(self, call: Call, asked: Request) -> Response:
        """For ``stratolite.principals`` alone, no wire carries it: Kind and Value of the first of ``Policy``, or {}."""
        inside.check(call, "FindUnknownPrincipal")
        found = principals.unknown(call, asked["Policy"])
        return {"Kind": found[0], "Value": found[1]} if found else {}

    def list_roles(self, call: Call, request: Request) -> Response:
        return holders.listed(call, "role", request, "Roles", "Tags", "PermissionsBoundary")

    def update_role_description(self, call: Call, request: Request) -> Response:
        record = holders.load(call, "role", request["RoleName"])
        record["Description"] = request["Description"]
        state.put(call.tx, call.account, "role", request["RoleName"], record)
        return {"Role": holders.role_made(record)}

    def update_role(self, call: Call, request: Request) -> Response:
        """Of a service's own role the description may be changed, nothing else.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-service-linked-role.html
        """
        load = holders.load_own if "MaxSessionDuration" in request else holders.load
        record = load(call, "role", request["RoleName"])
        if "Description" in request:
            record["Description"] = request["Description"]
        if "MaxSessionDuration" in request:
            record["MaxSessionDuration"] = _session_s(request["MaxSessionDuration"])
        state.put(call.tx, call.account, "role", request["RoleName"], record)
        return {}

    def update_assume_role_policy(self, call: Call, request: Request) -> Response:
        record = holders.load_own(call, "role", request["RoleName"])
        _check_trust(call, request["PolicyDocument"])
        record["AssumeRolePolicyDocument"] = request["PolicyDocument"]
        state.put(call.tx, call.account, "role", request["RoleName"], record)
        return {}

    def delete_role(self, call: Call, request: Request) -> Response:
        holders.delete(call, "role", request["RoleName"])
        return {}

    def put_role_permissions_boundary(self, call: Call, request: Request) -> Response:
        return self._set_boundary(call, "role", request["RoleName"], request["PermissionsBoundary"])

    def delete_role_permissions_boundary(self, call: Call, request: Request) -> Response:
        return self._set_boundary(call, "role", request["RoleName"], None)

    def _set_boundary(self, call: Call, kind: str, name: str, arn: str | None) -> Response:
        record = holders.load_own(call, kind, name)
        before = record.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        if arn is None:
            if before is None:
                raise Fault(
                    "NoSuchEntity", f"{kind.title()} {name} does not have a permissions boundary"
                )
            record.pop("PermissionsBoundary")
        elif not holders.managed_exists(call, arn):
            raise names.missing("policy", arn)
        else:
            record["PermissionsBoundary"] = _boundary(arn)
        state.set_boundary(call.tx, call.account, kind, name, before, arn)
        state.put(call.tx, call.account, kind, name, record)
        return {}

    def put_role_policy(self, call: Call, request: Request) -> Response:
        return holders.put_inline(call, "role", request)

    def get_role_policy(self, call: Call, request: Request) -> Response:
        return holders.get_inline(call, "role", request)

    def delete_role_policy(self, call: Call, request: Request) -> Response:
        return holders.delete_inline(call, "role", request)

    def list_role_policies(self, call: Call, request: Request) -> Response:
        return holders.list_inline(call, "role", request)

    def attach_role_policy(self, call: Call, request: Request) -> Response:
        return holders.attach(call, "role", request)

    def detach_role_policy(self, call: Call, request: Request) -> Response:
        return holders.detach(call, "role", request)

    def list_attached_role_policies(self, call: Call, request: Request) -> Response:
        return holders.list_attached(call, "role", request)

    def tag_role(self, call: Call, request: Request) -> Response:
        return holders.tag(call, "role", request["RoleName"], request["Tags"])

    def untag_role(self, call: Call, request: Request) -> Response:
        return holders.untag(call, "role", request["RoleName"], request["TagKeys"])

    def list_role_tags(self, call: Call, request: Request) -> Response:
        return holders.tags_of(call, "role", request["RoleName"], request)

    # -- users

    def create_user(self, call: Call, request: Request) -> Response:
        name = request["UserName"]
        names.check_holder_name("user", name)
        path = names.check_path(request.get("Path", "/"))
        if again := holders.same_step(call, "user", name, request):
            return {"User": holders.shown(again)}
        if state.spelled(call.tx, call.account, "user", name):
            raise Fault("EntityAlreadyExists", f"User with name {name} already exists.")
        holders.check_room(call, "user")
        record: dict[str, Any] = {
            "Path": path,
            "UserName": name,
            "UserId": names.new_id(call.world, "user"),
            "Arn": names.arn(call.account, "user", path, name),
            "CreateDate": int(call.tx.time_s),
            "Tags": holders.new_tags(request, "user"),
            "StackToken": request.get("StackToken"),
        }
        if boundary := request.get("PermissionsBoundary"):
            if not holders.managed_exists(call, boundary):
                raise names.missing("policy", boundary)
            record["PermissionsBoundary"] = _boundary(boundary)
            state.set_boundary(call.tx, call.account, "user", name, None, boundary)
        state.put(call.tx, call.account, "user", name, record)
        return {"User": holders.shown(record)}

    def get_user(self, call: Call, request: Request) -> Response:
        if "UserName" not in request and call.principal.kind == "root":
            arn = f"arn:aws:iam::{call.account}:root"
            said = {"Path": "/", "UserName": "root", "UserId": call.account, "Arn": arn}
            return {"User": said | {"CreateDate": 0}}
        name = request.get("UserName") or own_name(call)
        return {"User": holders.shown(holders.load(call, "user", name))}

    def list_users(self, call: Call, request: Request) -> Response:
        return holders.listed(call, "user", request, "Users", "Tags", "PermissionsBoundary")

    def update_user(self, call: Call, request: Request) -> Response:
        """A new name or path; keys, policies and memberships move along, the id stays."""
        name, new = request["UserName"], request.get("NewUserName") or request["UserName"]
        record = holders.load(call, "user", name)
        path = names.check_path(request.get("NewPath", record["Path"]))
        if new != name:
            names.check_holder_name("user", new)
            if state.spelled(call.tx, call.account, "user", new) not in (None, name):
                raise Fault("EntityAlreadyExists", f"User with name {new} already exists.")
            for key in state.keys_of(call.tx, call.account, name):
                state.delete_key(call.tx, call.account, name, key["AccessKeyId"])
                state.put_key(call.tx, key | {"UserName": new})
            for group in state.groups_of(call.tx, call.account, name):
                state.leave(call.tx, call.account, group, name)
                state.join(call.tx, call.account, group, new)
            for serial in state.mfa_of(call.tx, call.account, name):
                device = dict(state.get(call.tx, call.account, "mfa", serial) or {})
                state.forget_mfa(call.tx, call.account, device, name)
                state.put_mfa(call.tx, call.account, device | {"UserName": new}, new)
            _move_credentials(call, record, name, new)
            holders.move(call, "user", name, new)
        arn = names.arn(call.account, "user", path, new)
        record |= {"UserName": new, "Path": path, "Arn": arn}
        state.put(call.tx, call.account, "user", new, record)
        return {}

    def delete_user(self, call: Call, request: Request) -> Response:
        holders.delete(call, "user", request["UserName"])
        return {}

    def put_user_permissions_boundary(self, call: Call, request: Request) -> Response:
        return self._set_boundary(call, "user", request["UserName"], request["PermissionsBoundary"])

    def delete_user_permissions_boundary(self, call: Call, request: Request) -> Response:
        return self._set_boundary(call, "user", request["UserName"], None)

    def put_user_policy(self, call: Call, request: Request) -> Response:
        return holders.put_inline(call, "user", request)

    def get_user_policy(self, call: Call, request: Request) -> Response:
        return holders.get_inline(call, "user", request)

    def delete_user_policy(self, call: Call, request: Request) -> Response:
        return holders.delete_inline(call, "user", request)

    def list_user_policies(self, call: Call, request: Request) -> Response:
        return holders.list_inline(call, "user", request)

    def attach_user_policy(self, call: Call, request: Request) -> Response:
        return holders.attach(call, "user", request)

    def detach_user_policy(self, call: Call, request: Request) -> Response:
        return holders.detach(call, "user", request)

    def list_attached_user_policies(self, call: Call, request: Request) -> Response:
        return holders.list_attached(call, "user", request)

    def tag_user(self, call: Call, request: Request) -> Response:
        return holders.tag(call, "user", request["UserName"], request["Tags"])

    def untag_user(self, call: Call, request: Request) -> Response:
        return holders.untag(call, "user", request["UserName"], request["TagKeys"])

    def list_user_tags(self, call: Call, request: Request) -> Response:
        return holders.tags_of(call, "user", request["UserName"], request)


def spelled(call: Call, request: Request) -> Request:
    """The request with names of users, groups, roles and instance profiles as those were made."""
    for kind, member in _CASELESS_MEMBERS:
        if name := request.get(member):
            kept = state.spelled(call.tx, call.account, kind, name)
            if kept not in (None, name):
                request = {**request, member: kept}
    return request


_CASELESS_MEMBERS = (
    ("user", "UserName"),
    ("group", "GroupName"),
    ("role", "RoleName"),
    ("instance-profile", "InstanceProfileName"),
)


def _asked_by_any_case(method: Callable[..., Any]) -> Callable[..., Any]:
    def asked(call: Call, request: Request) -> Any:
        names.check_names(request)
        return method(call, spelled(call, request))

    return asked


def _session_s(value: int) -> int:
    if not _SESSION_S_MIN <= value <= _SESSION_S_MAX:
        bound = (
            "greater than or equal to 3600"
            if value < _SESSION_S_MIN
            else "less than or equal to 43200"
        )
        raise Fault(
            "ValidationError",
            f"1 validation error detected: Value '{value}' at 'maxSessionDuration' failed to satisfy"
            f" constraint: Member must have value {bound}",
        )
    return value


def _move_credentials(call: Call, record: dict[str, Any], name: str, new: str) -> None:
    """A user's password, certificates, SSH keys and boundary go to its new name."""
    for kind in ("signing-certificate", "ssh-key"):
        for part in state.parts_of(call.tx, call.account, kind, name):
            identity = part.get("CertificateId") or part["SSHPublicKeyId"]
            state.delete_part(call.tx, call.account, kind, name, identity)
            state.put_part(call.tx, call.account, kind, new, identity, part | {"UserName": new})
    if profile := state.get(call.tx, call.account, "login-profile", name):
        state.delete(call.tx, call.account, "login-profile", name)
        state.put(call.tx, call.account, "login-profile", new, profile | {"UserName": new})
    if boundary := record.get("PermissionsBoundary"):
        limit = boundary["PermissionsBoundaryArn"]
        state.set_boundary(call.tx, call.account, "user", name, limit, None)
        state.set_boundary(call.tx, call.account, "user", new, None, limit)
    state.move_use(call.tx, call.account, "user", name, new)


def _check_trust(call: Call, text: str) -> None:
    names.check_document(text, trust=True)
    if state.packed_size(text) > _TRUST_BYTES_MAX:
        quota = f"Cannot exceed quota for ACLSizePerRole: {_TRUST_BYTES_MAX}"
        raise Fault("LimitExceeded", quota)
    principals.check(call, text)


def _boundary(arn: str) -> dict[str, str]:
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}
