"""Buckets and their configuration: names, places, owners, and what may be set on them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from stratolite.http import HttpRequest


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="one")
    return "one"


def refused(call, **request):
    """(code, status) of the error a call must end with."""
    with pytest.raises(ClientError) as error:
        call(**request)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def policy(*, principal="*", action="s3:GetObject", resource="arn:aws:s3:::one/*", **more):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement | more]})


OPEN = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["Abc", "a_b", "abc.", "-abc", "a..b", "192.168.5.4", "xn--abc", "abc-s3alias", "abc--ol-s3"],
)
def test_a_bucket_name_follows_the_rules(client, name):
    """boto3 checks some itself, so the request is made past its checks."""
    s3 = client("s3")
    s3.meta.events.unregister("before-parameter-build.s3", None)
    code, status = refused(s3.create_bucket, Bucket=name)
    assert (code, status) == ("InvalidBucketName", 400)


def test_a_bucket_is_where_it_was_made(client):
    here, there = client("s3"), client("s3", region="eu-west-1")
    here.create_bucket(Bucket="here")
    there.create_bucket(
        Bucket="there", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert here.get_bucket_location(Bucket="here")["LocationConstraint"] is None
    assert here.get_bucket_location(Bucket="there")["LocationConstraint"] == "eu-west-1"
    assert here.head_bucket(Bucket="there")["BucketRegion"] == "eu-west-1"
    assert refused(there.create_bucket, Bucket="third")[0] == "IllegalLocationConstraintException"
    for name in ("us-east-1", "xx-nowhere-9", "cn-north-1"):
        wrong = {"LocationConstraint": name}
        assert refused(here.create_bucket, Bucket="third", CreateBucketConfiguration=wrong)[0] == (
            "InvalidLocationConstraint"
        )
    china = client("s3", region="cn-north-1")  # a partition of its own
    china.create_bucket(
        Bucket="china", CreateBucketConfiguration={"LocationConstraint": "cn-north-1"}
    )


def test_a_name_is_taken_for_everybody(client, s3, bucket):
    assert s3.create_bucket(Bucket=bucket)["Location"] == "/one"  # us-east-1 answers 200 again
    other = client("s3", account="111111111111")
    assert refused(other.create_bucket, Bucket=bucket) == ("BucketAlreadyExists", 409)
    eu = client("s3", region="eu-west-1")
    constraint = {"LocationConstraint": "eu-west-1"}
    eu.create_bucket(Bucket="eub", CreateBucketConfiguration=constraint)
    assert refused(eu.create_bucket, Bucket="eub", CreateBucketConfiguration=constraint) == (
        "BucketAlreadyOwnedByYou",
        409,
    )


def test_only_an_empty_bucket_can_be_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert refused(s3.head_bucket, Bucket=bucket) == ("404", 404)
    assert refused(s3.delete_bucket, Bucket=bucket) == ("NoSuchBucket", 404)


def test_buckets_are_listed_page_by_page_and_by_prefix(client, s3):
    for name in ("aa1", "aa2", "ab1", "b11"):
        s3.create_bucket(Bucket=name)
    client("s3", account="111111111111").create_bucket(Bucket="aa3")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["aa1", "aa2", "ab1", "b11"]
    seen, token = [], {}
    for _ in range(3):
        page = s3.list_buckets(MaxBuckets=1, Prefix="a", **token)
        seen += [b["Name"] for b in page["Buckets"]]
        token = {"ContinuationToken": page.get("ContinuationToken", "")}
    assert (seen, token) == (["aa1", "aa2", "ab1"], {"ContinuationToken": ""})


def test_another_owner_than_expected_is_denied(s3, bucket):
    assert refused(s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="1" * 12) == (
        "AccessDenied",
        403,
    )
    s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="0" * 12)


def test_a_new_bucket_is_closed_to_the_public(s3, bucket):
    """As AWS makes them since April 2023."""
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read")[0] == (
        "AccessControlListNotSupported"
    )
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=policy()) == ("AccessDenied", 403)
    grants = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert [g["Permission"] for g in grants] == ["FULL_CONTROL"]


def test_configuration_never_set_is_answered_as_aws_does(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for call, code in (
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_policy_status, "NoSuchBucketPolicy"),
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
    ):
        assert refused(call, Bucket=bucket) == (code, 404)
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_mfa_delete_is_refused_by_name(s3, bucket):
    wanted = {"Status": "Enabled", "MFADelete": "Enabled"}
    got = refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=wanted)
    assert got == ("NotImplemented", 501)
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_configuration_set_is_given_back_and_can_be_unset(s3, bucket, platform):
    website = {
        "IndexDocument": {"Suffix": "index.html"},
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [
            {"Condition": {"KeyPrefixEquals": "a/"}, "Redirect": {"ReplaceKeyPrefixWith": "b/"}}
        ],
    }
    cors = [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://*.example.com"], "MaxAgeSeconds": 5}
    ]
    tags = [{"Key": "team", "Value": "x"}]
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": cors})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    platform.reopen()
    got = s3.get_bucket_website(Bucket=bucket)
    assert {k: got[k] for k in website} == website
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_website(Bucket=bucket)
    s3.delete_bucket_cors(Bucket=bucket)
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_website, Bucket=bucket)[0] == "NoSuchWebsiteConfiguration"
    assert refused(s3.get_bucket_cors, Bucket=bucket)[0] == "NoSuchCORSConfiguration"
    assert refused(s3.get_bucket_tagging, Bucket=bucket)[0] == "NoSuchTagSet"


@pytest.mark.parametrize(
    "wrong",
    [
        "not json",
        "[]",
        policy(resource="arn:aws:s3:::other/*"),
        policy(action="dynamodb:PutItem"),
        json.dumps({"Version": "2012-10-17", "Statement": []}),
        json.dumps(
            {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::one"}]}
        ),
    ],
)
def test_a_malformed_policy_is_refused(s3, bucket, wrong):
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=wrong) == ("MalformedPolicy", 400)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        (policy(), True),
        (policy(principal={"AWS": "111111111111"}), False),
        (policy(principal={"AWS": ["111111111111", "*"]}), True),
        (policy(principal={"Service": "lambda.amazonaws.com"}), False),
        (policy(Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), False),
        (policy(Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), True),
        (policy(Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}), True),
        (policy(Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), True),
        (policy(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), False),
        (policy(Condition={"StringLike": {"aws:PrincipalArn": "*"}}), True),
        (policy(Condition={"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}), True),
        (policy(Condition={"StringEquals": {"aws:UserAgent": "x"}}), True),
    ],
)
def test_a_policy_is_public_by_aws_s_meaning(s3, bucket, text, public):
    """The examples of the Block Public Access page."""
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is public
    closed = OPEN | {"BlockPublicPolicy": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    if public:
        assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=text) == ("AccessDenied", 403)
    else:
        s3.put_bucket_policy(Bucket=bucket, Policy=text)


def anonymous(platform, method, path, headers=None):
    sent = {"host": "localhost:4566", **(headers or {})}
    return platform.send(HttpRequest(method, path, "", sent, b""))


def test_the_public_gets_what_the_policy_gives_and_no_more(s3, bucket, platform):
    s3.put_object(Bucket=bucket, Key="k", Body=b"open")
    assert anonymous(platform, "GET", "/one/k")[0] == 403
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())
    assert anonymous(platform, "GET", "/one/k")[::2] == (200, b"open")
    assert anonymous(platform, "GET", "/one/missing")[0] == 403  # who may not list learns nothing
    assert anonymous(platform, "GET", "/one")[0] == 403
    assert anonymous(platform, "PUT", "/one/k")[0] == 403
    assert anonymous(platform, "GET", "/nosuch/k")[0] == 404
    listed = policy(action="s3:ListBucket", resource="arn:aws:s3:::one")
    both = json.loads(policy())
    both["Statement"] += json.loads(listed)["Statement"]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(both))
    assert anonymous(platform, "GET", "/one/missing")[0] == 404
    restricted = OPEN | {"RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=restricted)
    assert anonymous(platform, "GET", "/one/k")[0] == 403
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"open"


def test_a_public_acl_opens_one_object_where_acls_are_allowed(s3, bucket, platform):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    assert (
        refused(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read")[0] == "AccessDenied"
    )
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    s3.put_object(Bucket=bucket, Key="open", Body=b"y", ACL="public-read")
    assert anonymous(platform, "GET", "/one/open")[0] == 200
    assert anonymous(platform, "GET", "/one/k")[0] == 403
    assert len(s3.get_object_acl(Bucket=bucket, Key="open")["Grants"]) == 2
    ignored = OPEN | {"IgnorePublicAcls": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=ignored)
    assert anonymous(platform, "GET", "/one/open")[0] == 403


def test_another_account_needs_the_bucket_s_policy(client, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    other = client("s3", account="111111111111")
    assert refused(other.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(principal={"AWS": "111111111111"}))
    assert other.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert refused(other.put_object, Bucket=bucket, Key="k", Body=b"y") == ("AccessDenied", 403)
    other.create_bucket(Bucket="theirs")
    assert (
        refused(s3.copy_object, Bucket="theirs", Key="k", CopySource="one/k")[0] == "AccessDenied"
    )
    other.copy_object(Bucket="theirs", Key="k", CopySource="one/k")


def test_deleting_many_asks_iam_for_each_key(client, s3, bucket):
    for key in ("mine/1", "yours/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=policy(
            principal={"AWS": "111111111111"},
            action="s3:DeleteObject",
            resource="arn:aws:s3:::one/mine/*",
        ),
    )
    other = client("s3", account="111111111111")
    answer = other.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "mine/1"}, {"Key": "yours/1"}]}
    )
    assert [d["Key"] for d in answer["Deleted"]] == ["mine/1"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("yours/1", "AccessDenied")]
    assert [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["yours/1"]


def test_a_web_page_of_an_allowed_origin_may_ask(s3, bucket, platform):
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    asked = {
        "origin": "https://a.example.com",
        "access-control-request-method": "GET",
        "access-control-request-headers": "x-amz-meta-a, range",
    }
    assert anonymous(platform, "OPTIONS", "/one/k", asked)[0] == 403
    rules = [
        {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]},
        {
            "AllowedMethods": ["GET", "HEAD"],
            "AllowedOrigins": ["https://*.example.com"],
            "AllowedHeaders": ["x-amz-*", "Range"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 60,
        },
    ]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    status, headers, _ = anonymous(platform, "OPTIONS", "/one/k", asked)
    found = dict(headers)
    assert status == 200
    assert found["Access-Control-Allow-Origin"] == "https://a.example.com"
    assert found["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert found["Access-Control-Allow-Headers"] == "x-amz-meta-a, range"
    assert (found["Access-Control-Max-Age"], found["Access-Control-Expose-Headers"]) == (
        "60",
        "ETag",
    )
    assert (
        anonymous(platform, "OPTIONS", "/one/k", asked | {"origin": "https://evil.org"})[0] == 403
    )
    unasked = asked | {"access-control-request-headers": "authorization"}
    assert anonymous(platform, "OPTIONS", "/one/k", unasked)[0] == 403
    status, headers, body = anonymous(
        platform, "GET", "/one/k", {"origin": "https://a.example.com"}
    )
    assert (status, body) == (200, b"x")
    assert dict(headers)["Access-Control-Allow-Origin"] == "https://a.example.com"
    _, headers, _ = anonymous(platform, "GET", "/one/k", {"origin": "https://evil.org"})
    assert "Access-Control-Allow-Origin" not in dict(headers)


@pytest.mark.parametrize(
    "rule",
    [
        {"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://*.*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["x-*"]},
    ],
)
def test_a_wrong_cors_rule_is_refused(s3, bucket, rule):
    assert refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [rule]}) == (
        "InvalidRequest",
        400,
    )


def test_a_key_that_is_not_utf_8_is_no_key(platform, bucket):
    """What ceph/s3-tests meant with ``\\xae\\x8a-`` when its texts were bytes; as text it is a key like any other."""
    bad = HttpRequest("GET", f"/{bucket}/%AE%8A-", "", {"host": "localhost"}, b"")
    status, _, said = platform.send(bad)
    assert (status, b"<Code>InvalidURI</Code>" in said) == (400, True)
    assert b"Couldn't parse the specified URI." in said.replace(b"&#39;", b"'")


def user(client, *statements, name="u", **config):
    """An S3 client of a new IAM user with these statements."""
    iam = client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"], **config)


def test_a_user_may_do_what_their_policy_says(client, s3, bucket):
    """Actions on keys, conditions on prefixes, tags and headers, both ends of a copy."""
    them = user(
        client,
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::one/home/*"},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::one",
            "Condition": {"StringLike": {"s3:prefix": "home/*"}},
        },
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": "*",
            "Condition": {"StringEquals": {"s3:ExistingObjectTag/Open": "yes"}},
        },
        {
            "Effect": "Deny",
            "Action": "s3:PutObject",
            "Resource": "*",
            "Condition": {"StringNotEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}},
        },
    )
    s3.put_object(Bucket=bucket, Key="other/open", Body=b"o", Tagging="Open=yes")
    s3.put_object(Bucket=bucket, Key="other/closed", Body=b"c")
    denied = ("AccessDenied", 403)
    assert refused(them.put_object, Bucket=bucket, Key="home/k", Body=b"x") == denied
    them.put_object(Bucket=bucket, Key="home/k", Body=b"x", StorageClass="STANDARD_IA")
    assert them.get_object(Bucket=bucket, Key="home/k")["Body"].read() == b"x"
    assert them.get_object(Bucket=bucket, Key="other/open")["Body"].read() == b"o"
    assert refused(them.get_object, Bucket=bucket, Key="other/closed") == denied
    # who may list what begins like it learns that it is missing (ceph/s3-tests, head_object_404_with_policy_prefix)
    assert refused(them.get_object, Bucket=bucket, Key="home/missing") == ("NoSuchKey", 404)
    assert refused(them.get_object, Bucket=bucket, Key="other/missing") == denied
    lister = user(
        client,
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::one",
            "Condition": {"StringLike": {"s3:prefix": "home/*"}},
        },
        name="lister",
    )
    assert refused(lister.head_object, Bucket=bucket, Key="home/missing") == ("404", 404)
    assert refused(lister.head_object, Bucket=bucket, Key="home/k") == ("403", 403)
    assert refused(lister.head_object, Bucket=bucket, Key="other/missing") == ("403", 403)
    assert them.list_objects_v2(Bucket=bucket, Prefix="home/")["KeyCount"] == 1
    assert refused(them.list_objects_v2, Bucket=bucket) == denied
    assert refused(them.list_objects_v2, Bucket=bucket, Prefix="other/") == denied
    copy = {"Bucket": bucket, "Key": "home/c", "StorageClass": "STANDARD_IA"}
    them.copy_object(**copy, CopySource="one/other/open", TaggingDirective="REPLACE")
    assert refused(them.copy_object, **copy, CopySource="one/other/closed") == denied
    assert refused(them.list_buckets) == denied
    assert refused(them.create_bucket, Bucket="two") == denied


def test_nobody_uploads_into_nothing(platform):
    """A body for a bucket that is not there is refused before it is read."""
    from conftest import Arriving

    read = 0

    class Watched(Arriving):
        async def __aiter__(self):
            nonlocal read
            async for piece in super().__aiter__():
                read += len(piece)
                yield piece

    body = Watched(b"x" * 1_000_000)
    headers = {"host": "localhost:4566", "content-length": "1000000"}
    status, _, answer = platform.send(HttpRequest("PUT", "/nosuch/k", "", headers, body))
    assert (status, read) == (404, 0)
    assert b"NoSuchBucket" in answer


def test_the_public_lists_no_buckets_and_makes_none(s3, bucket, platform):
    assert anonymous(platform, "GET", "/")[0] == 403
    assert anonymous(platform, "PUT", "/mine-now")[0] == 403
    assert anonymous(platform, "DELETE", "/one")[0] == 403


def test_a_policy_that_shuts_out_everybody_can_be_taken_back(client, s3, bucket):
    """By root of the owner, and by nobody else."""
    everything = ["arn:aws:s3:::one", "arn:aws:s3:::one/*"]
    shut = json.loads(policy(action="s3:*", resource=everything))
    shut["Statement"][0]["Effect"] = "Deny"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(shut))
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    assert refused(s3.delete_bucket, Bucket=bucket) == ("AccessDenied", 403)
    them = user(client, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    assert refused(them.delete_bucket_policy, Bucket=bucket) == ("AccessDenied", 403)
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_another_account_never_writes_the_policy(client, s3, bucket):
    other = client("s3", account="111111111111")
    theirs = policy(principal={"AWS": "111111111111"}, action="s3:*", resource="arn:aws:s3:::one")
    s3.put_bucket_policy(Bucket=bucket, Policy=theirs)
    other.list_objects_v2(Bucket=bucket)
    assert refused(other.put_bucket_policy, Bucket=bucket, Policy=theirs) == (
        "MethodNotAllowed",
        405,
    )
    assert refused(other.delete_bucket_policy, Bucket=bucket) == ("MethodNotAllowed", 405)


@pytest.mark.parametrize(
    "target",
    [
        "/%FF%FE/k",
        "/one/%FF",
        "/one/%ED%A0%80",
        "/" + "x" * 5000,
        "/one/" + "x" * 5000,
        "/one?list-type=2&prefix=%FF",
        "/one?list-type=2&prefix=" + "p" * 5000,
        "/one?list-type=2&start-after=%00&delimiter=%00",
        "/one?list-type=2&max-keys=abc",
        "/one?list-type=2&max-keys=99999999999999999999",
        "/one?uploads&key-marker=a&upload-id-marker=" + "u" * 5000,
        "/one/k?uploadId=" + "u" * 5000,
        "/one/k?uploadId=u&part-number-marker=x",
        "/one/k?partNumber=0",
        "/one/k?versionId=..",
        "/one?website=x&website=y",
        "//",
        "/one//",
        "/_aws/s3-website/one/%FF",
        "/_aws/s3-website/%FF/",
    ],
)
def test_odd_requests_get_an_answer_not_a_crash(s3, bucket, platform, target):
    """Signed as root, so that they reach the operations."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    website = {"IndexDocument": {"Suffix": "index.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    for method in ("GET", "HEAD", "DELETE", "PUT", "POST"):
        request = AWSRequest(
            method, "http://localhost:4566" + target, headers={"Host": "localhost:4566"}
        )
        S3SigV4Auth(s3._request_signer._credentials, "s3", "us-east-1").add_auth(request)
        path, _, query = target.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, _, _ = platform.send(HttpRequest(method, path, query, headers, b""))
        assert status not in (500, 503), (method, target)


DOCUMENTS = [
    b"",
    b"<a/>",
    b"<WebsiteConfiguration/>",
    b"<WebsiteConfiguration><IndexDocument/></WebsiteConfiguration>",
    b"<WebsiteConfiguration><RedirectAllRequestsTo/></WebsiteConfiguration>",
    b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules><RoutingRule/></RoutingRules></WebsiteConfiguration>",
    b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules><RoutingRule><Condition/><Redirect><Protocol>x</Protocol></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
    b"<CORSConfiguration/>",
    b"<CORSConfiguration><CORSRule/></CORSConfiguration>",
    b"<Tagging/>",
    b"<Tagging><TagSet><Tag/></TagSet></Tagging>",
    b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
    b"<Delete/>",
    b"<Delete><Object/></Delete>",
    b"<Delete><Object><Key></Key></Object></Delete>",
    b"<CompleteMultipartUpload/>",
    b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
    b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber></Part></CompleteMultipartUpload>",
    b"<OwnershipControls/>",
    b"<OwnershipControls><Rule/></OwnershipControls>",
    b"<PublicAccessBlockConfiguration/>",
    b"<PublicAccessBlockConfiguration><BlockPublicAcls>maybe</BlockPublicAcls></PublicAccessBlockConfiguration>",
    b"<ServerSideEncryptionConfiguration/>",
    b"<ServerSideEncryptionConfiguration><Rule/></ServerSideEncryptionConfiguration>",
    b"<AccessControlPolicy/>",
    b"<CreateBucketConfiguration><LocationConstraint/></CreateBucketConfiguration>",
    b"<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>",
    b"{}",
    b'{"Statement":{}}',
    b'{"Statement":[1]}',
    b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":5}]}',
    b"\xff\xfe",
]


@pytest.mark.parametrize(
    "target",
    [
        "PUT /one?website=", "PUT /one?cors=", "PUT /one?tagging=", "PUT /one/k?tagging=", "POST /one?delete=",
        "POST /one/k?uploadId=UPLOAD", "PUT /one?ownershipControls=", "PUT /one?publicAccessBlock=",
        "PUT /one?encryption=", "PUT /one?acl=", "PUT /one/k?acl=", "PUT /one?policy=", "PUT /one?versioning=",
        "PUT /new-one?",
    ],
)  # fmt: skip
def test_any_document_gets_an_answer(s3, bucket, platform, target):
    """Empty, of another kind, without what it must have: never a crash."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    method, _, url = target.replace("UPLOAD", upload_id).partition(" ")
    path, _, query = url.partition("?")
    for body in DOCUMENTS:
        request = AWSRequest(
            method, f"http://localhost:4566{url}", data=body, headers={"Host": "localhost:4566"}
        )
        S3SigV4Auth(s3._request_signer._credentials, "s3", "us-east-1").add_auth(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers["content-length"] = str(len(body))
        status, _, answer = platform.send(HttpRequest(method, path, query, headers, body))
        assert status not in (500, 503), (body, answer)


def named(client, name, *allowed):
    """An S3 client of a user that may do what these statements say."""
    iam = client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(allowed)})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]

    def make(service, **more):
        return client(service, key=key["AccessKeyId"], secret=key["SecretAccessKey"], **more)

    return make


def test_a_bucket_of_the_account_s_own_namespace_ends_in_its_suffix(client, s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html"""
    own = "data-000000000000-us-east-1-an"
    regional = {"BucketNamespace": "account-regional"}
    s3.create_bucket(Bucket=own, **regional)
    s3.put_object(Bucket=own, Key="k", Body=b"x")
    wrong = ("InvalidBucketName", 400)
    assert refused(s3.create_bucket, Bucket=own.replace("data", "other")) == wrong
    for name in ("data", "data-111111111111-us-east-1-an", "data-000000000000-eu-west-1-an"):
        assert refused(s3.create_bucket, Bucket=name, **regional) == wrong, name
    code, _ = refused(s3.create_bucket, Bucket="data", BucketNamespace="mine")
    assert code == "InvalidArgument"
    user = named(
        client,
        "regional",
        {
            "Effect": "Allow",
            "Action": "s3:CreateBucket",
            "Resource": "*",
            "Condition": {"StringEquals": {"s3:x-amz-bucket-namespace": "account-regional"}},
        },
    )("s3")
    user.create_bucket(Bucket="more-000000000000-us-east-1-an", **regional)
    assert refused(user.create_bucket, Bucket="more") == ("AccessDenied", 403)


def test_what_is_set_on_a_new_bucket_wants_its_own_permission(client, s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html"""
    create = {"Effect": "Allow", "Action": "s3:CreateBucket", "Resource": "*"}
    tagging = {
        "Effect": "Allow",
        "Action": "s3:TagResource",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestTag/team": "blue"}},
    }
    user = named(client, "maker", create, tagging)("s3")
    user.create_bucket(Bucket="plain")
    denied = ("AccessDenied", 403)
    for more in (
        {"ObjectOwnership": "ObjectWriter"},
        {"ObjectLockEnabledForBucket": True},
        {"CreateBucketConfiguration": {"Tags": [{"Key": "team", "Value": "red"}]}},
    ):
        assert refused(user.create_bucket, Bucket="more", **more) == denied, more
    blue = {"Tags": [{"Key": "team", "Value": "blue"}]}
    user.create_bucket(Bucket="more", CreateBucketConfiguration=blue)
    assert s3.get_bucket_tagging(Bucket="more")["TagSet"] == blue["Tags"]


def test_tags_of_a_bucket_decide_once_abac_is_enabled(client, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html"""
    control, arn = client("s3control"), "arn:aws:s3:::one"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "blue"}]})
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    blue = {"StringEquals": {"aws:ResourceTag/team": "blue"}}
    user = named(client, "abac", statement | {"Condition": blue})("s3")
    also = {"StringEquals": {"s3:BucketTag/team": "blue"}}
    other = named(client, "buckettag", statement | {"Condition": also})("s3")
    denied = ("AccessDenied", 403)
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Disabled"}
    assert refused(user.get_object, Bucket=bucket, Key="k") == denied
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Enabled"}
    for allowed in (user, other):
        assert allowed.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        assert allowed.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    red = [{"Key": "team", "Value": "red"}]
    for change in (
        lambda **_: s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": red}),
        lambda **_: s3.delete_bucket_tagging(Bucket=bucket),
    ):
        assert refused(change) == ("InvalidRequest", 400)
    control.tag_resource(AccountId="0" * 12, ResourceArn=arn, Tags=red)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == red
    for gone in (user, other):
        assert refused(gone.get_object, Bucket=bucket, Key="k") == denied
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Disabled"})
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.put_bucket_abac, Bucket=bucket, AbacStatus={"Status": "On"})[0] == (
        "MalformedXML"
    )


def test_a_bucket_policy_speaks_of_the_bucket_s_tags(client, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    blue = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(**blue))
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    other = client("s3", account="111111111111")
    iam = {"Bucket": bucket, "Key": "k"}
    assert refused(other.get_object, **iam) == ("AccessDenied", 403)
    client("s3control").tag_resource(
        AccountId="0" * 12,
        ResourceArn="arn:aws:s3:::one",
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    assert other.get_object(**iam)["Body"].read() == b"x"


def test_a_bucket_can_refuse_customers_keys(s3, bucket):
    """A new bucket does: https://docs.aws.amazon.com/AmazonS3/latest/userguide/blocking-unblocking-s3-c-encryption-gpb.html"""
    sealed = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    denied = ("AccessDenied", 403)
    assert refused(s3.put_object, Bucket=bucket, Key="before", Body=b"x", **sealed) == denied
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert found["Rules"][0]["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    plain = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=plain)
    assert refused(s3.put_object, Bucket=bucket, Key="before", Body=b"x", **sealed) == denied
    opened = {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=opened)
    s3.put_object(Bucket=bucket, Key="before", Body=b"x", **sealed)
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="before", Body=b"x", **sealed)
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": False,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert found["Rules"] == [rule]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **sealed) == denied
    assert refused(s3.create_multipart_upload, Bucket=bucket, Key="k", **sealed) == denied
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    source = {"CopySource": "one/plain"}
    assert refused(s3.copy_object, Bucket=bucket, Key="k", **source, **sealed) == denied
    assert s3.get_object(Bucket=bucket, Key="before", **sealed)["Body"].read() == b"x"
    allowed = rule | {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [allowed]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sealed)


def test_the_account_blocks_public_access_for_all_its_buckets(client, platform, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html"""
    control, account = client("s3control"), {"AccountId": "0" * 12}
    assert refused(control.get_public_access_block, **account) == (
        "NoSuchPublicAccessBlockConfiguration",
        404,
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())

    def anonymous():
        return platform.send(HttpRequest("GET", "/one/k", "", {"host": "localhost"}, b""))[0]

    assert anonymous() == 200
    control.put_public_access_block(
        **account, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
    )
    assert anonymous() == 403
    assert control.get_public_access_block(**account)["PublicAccessBlockConfiguration"] == {
        **OPEN,
        "RestrictPublicBuckets": True,
    }
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == OPEN
    control.put_public_access_block(
        **account, PublicAccessBlockConfiguration={"BlockPublicPolicy": True}
    )
    assert anonymous() == 200
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=policy()) == ("AccessDenied", 403)
    control.delete_public_access_block(**account)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy())
    stranger = client("s3control", account="111111111111")
    assert refused(stranger.get_public_access_block, **account) == ("AccessDenied", 403)


def test_the_old_words_for_lifecycle_and_notifications_do_what_the_new_ones_do(client, s3, bucket):
    """PutBucketLifecycle and PutBucketNotification were replaced; on the wire they are the same requests."""
    s3.put_bucket_lifecycle(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "r", "Prefix": "a/", "Status": "Enabled", "Expiration": {"Days": 3}}]
        },
    )
    (rule,) = s3.get_bucket_lifecycle(Bucket=bucket)["Rules"]
    assert (rule["ID"], rule["Prefix"], rule["Expiration"]) == ("r", "a/", {"Days": 3})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["Prefix"] == "a/"
    queue = client("sqs").create_queue(
        QueueName="told",
        Attributes={
            "Policy": policy(
                principal={"Service": "s3.amazonaws.com"}, action="sqs:SendMessage", resource="*"
            )
        },
    )["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:told"
    old = {"QueueConfiguration": {"Id": "q", "Queue": arn, "Events": ["s3:ObjectCreated:*"]}}
    s3.put_bucket_notification(Bucket=bucket, NotificationConfiguration=old)
    found = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert [(one["Id"], one["QueueArn"], one["Events"]) for one in found] == [
        ("q", arn, ["s3:ObjectCreated:*"])
    ]
    assert s3.get_bucket_notification(Bucket=bucket)["QueueConfiguration"]["Queue"] == arn
    assert queue


def test_where_the_requester_pays_others_must_say_that_they_know(client, platform, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html"""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)
    everything = policy(action="s3:*Object*", resource="arn:aws:s3:::one/*")
    s3.put_bucket_policy(Bucket=bucket, Policy=everything)
    other = client("s3", account="111111111111")
    assert other.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    denied = ("AccessDenied", 403)
    assert refused(other.get_object, Bucket=bucket, Key="k") == denied
    assert refused(other.put_object, Bucket=bucket, Key="n", Body=b"y") == denied
    said = {"Bucket": bucket, "RequestPayer": "requester"}
    got = other.get_object(Key="k", **said)
    assert (got["Body"].read(), got["RequestCharged"]) == (b"x", "requester")
    other.put_object(Key="n", Body=b"y", **said)
    assert s3.get_object(Bucket=bucket, Key="n")["Body"].read() == b"y"  # its owner pays anyway
    anonymous = HttpRequest(
        "GET", "/one/k", "", {"host": "localhost", "x-amz-request-payer": "requester"}, b""
    )
    assert platform.send(anonymous)[0] == 403
    s3.put_bucket_request_payment(
        Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"}
    )
    assert other.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_a_policy_may_ask_for_conditional_writes(client, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html, its third example."""
    objects = {"Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::one/*"}
    condition = {
        "Null": {"s3:if-none-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }
    statement = {"Effect": "Deny", **objects, "Condition": condition}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    denied = ("AccessDenied", 403)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x") == denied
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*")
    started = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    about = {"Bucket": bucket, "Key": "m", "UploadId": started}
    part = s3.upload_part(**about, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert refused(s3.complete_multipart_upload, **about, MultipartUpload=parts) == denied
    s3.complete_multipart_upload(**about, MultipartUpload=parts, IfNoneMatch="*")


def test_a_conditional_delete_needs_to_read_what_it_compares_with(client, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html"""
    may = {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::one/*"}
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    them = user(client, may, name="deleter")
    denied = ("AccessDenied", 403)
    assert refused(them.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == denied
    many = them.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": etag}, {"Key": "j"}]}
    )
    assert [error["Code"] for error in many["Errors"]] == ["AccessDenied"]
    assert [gone["Key"] for gone in many["Deleted"]] == ["j"]
    them.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


def test_a_policy_may_ask_how_a_request_was_signed(client, platform, s3, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html"""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::one/*"}
    presigned = {
        "StringEquals": {
            "s3:authType": "REST-QUERY-STRING",
            "s3:signatureversion": "AWS4-HMAC-SHA256",
            "s3:ResourceAccount": "000000000000",
        },
        "NumericLessThan": {"s3:signatureAge": "600000"},
    }
    them = user(
        client, {**read, "Condition": presigned}, name="presigner", signature_version="s3v4"
    )
    assert refused(them.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    url = them.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert fetched(platform, url) == 200
    late = {"NumericLessThan": {"s3:signatureAge": "0"}}
    them = user(client, {**read, "Condition": late}, name="late", signature_version="s3v4")
    url = them.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert fetched(platform, url) == 403
    hashed = {"StringEquals": {"s3:x-amz-content-sha256": hashlib.sha256(b"x").hexdigest()}}
    write = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::one/*"}
    them = user(client, {**write, "Condition": hashed}, name="hasher")
    them.put_object(Bucket=bucket, Key="n", Body=b"x")
    assert refused(them.put_object, Bucket=bucket, Key="n", Body=b"y") == ("AccessDenied", 403)


def fetched(platform, url: str) -> int:
    from conftest import to_http

    request = AWSRequest("GET", url)
    return platform.send(to_http(request.prepare()))[0]


def test_a_policy_may_limit_how_long_objects_are_locked(client, s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html"""
    s3.create_bucket(Bucket="kept", ObjectLockEnabledForBucket=True)
    long = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectRetention", "Resource": "arn:aws:s3:::kept/*",
        "Condition": {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}},
    }  # fmt: skip
    document = {"Version": "2012-10-17", "Statement": [long]}
    s3.put_bucket_policy(Bucket="kept", Policy=json.dumps(document))
    s3.put_object(Bucket="kept", Key="k", Body=b"x")
    now = s3.head_object(Bucket="kept", Key="k")
    about = {"Bucket": "kept", "Key": "k"}
    for days, answer in ((20, ("AccessDenied", 403)), (5, None)):
        until = now["LastModified"] + dt.timedelta(days=days)
        asked = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        if answer is not None:
            assert refused(s3.put_object_retention, **about, Retention=asked) == answer
        else:
            s3.put_object_retention(**about, Retention=asked)


@pytest.mark.parametrize(
    ("call", "said", "error"),
    [
        ("put_bucket_acl", {}, ("MissingSecurityHeader", 400)),
        ("put_bucket_acl", {"AccessControlPolicy": {}}, ("MalformedACLError", 400)),
        ("put_bucket_acl", {"GrantWrite": 'id="x"'}, ("InvalidArgument", 400)),
        ("head_bucket", {"ExpectedBucketOwner": "0000"}, ("400", 400)),
        ("get_bucket_policy", {"ExpectedBucketOwner": "abcd"}, ("InvalidBucketOwnerAWSAccountID", 400)),
        ("list_objects_v2", {"EncodingType": ""}, ("InvalidArgument", 400)),
        ("list_multipart_uploads", {"KeyMarker": "k", "UploadIdMarker": "x"}, ("InvalidArgument", 400)),
        ("put_bucket_policy", {"Policy": "{}"}, ("MalformedPolicy", 400)),
        ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": None}]}}, ("MalformedXML", 400)),
        ("delete_object", {"Key": "k", "BypassGovernanceRetention": False}, ("InvalidArgument", 400)),
        (
            "put_bucket_website",
            {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}, "RoutingRules": []}},
            ("MalformedXML", 400),
        ),
        (
            "put_bucket_inventory_configuration",
            {"Id": "a", "InventoryConfiguration": {"Id": "b", "IsEnabled": True}},
            ("IdMismatch", 400),
        ),
        ("get_bucket_metrics_configuration", {"Id": "a"}, ("NoSuchConfiguration", 404)),
    ],
)  # fmt: skip
def test_what_is_wrong_is_called_as_aws_calls_it(client, bucket, call, said, error):
    """LocalStack's recorded snapshots of these, February 2026."""
    unchecked = client("s3", parameter_validation=False)
    assert refused(getattr(unchecked, call), Bucket=bucket, **said) == error


def test_uploads_are_listed_with_the_last_one_s_marker(s3, bucket):
    """LocalStack's recorded test_list_multiparts_next_marker."""
    empty = s3.list_multipart_uploads(Bucket=bucket)
    assert (empty["NextKeyMarker"], empty["NextUploadIdMarker"]) == ("", "")
    ids = [s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in "ab"]
    found = s3.list_multipart_uploads(Bucket=bucket)
    assert (found["NextKeyMarker"], found["NextUploadIdMarker"]) == ("b", ids[1])
    assert (found["IsTruncated"], "Prefix" in found) == (False, False)


def test_nothing_is_set_on_a_delete_marker(s3, bucket):
    """LocalStack's recorded test_object_tagging_versioned and test_put_object_acl_on_delete_marker."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    for version in ({}, {"VersionId": marker}):
        for call, more, method in (
            (s3.put_object_tagging, {"Tagging": {"TagSet": []}}, "PUT"),
            (s3.delete_object_tagging, {}, "DELETE"),
        ):
            with pytest.raises(ClientError) as error:
                call(Bucket=bucket, Key="k", **version, **more)
            said = error.value.response["Error"]
            assert (said["Code"], said["Method"]) == ("MethodNotAllowed", method)
    assert refused(s3.get_object_acl, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    with pytest.raises(ClientError, match="You must delete all versions in the bucket"):
        s3.delete_bucket(Bucket=bucket)
