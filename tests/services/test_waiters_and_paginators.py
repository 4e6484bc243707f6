"""boto3's waiters and paginators over the services offered: each waiter ends, each listing of several things is read in pages to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from itertools import islice
from typing import Any

import boto3
import jmespath
import pytest
from botocore.exceptions import ClientError, WaiterError
from botocore.waiter import WaiterModel
from lambdas import zipped

from stratolite.service import snake
from stratolite.services import OFFERS

TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})  # fmt: skip
ALLOW = json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
})  # fmt: skip
QUEUE = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
TOPIC = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}, "T": {"Type": "AWS::SNS::Topic"}}}'
TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
SOON = {"Delay": 1, "MaxAttempts": 100}
PAGES_MAX = 2_000
# What refuses to be asked for nothing in particular, though its model asks for nothing.
WANTING = {
    "DescribeEvents": "is offered by Stratolite for StackName only",
    "DescribeStream": "Either StreamName or StreamARN should be provided",
    "ListExecutions": "Must provide a StateMachine ARN or MapRun ARN",
    "ListShards": "Either NextToken or StreamName should be provided",
    "DescribeLogStreams": "Either logGroupName or logGroupIdentifier must be given",
    "FilterLogEvents": "Either logGroupName or logGroupIdentifier must be given",
    "ListRetirableGrants": "Value null at 'retiringPrincipal'",
    "ListMFADevices": "Must specify userName",
    "ListSSHPublicKeys": "Must specify userName",
    "ListSigningCertificates": "Must specify userName",
}
Client = Callable[..., Any]


def service_class(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"stratolite.services.{module}"), name)


def offered(service: str, operation: str) -> bool:
    place = next(offer.place for offer in OFFERS if offer.service == service)
    return hasattr(service_class(place), snake(operation))


def role(client: Client) -> str:
    made = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    return str(made["Role"]["Arn"])


def function(client: Client, name: str, role_arn: str) -> None:
    client("lambda").create_function(
        FunctionName=name, Runtime="python3.11", Handler="app.handler", Role=role_arn,
        Code={"ZipFile": zipped("def handler(e, c): return 1")},
    )  # fmt: skip


# -- waiters


def _cloudformation(client: Client, wait: Callable[..., None]) -> None:
    cfn = client("cloudformation")
    cfn.create_change_set(StackName="s", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=QUEUE)  # fmt: skip
    wait("change_set_create_complete", StackName="s", ChangeSetName="c")
    wait("stack_exists", StackName="s")
    cfn.execute_change_set(StackName="s", ChangeSetName="c")
    wait("stack_create_complete", StackName="s")
    cfn.update_stack(StackName="s", TemplateBody=TOPIC)
    wait("stack_update_complete", StackName="s")
    failing = {"Bad": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "a b"}}}
    body = {"Resources": json.loads(TOPIC)["Resources"] | failing}
    cfn.update_stack(StackName="s", TemplateBody=json.dumps(body))
    wait("stack_rollback_complete", StackName="s")
    with pytest.raises(WaiterError, match="terminal failure state"):
        wait("stack_update_complete", StackName="s")
    cfn.delete_stack(StackName="s")
    wait("stack_delete_complete", StackName="s")
    client("s3").create_bucket(Bucket="kept")
    properties = {"BucketName": "kept"}
    kept = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": properties}
    cfn.create_change_set(
        StackName="i", ChangeSetName="c", ChangeSetType="IMPORT", TemplateBody=json.dumps({"Resources": {"B": kept}}),
        ResourcesToImport=[{"ResourceType": "AWS::S3::Bucket", "LogicalResourceId": "B", "ResourceIdentifier": properties}],
    )  # fmt: skip
    wait("change_set_create_complete", StackName="i", ChangeSetName="c")
    cfn.execute_change_set(StackName="i", ChangeSetName="c")
    wait("stack_import_complete", StackName="i")


def _cloudcontrol(client: Client, wait: Callable[..., None]) -> None:
    state = json.dumps({"QueueName": "q"})
    made = client("cloudcontrol").create_resource(TypeName="AWS::SQS::Queue", DesiredState=state)
    wait("resource_request_success", RequestToken=made["ProgressEvent"]["RequestToken"])


def _cloudwatch(client: Client, wait: Callable[..., None]) -> None:
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="a", Namespace="N", MetricName="m", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
    )  # fmt: skip
    wait("alarm_exists", AlarmNames=["a"])
    cloudwatch.put_composite_alarm(AlarmName="b", AlarmRule="ALARM(a)")
    wait("composite_alarm_exists", AlarmNames=["b"], AlarmTypes=["CompositeAlarm"])


def _dynamodb(client: Client, wait: Callable[..., None]) -> None:
    db = client("dynamodb")
    db.create_table(TableName="ttt", **TABLE)
    wait("table_exists", TableName="ttt")
    db.update_continuous_backups(
        TableName="ttt", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    db.put_item(TableName="ttt", Item={"pk": {"S": "a"}})
    client("s3").create_bucket(Bucket="exports")
    arn = db.describe_table(TableName="ttt")["Table"]["TableArn"]
    export = db.export_table_to_point_in_time(TableArn=arn, S3Bucket="exports")
    wait("export_completed", ExportArn=export["ExportDescription"]["ExportArn"])
    client("kinesis").create_stream(StreamName="k", ShardCount=1)
    stream = client("kinesis").describe_stream_summary(StreamName="k")["StreamDescriptionSummary"]
    db.enable_kinesis_streaming_destination(TableName="ttt", StreamArn=stream["StreamARN"])
    wait("kinesis_streaming_destination_active", TableName="ttt")
    client("s3").put_object(
        Bucket="exports", Key="in/1.json", Body=b'{"Item": {"pk": {"S": "b"}}}\n'
    )
    began = db.import_table(
        S3BucketSource={"S3Bucket": "exports", "S3KeyPrefix": "in/"}, InputFormat="DYNAMODB_JSON",
        TableCreationParameters={"TableName": "uuu", **TABLE},
    )  # fmt: skip
    wait("import_completed", ImportArn=began["ImportTableDescription"]["ImportArn"])
    db.delete_table(TableName="ttt")
    wait("table_not_exists", TableName="ttt")


def _iam(client: Client, wait: Callable[..., None]) -> None:
    iam = client("iam")
    iam.create_user(UserName="u")
    wait("user_exists", UserName="u")
    role(client)
    wait("role_exists", RoleName="r")
    iam.create_instance_profile(InstanceProfileName="p")
    wait("instance_profile_exists", InstanceProfileName="p")
    policy = iam.create_policy(PolicyName="q", PolicyDocument=ALLOW)["Policy"]
    wait("policy_exists", PolicyArn=policy["Arn"])


def _kinesis(client: Client, wait: Callable[..., None]) -> None:
    client("kinesis").create_stream(StreamName="k", ShardCount=1)
    wait("stream_exists", StreamName="k")
    client("kinesis").delete_stream(StreamName="k")
    wait("stream_not_exists", StreamName="k")


def _lambda(client: Client, wait: Callable[..., None]) -> None:
    function(client, "f", role(client))
    for name in ("function_exists", "function_active", "function_active_v2"):
        wait(name, FunctionName="f")
    client("lambda").update_function_configuration(FunctionName="f", Timeout=9)
    for name in ("function_updated", "function_updated_v2"):
        wait(name, FunctionName="f")
    version = client("lambda").publish_version(FunctionName="f")["Version"]
    wait("published_version_active", FunctionName="f", Qualifier=version)


def _s3(client: Client, wait: Callable[..., None]) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="bbb")
    wait("bucket_exists", Bucket="bbb")
    s3.put_object(Bucket="bbb", Key="k", Body=b"1")
    wait("object_exists", Bucket="bbb", Key="k")
    s3.delete_object(Bucket="bbb", Key="k")
    wait("object_not_exists", Bucket="bbb", Key="k")
    s3.delete_bucket(Bucket="bbb")
    wait("bucket_not_exists", Bucket="bbb")


WAITERS = {
    "cloudcontrol": _cloudcontrol,
    "cloudformation": _cloudformation,
    "cloudwatch": _cloudwatch,
    "dynamodb": _dynamodb,
    "iam": _iam,
    "kinesis": _kinesis,
    "lambda": _lambda,
    "s3": _s3,
}
LEFT_OUT = {"LogAlarmExists"}  # PutLogAlarm is not offered


@pytest.mark.parametrize("service", WAITERS)
def test_every_waiter_of_what_is_offered_ends(client: Client, service: str) -> None:
    waited = set()

    def wait(name: str, **asked: Any) -> None:
        client(service).get_waiter(name).wait(**asked, WaiterConfig=SOON)
        waited.add(name)

    WAITERS[service](client, wait)
    model = WaiterModel(client(service)._get_waiter_config())
    names = {n for n in model.waiter_names if offered(service, model.get_waiter(n).operation)}
    assert {snake(name) for name in names - LEFT_OUT} == waited


def test_no_other_service_offered_has_waiters() -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    for offer in OFFERS:
        made = boto3.client(offer.service, **keys)
        if not made.waiter_names or offer.service in WAITERS:
            continue
        model = WaiterModel(made._get_waiter_config())
        asked = [model.get_waiter(name).operation for name in model.waiter_names]
        assert not [o for o in asked if offered(offer.service, o)], offer.service


# -- paginators


def _functions(client: Client) -> None:
    arn = role(client)
    for n in range(3):
        function(client, f"f{n}", arn)


def _objects(client: Client) -> None:
    client("s3").create_bucket(Bucket="bbb")
    for n in range(3):
        client("s3").put_object(Bucket="bbb", Key=f"k{n}", Body=b"1")


def _uploads(client: Client) -> None:
    client("s3").create_bucket(Bucket="bbb")
    for n in range(3):
        client("s3").create_multipart_upload(Bucket="bbb", Key=f"k{n}")


def _items(client: Client) -> None:
    client("dynamodb").create_table(TableName="ttt", **TABLE)
    for n in range(3):
        client("dynamodb").put_item(TableName="ttt", Item={"pk": {"S": str(n)}})


def _lines(client: Client) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    now_ms = logs.describe_log_groups()["logGroups"][0]["creationTime"]
    events = [{"timestamp": now_ms + n, "message": str(n)} for n in range(3)]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)


def each(service: str, operation: str, **request: Any) -> Callable[[Client], None]:
    """Three calls, ``{n}`` in texts being 0, 1, 2."""

    def make(client: Client) -> None:
        for n in range(3):
            asked = {k: v.format(n=n) if isinstance(v, str) and "{n}" in v else v for k, v in request.items()}  # fmt: skip
            getattr(client(service), operation)(**asked)

    return make


# service, operation, how three things are made, what a page holds, what is asked
PAGED: list[tuple[str, str, Callable[[Client], None], str, dict[str, Any]]] = [
    ("s3", "list_objects", _objects, "Contents[].Key", {"Bucket": "bbb"}),
    ("s3", "list_objects_v2", _objects, "Contents[].Key", {"Bucket": "bbb"}),
    ("s3", "list_object_versions", _objects, "Versions[].Key", {"Bucket": "bbb"}),
    ("s3", "list_multipart_uploads", _uploads, "Uploads[].Key", {"Bucket": "bbb"}),
    ("s3", "list_buckets", each("s3", "create_bucket", Bucket="bucket{n}"), "Buckets[].Name", {}),
    ("dynamodb", "scan", _items, "Items[].pk", {"TableName": "ttt"}),
    ("dynamodb", "list_tables", each("dynamodb", "create_table", TableName="table{n}", **TABLE), "TableNames", {}),
    ("lambda", "list_functions", _functions, "Functions[].FunctionName", {}),
    ("iam", "list_users", each("iam", "create_user", UserName="u{n}"), "Users[].UserName", {}),
    ("iam", "list_roles", each("iam", "create_role", RoleName="r{n}", AssumeRolePolicyDocument=TRUST), "Roles[].RoleName", {}),
    ("sqs", "list_queues", each("sqs", "create_queue", QueueName="q{n}"), "QueueUrls", {}),
    ("logs", "describe_log_groups", each("logs", "create_log_group", logGroupName="g{n}"), "logGroups[].logGroupName", {}),
    ("logs", "filter_log_events", _lines, "events[].message", {"logGroupName": "g"}),
    ("cloudformation", "list_stack_resources", lambda c: c("cloudformation").create_stack(StackName="s", TemplateBody=TOPIC.replace('"T"', '"R": {"Type": "AWS::SQS::Queue"}, "T"')), "StackResourceSummaries[].LogicalResourceId", {"StackName": "s"}),
    ("ssm", "get_parameters_by_path", each("ssm", "put_parameter", Name="/p/{n}", Value="v", Type="String"), "Parameters[].Name", {"Path": "/p"}),
    ("ssm", "describe_parameters", each("ssm", "put_parameter", Name="/p/{n}", Value="v", Type="String"), "Parameters[].Name", {}),
    ("secretsmanager", "list_secrets", each("secretsmanager", "create_secret", Name="s{n}", SecretString="v"), "SecretList[].Name", {}),
    ("kinesis", "list_streams", each("kinesis", "create_stream", StreamName="k{n}", ShardCount=1), "StreamNames", {}),
    ("kms", "list_keys", each("kms", "create_key"), "Keys[].KeyId", {}),
    ("cloudwatch", "describe_alarms", each("cloudwatch", "put_composite_alarm", AlarmName="a{n}", AlarmRule="TRUE"), "CompositeAlarms[].AlarmName", {"AlarmTypes": ["CompositeAlarm"]}),
    ("events", "list_rules", each("events", "put_rule", Name="r{n}", ScheduleExpression="rate(1 day)"), "Rules[].Name", {}),
    ("apigateway", "get_rest_apis", each("apigateway", "create_rest_api", name="a{n}"), "items[].name", {}),
    ("apigateway", "get_api_keys", each("apigateway", "create_api_key", name="k{n}"), "items[].name", {}),
    ("apigatewayv2", "get_apis", each("apigatewayv2", "create_api", Name="a{n}", ProtocolType="HTTP"), "Items[].Name", {}),
    ("scheduler", "list_schedule_groups", each("scheduler", "create_schedule_group", Name="g{n}"), "ScheduleGroups[?Name != 'default'].Name", {}),
    ("glue", "get_databases", lambda c: [c("glue").create_database(DatabaseInput={"Name": f"d{n}"}) for n in range(3)] and None, "DatabaseList[].Name", {}),
    ("s3tables", "list_table_buckets", each("s3tables", "create_table_bucket", name="lake-{n}"), "tableBuckets[].name", {}),
    ("ecr", "describe_repositories", each("ecr", "create_repository", repositoryName="repo{n}"), "repositories[].repositoryName", {}),
]  # fmt: skip

UNSIZED = {("cloudformation", "list_stack_resources")}


@pytest.mark.parametrize("row", PAGED, ids=lambda row: f"{row[0]}-{row[1]}")
def test_several_things_are_read_a_page_at_a_time(client: Client, row: Any) -> None:
    """PageSize is a wish some services round up: what counts is that all is read, once, and no page is too large."""
    service, operation, make, held, asked = row
    make(client)
    paginator = client(service).get_paginator(operation)
    sized = {"PageSize": 1} if (service, operation) not in UNSIZED else {}
    pages = list(islice(paginator.paginate(**asked, PaginationConfig=sized), PAGES_MAX))
    found = [json.dumps(x) for page in pages for x in jmespath.search(held, page) or ()]
    assert len(found) == len(set(found)) == 3
    assert len(pages) < PAGES_MAX
    whole = paginator.paginate(**asked).build_full_result()
    assert [json.dumps(x) for x in jmespath.search(held, whole)] == found


def test_every_paginator_that_needs_nothing_comes_to_an_end(client: Client) -> None:
    """On an empty account, in the smallest pages: a cursor that repeats itself would never end."""
    asked = []
    for offer in OFFERS:
        made = client(offer.service)
        for operation in made.meta.service_model.operation_names:
            shape = made.meta.service_model.operation_model(operation).input_shape
            if offer.service == "organizations":
                continue  # an account without an organization has nothing to list
            if not offered(offer.service, operation) or not made.can_paginate(snake(operation)):
                continue
            if shape.required_members:
                continue
            pages = made.get_paginator(snake(operation)).paginate()
            if operation in WANTING:
                with pytest.raises(ClientError, match=WANTING[operation]):
                    list(pages)
                continue
            assert len(list(islice(pages, PAGES_MAX))) < PAGES_MAX, operation
            asked.append(operation)
    assert len(asked) > 40
