"""DuckDB's httpfs writes Parquet and CSV to S3 and reads them back, partitioned and by a pattern."""

import importlib.resources
import os

import duckdb

(extension,) = (
    path
    for version in (importlib.resources.files("duckdb_extension_httpfs") / "extensions").iterdir()
    for path in version.iterdir()
)
db = duckdb.connect(config={"allow_unsigned_extensions": "true"})
db.execute(f"LOAD '{extension}'")
db.execute(
    "CREATE SECRET (TYPE s3, KEY_ID 'test', SECRET 'test', REGION 'us-east-1', URL_STYLE 'path',"
    f" USE_SSL false, ENDPOINT '{os.environ['ENDPOINT'].partition('//')[2]}')"
)
db.execute("COPY (SELECT range AS n FROM range(10000)) TO 's3://toolbox/duck.parquet'")
assert db.execute("SELECT sum(n) FROM 's3://toolbox/duck.parquet'").fetchone() == (49995000,)
db.execute(
    "COPY (SELECT range AS n, range % 3 AS part FROM range(3000))"
    " TO 's3://toolbox/duck' (FORMAT csv, PARTITION_BY (part))"
)
found = db.execute(
    "SELECT part, count(*) FROM read_csv('s3://toolbox/duck/*/*.csv', hive_partitioning = true)"
    " GROUP BY part ORDER BY part"
).fetchall()
assert found == [(0, 1000), (1, 1000), (2, 1000)], found
print("ok")
