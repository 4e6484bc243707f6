"""What the default bus is told of changes to the catalog.

Source  https://docs.aws.amazon.com/glue/latest/dg/automating-awsglue-with-cloudwatch-events.html
"""

from __future__ import annotations

from collections.abc import Sequence

from stratolite.service import Call
from stratolite.service_events import announce, entry
from stratolite.services.glue.state import Table


def tell_of_database(call: Call, database: str, change: str, tables: Sequence[str] = ()) -> None:
    """CreateDatabase, DeleteDatabase, CreateTable, DeleteTable, BatchDeleteTable."""
    where = f"arn:aws:glue:{call.region}:{call.account}"
    arns = [f"{where}:table/{database}/{name}" for name in tables]
    arns = arns or [f"{where}:database/{database}"]
    detail = {"databaseName": database, "typeOfChange": change, "changedTables": list(tables)}
    announce(
        call,
        "glue.amazonaws.com",
        lambda: entry("aws.glue", "Glue Data Catalog Database State Change", arns, detail),
        arns[0],
    )


def tell_of_table(
    call: Call, table: Table, change: str, partitions: Sequence[Sequence[str]] = ()
) -> None:
    """UpdateTable and what happens to partitions, each given by its values."""
    arn = f"arn:aws:glue:{call.region}:{call.account}:table/{table.database}/{table.name}"
    detail = {
        "databaseName": table.database,
        "changedPartitions": [f"[{', '.join(values)}]" for values in partitions],
        "typeOfChange": change,
        "tableName": table.name,
    }
    announce(
        call,
        "glue.amazonaws.com",
        lambda: entry("aws.glue", "Glue Data Catalog Table State Change", [arn], detail),
        arn,
    )
