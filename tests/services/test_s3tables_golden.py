"""What S3 Tables and S3 Metadata stored in their first format still opens, and what waited for its table still comes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from iceberg_reading import rows

from stratolite.services.s3 import journal, state

GOLDEN = Path(__file__).parents[1] / "golden" / "s3tables-1.json"
"""[key, value] in hex: table bucket ``lake`` with a table, bucket ``told`` with metadata tables and one change that waits."""
LAKE = "arn:aws:s3tables:us-east-1:000000000000:bucket/lake"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_tables_of_the_first_format_open(client: Any, platform: Any) -> None:
    pytest.importorskip("pyiceberg")
    stored = [(bytes.fromhex(k), bytes.fromhex(v)) for k, v in json.loads(GOLDEN.read_text())]
    db = platform.cloud.db
    platform.run(db.transact(lambda tx: [tx.put(key, value) for key, value in stored] and None))
    tables, s3 = client("s3tables"), client("s3")
    assert tables.list_tags_for_resource(resourceArn=LAKE)["tags"] == {"a": "1"}
    assert "s3tables:GetTable" in tables.get_table_bucket_policy(tableBucketARN=LAKE)["resourcePolicy"]  # fmt: skip
    kept = tables.get_table_bucket_maintenance_configuration(tableBucketARN=LAKE)["configuration"]
    assert kept["icebergUnreferencedFileRemoval"]["status"] == "disabled"
    (one,) = tables.list_tables(tableBucketARN=LAKE)["tables"]
    assert (one["namespace"], one["name"]) == (["raw"], "events")
    named = {"tableBucketARN": LAKE, "namespace": "raw", "name": "events"}
    upkeep = tables.get_table_maintenance_configuration(**named)["configuration"]
    settings = upkeep["icebergSnapshotManagement"]["settings"]["icebergSnapshotManagement"]
    assert settings["minSnapshotsToKeep"] == 4
    assert rows(tables, s3, one["tableARN"]) == []
    answer = s3.get_bucket_metadata_configuration(Bucket="told")["GetBucketMetadataConfigurationResult"]  # fmt: skip
    told = answer["MetadataConfigurationResult"]["JournalTableConfigurationResult"]
    assert (told["TableStatus"], told["RecordExpiration"]["Days"]) == ("ACTIVE", 9)

    def put(tx: Any) -> None:
        bucket = state.bucket(tx, "told")
        assert bucket is not None
        number = state.config(tx, bucket, "metadata")["number"]
        journal.put_job(tx, bucket, number, "journal")

    platform.run(db.transact(put))
    for _ in range(1500):
        if found := rows(tables, s3, told["TableArn"]):
            break
        platform.run(platform.cloud.world.sleep(0.02))
    assert [(r["key"], dict(r["object_tags"])) for r in found] == [("after", {"k": "v"})]
