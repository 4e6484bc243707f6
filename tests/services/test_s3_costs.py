"""What calls of S3 cost, counted: rows looked at and transactions."""

from __future__ import annotations

import pytest
from harness import run_in_cloud

from stratolite.errors import Fault
from stratolite.service import Principal

SMALL = b"x" * 1024


def counted(harness):
    """-> (keys looked up so far, transactions so far), both growing."""
    db, reads, bodies = harness.cloud.db, [], []
    get, submit = db.get_committed, db.submit
    db.get_committed = lambda tx, key: reads.append(key) or get(tx, key)
    db.submit = lambda body, done: bodies.append(body) or submit(body, done)
    return reads, bodies


def test_a_small_put_and_get_are_one_transaction_and_one_lookup_each(tmp_path) -> None:
    """The head; the bucket's record is known while it stays the same. Nothing else may creep in unseen."""

    async def body(s3):
        await s3("s3", "CreateBucket", Bucket="bucket")
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)  # imports the checksum
        reads, bodies = counted(s3)
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)
        assert (len(reads), len(bodies)) == (1, 1)
        found = await s3("s3", "GetObject", Bucket="bucket", Key="k")
        assert found["Body"] == SMALL
        assert (len(reads), len(bodies)) == (2, 2)

    run_in_cloud(str(tmp_path), body)


def test_counted_requests_look_up_no_more_unless_tags_choose_them(tmp_path) -> None:
    """Filters are parsed once for each change; what a filter of tags needs is the head once more."""

    async def body(s3):
        await s3("s3", "CreateBucket", Bucket="bucket")
        metrics = {"Id": "m", "Filter": {"Prefix": "k"}}
        put = "PutBucketMetricsConfiguration"
        await s3("s3", put, Bucket="bucket", Id="m", MetricsConfiguration=metrics)
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)
        await s3("s3", "GetObject", Bucket="bucket", Key="k")
        reads, bodies = counted(s3)
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)
        await s3("s3", "GetObject", Bucket="bucket", Key="k")
        assert (len(reads), len(bodies)) == (2, 2)
        metrics = {"Id": "m", "Filter": {"Tag": {"Key": "a", "Value": "b"}}}
        await s3("s3", put, Bucket="bucket", Id="m", MetricsConfiguration=metrics)
        await s3("s3", "GetObject", Bucket="bucket", Key="k")
        del reads[:], bodies[:]
        await s3("s3", "GetObject", Bucket="bucket", Key="k")
        assert (len(reads), len(bodies)) == (2, 1)

    run_in_cloud(str(tmp_path), body)


def test_who_may_not_write_learns_nothing_of_the_body(tmp_path) -> None:
    """Authorization comes before what is wrong with a body, also where both are one transaction."""

    async def body(s3):
        await s3("s3", "CreateBucket", Bucket="bucket")
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)
        stranger = s3.call(principal=Principal("root", "111111111111", "arn:aws:iam::1:root"))
        wrong = {"Bucket": "bucket", "Key": "k", "Body": SMALL, "ContentMD5": "x"}
        with pytest.raises(Fault) as refused:
            await stranger.request("s3", "PutObject", wrong)
        assert refused.value.code == "AccessDenied"
        with pytest.raises(Fault) as refused:
            await s3("s3", "PutObject", **wrong)
        assert refused.value.code == "InvalidDigest"

    run_in_cloud(str(tmp_path), body)


def listed_rows(harness):
    """-> the rows that scans have looked at so far, growing."""
    db, rows = harness.cloud.db, []
    scan = db.scan_committed

    def counting(*given, **more):
        for row in scan(*given, **more):
            rows.append(row)
            yield row

    db.scan_committed = counting
    return rows


@pytest.mark.parametrize("versioned", [False, True])
def test_a_page_costs_the_same_in_a_bucket_of_any_size(tmp_path, versioned) -> None:
    """Rows read for a page of keys, and of groups: what lies behind the page, or was there before, adds none."""
    from stratolite.services.s3 import state

    def fill(tx, first, count):
        bucket = state.bucket(tx, "bucket")
        head = state.Head(
            "e" * 32, 0, 0, "STANDARD", "", "", "", 0, b"", "", "", [], {}, {}, {}, "private"
        )
        for number in range(first, first + count):
            state.put_head(tx, bucket, b"g%03d/k%06d" % (number % 50, number), head)
            if versioned:
                older = state.Head(
                    *(getattr(head, f) for f in head.__struct_fields__[:16]), number + 1, "A" * 32
                )
                state.put_older(tx, bucket, b"g%03d/k%06d" % (number % 50, number), older)

    async def body(s3):
        await s3("s3", "CreateBucket", Bucket="bucket")
        status = {"Status": "Enabled"}
        if versioned:
            await s3("s3", "PutBucketVersioning", Bucket="bucket", VersioningConfiguration=status)
        seen = []
        for first, count in ((0, 400), (400, 4000)):
            for at in range(first, first + count, 400):
                await s3.cloud.db.transact(lambda tx, at=at: fill(tx, at, 400))
            rows = listed_rows(s3)
            page = await s3("s3", "ListObjectsV2", Bucket="bucket", MaxKeys=100)
            assert page["KeyCount"] == 100
            groups = await s3("s3", "ListObjectsV2", Bucket="bucket", Delimiter="/")
            assert len(groups["CommonPrefixes"]) == 50
            seen.append(len(rows))
        assert seen[1] <= seen[0] + 10, seen

    run_in_cloud(str(tmp_path), body)
