"""S3 versions: nothing overwritten is lost, listings of the present cost nothing of the past, locks hold, rules are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

DAY_S = 86_400.0


def travel(platform, seconds):
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="box")
    made.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    return made


def refused(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def put(s3, key="k", body=b"x", **more):
    return s3.put_object(Bucket="box", Key=key, Body=body, **more).get("VersionId")


def read(s3, key="k", **more):
    return s3.get_object(Bucket="box", Key=key, **more)["Body"].read()


def listed(s3, **more):
    found = s3.list_object_versions(Bucket="box", **more)
    rows = [(v["Key"], v["VersionId"], v["IsLatest"], "v") for v in found.get("Versions", ())]
    rows += [(v["Key"], v["VersionId"], v["IsLatest"], "m") for v in found.get("DeleteMarkers", ())]
    return sorted(rows)


@pytest.mark.parametrize("size", [1, 10_000, 300_000])
def test_every_version_comes_back_after_a_restart(s3, platform, size):
    """Each size lies elsewhere."""
    ids = [put(s3, body=bytes([n]) * size) for n in range(3)]
    platform.reopen()
    assert len(set(ids)) == 3
    for n, one in enumerate(ids):
        assert read(s3, VersionId=one) == bytes([n]) * size
    assert read(s3) == bytes([2]) * size
    s3.delete_object(Bucket="box", Key="k", VersionId=ids[2])
    assert read(s3) == bytes([1]) * size
    s3.delete_object(Bucket="box", Key="k", VersionId=ids[0])
    assert read(s3) == bytes([1]) * size
    s3.delete_object(Bucket="box", Key="k", VersionId=ids[1])
    assert listed(s3) == []
    assert refused(s3.get_object, Bucket="box", Key="k") == ("NoSuchKey", 404)


def test_a_delete_is_a_marker_in_front_that_can_be_taken_away(s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html"""
    one = put(s3)
    marker = s3.delete_object(Bucket="box", Key="k")
    assert marker["DeleteMarker"] is True
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket="box", Key="k")
    assert gone.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    assert refused(s3.get_object, Bucket="box", Key="k", VersionId=marker["VersionId"]) == (
        "MethodNotAllowed",
        405,
    )
    assert refused(s3.head_object, Bucket="box", Key="k", VersionId=marker["VersionId"])[1] == 405
    assert s3.list_objects_v2(Bucket="box")["KeyCount"] == 0
    assert listed(s3) == sorted([("k", one, False, "v"), ("k", marker["VersionId"], True, "m")])
    assert refused(s3.delete_bucket, Bucket="box")[0] == "BucketNotEmpty"
    again = s3.delete_object(Bucket="box", Key="k", VersionId=marker["VersionId"])
    assert again["DeleteMarker"] is True
    assert read(s3) == b"x"
    assert (
        refused(s3.get_object, Bucket="box", Key="k", VersionId="nonsense")[0] == "InvalidArgument"
    )
    assert refused(s3.get_object, Bucket="box", Key="other", VersionId=one) == (
        "NoSuchVersion",
        404,
    )


def test_the_null_version_is_one(client, platform):
    """Written before versioning or while it is suspended, it replaces the one there was, wherever that lies."""
    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    put(s3, body=b"before")
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    one = put(s3, body=b"one")
    assert read(s3, VersionId="null") == b"before"
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Suspended"})
    put(s3, body=b"suspended")
    assert read(s3, VersionId="null") == read(s3) == b"suspended"
    assert listed(s3) == sorted([("k", one, False, "v"), ("k", "null", True, "v")])
    gone = s3.delete_object(Bucket="box", Key="k")
    assert (gone["VersionId"], gone["DeleteMarker"]) == ("null", True)
    assert listed(s3) == sorted([("k", one, False, "v"), ("k", "null", True, "m")])
    put(s3, body=b"back")
    assert listed(s3) == sorted([("k", one, False, "v"), ("k", "null", True, "v")])
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    two = put(s3, body=b"two")
    platform.reopen()
    assert read(s3, VersionId="null") == b"back"
    s3.delete_object(Bucket="box", Key="k", VersionId="null")
    assert listed(s3) == sorted([("k", one, False, "v"), ("k", two, True, "v")])


def test_versions_are_listed_page_by_page_newest_first(s3):
    ids = {key: [put(s3, key) for _ in range(4)] for key in ("a", "a/b", "c\x01", "d")}
    want = [(key, one) for key in ids for one in reversed(ids[key])]
    got, marker = [], {}
    while True:
        page = s3.list_object_versions(Bucket="box", MaxKeys=3, **marker)
        got += [(v["Key"], v["VersionId"]) for v in page["Versions"]]
        if not page["IsTruncated"]:
            break
        marker = {
            "KeyMarker": page["NextKeyMarker"],
            "VersionIdMarker": page["NextVersionIdMarker"],
        }
    assert got == want
    grouped = s3.list_object_versions(Bucket="box", Delimiter="/")
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/"]
    assert len(grouped["Versions"]) == 12
    after = s3.list_object_versions(Bucket="box", KeyMarker="a")
    assert after["Versions"][0]["Key"] == "a/b"


def test_tags_acl_copies_and_conditions_mean_the_version_they_name(s3):
    one, _ = put(s3, body=b"one"), put(s3, body=b"two")
    s3.put_object_tagging(
        Bucket="box", Key="k", VersionId=one, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]}
    )
    assert s3.get_object_tagging(Bucket="box", Key="k", VersionId=one)["TagSet"] == [
        {"Key": "a", "Value": "1"}
    ]
    assert s3.get_object_tagging(Bucket="box", Key="k")["TagSet"] == []
    copied = s3.copy_object(
        Bucket="box", Key="k", CopySource={"Bucket": "box", "Key": "k", "VersionId": one}
    )
    assert copied["CopySourceVersionId"] == one
    assert read(s3) == b"one"
    assert len(listed(s3)) == 3
    s3.delete_object(Bucket="box", Key="k")
    put(s3, body=b"new", IfNoneMatch="*")  # a marker is nothing there
    assert refused(s3.put_object, Bucket="box", Key="k", Body=b"", IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )
    errors = s3.delete_objects(
        Bucket="box", Delete={"Objects": [{"Key": "k", "VersionId": one}, {"Key": "k"}]}
    )
    assert {d.get("VersionId") for d in errors["Deleted"]} == {one, None}


def locked(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="box", ObjectLockEnabledForBucket=True)
    return s3


def test_a_locked_version_stays_until_its_time(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html"""
    s3 = locked(client)
    until = datetime.now(UTC) + timedelta(days=2)
    strict = put(s3, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    loose = put(s3, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    held = put(s3, ObjectLockLegalHoldStatus="ON")
    for one in (strict, loose, held):
        assert refused(s3.delete_object, Bucket="box", Key="k", VersionId=one) == (
            "AccessDenied",
            403,
        )
    head = s3.head_object(Bucket="box", Key="k", VersionId=strict)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    bypass = {"Bucket": "box", "Key": "k", "BypassGovernanceRetention": True}
    s3.delete_object(VersionId=loose, **bypass)
    assert refused(s3.delete_object, VersionId=strict, **bypass)[0] == "AccessDenied"
    sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(days=1)}
    change = {"Bucket": "box", "Key": "k", "VersionId": strict}
    assert refused(s3.put_object_retention, Retention=sooner, **change)[0] == "AccessDenied"
    s3.delete_object(Bucket="box", Key="k")  # a marker in front is always allowed
    s3.put_object_legal_hold(Bucket="box", Key="k", VersionId=held, LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket="box", Key="k", VersionId=held)
    travel(platform, 2 * DAY_S + 5)
    s3.delete_object(Bucket="box", Key="k", VersionId=strict)
    assert refused(
        s3.put_bucket_versioning, Bucket="box", VersioningConfiguration={"Status": "Suspended"}
    ) == ("InvalidBucketState", 409)


def test_a_bucket_s_default_retention_locks_what_is_put(client):
    s3 = locked(client)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket="box", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    one = put(s3)
    assert s3.get_object_retention(Bucket="box", Key="k")["Retention"]["Mode"] == "GOVERNANCE"
    assert refused(s3.delete_object, Bucket="box", Key="k", VersionId=one)[0] == "AccessDenied"
    for wrong in (
        {"Mode": "GOVERNANCE"},
        {"Mode": "GOVERNANCE", "Days": 1, "Years": 1},
        {"Mode": "X", "Days": 1},
    ):
        config = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": wrong}}
        assert (
            refused(s3.put_object_lock_configuration, Bucket="box", ObjectLockConfiguration=config)[
                0
            ]
            == "MalformedXML"
        )
    s3.create_bucket(Bucket="plain")
    assert (
        refused(s3.get_object_lock_configuration, Bucket="plain")[0]
        == "ObjectLockConfigurationNotFoundError"
    )
    assert (
        refused(s3.put_object_retention, Bucket="plain", Key="k", Retention={})[0]
        == "InvalidRequest"
    )


def ends(s3, version):
    """-> (the retain-until-date, the event hold's status)"""
    found = s3.get_object_retention(Bucket="box", Key="k", VersionId=version)["Retention"]
    return found["RetainUntilDate"], found.get("EventHold")


def now(platform):
    return datetime.fromtimestamp(platform.cloud.world.cloud(), UTC)


def near(one, other):
    return abs((one - other).total_seconds()) < 60


def test_an_event_hold_retains_until_so_long_after_its_release(client, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html"""
    s3 = locked(client)
    held = put(
        s3,
        ObjectLockMode="COMPLIANCE",
        ObjectLockEventHold="ON",
        ObjectLockEventHoldDurationDays=10,
    )
    about = {"Bucket": "box", "Key": "k", "VersionId": held}
    head = s3.head_object(**about)
    assert (head["ObjectLockEventHold"], head["ObjectLockEventHoldDurationDays"]) == ("ON", 10)
    assert near(head["ObjectLockRetainUntilDate"], now(platform) + timedelta(days=10))
    travel(platform, 20 * DAY_S)
    assert near(ends(s3, held)[0], now(platform) + timedelta(days=10))  # it moves with the clock
    assert refused(s3.delete_object, **about) == ("AccessDenied", 403)
    for looser in (
        {},
        {"Mode": "COMPLIANCE", "EventHold": "ON", "EventHoldDuration": {"Days": 9}},
        {"Mode": "GOVERNANCE", "EventHold": "ON", "EventHoldDuration": {"Days": 10}},
    ):
        assert refused(s3.put_object_retention, **about, Retention=looser)[0] == "AccessDenied"
    later = now(platform) + timedelta(days=100)
    longer = {"Mode": "COMPLIANCE", "RetainUntilDate": later}
    s3.put_object_retention(**about, Retention=longer)  # never before that date, and held as before
    assert ends(s3, held)[1] == "ON"
    assert near(ends(s3, held)[0], later)
    longer = {"Mode": "COMPLIANCE", "EventHold": "ON", "EventHoldDuration": {"Years": 1}}
    s3.put_object_retention(**about, Retention=longer)
    released = now(platform)
    s3.put_object_retention(**about, Retention={"Mode": "COMPLIANCE", "EventHold": "OFF"})
    travel(platform, 364 * DAY_S)
    assert near(ends(s3, held)[0], released + timedelta(days=365))
    assert ends(s3, held)[1] == "OFF"
    assert s3.head_object(**about)["ObjectLockEventHold"] == "OFF"
    assert refused(s3.delete_object, **about)[0] == "AccessDenied"
    travel(platform, DAY_S + 60)
    s3.delete_object(**about)


def test_a_bucket_s_default_event_hold_holds_what_is_put(client, platform):
    s3 = locked(client)

    def default(**said):
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", **said}}
        s3.put_object_lock_configuration(
            Bucket="box", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        found = s3.get_object_lock_configuration(Bucket="box")["ObjectLockConfiguration"]
        assert found["Rule"] == rule

    default(DefaultEventHold={"Days": 3})
    alone = put(s3)
    assert ends(s3, alone)[1] == "ON"
    assert near(ends(s3, alone)[0], now(platform) + timedelta(days=3))
    default(Years=1, DefaultEventHold={"Days": 3})
    both = put(s3)
    assert ends(s3, both)[1] == "ON"
    assert near(ends(s3, both)[0], now(platform) + timedelta(days=365))
    until = now(platform) + timedelta(days=2)
    own = put(s3, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    assert ends(s3, own)[1] is None  # what an upload says is said instead
    s3.delete_object(Bucket="box", Key="k", VersionId=alone, BypassGovernanceRetention=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationDays": 1},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationDays": 1, "ObjectLockEventHoldDurationYears": 1},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "OFF", "ObjectLockEventHoldDurationDays": 1},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "OFF"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationDays": 36_501},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationYears": 101},
    ],
)  # fmt: skip
def test_an_event_hold_that_says_too_little_or_too_much_is_refused(client, wrong):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-variable-retention-troubleshooting"""
    s3 = locked(client)
    assert refused(s3.put_object, Bucket="box", Key="k", Body=b"x", **wrong)[1] == 400


def test_a_policy_limits_event_holds_and_their_durations(client):
    import json

    s3 = locked(client)
    version = put(s3)
    deny = [
        {
            "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectRetention", "Resource": "arn:aws:s3:::box/*",
            "Condition": {"NumericLessThan": {"s3:object-lock-event-hold-duration-days": "90"}},
        },
        {
            "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::box/*",
            "Condition": {"StringEquals": {"s3:object-lock-event-hold": "ON"}},
        },
    ]  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": deny})
    s3.put_bucket_policy(Bucket="box", Policy=document)
    about = {"Bucket": "box", "Key": "k", "VersionId": version}
    short = {"Mode": "GOVERNANCE", "EventHold": "ON", "EventHoldDuration": {"Days": 89}}
    assert refused(s3.put_object_retention, **about, Retention=short)[0] == "AccessDenied"
    hold = {"ObjectLockMode": "GOVERNANCE", "ObjectLockEventHold": "ON", "ObjectLockEventHoldDurationYears": 1}  # fmt: skip
    assert refused(s3.put_object, Bucket="box", Key="h", Body=b"", **hold)[0] == "AccessDenied"
    enough = {"Mode": "GOVERNANCE", "EventHold": "ON", "EventHoldDuration": {"Years": 1}}
    s3.put_object_retention(**about, Retention=enough)


def test_what_is_small_moves_where_the_class_takes_any_size_and_newer_ones_stay(s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html"""
    listed = [
        {"Status": "Enabled", "Filter": {"Prefix": "deep/"}, "Transitions": [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]},
        {"Status": "Enabled", "Filter": {"Prefix": "tier/"}, "Transitions": [{"Days": 1, "StorageClass": "INTELLIGENT_TIERING"}]},
        {
            "Status": "Enabled", "Filter": {"Prefix": "old/"}, "NoncurrentVersionTransitions": [
                {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2, "StorageClass": "GLACIER"}
            ],
        },
    ]  # fmt: skip
    s3.put_bucket_lifecycle_configuration(
        Bucket="box", LifecycleConfiguration={"Rules": listed},
        TransitionDefaultMinimumObjectSize="varies_by_storage_class",
    )  # fmt: skip
    put(s3, "deep/a")
    put(s3, "tier/a")
    put(s3, "tier/large", b"l" * (128 << 10))
    for _ in range(5):
        put(s3, "old/a")
    travel(platform, 3 * DAY_S)

    def classes():
        found = s3.list_object_versions(Bucket="box")["Versions"]
        return [(one["Key"], one["StorageClass"]) for one in found]

    wanted = [
        ("deep/a", "DEEP_ARCHIVE"), *[("old/a", "STANDARD")] * 3, *[("old/a", "GLACIER")] * 2,
        ("tier/a", "STANDARD"), ("tier/large", "INTELLIGENT_TIERING"),
    ]  # fmt: skip
    wait_for(lambda: classes() == wanted)
    listed[2]["NoncurrentVersionTransitions"][0]["NewerNoncurrentVersions"] = 101
    assert refused(
        s3.put_bucket_lifecycle_configuration, Bucket="box", LifecycleConfiguration={"Rules": listed}
    )[0] == "InvalidArgument"  # fmt: skip


def test_a_transition_comes_before_a_delete_marker(s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html"""
    rules(
        s3,
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "a"}},
        {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}], "Filter": {"ObjectSizeGreaterThan": 0}},
    )  # fmt: skip
    put(s3, "a")
    travel(platform, 3 * DAY_S)
    wait_for(lambda: "DeleteMarkers" in s3.list_object_versions(Bucket="box"))
    (version,) = s3.list_object_versions(Bucket="box")["Versions"]
    assert version["StorageClass"] == "GLACIER"


def rules(s3, *given):
    listed = [{"Status": "Enabled", "Filter": {}} | one for one in given]
    s3.put_bucket_lifecycle_configuration(Bucket="box", LifecycleConfiguration={"Rules": listed})


def wait_for(condition):
    import time

    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_rules_carry_out_what_is_due_and_only_that(s3, platform):
    """Days are counted from the next midnight: a day more is always enough, a day less never."""
    rules(
        s3,
        {"Expiration": {"Days": 3}, "Filter": {"Prefix": "tmp/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Tag": {"Key": "short", "Value": "yes"}}},
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 1}},
        {"Transitions": [{"Days": 0, "StorageClass": "GLACIER"}], "Filter": {"And": {"Prefix": "cold/", "ObjectSizeGreaterThan": 5}}},
        {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "Filter": {"Prefix": ""}},
    )  # fmt: skip
    put(s3, "tmp/a")
    put(s3, "tagged", Tagging="short=yes")
    put(s3, "cold/small", b"12345")
    put(s3, "cold/large", b"123456")
    old = [put(s3, "kept") for _ in range(3)]
    upload = s3.create_multipart_upload(Bucket="box", Key="up")["UploadId"]
    s3.upload_part(Bucket="box", Key="up", UploadId=upload, PartNumber=1, Body=b"x" * 100_000)
    assert "expiry-date=" in s3.head_object(Bucket="box", Key="tmp/a")["Expiration"]
    travel(platform, 2 * DAY_S + 1)
    wait_for(lambda: "Uploads" not in s3.list_multipart_uploads(Bucket="box"))
    keys = {o["Key"]: o["StorageClass"] for o in s3.list_objects_v2(Bucket="box")["Contents"]}
    assert keys == {
        "tmp/a": "STANDARD",
        "cold/small": "STANDARD",
        "cold/large": "GLACIER",
        "kept": "STANDARD",
    }
    assert refused(s3.get_object, Bucket="box", Key="cold/large") == ("InvalidObjectState", 403)
    s3.restore_object(Bucket="box", Key="cold/large", RestoreRequest={"Days": 1})
    assert read(s3, "cold/large") == b"123456"
    platform.reopen()
    travel(platform, 2 * DAY_S)
    wait_for(
        lambda: not any(o["Key"] == "tmp/a" for o in s3.list_objects_v2(Bucket="box")["Contents"])
    )
    left = [
        v["VersionId"] for v in s3.list_object_versions(Bucket="box", Prefix="kept")["Versions"]
    ]
    assert left == [old[2], old[1]]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "Date": datetime(2030, 1, 1, tzinfo=UTC)}}, "MalformedXML"),
        ({"Expiration": {"Date": datetime(2030, 1, 1, 5, tzinfo=UTC)}}, "InvalidArgument"),
        ({}, "InvalidRequest"),
        ({"Expiration": {"Days": 1}, "Status": "enabled"}, "MalformedXML"),
        ({"Expiration": {"Days": 1}, "ID": "x" * 256}, "InvalidArgument"),
        ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument"),
        ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD"}]}, "MalformedXML"),
    ],
)  # fmt: skip
def test_a_rule_that_means_nothing_is_refused(s3, rule, code):
    config = {"Rules": [{"Status": "Enabled", "Filter": {"Prefix": ""}} | rule]}
    assert (
        refused(s3.put_bucket_lifecycle_configuration, Bucket="box", LifecycleConfiguration=config)[
            0
        ]
        == code
    )


def test_an_id_that_was_made_up_is_not_one_that_is_gone(s3):
    """LocalStack's recorded test_delete_object, test_delete_objects and test_delete_object_versioned."""
    made_up = "HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"
    s3.create_bucket(Bucket="plain")
    about = {"Bucket": "plain", "Key": "k"}
    s3.put_object(**about, Body=b"x")
    for call in (s3.get_object, s3.head_object, s3.delete_object):
        assert refused(call, **about, VersionId=made_up)[1] == 400
    many = {"Objects": [{"Key": "k", "VersionId": made_up}]}
    (error,) = s3.delete_objects(Bucket="plain", Delete=many)["Errors"]
    assert (error["Code"], error["VersionId"]) == ("NoSuchVersion", made_up)
    about = {"Bucket": "box", "Key": "k"}
    real = s3.put_object(**about, Body=b"y")["VersionId"]
    s3.delete_object(**about, VersionId=real)
    s3.delete_object(**about, VersionId=real)  # gone already
    assert refused(s3.get_object, **about, VersionId=real) == ("NoSuchVersion", 404)
    wrong = real[:-4] + "ABCD"
    assert refused(s3.delete_object, **about, VersionId=wrong) == ("InvalidArgument", 400)


def test_who_deletes_what_a_page_shows_finds_the_rest_on_the_next(s3):
    """What came after the marker may be the current version by now, whose row stands before older ones'."""
    ids = [put(s3) for _ in range(5)]
    first = s3.list_object_versions(Bucket="box", MaxKeys=3)
    assert [v["VersionId"] for v in first["Versions"]] == ids[:1:-1]
    for version in first["Versions"]:
        s3.delete_object(Bucket="box", Key="k", VersionId=version["VersionId"])
    markers = {"KeyMarker": "k", "VersionIdMarker": first["NextVersionIdMarker"]}
    second = s3.list_object_versions(Bucket="box", **markers)["Versions"]
    assert [(v["VersionId"], v["IsLatest"]) for v in second] == [(ids[1], True), (ids[0], False)]
    s3.delete_object(Bucket="box", Key="k")  # a marker is newer than what follows
    after = s3.list_object_versions(Bucket="box", **markers)["Versions"]
    assert [(v["VersionId"], v["IsLatest"]) for v in after] == [(ids[1], False), (ids[0], False)]


def test_a_version_named_by_its_id_does_not_say_when_it_expires(s3):
    """LocalStack's recorded test_bucket_lifecycle_configuration_object_expiry_versioned."""
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket="box", LifecycleConfiguration={"Rules": [rule]})
    version = put(s3)
    assert 'rule-id="r"' in s3.head_object(Bucket="box", Key="k")["Expiration"]
    assert "Expiration" not in s3.head_object(Bucket="box", Key="k", VersionId=version)
