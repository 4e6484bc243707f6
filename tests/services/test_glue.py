"""The Glue Data Catalog: databases, tables, versions, partitions."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def glue(client):
    made = client("glue")
    made.create_database(DatabaseInput={"Name": "Lake", "Description": "d"})
    return made


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def table(name="events", **more):
    return {
        "Name": name,
        "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "string"}], "Location": "s3://b/"},
        "PartitionKeys": [{"Name": "year", "Type": "int"}, {"Name": "city", "Type": "string"}],
        "TableType": "EXTERNAL_TABLE",
    } | more


def test_databases_and_tables_are_kept(glue, platform):
    """Names are folded to lower case, as Hive has them."""
    assert glue.get_database(Name="LAKE")["Database"]["Name"] == "lake"
    glue.create_table(DatabaseName="lake", TableInput=table("Events"))
    platform.reopen()
    found = glue.get_table(DatabaseName="lake", Name="EVENTS")["Table"]
    assert (found["Name"], found["VersionId"], found["DatabaseName"]) == ("events", "0", "lake")
    assert found["StorageDescriptor"]["Columns"] == [{"Name": "a", "Type": "string"}]
    assert (
        refused(glue.create_database, DatabaseInput={"Name": "lake"})[0] == "AlreadyExistsException"
    )
    assert (
        refused(glue.create_table, DatabaseName="lake", TableInput=table())[0]
        == "AlreadyExistsException"
    )
    assert refused(glue.get_database, Name="nope") == (
        "EntityNotFoundException",
        "Database nope not found.",
    )
    assert refused(glue.get_table, DatabaseName="lake", Name="nope")[0] == "EntityNotFoundException"
    glue.delete_database(Name="lake")
    glue.create_database(DatabaseInput={"Name": "lake"})
    assert glue.get_tables(DatabaseName="lake")["TableList"] == []


def test_versions_are_data(glue):
    glue.create_table(DatabaseName="lake", TableInput=table())
    glue.update_table(DatabaseName="lake", TableInput=table(Description="one"))
    glue.update_table(DatabaseName="lake", TableInput=table(Description="two"), SkipArchive=True)
    glue.update_table(DatabaseName="lake", TableInput=table(Description="three"))
    versions = glue.get_table_versions(DatabaseName="lake", TableName="events")["TableVersions"]
    assert [(v["VersionId"], v["Table"].get("Description")) for v in versions] == [
        ("3", "three"),
        ("2", "two"),
        ("0", None),
    ]
    assert (
        glue.get_table_version(DatabaseName="lake", TableName="events", VersionId="0")[
            "TableVersion"
        ]["VersionId"]
        == "0"
    )
    glue.delete_table_version(DatabaseName="lake", TableName="events", VersionId="0")
    assert (
        refused(glue.get_table_version, DatabaseName="lake", TableName="events", VersionId="0")[0]
        == "EntityNotFoundException"
    )
    code, _ = refused(glue.update_table, DatabaseName="lake", TableInput=table(), VersionId="1")
    assert code == "ConcurrentModificationException"


def test_tables_are_listed_by_expression_in_pages(glue):
    for name in ("a1", "a2", "b1"):
        glue.create_table(DatabaseName="lake", TableInput=table(name))
    assert [
        t["Name"] for t in glue.get_tables(DatabaseName="lake", Expression="a.*")["TableList"]
    ] == ["a1", "a2"]
    page = glue.get_tables(DatabaseName="lake", MaxResults=2)
    rest = glue.get_tables(DatabaseName="lake", NextToken=page["NextToken"])
    assert [t["Name"] for t in page["TableList"] + rest["TableList"]] == ["a1", "a2", "b1"]
    errors = glue.batch_delete_table(DatabaseName="lake", TablesToDelete=["a1", "zz"])["Errors"]
    assert [e["TableName"] for e in errors] == ["zz"]


def test_as_much_is_listed_as_is_asked_for(client, glue):
    """https://docs.aws.amazon.com/glue/latest/webapi/API_GetTables.html and API_GetDatabases.html"""
    iam = client("iam")
    iam.create_user(UserName="u")
    statement = {"Effect": "Allow", "Action": "glue:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = client("glue", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    theirs.create_table(DatabaseName="lake", TableInput=table("t", TableType="EXTERNAL_TABLE"))
    glue.update_table(DatabaseName="lake", TableInput=table("t", TableType="VIRTUAL_VIEW"))
    (whole,) = glue.get_tables(DatabaseName="lake", ResourceShareType="ALL")["TableList"]
    assert whole["CreatedBy"] == iam.get_user(UserName="u")["User"]["Arn"]
    some = lambda *names: glue.get_tables(DatabaseName="lake", AttributesToGet=list(names))["TableList"]  # noqa: E731  # fmt: skip
    assert some("NAME") == [{"Name": "t"}]
    assert some("NAME", "TABLE_TYPE") == [{"Name": "t", "TableType": "VIRTUAL_VIEW"}]
    code, _ = refused(glue.get_tables, DatabaseName="lake", AttributesToGet=["TABLE_TYPE"])
    assert code == "InvalidInputException"
    assert glue.get_tables(DatabaseName="lake", ResourceShareType="FEDERATED")["TableList"] == []
    assert glue.get_databases(AttributesToGet=["NAME"])["DatabaseList"] == [{"Name": "lake"}]
    assert glue.get_databases(ResourceShareType="FOREIGN")["DatabaseList"] == []
    latest = {"DatabaseName": "lake", "Name": "t", "AttributesToGet": ["LATEST_ICEBERG_METADATA"]}
    assert "is not offered" in refused(glue.get_table, **latest)[1]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("year = 2020", ["2020/Bern", "2020/Oslo"]),
        ("year > '2020' and city = 'Bern'", ["2021/Bern"]),
        ("year >= 2021 OR (city LIKE 'O%' AND NOT year = 9)", ["2020/Oslo", "2021/Bern"]),
        ("city IN ('Oslo', 'Rome')", ["9/Oslo", "2020/Oslo"]),
        ("year NOT BETWEEN 9 AND 2020", ["2021/Bern"]),
        ("city like '_e%n'", ["2020/Bern", "2021/Bern"]),
        ("year is null", []),
    ],
)
def test_partitions_are_found_by_expression(glue, expression, wanted):
    """Numeric keys as numbers: 9 is less than 2020."""
    glue.create_table(DatabaseName="lake", TableInput=table())
    place = {"DatabaseName": "lake", "TableName": "events"}
    values = [["9", "Oslo"], ["2020", "Bern"], ["2020", "Oslo"], ["2021", "Bern"]]
    glue.batch_create_partition(**place, PartitionInputList=[{"Values": v} for v in values])
    found = glue.get_partitions(**place, Expression=expression)["Partitions"]
    assert sorted("/".join(p["Values"]) for p in found) == sorted(wanted)


def test_partitions_are_kept(glue):
    glue.create_table(DatabaseName="lake", TableInput=table())
    place = {"DatabaseName": "lake", "TableName": "events"}
    glue.create_partition(
        **place, PartitionInput={"Values": ["2020", "Bern"], "Parameters": {"n": "1"}}
    )
    assert (
        refused(glue.create_partition, **place, PartitionInput={"Values": ["2020", "Bern"]})[0]
        == "AlreadyExistsException"
    )
    assert refused(glue.create_partition, **place, PartitionInput={"Values": ["2020"]}) == (
        "InvalidInputException", "The number of partition keys do not match the number of partition values",
    )  # fmt: skip
    glue.update_partition(
        **place, PartitionValueList=["2020", "Bern"], PartitionInput={"Values": ["2020", "Rome"]}
    )
    assert (
        refused(glue.get_partition, **place, PartitionValues=["2020", "Bern"])[0]
        == "EntityNotFoundException"
    )
    found = glue.batch_get_partition(
        **place, PartitionsToGet=[{"Values": ["2020", "Rome"]}, {"Values": ["1", "x"]}]
    )
    assert [p["Values"] for p in found["Partitions"]] == [["2020", "Rome"]]
    for bad in ("nope = 1", "year = ", "year = 1 or", "year ! 1", "(" * 200 + "year = 1"):
        assert refused(glue.get_partitions, **place, Expression=bad)[0] == "InvalidInputException"
    page = glue.get_partitions(**place, MaxResults=1)
    assert "NextToken" not in page
    glue.delete_partition(**place, PartitionValues=["2020", "Rome"])
    assert glue.get_partitions(**place)["Partitions"] == []


def test_a_user_needs_catalog_database_and_table(client, glue):
    """https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html"""
    glue.create_table(DatabaseName="lake", TableInput=table())
    iam = client("iam")
    iam.create_user(UserName="u")
    key = iam.create_access_key(UserName="u")["AccessKey"]
    base = "arn:aws:glue:us-east-1:000000000000"

    def allow(*resources):
        statement = {
            "Effect": "Allow",
            "Action": "glue:GetTable",
            "Resource": [f"{base}:{r}" for r in resources],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)

    user = client("glue", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    allow("catalog", "database/lake")
    assert refused(user.get_table, DatabaseName="lake", Name="events")[0] == "AccessDeniedException"
    allow("catalog", "database/lake", "table/lake/events")
    assert user.get_table(DatabaseName="lake", Name="events")["Table"]["Name"] == "events"


def test_templates_make_databases_tables_and_partitions(client):
    account = "000000000000"
    resources = {
        "D": {"Type": "AWS::Glue::Database", "Properties": {"CatalogId": account, "DatabaseInput": {"Name": "lake"}}},
        "T": {"Type": "AWS::Glue::Table", "Properties": {
            "CatalogId": account, "DatabaseName": {"Ref": "D"}, "TableInput": table(Parameters={"a": "1"})}},
        "P": {"Type": "AWS::Glue::Partition", "Properties": {
            "CatalogId": account, "DatabaseName": {"Ref": "D"}, "TableName": {"Ref": "T"},
            "PartitionInput": {"Values": ["2020", "Bern"]}}},
    }  # fmt: skip
    cloudformation, glue = client("cloudformation"), client("glue")
    cloudformation.create_stack(StackName="st", TemplateBody=json.dumps({"Resources": resources}))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    assert len(glue.get_partitions(DatabaseName="lake", TableName="events")["Partitions"]) == 1
    cloudformation.delete_stack(StackName="st")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    assert glue.get_databases()["DatabaseList"] == []
