"""AssumeRoleWithWebIdentity: who is believed, by which keys, and what the session then is."""

from __future__ import annotations

import base64
import json
import time

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://token.actions.example.com"
HOST = ISSUER.removeprefix("https://")
PROVIDER = f"arn:aws:iam::000000000000:oidc-provider/{HOST}"
ROLE = "arn:aws:iam::000000000000:role/deploy"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def keys():
    r, e = RSA.public_key().public_numbers(), EC.public_key().public_numbers()
    return {"keys": [
        {"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": number(r.n), "e": number(r.e)},
        {"kty": "EC", "kid": "e1", "crv": "P-256", "x": b64(e.x.to_bytes(32, "big")), "y": b64(e.y.to_bytes(32, "big"))},
    ]}  # fmt: skip


def token(algorithm="RS256", kid="r1", *, key=None, header=None, **claims):
    said = {"iss": ISSUER, "aud": "sts.amazonaws.com", "sub": "repo:org/app:ref:refs/heads/main",
            "iat": time.time(), "exp": time.time() + 600} | claims  # fmt: skip
    head = {"typ": "JWT", "alg": algorithm, "kid": kid} | (header or {})
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(said).encode())}".encode()
    if algorithm == "RS256":
        signature = (key or RSA).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    elif algorithm == "ES256":
        r, s = decode_dss_signature((key or EC).sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        signature = b""
    return f"{signed.decode()}.{b64(signature)}"


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement]})


@pytest.fixture
def sts(client, tmp_path, monkeypatch):
    """An unsigned client, the issuer's keys in a file, and a role that trusts one branch of one repository."""
    path = tmp_path / "oidc.json"
    path.write_text(json.dumps({ISSUER: keys()}))
    monkeypatch.setenv("STRATOLITE_OIDC_KEYS", str(path))
    iam = client("iam")
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    condition = {"StringLike": {f"{HOST}:sub": "repo:org/app:*"}, "StringEquals": {f"{HOST}:aud": "sts.amazonaws.com"}}  # fmt: skip
    iam.create_role(
        RoleName="deploy",
        AssumeRolePolicyDocument=policy(
            Principal={"Federated": PROVIDER},
            Action=["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
            Condition=condition,
        ),
    )
    iam.put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument=policy(
        Action="dynamodb:ListTables", Resource="*", Condition={"StringEquals": {"aws:FederatedProvider": PROVIDER}},
    ))  # fmt: skip
    from botocore import UNSIGNED

    return client("sts", signature_version=UNSIGNED)


def ask(sts, text, **more):
    return sts.assume_role_with_web_identity(
        RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=text, **more
    )


@pytest.mark.parametrize(("algorithm", "kid"), [("RS256", "r1"), ("ES256", "e1")])
def test_a_token_its_issuer_signed_opens_the_role(client, sts, algorithm, kid):
    answer = ask(sts, token(algorithm, kid))
    assert answer["SubjectFromWebIdentityToken"] == "repo:org/app:ref:refs/heads/main"
    assert answer["Audience"] == "sts.amazonaws.com"
    given = answer["Credentials"]
    named = {"key": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}  # fmt: skip
    client("dynamodb", **named).list_tables()
    who = client("sts", **named).get_caller_identity()["Arn"]
    assert who == "arn:aws:sts::000000000000:assumed-role/deploy/ci"


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        (lambda: token(sub="repo:evil/app:ref"), "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
        (lambda: token(aud="other"), "InvalidIdentityToken", "Incorrect token audience"),
        (lambda: token(iss="https://elsewhere.example.com"), "InvalidIdentityToken",
         "No OpenIDConnect provider found in your account for https://elsewhere.example.com"),
        (lambda: token(exp=time.time() - 1), "ExpiredTokenException", "Token expired"),
        (lambda: token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)), "InvalidIdentityToken", "not a valid JWT"),
        (lambda: token("none"), "InvalidIdentityToken", "not a valid JWT"),
        (lambda: token("ES256", "r1"), "InvalidIdentityToken", "not a valid JWT"),
        (lambda: token(kid="unknown"), "InvalidIdentityToken", "not a valid JWT"),
        (lambda: token(iat=time.time() + 4000), "InvalidIdentityToken", "not a valid JWT"),
        (lambda: "a.b.c.d", "InvalidIdentityToken", "not a valid JWT"),
        (lambda: token()[:-8] + "AAAAAAAA", "InvalidIdentityToken", "not a valid JWT"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_to_be_believed_opens_nothing(sts, made, code, said):
    with pytest.raises(ClientError) as refused:
        ask(sts, made())
    assert refused.value.response["Error"]["Code"] == code
    assert said in refused.value.response["Error"]["Message"]


def test_keys_that_cannot_be_had_are_said_so(sts, monkeypatch):
    """No file names them, and a name that does not resolve is not reached."""
    monkeypatch.delenv("STRATOLITE_OIDC_KEYS")
    with pytest.raises(ClientError, match="Couldn't retrieve verification key from your identity"):
        ask(sts, token())


def test_tags_and_source_identity_in_the_token_are_the_sessions(client, sts):
    tags = {"principal_tags": {"team": ["red"]}, "transitive_tag_keys": ["team"]}
    text = token(
        **{"https://aws.amazon.com/tags": tags, "https://aws.amazon.com/source_identity": "ann"}
    )
    answer = ask(sts, text)
    assert answer["SourceIdentity"] == "ann"
    given = answer["Credentials"]
    client("iam").put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument=policy(
        Action="dynamodb:ListTables", Resource="*",
        Condition={"StringEquals": {"aws:PrincipalTag/team": "red", "aws:SourceIdentity": "ann"}},
    ))  # fmt: skip
    client("dynamodb", key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"]).list_tables()  # fmt: skip
