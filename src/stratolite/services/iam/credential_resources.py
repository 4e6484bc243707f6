"""CloudFormation types of IAM that are no holders of policies: keys, profiles, providers, linked roles, certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Resource, Spec, created, picked


class _Type(Resource):
    service = "iam"
    gone = frozenset({"NoSuchEntity"})

    async def retag(self, call: Call, of: str, named: Request, old: Request, new: Request) -> None:
        kept = {t["Key"] for t in new.get("Tags", [])}
        if gone := [t["Key"] for t in old.get("Tags", []) if t["Key"] not in kept]:
            await self.ask(call, f"Untag{of}", **named, TagKeys=gone)
        if new.get("Tags"):
            await self.ask(call, f"Tag{of}", **named, Tags=new["Tags"])


class AccessKey(_Type):
    """Its secret is an attribute: CloudFormation keeps it sealed."""

    type = "AWS::IAM::AccessKey"
    by_identifier = False
    create_only = frozenset({"UserName", "Serial"})
    unread = frozenset({"Serial"})

    async def create(self, call: Call, spec: Spec) -> Made:
        user = spec.properties["UserName"]
        made = await self.ask(call, "CreateAccessKey", UserName=user, StackToken=spec.token)
        key = made["AccessKey"]
        with created(key["AccessKeyId"]):
            await self._status(call, key["AccessKeyId"], spec.properties)
        return Made(key["AccessKeyId"], {"SecretAccessKey": key["SecretAccessKey"]}, no_echo=True)

    async def _status(self, call: Call, key_id: str, properties: Request) -> None:
        status = properties.get("Status", "Active")
        named = {"UserName": properties["UserName"], "AccessKeyId": key_id}
        await self.ask(call, "UpdateAccessKey", **named, Status=status)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._status(call, physical_id, new.properties)
        named = {"UserName": new.properties["UserName"], "AccessKeyId": physical_id}
        key = (await self.ask(call, "RevealAccessKey", **named))["AccessKey"]
        return Made(physical_id, {"SecretAccessKey": key["SecretAccessKey"]}, no_echo=True)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        user = spec.properties["UserName"]
        found = await self.ask_if_there(call, "ListAccessKeys", UserName=user)
        for key in found["AccessKeyMetadata"] if found else ():
            if key["AccessKeyId"] == physical_id:
                return {"UserName": user, "Status": key["Status"]}
        return None

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        user = spec.properties["UserName"]
        await self.ask_if_there(call, "DeleteAccessKey", UserName=user, AccessKeyId=physical_id)


class InstanceProfile(_Type):
    type = "AWS::IAM::InstanceProfile"
    create_only = frozenset({"InstanceProfileName", "Path"})

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("InstanceProfileName") or spec.generated_name(128)
        request = picked(spec.properties, "Path")
        await self.ask(
            call,
            "CreateInstanceProfile",
            InstanceProfileName=name,
            StackToken=spec.token,
            **request,
        )
        with created(name):
            await self._roles(call, name, spec.properties["Roles"])
        return await self._made(call, name)

    async def _roles(self, call: Call, name: str, wanted: list[str]) -> None:
        found = await self.ask(call, "GetInstanceProfile", InstanceProfileName=name)
        held = [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]
        for role in held:
            if role not in wanted:
                await self.ask_if_there(
                    call, "RemoveRoleFromInstanceProfile", InstanceProfileName=name, RoleName=role
                )
        for role in wanted:
            if role not in held:
                await self.ask(
                    call, "AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=role
                )

    async def _made(self, call: Call, name: str) -> Made:
        found = await self.ask(call, "GetInstanceProfile", InstanceProfileName=name)
        return Made(name, {"Arn": found["InstanceProfile"]["Arn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._roles(call, physical_id, new.properties["Roles"])
        return await self._made(call, physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetInstanceProfile", InstanceProfileName=physical_id)
        if found is None:
            return None
        profile = found["InstanceProfile"]
        return {
            "InstanceProfileName": physical_id,
            "Path": profile["Path"],
            "Roles": [role["RoleName"] for role in profile["Roles"]],
        }

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListInstanceProfiles", Marker=token or None)
        names = [p["InstanceProfileName"] for p in page["InstanceProfiles"]]
        return names, page.get("Marker", "")

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        for role in spec.properties["Roles"]:
            await self.ask_if_there(
                call,
                "RemoveRoleFromInstanceProfile",
                InstanceProfileName=physical_id,
                RoleName=role,
            )
        await self.ask_if_there(call, "DeleteInstanceProfile", InstanceProfileName=physical_id)


class ServiceLinkedRole(_Type):
    type = "AWS::IAM::ServiceLinkedRole"
    create_only = frozenset({"AWSServiceName", "CustomSuffix"})

    async def create(self, call: Call, spec: Spec) -> Made:
        request = picked(spec.properties, "AWSServiceName", "CustomSuffix", "Description")
        made = await self.ask(call, "CreateServiceLinkedRole", StackToken=spec.token, **request)
        name = made["Role"]["RoleName"]
        return Made(name, {"RoleName": name})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        description = new.properties.get("Description", "")
        await self.ask(call, "UpdateRole", RoleName=physical_id, Description=description)
        return Made(physical_id, {"RoleName": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetRole", RoleName=physical_id)
        return None if found is None else picked(found["Role"], "Description")

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return Made(physical_id, {"RoleName": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteServiceLinkedRole", RoleName=physical_id)


class OidcProvider(_Type):
    type = "AWS::IAM::OIDCProvider"
    create_only = frozenset({"Url"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        made = await self.ask(
            call,
            "CreateOpenIDConnectProvider",
            Url=wanted["Url"],
            ClientIDList=wanted.get("ClientIdList", []),
            ThumbprintList=wanted.get("ThumbprintList", []),
            StackToken=spec.token,
            **picked(wanted, "Tags"),
        )
        arn = made["OpenIDConnectProviderArn"]
        return Made(arn, {"Arn": arn})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        named = {"OpenIDConnectProviderArn": physical_id}
        before, after = (set(s.properties.get("ClientIdList", [])) for s in (old, new))
        for client in sorted(after - before):
            await self.ask(call, "AddClientIDToOpenIDConnectProvider", **named, ClientID=client)
        for client in sorted(before - after):
            await self.ask(
                call, "RemoveClientIDFromOpenIDConnectProvider", **named, ClientID=client
            )
        thumbprints = new.properties.get("ThumbprintList", [])
        await self.ask(
            call, "UpdateOpenIDConnectProviderThumbprint", **named, ThumbprintList=thumbprints
        )
        await self.retag(call, "OpenIDConnectProvider", named, old.properties, new.properties)
        return Made(physical_id, {"Arn": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        named = {"OpenIDConnectProviderArn": physical_id}
        found = await self.ask_if_there(call, "GetOpenIDConnectProvider", **named)
        if found is None:
            return None
        return {
            "Url": f"https://{found['Url']}",
            "ClientIdList": found["ClientIDList"],
            "ThumbprintList": found["ThumbprintList"],
            "Tags": found["Tags"],
        }

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        found = await self.ask(call, "ListOpenIDConnectProviders")
        return [p["Arn"] for p in found["OpenIDConnectProviderList"]], ""

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(
            call, "DeleteOpenIDConnectProvider", OpenIDConnectProviderArn=physical_id
        )


class SamlProvider(_Type):
    type = "AWS::IAM::SAMLProvider"
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        ("AddPrivateKey", "PrivateKeyList", "RemovePrivateKey"), frozenset({""})
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        made = await self.ask(
            call,
            "CreateSAMLProvider",
            Name=wanted.get("Name") or spec.generated_name(128),
            SAMLMetadataDocument=wanted["SamlMetadataDocument"],
            StackToken=spec.token,
            **picked(wanted, "Tags", "AssertionEncryptionMode", "AddPrivateKey"),
        )
        return await self._made(call, made["SAMLProviderArn"])

    async def _made(self, call: Call, arn: str) -> Made:
        found = await self.ask(call, "GetSAMLProvider", SAMLProviderArn=arn)
        return Made(arn, {"Arn": arn, "SamlProviderUUID": found["SAMLProviderUUID"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        named = {"SAMLProviderArn": physical_id}
        request = picked(
            new.properties, "AssertionEncryptionMode", "AddPrivateKey", "RemovePrivateKey"
        )
        metadata = new.properties["SamlMetadataDocument"]
        await self.ask(
            call, "UpdateSAMLProvider", **named, SAMLMetadataDocument=metadata, **request
        )
        await self.retag(call, "SAMLProvider", named, old.properties, new.properties)
        return await self._made(call, physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetSAMLProvider", SAMLProviderArn=physical_id)
        if found is None:
            return None
        made = {
            "Name": physical_id.rpartition("/")[2],
            "SamlMetadataDocument": found["SAMLMetadataDocument"],
        }
        return made | picked(found, "AssertionEncryptionMode", "Tags")

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._made(call, physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        found = await self.ask(call, "ListSAMLProviders")
        return [p["Arn"] for p in found["SAMLProviderList"]], ""

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteSAMLProvider", SAMLProviderArn=physical_id)


class ServerCertificate(_Type):
    type = "AWS::IAM::ServerCertificate"
    create_only = frozenset(
        {"ServerCertificateName", "PrivateKey", "CertificateBody", "CertificateChain"}
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("ServerCertificateName") or spec.generated_name(128)
        request = picked(
            spec.properties, "CertificateBody", "CertificateChain", "PrivateKey", "Path", "Tags"
        )
        made = await self.ask(
            call,
            "UploadServerCertificate",
            ServerCertificateName=name,
            StackToken=spec.token,
            **request,
        )
        return Made(name, {"Arn": made["ServerCertificateMetadata"]["Arn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        named = {"ServerCertificateName": physical_id}
        await self.ask(
            call, "UpdateServerCertificate", **named, NewPath=new.properties.get("Path", "/")
        )
        await self.retag(call, "ServerCertificate", named, old.properties, new.properties)
        found = await self.ask(call, "GetServerCertificate", **named)
        metadata = found["ServerCertificate"]["ServerCertificateMetadata"]
        return Made(physical_id, {"Arn": metadata["Arn"]})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        named = {"ServerCertificateName": physical_id}
        found = await self.ask_if_there(call, "GetServerCertificate", **named)
        if found is None:
            return None
        path = found["ServerCertificate"]["ServerCertificateMetadata"]["Path"]
        return named | {"Path": path} | picked(found["ServerCertificate"], "Tags")

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        found = await self.ask(call, "GetServerCertificate", ServerCertificateName=physical_id)
        metadata = found["ServerCertificate"]["ServerCertificateMetadata"]
        return Made(physical_id, {"Arn": metadata["Arn"]})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "ListServerCertificates", Marker=token or None)
        listed = page["ServerCertificateMetadataList"]
        return [c["ServerCertificateName"] for c in listed], page.get("Marker", "")

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteServerCertificate", ServerCertificateName=physical_id)


class UserToGroupAddition(_Type):
    type = "AWS::IAM::UserToGroupAddition"
    by_identifier = False
    create_only: ClassVar[frozenset[str]] = frozenset()

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.generated_name(128)
        await self._set(call, {}, spec.properties)
        return Made(name, {"Id": name})

    async def _set(self, call: Call, old: Request, new: Request) -> None:
        before = {(old["GroupName"], user) for user in old.get("Users", [])} if old else set()
        after = {(new["GroupName"], user) for user in new.get("Users", [])} if new else set()
        for group, user in sorted(after - before):
            await self.ask(call, "AddUserToGroup", GroupName=group, UserName=user)
        for group, user in sorted(before - after):
            await self.ask_if_there(call, "RemoveUserFromGroup", GroupName=group, UserName=user)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._set(call, old.properties, new.properties)
        return Made(physical_id, {"Id": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """Of the group's users those that the template states: the others came otherwise."""
        name, stated = spec.properties["GroupName"], spec.properties.get("Users", [])
        try:
            users = await self.every(call, "GetGroup", "Users", "Marker", GroupName=name)
        except Fault as fault:
            if fault.code in self.gone:
                return None
            raise
        members = [user["UserName"] for user in users if user["UserName"] in stated]
        return {"GroupName": name, "Users": members} if members else None

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self._set(call, spec.properties, {})


RESOURCES: tuple[Resource, ...] = (
    AccessKey(),
    InstanceProfile(),
    ServiceLinkedRole(),
    OidcProvider(),
    SamlProvider(),
    ServerCertificate(),
    UserToGroupAddition(),
)
