"""aws-cdk from npm, unmodified: bootstrap, deploy, diff, hotswap, deploy again, destroy; bootstrap again over what was retained.

And the CDK's own helpers, which are functions in Node: they want the AWS SDK of the runtime and an address that takes https.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tools.toolbox import Shop, find, needs_node, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(2400)]

APP = """
const cdk = require('aws-cdk-lib');
const lambda = require('aws-cdk-lib/aws-lambda');
const { RemovalPolicy, Duration } = cdk;
const { Bucket } = require('aws-cdk-lib/aws-s3');
const { Queue } = require('aws-cdk-lib/aws-sqs');
const { Table, AttributeType, BillingMode } = require('aws-cdk-lib/aws-dynamodb');
const { SqsEventSource } = require('aws-cdk-lib/aws-lambda-event-sources');
const { HttpApi } = require('aws-cdk-lib/aws-apigatewayv2');
const { HttpLambdaIntegration } = require('aws-cdk-lib/aws-apigatewayv2-integrations');

const stack = new cdk.Stack(new cdk.App(), 'Notes');
const table = new Table(stack, 'Table', {
  partitionKey: { name: 'id', type: AttributeType.STRING }, billingMode: BillingMode.PAY_PER_REQUEST,
  removalPolicy: RemovalPolicy.DESTROY,
});
const queue = new Queue(stack, 'Queue', { visibilityTimeout: Duration.seconds(60), enforceSSL: true });
const bucket = new Bucket(stack, 'Bucket', { enforceSSL: true, removalPolicy: RemovalPolicy.DESTROY });
const fn = new lambda.Function(stack, 'Fn', {
  runtime: lambda.Runtime.PYTHON_3_11, handler: 'app.handler', code: lambda.Code.fromAsset('src'),
  environment: { TABLE: table.tableName, BUCKET: bucket.bucketName },
});
table.grantReadWriteData(fn);
bucket.grantReadWrite(fn);
fn.addEventSource(new SqsEventSource(queue));
const api = new HttpApi(stack, 'Api', { defaultIntegration: new HttpLambdaIntegration('All', fn) });
new cdk.CfnOutput(stack, 'ApiId', { value: api.apiId });
new cdk.CfnOutput(stack, 'QueueUrl', { value: queue.queueUrl });
"""
CODE = """
import os
import boto3

def handler(event, context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    for record in event.get("Records", []):
        table.put_item(Item={"id": record["body"]})
    return {"greeting": "hello", "notes": table.scan()["Count"]}
"""


def test_cdk_bootstraps_deploys_compares_swaps_and_destroys(shop: Shop) -> None:
    needs_node()
    tool = find("node/node_modules/aws-cdk/bin/cdk")
    os.symlink(find("node/node_modules"), shop.project / "node_modules")
    shop.write(app__js=APP, src___app__py=CODE, cdk__json='{"app": "node app.js"}')

    def cdk(*command: str, fails: bool = False) -> str:
        return shop.run("node", tool, *command, fails=fails)

    # -- bootstrap: bucket, repository, five roles, a parameter
    said = cdk("deploy", "--require-approval", "never", fails=True)
    assert "Has the environment been bootstrapped?" in said
    assert "bootstrapped." in cdk("bootstrap")
    assert "(no changes)" in cdk("bootstrap")
    (repository,) = shop.client("ecr").describe_repositories()["repositories"]
    assert repository["repositoryName"].startswith("cdk-hnb659fds-container-assets-")

    # -- deploy, as the deploy role hands it to CloudFormation's execution role
    cdk("deploy", "--require-approval", "never", "--outputs-file", "outputs.json")
    outputs = json.loads((shop.project / "outputs.json").read_text())["Notes"]
    assert json.loads(shop.api(outputs["ApiId"], "/")) == {"greeting": "hello", "notes": 0}
    queue_url = outputs["QueueUrl"]
    shop.client("sqs").send_message(QueueUrl=queue_url, MessageBody="one")
    until(lambda: json.loads(shop.api(outputs["ApiId"], "/"))["notes"] == 1)

    # -- diff with a change set, hotswap, and a plain deploy behind it
    assert "no differences" in cdk("diff").lower()
    shop.change("src/app.py", '"hello"', '"swapped"')
    said = cdk("diff")
    assert "[~] AWS::Lambda::Function Fn" in said
    assert "Could not create a change set" not in said
    assert "hotswapped!" in cdk("deploy", "--hotswap", "--require-approval", "never")
    assert json.loads(shop.api(outputs["ApiId"], "/"))["greeting"] == "swapped"
    shop.change("app.js", "Duration.seconds(60)", "Duration.seconds(90)")
    shop.change("src/app.py", '"swapped"', '"deployed"')
    cdk("deploy", "--require-approval", "never")
    assert json.loads(shop.api(outputs["ApiId"], "/"))["greeting"] == "deployed"
    asked = {"QueueUrl": queue_url, "AttributeNames": ["VisibilityTimeout"]}
    attributes = shop.client("sqs").get_queue_attributes(**asked)["Attributes"]
    assert attributes["VisibilityTimeout"] == "90"

    # -- destroy, and a bootstrap that takes in the bucket the deleted one has left
    assert "destroyed" in cdk("destroy", "--force")
    assert shop.stacks() == {"CDKToolkit"}
    assert shop.client("lambda").list_functions()["Functions"] == []
    cloudformation = shop.client("cloudformation")
    cloudformation.delete_stack(StackName="CDKToolkit")
    until(lambda: shop.stacks() == set())
    (kept,) = shop.client("s3").list_buckets()["Buckets"]
    assert "bootstrapped." in cdk("bootstrap")
    resources = cloudformation.describe_stack_resources(StackName="CDKToolkit")["StackResources"]
    assert kept["Name"] in {r["PhysicalResourceId"] for r in resources}


HELPERS = """
const cdk = require('aws-cdk-lib');
const { Bucket } = require('aws-cdk-lib/aws-s3');
const logs = require('aws-cdk-lib/aws-logs');
const custom = require('aws-cdk-lib/custom-resources');

const stack = new cdk.Stack(new cdk.App(), 'Helpers');
const bucket = new Bucket(stack, 'Bucket', { autoDeleteObjects: true, removalPolicy: cdk.RemovalPolicy.DESTROY });
new logs.LogRetention(stack, 'Kept', { logGroupName: '/kept', retention: logs.RetentionDays.THREE_DAYS });
const parameter = (action) => ({
  service: 'SSM', action, parameters: { Name: 'made', Value: 'by a custom resource', Type: 'String', Overwrite: true },
  physicalResourceId: custom.PhysicalResourceId.of('made'),
});
new custom.AwsCustomResource(stack, 'Call', {
  onUpdate: parameter('PutParameter'),
  onDelete: { service: 'SSM', action: 'DeleteParameter', parameters: { Name: 'made' } },
  policy: custom.AwsCustomResourcePolicy.fromSdkCalls({ resources: custom.AwsCustomResourcePolicy.ANY_RESOURCE }),
});
const inner = new cdk.NestedStack(stack, 'Inner');
const queue = new (require('aws-cdk-lib/aws-sqs').Queue)(inner, 'Queue');
new cdk.CfnOutput(stack, 'BucketName', { value: bucket.bucketName });
new cdk.CfnOutput(stack, 'QueueName', { value: queue.queueName });
"""


def test_the_cdks_own_helpers_in_node_work(shop: Shop) -> None:
    """Objects are deleted with their bucket, a log group's retention is set, an API is called: each by a custom resource.

    The stack has one inside: cdk deploys them by change sets of both.
    """
    needs_node()
    if os.geteuid() != 0:
        pytest.skip("needs root: a network of its own for port 443")
    tool = find("node/node_modules/aws-cdk/bin/cdk")
    sdk = find("sdk/runtimes/nodejs/node_modules")
    os.symlink(find("node/node_modules"), shop.project / "node_modules")
    there = Path(shop.server.folder, "runtimes/nodejs/node_modules")
    shutil.copytree(sdk, there, copy_function=os.link, dirs_exist_ok=True, symlinks=True)
    shop.write(app__js=HELPERS, cdk__json='{"app": "node app.js"}')
    shop.run("node", tool, "bootstrap")
    shop.run("node", tool, "deploy", "--require-approval", "never")
    (parameter,) = shop.client("ssm").get_parameters(Names=["made"])["Parameters"]
    assert parameter["Value"] == "by a custom resource"
    (group,) = shop.client("logs").describe_log_groups(logGroupNamePrefix="/kept")["logGroups"]
    assert group["retentionInDays"] == 3
    outputs = shop.outputs("Helpers")
    bucket = outputs["BucketName"]
    assert shop.client("sqs").get_queue_url(QueueName=outputs["QueueName"])
    shop.client("s3").put_object(Bucket=bucket, Key="left behind", Body=b"1")
    assert "destroyed" in shop.run("node", tool, "destroy", "--force")
    assert shop.stacks() == {"CDKToolkit"}
    assert bucket not in {b["Name"] for b in shop.client("s3").list_buckets()["Buckets"]}
    assert shop.client("ssm").get_parameters(Names=["made"])["Parameters"] == []


REST = """
const cdk = require('aws-cdk-lib');
const api = require('aws-cdk-lib/aws-apigateway');
const lambda = require('aws-cdk-lib/aws-lambda');
const iam = require('aws-cdk-lib/aws-iam');
const sfn = require('aws-cdk-lib/aws-stepfunctions');
const { Queue } = require('aws-cdk-lib/aws-sqs');

const stack = new cdk.Stack(new cdk.App(), 'Rest');
const fn = new lambda.Function(stack, 'Fn', {
  runtime: lambda.Runtime.PYTHON_3_11, handler: 'app.handler', code: lambda.Code.fromAsset('src'),
});
const all = new api.LambdaRestApi(stack, 'All', { handler: fn });

const site = new api.RestApi(stack, 'Site', {
  deployOptions: { stageName: 'live', throttlingRateLimit: 100, variables: { greeting: 'hi' } },
  defaultCorsPreflightOptions: { allowOrigins: api.Cors.ALL_ORIGINS }, cloudWatchRole: true,
});
const notes = site.root.addResource('notes');
const model = site.addModel('Note', {
  contentType: 'application/json',
  schema: { type: api.JsonSchemaType.OBJECT, required: ['text'], properties: { text: { type: api.JsonSchemaType.STRING } } },
});
notes.addMethod('POST', new api.LambdaIntegration(fn), {
  apiKeyRequired: true, requestModels: { 'application/json': model },
  requestValidator: new api.RequestValidator(stack, 'Valid', { restApi: site, validateRequestBody: true }),
});
notes.addResource('{id}').addMethod('GET', new api.LambdaIntegration(fn));
const key = site.addApiKey('Key', { value: 'aKeyOfMoreThanTwentyLetters' });
const plan = site.addUsagePlan('Plan', { throttle: { rateLimit: 50, burstLimit: 50 } });
plan.addApiKey(key);
plan.addApiStage({ stage: site.deploymentStage });

const machine = new sfn.StateMachine(stack, 'Machine', {
  stateMachineType: sfn.StateMachineType.EXPRESS,
  definitionBody: sfn.DefinitionBody.fromChainable(new sfn.Pass(stack, 'Pass', { result: sfn.Result.fromObject({ passed: true }) })),
});
site.root.addResource('run').addMethod('POST', api.StepFunctionsIntegration.startExecution(machine));

const queue = new Queue(stack, 'Queue');
const role = new iam.Role(stack, 'Sender', { assumedBy: new iam.ServicePrincipal('apigateway.amazonaws.com') });
queue.grantSendMessages(role);
site.root.addResource('send').addMethod('POST', new api.AwsIntegration({
  service: 'sqs', path: `${stack.account}/${queue.queueName}`, integrationHttpMethod: 'POST',
  options: {
    credentialsRole: role,
    requestParameters: { 'integration.request.header.Content-Type': "'application/x-www-form-urlencoded'" },
    requestTemplates: { 'application/json': 'Action=SendMessage&MessageBody=$util.urlEncode($input.body)' },
    integrationResponses: [{ statusCode: '202', responseTemplates: { 'application/json': '{"sent": true}' } }],
  },
}), { methodResponses: [{ statusCode: '202' }] });
new cdk.CfnOutput(stack, 'AllId', { value: all.restApiId });
new cdk.CfnOutput(stack, 'SiteId', { value: site.restApiId });
new cdk.CfnOutput(stack, 'QueueUrl', { value: queue.queueUrl });
"""
SAYS = """
import json
def handler(event, context):
    said = {"path": event["path"], "id": (event["pathParameters"] or {}).get("id"), "greeting": (event["stageVariables"] or {}).get("greeting")}
    return {"statusCode": 200, "body": json.dumps(said)}
"""


def test_a_rest_api_of_the_cdk_answers_as_it_is_written(shop: Shop) -> None:
    """LambdaRestApi, and a RestApi with keys, a plan, a model, CORS, a state machine and a queue behind it."""
    needs_node()
    tool = find("node/node_modules/aws-cdk/bin/cdk")
    os.symlink(find("node/node_modules"), shop.project / "node_modules")
    shop.write(app__js=REST, src___app__py=SAYS, cdk__json='{"app": "node app.js"}')
    shop.run("node", tool, "bootstrap")
    shop.run("node", tool, "deploy", "--require-approval", "never")
    outputs = shop.outputs("Rest")
    site = f"{shop.server.endpoint}/_aws/execute-api/{outputs['SiteId']}/live"

    def ask(method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, dict[str, str]]:  # fmt: skip
        more = {"content-type": "application/json", **headers}
        request = Request(f"{site}/{path}", body.encode() or None, more, method=method)
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    everything = json.loads(shop.api(outputs["AllId"], "/prod/any/where"))
    assert everything == {"path": "/any/where", "id": None, "greeting": None}
    assert json.loads(ask("GET", "notes/7")[1]) == {"path": "/notes/7", "id": "7", "greeting": "hi"}
    key = {"x-api-key": "aKeyOfMoreThanTwentyLetters"}
    assert ask("POST", "notes", '{"text": "a"}')[0] == 403
    assert ask("POST", "notes", '{"text": 1}', **key)[0] == 400
    assert ask("POST", "notes", '{"text": "a"}', **key)[0] == 200
    status, _, headers = ask("OPTIONS", "notes")
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
    status, said, _ = ask("POST", "run", '{"n": 1}')
    assert (status, json.loads(said)) == (200, {"passed": True})
    assert ask("POST", "send", '{"n": 2}')[:2] == (202, '{"sent": true}')
    (message,) = shop.client("sqs").receive_message(QueueUrl=outputs["QueueUrl"])["Messages"]
    assert message["Body"] == '{"n": 2}'
    assert "no differences" in shop.run("node", tool, "diff").lower()
    shop.change("app.js", "greeting: 'hi'", "greeting: 'hello'")
    shop.run("node", tool, "deploy", "--require-approval", "never")
    assert json.loads(ask("GET", "notes/7")[1])["greeting"] == "hello"
    assert "destroyed" in shop.run("node", tool, "destroy", "--force")
    assert shop.client("apigateway").get_rest_apis()["items"] == []
