"""CloudFormation types of IAM that hold policies or are some: roles, users, groups, inline and managed policies."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import unquote

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Resource, Response, Spec, created, picked


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


class _Type(Resource):
    service = "iam"
    gone = frozenset({"NoSuchEntity"})


class _Holder(_Type):
    """A role or a user: a thing with inline and attached policies."""

    kind: ClassVar[str]

    def _name(self, spec: Spec) -> str:
        return str(spec.properties.get(f"{self.kind}Name") or spec.generated_name(64))

    async def _make(self, call: Call, name: str, spec: Spec) -> Response:
        raise NotImplementedError

    async def create(self, call: Call, spec: Spec) -> Made:
        name = self._name(spec)
        await self._make(call, name, spec)
        with created(name):
            await self._set_policies(call, name, {}, spec.properties)
        return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._change(call, physical_id, old.properties, new.properties)
        await self._set_policies(call, physical_id, old.properties, new.properties)
        await self._set_tags(call, physical_id, old.properties, new.properties)
        return await self._made(call, physical_id)

    async def _change(self, call: Call, name: str, old: Request, new: Request) -> None:
        return

    async def _set_tags(self, call: Call, name: str, old: Request, new: Request) -> None:
        holder = {f"{self.kind}Name": name}
        kept = {t["Key"] for t in new.get("Tags", [])}
        if gone := [t["Key"] for t in old.get("Tags", []) if t["Key"] not in kept]:
            await self.ask(call, f"Untag{self.kind}", **holder, TagKeys=gone)
        if new.get("Tags"):
            await self.ask(call, f"Tag{self.kind}", **holder, Tags=new["Tags"])

    async def _set_policies(self, call: Call, name: str, old: Request, new: Request) -> None:
        holder = {f"{self.kind}Name": name}
        wanted = {p["PolicyName"]: _text(p["PolicyDocument"]) for p in new.get("Policies", [])}
        for policy, text in wanted.items():
            await self.ask(
                call, f"Put{self.kind}Policy", **holder, PolicyName=policy, PolicyDocument=text
            )
        for policy in (p["PolicyName"] for p in old.get("Policies", [])):
            if policy not in wanted:
                await self.ask_if_there(
                    call, f"Delete{self.kind}Policy", **holder, PolicyName=policy
                )
        arns = set(new.get("ManagedPolicyArns", []))
        for arn in sorted(arns):
            await self.ask(call, f"Attach{self.kind}Policy", **holder, PolicyArn=arn)
        for arn in sorted(set(old.get("ManagedPolicyArns", [])) - arns):
            await self.ask_if_there(call, f"Detach{self.kind}Policy", **holder, PolicyArn=arn)
        before, after = old.get("PermissionsBoundary"), new.get("PermissionsBoundary")
        if before and not after:
            await self.ask(call, f"Delete{self.kind}PermissionsBoundary", **holder)
        elif after and before != after:
            await self.ask(
                call, f"Put{self.kind}PermissionsBoundary", **holder, PermissionsBoundary=after
            )

    async def _made(self, call: Call, name: str) -> Made:
        record = (await self.ask(call, f"Get{self.kind}", **{f"{self.kind}Name": name}))[self.kind]
        return Made(name, {"Arn": record["Arn"], f"{self.kind}Id": record[f"{self.kind}Id"]})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            f"List{self.kind}s",
            f"{self.kind}s",
            f"{self.kind}Name",
            token,
            cursor=("Marker", "Marker"),
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        holder = {f"{self.kind}Name": physical_id}
        found = await self.ask_if_there(call, f"Get{self.kind}", **holder)
        if found is None:
            return None
        record = found[self.kind]
        made = {
            key: record[key]
            for key in ("AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Path")
            if key in record
        }
        if isinstance(text := made.get("AssumeRolePolicyDocument"), str):
            made["AssumeRolePolicyDocument"] = json.loads(unquote(text))
        made |= holder
        if boundary := (record.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"):
            made["PermissionsBoundary"] = boundary
        made["Tags"] = record.get("Tags") or []
        attached = await self.every(
            call, f"ListAttached{self.kind}Policies", "AttachedPolicies", "Marker", **holder
        )
        stated = spec.properties.get("ManagedPolicyArns", [])
        made["ManagedPolicyArns"] = [
            policy["PolicyArn"]
            for policy in attached
            if policy["PolicyArn"] in stated
            or not spec.stack_id
            or not policy["PolicyName"].startswith(f"{spec.stack_name}-")  # the stack attached it
        ]
        made["Policies"] = await self._inline(call, holder, spec)
        return made

    async def _inline(self, call: Call, holder: Request, spec: Spec) -> list[Request]:
        """Those the template states: others may be other resources of it. Outside of a stack, all."""
        stated = {p["PolicyName"] for p in spec.properties.get("Policies", [])}
        if not spec.stack_id:
            listed = f"List{self.kind}Policies"
            stated |= set(await self.every(call, listed, "PolicyNames", "Marker", **holder))
        found = []
        for name in stated:
            answer = await self.ask_if_there(
                call, f"Get{self.kind}Policy", **holder, PolicyName=name
            )
            if answer is not None:
                text = answer["PolicyDocument"]
                document = json.loads(unquote(text)) if isinstance(text, str) else text
                found.append({"PolicyName": name, "PolicyDocument": document})
        return found

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        """Takes off what the template put on, and what hangs on it as an inline policy from elsewhere stays."""
        holder = {f"{self.kind}Name": physical_id}
        for policy in spec.properties.get("Policies", []):
            await self.ask_if_there(
                call, f"Delete{self.kind}Policy", **holder, PolicyName=policy["PolicyName"]
            )
        for arn in spec.properties.get("ManagedPolicyArns", []):
            await self.ask_if_there(call, f"Detach{self.kind}Policy", **holder, PolicyArn=arn)
        await self.ask_if_there(call, f"Delete{self.kind}", **holder)


class Role(_Holder):
    type = "AWS::IAM::Role"
    kind = "Role"
    create_only = frozenset({"RoleName", "Path"})

    async def _make(self, call: Call, name: str, spec: Spec) -> Response:
        wanted = spec.properties
        request: Request = {
            k: wanted[k]
            for k in ("Path", "Description", "Tags", "PermissionsBoundary")
            if k in wanted
        }
        if "MaxSessionDuration" in wanted:
            request["MaxSessionDuration"] = int(wanted["MaxSessionDuration"])
        trust = _text(wanted["AssumeRolePolicyDocument"])
        return await self.ask(
            call,
            "CreateRole",
            RoleName=name,
            AssumeRolePolicyDocument=trust,
            StackToken=spec.token,
            **request,
        )

    async def _change(self, call: Call, name: str, old: Request, new: Request) -> None:
        trust = _text(new["AssumeRolePolicyDocument"])
        await self.ask(call, "UpdateAssumeRolePolicy", RoleName=name, PolicyDocument=trust)
        session_s = int(new.get("MaxSessionDuration", 3600))
        description = new.get("Description", "")
        await self.ask(
            call, "UpdateRole", RoleName=name, Description=description, MaxSessionDuration=session_s
        )


class User(_Holder):
    type = "AWS::IAM::User"
    kind = "User"
    create_only = frozenset({"UserName"})

    async def _make(self, call: Call, name: str, spec: Spec) -> Response:
        wanted = spec.properties
        request = {k: wanted[k] for k in ("Path", "Tags", "PermissionsBoundary") if k in wanted}
        return await self.ask(call, "CreateUser", UserName=name, StackToken=spec.token, **request)

    async def create(self, call: Call, spec: Spec) -> Made:
        made = await super().create(call, spec)
        with created(made.physical_id):
            await self._groups_and_password(call, made.physical_id, {}, spec.properties)
        return made

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if path := _moved(old, new):
            await self.ask(call, "UpdateUser", UserName=physical_id, NewPath=path)
        made = await super().update(call, physical_id, old, new)
        await self._groups_and_password(call, physical_id, old.properties, new.properties)
        return made

    async def _groups_and_password(self, call: Call, name: str, old: Request, new: Request) -> None:
        wanted = new.get("Groups", [])
        for group in wanted:
            await self.ask(call, "AddUserToGroup", GroupName=group, UserName=name)
        for group in old.get("Groups", []):
            if group not in wanted:
                await self.ask_if_there(call, "RemoveUserFromGroup", GroupName=group, UserName=name)
        before, after = old.get("LoginProfile"), new.get("LoginProfile")
        if after and after != before:
            given = picked(after, "Password", "PasswordResetRequired")
            try:
                await self.ask(call, "CreateLoginProfile", UserName=name, **given)
            except Fault as fault:
                if fault.code != "EntityAlreadyExists":
                    raise
                await self.ask(call, "UpdateLoginProfile", UserName=name, **given)
        elif before and not after:
            await self.ask_if_there(call, "DeleteLoginProfile", UserName=name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """Its groups as far as the template states them: others may be other resources of it. Outside of a stack, all."""
        made = await super().read(call, physical_id, spec)
        if made is None:
            return None
        groups = await self.every(
            call, "ListGroupsForUser", "Groups", "Marker", UserName=physical_id
        )
        stated = spec.properties.get("Groups", [])
        names = [group["GroupName"] for group in groups]
        made["Groups"] = [name for name in names if name in stated or not spec.stack_id]
        profile = await self.ask_if_there(call, "GetLoginProfile", UserName=physical_id)
        if profile is not None:
            made["LoginProfile"] = picked(profile["LoginProfile"], "PasswordResetRequired")
        return made

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        for group in spec.properties.get("Groups", []):
            await self.ask_if_there(
                call, "RemoveUserFromGroup", GroupName=group, UserName=physical_id
            )
        await self.ask_if_there(call, "DeleteLoginProfile", UserName=physical_id)
        await super().delete(call, physical_id, spec)


def _moved(old: Spec, new: Spec) -> str:
    """The path of a user or group, if it is another now: CloudFormation replaces neither for that."""
    path = str(new.properties.get("Path", "/"))
    return path if path != old.properties.get("Path", "/") else ""


class Group(_Holder):
    type = "AWS::IAM::Group"
    kind = "Group"
    create_only = frozenset({"GroupName"})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if path := _moved(old, new):
            await self.ask(call, "UpdateGroup", GroupName=physical_id, NewPath=path)
        return await super().update(call, physical_id, old, new)

    async def _make(self, call: Call, name: str, spec: Spec) -> Response:
        request = {"Path": spec.properties["Path"]} if "Path" in spec.properties else {}
        return await self.ask(call, "CreateGroup", GroupName=name, StackToken=spec.token, **request)

    async def _made(self, call: Call, name: str) -> Made:
        """GetAtt gives the Arn alone."""
        record = (await self.ask(call, "GetGroup", GroupName=name))["Group"]
        return Made(name, {"Arn": record["Arn"]})


class _Inline(_Type):
    """One inline document put on several roles and users."""

    def _targets(self, properties: Request) -> list[tuple[str, str]]:
        return [
            (kind, name)
            for kind in ("Role", "User", "Group")
            for name in properties.get(f"{kind}s", [])
        ]

    async def _put(self, call: Call, properties: Request) -> None:
        text = _text(properties["PolicyDocument"])
        for kind, name in self._targets(properties):
            await self.ask(
                call,
                f"Put{kind}Policy",
                **{f"{kind}Name": name},
                PolicyName=properties["PolicyName"],
                PolicyDocument=text,
            )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        name = spec.properties["PolicyName"]
        documents: list[Any] = []
        for kind, holder in self._targets(spec.properties):
            found = await self.ask_if_there(
                call, f"Get{kind}Policy", **{f"{kind}Name": holder}, PolicyName=name
            )
            if found is None:
                return None
            text = found["PolicyDocument"]
            documents.append(json.loads(unquote(text)) if isinstance(text, str) else text)
        if not documents:
            return None
        stated = spec.properties.get("PolicyDocument")
        changed = next((d for d in documents if d != stated), documents[0])
        return {**spec.properties, "PolicyDocument": changed}

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._put(call, spec.properties)
        return Made(spec.generated_name(64))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._put(call, new.properties)
        kept = self._targets(new.properties)
        same_name = old.properties["PolicyName"] == new.properties["PolicyName"]
        gone = [t for t in self._targets(old.properties) if not (same_name and t in kept)]
        await self._take_off(call, gone, old.properties["PolicyName"])
        return Made(physical_id)

    async def _take_off(self, call: Call, targets: list[tuple[str, str]], policy: str) -> None:
        for kind, name in targets:
            await self.ask_if_there(
                call, f"Delete{kind}Policy", **{f"{kind}Name": name}, PolicyName=policy
            )

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self._take_off(call, self._targets(spec.properties), spec.properties["PolicyName"])


class Policy(_Inline):
    type = "AWS::IAM::Policy"
    by_identifier = False


class RolePolicy(_Inline):
    type = "AWS::IAM::RolePolicy"
    create_only = frozenset({"PolicyName", "RoleName"})

    def _targets(self, properties: Request) -> list[tuple[str, str]]:
        return [("Role", properties["RoleName"])]


class UserPolicy(_Inline):
    type = "AWS::IAM::UserPolicy"
    create_only = frozenset({"PolicyName", "UserName"})

    def _targets(self, properties: Request) -> list[tuple[str, str]]:
        return [("User", properties["UserName"])]


class GroupPolicy(_Inline):
    type = "AWS::IAM::GroupPolicy"
    create_only = frozenset({"PolicyName", "GroupName"})

    def _targets(self, properties: Request) -> list[tuple[str, str]]:
        return [("Group", properties["GroupName"])]


class ManagedPolicy(_Type):
    type = "AWS::IAM::ManagedPolicy"
    create_only = frozenset({"ManagedPolicyName", "Path", "Description"})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            "ListPolicies",
            "Policies",
            "Arn",
            token,
            cursor=("Marker", "Marker"),
            Scope="Local",
        )

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("ManagedPolicyName") or spec.generated_name(128)
        request = {k: wanted[k] for k in ("Path", "Description") if k in wanted}
        arn = f"arn:aws:iam::{call.account}:policy{wanted.get('Path', '/')}{name}"
        text = _text(wanted["PolicyDocument"])
        await self.ask(
            call,
            "CreatePolicy",
            PolicyName=name,
            PolicyDocument=text,
            StackToken=spec.token,
            **request,
        )
        with created(arn):
            await self._attach(call, arn, {}, wanted)
        return Made(arn, {"PolicyArn": arn})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if old.properties["PolicyDocument"] != new.properties["PolicyDocument"]:
            listed = (await self.ask(call, "ListPolicyVersions", PolicyArn=physical_id))["Versions"]
            if len(listed) >= 5:
                oldest = [v["VersionId"] for v in listed if not v["IsDefaultVersion"]][-1]
                await self.ask(call, "DeletePolicyVersion", PolicyArn=physical_id, VersionId=oldest)
            text = _text(new.properties["PolicyDocument"])
            await self.ask(
                call,
                "CreatePolicyVersion",
                PolicyArn=physical_id,
                PolicyDocument=text,
                SetAsDefault=True,
            )
        await self._attach(call, physical_id, old.properties, new.properties)
        return Made(physical_id, {"PolicyArn": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetPolicy", PolicyArn=physical_id)
        if found is None:
            return None
        record = found["Policy"]
        version = await self.ask(
            call,
            "GetPolicyVersion",
            PolicyArn=physical_id,
            VersionId=record["DefaultVersionId"],
        )
        text = version["PolicyVersion"]["Document"]
        document = json.loads(unquote(text)) if isinstance(text, str) else text
        made = {"ManagedPolicyName": record["PolicyName"], "PolicyDocument": document}
        made |= {key: record[key] for key in ("Path", "Description") if key in record}
        holders = await self.ask(call, "ListEntitiesForPolicy", PolicyArn=physical_id)
        made["Roles"] = [r["RoleName"] for r in holders.get("PolicyRoles") or ()]
        made["Users"] = [u["UserName"] for u in holders.get("PolicyUsers") or ()]
        made["Groups"] = [g["GroupName"] for g in holders.get("PolicyGroups") or ()]
        return made

    async def _attach(self, call: Call, arn: str, old: Request, new: Request) -> None:
        for kind in ("Role", "User", "Group"):
            wanted = new.get(f"{kind}s", [])
            for name in wanted:
                await self.ask(call, f"Attach{kind}Policy", **{f"{kind}Name": name}, PolicyArn=arn)
            for name in old.get(f"{kind}s", []):
                if name not in wanted:
                    await self.ask_if_there(
                        call, f"Detach{kind}Policy", **{f"{kind}Name": name}, PolicyArn=arn
                    )

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self._attach(call, physical_id, spec.properties, {})
        try:
            listed = (await self.ask(call, "ListPolicyVersions", PolicyArn=physical_id))["Versions"]
        except Fault as fault:
            if fault.code == "NoSuchEntity":
                return
            raise
        for version in (v["VersionId"] for v in listed if not v["IsDefaultVersion"]):
            await self.ask(call, "DeletePolicyVersion", PolicyArn=physical_id, VersionId=version)
        await self.ask_if_there(call, "DeletePolicy", PolicyArn=physical_id)


RESOURCES: tuple[Resource, ...] = (
    Role(),
    User(),
    Group(),
    Policy(),
    RolePolicy(),
    UserPolicy(),
    GroupPolicy(),
    ManagedPolicy(),
)
