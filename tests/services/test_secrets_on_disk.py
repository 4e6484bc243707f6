"""What is secret is on no disk and in no bucket in clear: log, snapshots, store, blobs, trail."""

from __future__ import annotations

import asyncio
import base64
import json
import os

from lambdas import zipped

from stratolite.clock import World
from stratolite.server import open_cloud
from stratolite.service import Call, root

ACCOUNT = "000000000000"
PASSWORD = "Correct-horse-battery-1"
VARIABLE, PARAMETER = "environment-9f3b1c", "parameter-77d0aa"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com", "AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    ],
})  # fmt: skip
TEMPLATE = json.dumps({
    "Parameters": {"Secret": {"Type": "String", "NoEcho": True}},
    "Resources": {
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "g"}},
        "User": {"Type": "AWS::IAM::User", "Properties": {"UserName": "made"}},
        "Key": {"Type": "AWS::IAM::AccessKey", "Properties": {"UserName": {"Ref": "User"}}},
    },
})  # fmt: skip


async def fill(cloud):
    """Everything that makes a secret, and the secrets it made."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    ask = Call(cloud, root(ACCOUNT), "us-east-1", "r", cloud.endpoint).request
    await ask("iam", "CreateUser", {"UserName": "ann"})
    await ask("iam", "CreateLoginProfile", {"UserName": "ann", "Password": PASSWORD})
    key = (await ask("iam", "CreateAccessKey", {"UserName": "ann"}))["AccessKey"]
    rooted = (await ask("iam", "CreateAccessKey", {}))["AccessKey"]
    device = await ask("iam", "CreateVirtualMFADevice", {"VirtualMFADeviceName": "phone"})
    seed = device["VirtualMFADevice"]["Base32StringSeed"]
    await ask("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST})
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    session = (await ask("sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "s1"}))[
        "Credentials"
    ]
    made = {"FunctionName": "f", "Role": role, "Runtime": "python3.13", "Handler": "f.h",
            "Code": {"ZipFile": zipped("def h(e, c): pass")},
            "Environment": {"Variables": {"TOKEN": VARIABLE}}}  # fmt: skip
    await ask("lambda", "CreateFunction", made)
    await ask("lambda", "PublishVersion", {"FunctionName": "f"})
    given = [{"ParameterKey": "Secret", "ParameterValue": PARAMETER}]
    await ask("cloudformation", "CreateStack", {"StackName": "s", "TemplateBody": TEMPLATE, "Parameters": given, "Capabilities": ["CAPABILITY_NAMED_IAM"]})  # fmt: skip
    while True:
        stack = (await ask("cloudformation", "DescribeStacks", {"StackName": "s"}))["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        await asyncio.sleep(0.02)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    (listed,) = (await ask("iam", "ListAccessKeys", {"UserName": "made"}))["AccessKeyMetadata"]
    stacked = await ask("iam", "RevealAccessKey", {"AccessKeyId": listed["AccessKeyId"]})
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = certificate_of(pem)
    private = pem.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()  # fmt: skip
    await ask("iam", "UploadServerCertificate", {"ServerCertificateName": "c", "CertificateBody": certificate, "PrivateKey": private})  # fmt: skip
    keys = list(cloud.vault.ring.keys.values())
    return await fill_others(cloud, ask) | {
        "password": PASSWORD, "access key": key["SecretAccessKey"], "root key": rooted["SecretAccessKey"],
        "MFA seed": seed.decode(), "session": session["SecretAccessKey"], "token": session["SessionToken"],
        "variable": VARIABLE, "stack's key": stacked["AccessKey"]["SecretAccessKey"], "parameter": PARAMETER, "data key": keys[0], "private key": private.split("\n")[3],
        "root seal": _seal(cloud),
    }  # fmt: skip


KEPT = {  # values that services are given to keep
    "secret": "secret-1f60cc", "secure parameter": "secure-5d21b8", "API key": "connection-c0ffee",
    "password of a connection": "connection-60d5e2", "access key of an endpoint": "endpoint-8b1f0e",
    "encrypted message": "message-2ab97d", "encrypted object": "object-77c3d1",
}  # fmt: skip


async def fill_others(cloud, ask):
    """The same, of services that keep what they are given, or make keys of their own."""
    from cryptography.hazmat.primitives import serialization

    from stratolite.services.kms import lookup, state

    role = f"arn:aws:iam::{ACCOUNT}:role/to-s3"
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust = {"Statement": [allow | {"Principal": {"Service": "firehose.amazonaws.com"}}]}
    await ask(
        "iam", "CreateRole", {"RoleName": "to-s3", "AssumeRolePolicyDocument": json.dumps(trust)}
    )
    await ask("secretsmanager", "CreateSecret", {"Name": "s", "SecretString": KEPT["secret"]})
    await ask(
        "secretsmanager", "PutSecretValue", {"SecretId": "s", "SecretString": KEPT["secret"] + "-2"}
    )
    await ask(
        "ssm",
        "PutParameter",
        {"Name": "p", "Type": "SecureString", "Value": KEPT["secure parameter"]},
    )
    by_key = {"ApiKeyAuthParameters": {"ApiKeyName": "k", "ApiKeyValue": KEPT["API key"]}}
    await ask(
        "events",
        "CreateConnection",
        {"Name": "k", "AuthorizationType": "API_KEY", "AuthParameters": by_key},
    )
    by_name = {
        "BasicAuthParameters": {"Username": "u", "Password": KEPT["password of a connection"]}
    }
    await ask(
        "events",
        "CreateConnection",
        {"Name": "n", "AuthorizationType": "BASIC", "AuthParameters": by_name},
    )
    await ask("s3", "CreateBucket", {"Bucket": "kept"})
    endpoint = {
        "Url": "https://hooks.example.com/x",
        "AccessKey": KEPT["access key of an endpoint"],
    }
    to = {
        "EndpointConfiguration": endpoint,
        "S3Configuration": {"RoleARN": role, "BucketARN": "arn:aws:s3:::kept"},
    }
    await ask(
        "firehose",
        "CreateDeliveryStream",
        {"DeliveryStreamName": "h", "HttpEndpointDestinationConfiguration": to},
    )
    key = (await ask("kms", "CreateKey", {}))["KeyMetadata"]["KeyId"]
    pair = await ask("kms", "GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"})
    url = (
        await ask("sqs", "CreateQueue", {"QueueName": "q", "Attributes": {"KmsMasterKeyId": key}})
    )["QueueUrl"]
    await ask("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": KEPT["encrypted message"]})
    body = {
        "Body": KEPT["encrypted object"].encode(),
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": key,
    }
    await ask("s3", "PutObject", {"Bucket": "kept", "Key": "o", **body})
    call = Call(cloud, root(ACCOUNT), "us-east-1", "r", cloud.endpoint)
    material = await call.transact(lambda inside: state.material(inside, lookup.find(inside, key)))
    signer = cloud.service("sns").signer
    await signer.certificate("made now")
    pem = signer._key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        **KEPT,
        "key material": material,
        "data key of kms": pair["Plaintext"],
        "signing key": pem.split("\n")[3],
    }


def _seal(cloud):
    from stratolite.core.seals import Seals

    return Seals(cloud.data_folder).find(cloud.vault.cloud)[0]


def certificate_of(key):
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    name = x509.Name([])
    day = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    )
    made = made.serial_number(5).not_valid_before(day).not_valid_after(day.replace(year=2031))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def forms(secret):
    """As it is, in base64 at each of the three alignments, in digits."""
    raw = secret if isinstance(secret, bytes) else secret.encode()
    yield raw
    yield raw.hex().encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        yield coded[4 if shift else 0 : -4]


def in_clear(folder, secrets):
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                data = file.read()
            found += [
                (what, os.path.join(at, name))
                for what, secret in secrets.items()
                if any(form in data for form in forms(secret))
            ]
    return found


def filled(folder, url):
    async def main():
        cloud = await open_cloud(folder, World(), url=url)
        try:
            secrets = await fill(cloud)
            await cloud.trail.flush()
            await cloud.keeper.snapshot()
            return secrets
        finally:
            await cloud.close()

    return asyncio.run(main())


def test_no_secret_is_in_the_data_folder(tmp_path):
    """Anywhere below it, however it was coded; the same search finds what is no secret."""
    secrets = filled(str(tmp_path / "data"), None)
    assert in_clear(tmp_path / "data", secrets) == []
    assert in_clear(tmp_path / "data", {"a name": "AWS::Logs::LogGroup"}) or in_clear(tmp_path / "data", {"a user": '"UserName":"ann"'})  # fmt: skip
    assert os.stat(tmp_path / "data").st_mode & 0o777 == 0o700


def test_no_secret_is_in_the_bucket_nor_in_the_servers_own_folder(tmp_path):
    (tmp_path / "bucket").mkdir()
    secrets = filled(str(tmp_path / "data"), (tmp_path / "bucket").as_uri())
    assert in_clear(tmp_path, secrets) == []
    assert in_clear(tmp_path / "bucket", {"a user": '"UserName":"ann"'})


def test_what_services_sealed_opens_after_a_change_of_keys_and_nothing_old_is_left(tmp_path):
    """Each keeps its sealed bytes in a form of its own; the change finds them all."""
    from stratolite.server import rekey

    def in_cloud(body):
        async def main():
            cloud = await open_cloud(str(tmp_path / "data"), World())
            try:
                call = Call(cloud, root(ACCOUNT), "us-east-1", "r", cloud.endpoint)
                return await body(cloud, call.request)
            finally:
                await cloud.close()

        return asyncio.run(main())

    async def make(_, ask):
        key = (await ask("kms", "CreateKey", {}))["KeyMetadata"]["KeyId"]
        await ask("secretsmanager", "CreateSecret", {"Name": "s", "SecretString": "told to nobody"})
        await ask("ssm", "PutParameter", {"Name": "p", "Type": "SecureString", "Value": "nor this"})
        await ask("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": TRUST})
        made = {"FunctionName": "f", "Role": f"arn:aws:iam::{ACCOUNT}:role/r", "Runtime": "python3.13", "Handler": "f.h",
                "Code": {"ZipFile": zipped()}, "Environment": {"Variables": {"TOKEN": VARIABLE}}}  # fmt: skip
        await ask("lambda", "CreateFunction", made)
        return (await ask("kms", "Encrypt", {"KeyId": key, "Plaintext": b"x"}))["CiphertextBlob"]

    blob = in_cloud(make)
    assert asyncio.run(rekey(str(tmp_path / "data"))).rows_count >= 4

    async def look(cloud, ask):
        rows = cloud.db.peek(lambda tx: [value for _, value in tx.scan((b"", b"\xff"))])
        assert all(cloud.vault.resealed(value) == value for value in rows)
        old = [key for key in cloud.vault.ring.keys if key != cloud.vault.ring.current]
        for key in old:  # the old keys are gone, for all anybody needs of them
            cloud.vault.ring.keys.pop(key)
        assert (await ask("kms", "Decrypt", {"CiphertextBlob": blob}))["Plaintext"] == b"x"
        secret = await ask("secretsmanager", "GetSecretValue", {"SecretId": "s"})
        assert secret["SecretString"] == "told to nobody"
        named = {"Name": "p", "WithDecryption": True}
        assert (await ask("ssm", "GetParameter", named))["Parameter"]["Value"] == "nor this"
        function = await ask("lambda", "GetFunctionConfiguration", {"FunctionName": "f"})
        assert function["Environment"]["Variables"] == {"TOKEN": VARIABLE}

    in_cloud(look)
