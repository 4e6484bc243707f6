"""AssumeRoleWithSAML: who is believed, and that nothing is read but what was signed.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml_assertions.html
Attacks: Somorovsky et al., On Breaking SAML: Be Whoever You Want to Be (2012), https://www.usenix.org/system/files/conference/usenixsecurity12/sec12-final91-8-23-12.pdf
"""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import DigestAlgorithm, SignatureMethod, XMLSigner

ME = "000000000000"
ISSUER = "https://idp.example.com/saml"
PROVIDER = f"arn:aws:iam::{ME}:saml-provider/idp"
ROLE = f"arn:aws:iam::{ME}:role/deploy"
AWS = "https://signin.aws.amazon.com/saml"
NAMES = {
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "a": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
A, P, DS = (f"{{{NAMES[n]}}}" for n in ("a", "p", "ds"))


class Idp:
    """A key, and the certificate that says so."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example.com")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(7).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def metadata(self):
        inside = "".join(self.pem.decode().splitlines()[1:-1])
        return (
            f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ISSUER}"><IDPSSODescriptor'
            ' protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo'
            f' xmlns="{NAMES["ds"]}"><X509Data><X509Certificate>{inside}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>'
            f'<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{ISSUER}"/>'
            "</IDPSSODescriptor></EntityDescriptor>"
        )  # fmt: skip

    def sign(self, element, name, *, sha1=False):
        signer = XMLSigner(
            signature_algorithm=SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
        )
        if sha1:
            signer.check_deprecated_methods = lambda: None
            signer.sign_alg, signer.digest_alg = SignatureMethod.RSA_SHA1, DigestAlgorithm.SHA1
        return signer.sign(
            element, key=self.key, cert=self.pem.decode(), reference_uri=name, id_attribute="ID"
        )


IDP = Idp()


def at(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def assertion(
    *, issuer=ISSUER, subject="ann@example.com", recipient=AWS, until=300, audience="urn:amazon:webservices",
    role=f"{ROLE},{PROVIDER}", name="ann", start=-10, session=None, **attributes,
):  # fmt: skip
    said = {"Role": role, "RoleSessionName": name} | attributes
    lines = "".join(
        f'<a:Attribute Name="https://aws.amazon.com/SAML/Attributes/{key}"><a:AttributeValue>{value}</a:AttributeValue></a:Attribute>'
        for key, value in said.items()
        if value is not None
    )
    restriction = (
        f"<a:AudienceRestriction><a:Audience>{audience}</a:Audience></a:AudienceRestriction>"
        if audience
        else ""
    )
    ends = f' SessionNotOnOrAfter="{at(session)}"' if session else ""
    text = f"""<a:Assertion xmlns:a="{NAMES["a"]}" ID="_a1" Version="2.0" IssueInstant="{at(0)}"><a:Issuer>{issuer}</a:Issuer>
    <a:Subject><a:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{subject}</a:NameID>
    <a:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><a:SubjectConfirmationData Recipient="{recipient}"
    NotOnOrAfter="{at(until)}"/></a:SubjectConfirmation></a:Subject>
    <a:Conditions NotBefore="{at(start)}" NotOnOrAfter="{at(until)}">{restriction}</a:Conditions>
    <a:AuthnStatement AuthnInstant="{at(0)}"{ends}/><a:AttributeStatement>{lines}</a:AttributeStatement></a:Assertion>"""
    return etree.fromstring(text)


def response(inside, status="Success"):
    made = etree.fromstring(
        f"""<p:Response xmlns:p="{NAMES["p"]}" ID="_r1" Version="2.0" IssueInstant="{at(0)}"><p:Status><p:StatusCode
        Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></p:Status></p:Response>"""
    )
    for one in inside:
        made.append(one)
    return made


def signed(*, idp=IDP, sha1=False, **said):
    return response([idp.sign(assertion(**said), "_a1", sha1=sha1)])


def encoded(document):
    text = document if isinstance(document, bytes) else etree.tostring(document)
    return base64.b64encode(text).decode()


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement]})


@pytest.fixture
def sts(client):
    """An unsigned client, a provider, and a role that trusts it for AWS's sign-in."""
    iam = client("iam")
    iam.create_saml_provider(Name="idp", SAMLMetadataDocument=metadata_of(IDP))
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=policy(
        Principal={"Federated": PROVIDER}, Action=["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"],
        Condition={"StringEquals": {"SAML:aud": AWS}, "StringLike": {"SAML:sub": "*@example.com"}},
    ))  # fmt: skip
    return client("sts", signature_version=UNSIGNED)


def metadata_of(idp):
    return idp.metadata() + " " * max(0, 1000 - len(idp.metadata()))


def ask(sts, document, **more):
    asked = {"RoleArn": ROLE, "PrincipalArn": PROVIDER, "SAMLAssertion": encoded(document)}
    return sts.assume_role_with_saml(**asked | more)


def refusal(sts, document, **more):
    with pytest.raises(ClientError) as refused:
        ask(sts, document, **more)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize("what", ["assertion", "response", "both"])
def test_an_assertion_its_provider_signed_opens_the_role(client, sts, what):
    document = signed() if what != "response" else response([assertion()])
    if what != "assertion":
        document = IDP.sign(document, "_r1")
    answer = ask(sts, document)
    said = {k: answer[k] for k in ("Subject", "SubjectType", "Issuer", "Audience")}
    assert said == {
        "Subject": "ann@example.com",
        "SubjectType": "persistent",
        "Issuer": ISSUER,
        "Audience": AWS,
    }
    assert len(base64.b64decode(answer["NameQualifier"])) == 20
    given = answer["Credentials"]
    named = {
        "key": given["AccessKeyId"],
        "secret": given["SecretAccessKey"],
        "token": given["SessionToken"],
    }
    who = client("sts", **named).get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{ME}:assumed-role/deploy/ann"
    client("iam").put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument=policy(
        Action="dynamodb:ListTables", Resource="*", Condition={"StringEquals": {"aws:FederatedProvider": PROVIDER}},
    ))  # fmt: skip
    client("dynamodb", **named).list_tables()


def test_tags_source_identity_and_the_sessions_end_are_the_providers_to_say(client, sts):
    document = signed(
        session=1200,
        SourceIdentity="ann",
        **{"PrincipalTag:team": "red", "TransitiveTagKeys": "team"},
    )
    answer = ask(sts, document, DurationSeconds=3600)
    assert answer["SourceIdentity"] == "ann"
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert 1100 < left.total_seconds() <= 1201
    client("iam").put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument=policy(
        Action="dynamodb:ListTables", Resource="*",
        Condition={"StringEquals": {"aws:PrincipalTag/team": "red", "aws:SourceIdentity": "ann"}},
    ))  # fmt: skip
    given = answer["Credentials"]
    client(
        "dynamodb",
        key=given["AccessKeyId"],
        secret=given["SecretAccessKey"],
        token=given["SessionToken"],
    ).list_tables()


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ({"idp": Idp()}, "InvalidIdentityToken", "Response signature invalid"),
        ({"sha1": True}, "InvalidIdentityToken", "Response signature invalid"),
        ({"issuer": "https://elsewhere.example.com"}, "InvalidIdentityToken", "Issuer not present in specified provider"),
        ({"until": -1}, "ExpiredTokenException", "Token must be redeemed"),
        ({"start": 900}, "InvalidIdentityToken", "not valid yet"),
        ({"session": -1}, "ExpiredTokenException", "session has ended"),
        ({"recipient": "https://evil.example.com/saml"}, "InvalidIdentityToken", "recipient"),
        ({"recipient": "https://signin.aws.amazon.com.evil.example/saml"}, "InvalidIdentityToken", "recipient"),
        ({"audience": "urn:other"}, "InvalidIdentityToken", "Response does not contain the required audience."),
        ({"audience": None}, "InvalidIdentityToken", "Response does not contain the required audience."),
        ({"role": f"arn:aws:iam::{ME}:role/other,{PROVIDER}"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"role": f"{ROLE},arn:aws:iam::{ME}:saml-provider/other"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"role": ROLE}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"subject": "ann@evil.com"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"subject": ""}, "InvalidIdentityToken", "NameID"),
        ({"name": None}, "InvalidIdentityToken", "RoleSessionName is required in AuthnResponse"),
        ({"name": "a b"}, "InvalidIdentityToken", "RoleSessionName in AuthnResponse must match"),
        ({"SourceIdentity": "aws:x"}, "InvalidIdentityToken", "Source Identity must match"),
        ({"SessionDuration": "1"}, "InvalidIdentityToken", "SessionDuration"),
    ],
)  # fmt: skip
def test_an_assertion_that_is_not_to_be_believed_opens_nothing(sts, said, code, words):
    found = refusal(sts, signed(**said))
    assert found[0] == code
    assert words in found[1]


def test_a_failed_sign_in_a_foreign_provider_and_too_long_a_session_are_refused(client, sts):
    assert (
        refusal(sts, IDP.sign(response([assertion()], "Responder"), "_r1"))[0] == "IDPRejectedClaim"
    )
    other = f"arn:aws:iam::{ME}:saml-provider/none"
    assert refusal(sts, signed(), PrincipalArn=other) == (
        "InvalidIdentityToken",
        "Specified provider doesn't exist.",
    )
    theirs = "arn:aws:iam::111111111111:saml-provider/idp"
    assert refusal(sts, signed(), PrincipalArn=theirs)[0] == "ValidationError"
    assert "MaxSessionDuration" in refusal(sts, signed(), DurationSeconds=7200)[1]
    client("iam").update_assume_role_policy(RoleName="deploy", PolicyDocument=policy(
        Principal={"Federated": PROVIDER}, Action="sts:AssumeRoleWithWebIdentity"))  # fmt: skip
    assert refusal(sts, signed())[0] == "AccessDenied"


# -- forgeries


def evil():
    return assertion(subject="admin@example.com", name="admin")


def wrapped_as_sibling():
    """XSW: a forged assertion first, the signed one behind it."""
    document = signed()
    forged = evil()
    forged.set("ID", "_evil")
    document.insert(1, forged)
    return document


def wrapped_inside():
    """XSW: the forged assertion carries the signed one inside."""
    real = IDP.sign(assertion(), "_a1")
    forged = evil()
    forged.set("ID", "_evil")
    signature = real.find(f"{DS}Signature")
    real.remove(signature)
    forged.append(signature)
    signature.append(etree.SubElement(signature, f"{DS}Object"))
    signature[-1].append(real)
    return response([forged])


def wrapped_with_the_same_name():
    """XSW: two elements of one ID, one of them where nobody looks."""
    real, forged = IDP.sign(assertion(), "_a1"), evil()
    extensions = etree.Element(f"{P}Extensions")
    extensions.append(copy.deepcopy(real))
    forged.append(real.find(f"{DS}Signature"))
    document = response([forged])
    document.insert(0, extensions)
    return document


def changed():
    document = signed()
    document.find(f".//{A}NameID").text = "admin@example.com"
    return document


def unsigned():
    return response([evil()])


def half_signed():
    """The response is signed, the assertion in it has a signature that is not right."""
    inside = IDP.sign(assertion(), "_a1")
    inside.find(f".//{A}NameID").text = "admin@example.com"
    return IDP.sign(response([inside]), "_r1")


def signed_by_its_own_certificate():
    """The key stands in the message; it is not the provider's."""
    return signed(idp=Idp(), subject="admin@example.com")


def signed_elsewhere():
    """A signature over the status alone."""
    document = response([evil()])
    status = document.find(f"{P}Status")
    status.set("ID", "_s1")
    document.replace(status, IDP.sign(copy.deepcopy(status), "_s1"))
    return document


def commented():
    """What a comment cuts off: admin@example.com<!---->.evil is one name to the signer."""
    return etree.tostring(signed(subject="admin@example.com.evil@example.com")).replace(
        b".evil", b"<!---->.evil"
    )


def with_entities():
    text = etree.tostring(signed(subject="SUBJECT"))
    return b'<!DOCTYPE x [<!ENTITY e "ann@example.com">]>' + text.replace(b"SUBJECT", b"&e;")


def encrypted():
    return response([etree.Element(f"{A}EncryptedAssertion")])


def not_a_response():
    return IDP.sign(assertion(), "_a1")


FORGERIES = [
    wrapped_as_sibling, wrapped_inside, wrapped_with_the_same_name, changed, unsigned, half_signed, signed_by_its_own_certificate,
    signed_elsewhere, commented, with_entities, encrypted, not_a_response,
]  # fmt: skip


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_assertion_opens_nothing(sts, forge):
    assert refusal(sts, forge())[0] == "InvalidIdentityToken"


@pytest.mark.parametrize(
    "text", ["", "AAAA", "PHg+", base64.b64encode(b"<x/>" + b" " * 9).decode()]
)
def test_what_is_no_assertion_is_refused(sts, text):
    with pytest.raises(ClientError) as refused:
        sts.assume_role_with_saml(
            RoleArn=ROLE, PrincipalArn=PROVIDER, SAMLAssertion=text.ljust(4, "=")
        )
    assert refused.value.response["Error"]["Code"] == "InvalidIdentityToken"
