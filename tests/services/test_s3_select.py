"""S3 Select: AWS's SQL over an object, in a child that can reach nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from stratolite.errors import Fault
from stratolite.runtime import jail
from stratolite.services.s3 import select_child, select_sql, selecting

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
    got = select(s3, LINES, 'SELECT s.name, s."at".x FROM S3Object[*] s WHERE s.age > 10', lines)
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


def in_the_child(tmp_path, sql, **limits):
    """The frames the child sends for ``sql`` as it is, past the parser that would have refused it."""
    file = tmp_path / "data"
    file.write_text("a\n")
    with file.open("rb") as data:
        said = {
            "fd": data.fileno(), "sql": sql, "names": [], "output": {"kind": "json", "record": "\n"}, "memory_mb": 256, "cpu_s": 60,
            "format": "csv", "columns": ["_1"], **limits,
        }  # fmt: skip
        child = Path(select_child.__file__)
        memory_bytes = max(said["memory_mb"] * 4, 1024) << 20
        done = subprocess.run(
            jail.command(str(child), memory_bytes, said.pop("cpu_s"), [data.fileno()]), input=json.dumps(said).encode() + b"\n", pass_fds=(data.fileno(),),
            capture_output=True, timeout=240, env={"PATH": "", "HOME": "/nonexistent", "MARK": "environment-mark"}, cwd="/",
        )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT content FROM read_text('/etc/passwd')",
        "SELECT content FROM read_blob('/proc/self/environ')",
        "SELECT content FROM read_text('/proc/self/fd/0')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('/etc/passwd', columns={'a': 'VARCHAR'})",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM 's3://bucket/key.parquet'",
        "COPY (SELECT 1) TO '/tmp/stratolite-select-test'",
        "COPY (SELECT 1) TO '/dev/shm/stratolite-select-test'",
        "EXPORT DATABASE '/tmp/stratolite-select-test'",
        "ATTACH '/tmp/stratolite-select-test.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access=true",
        "SET memory_limit='64GB'",
        "SET allowed_paths=['/etc/passwd']",
        "PRAGMA enable_external_access=true",
        "RESET allowed_directories",
    ],
)
def test_the_engine_itself_is_locked_should_a_query_get_that_far(sql, tmp_path):
    """The second wall: what the parser would have refused, given to the child as it is."""
    said = in_the_child(tmp_path, sql)
    assert said[4:5] == b"E", said[:200]
    assert b"root:" not in said
    assert b"environment-mark" not in said
    assert not list(Path("/tmp").glob("stratolite-select-test*"))


@pytest.mark.parametrize(
    ("sql", "limits"),
    [
        ("SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range = b.range + 1 OR a.range * b.range < 0", {"cpu_s": 2}),
        ("SELECT max(l) FROM (SELECT list(repeat('x', 1000000)) AS l FROM range(100000))", {"memory_mb": 64}),
    ],
    ids=["time", "memory"],
)  # fmt: skip
def test_the_child_is_stopped_at_its_limits(sql, limits, tmp_path):
    """Ended by the kernel, or told that there is no more memory: never an end of rows."""
    said = in_the_child(tmp_path, sql, **limits)
    kinds = []
    while len(said) >= 5:
        kinds.append(said[4:5])
        said = said[5 + int.from_bytes(said[:4], "big") :]
    assert b"D" not in kinds
    assert b"R" not in kinds


@pytest.mark.parametrize("compression", ["GZIP", "BZIP2"])
def test_a_few_bytes_that_expand_to_many_do_not_fill_memory(s3, compression, monkeypatch):
    """Taken piece by piece, and given up at the bound on the whole."""
    pack = gzip.compress if compression == "GZIP" else bz2.compress
    bomb = pack(b"0" * (8 << 20)) * 40  # 320 MiB in some kilobytes: streams one after another
    expand = selecting._gunzip() if compression == "GZIP" else selecting._bunzip()
    pieces = expand(bomb)
    sizes = [len(next(pieces)) for _ in range(20)]
    assert 0 < max(sizes) <= selecting._PIECE_BYTES
    assert sum(len(piece) for piece in expand_all(compression, bomb[: len(bomb) // 40])) == 8 << 20
    monkeypatch.setattr(selecting, "EXPANDED_BYTES_MAX", 10 << 20)
    reading = {"CSV": {}, "CompressionType": compression}
    with pytest.raises(ClientError, match="OverMaxRecordSize"):
        select(s3, bomb, "SELECT COUNT(*) FROM S3Object", reading)
    with pytest.raises(ClientError, match="InvalidCompressionFormat"):
        select(s3, b"not packed at all" * 10, "SELECT COUNT(*) FROM S3Object", reading)


def expand_all(compression, packed):
    """In arriving chunks of any size."""
    expand = selecting._gunzip() if compression == "GZIP" else selecting._bunzip()
    for at in range(0, len(packed), 1000):
        yield from expand(packed[at : at + 1000])


def test_a_parquet_file_that_lies_is_an_error_and_no_more(s3):
    """Damaged headers, lengths that point beyond the end, and no file at all."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"n": list(range(1000))}), out)
    whole = out.getvalue()
    broken = [b"PAR1" + b"\xff" * 100 + b"PAR1", whole[: len(whole) // 2], whole[:-8] + b"\xff\xff\xff\x7fPAR1", b""]  # fmt: skip
    for body in broken:
        with pytest.raises(ClientError) as refused:
            select(s3, body, "SELECT COUNT(*) FROM S3Object", {"Parquet": {}})
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 503)
    counted = rows(select(s3, whole, "SELECT COUNT(*) AS n FROM S3Object", {"Parquet": {}}))
    assert counted == [{"n": 1000}]


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


QUOTED = '"a\nx",1\nb,2\n'


@pytest.mark.parametrize(
    ("body", "sql", "csv", "more", "found"),
    [
        ("a|b|c|d|", "SELECT * FROM S3Object", {"RecordDelimiter": "|"}, {"ScanRange": {"Start": 2, "End": 5}}, "b c"),
        ("a;;b;;c;;d;;", "SELECT * FROM S3Object", {"RecordDelimiter": ";;"}, {"ScanRange": {"Start": 1, "End": 4}}, "b"),
        ("a;;b;;c;;d", "SELECT * FROM S3Object", {"RecordDelimiter": ";;"}, {"ScanRange": {"Start": 7}}, "d"),
        ("a,'b\n", "SELECT _2 FROM S3Object", {}, {}, "'b"),
        ("'a,''b',c\n", "SELECT _1 FROM S3Object", {"QuoteCharacter": "'"}, {}, "a,'b"),
        ('a,"b"\n', "SELECT _2 FROM S3Object", {"QuoteCharacter": "'"}, {}, '"b"'),
        (QUOTED, "SELECT _1 FROM S3Object", {"AllowQuotedRecordDelimiter": True}, {}, "a\nx b"),
        (QUOTED, "SELECT _1 FROM S3Object", {}, {}, "CSVEscapingRecordDelimiter"),
        (QUOTED, "SELECT _1 FROM S3Object", {"AllowQuotedRecordDelimiter": True}, {"ScanRange": {"Start": 1}}, "UnsupportedScanRangeInput"),
        (b"a,b\xff\n", "SELECT * FROM S3Object", {}, {}, "InvalidTextEncoding"),
        ("x" * (2 << 20) + "\n", "SELECT * FROM S3Object", {}, {}, "OverMaxRecordSize"),
    ],
)  # fmt: skip
def test_the_options_of_csv_mean_what_their_pages_say(s3, body, sql, csv, more, found):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CSVInput.html, and the list of S3 Select's error codes."""
    if found[0].isupper():
        with pytest.raises(ClientError, match=found):
            select(s3, body, sql, {"CSV": csv}, **more)
        return
    got = rows(select(s3, body, sql, {"CSV": csv}, **more))
    assert " ".join(value for row in got for value in row.values()) == found


def test_a_delimiter_of_two_characters_is_found_wherever_the_object_is_cut():
    """The pieces in which an object comes end anywhere, also between the two."""
    body = b"aa;;bb;;cc;;dd;;ee"
    for start in range(len(body)):
        for end in range(start, len(body)):
            began = [at for at in (0, 4, 8, 12, 16) if start <= at <= end]
            wanted = b"".join(body[at : at + 4] for at in began)
            for size in (1, 3, 100):
                scan, got = selecting._Scan((start, end + 1), b";;"), b""
                for at in range(0, len(body), size):
                    got += b"" if scan.done else scan.take(body[at : at + size])
                assert got + scan.rest() == wanted, (start, end, size)


def test_a_scan_range_of_parquet_means_the_row_groups_that_begin_in_it(s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/selecting-content-from-objects.html: ranges that meet count each row once."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"n": list(range(1000))}), out, row_group_size=100)
    body = out.getvalue()
    begins = [
        min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset)
        for c in (parquet.ParquetFile(out).metadata.row_group(g).column(0) for g in range(10))
    ]
    found = []
    third = len(body) // 3
    for start, end in ((0, third), (third + 1, 2 * third), (2 * third + 1, len(body))):
        wanted = sum(100 for at in begins if start <= at <= end)
        scan = {"Start": start, "End": end}
        (row,) = rows(select(s3, body, "SELECT COUNT(*) AS c, MIN(s.n) AS low FROM S3Object s", {"Parquet": {}}, ScanRange=scan))  # fmt: skip
        assert row["c"] == wanted
        found.append(row)
    assert sum(row["c"] for row in found) == 1000


@pytest.mark.parametrize("header", ["USE", "IGNORE"])
def test_the_header_counts_for_every_range(s3, header):
    """A client that reads an object range by range sees each record once, under the names of the first line."""
    body = "name;age\nann;1\nbob;2\ncyd;3\n"
    name = "s.name" if header == "USE" else "s._1"
    found = []
    for start in range(0, len(body), 7):
        found += rows(
            select(
                s3, body, f"SELECT {name} AS n FROM S3Object s", {"CSV": {"FileHeaderInfo": header, "FieldDelimiter": ";"}},
                ScanRange={"Start": start, "End": start + 6},
            )
        )  # fmt: skip
    assert [row["n"] for row in found] == ["ann", "bob", "cyd"]
