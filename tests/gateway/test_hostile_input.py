"""Whatever is sent to be parsed is refused within bounds: by an answer, soon, and the next caller is served as before.

Signed as root, so that nothing but the parsers stands in the way. A parser that ran away would be ended by the time-out.
"""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import ENDPOINT, to_http
from lambdas import create, role

pytestmark = pytest.mark.timeout(120)

DEEP = 50_000
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


def send(
    platform: Any, service: str, path: str, body: bytes, method: str = "POST", **headers: str
) -> tuple[int, bytes]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, f"{ENDPOINT}{path}", data=body, headers=names)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials("test", "test"), service, "us-east-1").add_auth(request)
    status, _, answer = platform.send(to_http(request.prepare()))
    return status, answer


@pytest.fixture
def platform(platform: Any, caplog: Any) -> Iterator[Any]:
    """Afterwards somebody else is served, and nothing was logged as a bug of ours."""
    yield platform
    status, answer = send(
        platform,
        "sts",
        "/",
        b"Action=GetCallerIdentity&Version=2011-06-15",
        Content_Type="application/x-www-form-urlencoded",
    )
    assert (status, b"<Account>000000000000<" in answer) == (200, True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# -- JSON, CBOR, query strings

JSON = {
    "deep lists": b'{"TableName": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep maps": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "an end that never comes": b"[" * DEEP,
    "a deep value": b'{"TableName":"table","Item":{"k":' + b'{"M":{"k":' * 5000 + b'{"S":"x"}' + b"}}" * 5000 + b"}}",
    "half a character": b'{"TableName": "\xf0\x9f"}',
    "a surrogate": b'{"TableName": "\\ud800"}',
    "a huge number": b'{"TableName":"table","Limit":' + b"9" * 5000 + b"}",
    "twice the same name": b'{"TableName":"a","TableName":"b"' + b',"x":1' * 50_000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("body", JSON.values(), ids=JSON)
def test_json(platform, body):
    for target in (
        "DynamoDB_20120810.PutItem",
        "AmazonSQS.SendMessage",
        "Logs_20140328.PutLogEvents",
    ):
        service = {"D": "dynamodb", "A": "sqs", "L": "logs"}[target[0]]
        status, answer = send(
            platform,
            service,
            "/",
            body,
            X_Amz_Target=target,
            Content_Type="application/x-amz-json-1.0",
        )
        assert 400 <= status < 500, answer
        assert "__type" in json.loads(answer)


CBOR = {
    "deep arrays": b"\x81" * DEEP,
    "deep maps": b"\xa1\x61a" * DEEP,
    "deep tags": b"\xc1" * DEEP + b"\x00",
    "a string longer than the body": b"\xbf\x61a\x7b" + struct.pack(">Q", 1 << 60) + b"x",
    "an array longer than the body": b"\xbf\x61a\x9b" + struct.pack(">Q", 1 << 60),
    "a map longer than the body": b"\xbb" + struct.pack(">Q", 1 << 60),
    "endless": b"\x9f" * DEEP,
    "a huge power of ten": b"\xa1\x61a\xc4\x82\x1b" + struct.pack(">Q", 1 << 40) + b"\x01",
    "shared values": b"\xd8\x1c\x82\xd8\x1d\x00\xd8\x1d\x00",
    "a regular expression": b"\xa1\x61a\xd8\x23\x67(a+)+b$",
}  # fmt: skip


@pytest.mark.parametrize("body", CBOR.values(), ids=CBOR)
def test_cbor(platform, body):
    status, answer = send(
        platform, "sqs", "/service/AmazonSQS/operation/SendMessage", body,
        Content_Type="application/cbor", Smithy_Protocol="rpc-v2-cbor",
    )  # fmt: skip
    assert 400 <= status < 500, answer


QUERY = {
    "deep names": b"&Tags." + b"member.1." * 20_000 + b"Key=x",
    "a far index": b"&Tags.member.99999999999999999999.Key=x",
    "many names": b"".join(b"&a%d=1" % n for n in range(100_000)),
    "bad escapes": b"&RoleName=%zz%u0000%",
}


@pytest.mark.parametrize("more", QUERY.values(), ids=QUERY)
def test_query(platform, more):
    body = b"Action=CreateRole&Version=2010-05-08&AssumeRolePolicyDocument=x" + more
    status, answer = send(
        platform, "iam", "/", body, Content_Type="application/x-www-form-urlencoded"
    )
    assert 400 <= status < 500, answer
    assert b"<Error" in answer


# -- XML

XML = {
    "laughs": f"<!DOCTYPE x [<!ENTITY l0 'ha'>{LAUGHS}]><Tagging>&l11;</Tagging>".encode(),
    "a file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Tagging>&f;</Tagging>',
    "a url": b'<!DOCTYPE x SYSTEM "http://169.254.169.254/x"><Tagging/>',
    "a parameter": b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]><Tagging/>',
    "utf-16": "<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><Tagging>&f;</Tagging>".encode("utf-16"),
    "utf-7": b"<?xml version='1.0' encoding='utf-7'?>+ADwAIQ-DOCTYPE x+AD4APA-Tagging/+AD4-",
    "deep": b"<Tagging>" * DEEP + b"</Tagging>" * DEEP,
    "deep and open": b"<a>" * DEEP,
    "many attributes": b"<Tagging " + b" ".join(b'a%d="1"' % n for n in range(50_000)) + b"/>",
    "many namespaces": b"<Tagging " + b" ".join(b'xmlns:a%d="u%d"' % (n, n) for n in range(20_000)) + b"/>",
}  # fmt: skip


@pytest.mark.parametrize("body", XML.values(), ids=XML)
@pytest.mark.parametrize("what", ["delete", "notification"])
def test_xml(platform, client, body, what):
    client("s3").create_bucket(Bucket="photos")
    method = "POST" if what == "delete" else "PUT"
    status, answer = send(platform, "s3", f"/photos?{what}=", body, method)
    assert status < 500, answer  # what is only strange is not refused by all
    assert b"root:" not in answer
    if b"<!" in body or b"\0" in body:
        assert (status, b"<Code>MalformedXML</Code>" in answer) == (400, True)


# -- YAML

YAML = {
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    ) + "Resources: *j\n",
    "an object": "Resources:\n  A: !!python/object/apply:os.system ['true']\n",
    "a tuple": "Resources: !!python/tuple [1]\n",
    "a merge": "x: &x {a: 1}\nResources:\n  <<: *x\n",
    "itself": "&a Resources: *a\n",
    "deep": "Resources: " + "[" * 20_000 + "]" * 20_000,
    "deep in blocks": "Resources:\n" + "".join(" " * n + "a:\n" for n in range(1, 700)),
    "tags": "Resources: " + "!Sub " * 2000 + "x",
    "many documents": "---\na: 1\n" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
def test_yaml(client, platform, text):
    with pytest.raises(ClientError) as caught:
        client("cloudformation").create_stack(StackName="s", TemplateBody=text)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


# -- regular expressions and wildcards


def test_a_pattern_of_a_template_cannot_run_away(client, platform):
    template = {
        "Parameters": {"P": {"Type": "String", "AllowedPattern": "(a+)+(b|a)*(a|a?)+$"}},
        "Resources": {"T": {"Type": "AWS::Logs::LogGroup"}},
    }
    with pytest.raises(ClientError) as caught:
        client("cloudformation").create_stack(
            StackName="s",
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": "P", "ParameterValue": "a" * 3000 + "!"}],
        )
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_wildcards_of_a_policy_cannot_run_away(client, platform):
    """One star at a time is tried again, not all of them: 400 stars against what almost matches."""
    stars = "arn:aws:s3:::" + "a*" * 400 + "b"
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:" + "*G" * 100 + "*", "Resource": stars}],
    }
    iam = client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(
        UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy, separators=(",", ":"))
    )
    key = iam.create_access_key(UserName="u")["AccessKey"]
    client("s3").create_bucket(Bucket="a" * 60)
    s3 = client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    with pytest.raises(ClientError, match="AccessDenied|Forbidden|403"):
        s3.get_object(Bucket="a" * 60, Key="a" * 1000)


def test_deep_policies_are_refused(client, platform):
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    for text in (deep, "[" * 6000, '{"Statement":' + "[" * 3000 + "]" * 3000 + "}"):
        with pytest.raises(ClientError, match="MalformedPolicyDocument"):
            client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=text)


@pytest.mark.parametrize(
    "expression",
    ["(" * 2000 + "a = :v" + ")" * 2000, "NOT " * 2000 + "a = :v", "a" + "[0]" * 2000 + " = :v", "a" + ".a" * 2000 + " = :v"],
    ids=["brackets", "not", "indexes", "names"],
)  # fmt: skip
def test_deep_expressions_are_refused(client, platform, expression):
    db = client("dynamodb")
    db.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )  # fmt: skip
    with pytest.raises(ClientError, match="ValidationException"):
        db.put_item(
            TableName="table", Item={"k": {"S": "x"}}, ConditionExpression=expression,
            ExpressionAttributeValues={":v": {"S": "x"}},
        )  # fmt: skip


# -- archives


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


def many() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(50_001):
            archive.writestr(zipfile.ZipInfo(f"{n}", (1980, 1, 1, 0, 0, 0)), b"")
    return out.getvalue()


def liar() -> bytes:
    """Says it unpacks to 10 bytes, and goes on for 300 MB."""
    raw = bytearray(zipped(("index.py", bytes(300 << 20), stat.S_IFREG | 0o644)))
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 10)
    raw[22:26] = struct.pack("<I", 10)
    return bytes(raw)


ZIPS = {
    "a bomb": lambda: zipped(*((f"{n}", bytes(90 << 20), stat.S_IFREG | 0o644) for n in range(3))),
    "a liar": liar,
    "many files": many,
    "an absolute path": lambda: zipped(("/etc/cron.d/x", b"x", stat.S_IFREG | 0o644)),
    "a path up": lambda: zipped(("a/../../x", b"x", stat.S_IFREG | 0o644)),
    "a path up by backslash": lambda: zipped(("a\\..\\..\\x", b"x", stat.S_IFREG | 0o644)),
    "a link out": lambda: zipped(("x", b"/etc/passwd", stat.S_IFLNK | 0o777)),
    "a link up": lambda: zipped(("a/x", b"../../x", stat.S_IFLNK | 0o777)),
    "through a link": lambda: zipped(("x", b"..", stat.S_IFLNK | 0o777), ("x/y", b"y", stat.S_IFREG | 0o644)),
    "a device": lambda: zipped(("x", b"", stat.S_IFBLK | 0o666)),
    "a pipe": lambda: zipped(("x", b"", stat.S_IFIFO | 0o666)),
    "no zip": lambda: b"PK\x03\x04" + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("make", ZIPS.values(), ids=ZIPS)
def test_archives(client, platform, make):
    code = make()
    for operation in ("function", "layer"):
        with pytest.raises(ClientError) as caught:
            if operation == "function":
                create(client, "fn", Role=role(client), Code={"ZipFile": code})
            else:
                client("lambda").publish_layer_version(LayerName="l", Content={"ZipFile": code})
        assert caught.value.response["Error"]["Code"] in (
            "InvalidParameterValueException",
            "RequestEntityTooLargeException",
        )
    assert client("lambda").list_functions()["Functions"] == []
