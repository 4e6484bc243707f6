"""Who did what, and what was decided: the event history, and the explanation of a denial."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from stratolite.cli import why_denied
from stratolite.services.cloudtrail import state as trail_state

ME = "000000000000"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def keys_of(iam, name, *statements):
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def events(trail, **attribute):
    asked = [{"AttributeKey": k, "AttributeValue": v} for k, v in attribute.items()]
    found = trail.get_paginator("lookup_events").paginate(LookupAttributes=asked)
    return [json.loads(e["CloudTrailEvent"]) for page in found for e in page["Events"]]


def request_id(error):
    return error.value.response["ResponseMetadata"]["RequestId"]


def test_a_management_call_is_recorded_with_who_what_and_what_was_decided(client):
    iam, trail = client("iam"), client("cloudtrail")
    keys = keys_of(iam, "ann", {"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"})
    ann = client("iam", **keys)
    answer = ann.get_user(UserName="ann")
    (event,) = events(trail, EventName="GetUser")
    assert event["userIdentity"]["arn"] == f"arn:aws:iam::{ME}:user/ann"
    assert event["userIdentity"]["accessKeyId"] == keys["key"]
    assert event["eventID"] == answer["ResponseMetadata"]["RequestId"]
    assert event["requestParameters"] == {"userName": "ann"}
    assert (event["eventSource"], event["readOnly"]) == ("iam.amazonaws.com", True)
    assert event["resources"][0]["ARN"] == f"arn:aws:iam::{ME}:user/ann"
    assert event["additionalEventData"] == {"decision": "allowed", "action": "iam:GetUser"}
    with pytest.raises(ClientError):
        iam.get_user(UserName="nobody")
    assert events(trail, Username="root")[0]["errorCode"] == "NoSuchEntity"
    shown = trail.lookup_events(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "ann"}])["Events"]  # fmt: skip
    assert shown[0]["AccessKeyId"] == keys["key"]
    assert shown[0]["Resources"] == [
        {"ResourceType": "AWS::IAM::User", "ResourceName": f"arn:aws:iam::{ME}:user/ann"}
    ]


def test_data_events_are_left_out_but_a_denied_one_is_there(client):
    """Items and objects by the million are not what an event history is for; who was turned away is."""
    s3, trail = client("s3"), client("cloudtrail")
    s3.create_bucket(Bucket="bbb")
    s3.put_object(Bucket="bbb", Key="k", Body=b"x")
    eve = client("s3", **keys_of(client("iam"), "eve"))
    with pytest.raises(ClientError) as refused:
        eve.get_object(Bucket="bbb", Key="k")
    names = [(e["eventName"], e["additionalEventData"]["decision"]) for e in events(trail, EventSource="s3.amazonaws.com")]  # fmt: skip
    assert names == [("GetObject", "denied"), ("CreateBucket", "allowed")]
    (event,) = events(trail, EventId=request_id(refused))
    assert event["eventCategory"] == "Data"
    assert event["errorCode"] == "AccessDenied"


def test_a_page_goes_on_where_the_last_one_ended_and_old_events_are_gone(
    client, platform, monkeypatch
):
    """Newest first; 90 days of the cloud clock, and at most so many bytes, whatever is stored."""
    iam, trail = client("iam"), client("cloudtrail")
    for number in range(7):
        iam.create_user(UserName=f"u{number}")
    asked = {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}], "MaxResults": 3}  # fmt: skip
    monkeypatch.setattr(trail_state, "TRAIL_LOOKED_AT_COUNT_MAX", 2)
    found, token = [], {}
    while True:
        page = trail.lookup_events(**asked, **token)
        found += [
            json.loads(e["CloudTrailEvent"])["requestParameters"]["userName"]
            for e in page["Events"]
        ]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == [f"u{n}" for n in reversed(range(7))]
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        trail.lookup_events(NextToken=token["NextToken"])
    platform.loop.call_soon_threadsafe(platform.world.set_cloud_offset, 91 * 86_400.0)
    iam.create_user(UserName="late")
    assert [e["requestParameters"]["userName"] for e in events(trail, EventName="CreateUser")] == [
        "late"
    ]
    monkeypatch.setattr(trail_state, "TRAIL_SIZE_BYTES_MAX", 3000)
    for number in range(40):
        iam.get_user(UserName=f"u{number % 7}")
    trail.lookup_events()
    place = trail_state.Place(ME, "us-east-1").keys

    def stored(tx):
        return sum(len(raw) for _, raw in tx.scan(place.span("event")))

    for _ in range(4):  # each batch of new ones takes twice as many old ones with it
        iam.get_user(UserName="u1")
        trail.lookup_events()
    assert platform.run(platform.cloud.db.transact(stored)) < 8000


def test_no_secret_gets_into_the_trail(client, platform):
    """What AWS marks as sensitive is hidden; so are codes, tokens and passwords."""
    iam, trail = client("iam"), client("cloudtrail")
    iam.create_user(UserName="ann")
    iam.create_login_profile(UserName="ann", Password="Pa55-the-salt!")
    iam.create_access_key(UserName="ann")
    client("logs").create_log_group(logGroupName="g", tags={"password": "tagged-secret"})
    with pytest.raises(ClientError):
        client("lambda").create_function(
            FunctionName="f", Role=f"arn:aws:iam::{ME}:role/none", Code={"ZipFile": b"PK"}, Handler="a.b",
            Runtime="python3.12", Environment={"Variables": {"TOKEN": "do-not-tell"}},
        )  # fmt: skip
    text = json.dumps(events(trail))
    assert "HIDDEN_DUE_TO_SECURITY_REASONS" in text
    for secret in ("Pa55", "do-not-tell", "tagged-secret", "SecretAccessKey"):
        assert secret not in text


def test_the_trail_is_of_the_account_and_region_and_of_both_when_one_reaches_into_another(client):
    here, there = "111111111111", "222222222222"
    trust = {"Effect": "Allow", "Principal": {"AWS": here}, "Action": "sts:AssumeRole"}
    client("iam", account=there).create_role(RoleName="r", AssumeRolePolicyDocument=policy(trust))
    client("sts", account=here).assume_role(
        RoleArn=f"arn:aws:iam::{there}:role/r", RoleSessionName="s1"
    )
    both = [events(client("cloudtrail", account=a), EventName="AssumeRole") for a in (here, there)]
    assert [len(found) for found in both] == [1, 1]
    assert both[0][0]["sharedEventID"] == both[1][0]["sharedEventID"]
    assert [found[0]["recipientAccountId"] for found in both] == [here, there]
    assert events(client("cloudtrail", account=here), EventName="CreateRole") == []
    elsewhere = client("cloudtrail", account=there, region="eu-west-1")
    assert events(elsewhere, EventName="CreateRole") == []


def test_the_history_survives_a_restart(client, platform):
    client("iam").create_user(UserName="ann")
    platform.reopen()
    assert len(events(client("cloudtrail"), EventName="CreateUser")) == 1


def test_a_denied_request_is_explained_statement_by_statement_by_its_id(client):
    """With the policies and condition keys it met; whoever may decode it may read it, another account may not."""
    iam = client("iam")
    s3 = client("s3")
    s3.create_bucket(Bucket="bbb")
    s3.put_bucket_policy(Bucket="bbb", Policy=policy(
        {"Sid": "Others", "Effect": "Allow", "Principal": {"AWS": "222222222222"}, "Action": "s3:*", "Resource": "arn:aws:s3:::bbb/*"},
    ))  # fmt: skip
    keys = keys_of(
        iam, "eve",
        {"Sid": "Write", "Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"},
        {"Sid": "Other", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::other/*"},
        {"Sid": "Home", "Effect": "Allow", "Action": "s3:Get*", "Resource": "*",
         "Condition": {"StringEquals": {"aws:username": "adam"}}},
    )  # fmt: skip
    with pytest.raises(ClientError) as refused:
        client("s3", **keys).get_object(Bucket="bbb", Key="k")
    found = why_denied._of_request(client, request_id(refused))
    said = list(why_denied.lines(found))
    assert said[0] == (
        f"arn:aws:iam::{ME}:user/eve: s3:GetObject on arn:aws:s3:::bbb/k: denied because no identity-based policy allows"
        " the s3:GetObject action"
    )
    assert "    statement Write Allow: its action is s3:PutObject" in said
    assert "    statement Other Allow: its resource is arn:aws:s3:::other/*" in said
    assert (
        "    statement Home Allow: its condition StringEquals aws:username wants adam, the request has eve"
        in said
    )
    assert "    statement Others Allow: its principal is not the caller but 222222222222" in said
    assert any(line.startswith("    aws:sourceip = ") for line in said)
    message = json.loads(
        client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "EventId", "AttributeValue": request_id(refused)}])["Events"][0]["CloudTrailEvent"]
    )["additionalEventData"]["encodedAuthorizationMessage"]  # fmt: skip
    with pytest.raises(ClientError, match="InvalidAuthorizationMessageException"):
        client("sts", account="333333333333").decode_authorization_message(EncodedMessage=message)
    with pytest.raises(ClientError, match="InvalidAuthorizationMessageException"):
        client("sts").decode_authorization_message(EncodedMessage="bm90IG91cnM=")
    with pytest.raises(ClientError, match="sts:DecodeAuthorizationMessage"):
        client("sts", **keys).decode_authorization_message(EncodedMessage=message)


def test_what_would_be_decided_is_explained_with_boundary_and_resource_policy(client):
    iam = client("iam")
    keys_of(iam, "ann", {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"})
    arn = f"arn:aws:iam::{ME}:user/ann"

    def said(action, resource):
        return list(why_denied.lines(why_denied._would_be(client, arn, action, resource, {})))

    assert "allowed by identity-based policy" in said("s3:GetObject", "arn:aws:s3:::bbb/k")[0]
    iam.put_user_permissions_boundary(
        UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/AWSLambda_FullAccess"
    )
    lines = said("s3:GetObject", "arn:aws:s3:::bbb/k")
    assert "denied because no permissions boundary allows" in lines[0]
    assert "  arn:aws:iam::aws:policy/AWSLambda_FullAccess (boundary)" in lines
    client("s3").create_bucket(Bucket="bbb")
    client("s3").put_bucket_policy(Bucket="bbb", Policy=policy(
        {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bbb/*"},
    ))  # fmt: skip
    lines = said("s3:GetObject", "arn:aws:s3:::bbb/k")
    assert "with an explicit deny in a resource-based policy" in lines[0]
    assert "    statement No Deny: covers this" in lines
