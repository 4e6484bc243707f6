"""Server access logs in tests: where they go, and what they say once they are delivered."""

from __future__ import annotations

import json
import time
from typing import Any


def log_into_logs(s3: Any, bucket: str) -> None:
    """Server access logs of ``bucket`` to a new bucket named logs."""
    s3.create_bucket(Bucket="logs")
    let = {
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*",
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [let]})
    s3.put_bucket_policy(Bucket="logs", Policy=policy)
    enabled = {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": ""}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=enabled)


def delivered_lines(platform: Any, s3: Any) -> list[str]:
    """What lies in the bucket logs after five more minutes; fails unless it is one object."""
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, 301)))
    end = time.monotonic() + 60
    while not (found := s3.list_objects_v2(Bucket="logs").get("Contents")):
        assert time.monotonic() < end, "no access log was delivered"
        time.sleep(0.01)
    (one,) = found
    text: str = s3.get_object(Bucket="logs", Key=one["Key"])["Body"].read().decode()
    return text.splitlines()
