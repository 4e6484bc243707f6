"""Every event AWS publishes an example of: a function here gets one of the same keys and types, or its source is named as not offered.

The examples are aws-lambda-go's (``corpora``). ``unlike`` names each difference, and the test says why there is one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import corpora
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import to_http
from eventing import advance, role
from lambdas import create
from played import Functions, published

from stratolite.http import HttpRequest

ME = "000000000000"

NOT_OFFERED = {
    "Amazon MQ and MSK": ("activemq-event", "kafka-event", "rabbitmq-event"),
    "Elastic Load Balancing": (
        "alb-lambda-target-request-headers-only", "alb-lambda-target-request-multivalue-headers", "alb-lambda-target-response",
    ),
    "authorizers of HTTP APIs (JWT, Lambda, IAM)": (
        "apigw-v2-custom-authorizer-v1-request", "apigw-v2-custom-authorizer-v2-request", "apigw-v2-request-iam",
        "apigw-v2-request-jwt-authorizer", "apigw-v2-request-lambda-authorizer",
    ),
    "WebSocket APIs": (
        "apigw-websocket-request", "apigw-websocket-request-disconnect", "apigw-websocket-request-send-message",
    ),
    "AppSync": (
        "appsync-identity-cognito", "appsync-identity-iam", "appsync-lambda-auth-request", "appsync-lambda-auth-response",
    ),
    "EC2, its Auto Scaling, Client VPN, ECS": (
        "autoscaling-event-launch-successful", "autoscaling-event-launch-unsuccessful", "autoscaling-event-lifecycle-action",
        "autoscaling-event-terminate-action", "autoscaling-event-terminate-successful", "autoscaling-event-terminate-unsuccessful",
        "clientvpn-connectionhandler-request", "ecs-container-instance-state-change",
    ),
    "CodeCommit, CodeBuild, CodeDeploy, CodePipeline": (
        "code-commit-event", "codebuild-phase-change", "codebuild-state-change", "codedeploy-deployment-event",
        "codedeploy-instance-event", "codepipeline-action-execution-stage-change-event",
        "codepipeline-execution-stage-change-event", "codepipeline-execution-state-change-event", "codepipeline-job-event",
    ),
    "Cognito": (
        "cognito-event", "cognito-event-userpools-create-auth-challenge", "cognito-event-userpools-custommessage",
        "cognito-event-userpools-define-auth-challenge", "cognito-event-userpools-inbound-federation-oidc",
        "cognito-event-userpools-inbound-federation-saml", "cognito-event-userpools-migrateuser",
        "cognito-event-userpools-postauthentication", "cognito-event-userpools-postconfirmation",
        "cognito-event-userpools-preauthentication", "cognito-event-userpools-presignup", "cognito-event-userpools-pretokengen",
        "cognito-event-userpools-pretokengen-v2", "cognito-event-userpools-pretokengen-v2_0",
        "cognito-event-userpools-verify-auth-challenge",
    ),
    "AWS Config": ("config-event",),
    "Amazon Connect": ("connect-event",),
    "images of ECR": ("ecr-image-push-event", "ecr-image-scan-event"),
    "AWS IoT": (
        "iot-1-click-event", "iot-button-event", "iot-custom-auth-request", "iot-custom-auth-response",
        "iot-preprovision-hook-request", "iot-preprovision-hook-response",
    ),
    "Kinesis Data Analytics": (
        "kinesis-analytics-output-delivery-event", "kinesis-analytics-output-delivery-response",
    ),
    "Lex": ("lex-event", "lex-response"),
    "intelligent tiering's moves": ("s3-intelligenttier-event",),
    "Object Lambda": (
        "s3-object-lambda-event-get-object-assumed-role", "s3-object-lambda-event-get-object-iam",
        "s3-object-lambda-event-head-object-iam", "s3-object-lambda-event-list-objects-iam",
        "s3-object-lambda-event-list-objects-v2-iam",
    ),
    "SES": ("ses-lambda-event", "ses-s3-event", "ses-sns-event"),
}  # fmt: skip
MADE_BY_THE_LIBRARY = {
    "dynamodb-event-malformed.2": "what its parser must refuse",
    "s3-event-with-decoded": "urlDecodedKey is added by its parser",
    "s3-restore-event": "s3-glacier-event without glacierEventData, which AWS's documentation has around it",
}
COMPARED_ELSEWHERE = {
    "cloudwatch-logs-event": "test_logs_subscriptions.py",
    "kinesis-event": "test_lambda_mappings.py",
    "kinesis-firehose-event": "test_firehose.py",
    "kinesis-time-window-event": "test_lambda_mappings.py",
    "s3-event": "test_sam_events.py",
    "sns-event": "test_sam_events.py",
    "sqs-event": "test_lambda_mappings.py",
}
DATA = ("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables",
        "Keys", "NewImage", "OldImage", "state", "userArguments")  # fmt: skip
"""Members whose keys are the sender's: only the types of their values are compared."""


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def unlike(ours: Any, theirs: Any, at: str = "") -> set[str]:
    """Where they differ: ``-path`` and ``+path`` for keys only they or we have, ``path: a, b`` for types (ours, theirs)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if at.rpartition(".")[2] in DATA:
            kinds = {kind(v) for v in theirs.values()}
            return {
                f"{at}.{k}: {kind(v)}" for k, v in ours.items() if kinds and kind(v) not in kinds
            }
        found = {f"-{at}.{name}" for name in theirs.keys() - ours.keys()}
        found |= {f"+{at}.{name}" for name in ours.keys() - theirs.keys()}
        for name in ours.keys() & theirs.keys():
            found |= unlike(ours[name], theirs[name], f"{at}.{name}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        many = len(ours) if len(ours) == len(theirs) else min(len(ours), len(theirs), 1)
        return {one for n in range(many) for one in unlike(ours[n], theirs[n], at)}
    return set() if kind(ours) == kind(theirs) else {f"{at}: {kind(ours)}, {kind(theirs)}"}


def test_every_example_is_compared_or_its_source_named() -> None:
    if corpora.folder("lambda-events") is None:
        pytest.skip("the corpus lambda-events is not here")
    here = {path.stem for path in corpora.files("lambda-events", "*.json")}
    assert len(here) == 104
    named = [name for names in NOT_OFFERED.values() for name in names]
    compared = [name for test in _COMPARED for name in test]
    known = [*named, *MADE_BY_THE_LIBRARY, *COMPARED_ELSEWHERE, *compared]
    assert len(known) == len(set(known))
    assert here == set(known)


_COMPARED: list[tuple[str, ...]] = []


def compares(*names: str) -> Callable[[Any], Any]:
    """Marks a test that compares these examples."""
    _COMPARED.append(names)
    return lambda test: test


@pytest.fixture
def functions(platform: Any) -> Functions:
    return Functions(platform)


def named(client: Any, name: str, *principals: str) -> str:
    """The ARN of a function that these services may invoke."""
    arn = create(client, name)["FunctionArn"]
    for number, principal in enumerate(principals):
        client("lambda").add_permission(FunctionName=name, StatementId=str(number), Action="lambda:InvokeFunction", Principal=principal)  # fmt: skip
    return str(arn)


# -- HTTP


@pytest.fixture
def rest(client: Any, platform: Any, functions: Functions) -> Callable[..., Any]:
    """Makes a REST API of one proxied method, asks it once and gives the status and the headers of the answer."""
    api = client("apigateway")
    arn = named(client, "site", "apigateway.amazonaws.com")
    functions.answers["site"] = lambda _: published("apigw-response.json")

    def uri(function: str) -> str:
        return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function}/invocations"  # fmt: skip

    def ask(authorizer: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any, bytes]:
        made = api.create_rest_api(name="site")
        where = {"restApiId": made["id"], "httpMethod": "POST"}
        where["resourceId"] = api.create_resource(restApiId=made["id"], parentId=made["rootResourceId"], pathPart="{proxy+}")["id"]  # fmt: skip
        how = {"authorizationType": "NONE"}
        if authorizer:
            about = {"authorizerUri": uri(named(client, "judge", "apigateway.amazonaws.com")), "authorizerResultTtlInSeconds": 0}  # fmt: skip
            kept = api.create_authorizer(restApiId=made["id"], name="judge", **about, **authorizer)["id"]  # fmt: skip
            how = {"authorizationType": "CUSTOM", "authorizerId": kept}
        api.put_method(**where, **how, operationName="HelloWorld")
        api.put_integration(**where, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri(arn))
        api.create_deployment(restApiId=made["id"], stageName="test", variables={"stageVariableName": "v"})  # fmt: skip
        sent = {"host": "localhost:4566", "content-type": "application/json", "user-agent": "me", **headers}  # fmt: skip
        request = HttpRequest("POST", f"/_aws/execute-api/{made['id']}/test/hello/world", "name=me", sent, b'{"a": 1}')  # fmt: skip
        status, answered, body = platform.send(request)
        return status, dict(answered), body

    return ask


NO_COGNITO_NO_MTLS = {"-.requestContext.identity.clientCert"}
ANONYMOUS = {
    f".requestContext.identity.{name}: NoneType, str"
    for name in ("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
                 "cognitoIdentityId", "cognitoIdentityPoolId", "user", "userArn")
}  # fmt: skip
"""Nobody signed; null then, on AWS, too."""
NO_KEY = {"-.requestContext.identity.apiKey", "-.requestContext.identity.apiKeyId"}
"""Only there where a method wants a key."""


@compares("apigw-request", "apigw-response", "apigw-restapi-openapi-request", "apigw-custom-auth-request-type-request", "apigw-custom-auth-response")  # fmt: skip
def test_a_rest_api_behind_a_request_authorizer(functions: Functions, rest: Any) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html"""

    def verdict(event: Any) -> Any:
        made = published("apigw-custom-auth-response.json")
        [statement] = made["policyDocument"]["Statement"]
        statement |= {"Effect": "Allow", "Resource": [event["methodArn"]]}
        return made

    functions.answers["judge"] = verdict
    status, headers, body = rest({"type": "REQUEST", "identitySource": "method.request.header.who"}, who="me")  # fmt: skip
    answer = published("apigw-response.json")
    assert (status, body.decode()) == (answer["statusCode"], answer["body"])
    assert headers["Accept-Language"] == answer["headers"]["Accept-Language"]
    extra = {"+.requestContext.identity.principalOrgId", "+.requestContext.deploymentId", "+.isBase64Encoded"}  # fmt: skip
    """AWS sends them (recorded in LocalStack's snapshots); the examples are older."""
    context = {"-.requestContext.authorizer.clientId", "-.requestContext.authorizer.clientName",
               "+.requestContext.authorizer.stringKey", "+.requestContext.authorizer.numberKey",
               "+.requestContext.authorizer.booleanKey", "+.requestContext.authorizer.integrationLatency"}  # fmt: skip
    """What this authorizer gave, and how long it took."""
    event = functions.events["site"][0]
    always = NO_COGNITO_NO_MTLS | ANONYMOUS | NO_KEY | extra | context
    # an operation's name is there where the API's definition names the operation, as it does here
    assert unlike(event, published("apigw-request.json")) == always | {"+.requestContext.operationName"}  # fmt: skip
    assert unlike(event, published("apigw-restapi-openapi-request.json")) == always - NO_COGNITO_NO_MTLS  # fmt: skip
    asked = unlike(functions.events["judge"][0], published("apigw-custom-auth-request-type-request.json"))  # fmt: skip
    # the example's context is shortened to what its author read
    assert {one for one in asked if not one.startswith("+.requestContext")} == {
        "-.requestContext.identity.clientCert", "-.requestContext.identity.apiKey",
    }  # fmt: skip


@compares("apigw-custom-auth-request")
def test_a_token_authorizer(functions: Functions, rest: Any) -> None:
    rest({"type": "TOKEN", "identitySource": "method.request.header.who"}, who="allow")
    assert unlike(functions.events["judge"][0], published("apigw-custom-auth-request.json")) == set()  # fmt: skip


@compares("apigw-v2-request-no-authorizer")
def test_an_http_api(client: Any, platform: Any, functions: Functions) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"""
    arn = named(client, "site", "apigateway.amazonaws.com")
    made = client("apigatewayv2").create_api(Name="a", ProtocolType="HTTP", Target=arn)["ApiId"]
    sent = {"host": "localhost:4566", "user-agent": "me"}
    status, _, _ = platform.send(HttpRequest("GET", f"/_aws/execute-api/{made}/", "", sent, b""))
    assert status == 200
    assert unlike(functions.events["site"][0], published("apigw-v2-request-no-authorizer.json")) == {
        "-.requestContext.authentication",  # mutual TLS
    }  # fmt: skip


@compares("lambda-urls-request", "lambda-urls-response")
def test_a_function_url(client: Any, platform: Any, functions: Functions) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    answer = published("lambda-urls-response.json")
    functions.answers["site"] = lambda _: answer
    named(client, "site")
    url = client("lambda").create_function_url_config(FunctionName="site", AuthType="AWS_IAM")["FunctionUrl"]  # fmt: skip
    asked = AWSRequest("POST", url + "my/path?parameter1=a&parameter1=b", data=b"Hello from client!", headers={"cookie": "cookie1; cookie2", "content-type": "text/plain", "user-agent": "me"})  # fmt: skip
    SigV4Auth(Credentials(ME, "test"), "lambda", "us-east-1").add_auth(asked)
    status, headers, body = platform.send(to_http(asked.prepare()))
    assert (status, body.decode()) == (answer["statusCode"], answer["body"])
    assert [value for name, value in headers if name.lower() == "set-cookie"] == answer["cookies"]
    event = functions.events["site"][0]
    assert unlike(event, published("lambda-urls-request.json")) == {
        "+.routeKey", "+.requestContext.routeKey", "+.requestContext.stage",  # AWS sends them: see the page
        "+.requestContext.authorizer.iam.cognitoIdentity", "+.requestContext.authorizer.iam.principalOrgId",  # null, as on AWS
    }  # fmt: skip


# -- S3


def listening(client: Any, bucket: str, *events: str) -> None:
    arn = named(client, "seen", "s3.amazonaws.com")
    client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [{"Id": "n", "LambdaFunctionArn": arn, "Events": [*events]}]},
    )  # fmt: skip


DECODED = {"-.Records.s3.object.urlDecodedKey"}
"""Added by the library the examples are of."""


@compares("s3-glacier-event")
def test_a_restored_object(client: Any, functions: Functions) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="mine")
    s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="mine", Key="k", Body=b"x", StorageClass="GLACIER")
    listening(client, "mine", "s3:ObjectRestore:Completed")
    s3.restore_object(Bucket="mine", Key="k", RestoreRequest={"Days": 3})
    assert unlike(functions.got("seen")[0], published("s3-glacier-event.json")) == DECODED


@compares("s3-lifecycle-event")
def test_an_object_moved_by_a_lifecycle_rule(
    client: Any, platform: Any, functions: Functions
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="mine")
    s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="mine", Key="k", Body=b"x" * 200_000)
    listening(client, "mine", "s3:LifecycleTransition")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}  # fmt: skip
    s3.put_bucket_lifecycle_configuration(Bucket="mine", LifecycleConfiguration={"Rules": [rule]})
    advance(platform, 3 * 86_400)
    assert unlike(functions.got("seen", step_s=3_600)[0], published("s3-lifecycle-event.json")) == DECODED  # fmt: skip


@compares("s3-replication-event")
def test_an_object_that_could_not_be_replicated(client: Any, functions: Functions) -> None:
    s3 = client("s3")
    for name in ("mine", "there"):
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {"ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::there"}}  # fmt: skip
    may_not = role(client, "copier", "s3.amazonaws.com", "s3:GetObject*")
    s3.put_bucket_replication(Bucket="mine", ReplicationConfiguration={"Role": may_not, "Rules": [rule]})  # fmt: skip
    listening(client, "mine", "s3:Replication:OperationFailedReplication")
    s3.put_object(Bucket="mine", Key="k", Body=b"x")
    event = functions.got("seen")[0]
    assert unlike(event, published("s3-replication-event.json")) == DECODED
    [record] = event["Records"]
    assert record["eventVersion"] == "2.2"
    assert record["replicationEventData"]["failureReason"] == "DstPutObjectNotPermitted"


@compares("s3-batch-job-event-request-1.0", "s3-batch-job-event-request-2.0", "s3-batch-job-event-response")  # fmt: skip
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_an_object_of_a_batch_job(client: Any, functions: Functions, version: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html"""
    s3, seen = client("s3"), named(client, "seen")
    s3.create_bucket(Bucket="mine")
    s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket="mine", Key="k", Body=b"x")
    etag = s3.put_object(Bucket="mine", Key="m.csv", Body=f"mine,k,{put['VersionId']}\n")["ETag"]
    spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key", "VersionId"]}
    invoke: dict[str, Any] = {"FunctionArn": seen, "InvocationSchemaVersion": version}
    if version == "2.0":
        invoke["UserArguments"] = {"k1": "v1"}

    def answer(event: Any) -> Any:
        said = published("s3-batch-job-event-response.json")
        said["results"][0]["taskId"] = event["tasks"][0]["taskId"]
        return said | {"invocationId": event["invocationId"]}

    functions.answers["seen"] = answer
    control = client("s3control")
    job = control.create_job(
        AccountId=ME, ConfirmationRequired=False, Operation={"LambdaInvoke": invoke}, Priority=1, Report={"Enabled": False},
        RoleArn=role(client, "batch", "batchoperations.s3.amazonaws.com", "s3:*", "lambda:*"), ClientRequestToken="t",
        Manifest={"Spec": spec, "Location": {"ObjectArn": "arn:aws:s3:::mine/m.csv", "ETag": etag}},
    )["JobId"]  # fmt: skip
    example = published(f"s3-batch-job-event-request-{version}.json")
    assert unlike(functions.got("seen")[0], example) == set()
    described = lambda: control.describe_job(AccountId=ME, JobId=job)["Job"]  # noqa: E731
    functions.until(lambda: described()["Status"] == "Complete")
    assert described()["ProgressSummary"]["NumberOfTasksSucceeded"] == 1


# -- tables, secrets, alarms, Firehose


@compares("dynamodb-event", "dynamodb-time-window-event")
@pytest.mark.parametrize("example", ["dynamodb-event", "dynamodb-time-window-event"])
def test_changes_of_a_table(client: Any, functions: Functions, example: str) -> None:
    db, arn = client("dynamodb"), named(client, "seen")
    table = db.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]  # fmt: skip
    reader = role(client, "reader", "lambda.amazonaws.com", "dynamodb:*")
    client("lambda").update_function_configuration(FunctionName=arn, Role=reader)
    window = {"TumblingWindowInSeconds": 60} if "window" in example else {}
    client("lambda").create_event_source_mapping(FunctionName=arn, EventSourceArn=table["LatestStreamArn"], StartingPosition="TRIM_HORIZON", **window)  # fmt: skip
    db.put_item(TableName="table", Item={"k": {"S": "a"}})
    event = functions.got("seen")[0]
    # userIdentity is of what time to live deleted; the example has it null on every record
    assert unlike(event, published(f"{example}.json")) == (set() if window else {"-.Records.userIdentity"})  # fmt: skip


@compares("secretsmanager-secret-rotation-event")
def test_a_secret_is_rotated(client: Any, functions: Functions) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html"""
    secrets, arn = client("secretsmanager"), named(client, "seen", "secretsmanager.amazonaws.com")
    secrets.create_secret(Name="s", SecretString="1")
    secrets.rotate_secret(SecretId="s", RotationLambdaARN=arn, RotationRules={"AutomaticallyAfterDays": 10})  # fmt: skip
    example = published("secretsmanager-secret-rotation-event.json")
    assert unlike(functions.got("seen")[0], example) == set()


@compares("cloudwatch-alarm-sns-payload-single-metric", "cloudwatch-alarm-sns-payload-multiple-metrics")  # fmt: skip
@pytest.mark.parametrize("kind_of", ["single-metric", "multiple-metrics"])
def test_an_alarm_s_message(client: Any, functions: Functions, kind_of: str) -> None:
    sns, watch = client("sns"), client("cloudwatch")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=named(client, "seen", "sns.amazonaws.com"))  # fmt: skip
    about: dict[str, Any] = {"Namespace": "AWS/EC2", "MetricName": "NetworkOut", "Statistic": "Average", "Period": 60, "Unit": "Bytes", "Dimensions": [{"Name": "InstanceId", "Value": "i"}]}  # fmt: skip
    if kind_of == "multiple-metrics":
        stat = {"Metric": {"Namespace": "AWS/EC2", "MetricName": "NetworkOut", "Dimensions": about["Dimensions"]}, "Period": 60, "Stat": "Average"}  # fmt: skip
        about = {"Metrics": [{"Id": "e1", "Expression": "m1*1", "Label": "Expression1", "ReturnData": True}, {"Id": "m1", "MetricStat": stat, "ReturnData": False}]}  # fmt: skip
    watch.put_metric_alarm(AlarmName="a", AlarmDescription="d", EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="missing", AlarmActions=[topic], **about)  # fmt: skip
    watch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="because")
    ours = functions.got("seen")[0]
    theirs = published(f"cloudwatch-alarm-sns-payload-{kind_of}.json")
    assert unlike(ours, theirs) == set()
    message, example = (json.loads(e["Records"][0]["Sns"]["Message"]) for e in (ours, theirs))
    assert unlike(message, example) == {
        "+.AlarmConfigurationUpdatedTimestamp", "+.OKActions", "+.AlarmActions", "+.InsufficientDataActions",
        "+.ActionExecutedAfterMuteWindow",
    }, "AWS sends these since the example was made"  # fmt: skip


@compares("kinesis-firehose-response")
def test_what_a_transformation_answers(client: Any, platform: Any, functions: Functions) -> None:
    """The example's results are its author's: Firehose takes Ok, Dropped and ProcessingFailed."""
    client("s3").create_bucket(Bucket="kept")
    hints = {"IntervalInSeconds": 60, "SizeInMBs": 1}
    arn = named(client, "seen")
    writer = role(client, "writer", "firehose.amazonaws.com", "s3:*", "lambda:*")
    client("firehose").create_delivery_stream(
        DeliveryStreamName="d",
        ExtendedS3DestinationConfiguration={
            "RoleARN": writer, "BucketARN": "arn:aws:s3:::kept", "BufferingHints": hints,
            "ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Lambda", "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": arn}]}]},
        },
    )  # fmt: skip
    example = published("kinesis-firehose-response.json")["records"]

    def answer(event: Any) -> Any:
        results = dict(zip(("TRANSFORMED_STATE_OK", "TRANSFORMED_STATE_DROPPED", "TransformedStateOk"), ("Ok", "Dropped", "Ok"), strict=True))  # fmt: skip
        return {"records": [{**e, "recordId": r["recordId"], "result": results[e["result"]]} for e, r in zip(example, event["records"], strict=True)]}  # fmt: skip

    functions.answers["seen"] = answer
    client("firehose").put_record_batch(DeliveryStreamName="d", Records=[{"Data": b"x"}] * 3)
    advance(platform, 61)
    s3 = client("s3")
    functions.until(lambda: s3.list_objects_v2(Bucket="kept")["KeyCount"])
    [kept] = s3.list_objects_v2(Bucket="kept")["Contents"]
    assert s3.get_object(Bucket="kept", Key=kept["Key"])["Body"].read() == base64.b64decode(example[0]["data"]) * 2  # fmt: skip
