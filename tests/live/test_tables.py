"""Iceberg tables of a real server: an engine attached to the REST catalog, and a journal that is killed again and again."""

from __future__ import annotations

import itertools
import random
import subprocess
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from iceberg_reading import rows
from live.server_process import ServerProcess

from stratolite.cli import target

pytest.importorskip("pyiceberg")
pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]
ACCOUNT = "000000000000"
LAKE = f"arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/lake"


def attached(server: ServerProcess, **more: str) -> Any:
    from pyiceberg.catalog import load_catalog

    settings = {
        "type": "rest", "uri": f"{server.endpoint}/iceberg", "warehouse": LAKE,
        "rest.sigv4-enabled": "true", "rest.signing-name": "s3tables", "rest.signing-region": "us-east-1",
        "client.region": "us-east-1", "client.access-key-id": "test", "client.secret-access-key": "test",
    }  # fmt: skip
    return load_catalog("lake", **settings, **more)


def test_pyiceberg_attaches_a_table_bucket(tmp_path: Any) -> None:
    """Its own sockets, signatures and S3 client: make, write, read, delete, change the schema, race, rename, drop."""
    import pyarrow as pa
    from pyiceberg.exceptions import (
        CommitFailedException,
        NoSuchTableError,
        TableAlreadyExistsError,
    )
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import DayTransform
    from pyiceberg.types import ListType, LongType, NestedField, StringType, TimestampType

    server = ServerProcess(str(tmp_path / "data"))
    try:
        tables = server.client("s3tables")
        assert tables.create_table_bucket(name="lake")["arn"] == LAKE
        catalog = attached(server)
        catalog.create_namespace("raw")
        assert catalog.list_namespaces() == [("raw",)]
        tags = ListType(element_id=4, element_type=StringType(), element_required=False)
        schema = Schema(
            NestedField(1, "id", LongType(), required=True),
            NestedField(2, "at", TimestampType(), required=False),
            NestedField(3, "tags", tags, required=False),
        )
        days = PartitionSpec(PartitionField(2, 1000, DayTransform(), "day"))
        table = catalog.create_table("raw.events", schema, partition_spec=days)
        with pytest.raises(TableAlreadyExistsError):
            catalog.create_table("raw.events", schema)
        arrow = table.schema().as_arrow()

        start = datetime.fromisoformat("2026-01-01")

        def batch(*numbers: int) -> Any:
            made = [
                {"id": n, "at": start + timedelta(days=n % 3), "tags": [f"t{n}"]} for n in numbers
            ]
            return pa.Table.from_pylist(made, schema=arrow)

        table.append(batch(1, 2, 3))
        assert len(table.inspect.files()) == 3  # a file a day
        stale = catalog.load_table("raw.events")
        table.append(batch(4))
        table.delete("id = 2")
        again = attached(server).load_table("raw.events")
        assert sorted(r["id"] for r in again.scan().to_arrow().to_pylist()) == [1, 3, 4]
        assert again.scan(row_filter="id = 4").to_arrow().to_pylist()[0]["tags"] == ["t4"]
        with pytest.raises(CommitFailedException), stale.transaction() as late:
            late.update_schema().add_column("lost", LongType()).commit()
            table.update_schema().add_column("note", StringType()).commit()
        assert "note" in [f.name for f in catalog.load_table("raw.events").schema().fields]
        catalog.create_namespace("clean")
        catalog.rename_table("raw.events", "clean.kept")
        assert catalog.list_tables("clean") == [("clean", "kept")]
        named = {"tableBucketARN": LAKE, "namespace": "clean", "name": "kept"}
        assert tables.get_table(**named)["metadataLocation"] == catalog.load_table("clean.kept").metadata_location  # fmt: skip
        catalog.purge_table("clean.kept")
        with pytest.raises(NoSuchTableError):
            catalog.load_table("clean.kept")
        assert not catalog.table_exists("clean.kept")
    finally:
        assert server.stop() == 0


def test_a_killed_journal_has_every_change_once(tmp_path: Any) -> None:
    """SIGKILL while rows are on their way into the table: each acknowledged write is there, and none is there twice."""
    server = ServerProcess(str(tmp_path / "data"))
    chance = random.Random(7)
    numbers, acknowledged = itertools.count(), []

    def advance(seconds: int) -> None:
        target.own("POST", "clock", server.endpoint, "us-east-1", {"advance_s": seconds})

    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="told")
        journal = {"RecordExpiration": {"Expiration": "DISABLED"}}
        s3.create_bucket_metadata_configuration(
            Bucket="told", MetadataConfiguration={"JournalTableConfiguration": journal}
        )
        for _ in range(4):
            s3 = server.client("s3")
            for _ in range(20):
                key = f"k{next(numbers):04d}"
                s3.put_object(Bucket="told", Key=key, Body=b"x")
                acknowledged.append(key)
            advance(61)
            with suppress(subprocess.TimeoutExpired):  # it works at the table for so long
                server.process.wait(chance.uniform(0.2, 3.0))
            server.kill()
            server.start()
        s3, tables = server.client("s3"), server.client("s3tables")
        answer = s3.get_bucket_metadata_configuration(Bucket="told")["GetBucketMetadataConfigurationResult"]  # fmt: skip
        result = answer["MetadataConfigurationResult"]["JournalTableConfigurationResult"]
        told: list[str] = []
        for _ in range(200):
            advance(61)
            found = rows(tables, s3, result["TableArn"])
            told = sorted(row["key"] for row in found)
            if len(told) >= len(acknowledged):
                break
        assert told == acknowledged
    finally:
        assert server.stop() == 0
