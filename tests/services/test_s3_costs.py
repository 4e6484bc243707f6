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


def test_a_small_put_and_get_are_one_transaction_and_two_lookups_each(tmp_path) -> None:
    """The bucket's record and the head: nothing else may creep in unseen."""

    async def body(s3):
        await s3("s3", "CreateBucket", Bucket="bucket")
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)  # imports the checksum
        reads, bodies = counted(s3)
        await s3("s3", "PutObject", Bucket="bucket", Key="k", Body=SMALL)
        assert (len(reads), len(bodies)) == (2, 1)
        found = await s3("s3", "GetObject", Bucket="bucket", Key="k")
        assert found["Body"] == SMALL
        assert (len(reads), len(bodies)) == (4, 2)

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
