"""What is remembered of a principal is void with the first change: policy, key, role, session.

Each caller asks twice before the change, so that it is known on the short way and its decision is kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import pytest
from botocore.exceptions import ClientError
from clientside import Wire, noted
from conftest import to_http

from stratolite.clock import SeededWorld

ALLOW = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"}],
}
DENY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": ["dynamodb:*", "s3:*"], "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def world():
    """Ten minutes behind the clock that requests are signed by, so that it can be moved without being skewed."""
    return SeededWorld(1, time.time() - 600)


@pytest.fixture
def people(client):
    iam = client("iam")
    client("dynamodb").create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"x")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    return iam


def asking(platform, client, call, **keys):
    """A function: the status of ``call(service client)`` sent again, over one kept connection."""
    service, ask = call
    sent = []
    made = client(service, **keys)

    def record(request, **_):
        sent.append(to_http(request))
        raise InterruptedError

    made.meta.events.register_first("before-send", record)
    wire = Wire(platform)

    def status() -> int:
        sent.clear()
        with pytest.raises(InterruptedError):
            ask(made)
        return wire.ask(sent[0])[0]

    return status


CALLS = {
    "dynamodb": ("dynamodb", lambda db: db.get_item(TableName="table", Key={"k": {"S": "a"}})),
    "s3": ("s3", lambda s3: s3.get_object(Bucket="bucket", Key="k")),
}


@pytest.fixture(params=CALLS)
def call(request):
    return CALLS[request.param]


def key_of(iam) -> dict[str, str]:
    made = iam.create_access_key(UserName="ann")["AccessKey"]
    return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def session_of(client, keys, **options) -> dict[str, str]:
    made = client("sts", **keys).assume_role(
        RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="session", **options
    )["Credentials"]
    return {
        "key": made["AccessKeyId"],
        "secret": made["SecretAccessKey"],
        "token": made["SessionToken"],
    }


CHANGES = {
    "the policy goes": (lambda iam, _: iam.delete_user_policy(UserName="ann", PolicyName="p"), 403),
    "another denies": (
        lambda iam, _: iam.put_user_policy(
            UserName="ann", PolicyName="q", PolicyDocument=json.dumps(DENY)
        ),
        403,
    ),
    "a managed policy denies": (
        lambda iam, _: iam.attach_user_policy(
            UserName="ann",
            PolicyArn=iam.create_policy(PolicyName="d", PolicyDocument=json.dumps(DENY))["Policy"][
                "Arn"
            ],
        ),
        403,
    ),
    "the key goes": (
        lambda iam, key: iam.delete_access_key(UserName="ann", AccessKeyId=key),
        403,
    ),
    "the key is inactive": (
        lambda iam, key: iam.update_access_key(UserName="ann", AccessKeyId=key, Status="Inactive"),
        403,
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_a_user_takes_effect_at_once(
    platform, client, people, call, change, monkeypatch
) -> None:
    keys = key_of(people)
    short = noted(monkeypatch)
    status = asking(platform, client, call, **keys)
    assert [status(), status(), status()] == [200, 200, 200]
    assert short == [False, True, True]
    change[0](people, keys["key"])
    assert status() in (400, change[1])
    assert status() in (400, change[1])


def test_a_role_that_loses_its_policy_may_no_more(platform, client, people, call) -> None:
    status = asking(platform, client, call, **session_of(client, key_of(people)))
    assert [status(), status(), status()] == [200, 200, 200]
    people.delete_role_policy(RoleName="r", PolicyName="p")
    assert status() in (400, 403)


def test_a_role_that_is_gone_may_no_more(platform, client, people, call) -> None:
    status = asking(platform, client, call, **session_of(client, key_of(people)))
    assert [status(), status(), status()] == [200, 200, 200]
    people.delete_role_policy(RoleName="r", PolicyName="p")
    people.delete_role(RoleName="r")
    people.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    people.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(ALLOW))
    assert status() in (400, 403)  # the session is the old role's


def test_a_policy_of_the_bucket_is_asked_from_the_next_call_on(platform, client, people) -> None:
    status = asking(platform, client, CALLS["s3"], **key_of(people))
    assert [status(), status(), status()] == [200, 200, 200]
    statement = {
        **DENY["Statement"][0],
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::bucket/*",
    }
    client("s3").put_bucket_policy(
        Bucket="bucket", Policy=json.dumps({**DENY, "Statement": [statement]})
    )
    assert status() == 403


TOPIC = "arn:aws:sns:us-east-1:000000000000:topic"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/stream"
OWNED = {  # (made, asked, given a policy)
    "sns": (
        lambda sns: sns.create_topic(Name="topic"),
        lambda sns: sns.publish(TopicArn=TOPIC, Message="m"),
        lambda sns, deny: sns.set_topic_attributes(
            TopicArn=TOPIC, AttributeName="Policy", AttributeValue=deny("sns:Publish", TOPIC)
        ),
    ),
    "kinesis": (
        lambda kinesis: kinesis.create_stream(StreamName="stream", ShardCount=1),
        lambda kinesis: kinesis.describe_stream_summary(StreamName="stream"),
        lambda kinesis, deny: kinesis.put_resource_policy(
            ResourceARN=STREAM, Policy=deny("kinesis:DescribeStreamSummary", STREAM)
        ),
    ),
}


@pytest.mark.parametrize("service", OWNED)
def test_a_policy_of_a_topic_or_stream_is_asked_from_the_next_call_on(
    platform, client, people, service
) -> None:
    """What was remembered by its name is remembered only as long as no policy but IAM's has a say."""
    made, asked, given = OWNED[service]
    made(client(service))
    people.put_user_policy(
        UserName="ann",
        PolicyName="q",
        PolicyDocument=json.dumps(
            {**ALLOW, "Statement": [{**ALLOW["Statement"][0], "Action": "*"}]}
        ),
    )

    def deny(action: str, resource: str) -> str:
        user = "arn:aws:iam::000000000000:user/ann"
        statement = {
            "Effect": "Deny",
            "Principal": {"AWS": user},
            "Action": action,
            "Resource": resource,
        }
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    status = asking(platform, client, (service, asked), **key_of(people))
    assert [status(), status(), status()] == [200, 200, 200]
    given(client(service), deny)
    assert status() in (400, 403)
    people.delete_user_policy(UserName="ann", PolicyName="q")
    assert status() in (400, 403)


def test_what_a_condition_decides_is_asked_every_time(platform, client, people, world) -> None:
    """The time is no part of what a kept answer is kept by."""
    until = {**ALLOW["Statement"][0]}
    until["Condition"] = {
        "NumericLessThan": {"aws:EpochTime": str(int(world.wall()) + 3600)},
    }
    people.put_user_policy(
        UserName="ann", PolicyName="p", PolicyDocument=json.dumps({**ALLOW, "Statement": [until]})
    )
    status = asking(platform, client, CALLS["dynamodb"], **key_of(people))
    assert [status(), status(), status()] == [200, 200, 200]
    world.set_cloud_offset(7200.0)
    assert status() == 400


def test_a_session_that_ends_is_over_at_once(platform, client, people, call) -> None:
    keys = session_of(client, key_of(people), DurationSeconds=900)
    status = asking(platform, client, call, **keys)
    assert [status(), status()] == [200, 200]
    platform.loop.call_soon_threadsafe(platform.world.advance, 895)
    platform.run(asyncio.sleep(0))
    assert status() == 200
    platform.loop.call_soon_threadsafe(platform.world.advance, 10)
    platform.run(asyncio.sleep(0))
    assert status() in (400, 403)


def error_of(ask, **request) -> str:
    try:
        ask(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_what_is_remembered_of_a_bucket_is_no_more_than_the_policies_say(client, people) -> None:
    """The decision is kept for all objects where no statement tells them apart, and for a first folder likewise."""
    root = client("s3")
    names = ("k", "open/1", "open/2", "open/shut/1", "own/ann/1", "own/bob/1", "other/1")
    for name in names:
        root.put_object(Bucket="bucket", Key=name, Body=b"x")
    get = {"Effect": "Allow", "Action": "s3:GetObject"}
    bucket = "arn:aws:s3:::bucket"
    cases = (
        ([get | {"Resource": f"{bucket}/open/*"}], {"open/1", "open/2", "open/shut/1"}),
        ([get | {"Resource": f"{bucket}/*"}, {"Effect": "Deny", "Action": "s3:Get*", "Resource": f"{bucket}/open/shut/*"}],
         set(names) - {"open/shut/1"}),
        ([get | {"Resource": f"{bucket}/*/1"}], {"open/1", "open/shut/1", "own/ann/1", "own/bob/1", "other/1"}),
        ([get | {"Resource": f"{bucket}/own/${{aws:username}}/*"}], {"own/ann/1"}),
        ([{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": f"{bucket}/open/*"}],
         {"k", "own/ann/1", "own/bob/1", "other/1"}),
        ([get | {"Resource": f"{bucket}?k"}], {"k"}),
    )  # fmt: skip
    keys = client("s3", **key_of(people))
    for statements, wanted in cases:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        people.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)
        for order in (names, names[::-1], names):
            said = {n: error_of(keys.get_object, Bucket="bucket", Key=n) for n in order}
            assert said == {n: "" if n in wanted else "AccessDenied" for n in names}, statements


def test_what_is_remembered_is_of_one_action_region_and_table(client, people) -> None:
    """A request that needs more than its operation's own action is asked about the rest."""
    client("s3").put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    version = client("s3").put_object(Bucket="bucket", Key="k", Body=b"x")["VersionId"]
    for region, name in (("eu-west-1", "table"), ("us-east-1", "table2")):
        client("dynamodb", region=region).create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/table"
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"},
        {"Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query"], "Resource": table},
    ]
    people.put_user_policy(
        UserName="ann",
        PolicyName="p",
        PolicyDocument=json.dumps({**ALLOW, "Statement": statements}),
    )
    keys = key_of(people)
    s3, key = client("s3", **keys), {"k": {"S": "a"}}
    here, there = client("dynamodb", **keys), client("dynamodb", region="eu-west-1", **keys)
    get, put = (partial(f, Bucket="bucket", Key="k") for f in (s3.get_object, s3.put_object))
    query = partial(here.query, KeyConditionExpression="k = :k", ExpressionAttributeValues={":k": {"S": "a"}})  # fmt: skip
    for _ in range(3):
        assert [error_of(get), error_of(put), error_of(query, TableName="table")] == [""] * 3
        assert error_of(get, VersionId=version) == "AccessDenied"
        assert error_of(put, Tagging="a=b") == "AccessDenied"
        assert error_of(put, ACL="public-read") == "AccessDenied"
        assert error_of(s3.delete_object, Bucket="bucket", Key="k") == "AccessDenied"
        assert error_of(here.get_item, TableName="table", Key=key) == ""
        assert error_of(here.get_item, TableName="table2", Key=key) == "AccessDeniedException"
        assert error_of(there.get_item, TableName="table", Key=key) == "AccessDeniedException"
        assert error_of(query, TableName="table", IndexName="index") == "AccessDeniedException"
