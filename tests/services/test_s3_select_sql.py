"""S3 Select's SQL: each example of AWS's reference, over CSV and over JSON, and the errors by AWS's names."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from stratolite.errors import Fault
from stratolite.services.s3 import select_sql

REFERENCE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-"
CSV = {"CSV": {"FileHeaderInfo": "USE"}}
LINES = {"JSON": {"Type": "LINES"}}
OBJECTS = {"csv": ("id,n\nx,5\n", CSV), "json": ('{"id":"x","n":5}\n', LINES)}


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="box")
    return made


def select(s3, body, sql, reading, writing=None):
    s3.put_object(Bucket="box", Key="k", Body=body)
    answer = s3.select_object_content(
        Bucket="box", Key="k", ExpressionType="SQL", Expression=sql, InputSerialization=reading,
        OutputSerialization=writing or {"JSON": {}},
    )  # fmt: skip
    return b"".join(e["Records"]["Payload"] for e in answer["Payload"] if "Records" in e).decode()


def rows(s3, body, sql, reading):
    return [json.loads(line) for line in select(s3, body, sql, reading).splitlines()]


def refused(s3, body, sql, reading):
    with pytest.raises(ClientError) as error:
        select(s3, body, sql, reading)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    said = error.value.response["Error"]
    for leak in ("/proc", "LINE 1", "Binder", "Error:", "VARCHAR", "Candidate", "\x02"):
        assert leak not in said["Message"]
    return said["Code"]


DATES = [
    ("DATE_ADD(year, 5, `2010-01-01T`)", "2015-01-01"),
    ("DATE_ADD(month, 1, `2010T`)", "2010-02T"),
    ("DATE_ADD(month, 13, `2010T`)", "2011-02T"),
    ("DATE_ADD(day, -1, `2017-01-10T`)", "2017-01-09"),
    ("DATE_ADD(hour, 1, `2017T`)", "2017-01-01T01:00-00:00"),
    ("DATE_ADD(hour, 1, `2017-01-02T03:04Z`)", "2017-01-02T04:04Z"),
    ("DATE_ADD(minute, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:05:05.006Z"),
    ("DATE_ADD(second, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:04:06.006Z"),
    ("DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)", 1),
    ("DATE_DIFF(month, `2010T`, `2010-05T`)", 4),  # the page has year, of which none passed
    ("DATE_DIFF(month, `2010T`, `2011T`)", 12),
    ("DATE_DIFF(month, `2011T`, `2010T`)", -12),
    ("DATE_DIFF(day, `2010-01-01T23:00`, `2010-01-02T01:00`)", 0),
    ("EXTRACT(YEAR FROM `2010-01-01T`)", 2010),
    ("EXTRACT(MONTH FROM `2010T`)", 1),
    ("EXTRACT(MONTH FROM `2010-10T`)", 10),
    ("EXTRACT(HOUR FROM `2017-01-02T03:04:05+07:08`)", 3),
    ("EXTRACT(MINUTE FROM `2017-01-02T03:04:05+07:08`)", 4),
    ("EXTRACT(SECOND FROM `2017-01-02T03:04:05+07:08`)", 5),
    ("EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05+07:08`)", 7),
    ("EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05+07:08`)", 8),
    ("EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05-08:30`)", -8),
    ("EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05-08:30`)", -30),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", "July 20, 1969"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MMM d, yyyy')", "Jul 20, 1969"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'M-d-yy')", "7-20-69"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MM-d-y')", "07-20-1969"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y h:m a')", "July 20, 1969 8:18 PM"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'y-MM-dd''T''H:m:ssX')", "1969-07-20T20:18:00Z"),
    ("TO_STRING(`1969-07-20T20:18+08:00Z`, 'y-MM-dd''T''H:m:ssX')", "1969-07-20T20:18:00Z"),
    ("TO_STRING(`1969-07-20T20:18+08:00`, 'y-MM-dd''T''H:m:ssXXXX')", "1969-07-20T20:18:00+0800"),
    ("TO_STRING(`1969-07-20T20:18+08:00`, 'y-MM-dd''T''H:m:ssXXXXX')", "1969-07-20T20:18:00+08:00"),
    ("TO_STRING(`2017-01-02T03:04:05.0067Z`, 'MMMMM hh:mm:ss.SSS xx')", "J 03:04:05.006 +0000"),
    ("TO_TIMESTAMP('2007T')", "2007T"),
    ("TO_TIMESTAMP('2007-02-23T12:14:33.079-08:00')", "2007-02-23T12:14:33.079-08:00"),
    ("`2017-01-01T01:00+01:00` = `2017T`", True),  # the same moment
    ("`2017-01-01T01:00+01:00` < `2017-01-01T00:30Z`", True),
    ("`2017-02T` BETWEEN `2017T` AND `2018T`", True),
]  # fmt: skip
CONDITIONS = [
    ("COALESCE(1)", 1),
    ("COALESCE(null)", None),
    ("COALESCE(null, null)", None),
    ("COALESCE(missing)", None),
    ("COALESCE(missing, missing)", None),
    ("COALESCE(1, null)", 1),
    ("COALESCE(null, null, 1)", 1),
    ("COALESCE(null, 'string')", "string"),
    ("COALESCE(missing, 1)", 1),
    ("NULLIF(1, 1)", None),
    ("NULLIF(1, 2)", 1),
    ("NULLIF(1.0, 1)", None),
    ("NULLIF(1, '1')", 1),
    ("NULLIF([1], [1])", None),
    ("NULLIF(1, NULL)", 1),
    ("NULLIF(NULL, 1)", None),
    ("NULLIF(null, null)", None),
    ("NULLIF(missing, null)", None),
    ("NULLIF(missing, missing)", None),
    ("CASE s.id WHEN 'x' THEN 'a' ELSE 'b' END", "a"),
    ("CASE WHEN s.id = 'y' THEN 'a' WHEN s.id = 'x' THEN 'c' END", "c"),
]
TEXTS = [
    ("CHAR_LENGTH('')", 0),
    ("CHAR_LENGTH('abcdefg')", 7),
    ("CHARACTER_LENGTH('abcdefg')", 7),
    ("LOWER('AbCdEfG!@#$')", "abcdefg!@#$"),
    ("UPPER('AbCdEfG!@#$')", "ABCDEFG!@#$"),
    ("SUBSTRING('123456789', 0)", "123456789"),
    ("SUBSTRING('123456789', 1)", "123456789"),
    ("SUBSTRING('123456789', 2)", "23456789"),
    ("SUBSTRING('123456789', -4)", "123456789"),
    ("SUBSTRING('123456789', 0, 999)", "123456789"),
    ("SUBSTRING('123456789', 1, 5)", "12345"),
    ("SUBSTRING('123456789', -1, 3)", "1"),  # start + length - 1 characters from the first
    ("SUBSTRING('123456789', -5, 3)", ""),
    ("SUBSTRING('123456789' FROM 2 FOR 3)", "234"),
    ("TRIM('       foobar         ')", "foobar"),
    ("TRIM('      \\tfoobar\\t         ')", "\\tfoobar\\t"),
    ("TRIM(LEADING FROM '       foobar         ')", "foobar         "),
    ("TRIM(TRAILING FROM '       foobar         ')", "       foobar"),
    ("TRIM(BOTH FROM '       foobar         ')", "foobar"),
    ("TRIM(BOTH '12' FROM '1112211foobar22211122')", "foobar"),
]
TYPES = [
    ("CAST('2007-04-05T14:30Z' AS TIMESTAMP)", "2007-04-05T14:30Z"),
    ("CAST(0.456 AS FLOAT)", 0.456),
    ("CAST('100000' AS INT)", 100000),
    ("CAST('9223372036854775807' AS INTEGER)", 9223372036854775807),
    ("CAST('123.456789' AS DECIMAL)", 123.456789),
    ("CAST('123.5' AS NUMERIC(5, 2))", 123.5),
    ("CAST('false' AS BOOL)", False),
    ("CAST(5 AS STRING)", "5"),
    ("CAST(12.9 AS INT)", 12),
]
OPERATORS = [
    ("1 + 2 * 3", 7),
    ("-2 - -3", 1),
    ("5 % 2", 1),
    ("(1 + 2) * 3", 9),
    ("NOT 1 = 2 AND 2 <> 3", True),
    ("1 = 1 OR 1 = 2 AND 1 = 3", True),
    ("s.id LIKE '_'", True),
    ("s.id NOT LIKE 'x%'", False),
    ("'5%' LIKE '5^%' ESCAPE '^'", True),
    ("s.id IN ('a', 'b', 'x')", True),
    ("s.id NOT IN ('x')", False),
    ("CAST(s.n AS INT) BETWEEN 1 AND 6", True),
    ("2 NOT BETWEEN 1 AND 3", False),
    ("s.id IS NULL", False),
    ("s.id IS NOT NULL", True),
    ("s.id IS MISSING", False),
    ("MISSING IS MISSING", True),
    ("'a' || s.id", "ax"),
]


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize(
    "examples",
    [DATES, CONDITIONS, TEXTS, TYPES, OPERATORS],
    ids=["date", "conditional", "string", "data-types", "operators"],
)
def test_every_example_of_the_reference(s3, kind, examples):
    """The pages sql-functions, data-types, conversion and operators of REFERENCE; what it lacks is marked so."""
    body, reading = OBJECTS[kind]
    sql = f"SELECT {', '.join(expression for expression, _ in examples)} FROM S3Object s"
    (row,) = rows(s3, body, sql, reading)
    assert list(row) == [f"_{n}" for n in range(1, len(examples) + 1)]
    found = {expression: row[f"_{n}"] for n, (expression, _) in enumerate(examples, 1)}
    assert found == dict(examples)


def test_timestamps_in_a_file_are_compared_as_moments_and_counted_with(s3):
    """Their offset is theirs to keep."""
    body = "at,n\n2017-01-02T03:04:05-08:00,1\n2017-01-02T09:00:00Z,2\n2016T,3\n"
    sql = "SELECT MAX(TO_TIMESTAMP(s.at)) AS a, MIN(TO_TIMESTAMP(s.at)) AS b FROM S3Object s"
    assert rows(s3, body, sql.replace("s.at", 's."at"'), CSV) == [{"a": "2017-01-02T03:04:05-08:00", "b": "2016T"}]  # fmt: skip
    sql = 'SELECT s.n, EXTRACT(TIMEZONE_HOUR FROM TO_TIMESTAMP(s."at")) AS z FROM S3Object s WHERE CAST(s."at" AS TIMESTAMP) > `2017-01-02T10:00Z`'  # fmt: skip
    assert rows(s3, body, sql, CSV) == [{"n": "1", "z": -8}]


def test_utcnow_is_the_clouds_clock(s3, cloud):
    (row,) = rows(s3, "a\n", "SELECT UTCNOW() AS t, DATE_ADD(day, 1, UTCNOW()) > UTCNOW() AS later FROM S3Object", {"CSV": {}})  # fmt: skip
    assert row["later"] is True
    assert row["t"].endswith("Z")
    assert len(row["t"]) == len("2017-10-13T16:02:11.123Z")


RULES = '{ "Rules": [ {"id": "1"}, {"expr": "y > x"}, {"id": "2", "expr": "z = DEBUG"} ]}\n{ "created": "June 27", "modified": "July 6" }\n'
FILES = (
    '{ "created": "936864000", "dir_name": "important_docs", "files": [ { "name": "." } ], "owner": "Amazon S3" }\n'
    '{ "created": "936864000", "dir_name": "other_docs", "files": [ { "name": ".." } ], "owner": "User" }\n'
)
SUSAN = (
    '{"name": "Susan Smith", "org": "engineering", "projects": [ {"project_name":"project1", "completed":false},'
    ' {"project_name":"project2", "completed":true} ] }'
)


@pytest.mark.parametrize(
    ("body", "sql", "found"),
    [
        (RULES, "SELECT id FROM S3Object[*].Rules[*].id", [{"id": "1"}, {}, {"id": "2"}, {}]),
        (RULES, "SELECT id FROM S3Object[*].Rules[*].id WHERE id IS NOT MISSING", [{"id": "1"}, {"id": "2"}]),
        (RULES, "SELECT _1.id FROM S3Object[*].Rules[*] WHERE _1.expr IS NOT MISSING", [{}, {"id": "2"}]),
        (RULES, "SELECT COUNT(id) AS n FROM S3Object[*].Rules[*].id", [{"n": 2}]),
        (FILES, "SELECT d.dir_name, d.files FROM S3Object[*] d", [{"dir_name": "important_docs", "files": [{"name": "."}]}, {"dir_name": "other_docs", "files": [{"name": ".."}]}]),
        (FILES, "SELECT _1.dir_name, _1.owner FROM S3Object[*]", [{"dir_name": "important_docs", "owner": "Amazon S3"}, {"dir_name": "other_docs", "owner": "User"}]),
        (SUSAN, "Select s.name from S3Object s", [{"name": "Susan Smith"}]),
        (SUSAN, "Select s.projects[0].project_name from S3Object s", [{"project_name": "project1"}]),
        (SUSAN, "SELECT s.projects[1].completed, s.projects[7] FROM S3Object s WHERE s.projects[1].completed", [{"completed": True}]),
        (SUSAN, "SELECT * FROM S3Object[*]['projects'][*] p WHERE p.completed", [{"project_name": "project2", "completed": True}]),
        (SUSAN, "SELECT s.nope, s.nope IS MISSING AS gone, s.nope IS NULL AS nul, s.a.b FROM S3Object s", [{"gone": True, "nul": True}]),
        ('{"a":null,"arr":[1,2,3]}\n{"arr":[]}\n', "SELECT s.a, s.arr[0] AS one, s.a IS MISSING AS gone FROM S3Object s", [{"a": None, "one": 1, "gone": False}, {"gone": True}]),
        ('{"NAME":"x","n":5}', 'SELECT s.name, s."name" AS other, s.n + 1, s.n IS NULL FROM S3Object s', [{"name": "x", "_3": 6, "_4": False}]),
        ('{"NAME":"x","name":"y","CAST":"z"}', 'SELECT s."NAME", s."CAST" FROM S3Object s', [{"NAME": "x", "CAST": "z"}]),
        ('{"A":"x"}\n{"a":"y"}', "SELECT s.a FROM S3Object s", [{"a": "x"}, {"a": "y"}]),
        ('{"n":1,"m":null}\n{"o":[{"p":1.5}]}', "SELECT * FROM S3Object s", [{"n": 1, "m": None}, {"o": [{"p": 1.5}]}]),
    ],
)  # fmt: skip
def test_json_is_reached_as_the_select_page_says(s3, body, sql, found):
    """REFERENCE + select.html: FROM paths, attribute access, MISSING, case."""
    assert rows(s3, body, sql, LINES) == found


def test_a_json_document_is_reached_as_its_lines_are(s3):
    """A document is an array of values at the root, of which there may be one."""
    document = {"JSON": {"Type": "DOCUMENT"}}
    indented = json.dumps(json.loads(SUSAN), indent=2)
    sql = "SELECT s.name, s.projects[1].completed, s.nope IS MISSING FROM S3Object s"
    assert rows(s3, indented, sql, document) == [{"name": "Susan Smith", "completed": True, "_3": True}]  # fmt: skip
    assert rows(s3, indented, "SELECT * FROM S3Object[*].name", document) == [{"_1": "Susan Smith"}]


SALES = "venuecity,pricepaid\nLos Angeles,12624.00\nNew York City,10000.00\nBaltimore,9996.00\n"
SIZES = '"DOC-EXAMPLE-BUCKET","example-folder/","0"\n"DOC-EXAMPLE-BUCKET","example-folder/object1","2011267"\n"DOC-EXAMPLE-BUCKET","example-folder/object2","1570024"\n'


@pytest.mark.parametrize(
    ("body", "sql", "header", "found"),
    [
        (SALES, "SELECT venuecity, CASE venuecity WHEN 'New York City' THEN 'Big Apple' ELSE 'other' END FROM S3Object;", "USE", "Los Angeles,other\nNew York City,Big Apple\nBaltimore,other\n"),
        (SALES, "SELECT pricepaid, CASE WHEN CAST(pricepaid as FLOAT) < 10000 THEN 'group 1' WHEN CAST(pricepaid as FLOAT) > 10000 THEN 'group 2' ELSE 'group 3' END FROM S3Object;", "USE", "12624.00,group 2\n10000.00,group 3\n9996.00,group 1\n"),
        (SIZES, "SELECT SUM(CAST(_3 as INT)) FROM s3object s WHERE _2 LIKE 'example-folder/%' AND _2 != 'example-folder/';", "NONE", "3581291\n"),
        ("NAME,CAST\nx,y\n", 'SELECT s.name, s."CAST", s._2, s3object._1, s._9 from S3Object s', "USE", "x,y,y,x,\n"),
        ("NAME,name\nx,y\n", 'SELECT s."name", s."NAME" from S3Object s', "USE", "y,x\n"),
        ("1,2\n3,\n", "SELECT AVG(CAST(_1 AS INT)), COUNT(*), MAX(CAST(_1 AS INT)) FROM S3Object", "NONE", "2.0,2,3\n"),
    ],
)  # fmt: skip
def test_csv_is_reached_as_the_pages_say(s3, body, sql, header, found):
    """REFERENCE + conditional.html, aggregate.html, select.html; a column no line has is empty:
    https://github.com/minio/minio/issues/13186."""
    assert select(s3, body, sql, {"CSV": {"FileHeaderInfo": header}}, {"CSV": {}}) == found


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("s.nope", "MissingHeaders"),
        ('s."ID"', "MissingHeaders"),
        ("s.id.x", "InvalidKeyPath"),
        ("s.n > 1", "UnsupportedTypeForQuerying"),
        ("CAST(s.n AS foo)", "InvalidDataType"),
        ("CAST(s.n AS 5)", "ParseExpectedTypeName"),
        ("CAST s.n", "ParseExpectedLeftParenAfterCast"),
        ("`yesterday`", "LexerInvalidIONLiteral"),
        ("s.id ~ 1", "LexerInvalidChar"),
        ("DATE_ADD(century, 1, `2017T`)", "ParseExpectedDatePart"),
        ("DATE_ADD(day, 1)", "EvaluatorInvalidArguments"),
        ("TO_STRING(`2017T`, 'y b')", "EvaluatorInvalidTimestampFormatPatternSymbol"),
        ("TO_STRING(`2017T`, 'yyyyyy')", "EvaluatorInvalidTimestampFormatPatternToken"),
        ("TO_STRING(`2017T`, 'y''T')", "EvaluatorUnterminatedTimestampFormatPatternToken"),
        ("NULLIF(1)", "EvaluatorInvalidArguments"),
        ("SQRT(4)", "UnsupportedFunction"),
        ("SUM(*)", "ParseUnsupportedCallWithStar"),
        ("MAX(s.id, s.n)", "ParseNonUnaryAgregateFunctionCall"),
        ("AVG(s.id)", "IncorrectSqlFunctionArgumentType"),
        ("LOWER(5)", "IncorrectSqlFunctionArgumentType"),
        ("s.CAST", "ParseInvalidPathComponent"),
        ("1 = '1'", "UnsupportedTypeForQuerying"),
        ("CASE END", "ParseUnExpectedKeyword"),
        ("s.id AS select", "ParseExpectedIdentForAlias"),
        ("*, s.id", "ParseAsteriskIsNotAloneInSelectList"),
        ("", "ParseEmptySelect"),
        ("s.id LIKE 5", "LikeInvalidInputs"),
        ("(" * 200 + "1" + ")" * 200, "MaxOperatorsExceeded"),
    ],
)  # fmt: skip
def test_an_expression_that_cannot_be_is_refused_by_awss_name(expression, code):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#SelectObjectContentErrorCodeList"""
    sql = f"SELECT {expression} FROM S3Object s"
    with pytest.raises(Fault) as error:
        select_sql.parse(sql, "csv", select_sql.Header(["id", "n"], 2))
    assert (error.value.code, error.value.status) == (code, 400)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("s.nope", "MissingHeaders"),
        ("CAST(s.n AS foo)", "InvalidDataType"),
        ("CAST(s.id AS INT)", "CastFailed"),
        ("CAST(s.id AS TIMESTAMP)", "CastFailed"),
        ("CAST('9223372036854775808' AS INT)", "CastFailed"),
        ("1/0", "ExternalEvalException"),
        ("5 % CAST('0' AS INT)", "ExternalEvalException"),
        ("CAST('9223372036854775807' AS INT) + 1", "IntegerOverflow"),
        ("TO_TIMESTAMP('yesterday')", "ValueParseFailure"),
        ("DATE_ADD(year, 9000, `2017T`)", "IntegerOverflow"),
        ("TO_TIMESTAMP('2017-13T')", "ValueParseFailure"),
        ("COUNT(*), s.id", "UnsupportedSqlStructure"),
        ("s.id LIKE 'a' ESCAPE 'long'", "LikeInvalidInputs"),
    ],
)  # fmt: skip
def test_no_words_of_the_engine_leak_from_a_query_that_fails(s3, expression, code):
    """What only the run can tell, after two that the parser does."""
    body, reading = OBJECTS["csv"]
    assert refused(s3, body, f"SELECT {expression} FROM S3Object s", reading) == code


@pytest.mark.parametrize(
    ("body", "sql", "reading", "code"),
    [
        ('{"NAME":"x","name":"y"}', "SELECT s.name FROM S3Object s", LINES, "AmbiguousFieldName"),
        ("NAME,name\nx,y\n", "SELECT s.name FROM S3Object s", CSV, "AmbiguousFieldName"),
        ('{"a":"x"}', "SELECT 1 FROM S3Object s WHERE s.a > 1", LINES, "UnsupportedTypeForQuerying"),
        ("not json\n", "SELECT s.a FROM S3Object s", LINES, "JSONParsingError"),
        ("no parquet", "SELECT s.a FROM S3Object s", {"Parquet": {}}, "ParquetParsingError"),
        ("a\n", "SELECT 1 FROM S3Object.a", {"CSV": {}}, "InvalidKeyPath"),
        ("a\n", "SELECT 1 FROM S3Object[*].a", {"CSV": {}}, "InvalidKeyPath"),
        ("a\n", "SELECT 1 FROM S3Object s JOIN S3Object t", {"CSV": {}}, "ParseMalformedJoin"),
        ("a\n", "SELECT 1 FROM S3Object s, S3Object t", {"CSV": {}}, "MultipleDataSourcesUnsupported"),
        ("a\n", "SELECT 1 FROM S3Object LIMIT -1", {"CSV": {}}, "EvaluatorNegativeLimit"),
        ("a\n", "SELECT 1 FROM elsewhere", {"CSV": {}}, "InvalidDataSource"),
        ("a\n", "SELECT 1", {"CSV": {}}, "ParseSelectMissingFrom"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_too(s3, body, sql, reading, code):
    assert refused(s3, body, sql, reading) == code
