"""AssumeRoleWithSAML: what an identity provider's assertion says, believed only where the provider's own key signed it.

Read is nothing but what the signature covers, in the form it was signed (``signxml``'s ``signed_xml``): what is wrapped around it, put
beside it or left in a comment says nothing. The one assertion or the whole response is signed, directly below its own root; keys are
those of the provider's metadata, never those a message brings along. No document type, entity, comment or CDATA gets to the parser.
Source  https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml_assertions.html
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-saml
        https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html (the words of refusals)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, root

_ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
_PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
_METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_SIGNED = "{http://www.w3.org/2000/09/xmldsig#}"
_BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
_ATTRIBUTES = "https://aws.amazon.com/SAML/Attributes/"
_RECIPIENT = re.compile(r"https://([a-z0-9-]+\.)?signin\.aws\.amazon\.com/saml(/acs/[\w-]+)?")
_SESSION_NAME = re.compile(r"[a-zA-Z_0-9+=,.@-]{2,64}")
_PROVIDER = re.compile(r"arn:aws:iam::(\d{12}):saml-provider/([\w._-]{1,128})")
_CERTIFICATES_COUNT_MAX = 10
_SKEW_S = 300.0
_SESSION_S_MIN, _SESSION_S_MAX = 900, 43_200
_EDUCATION = {  # of the attributes AWS knows, those that condition keys are named after
    "urn:oid:1.3.6.1.4.1.5923.1.1.1.1": "edupersonaffiliation",
    "urn:oid:1.3.6.1.4.1.5923.1.1.1.7": "edupersonentitlement",
    "urn:oid:1.3.6.1.4.1.5923.1.1.1.6": "edupersonprincipalname",
    "urn:oid:2.5.4.3": "cn",
    "urn:oid:0.9.2342.19200300.100.1.3": "mail",
}
Element = Any


class Asserted(NamedTuple):
    """An assertion whose signature, time, audience and recipient are right, for one role."""

    provider: str
    """ARN of the SAML provider."""
    issuer: str
    subject: str
    subject_type: str
    """``persistent``, ``transient`` or the whole format."""
    audience: str
    """The recipient: what AWS calls so."""
    session_name: str
    until_s: float
    """SessionNotOnOrAfter, infinite where there is none."""
    attributes: dict[str, list[str]]

    @property
    def qualifier(self) -> str:
        """https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html, NameQualifier."""
        match = _PROVIDER.fullmatch(self.provider)
        assert match
        text = f"{self.issuer}{match[1]}/{match[2]}"
        return base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()  # noqa: S324 - AWS's own name

    def condition_keys(self) -> dict[str, list[str]]:
        account, name = _PROVIDER.fullmatch(self.provider).groups()  # type: ignore[union-attr]
        keys = {
            "saml:aud": [self.audience],
            "saml:iss": [self.issuer],
            "saml:sub": [self.subject],
            "saml:sub_type": [self.subject_type],
            "saml:namequalifier": [self.qualifier],
            "saml:doc": [f"{account}/{name}"],
        }
        for oid, key in _EDUCATION.items():
            if values := self.attributes.get(oid):
                keys[f"saml:{key}"] = values
        return keys

    def session(self) -> Request:
        """Name, tags and source identity that the provider gave, as AssumeRole takes them."""
        asked: Request = {"RoleSessionName": self.session_name}
        start = f"{_ATTRIBUTES}PrincipalTag:"
        tags = [
            {"Key": name.removeprefix(start), "Value": values[0]}
            for name, values in self.attributes.items()
            if name.startswith(start) and values
        ]
        if tags:
            asked["Tags"] = tags
            asked["TransitiveTagKeys"] = self.attributes.get(f"{_ATTRIBUTES}TransitiveTagKeys", [])
        if source := self.attributes.get(f"{_ATTRIBUTES}SourceIdentity"):
            if not _SESSION_NAME.fullmatch(source[0]) or source[0].startswith("aws:"):
                raise _invalid(
                    "Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with 'aws:'"
                )
            asked["SourceIdentity"] = source[0]
        return asked


async def asserted(call: Call, request: Request) -> Asserted:
    """Raises Fault in AWS's words for an assertion that is not to be believed, or is for another role."""
    role, provider = request["RoleArn"], request["PrincipalArn"]
    match = _PROVIDER.fullmatch(provider)
    if match is None or role.split(":")[4:5] != [match[1]]:
        raise Fault("ValidationError", f"{provider} is not a SAML provider of the role's account")
    metadata = await _metadata(call, match[1], provider)
    loop = asyncio.get_running_loop()
    issuer, element = await loop.run_in_executor(
        None, _believed, request["SAMLAssertion"], metadata
    )
    return _read(element, issuer, role, provider, call.world.wall())


async def _metadata(call: Call, account: str, provider: str) -> str:
    inside = call.scoped(account, call.region, root(account))
    try:
        found = await inside.request("iam", "GetSAMLProvider", {"SAMLProviderArn": provider})
    except Fault as fault:
        raise _invalid("Specified provider doesn't exist.") from fault
    if found["ValidUntil"] <= call.world.wall():
        raise Fault(
            "ExpiredTokenException", "The metadata of the provider have expired", status=400
        )
    return str(found["SAMLMetadataDocument"])


# -- whether it is the provider's


def _believed(text: str, metadata: str) -> tuple[str, Element]:
    """(the provider's issuer, the assertion as it was signed). Raises Fault."""
    from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier
    from signxml.exceptions import SignXMLException

    try:
        response = _parsed(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise _invalid("Invalid base64 SAMLResponse or XML that cannot be parsed") from error
    issuer, certificates = _provider_of(metadata)
    if response.tag != f"{_PROTOCOL}Response":
        raise _invalid("SAMLAssertion is not a samlp:Response")
    if response.find(f".//{_ASSERTION}EncryptedAssertion") is not None:
        raise _invalid("Encrypted assertions are not offered by Stratolite")
    assertions = list(response.iter(f"{_ASSERTION}Assertion"))
    if len(assertions) != 1 or assertions[0].getparent() is not response:
        raise _invalid("Response must have exactly one assertion")
    names = [one.get("ID") for one in response.iter() if one.get("ID") is not None]
    if len(names) != len(set(names)):
        raise _invalid("Response signature invalid")
    allowed = [response.find(f"{_SIGNED}Signature"), assertions[0].find(f"{_SIGNED}Signature")]
    signatures = [one for one in allowed if one is not None]
    if not signatures or len(list(response.iter(f"{_SIGNED}Signature"))) != len(signatures):
        raise _invalid("Response signature invalid")
    good = SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=frozenset(
            m
            for m in SignatureMethod
            if m.name.startswith(("RSA_SHA", "ECDSA_SHA"))
            and m.name.endswith(("256", "384", "512"))
        ),
        digest_algorithms=frozenset(
            (DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512)
        ),
        ignore_ambiguous_key_info=True,  # the key is the provider's, whatever the message says
    )
    found: Element = None
    for signature in signatures:  # each of them must be right, and what the last one covers is read
        parent = signature.getparent()
        document = _parsed(_text(parent))  # its own document: a reference leads nowhere else
        signed: Element = None
        for certificate in certificates:
            try:
                signed = (
                    XMLVerifier()
                    .verify(document, x509_cert=certificate, expect_config=good, id_attribute="ID")
                    .signed_xml
                )
                break
            except (SignXMLException, ValueError, TypeError, AttributeError):
                continue
        if signed is None or signed.tag != parent.tag or signed.get("ID") != parent.get("ID"):
            raise _invalid("Response signature invalid")
        found = signed
    if found.tag == f"{_PROTOCOL}Response":
        _check_status(found)
        found = found.find(f"{_ASSERTION}Assertion")
    return issuer, found


def _check_status(response: Element) -> None:
    status = response.find(f"{_PROTOCOL}Status/{_PROTOCOL}StatusCode")
    if status is not None and status.get("Value") != _SUCCESS:
        raise Fault(
            "IDPRejectedClaim", "The identity provider (IdP) reported that authentication failed.", status=403
        )  # fmt: skip


def _provider_of(metadata: str) -> tuple[str, list[str]]:
    """(entity id, certificates as PEM) of the identity provider."""
    try:
        document = _parsed(metadata.strip().encode(), comments=True)
    except ValueError as error:
        raise _invalid("Could not parse metadata.") from error
    certificates = [
        f"-----BEGIN CERTIFICATE-----\n{''.join(_said(one).split())}\n-----END CERTIFICATE-----\n"
        for key in document.iterfind(f".//{_METADATA}IDPSSODescriptor/{_METADATA}KeyDescriptor")
        if key.get("use", "signing") == "signing"
        for one in key.iter(f"{_SIGNED}X509Certificate")
    ]
    return document.get("entityID") or "", certificates[:_CERTIFICATES_COUNT_MAX]


def _parsed(data: bytes, *, comments: bool = False) -> Element:
    """Raises ValueError for what is no plain XML in UTF-8."""
    from lxml import etree

    text = data.decode("utf-8-sig")
    refused = ("<!DOCTYPE", "<!ENTITY") if comments else ("<!",)
    if any(mark in text for mark in refused):
        raise ValueError("document types, comments and CDATA are not read")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_pis=True,
        remove_comments=True,
        encoding="utf-8",
    )
    try:
        return etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error


def _text(element: Element) -> bytes:
    """An element as a document of its own, with the namespaces around it; exclusive canonical form is the same there."""
    from lxml import etree

    made: bytes = etree.tostring(element, with_tail=False)
    return made


# -- what it says


def _read(element: Element, issuer: str, role: str, provider: str, now_s: float) -> Asserted:
    """Raises Fault for an assertion that is over, for somebody else or for another role."""
    if not issuer or _said(element.find(f"{_ASSERTION}Issuer")) != issuer:
        raise Fault("InvalidIdentityToken", "Issuer not present in specified provider", status=400)
    subject = element.find(f"{_ASSERTION}Subject")
    name = None if subject is None else subject.find(f"{_ASSERTION}NameID")
    if subject is None or name is None or not _said(name):
        raise _invalid("NameID is required in AuthnResponse")
    recipient = _confirmed(subject, now_s)
    _check_conditions(element.find(f"{_ASSERTION}Conditions"), now_s)
    attributes = {
        attribute.get("Name", ""): [
            _said(value) for value in attribute.iterfind(f"{_ASSERTION}AttributeValue")
        ]
        for attribute in element.iterfind(f"{_ASSERTION}AttributeStatement/{_ASSERTION}Attribute")
    }
    pairs = [
        sorted(part.strip() for part in value.split(","))
        for value in attributes.get(f"{_ATTRIBUTES}Role", ())
    ]
    if sorted((role, provider)) not in pairs:
        raise Fault("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", status=403)
    names = attributes.get(f"{_ATTRIBUTES}RoleSessionName", [])
    if not names:
        raise _invalid("RoleSessionName is required in AuthnResponse")
    if not _SESSION_NAME.fullmatch(names[0]):
        raise _invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
    for said in attributes.get(f"{_ATTRIBUTES}SessionDuration", ()):
        if not said.isdecimal() or not _SESSION_S_MIN <= int(said[:9]) <= _SESSION_S_MAX:
            raise _invalid("SessionDuration in AuthnResponse must be from 900 to 43200 seconds")
    kind = name.get("Format", "")
    return Asserted(
        provider,
        issuer,
        _said(name),
        kind.removeprefix(_PERSISTENT) if kind.startswith(_PERSISTENT) else kind,
        recipient,
        names[0],
        min(_ends(element), default=float("inf")),
        attributes,
    )


def _confirmed(subject: Element, now_s: float) -> str:
    """The recipient of a confirmation that holds now. Raises Fault."""
    ended = False
    for confirmation in subject.iterfind(f"{_ASSERTION}SubjectConfirmation"):
        data = confirmation.find(f"{_ASSERTION}SubjectConfirmationData")
        if confirmation.get("Method") != _BEARER or data is None:
            continue
        until = data.get("NotOnOrAfter")
        if until is None or not _RECIPIENT.fullmatch(recipient := data.get("Recipient", "")):
            continue
        if now_s < _seconds(until):
            return str(recipient)
        ended = True
    if ended:
        raise Fault(
            "ExpiredTokenException",
            "Token must be redeemed within 5 minutes of issuance",
            status=400,
        )
    raise _invalid(
        "Response does not contain a confirmation for the recipient https://signin.aws.amazon.com/saml"
    )


def _check_conditions(conditions: Element, now_s: float) -> None:
    restrictions = (
        [] if conditions is None else conditions.findall(f"{_ASSERTION}AudienceRestriction")
    )
    for restriction in restrictions:
        audiences = [_said(one) for one in restriction.iterfind(f"{_ASSERTION}Audience")]
        if not any(
            one == "urn:amazon:webservices" or _RECIPIENT.fullmatch(one) for one in audiences
        ):
            restrictions = []
            break
    if not restrictions:
        raise _invalid("Response does not contain the required audience.")
    if (start := conditions.get("NotBefore")) and now_s < _seconds(start) - _SKEW_S:
        raise _invalid("Assertion is not valid yet")
    if (until := conditions.get("NotOnOrAfter")) and now_s >= _seconds(until):
        raise Fault(
            "ExpiredTokenException",
            "Token must be redeemed within 5 minutes of issuance",
            status=400,
        )


def _ends(element: Element) -> Iterator[float]:
    for statement in element.iterfind(f"{_ASSERTION}AuthnStatement"):
        if until := statement.get("SessionNotOnOrAfter"):
            yield _seconds(until)


def _seconds(said: str) -> float:
    """https://www.w3.org/TR/xmlschema-2/#dateTime; without a zone it is UTC, as SAML wants it."""
    try:
        found = datetime.fromisoformat(said.strip())
    except ValueError as error:
        raise _invalid("A time in AuthnResponse cannot be read") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _said(element: Element) -> str:
    return "" if element is None else "".join(element.itertext()).strip()


def _invalid(said: str) -> Fault:
    return Fault("InvalidIdentityToken", said, status=400)
