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
            "TableFacets": [
                {
                    "FacetName": "Shipment",
                    "KeyAttributeAlias": {"PartitionKeyAlias": "Order", "SortKeyAlias": "Line"},
                    "NonKeyAttributes": ["Status", "When"],
                    "TableData": [{"PK": {"S": "o"}, "SK": {"N": "10"}}],
                },
                {"FacetName": "Tagged", "NonKeyAttributes": ["Tags"]},
            ],
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
                "AutoScalingRead": {
                    "ScalableTargetRequest": {
                        "MinCapacity": 2,
                        "MaxCapacity": 20,
                        "ServiceRole": "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
                    },
                    "ScalingPolicyConfiguration": {"TargetValue": 65},
                },
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
    assert done.stdout.splitlines() == [
        "",
        "Orders  (2 rows)",
        "PK\tSK\tRaw\tWhen\tTags\tStatus",
        'o\t9\tAQI=\tc\t["x"]\t'.replace("AQI=", '"AQI="'),
        "o\t10\t\tb\t\topen",
        "",
        "Orders as Shipment  (1 rows)",
        "Order\tLine\tStatus\tWhen",
        "o\t10\topen\tb",
        "",
        "Orders as Tagged  (1 rows)",
        "PK\tSK\tTags",
        'o\t9\t["x"]',
        "",
        "Orders.ByStatus  (1 rows)",
        "Status\tPK\tSK",
        "open\to\t10",
        "",
        "Orders.ByWhen  (2 rows)",
        "PK\tWhen\tSK\tStatus\tRaw\tTags",
        "o\tb\t10\topen\t\t",
        'o\tc\t9\t\t"AQI="\t["x"]',
    ]
    table = client("dynamodb").describe_table(TableName="Orders")["Table"]
    assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 8
    scaler = client("application-autoscaling")
    targets = scaler.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    assert sorted((t["ResourceId"], t["MinCapacity"], t["MaxCapacity"]) for t in targets) == [
        ("table/Orders", 2, 20),
        ("table/Orders/index/ByStatus", 2, 20),
    ]
    policies = scaler.describe_scaling_policies(ServiceNamespace="dynamodb")["ScalingPolicies"]
    assert {p["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] for p in policies} == {65}
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
        "ProvisionedCapacitySettings",
    ):
        assert table[member] == wanted[member]
    assert sorted(table["TableData"], key=str) == sorted(wanted["TableData"], key=str)
    assert table["TableFacets"] == [], "its keys say nothing of kinds"
    written["DataModel"][0]["TableFacets"] = wanted["TableFacets"]
    back.write_text(json.dumps(written))
    client("dynamodb").put_item(TableName="Orders", Item={"PK": {"S": "new"}, "SK": {"N": "1"}})
    assert run(back, "--export", "Orders").exit_code == 0
    shipment, tagged = json.loads(back.read_text())["DataModel"][0]["TableFacets"]
    (row,) = shipment["TableData"]
    assert row["Status"] == {"S": "open"}, "as it is now"
    assert tagged == wanted["TableFacets"][1]
    client("dynamodb").delete_item(TableName="Orders", Key={"PK": {"S": "new"}, "SK": {"N": "1"}})
    assert run(back, "--export", "Orders").exit_code == 0
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


def test_kinds_of_rows_become_facets_and_rows_of_facets_are_loaded(
    run: Any, client: Any, tmp_path: Path
) -> None:
    """Where keys begin with what they are of, and the file had no facets; a row may be in a facet alone."""
    rows = [
        {"PK": {"S": "ORDER#1"}, "SK": {"S": "ORDER#1"}, "Total": {"N": "3"}},
        {"PK": {"S": "ORDER#1"}, "SK": {"S": "ITEM#1"}, "Price": {"N": "3"}},
        {"PK": {"S": "ORDER#1"}, "SK": {"S": "ITEM#2"}, "Price": {"N": "4"}},
    ]
    keys = {"PartitionKey": attribute("PK"), "SortKey": attribute("SK")}
    table = {"TableName": "One", "KeyAttributes": keys, "TableFacets": [{"TableData": rows}]}
    file, back = tmp_path / "one.json", tmp_path / "back.json"
    file.write_text(json.dumps({"DataModel": [table]}))
    assert run(file).exit_code == 0
    assert run(back, "--export", "One").exit_code == 0
    items, orders = json.loads(back.read_text())["DataModel"][0]["TableFacets"]
    assert (orders["FacetName"], items["FacetName"]) == ("ORDER", "ORDER ITEM")
    alias = {"PartitionKeyAlias": "ORDER#", "SortKeyAlias": "ITEM#"}
    assert (items["KeyAttributeAlias"], items["NonKeyAttributes"]) == (alias, ["Price"])
    shown = json.loads(run(back, "--replace", "--json").stdout)
    assert shown[1]["columns"] == ["ORDER#", "ITEM#", "Price"]
    assert shown[1]["rows"] == [["ORDER#1", "ITEM#1", "3"], ["ORDER#1", "ITEM#2", "4"]]
