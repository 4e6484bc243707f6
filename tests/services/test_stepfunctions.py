"""Step Functions: what runs, under whom, in which order, what survives, and what is refused in which words.

Orders of events and messages are those AWS recorded (localstack/localstack, tests/aws/services/stepfunctions, *.snapshot.json).
"""

from __future__ import annotations

import json
import time

import lambdas
import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, queue, received, role, user_client
from workflows import machine, one, passing

SERVICE = "states.amazonaws.com"
ARN = f"arn:aws:states:us-east-1:{ACCOUNT}"
WORK = ("stepfunctions.step", "stepfunctions.alarm", "stepfunctions.task")


@pytest.fixture
def sfn(client):
    return client("stepfunctions", inject_host_prefix=False)


@pytest.fixture
def runner(client):
    return role(client, "runner", SERVICE, "*")


def create(sfn, runner, definition, name="m", **more):
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=runner, **more)["stateMachineArn"]  # fmt: skip


def start(sfn, arn, *given, **more):
    said = json.dumps(given[0] if given else {})
    return sfn.start_execution(stateMachineArn=arn, input=said, **more)["executionArn"]


def ended(sfn, arn):
    end = time.monotonic() + 120
    while (found := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < end, "it does not end"
        time.sleep(0.01)
    return found


def came_to(sfn, arn):
    found = ended(sfn, arn)
    assert found["status"] == "SUCCEEDED", found
    return json.loads(found["output"])


def history(sfn, arn, **more):
    return sfn.get_execution_history(executionArn=arn, **more)["events"]


def shown(events):
    return [f"{e['id']}<{e['previousEventId']} {e['type']}" for e in events]


def until(sfn, arn, kind):
    """The first event of that type, waited for."""
    end = time.monotonic() + 120
    while True:
        for event in history(sfn, arn, maxResults=1000):
            if event["type"] == kind:
                return event
        assert time.monotonic() < end, f"no {kind}"
        time.sleep(0.01)


def sdk(service, action, parameters, **more):
    return {"Type": "Task", "Resource": f"arn:aws:states:::{service}:{action}", "Parameters": parameters, "End": True, **more}  # fmt: skip


# -- functions


def test_a_function_runs_under_the_machines_role_and_its_history_is_awss(client, sfn, runner):
    function = lambdas.create(client, "fn", "def handler(event, context): return {'got': event}")
    task = {"Type": "Task", "Resource": function["FunctionArn"], "End": True}
    arn = start(sfn, create(sfn, runner, one(task)), {"n": 1})
    assert came_to(sfn, arn) == {"got": {"n": 1}}
    events = history(sfn, arn)
    assert shown(events) == [
        "1<0 ExecutionStarted", "2<0 TaskStateEntered", "3<2 LambdaFunctionScheduled", "4<3 LambdaFunctionStarted",
        "5<4 LambdaFunctionSucceeded", "6<5 TaskStateExited", "7<6 ExecutionSucceeded",
    ]  # fmt: skip
    assert events[0]["executionStartedEventDetails"] == {"input": '{"n": 1}', "inputDetails": {"truncated": False}, "roleArn": runner}  # fmt: skip
    assert events[2]["lambdaFunctionScheduledEventDetails"]["resource"] == function["FunctionArn"]
    poor = create(sfn, role(client, "poor", SERVICE), one(task), "poor")
    failed = ended(sfn, start(sfn, poor))
    assert failed["error"] == "Lambda.AWSLambdaException"
    assert "not authorized to perform: lambda:InvokeFunction" in failed["cause"]


def test_what_a_function_raises_is_the_error_and_can_be_caught(client, sfn, runner):
    code = "class Sour(Exception): pass\ndef handler(event, context):\n    raise Sour('milk')"
    lambdas.create(client, "fn", code)
    invoke = sdk("lambda", "invoke", {"FunctionName": "fn", "Payload.$": "$"})
    failed = ended(sfn, start(sfn, create(sfn, runner, one(invoke), "bare")))
    assert failed["error"] == "Sour"
    assert json.loads(failed["cause"])["errorMessage"] == "milk"
    catch = [{"ErrorEquals": ["Sour"], "ResultPath": "$.why", "Next": "B"}]
    caught = {**invoke, "Catch": catch, "Next": "B"}
    del caught["End"]
    found = came_to(sfn, start(sfn, create(sfn, runner, machine(A=caught, B=passing(Parameters={"error.$": "$.why.Error"})), "caught")))  # fmt: skip
    assert found == {"error": "Sour"}
    missing = sdk("lambda", "invoke", {"FunctionName": "nobody"})
    failed = ended(sfn, start(sfn, create(sfn, runner, one(missing), "missing")))
    assert failed["error"] == "Lambda.ResourceNotFoundException"
    assert "(Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: " in failed["cause"]  # fmt: skip


def test_a_functions_answer_comes_with_its_payload_parsed(client, sfn, runner):
    lambdas.create(client, "fn", "def handler(event, context): return {'got': event}")
    found = came_to(sfn, start(sfn, create(sfn, runner, one(sdk("lambda", "invoke", {"FunctionName": "fn", "Payload": {"a.$": "$.n"}}))), {"n": 5}))  # fmt: skip
    assert found["Payload"] == {"got": {"a": 5}}
    assert (found["StatusCode"], found["ExecutedVersion"]) == (200, "$LATEST")
    assert found["SdkHttpMetadata"]["HttpStatusCode"] == 200
    for said, got in (('"text"', "text"), ("7", 7), (None, {})):
        sent = start(sfn, create(sfn, runner, one(sdk("lambda", "invoke", {"FunctionName": "fn", "Payload.$": "$"})), "text"), said)  # fmt: skip
        assert came_to(sfn, sent)["Payload"] == {"got": got}


def test_what_is_put_into_s3_is_json(client, sfn, runner):
    """Even a string keeps its quotes; read back it is the object's text."""
    client("s3").create_bucket(Bucket="bucket")
    put = _next(
        sdk("aws-sdk:s3", "putObject", {"Bucket": "bucket", "Key": "k", "Body.$": "$"}), "Get"
    )
    arn = create(sfn, runner, machine(Put=put, Get=sdk("aws-sdk:s3", "getObject", {"Bucket": "bucket", "Key": "k"})))  # fmt: skip
    assert came_to(sfn, start(sfn, arn, "text"))["Body"] == '"text"'
    assert came_to(sfn, start(sfn, arn, {"n": 1}))["Body"] == '{"n":1}'
    assert client("s3").get_object(Bucket="bucket", Key="k")["Body"].read() == b'{"n":1}'


# -- time


def test_waits_and_retries_pass_on_the_cloud_clock_and_survive_a_restart(platform, sfn, runner):
    year = 31_536_000
    missing = sdk("dynamodb", "getItem", {"TableName": "none", "Key": {"k": {"S": "1"}}}, Retry=[{"ErrorEquals": ["DynamoDB.ResourceNotFoundException"], "IntervalSeconds": 500, "MaxAttempts": 1}])  # fmt: skip
    arn = start(sfn, create(sfn, runner, machine(A={"Type": "Wait", "Seconds": year, "Next": "B"}, B=missing)))  # fmt: skip
    assert shown(history(sfn, arn)) == ["1<0 ExecutionStarted", "2<0 WaitStateEntered"]
    advance(platform, year - 10)
    come_to_rest(platform, *WORK)
    assert len(history(sfn, arn)) == 2
    platform.reopen()
    advance(platform, 11)
    until(sfn, arn, "TaskFailed")
    come_to_rest(platform, *WORK)
    assert sfn.describe_execution(executionArn=arn)["status"] == "RUNNING"
    platform.reopen()
    advance(platform, 500)
    failed = ended(sfn, arn)
    assert failed["error"] == "DynamoDB.ResourceNotFoundException"
    assert [e["type"] for e in history(sfn, arn)].count("TaskFailed") == 2


def test_a_machines_own_timeout_ends_it(platform, sfn, runner):
    arn = start(sfn, create(sfn, runner, one({"Type": "Wait", "Seconds": 900, "End": True}) | {"TimeoutSeconds": 60}))  # fmt: skip
    advance(platform, 61)
    assert ended(sfn, arn)["status"] == "TIMED_OUT"
    assert history(sfn, arn)[-1]["type"] == "ExecutionTimedOut"


# -- calls of APIs


def test_any_api_can_be_called_in_the_sdks_spelling(client, sfn, runner):
    definition = {"StartAt": "Make", "States": {
        "Make": _next(sdk("aws-sdk:dynamodb", "createTable", {
            "TableName.$": "$.t", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        }, ResultPath=None), "Put"),
        "Put": _next(sdk("dynamodb", "putItem", {"TableName.$": "$.t", "Item": {"k": {"S.$": "$.t"}}}, ResultPath="$.put"), "Get"),
        "Get": sdk("aws-sdk:dynamodb", "getItem", {"TableName.$": "$.t", "Key": {"k": {"S.$": "$.t"}}}, ResultPath="$.got"),
    }}  # fmt: skip
    found = came_to(sfn, start(sfn, create(sfn, runner, definition), {"t": "tab"}))
    assert found["got"] == {"Item": {"k": {"S": "tab"}}}
    assert found["put"]["SdkHttpMetadata"]["HttpStatusCode"] == 200


def _next(state, name):
    made = {**state, "Next": name}
    del made["End"]
    return made


@pytest.mark.parametrize(
    ("state", "error", "cause"),
    [
        (sdk("aws-sdk:s3", "getObject", {"Bucket": "b-none", "Key": "k"}), "S3.NoSuchBucketException", "(Service: S3, Status Code: 404, Request ID: "),
        (sdk("aws-sdk:secretsmanager", "describeSecret", {"SecretId": "no"}), "SecretsManager.ResourceNotFoundException", "(Service: SecretsManager, Status Code: 400, "),
        (sdk("sns", "publish", {"TopicArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:none", "Message": "m"}), "SNS.NotFoundException", "(Service: AmazonSNS; Status Code: 404; Error Code: NotFound; "),
        (sdk("states", "startExecution", {"StateMachineArn": f"{ARN}:stateMachine:none"}), "StepFunctions.StateMachineDoesNotExistException", "State Machine Does Not Exist: "),
        (sdk("dynamodb", "putItem", {"TableName": "t"}), "DynamoDB.AmazonDynamoDBException", "Member must not be null (Service: AmazonDynamoDBv2; "),
    ],
)  # fmt: skip
def test_errors_of_apis_are_called_as_the_sdk_for_java_calls_them(sfn, runner, state, error, cause):
    failed = ended(sfn, start(sfn, create(sfn, runner, one(state))))
    assert failed["error"] == error
    assert cause in failed["cause"]


def test_events_that_were_not_taken_fail_the_task(client, sfn, runner):
    entries = [{"Source": "me", "DetailType": "t", "Detail": {"n": 1}}, {"DetailType": "t", "Detail": {}}]  # fmt: skip
    failed = ended(sfn, start(sfn, create(sfn, runner, one(sdk("events", "putEvents", {"Entries": entries})))))  # fmt: skip
    assert failed["error"] == "EventBridge.FailedEntry"
    assert json.loads(failed["cause"])["FailedEntryCount"] == 1


# -- tokens


def test_a_task_waits_for_its_token_and_the_token_is_good_once(platform, client, sfn, runner):
    url, _ = queue(client, services=())
    body = {"token.$": "$$.Task.Token", "n.$": "$.n"}
    arn = create(sfn, runner, one(sdk("sqs", "sendMessage.waitForTaskToken", {"QueueUrl": url, "MessageBody": body}, HeartbeatSeconds=60)))  # fmt: skip
    running = start(sfn, arn, {"n": 1})
    [message] = received(client, url)
    assert message["n"] == 1
    until(sfn, running, "TaskSubmitted")
    advance(platform, 50)
    sfn.send_task_heartbeat(taskToken=message["token"])
    advance(platform, 50)
    come_to_rest(platform, *WORK)
    sfn.send_task_success(taskToken=message["token"], output='{"ok": true}')
    assert came_to(sfn, running) == {"ok": True}
    assert [e["type"] for e in history(sfn, running)][2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]  # fmt: skip
    with pytest.raises(ClientError, match="TaskTimedOut"):
        sfn.send_task_success(taskToken=message["token"], output="{}")
    with pytest.raises(ClientError, match="Invalid Token: 'Invalid token'"):
        sfn.send_task_success(taskToken="x", output="no json")
    with pytest.raises(ClientError, match="InvalidOutput"):
        sfn.send_task_success(taskToken=message["token"], output="no json")

    failing = start(sfn, arn, {"n": 2})
    sfn.send_task_failure(taskToken=received(client, url)[0]["token"], error="E", cause="because")
    assert ended(sfn, failing)["error"] == "E"

    silent = start(sfn, arn, {"n": 3})
    until(sfn, silent, "TaskSubmitted")
    advance(platform, 61)
    assert ended(sfn, silent)["error"] == "States.Timeout"
    assert "TaskTimedOut" in [e["type"] for e in history(sfn, silent)]


def test_an_execution_waits_for_another_one(sfn, runner):
    inner = create(sfn, runner, one(passing(Result={"in": 1})), "inner")
    for pattern, output in ((".sync", '{"in":1}'), (".sync:2", {"in": 1})):
        call = sdk("states", f"startExecution{pattern}", {"StateMachineArn": inner, "Input": {"a": 1}})  # fmt: skip
        found = came_to(sfn, start(sfn, create(sfn, runner, one(call), f"outer{len(pattern)}")))
        assert (found["Output"], found["Status"]) == (output, "SUCCEEDED")
    broken = create(sfn, runner, one({"Type": "Fail", "Error": "E", "Cause": "c"}), "broken")
    failed = ended(sfn, start(sfn, create(sfn, runner, one(sdk("states", "startExecution.sync", {"StateMachineArn": broken})), "outer")))  # fmt: skip
    assert failed["error"] == "States.TaskFailed"
    assert json.loads(failed["cause"])["Error"] == "E"


def test_who_is_stopped_stops_the_execution_it_waits_for(sfn, runner):
    inner = create(sfn, runner, one({"Type": "Wait", "Seconds": 900, "End": True}), "inner")
    call = sdk("states", "startExecution.sync:2", {"StateMachineArn": inner, "Name": "child"})
    outer = start(sfn, create(sfn, runner, one(call), "outer"))
    until(sfn, outer, "TaskSubmitted")
    sfn.stop_execution(executionArn=outer, error="Enough", cause="of it")
    found = ended(sfn, outer)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "of it")
    assert ended(sfn, f"{ARN}:execution:inner:child")["status"] == "ABORTED"


def test_activities_are_fetched_and_reported(sfn, runner):
    activity = sfn.create_activity(name="job")["activityArn"]
    arn = start(sfn, create(sfn, runner, one({"Type": "Task", "Resource": activity, "End": True})), {"n": 1})  # fmt: skip
    task = sfn.get_activity_task(activityArn=activity, workerName="w")
    assert json.loads(task["input"]) == {"n": 1}
    sfn.send_task_success(taskToken=task["taskToken"], output="2")
    assert came_to(sfn, arn) == 2
    assert shown(history(sfn, arn))[2:5] == ["3<2 ActivityScheduled", "4<3 ActivityStarted", "5<4 ActivitySucceeded"]  # fmt: skip
    assert history(sfn, arn)[3]["activityStartedEventDetails"] == {"workerName": "w"}
    sfn.delete_activity(activityArn=activity)
    gone = ended(sfn, start(sfn, f"{ARN}:stateMachine:m"))
    assert gone["cause"].endswith(f"The activity {activity} does not exist.")
    with pytest.raises(ClientError, match="Activity Does Not Exist"):
        sfn.describe_activity(activityArn=activity)


# -- the API


def test_a_name_starts_one_execution(sfn, runner):
    arn = create(sfn, runner, one({"Type": "Wait", "Seconds": 900, "End": True}))
    first = sfn.start_execution(stateMachineArn=arn, name="once", input='{"a": 1}')
    assert sfn.start_execution(stateMachineArn=arn, name="once", input='{"a": 1}')["startDate"] == first["startDate"]  # fmt: skip
    with pytest.raises(ClientError, match=f"Execution Already Exists: '{first['executionArn']}'"):
        sfn.start_execution(stateMachineArn=arn, name="once", input='{"a": 2}')
    sfn.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        sfn.start_execution(stateMachineArn=arn, name="once", input='{"a": 1}')
    for said, message in (
        ("not json", "Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"),
        ("{'a': 1}", "Unexpected character (''' (code 39)): was expecting double-quote to start field name"),
        ("", "Invalid execution input."),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            sfn.start_execution(stateMachineArn=arn, input=said)
        assert caught.value.response["Error"]["Message"] == f"Invalid State Machine Execution Input: '{message}'"  # fmt: skip


def test_listings_go_on_where_they_ended(sfn, runner):
    arn = create(sfn, runner, one(passing()))
    names = [start(sfn, arn, name=f"e{n}").rpartition(":")[2] for n in range(5)]
    for name in names:
        ended(sfn, f"{ARN}:execution:m:{name}")
    pages = sfn.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter="SUCCEEDED", PaginationConfig={"PageSize": 2})  # fmt: skip
    assert [[e["name"] for e in page["executions"]] for page in pages] == [["e4", "e3"], ["e2", "e1"], ["e0"]]  # fmt: skip
    assert sfn.list_executions(stateMachineArn=arn, statusFilter="FAILED")["executions"] == []
    pages = sfn.get_paginator("get_execution_history").paginate(executionArn=f"{ARN}:execution:m:e0", reverseOrder=True, PaginationConfig={"PageSize": 3})  # fmt: skip
    assert [[e["id"] for e in page["events"]] for page in pages] == [[4, 3, 2], [1]]
    with pytest.raises(ClientError, match="Invalid Token"):
        sfn.list_executions(stateMachineArn=arn, nextToken="x")


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({}, "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"),
        (one({"Type": "Nap"}), "SCHEMA_VALIDATION_FAILED: The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map] at /States/A/Type"),
        (machine(A={"Type": "Pass", "Next": "C"}, B=passing()), "MISSING_TRANSITION_TARGET: Missing 'Next' target: C at /States/A/Next, MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B"),
        (machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "Next": "A"}), "MISSING_END_STATE: Workflow has no terminal state"),
        (one(sdk("dynamodb", "query", {})), "SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::dynamodb:query is not recognized. The value is not a valid resource ARN, or the resource is not available in this region. at /States/A/Resource"),
        (one(sdk("ecs", "runTask.sync", {})), "SCHEMA_VALIDATION_FAILED: The resource arn:aws:states:::ecs:runTask.sync is not offered by Stratolite; see docs/coverage.md at /States/A/Resource"),
        (one({"Type": "Map", "ItemProcessor": one(passing()) | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}, "End": True}), "SCHEMA_VALIDATION_FAILED: Map states of the mode DISTRIBUTED are not offered by Stratolite at /States/A/ItemProcessor/ProcessorConfig"),
    ],
)  # fmt: skip
def test_definitions_are_refused_in_awss_words(sfn, runner, definition, said):
    with pytest.raises(ClientError) as caught:
        create(sfn, runner, definition)
    assert caught.value.response["Error"] == {"Code": "InvalidDefinition", "Message": f"Invalid State Machine Definition: '{said}'"}  # fmt: skip
    answer = sfn.validate_state_machine_definition(definition=json.dumps(definition))
    assert (answer["result"], len(answer["diagnostics"])) == ("FAIL", said.count("MISSING_T") or 1)


def test_machines_are_made_once_changed_and_deleted(platform, client, sfn, runner):
    arn = create(sfn, runner, one(passing(Result=1)))
    assert create(sfn, runner, one(passing(Result=1))) == arn
    with pytest.raises(ClientError, match=f"State Machine Already Exists: '{arn}'"):
        create(sfn, runner, one(passing(Result=2)))
    with pytest.raises(ClientError, match="Neither the global service principal states.amazonaws.com"):  # fmt: skip
        create(sfn, lambdas.role(client), one(passing()), "other")
    with pytest.raises(ClientError, match="Invalid Name: 'a b'"):
        create(sfn, runner, one(passing()), "a b")
    with pytest.raises(ClientError, match="MissingRequiredParameter"):
        sfn.update_state_machine(stateMachineArn=arn)
    sfn.update_state_machine(stateMachineArn=arn, definition=json.dumps(one(passing(Result=2))))
    assert came_to(sfn, start(sfn, arn)) == 2
    waiting = create(sfn, runner, one({"Type": "Wait", "Seconds": 900, "End": True}), "waiting")
    running = start(sfn, waiting)
    sfn.delete_state_machine(stateMachineArn=waiting)
    assert ended(sfn, running)["status"] == "ABORTED"
    come_to_rest(platform, "stepfunctions.drop")
    with pytest.raises(ClientError, match="State Machine Does Not Exist"):
        sfn.describe_state_machine(stateMachineArn=waiting)
    assert [m["name"] for m in sfn.list_state_machines()["stateMachines"]] == ["m"]
    with pytest.raises(ClientError, match="This operation is not supported by this type of state machine"):  # fmt: skip
        sfn.start_sync_execution(stateMachineArn=arn)
    with pytest.raises(ClientError, match="NotImplemented"):
        sfn.redrive_execution(executionArn=running)


def test_versions_and_aliases_lead_to_what_was_published(sfn, runner):
    arn = create(sfn, runner, one(passing(Result=1)), publish=True)
    sfn.update_state_machine(stateMachineArn=arn, definition=json.dumps(one(passing(Result=2))), publish=True)  # fmt: skip
    versions = [v["stateMachineVersionArn"] for v in sfn.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"]]  # fmt: skip
    assert versions == [f"{arn}:2", f"{arn}:1"]
    routes = [{"stateMachineVersionArn": f"{arn}:1", "weight": 100}]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=routes)["stateMachineAliasArn"]  # fmt: skip
    running = start(sfn, alias)
    assert came_to(sfn, running) == 1
    found = sfn.describe_execution(executionArn=running)
    assert (found["stateMachineAliasArn"], found["stateMachineVersionArn"]) == (alias, f"{arn}:1")
    with pytest.raises(ClientError, match="referenced by an alias"):
        sfn.delete_state_machine_version(stateMachineVersionArn=f"{arn}:1")
    sfn.update_state_machine_alias(stateMachineAliasArn=alias, routingConfiguration=[{"stateMachineVersionArn": f"{arn}:2", "weight": 100}])  # fmt: skip
    assert came_to(sfn, start(sfn, alias)) == 2
    sfn.delete_state_machine_version(stateMachineVersionArn=f"{arn}:1")
    with pytest.raises(ClientError, match=f"State Machine Does Not Exist: '{arn}:1'"):
        start(sfn, f"{arn}:1")


def test_express_executions_answer_and_leave_nothing(platform, client, sfn, runner):
    url, _ = queue(client, services=())
    arn = create(sfn, runner, one(sdk("sqs", "sendMessage", {"QueueUrl": url, "MessageBody.$": "$"})), type="EXPRESS")  # fmt: skip
    answer = sfn.start_sync_execution(stateMachineArn=arn, name="n", input='{"n": 1}')
    assert (answer["status"], answer["name"]) == ("SUCCEEDED", "n")
    assert answer["executionArn"].startswith(f"{ARN}:express:m:n:")
    assert received(client, url) == [{"n": 1}]
    started = sfn.start_execution(stateMachineArn=arn, input='{"n": 2}')["executionArn"]
    assert received(client, url) == [{"n": 2}]
    with pytest.raises(ClientError, match="Resource type not valid in this context: express"):
        sfn.describe_execution(executionArn=started)
    failed = sfn.start_sync_execution(stateMachineArn=create(sfn, runner, one({"Type": "Fail", "Error": "E", "Cause": "c"}), "f", type="EXPRESS"))  # fmt: skip
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "E", "c")
    advance(platform, 1000)
    come_to_rest(platform, *WORK, "stepfunctions.expire")
    keys = platform.cloud.call(ACCOUNT, "us-east-1").keys("stepfunctions")

    async def left():
        return await platform.cloud.db.transact(lambda tx: [keys.parts(k)[0] for k, _ in tx.scan(keys.span())])  # fmt: skip

    assert set(platform.run(left())) == {"machine", "definition"}


def test_old_executions_are_forgotten(platform, sfn, runner):
    arn = start(sfn, create(sfn, runner, one(passing())))
    ended(sfn, arn)
    advance(platform, 91 * 86_400)
    come_to_rest(platform, "stepfunctions.expire")
    with pytest.raises(ClientError, match="Execution Does Not Exist"):
        sfn.describe_execution(executionArn=arn)


def test_who_may_start_what_is_asked_of_iam(client, sfn, runner):
    arn = create(sfn, runner, one(passing()))
    statements = [{"Effect": "Allow", "Action": ["states:StartExecution", "states:CreateStateMachine"], "Resource": "*"}]  # fmt: skip
    ann = user_client(client, "stepfunctions", statements)
    running = start(ann, arn)
    with pytest.raises(ClientError, match="not authorized to perform: states:DescribeExecution"):
        ann.describe_execution(executionArn=running)
    with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
        create(ann, runner, one(passing()), "mine")


def test_tags_are_kept_and_found(client, sfn, runner):
    arn = create(sfn, runner, one(passing()), tags=[{"key": "a", "value": "1"}])
    sfn.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    sfn.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]
    found = client("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["states:stateMachine"])  # fmt: skip
    assert [r["ResourceARN"] for r in found["ResourceTagMappingList"]] == [arn]


# -- who starts executions, and who is told of them


def test_the_bus_is_told_of_executions_and_its_rules_start_some(client, sfn, runner):
    url, queue_arn = queue(client)
    arn = create(sfn, runner, one(passing(Result={"out": 1})))
    events = client("events")
    events.put_rule(Name="told", EventPattern=json.dumps({"source": ["aws.states"], "detail": {"status": ["SUCCEEDED"]}}))  # fmt: skip
    events.put_targets(Rule="told", Targets=[{"Id": "q", "Arn": queue_arn}])
    events.put_rule(Name="starts", EventPattern=json.dumps({"source": ["mine"]}))
    starter = role(client, "starter", "events.amazonaws.com", "states:StartExecution")
    events.put_targets(Rule="starts", Targets=[{"Id": "m", "Arn": arn, "RoleArn": starter, "InputPath": "$.detail"}])  # fmt: skip
    events.put_events(Entries=[{"Source": "mine", "DetailType": "t", "Detail": '{"n": 7}'}])
    [event] = received(client, url)
    assert event["detail-type"] == "Step Functions Execution Status Change"
    detail = event["detail"]
    assert (detail["input"], detail["output"], detail["stateMachineArn"]) == ('{"n":7}', '{"out":1}', arn)  # fmt: skip


@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_a_pipe_gives_a_batch_to_one_execution(client, sfn, runner, kind):
    _, source = queue(client, "source", services=())
    url, _ = queue(client, "out", services=())
    send = sdk("sqs", "sendMessage", {"QueueUrl": url, "MessageBody": {"bodies.$": "$[*].body"}})
    arn = create(sfn, runner, one(send), type=kind)
    piper = role(client, "piper", "pipes.amazonaws.com", "*")
    client("pipes").create_pipe(Name="p", RoleArn=piper, Source=source, Target=arn)
    client("sqs").send_message(QueueUrl=url.replace("/out", "/source"), MessageBody="hello")
    assert received(client, url) == [{"bodies": ["hello"]}]


def told(platform, client):
    """Sums of AWS/States by name and dimensions."""
    platform.run(platform.cloud.metrics.flush())
    cloudwatch = client("cloudwatch")
    found = {}
    for metric in cloudwatch.list_metrics(Namespace="AWS/States")["Metrics"]:
        now = platform.world.cloud()
        points = cloudwatch.get_metric_statistics(**metric, StartTime=now - 7200, EndTime=now + 60, Period=86400, Statistics=["Sum"])  # fmt: skip
        key = metric["MetricName"], *(f"{d['Name']}={d['Value']}" for d in metric["Dimensions"])
        found[key] = sum(point["Sum"] for point in points["Datapoints"])
    return found


def test_executions_are_counted(platform, client, sfn, runner):
    """https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html: for the account, too, and by version or alias"""
    arn = create(sfn, runner, one(passing()))
    came_to(sfn, start(sfn, arn))
    version = sfn.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"]
    routes = [{"stateMachineVersionArn": version, "weight": 100}]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=routes)
    for one_ in (version, alias["stateMachineAliasArn"]):
        came_to(sfn, start(sfn, one_))
    found = told(platform, client)
    machine = f"StateMachineArn={arn}"
    for verb, once in (("Started", 1), ("Succeeded", 1), ("Failed", 0), ("Aborted", 0), ("TimedOut", 0)):  # fmt: skip
        name = f"Executions{verb}"
        assert found.pop((name,)) == found.pop((name, machine)) == 3 * once
        assert found.pop((name, machine, "Version=1")) == once
        assert found.pop((name, "Alias=live", machine)) == once
    assert {name for name, *_ in found} == {"ExecutionTime"}


def test_tasks_are_counted(platform, client, sfn, runner):
    """Integrations by an ARN with the account in it: arn:aws:states:REGION:ACCOUNT:SERVICE:ACTION."""
    url, _ = queue(client)
    activity = sfn.create_activity(name="job")["activityArn"]
    good = sdk("sqs", "sendMessage", {"QueueUrl": url, "MessageBody": "b"})
    bad = sdk("sqs", "sendMessage", {"QueueUrl": url + "-not", "MessageBody": "b"})
    late = {"Type": "Task", "Resource": activity, "HeartbeatSeconds": 5, "TimeoutSeconds": 3600, "End": True}  # fmt: skip
    came_to(sfn, start(sfn, create(sfn, runner, one(good), "good")))
    ended(sfn, start(sfn, create(sfn, runner, one(bad), "bad")))
    running = start(sfn, create(sfn, runner, one(late), "late"))
    sfn.get_activity_task(activityArn=activity)
    advance(platform, 6)
    ended(sfn, running)
    found = told(platform, client)
    integration = f"ServiceIntegrationResourceArn={ARN}:sqs:sendMessage"
    job = f"ActivityArn={activity}"
    assert {key: n for key, n in found.items() if not key[0].startswith("Execution")} == {
        ("ServiceIntegrationsScheduled", integration): 2,
        ("ServiceIntegrationsStarted", integration): 2,
        ("ServiceIntegrationsSucceeded", integration): 1,
        ("ServiceIntegrationsFailed", integration): 1,
        ("ActivitiesScheduled", job): 1,
        ("ActivitiesStarted", job): 1,
        ("ActivitiesHeartbeatTimedOut", job): 1,
    }


def test_a_schedule_starts_an_execution(client, sfn, runner):
    arn = create(sfn, runner, one(passing()))
    target = {"Arn": arn, "RoleArn": role(client, "s", "scheduler.amazonaws.com", "states:*"), "Input": '{"n": 1}'}  # fmt: skip
    client("scheduler").create_schedule(Name="s", ScheduleExpression="rate(1 day)", Target=target, FlexibleTimeWindow={"Mode": "OFF"})  # fmt: skip
    end = time.monotonic() + 60
    while not (found := sfn.list_executions(stateMachineArn=arn)["executions"]):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert came_to(sfn, found[0]["executionArn"]) == {"n": 1}


# -- JSONata


def test_jsonata_selects_computes_and_remembers(sfn, runner):
    definition = {"QueryLanguage": "JSONata", **machine(
        A={"Type": "Pass", "Output": "{% $states.input.lines.(price * count) %}", "Assign": {"who": "{% $states.input.who %}"}, "Next": "B"},
        B={"Type": "Map", "Items": "{% $states.input %}", "ItemProcessor": one({"Type": "Pass", "Output": "{% $states.input + 1 %}", "End": True}), "Next": "C"},
        C={"Type": "Choice", "Choices": [{"Condition": "{% $sum($states.input) > 10 %}", "Next": "D"}], "Default": "E"},
        D={"Type": "Succeed", "Output": {"total": "{% $sum($states.input) %}", "who": "{% $who %}", "fixed": [1, None]}},
        E={"Type": "Fail", "Error": "{% 'small' %}", "Cause": "{% $who & ' ordered little' %}"},
    )}  # fmt: skip
    arn = create(sfn, runner, definition)
    lines = [{"price": 2, "count": 3}, {"price": 5, "count": 1}]
    assert came_to(sfn, start(sfn, arn, {"who": "ann", "lines": lines})) == {"total": 13, "who": "ann", "fixed": [1, None]}  # fmt: skip
    failed = ended(sfn, start(sfn, arn, {"who": "bob", "lines": [*lines[:1], {"price": 1, "count": 1}]}))  # fmt: skip
    assert (failed["error"], failed["cause"]) == ("small", "bob ordered little")


def test_an_expression_that_gives_nothing_is_said_to(sfn, runner):
    definition = {"QueryLanguage": "JSONata", **one({"Type": "Pass", "Output": {"result": "{% $doesNotExist %}"}, "End": True})}  # fmt: skip
    arn = start(sfn, create(sfn, runner, definition))
    said = "An error occurred while executing the state 'A' (entered at the event id #2). The JSONata expression '$doesNotExist' specified for the field 'Output/result' returned nothing (undefined)."  # fmt: skip
    assert ended(sfn, arn)["error"] == "States.QueryEvaluationError"
    event = history(sfn, arn)[2]
    assert (event["id"], event["previousEventId"], event["type"]) == (3, 0, "EvaluationFailed")
    assert event["evaluationFailedEventDetails"] == {"error": "States.QueryEvaluationError", "cause": said, "location": "Output/result", "state": "A"}  # fmt: skip


# -- stacks


def test_a_stack_has_machines_with_their_names_filled_in(client, sfn, runner):
    cf = client("cloudformation")

    def template(result):
        return json.dumps({"Resources": {
            "Job": {"Type": "AWS::StepFunctions::Activity", "Properties": {"Name": "job"}},
            "M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "RoleArn": runner, "StateMachineName": "mine", "Definition": one(passing(Result={"said": "${word}", "n": result})),
                "DefinitionSubstitutions": {"word": "hello"}, "Tags": [{"Key": "k", "Value": "v"}],
            }},
            "V": {"Type": "AWS::StepFunctions::StateMachineVersion", "Properties": {
                "StateMachineArn": {"Ref": "M"}, "StateMachineRevisionId": {"Fn::GetAtt": ["M", "StateMachineRevisionId"]},
            }},
            "Live": {"Type": "AWS::StepFunctions::StateMachineAlias", "Properties": {
                "Name": "live", "RoutingConfiguration": [{"StateMachineVersionArn": {"Ref": "V"}, "Weight": 100}],
            }},
        }, "Outputs": {"Name": {"Value": {"Fn::GetAtt": ["M", "Name"]}}, "Live": {"Value": {"Ref": "Live"}}}})  # fmt: skip

    cf.create_stack(StackName="s", TemplateBody=template(1))
    cf.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    out = {o["OutputKey"]: o["OutputValue"] for o in cf.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]}  # fmt: skip
    assert out == {"Name": "mine", "Live": f"{ARN}:stateMachine:mine:live"}
    assert came_to(sfn, start(sfn, out["Live"])) == {"said": "hello", "n": 1}
    cf.update_stack(StackName="s", TemplateBody=template(2))
    cf.get_waiter("stack_update_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    assert came_to(sfn, start(sfn, out["Live"])) == {"said": "hello", "n": 2}
    assert [v["stateMachineVersionArn"] for v in sfn.list_state_machine_versions(stateMachineArn=f"{ARN}:stateMachine:mine")["stateMachineVersions"]] == [f"{ARN}:stateMachine:mine:2"]  # fmt: skip
    cf.delete_stack(StackName="s")
    cf.get_waiter("stack_delete_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    assert sfn.list_state_machines()["stateMachines"] == []
    assert sfn.list_activities()["activities"] == []
