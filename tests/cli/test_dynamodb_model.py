"""stratolite dynamodb model: a NoSQL Workbench file becomes tables, and tables a file again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from stratolite.cli import dynamodb, target


def attribute(name: str, kind: str = "S") -> dict[str, str]:
    return {"AttributeName": name, "AttributeType": kind}


MODEL = {
    "ModelName": "Shop",
    "ModelMetadata": {"Version": "3.0"},
    "DataModel": [
        {
            "TableName": "Orders",
            "KeyAttributes": {"PartitionKey": attribute("PK"), "SortKey": attribute("SK", "N")},
            "NonKeyAttributes": [attribute("Status"), attribute("Raw", "B")],
            "TableFacets": [{"FacetName": "Order"}],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "ByStatus",
                    "KeyAttributes": {"PartitionKey": attribute("Status")},
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            "LocalSecondaryIndexes": [
                {
                    "IndexName": "ByWhen",
                    "KeyAttributes": {
                        "PartitionKey": attribute("PK"),
                        "SortKey": attribute("When"),
                    },
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            "TableData": [
                {"PK": {"S": "o"}, "SK": {"N": "10"}, "Status": {"S": "open"}, "When": {"S": "b"}},
                {
                    "PK": {"S": "o"},
                    "SK": {"N": "9"},
                    "Raw": {"B": "AQI="},
                    "When": {"S": "c"},
                    "Tags": {"SS": ["x"]},
                },
            ],
            "DataAccess": {"MySql": {}},
            "BillingMode": "PROVISIONED",
            "ProvisionedCapacitySettings": {
                "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 8},
                "AutoScalingRead": {},
            },
        }
    ],
}


@pytest.fixture
def run(client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(
        target, "client", lambda service, endpoint, region: client(service, region=region)
    )
    return lambda *words: CliRunner().invoke(dynamodb.command, ["model", *map(str, words)])


def test_a_model_becomes_tables_with_their_rows(run: Any, client: Any, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(MODEL))
    done = run(file)
    assert done.exit_code == 0, done.output
    assert "auto scaling is not offered" in done.stderr
    assert done.stdout.splitlines() == [
        "",
        "Orders  (2 rows)",
        'o\t9\tAQI=\tc\t["x"]\t'.replace("AQI=", '"AQI="'),
        "o\t10\t\tb\t\topen",
        "",
        "Orders.ByStatus  (1 rows)",
        "open\to\t10",
        "",
        "Orders.ByWhen  (2 rows)",
        "o\tb\t10\topen\t\t",
        'o\tc\t9\t\t"AQI="\t["x"]',
    ]
    table = client("dynamodb").describe_table(TableName="Orders")["Table"]
    assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 8
    again = run(file)
    assert again.exit_code == 1
    assert "there already" in again.output
    assert run(file, "--replace").exit_code == 0


def test_tables_become_a_model_that_makes_the_same_tables(
    run: Any, client: Any, tmp_path: Path
) -> None:
    file, back = tmp_path / "shop.json", tmp_path / "back.json"
    file.write_text(json.dumps(MODEL))
    first = json.loads(run(file, "--json").stdout)
    assert run(back, "--export", "Orders").exit_code == 0
    written = json.loads(back.read_text())
    assert written["ModelName"] == "back"
    (table,) = written["DataModel"]
    (wanted,) = MODEL["DataModel"]
    for member in (
        "KeyAttributes",
        "GlobalSecondaryIndexes",
        "LocalSecondaryIndexes",
        "BillingMode",
    ):
        assert table[member] == wanted[member]
    assert sorted(table["TableData"], key=str) == sorted(wanted["TableData"], key=str)
    second = json.loads(run(back, "--replace", "--json").stdout)
    assert [(v["name"], len(v["rows"])) for v in second] == [
        (v["name"], len(v["rows"])) for v in first
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"DataModel": [{}]}', '{"DataModel": [{"TableName": "x"}]}']
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    with pytest.raises(click.ClickException, match="file.json is no"):
        dynamodb.read(file)
