"""PartiQL: statements are read as DynamoDB reads them, and do what the API's own calls do.

What is accepted and what each refusal says was recorded from AWS by https://github.com/nubo-db/dynamodb-conformance and
https://github.com/paritysuite/dynamodb-conformance; the language is described in
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

T = '"table"'
NOT_WELL_FORMED = "Statement wasn't well formed, can't be processed: "
LEFTOVER = NOT_WELL_FORMED + "Unexpected token after expression"
OPERAND = "Incorrect operand type for operator or function; operator or function: "
MANDATORY = "Where clause does not contain a mandatory equality on all key attributes"


@pytest.fixture
def db(client: Any) -> Any:
    made = client("dynamodb")
    kinds = [("pk", "S"), ("sk", "N"), ("g", "S"), ("l", "S")]
    made.create_table(
        TableName="table",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": k} for n, k in kinds],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-g",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-l",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "l", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    for pk in ("a", "b", "c"):
        for sk in range(3):
            item = {"pk": {"S": pk}, "sk": {"N": str(sk)}, "a": {"N": str(sk * 10)}}
            if pk == "a":
                item |= {
                    "g": {"S": f"g{sk % 2}"},
                    "l": {"S": f"l{2 - sk}"},
                    "m": {"M": {"n": {"L": [{"S": "x"}, {"S": "y"}]}, "s": {"SS": ["p", "q"]}}},
                    "ss": {"SS": ["x", "y"]},
                    "nul": {"NULL": True},
                    "flag": {"BOOL": True},
                    "s": {"S": "str"},
                }
            made.put_item(TableName="table", Item=item)
    return made


def run(db: Any, statement: str, *parameters: Any, **more: Any) -> list[Any]:
    if parameters:
        more["Parameters"] = list(parameters)
    return db.execute_statement(Statement=statement, **more)["Items"]


def refusal(db: Any, statement: str, *parameters: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        run(db, statement, *parameters, **more)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def keys(items: list[Any]) -> list[str]:
    return [item["pk"]["S"] + item["sk"]["N"] for item in items]


def get(db: Any, pk: str, sk: int = 0) -> Any:
    return db.get_item(TableName="table", Key={"pk": {"S": pk}, "sk": {"N": str(sk)}}).get("Item")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("pk = 'a'", ["a0", "a1", "a2"]),
        ("'a' = pk AND sk = 1", ["a1"]),
        ("pk = 'a' AND sk = .1e1", ["a1"]),
        ("pk = 'a' AND sk >= 1", ["a1", "a2"]),
        ("pk = 'a' AND 1 > sk", ["a0"]),
        ("pk = 'a' AND sk BETWEEN 0 AND 1", ["a0", "a1"]),
        ("pk = 'a' AND sk > 0 AND sk < 2", ["a1"]),
        ("pk = 'a' AND sk <> 1", ["a0", "a2"]),
        ("pk = 'a' AND NOT sk = 1", ["a0", "a2"]),
        ("pk = 'a' AND a IN (0, 20)", ["a0", "a2"]),
        ("pk IN ['c', 'a', 'c'] AND sk = 1", ["c1", "a1"]),
        ("pk = 'a' AND (a = 10 OR a = 20)", ["a1", "a2"]),
        ("pk = 'a' AND \"m\".n[1] = 'y' AND sk = 0", ["a0"]),
        ("pk = 'a' AND contains(m.s, 'p') AND sk = 0", ["a0"]),
        ("pk = 'a' AND m.s = <<'q', 'p'>> AND sk = 0", ["a0"]),
        ("pk = 'a' AND begins_with(\"l\", 'l1')", ["a1"]),
        ("pk = 'a' AND size(s) = 3 AND sk = 0", ["a0"]),
        ("pk = 'a' AND attribute_type(ss, 'SS') AND sk = 0", ["a0"]),
        ("pk = 'b' AND g IS MISSING AND sk = 0", ["b0"]),
        ("pk = 'a' AND g IS NOT MISSING AND sk = 0", ["a0"]),
        ("pk = 'a' AND nul IS NULL AND s IS NOT NULL AND sk = 0", ["a0"]),
        ("pk = 'a' AND flag IS BOOL AND s IS STRING AND sk = 0", ["a0"]),
        ("pk = 'a' AND ATTRIBUTE_EXISTS(ss) = true AND sk = 0", ["a0"]),
        ("pk = 'a' AND (attribute_exists(nope) OR attribute_exists(m.s)) AND sk = 0", ["a0"]),
        ("pk = 'a' AND (((sk))) = 1", ["a1"]),
        ("pk = 'a' -- a note\n AND /* another */ sk = 2", ["a2"]),
        ("pk = 'a' ORDER BY sk DESC", ["a2", "a1", "a0"]),
        ("pk = 'a' ORDER BY sk ASC", ["a0", "a1", "a2"]),
        ("pk = 'none'", []),
        ("pk = 'a' AND s = 'it''s'", []),
    ],
)  # fmt: skip
def test_a_select_finds_what_it_asks_for(db: Any, where: str, found: list[str]) -> None:
    assert keys(run(db, f"SELECT * FROM {T} WHERE {where}")) == found


def test_a_select_without_its_hash_key_reads_the_whole_table(db: Any) -> None:
    assert sorted(keys(run(db, f"select * from {T} where a = 10"))) == ["a1", "b1", "c1"]
    assert len(run(db, f"SELECT pk FROM {T}")) == 9
    assert sorted(keys(run(db, "SELECT * FROM table WHERE attribute_exists(ss)"))) == [
        "a0",
        "a1",
        "a2",
    ]


def test_a_projection_is_named_by_the_last_part_of_its_path(db: Any) -> None:
    row = run(db, f"SELECT m.s, m.n[1], sk, nope FROM {T} WHERE pk = 'a' AND sk = 0")
    assert row == [{"s": {"SS": ["p", "q"]}, "n[1]": {"S": "y"}, "sk": {"N": "0"}}]


def test_parameters_stand_where_literals_may(db: Any) -> None:
    """In any place, of any type."""
    row = run(
        db,
        f"SELECT sk FROM {T} WHERE pk = ? AND sk BETWEEN ? AND ?",
        {"S": "a"},
        {"N": "1"},
        {"N": "9"},
    )
    assert row == [{"sk": {"N": "1"}}, {"sk": {"N": "2"}}]
    run(
        db, f"INSERT INTO {T} VALUE {{'pk': ?, 'sk': 5, 'li': [1, ?, {{'x': ?}}], 's': <<?, 'z'>>}}",
        {"S": "new"}, {"BOOL": True}, {"B": b"\x01"}, {"S": "y"},
    )  # fmt: skip
    assert get(db, "new", 5) == {
        "pk": {"S": "new"},
        "sk": {"N": "5"},
        "li": {"L": [{"N": "1"}, {"BOOL": True}, {"M": {"x": {"B": b"\x01"}}}]},
        "s": {"SS": ["y", "z"]},
    }
    assert refusal(db, f"SELECT * FROM {T} WHERE pk = ?") == (
        "ValidationException", "Number of parameters in request and statement don't match."
    )  # fmt: skip


def test_pages_go_on_by_their_token(db: Any) -> None:
    """In both directions, over several hash keys, and only for the statement they came from."""
    for statement in (
        f"SELECT * FROM {T} WHERE pk = 'a'",
        f"SELECT * FROM {T} WHERE pk = 'a' ORDER BY sk DESC",
        f"SELECT * FROM {T} WHERE pk IN ('c', 'a')",
        f"SELECT * FROM {T}",
        f"SELECT * FROM {T}.\"by-g\" WHERE g = 'g0'",
    ):
        whole = keys(run(db, statement))
        found: list[str] = []
        page: Any = {"NextToken": None}
        while "NextToken" in page:
            more = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
            page = db.execute_statement(Statement=statement, Limit=1, **more)
            assert len(page["Items"]) <= 1
            found += keys(page["Items"])
        assert found == whole
    token = db.execute_statement(Statement=f"SELECT * FROM {T}", Limit=1)["NextToken"]
    for text, other in (
        ("NextToken does not match request", token),
        ("Invalid NextToken", "rubbish"),
    ):
        said = refusal(db, f"SELECT * FROM {T} WHERE pk = 'a'", NextToken=other)
        assert said == ("ValidationException", text)


def test_an_index_is_read_by_its_own_keys(db: Any) -> None:
    assert keys(run(db, f"SELECT * FROM {T}.\"by-g\" WHERE g = 'g0'")) == ["a0", "a2"]
    assert keys(
        run(db, f"SELECT * FROM {T}.\"by-l\" WHERE pk = 'a' AND l > 'l0'", ConsistentRead=True)
    ) == ["a1", "a0"]
    reached = run(db, f"SELECT a FROM {T}.\"by-l\" WHERE pk = 'a' AND l = 'l0'")
    assert reached == [{"a": {"N": "20"}}]
    assert keys(run(db, f"SELECT * FROM {T}.\"by-g\" WHERE pk = 'a' AND a = 10")) == ["a1"]


def test_an_insert_puts_what_was_not_there(db: Any) -> None:
    run(
        db,
        f"INSERT INTO {T} VALUE {{'pk': 'n', 'sk': 1, 'x': null, 'b': false, 'm': {{}}, 'li': [], 'd': -1.50}}",
    )
    assert get(db, "n", 1) == {
        "pk": {"S": "n"}, "sk": {"N": "1"}, "x": {"NULL": True}, "b": {"BOOL": False}, "m": {"M": {}}, "li": {"L": []},
        "d": {"N": "-1.5"},
    }  # fmt: skip
    again = f"INSERT INTO {T} VALUE {{'pk': 'n', 'sk': 1}}"
    assert refusal(db, again) == ("DuplicateItemException", "Duplicate primary key exists in table")
    run(db, again + " ON CONFLICT DO NOTHING")
    assert "d" in get(db, "n", 1)


def test_an_update_changes_the_item_it_names(db: Any) -> None:
    where = "WHERE pk = 'a' AND sk = 0"
    run(db, f"UPDATE {T} SET a = a + 5 SET m.n[0] = 'new' REMOVE s, m.n[1] {where}")
    item = get(db, "a")
    assert (item["a"], item["m"]["M"]["n"]) == ({"N": "5"}, {"L": [{"S": "new"}]})
    assert "s" not in item
    run(db, f"UPDATE {T} SET l2 = list_append(m.n, [1, 2]), c = a - 1 {where}")
    assert get(db, "a")["l2"] == {"L": [{"S": "new"}, {"N": "1"}, {"N": "2"}]}
    assert get(db, "a")["c"] == {"N": "4"}
    run(db, f"UPDATE {T} SET ss = set_add(ss, <<'z', 'x'>>) SET nn = SET_ADD(nn, <<1>>) {where}")
    assert sorted(get(db, "a")["ss"]["SS"]) == ["x", "y", "z"]
    assert get(db, "a")["nn"] == {"NS": ["1"]}
    run(
        db,
        f"UPDATE {T} SET ss = set_delete(ss, <<'x'>>) SET nn = set_delete(nn, ?) {where}",
        {"NS": ["1"]},
    )
    assert sorted(get(db, "a")["ss"]["SS"]) == ["y", "z"]
    assert "nn" not in get(db, "a")
    run(db, f"FROM {T} {where} AND a = 5 SET e = 1 REMOVE c")
    assert get(db, "a")["e"] == {"N": "1"}


def test_an_update_may_return_what_was_and_what_is(db: Any) -> None:
    statement = f"UPDATE {T} SET a = a + 1 WHERE pk = 'b' AND sk = 0 RETURNING "
    key = {"pk": {"S": "b"}, "sk": {"N": "0"}}
    assert run(db, statement + "ALL OLD *") == [{**key, "a": {"N": "0"}}]
    assert run(db, statement + "ALL NEW *") == [{**key, "a": {"N": "2"}}]
    assert run(db, statement + "MODIFIED OLD *") == [{"a": {"N": "2"}}]
    assert run(db, statement + "MODIFIED NEW *") == [{"a": {"N": "4"}}]
    assert run(db, f"UPDATE {T} REMOVE a WHERE pk = 'b' AND sk = 0 RETURNING MODIFIED NEW *") == []


def test_conditions_of_writes_are_checked_on_what_is_there(db: Any) -> None:
    """An UPDATE never makes an item; a DELETE of none is no failure."""
    for statement in (
        f"UPDATE {T} SET a = 1 WHERE pk = 'none' AND sk = 0",
        f"UPDATE {T} SET a = 1 WHERE pk = 'none' AND sk = 0 AND attribute_not_exists(pk)",
        f"UPDATE {T} SET a = 1 WHERE pk = 'a' AND sk = 0 AND a > 100",
        f"DELETE FROM {T} WHERE pk = 'a' AND sk = 0 AND a > 100",
    ):
        assert refusal(db, statement)[0] == "ConditionalCheckFailedException"
    run(db, f"DELETE FROM {T} WHERE pk = 'none' AND sk = 0 AND a = 1")
    assert get(db, "none") is None
    with pytest.raises(ClientError) as caught:
        db.execute_statement(
            Statement=f"UPDATE {T} SET a = 1 WHERE pk = 'b' AND sk = 1 AND a > 100",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"]["a"] == {"N": "10"}
    (old,) = run(db, f"DELETE FROM {T} WHERE pk = 'b' AND sk = 1 RETURNING ALL OLD *")
    assert old["a"] == {"N": "10"}
    assert get(db, "b", 1) is None


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECTT * FROM t", NOT_WELL_FORMED + "Expected data manipulation"),
        (f"SELECT * FROM {T} WHERE pk = 'a' foo", LEFTOVER),
        (f"SELECT * FROM {T} WHERE pk = 1 e5", LEFTOVER),
        (f"SELECT * FROM {T} WHERE pk = 1)", LEFTOVER),
        (f"INSERT INTO {T} VALUE {{'pk': 'x'}} foo", LEFTOVER),
        (f"INSERT INTO {T} t VALUE {{'pk': 'x'}}", LEFTOVER),
        (f"UPDATE {T} SET a = 9 WHERE pk = 'x' foo", LEFTOVER),
        (f"DELETE FROM {T} WHERE pk = 'x' ORDER BY pk", LEFTOVER),
        (f"SELECT * FROM {T} ORDER BY pk WHERE pk = 'x'", LEFTOVER),
        (f"SELECT * FROM {T} WHERE sk = 1e2147483648", NOT_WELL_FORMED),
        (f"SELECT * FROM {T} WHERE sk = 1.5e-2147483647", NOT_WELL_FORMED),
        (f"SELECT * FROM {T} WHERE sk = 1 # note", NOT_WELL_FORMED),
        (f"SELECT * FROM {T} WHERE sk = 1 /* note", NOT_WELL_FORMED),
        (f"SELECT * FROM {T} t WHERE pk = 'x'", "Aliasing is not supported"),
        (f"SELECT * FROM {T} AS t WHERE pk = 'x'", "Aliasing is not supported"),
        (f"UPDATE {T} t SET a = 3 WHERE pk = 'x'", "Aliasing is not supported"),
        (
            f"SELECT * FROM {T} WHERE sk = 1e126",
            "Number overflow. Attempting to store a number with magnitude larger than supported range under root",
        ),
        (
            f"INSERT INTO {T} VALUE {{'pk': 'x', 'm': {{'x': 1e-131}}}}",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range under root.x",
        ),
        (
            f"INSERT INTO {T} VALUE {{'l': [1, {'1' * 39}]}}",
            "Attempting to store more than 38 significant digits in a Number under root[1]",
        ),
        (
            f"SELECT * FROM {T} WHERE pk = 'a' AND attribute_exists('ss')",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            f"SELECT * FROM {T} WHERE pk = 'a' AND attribute_exists(ss, ns)",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
        ),
        ('SELECT size(ss) FROM "t"', "Unexpected path component at 1:8:4"),
        ('SELECT * FROM "t" WHERE EXISTS(ss)', "Unrecognized function: exists at 1:25:6"),
        ('SELECT * FROM "t"\nWHERE foo(ss) = 1', "Unrecognized function: foo at 2:7:3"),
        (f"SELECT * FROM {T} WHERE attribute_exists(m.inner)", NOT_WELL_FORMED + "Invalid path dot component"),
        ('UPDATE "t" SET t = set_add(ss, <<1>>)', "The first argument to SET_ADD must equal the assignment value at 1:20:7"),
        ('UPDATE "t" SET ss = set_add(ss, 1)', "The second argument to SET_ADD must be a value with type SET at 1:29:2"),
        ('UPDATE "t" SET ss = set_delete(ss)', "SET_DELETE must have exactly two arguments at 1:21:10"),
        (
            f"UPDATE {T} SET ss = set_add(ss, <<'x', 'x'>>) WHERE pk = 'a'",
            "One or more parameter values were invalid: Input collection [x, x] contains duplicates.",
        ),
        (f"UPDATE {T} SET ss = set_add(ss, <<>>) WHERE pk = 'a'", "Empty bags are not supported"),
        (
            f"UPDATE {T} SET ss = set_add(ss, <<1>>) WHERE pk = 'a' AND sk = 0",
            "An operand in the update expression has an incorrect data type",
        ),
        (f"SELECT * FROM {T} WHERE pk = 'x' AND v < true", OPERAND + "<, operand type: BOOL"),
        (f"SELECT * FROM {T} WHERE v BETWEEN [1] AND [2]", OPERAND + "BETWEEN, operand type: L"),
        (f'SELECT * FROM {T}."no-such"', "The table does not have the specified index"),
        (f'SELECT * FROM {T}."by-g"."x"', "A path may contain at most 2 components in the FROM clause"),
        ('SELECT * FROM "" WHERE pk = 1', "Path component cannot be an empty string"),
        (
            f"SELECT s, m FROM {T}.\"by-g\" WHERE g = 'x'",
            "One or more parameter values were invalid: Global secondary index by-g does not project [s, m]",
        ),
        (
            f"SELECT pk FROM {T}.\"by-l\" WHERE pk = 'p' AND s = 'x'",
            "One or more parameter values were invalid: Secondary index by-l does not project one or more filter attributes: [s]",
        ),
        (f"DELETE FROM {T} WHERE pk = 'a'", MANDATORY),
        (f"UPDATE {T} SET a = 1", MANDATORY),
        (
            f"DELETE FROM {T} WHERE pk = 'x' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (f"SELECT * FROM {T} ORDER BY sk", "Must have WHERE clause in the statement when using ORDER BY clause."),
        (f"EXISTS(SELECT * FROM {T} WHERE pk = 'a')", "EXISTS can only be used in ExecuteTransaction write requests."),
        (f"SELECT * FROM {T} WHERE s LIKE 'x'", "Unsupported operator in Condition Expression. Operator: LIKE"),
        (f"INSERT INTO {T} VALUE {{'pk': `x`}}", "Ion Literals are not supported: x under key root"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_in_awss_words(db: Any, statement: str, message: str) -> None:
    assert refusal(db, statement) == ("ValidationException", message)


def test_a_statement_is_judged_before_its_table_is_looked_for(db: Any) -> None:
    assert (
        refusal(db, 'SELECT pk FROM "nobody" WHERE v < ?', {"BOOL": True})[0]
        == "ValidationException"
    )
    assert refusal(db, 'SELECT pk FROM "nobody" WHERE v < 1')[0] == "ResourceNotFoundException"
    said = refusal(db, f"SELECT * FROM {T}.\"by-g\" WHERE g = 'x'", ConsistentRead=True)
    assert said[1] == "Strongly consistent read is not supported on Global Secondary Indexes"
    said = refusal(db, f"SELECT * FROM {T} WHERE a = ?", {"N": "1e99999999999"})
    assert said[1] == "The parameter cannot be converted to a numeric value: 1e99999999999"


def test_a_batch_answers_each_statement_for_itself(db: Any) -> None:
    """An error takes back nothing of the others."""
    answer = db.batch_execute_statement(
        Statements=[
            {"Statement": f"SELECT a FROM {T} WHERE pk = 'a' AND sk = 1"},
            {"Statement": "SLECT"},
            {"Statement": f"SELECT * FROM {T} WHERE pk = 'a'"},
            {"Statement": 'SELECT * FROM "nobody" WHERE pk = 1'},
            {"Statement": f"SELECT * FROM {T} WHERE pk = ? AND sk = 9", "Parameters": [{"S": "a"}]},
            {"Statement": f"SELECT * FROM {T} WHERE pk = 'b' AND sk = 0", "ConsistentRead": True},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    first, second, third, fourth, fifth, last = answer["Responses"]
    assert first == {"TableName": "table", "Item": {"a": {"N": "10"}}}
    assert second["Error"]["Code"] == third["Error"]["Code"] == "ValidationError"
    assert third["Error"]["Message"] == (
        "Select statements within BatchExecuteStatement must specify the primary key in the where clause."
    )
    assert fourth["Error"] == {
        "Code": "ResourceNotFound",
        "Message": "Requested resource not found",
    }
    assert fifth == {"TableName": "table"}
    assert last["Item"]["a"] == {"N": "0"}
    assert answer["ConsumedCapacity"] == [{"TableName": "table", "CapacityUnits": 2.0}]
    answer = db.batch_execute_statement(
        Statements=[
            {"Statement": f"INSERT INTO {T} VALUE {{'pk': 'z', 'sk': 0}}"},
            {"Statement": f"INSERT INTO {T} VALUE {{'pk': 'a', 'sk': 0}}"},
            {"Statement": f"UPDATE {T} SET a = 1 WHERE pk = 'a' AND sk = 1 AND a = 5"},
            {"Statement": f"DELETE FROM {T} WHERE pk = 'c' AND sk = 0 RETURNING ALL OLD *"},
        ]
    )["Responses"]
    assert [r.get("Error", {}).get("Code") for r in answer] == [
        None,
        "DuplicateItem",
        "ConditionalCheckFailed",
        None,
    ]
    assert answer[3]["Item"]["pk"] == {"S": "c"}
    assert get(db, "z") is not None


def test_a_transaction_does_all_or_nothing(db: Any) -> None:
    """EXISTS is its ConditionCheck; a token makes it once.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.transactions.html
    """
    put = {"Statement": f"INSERT INTO {T} VALUE {{'pk': 't', 'sk': 1, 'n': 0}}"}
    add = {"Statement": f"UPDATE {T} SET a = a + 1 WHERE pk = 'a' AND sk = 1"}
    check = {"Statement": f"EXISTS(SELECT * FROM {T} WHERE pk = 'b' AND sk = 1 AND a = 10)"}
    request = {"TransactStatements": [put, add, check], "ClientRequestToken": "once"}
    for kind in ("Write", "Read"):
        answer = db.execute_transaction(**request, ReturnConsumedCapacity="TOTAL")
        assert f"{kind}CapacityUnits" in answer["ConsumedCapacity"][0]
    assert answer.get("Responses", [{}, {}, {}]) == [{}, {}, {}]
    assert get(db, "a", 1)["a"] == {"N": "11"}
    wrong = {"Statement": f"EXISTS(SELECT * FROM {T} WHERE pk = 'b' AND sk = 1 AND a = 11)"}
    with pytest.raises(ClientError) as caught:
        db.execute_transaction(TransactStatements=[put, {"Statement": add["Statement"]}, wrong])
    reasons = caught.value.response["CancellationReasons"]
    assert [r["Code"] for r in reasons] == ["DuplicateItem", "None", "ConditionalCheckFailed"]
    assert get(db, "a", 1)["a"] == {"N": "11"}
    both = [
        f"SELECT a FROM {T} WHERE pk = 'a' AND sk = 1",
        f"SELECT * FROM {T} WHERE pk = 'no' AND sk = 1",
    ]
    read = db.execute_transaction(TransactStatements=[{"Statement": s} for s in both])
    assert read["Responses"] == [{"Item": {"a": {"N": "11"}}}, {}]


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([f"UPDATE {T} SET a = 1 WHERE pk = 'x' AND sk = 0 RETURNING ALL NEW *"], "RETURNING clause is not supported in ExecuteTransaction."),
        ([f'SELECT * FROM {T}."by-g" WHERE g = \'x\''], "Reads on indices are not supported within transactions."),
        ([f"SELECT * FROM {T} WHERE pk = 'x'"], "Select statements within ExecuteTransaction must specify the primary key in the where clause."),
        (
            [f"EXISTS(SELECT * FROM {T} WHERE pk = 'x' AND sk = 0)", f"UPDATE {T} SET z = 1 WHERE pk = 'y' AND sk = 0"],
            "EXISTS() must contain a single item read with additional condition",
        ),
    ],
)  # fmt: skip
def test_a_transaction_says_which_statement_it_cannot_do(
    db: Any, statements: list[str], message: str
) -> None:
    with pytest.raises(ClientError) as caught:
        db.execute_transaction(TransactStatements=[{"Statement": s} for s in statements])
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": f"Validation failed in TransactStatements[0]: {message}",
    }


def test_each_kind_of_statement_is_a_right_of_its_own(client: Any, db: Any) -> None:
    """PartiQLSelect and the others, on tables and indexes, with the condition keys that reads have.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
    """
    iam = client("iam")
    iam.create_user(UserName="u")
    key = iam.create_access_key(UserName="u")["AccessKey"]
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def allow(action: str, resource: str, **condition: Any) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        if condition:
            statement["Condition"] = condition
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)

    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/table"
    allow("dynamodb:PartiQLSelect", arn)
    assert len(run(mine, f"SELECT * FROM {T} WHERE pk = 'a'")) == 3
    for statement in (
        f"INSERT INTO {T} VALUE {{'pk': 'x', 'sk': 1}}",
        f"DELETE FROM {T} WHERE pk = 'a' AND sk = 0",
        f"UPDATE {T} SET a = 1 WHERE pk = 'a' AND sk = 0",
        f"SELECT * FROM {T}.\"by-g\" WHERE g = 'x'",
    ):
        assert refusal(mine, statement)[0] == "AccessDeniedException"
    allow("dynamodb:PartiQLSelect", arn, Bool={"dynamodb:FullTableScan": "false"})
    assert len(run(mine, f"SELECT * FROM {T} WHERE pk = 'a'")) == 3
    assert refusal(mine, f"SELECT * FROM {T}")[0] == "AccessDeniedException"
    allow(
        "dynamodb:PartiQL*", arn, **{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"]}}
    )
    assert len(run(mine, f"SELECT * FROM {T} WHERE pk = 'a'")) == 3
    run(mine, f"UPDATE {T} SET a = 1 WHERE pk = 'a' AND sk = 0")
    assert refusal(mine, f"SELECT * FROM {T} WHERE pk IN ('a', 'b')")[0] == "AccessDeniedException"
