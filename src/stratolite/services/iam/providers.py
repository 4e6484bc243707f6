"""Identity providers: OpenID Connect, whose tokens STS believes, and SAML, which is kept as data.

    oidc/<arn>  {Url without its scheme, ClientIDList, ThumbprintList, CreateDate, Tags}
    saml/<arn>  {SAMLMetadataDocument, SAMLProviderUUID, CreateDate, ValidUntil, AssertionEncryptionMode, Tags}
Unlike AWS  thumbprints are kept and not asked for, for keys are fetched over verified TLS; a SAML document is looked at
        for its root, entityID and validUntil only, for nothing here reads assertions. Private keys for encrypted
        assertions are refused by name.
Source  https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
        https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateSAMLProvider.html
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.iam import holders, names, state

_OIDC, _SAML = "oidc", "saml"
_CLIENTS_COUNT_MAX, _THUMBPRINTS_COUNT_MAX, _PROVIDERS_COUNT_MAX = 100, 5, 100
_CENTURY_S = 100 * 365.25 * 86_400
_UNTIL = re.compile(r"\bvalidUntil=[\"']([^\"']+)[\"']")


class Providers:
    """Mixed into ``Iam``."""

    # -- OpenID Connect

    def create_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        url = urlsplit(request["Url"])
        if url.scheme != "https" or not url.hostname or url.query or url.fragment:
            raise Fault("ValidationError", "Invalid Open ID Connect Provider URL")
        thumbprints, clients = request.get("ThumbprintList", []), request.get("ClientIDList", [])
        _check_thumbprints(thumbprints)
        if len(clients) > _CLIENTS_COUNT_MAX:
            raise _quota("ClientIdsPerOpenIdConnectProvider", _CLIENTS_COUNT_MAX)
        place = request["Url"].removeprefix("https://")
        arn = f"arn:aws:iam::{call.account}:oidc-provider/{place}"
        if again := holders.same_step(call, _OIDC, arn, request):
            return _made(again)
        if state.get(call.tx, call.account, _OIDC, arn):
            raise Fault(
                "EntityAlreadyExists", f"Provider with url {request['Url']} already exists."
            )
        if state.count(call.tx, call.account, _OIDC) >= _PROVIDERS_COUNT_MAX:
            raise _quota("OpenIdConnectProvidersPerAccount", _PROVIDERS_COUNT_MAX)
        record: dict[str, Any] = {
            "Arn": arn,
            "Url": place,
            "ClientIDList": list(dict.fromkeys(clients)),
            "ThumbprintList": [t.lower() for t in thumbprints],
            "CreateDate": int(call.tx.time_s),
            "Tags": holders.new_tags(request),
            "StackToken": request.get("StackToken"),
        }
        state.put(call.tx, call.account, _OIDC, arn, record)
        return _made(record)

    def get_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        record = _oidc(call, request)
        fields = ("Url", "ClientIDList", "ThumbprintList", "CreateDate", "Tags")
        return {k: record[k] for k in fields}

    def list_open_id_connect_providers(self, call: Call, request: Request) -> Response:
        found, _ = state.page(call.tx, call.account, _OIDC, "", _PROVIDERS_COUNT_MAX)
        return {"OpenIDConnectProviderList": [{"Arn": r["Arn"]} for r in found]}

    def delete_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        arn = request["OpenIDConnectProviderArn"]
        if state.get(call.tx, call.account, _OIDC, arn) is None:
            raise Fault("NoSuchEntity", f"OpenId connect Provider {arn} cannot be found.")
        state.delete(call.tx, call.account, _OIDC, arn)
        return {}

    def add_client_id_to_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        record = _oidc(call, request)
        clients = list(dict.fromkeys([*record["ClientIDList"], request["ClientID"]]))
        if len(clients) > _CLIENTS_COUNT_MAX:
            raise _quota("ClientIdsPerOpenIdConnectProvider", _CLIENTS_COUNT_MAX)
        state.put(call.tx, call.account, _OIDC, record["Arn"], record | {"ClientIDList": clients})
        return {}

    def remove_client_id_from_open_id_connect_provider(
        self, call: Call, request: Request
    ) -> Response:
        record = _oidc(call, request)
        clients = [c for c in record["ClientIDList"] if c != request["ClientID"]]
        state.put(call.tx, call.account, _OIDC, record["Arn"], record | {"ClientIDList": clients})
        return {}

    def update_open_id_connect_provider_thumbprint(self, call: Call, request: Request) -> Response:
        record = _oidc(call, request)
        _check_thumbprints(request["ThumbprintList"])
        record["ThumbprintList"] = [t.lower() for t in request["ThumbprintList"]]
        state.put(call.tx, call.account, _OIDC, record["Arn"], record)
        return {}

    def tag_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        return holders.tag(call, _OIDC, _oidc(call, request)["Arn"], request["Tags"])

    def untag_open_id_connect_provider(self, call: Call, request: Request) -> Response:
        return holders.untag(call, _OIDC, _oidc(call, request)["Arn"], request["TagKeys"])

    def list_open_id_connect_provider_tags(self, call: Call, request: Request) -> Response:
        return holders.tags_of(call, _OIDC, _oidc(call, request)["Arn"], request)

    # -- SAML

    def create_saml_provider(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        _refuse_keys(request)
        arn = f"arn:aws:iam::{call.account}:saml-provider/{name}"
        until_s = _looked_at(request["SAMLMetadataDocument"], call.tx.time_s)
        if again := holders.same_step(call, _SAML, arn, request):
            return _saml_made(again)
        if state.get(call.tx, call.account, _SAML, arn):
            raise Fault(
                "EntityAlreadyExists", f"EntityAlreadyExists: Provider {name} already exists."
            )
        if state.count(call.tx, call.account, _SAML) >= _PROVIDERS_COUNT_MAX:
            raise _quota("SAMLProvidersPerAccount", _PROVIDERS_COUNT_MAX)
        record: dict[str, Any] = {
            "Arn": arn,
            "SAMLMetadataDocument": request["SAMLMetadataDocument"],
            "SAMLProviderUUID": "S" + call.world.token(16).hex().upper()[:20],
            "CreateDate": int(call.tx.time_s),
            "ValidUntil": until_s,
            "AssertionEncryptionMode": request.get("AssertionEncryptionMode", "Allowed"),
            "Tags": holders.new_tags(request),
            "StackToken": request.get("StackToken"),
        }
        state.put(call.tx, call.account, _SAML, arn, record)
        return _saml_made(record)

    def get_saml_provider(self, call: Call, request: Request) -> Response:
        record = _saml(call, request)
        hidden = ("Arn", "StackToken")
        return {k: v for k, v in record.items() if k not in hidden} | {"PrivateKeyList": []}

    def list_saml_providers(self, call: Call, request: Request) -> Response:
        found, _ = state.page(call.tx, call.account, _SAML, "", _PROVIDERS_COUNT_MAX)
        fields = ("Arn", "ValidUntil", "CreateDate")
        return {"SAMLProviderList": [{k: r[k] for k in fields} for r in found]}

    def update_saml_provider(self, call: Call, request: Request) -> Response:
        record = _saml(call, request)
        _refuse_keys(request)
        if text := request.get("SAMLMetadataDocument"):
            until_s = _looked_at(text, call.tx.time_s)
            record |= {"SAMLMetadataDocument": text, "ValidUntil": until_s}
        if mode := request.get("AssertionEncryptionMode"):
            record["AssertionEncryptionMode"] = mode
        state.put(call.tx, call.account, _SAML, record["Arn"], record)
        return {"SAMLProviderArn": record["Arn"]}

    def delete_saml_provider(self, call: Call, request: Request) -> Response:
        state.delete(call.tx, call.account, _SAML, _saml(call, request)["Arn"])
        return {}

    def tag_saml_provider(self, call: Call, request: Request) -> Response:
        return holders.tag(call, _SAML, _saml(call, request)["Arn"], request["Tags"])

    def untag_saml_provider(self, call: Call, request: Request) -> Response:
        return holders.untag(call, _SAML, _saml(call, request)["Arn"], request["TagKeys"])

    def list_saml_provider_tags(self, call: Call, request: Request) -> Response:
        return holders.tags_of(call, _SAML, _saml(call, request)["Arn"], request)


def _made(record: dict[str, Any]) -> Response:
    out: Response = {"OpenIDConnectProviderArn": record["Arn"]}
    return out | ({"Tags": record["Tags"]} if record["Tags"] else {})


def _saml_made(record: dict[str, Any]) -> Response:
    out: Response = {"SAMLProviderArn": record["Arn"]}
    return out | ({"Tags": record["Tags"]} if record["Tags"] else {})


def _quota(called: str, limit: int) -> Fault:
    return Fault("LimitExceeded", f"Cannot exceed quota for {called}: {limit}")


def _check_thumbprints(thumbprints: list[str]) -> None:
    if len(thumbprints) > _THUMBPRINTS_COUNT_MAX:
        raise Fault("InvalidInput", "Thumbprint list must contain fewer than 5 entries.")
    if any(not re.fullmatch(r"[0-9A-Fa-f]{40}", t) for t in thumbprints):
        raise Fault("InvalidInput", "Thumbprint must be 40 hexadecimal digits.")


def _oidc(call: Call, request: Request) -> dict[str, Any]:
    arn = request["OpenIDConnectProviderArn"]
    found = state.get(call.tx, call.account, _OIDC, arn)
    if found is None:
        raise Fault("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}")
    return dict(found)


def _saml(call: Call, request: Request) -> dict[str, Any]:
    arn = request["SAMLProviderArn"]
    found = state.get(call.tx, call.account, _SAML, arn)
    if found is None:
        raise Fault("NoSuchEntity", f"Manifest not found for arn {arn}")
    return dict(found)


def _refuse_keys(request: Request) -> None:
    for field in ("AddPrivateKey", "RemovePrivateKey"):
        if request.get(field):
            raise Fault("InvalidInput", f"SAML provider {field} is not offered by Stratolite")
    names.check_one_of(
        "assertionEncryptionMode",
        request.get("AssertionEncryptionMode", "Allowed"),
        ("Required", "Allowed"),
    )


def _looked_at(text: str, now_s: float) -> int:
    """Until when the metadata are valid: what they say, else for a century. Raises Fault for what is none."""
    head = text.lstrip("\ufeff \r\n\t")
    if "<!DOCTYPE" in text or "<!ENTITY" in text or not head.startswith("<"):
        raise Fault("InvalidInput", "Could not parse metadata")
    if "EntityDescriptor" not in text or "entityID" not in text or "IDPSSODescriptor" not in text:
        raise Fault("InvalidInput", "Could not parse metadata")
    if (until := _UNTIL.search(text)) is not None:
        try:
            return int(datetime.fromisoformat(until[1]).timestamp())
        except ValueError as error:
            raise Fault("InvalidInput", "Could not parse metadata") from error
    return int(now_s + _CENTURY_S)
