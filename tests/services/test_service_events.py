"""What this cloud's services put on the default bus, each as its page says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eventing import advance, come_to_rest, nothing_came, queue, received
from lambdas import create

from stratolite.core import Keyspace

DAY_S = 86_400


@pytest.fixture
def listen(client):
    """A rule of the default bus with a queue behind it; called again it gives the next events, in no order."""
    url, arn = queue(client)

    def rule(state: str = "ENABLED", **pattern: Any) -> None:
        client("events").put_rule(Name="r", EventPattern=json.dumps(pattern), State=state)
        client("events").put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])

    rule.next = lambda count=1, wait_s=20: received(client, url, count, wait_s=wait_s)  # type: ignore[attr-defined]
    rule.is_silent = lambda: nothing_came(client, url)  # type: ignore[attr-defined]
    return rule


def only(found: list[Any]) -> tuple[str, list[str], dict[str, Any]]:
    [event] = found
    return event["detail-type"], event["resources"], event["detail"]


# -- CloudFormation


def test_a_drift_detection_tells_its_beginning_and_its_end(client, listen):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/event-detail-stack-drift-detection-change.html"""
    stacks = client("cloudformation")
    template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "mine", "DelaySeconds": 3}}}})  # fmt: skip
    stack = stacks.create_stack(StackName="s", TemplateBody=template)["StackId"]
    stacks.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 0})
    sqs = client("sqs")
    sqs.set_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName="mine")["QueueUrl"], Attributes={"DelaySeconds": "9"})  # fmt: skip
    listen(source=["aws.cloudformation"])
    detection = stacks.detect_stack_drift(StackName="s")["StackDriftDetectionId"]
    found = listen.next(2)
    assert {(e["detail-type"], *e["resources"]) for e in found} == {("CloudFormation Drift Detection Status Change", stack)}  # fmt: skip
    begun, done = sorted(
        (e["detail"] for e in found),
        key=lambda d: d["drift-detection-details"]["drifted-stack-resource-count"],
    )
    assert begun == {
        "stack-id": stack,
        "stack-drift-detection-id": detection,
        "status-details": {"stack-drift-status": "NOT_CHECKED", "detection-status": "DETECTION_IN_PROGRESS"},
        "drift-detection-details": {"drifted-stack-resource-count": -1},
    }  # fmt: skip
    assert done["status-details"] == {"stack-drift-status": "DRIFTED", "detection-status": "DETECTION_COMPLETE"}  # fmt: skip
    assert done["drift-detection-details"] == {"drifted-stack-resource-count": 1}


def test_a_stack_set_tells_of_itself_its_operations_and_its_instances(client, listen):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/events-detail-reference.html"""
    stacks = client("cloudformation")
    listen(source=["aws.cloudformation"], **{"detail-type": [{"prefix": "CloudFormation StackSet"}]})  # fmt: skip
    template = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    stacks.create_stack_set(StackSetName="set", TemplateBody=template)
    arn = stacks.describe_stack_set(StackSetName="set")["StackSet"]["StackSetARN"]
    kind, resources, detail = only(listen.next())
    assert (kind, resources, detail) == (
        "CloudFormation StackSet Status Change",
        [arn],
        {"stack-set-arn": arn, "status-details": {"status": "ACTIVE"}},
    )
    # no roles: the operation fails, which is told, too
    op = stacks.create_stack_instances(StackSetName="set", Accounts=["000000000000"], Regions=["us-east-1"])["OperationId"]  # fmt: skip
    found = listen.next(4)
    told = [(e["detail-type"].removeprefix("CloudFormation StackSet "), e["detail"]) for e in found]
    operations = {(d["stack-set-operation-id"], d["status-details"]["status"]) for k, d in told if k == "Operation Status Change"}  # fmt: skip
    assert operations == {(op, "RUNNING"), (op, "FAILED")}
    pending, failed = sorted((d for k, d in told if k == "StackInstance Status Change"), key=lambda d: d["status-details"]["detailed-status"], reverse=True)  # fmt: skip
    assert pending == {
        "stack-set-arn": arn, "stack-id": "", "action": "CREATE",
        "status-details": {"status": "OUTDATED", "status-reason": "", "detailed-status": "PENDING"},
    }  # fmt: skip
    assert failed["status-details"]["detailed-status"] == "FAILED"
    assert "should have 'AWSCloudFormationStackSetExecutionRole'" in failed["status-details"]["status-reason"]  # fmt: skip


# -- the others


def test_parameters_tell_of_each_change(client, listen):
    """https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html"""
    listen(source=["aws.ssm"])  # without a detail type: none of the calls themselves
    ssm = client("ssm")
    ssm.put_parameter(Name="/p", Value="1", Type="String")
    ssm.label_parameter_version(Name="/p", Labels=["good"])
    ssm.delete_parameter(Name="/p")
    found = listen.next(3)
    assert {e["detail"]["operation"] for e in found} == {"Create", "LabelParameterVersion", "Delete"}  # fmt: skip
    assert {tuple(e["resources"]) for e in found} == {("arn:aws:ssm:us-east-1:000000000000:parameter/p",)}  # fmt: skip


def test_a_key_tells_of_its_rotation_and_of_its_end(client, platform, listen):
    """https://docs.aws.amazon.com/kms/latest/developerguide/kms-events.html"""
    listen(source=["aws.kms"])
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
    rotations = kms.list_key_rotations(KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]  # fmt: skip
    first, second = (r["KeyMaterialId"] for r in rotations)
    kind, resources, detail = only(listen.next())
    assert (kind, resources) == ("KMS CMK Rotation", [key["Arn"]])
    assert detail == {
        "key-id": key["KeyId"], "key-origin": "AWS_KMS", "rotation-type": "ON_DEMAND",
        "previous-key-material-id": first, "current-key-material-id": second,
    }  # fmt: skip
    kms.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    advance(platform, 91 * DAY_S)
    kms.describe_key(KeyId=key["KeyId"])
    assert only(listen.next())[2]["rotation-type"] == "AUTOMATIC"
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    advance(platform, 7 * DAY_S + 1)
    assert only(listen.next()) == ("KMS CMK Deletion", [key["Arn"]], {"key-id": key["KeyId"]})


def test_the_catalog_tells_of_databases_tables_and_partitions(client, listen):
    """https://docs.aws.amazon.com/glue/latest/dg/automating-awsglue-with-cloudwatch-events.html"""
    listen(source=["aws.glue"])
    glue, where = client("glue"), "arn:aws:glue:us-east-1:000000000000"

    def told(kind: str, arn: str, **detail: Any) -> None:
        assert only(listen.next()) == (f"Glue Data Catalog {kind} State Change", [f"{where}:{arn}"], detail)  # fmt: skip

    glue.create_database(DatabaseInput={"Name": "d"})
    told("Database", "database/d", databaseName="d", typeOfChange="CreateDatabase", changedTables=[])  # fmt: skip
    table = {"Name": "t", "PartitionKeys": [{"Name": "y", "Type": "string"}, {"Name": "m", "Type": "string"}]}  # fmt: skip
    glue.create_table(DatabaseName="d", TableInput=table)
    told("Database", "table/d/t", databaseName="d", typeOfChange="CreateTable", changedTables=["t"])
    glue.batch_create_partition(DatabaseName="d", TableName="t", PartitionInputList=[{"Values": ["26", "11"]}, {"Values": ["26"]}])  # fmt: skip
    told("Table", "table/d/t", databaseName="d", changedPartitions=["[26, 11]"], typeOfChange="BatchCreatePartition", tableName="t")  # fmt: skip
    glue.delete_partition(DatabaseName="d", TableName="t", PartitionValues=["26", "11"])
    told("Table", "table/d/t", databaseName="d", changedPartitions=["[26, 11]"], typeOfChange="DeletePartition", tableName="t")  # fmt: skip
    glue.update_table(DatabaseName="d", TableInput=table)
    told("Table", "table/d/t", databaseName="d", changedPartitions=[], typeOfChange="UpdateTable", tableName="t")  # fmt: skip
    glue.batch_delete_table(DatabaseName="d", TablesToDelete=["t", "none"])
    told("Database", "table/d/t", databaseName="d", typeOfChange="BatchDeleteTable", changedTables=["t"])  # fmt: skip


def test_an_alarm_tells_that_it_was_made_changed_and_deleted(client, listen):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html"""
    listen(source=["aws.cloudwatch"])
    watch = client("cloudwatch")
    about = {"AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}  # fmt: skip
    watch.put_metric_alarm(**about, Threshold=1, AlarmDescription="too much")
    arn = watch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    kind, resources, made = only(listen.next())
    assert (kind, resources) == ("CloudWatch Alarm Configuration Change", [arn])
    assert (made["alarmName"], made["operation"]) == ("a", "create")
    assert made["state"]["value"] == "INSUFFICIENT_DATA"
    configuration = made["configuration"]
    assert configuration.pop("timestamp")
    assert configuration.pop("metrics")[0]["metricStat"]["metric"] == {"namespace": "n", "name": "m", "dimensions": {}}  # fmt: skip
    assert configuration == {
        "alarmName": "a", "description": "too much", "actionsEnabled": True, "alarmActions": [], "okActions": [],
        "insufficientDataActions": [], "evaluationPeriods": 1, "threshold": 1.0, "comparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    watch.put_metric_alarm(**about, Threshold=2)
    changed = only(listen.next())[2]
    assert changed["operation"] == "update"
    assert (changed["configuration"]["threshold"], changed["previousConfiguration"]["threshold"]) == (2.0, 1.0)  # fmt: skip
    watch.delete_alarms(AlarmNames=["a"])
    assert only(listen.next())[2]["operation"] == "delete"


# -- management calls


def test_a_management_call_is_an_event_and_one_that_reads_only_for_who_asks(client, listen):
    """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html"""
    listen(source=["aws.s3"], **{"detail-type": ["AWS API Call via CloudTrail"]})
    s3 = client("s3")
    s3.list_buckets()
    s3.create_bucket(Bucket="mine")
    kind, resources, detail = only(listen.next())
    assert (kind, resources) == ("AWS API Call via CloudTrail", [])
    assert (detail["eventSource"], detail["eventName"]) == ("s3.amazonaws.com", "CreateBucket")
    assert detail["requestParameters"] == {"bucket": "mine"} | detail["requestParameters"]
    listen("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", source=["aws.s3"], **{"detail-type": ["AWS API Call via CloudTrail"]})  # fmt: skip
    s3.list_buckets()
    assert only(listen.next())[2]["eventName"] == "ListBuckets"


@pytest.mark.timeout(60)
def test_what_services_do_of_their_own_accord_is_in_the_history_and_on_no_bus(
    client, platform, listen
):
    """A function that a rule invokes has its role assumed and its log group made: calls that would invoke it again."""
    arn = create(client, code="def handler(event, context): print(event['id'])")["FunctionArn"]  # fmt: skip
    client("lambda").add_permission(FunctionName=arn, StatementId="e", Action="lambda:InvokeFunction", Principal="events.amazonaws.com")  # fmt: skip
    client("events").put_rule(Name="all", EventPattern='{"detail-type": ["AWS API Call via CloudTrail"]}', State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")  # fmt: skip
    client("events").put_targets(Rule="all", Targets=[{"Id": "1", "Arn": arn}])

    listen("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", **{"detail-type": ["AWS API Call via CloudTrail"]})  # fmt: skip
    client("sns").create_topic(Name="t")
    history: list[Any] = []
    while not any(e["eventName"] == "CreateLogStream" for e in history):
        platform.run(platform.cloud.trail.flush())
        come_to_rest(platform, "events.route", "events.deliver", "lambda.async")
        history = [json.loads(e["CloudTrailEvent"]) for e in client("cloudtrail").lookup_events()["Events"]]  # fmt: skip
    by_services = {e["eventID"] for e in history if e["userIdentity"]["type"] == "AWSService"}
    told = [event["detail"] for event in listen.next(100, 1)]  # fmt: skip
    assert by_services
    assert "CreateTopic" in {e["eventName"] for e in told}
    assert not by_services & {e["eventID"] for e in told}


# -- nobody listens


def queues_used(platform: Any) -> set[str]:
    """The names of the work queues that ever had a job."""
    keys = Keyspace("", "", "work")
    found = platform.run(
        platform.cloud.db.transact(lambda tx: [key for key, _ in tx.scan(keys.span("queue"))])
    )
    return {str(keys.parts(key)[1]) for key in found}


def looked_up(platform: Any, call: Any) -> int:
    """How many keys of EventBridge are looked up or scanned meanwhile."""
    db, count = platform.cloud.db, 0
    get, scan = db.get_committed, db.scan_committed

    def one(tx: Any, key: bytes) -> Any:
        nonlocal count
        count += b"\x02events\x00" in key
        return get(tx, key)

    def rows(tx: Any, start: bytes, stop: bytes, **how: Any) -> Any:
        nonlocal count
        for key, value in scan(tx, start, stop, **how):
            count += b"\x02events\x00" in key
            yield key, value

    db.get_committed, db.scan_committed = one, rows
    try:
        call()
    finally:
        db.get_committed, db.scan_committed = get, scan
    return count


def test_an_account_without_rules_pays_one_look_for_an_event(client, platform):
    ssm = client("ssm")
    ssm.put_parameter(Name="p", Value="1", Type="String")
    put = lambda: ssm.put_parameter(Name="p", Value="2", Overwrite=True)  # noqa: E731
    assert looked_up(platform, put) == 1


def test_where_nobody_listens_nothing_is_put_on_the_bus(client, platform):
    """No job either: a rule by the clock, one that is disabled and one of another bus hear nothing."""
    events, ssm = client("events"), client("ssm")
    events.put_rule(Name="clock", ScheduleExpression="rate(1 day)")
    events.put_rule(Name="off", EventPattern='{"source": ["aws.ssm"]}', State="DISABLED")
    events.create_event_bus(Name="other")
    events.put_rule(Name="r", EventBusName="other", EventPattern='{"source": ["aws.ssm"]}')
    ssm.put_parameter(Name="p", Value="1", Type="String")
    client("glue").create_database(DatabaseInput={"Name": "d"})
    stacks = client("cloudformation")
    stacks.create_stack(StackName="s", TemplateBody='{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}')  # fmt: skip
    stacks.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 0})
    events.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])
    platform.run(platform.cloud.trail.flush())
    used = queues_used(platform)
    assert "cloudformation.stack" in used, used
    assert not used & {"events.route", "cloudformation.bus", "ssm.tell"}
    cost = looked_up(platform, lambda: ssm.put_parameter(Name="p", Value="2", Overwrite=True))
    assert cost <= 4, "the bus's edition and the rules there are"
    events.enable_rule(Name="off")
    ssm.put_parameter(Name="q", Value="1", Type="String")
    assert "events.route" in queues_used(platform)
