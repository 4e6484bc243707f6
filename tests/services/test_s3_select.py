"""S3 Select: AWS's SQL over an object, in a child that can reach nothing else."""

from __future__ import annotations

import bz2
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from stratolite.errors import Fault
from stratolite.services.s3 import select_child, select_sql

PEOPLE = 'name,age,city\nAnn,31,Berlin\nBob,9,Rome\n"C, D",77,\n'
LINES = '{"name":"Ann","age":31,"tags":["a","b"],"at":{"x":1}}\n{"name":"Bob","age":9,"day":"2020-01-01"}\n'
CSV_IN = {"CSV": {"FileHeaderInfo": "USE"}}
JSON_OUT = {"JSON": {}}


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="box")
    return made


def select(s3, body, sql, reading=CSV_IN, writing=JSON_OUT, **more):
    s3.put_object(Bucket="box", Key="k", Body=body)
    answer = s3.select_object_content(
        Bucket="box", Key="k", ExpressionType="SQL", Expression=sql, InputSerialization=reading,
        OutputSerialization=writing, **more,
    )  # fmt: skip
    events = list(answer["Payload"])
    assert "End" in events[-1]
    assert any("Stats" in event for event in events)
    return b"".join(e["Records"]["Payload"] for e in events if "Records" in e).decode()


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM S3Object", [{"name": "Ann", "age": "31", "city": "Berlin"}, {"name": "Bob", "age": "9", "city": "Rome"}, {"name": "C, D", "age": "77", "city": ""}]),
        ("select s.name from s3object s where cast(s.age as int) > 30", [{"name": "Ann"}, {"name": "C, D"}]),
        ("SELECT COUNT(*) AS n, SUM(CAST(age AS INT)) FROM S3Object", [{"n": 3, "_2": 117}]),
        ("SELECT s._1 FROM S3Object s WHERE s.name LIKE '%n%' LIMIT 1", [{"_1": "Ann"}]),
        ("SELECT UPPER(name) AS u, CHAR_LENGTH(city) AS l FROM S3Object WHERE city IN ('Rome')", [{"u": "BOB", "l": 4}]),
        ("SELECT CASE WHEN CAST(age AS INT) BETWEEN 1 AND 10 THEN 'young' ELSE 'old' END AS c FROM S3Object LIMIT 2", [{"c": "old"}, {"c": "young"}]),
        ("SELECT TO_STRING(DATE_ADD(day, 3, TO_TIMESTAMP('2001-01-30')), 'yyyy-MM-dd') AS d FROM S3Object LIMIT 1", [{"d": "2001-02-02"}]),
    ],
)  # fmt: skip
def test_csv_is_queried_as_aws_would(s3, sql, found):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference.html"""
    assert rows(select(s3, PEOPLE, sql)) == found


def test_csv_comes_and_goes_in_any_shape(s3):
    reading = {
        "CSV": {
            "FieldDelimiter": "|",
            "RecordDelimiter": ";",
            "QuoteCharacter": "'",
            "FileHeaderInfo": "NONE",
        }
    }
    writing = {"CSV": {"QuoteFields": "ALWAYS", "FieldDelimiter": "\t"}}
    assert (
        select(s3, "1|'a|b';2|c;", "SELECT _2, _1 FROM S3Object", reading, writing)
        == '"a|b"\t"1"\n"c"\t"2"\n'
    )
    for packed, kind in (
        (gzip.compress(PEOPLE.encode()), "GZIP"),
        (bz2.compress(PEOPLE.encode()), "BZIP2"),
    ):
        reading = CSV_IN | {"CompressionType": kind}
        assert (
            select(s3, packed, "SELECT name FROM S3Object LIMIT 1", reading, {"CSV": {}}) == "Ann\n"
        )
    with pytest.raises(ClientError, match="InvalidCompressionFormat"):
        select(s3, PEOPLE, "SELECT name FROM S3Object", CSV_IN | {"CompressionType": "GZIP"})


def test_json_lines_and_documents(s3):
    lines, document = {"JSON": {"Type": "LINES"}}, {"JSON": {"Type": "DOCUMENT"}}
    assert rows(select(s3, LINES, "SELECT * FROM S3Object", lines)) == rows(LINES)
    got = select(s3, LINES, "SELECT s.name, s.at.x FROM S3Object[*] s WHERE s.age > 10", lines)
    assert rows(got) == [{"name": "Ann", "x": 1}]
    nested = json.dumps({"d": [{"v": 1}, {"v": 2}], "o": 1})
    assert rows(
        select(s3, nested, "SELECT s.v FROM S3Object[*].d[*] s WHERE s.v > 1", document)
    ) == [{"v": 2}]
    with pytest.raises(ClientError, match="JSONParsingError"):
        select(s3, "{", "SELECT * FROM S3Object", document)


def test_parquet(s3, tmp_path):
    import duckdb

    path = tmp_path / "p.parquet"
    duckdb.sql(f"COPY (SELECT range AS n, 'v' || range AS v FROM range(5)) TO '{path}'")
    got = select(
        s3, path.read_bytes(), "SELECT s.v FROM S3Object s WHERE s.n >= 3", {"Parquet": {}}
    )
    assert rows(got) == [{"v": "v3"}, {"v": "v4"}]


@pytest.mark.parametrize(("start", "end"), [(0, 3), (0, 4), (3, 8), (4, 8), (2, 2), (9, 30)])
def test_a_scan_range_means_the_records_that_begin_in_it(s3, start, end):
    body = "aaa\nbbb\nccc\nddd\n"
    got = select(
        s3,
        body,
        "SELECT _1 FROM S3Object",
        {"CSV": {}},
        {"CSV": {}},
        ScanRange={"Start": start, "End": end},
    )
    want = [
        line for at, line in zip((0, 4, 8, 12), body.split(), strict=True) if start <= at <= end
    ]
    assert got.split() == want


def test_a_large_answer_comes_in_pieces_and_progress_is_told(s3):
    body = "".join(f"{n},{'x' * 100}\n" for n in range(20_000))
    s3.put_object(Bucket="box", Key="k", Body=body)
    events = list(
        s3.select_object_content(
            Bucket="box", Key="k", ExpressionType="SQL", Expression="SELECT * FROM S3Object", InputSerialization={"CSV": {}},
            OutputSerialization={"CSV": {}}, RequestProgress={"Enabled": True},
        )["Payload"]
    )  # fmt: skip
    assert b"".join(e["Records"]["Payload"] for e in events if "Records" in e).decode() == body
    assert "Progress" in events[0]
    (stats,) = [e["Stats"]["Details"] for e in events if "Stats" in e]
    assert stats == {
        "BytesScanned": len(body),
        "BytesProcessed": len(body),
        "BytesReturned": len(body),
    }


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT read_text('/etc/passwd') FROM S3Object",
    "SELECT * FROM S3Object s, read_text('/etc/passwd')",
    "SELECT (SELECT content FROM read_text('/etc/passwd')) FROM S3Object",
    "SELECT * FROM S3Object; COPY (SELECT 1) TO '/tmp/x'",
    "COPY S3Object TO '/tmp/x'",
    "INSTALL httpfs",
    "ATTACH 'x.db'",
    "SELECT getenv('HOME') FROM S3Object",
    "SELECT current_setting('memory_limit') FROM S3Object",
    "SELECT * FROM S3Object UNION ALL SELECT * FROM duckdb_settings()",
    "SELECT * FROM S3Object s JOIN duckdb_extensions() d ON TRUE",
    "SELECT 'a' || pragma_version() FROM S3Object",
    "SELECT s.name.read_text() FROM S3Object s",
    "PRAGMA database_list",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_sql_that_reaches_for_anything_else_is_refused(sql):
    with pytest.raises(Fault) as refused:
        select_sql.parse(sql)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT content FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/stratolite-select-test'",
        "INSTALL httpfs",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SET enable_external_access=true",
    ],
)
def test_the_engine_itself_is_locked_should_a_query_get_that_far(sql, tmp_path):
    """The second wall: what the parser would have refused, given to the child as it is."""
    file = tmp_path / "data"
    file.write_text("a\n")
    with file.open("rb") as data:
        said = {
            "fd": data.fileno(), "sql": sql, "names": [], "output": {"kind": "json", "record": "\n"}, "memory_mb": 256, "cpu_s": 5,
            "format": "csv", "columns": ["_1"],
        }  # fmt: skip
        child = Path(select_child.__file__)
        done = subprocess.run(
            [sys.executable, "-I", child], input=json.dumps(said).encode() + b"\n", pass_fds=(data.fileno(),),
            capture_output=True, timeout=60,
        )  # fmt: skip
    assert done.stdout[4:5] == b"E", done.stdout[:200]
    assert b"root:" not in done.stdout


def test_a_query_that_needs_too_much_ends_and_the_next_one_runs(s3):
    body = "x\n" * 200_000
    greedy = (
        "SELECT MAX("
        + "||".join(["_1"] * 3)
        + ") FROM S3Object WHERE _1 || _1 LIKE '%y%' OR CAST(_1 AS INT) > 1"
    )
    with pytest.raises(ClientError, match="CastFailed"):
        select(s3, body, greedy, {"CSV": {}})
    assert select(s3, body, "SELECT COUNT(*) FROM S3Object", {"CSV": {}}, {"CSV": {}}) == "200000\n"
