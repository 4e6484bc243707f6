"""Filter patterns: what holds for which message, what is read out of it, and what is refused in which words.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html, whose examples are here, and those of
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TestMetricFilter.html
"""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.services.logs.patterns import Text, compiled
from stratolite.services.logs.regular import Expression

TRAIL = json.dumps({
    "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}], "SomeObject": None, "cluster.name": "c",
    "number": 123, "float": 12.0, "ratio": 12.34, "flag": True, "empty": "", "object": {}, "list": [], "n": [1000],
    "said": 'error "message"',
})  # fmt: skip
NESTED = json.dumps({
    "user": {"id": 1, "email": "John.Stiles@example.com"},
    "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
    "actions": ["GET", "PUT", "DELETE"], "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
})  # fmt: skip
APACHE = (
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534',
    '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /about-us/index.html HTTP/1.0" 200 5324',
    '127.0.0.1 - frank [10/Oct/2000:13:50:35 -0700] "GET /apache_pb.gif HTTP/1.0" 404 4355',
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /products/index.html HTTP/1.0" 400 1534',
)


@pytest.mark.parametrize(
    ("pattern", "message", "found"),
    [
        ("", "anything", True),
        (" ", "anything", True),
        ('" "', "any thing", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "[ERROR 401] UNAUTHORIZED", True),
        ("ERROR", "an error here", False),
        ("ERROR here", "here an ERROR", True),
        ("ERROR there", "an ERROR here", False),
        ('"an ERROR"', "an ERROR here", True),
        ('"ERROR an"', "an ERROR here", False),
        ('"[ERROR]" Exception', "[ERROR] Unhanded exception: InvalidQueryException", True),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "an INFO", False),
        ("?ERROR ?ARGUMENTS REQUEST", "[INFO] REQUEST FAILED", True),
        ("ERROR -debug", "ERROR in debug", False),
        ("ERROR -debug", "ERROR in prod", True),
        ('ERROR -"in prod"', "ERROR in prod", False),
        (r'"say \"hi\""', 'they say "hi"', True),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("%^[hc]at%", "a hat", False),
        ("%[hc]at$%", "a hat\n", True),
        (r"%10\.10\.0\.1%", "10010,051", False),
        (r"%\x28[a-z]{2,3}\x29%", "f(xyz)", True),
        ("%^starting|^shutting down%", "shutting down now", True),
    ],
)
def test_terms_and_regular_expressions(pattern, message, found):
    assert compiled(pattern).matches(message) is found


@pytest.mark.parametrize(
    "condition",
    [
        '$.eventType = "UpdateTrail"', "$.eventType = UpdateTrail", "$.sourceIPAddress != 123.123.*", '$.arrayKey[0] = "value"',
        "$.objectList[1].id = 2", "$.eventType = %Trail%", "$.arrayKey[*] = %val.{2}%",
        r"$.* = %111\.111\.111\.1[0-9]{1,2}%", "$.['cluster.name'] = \"c\"", "$.SomeObject IS NULL", "$.Other NOT EXISTS",
        "$.flag IS TRUE", "$.n[0] = 1e+3", "$.n[0] != 1e-3", "$.number >= 123.0", "$.ratio > 12.3", "$.number <= 1000",
        r'$.said = "error \"message\""', '$.said = "*message*"', '$.empty = "*"', "$.number = 12*", "$.number = *23",
        # as the service answered in 2019, https://github.com/awsdocs/amazon-cloudwatch-logs-user-guide: text and numbers apart
        '$.number = "123"', '$.number != "123.0"', "$.number = 123.0", '$.float != "12"', "$.float = 12",
        '$.sourceIPAddress != "111*111"', "$.sourceIPAddress != 111", '$.sourceIPAddress = "*.111.111.111"',
    ],
)  # fmt: skip
def test_conditions_that_hold_for_a_json_message(condition):
    assert compiled(f"{{ {condition} }}").matches(TRAIL)
    assert compiled(f"{{{condition}}}").matches(TRAIL + "\n")
    assert not compiled(f"{{ {condition} }}").matches("no JSON " + TRAIL)


@pytest.mark.parametrize(
    "condition",
    [
        "$.sourceIPAddress > 123", "$.sourceIPAddress = 123", '$.object != "1"', "$.list != 1", "$.Other != 1",
        '$.flag[0] = "value"', "$.flag IS FALSE", "$.flag = *", '$.sourceIPAddress = "111*111"', "$.number != 123",
        "$.SomeObject NOT EXISTS", "$.Other IS NULL", "$.objectList[1].number = 2", "$.arrayKey[7] = *", "$.arrayKey = *",
        "$.eventType = update*", "$.arrayKey[*] = nothing",
    ],
)  # fmt: skip
def test_conditions_that_do_not_hold(condition):
    assert not compiled(f"{{ {condition} }}").matches(TRAIL)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ('($.user.id = 1) && ($.users[0].email = "John.Doe@example.com")', True),
        ('$.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nonmatch', True),
        ('($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nonmatch', False),
        ('($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET"', False),
    ],
)  # fmt: skip
def test_and_binds_closer_than_or(pattern, found):
    assert compiled(f"{{ {pattern} }}").matches(NESTED) is found


LINES = ("INFO 09/25/2014 12:00:00 GET /service/resource/67 1200", "INFO 09/25/2014 12:00:01 POST /service/resource/67/part/111 1310",
         "WARNING 09/25/2014 12:00:02 Invalid user request", "ERROR 09/25/2014 12:00:02 Failed to process request")  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "lines", "found"),
    [
        ("[w1=ERROR, w2]", LINES, [3]),
        ("[w1=ERROR]", LINES, []),
        ("[w1=ERROR || w1=WARNING, w2]", LINES, [2, 3]),
        ("[w1!=ERROR && w1!=WARNING, w2]", LINES, [0, 1]),
        ("[logLevel, date, time, method, url=%/service/resource/[0-9]+$%, response_time]", LINES, [0]),
        ("[logLevel, date, time, method, url=%/service/resource/[0-9]+/part/[0-9]+$%, response_time]", LINES, [1]),
        ("[ip, user, username, timestamp, request =*.html*, status_code = 404 || status_code = 410, bytes]", APACHE, [0]),
        ("[ip, user, username, timestamp, request, status_code = 4* && status_code != 404, bytes]", APACHE, [3]),
        ("[..., request =*.html*, status_code = 4*, bytes]", APACHE, [0, 3]),
        (r"[ip=%127\.0\.0\.[1-9]%, ..., bytes > 4000]", APACHE, [1, 2]),
        ('[..., (s="404" || s=200) && s!=200, b<=1.534e3]', APACHE, [0]),
        ('[timestamp=*Z, request_id="*-*", event]', ("2026-01-01T00:00:00Z\t1-2\tINFO\tHello there\n", "START RequestId: 1-2"), [0]),
        ("[]", ("", "a"), [0, 1]),
        ("[a, b, c]", ("1 2", "1 2 3", "1 2 3 4"), [1, 2]),
    ],
)  # fmt: skip
def test_fields_between_spaces(pattern, lines, found):
    assert [n for n, line in enumerate(lines) if compiled(pattern).matches(line)] == found


@pytest.mark.parametrize(
    ("pattern", "extracted"),
    [
        ("[..., request=*.html*, status_code=4*,]", {"$status_code": "404", "$request": "GET /index.html HTTP/1.0", "$7": "1534", "$4": "10/Oct/2000:13:25:15 -0700", "$3": "frank", "$2": "-", "$1": "127.0.0.1"}),
        ("[..., size]", {"$size": "1534", "$6": "404", "$4": "10/Oct/2000:13:25:15 -0700", "$5": "GET /index.html HTTP/1.0", "$2": "-", "$3": "frank", "$1": "127.0.0.1"}),
        ("[]", {"$7": "1534", "$6": "404", "$4": "10/Oct/2000:13:25:15 -0700", "$5": "GET /index.html HTTP/1.0", "$2": "-", "$3": "frank", "$1": "127.0.0.1"}),
        ("[ip, rest]", {"$ip": "127.0.0.1", "$rest": APACHE[0][len("127.0.0.1 "):]}),
    ],
)  # fmt: skip
def test_what_is_extracted(client, pattern, extracted):
    answer = client("logs").test_metric_filter(
        filterPattern=pattern, logEventMessages=["x", APACHE[0]]
    )
    (match,) = [m for m in answer["matches"] if m["eventMessage"] != "x"]
    assert match == {
        "eventNumber": 1,
        "eventMessage": APACHE[0],
        "extractedValues": extracted,
    }


def test_what_is_extracted_of_json_and_of_terms(client):
    pattern = '{ $.user.id = 1 && $.users[0].email = "*" && $.user.age NOT EXISTS }'
    test = client("logs").test_metric_filter
    (match,) = test(filterPattern=pattern, logEventMessages=[NESTED])["matches"]
    assert match["extractedValues"] == {"$.user.id": "1", "$.users[0].email": "John.Doe@example.com"}  # fmt: skip
    (match,) = test(filterPattern='"[ERROR]"', logEventMessages=["an [ERROR]"])["matches"]
    assert match["extractedValues"] == {}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{ $.a = 1", "If a filter pattern starts with '{' it must end with '}'"),
        ("[time, level=ERROR, msg", "If a filter pattern starts with '[' it must end with ']'"),
        ("?Status: timeout", "Invalid character(s) in term ':'"),
        ("`ERROR`", "Invalid character(s) in term '`'"),
        ("Player (reason", "Invalid character(s) in term '('"),
        ('{ $."sc-status" = 5* }', "Invalid character(s) in term '$.\"'"),
        ('{ $.message = "error-response", $.path = "/authenticate" }', "Invalid character(s) in term ','"),
        ('{ $.a > "text" }', "Invalid character(s) in term '\"text\"'"),
        ("{ $.a >= text }", "Invalid character(s) in term '\"text\"'"),
        ("%a(b|c)%", "Invalid character(s) in term '('"),
        ("%something!%", "Invalid character(s) in term '!'"),
        ('{ status = "401" }', "Invalid filter pattern"),
        ("{ $.a IS NOT NULL }", "Invalid filter pattern"),
        ("{ $.a EXISTS }", "Invalid filter pattern"),
        ("{ ($.a = 1 }", "Invalid filter pattern"),
        ("{ $.*[*] = 1 }", "Invalid filter pattern"),
        ("{ $.a[*] = 1 || $.b[*] = 1 || $.c[*] = 1 || $.d[*] = 1 }", "Invalid filter pattern"),
        ("{ $.a = %x% || $.b = %y% || $.c = %z% }", "Invalid filter pattern"),
        ("{ $.a > %x% }", "Invalid filter pattern"),
        ("{ %a% }", "Invalid character(s) in term '%'"),
        ("{}", "Invalid filter pattern"),
        ("%a**%", "Invalid filter pattern"),
        ('"event": "x"', "Invalid filter pattern"),
        ('"open', "Invalid filter pattern"),
        ("[ip, status_code = 4* && bytes > 1000]", "Invalid filter pattern"),
        ("[..., a, ...]", "Invalid filter pattern"),
        ("{ " + "(" * 100 + "$.a = 1" + ")" * 100 + " }", "Invalid filter pattern"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_in_aws_words(client, pattern, said):
    """Words from issues 3219 of aws-toolkit-jetbrains, 210 of awslogs, 15047 of aws-cdk; whose error it is stands in the last ones."""
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    with pytest.raises(ClientError) as caught:
        logs.filter_log_events(logGroupName="g", filterPattern=pattern)
    assert caught.value.response["Error"] == {"Code": "InvalidParameterException", "Message": said}
    with pytest.raises(ClientError) as caught:
        logs.test_metric_filter(filterPattern=pattern, logEventMessages=["x"])
    wanted = said.replace("Invalid filter", "Invalid metric filter")
    assert caught.value.response["Error"]["Message"] == wanted


def test_a_regular_expression_matches_what_pythons_does():
    """One engine against another, on what both know; the seed is fixed."""
    chance = random.Random(7)
    atoms, often = ("a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "x"), ("", "", "*", "+", "?", "{2}", "{1,2}", "{0,2}", "{1,}")  # fmt: skip
    for _ in range(3000):
        rows = [
            chance.choice(("", "", "^"))
            + "".join(chance.choice(atoms) + chance.choice(often) for _ in range(chance.randint(1, 4)))
            + chance.choice(("", "", "$"))
            for _ in range(chance.randint(1, 2))
        ]  # fmt: skip
        text = "".join(chance.choice("ab1x\n") for _ in range(chance.randint(0, 7)))
        expression = "|".join(rows)
        wanted = re.search(expression, text, re.DOTALL) is not None
        assert Expression(expression).found_in(text) is wanted, (expression, text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%a.*a.*a.*a.*b%", "a" * 200_000),
        ("%[0-9]*x$%", "0" * 200_000),
        ("[a, b=%x%, c]", "[ " * 200_000),
        ("[a, b=%x%, c]", '" ' * 200_000),
        ("{ $.a = 1 }", '{"a":' * 100_000),
        ("{ $.a = *1* }", '{"a": 1' + "0" * 200_000 + "}"),
    ],
)
def test_a_long_message_costs_its_length(pattern, message):
    """Each of them kept a server busy for minutes with Python's own engine, or with a search for an end at every bracket."""
    started = time.perf_counter()
    compiled(pattern).matches(message)
    assert time.perf_counter() - started < 3


PIECES = st.sampled_from([*'{}[]()"%$.*,=!<>&|?- \\', "$.a", "IS NULL", "NOT EXISTS", "&&", "||", "a", "1e3", "...", "é", "\n"])  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=40))
def test_any_pattern_is_compiled_or_refused(pattern, message):
    for text in (pattern, f"{{{pattern}}}", f"[{pattern}]", f"%{pattern}%"):
        try:
            found: Any = compiled(text)
        except Fault as fault:
            assert fault.code == "InvalidParameterException"
            continue
        if found.matches(message):
            found.extracted(Text(message))
        found.matches(f'{{"a": "{message}"}}')
