"""Deliveries act as the service with aws:SourceArn and aws:SourceAccount: who may send through it is the receiver's to say.

https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
"""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError
from gateway.test_own import ask
from lambdas import zipped

ME, OTHER = "000000000000", "111111111111"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def queue(client, name, service, condition):
    """A queue that lets ``service`` send for whoever ``condition`` says."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ME}:{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": policy(statement | {"Condition": condition})}
    )
    return url, arn


def received(client, url):
    for _ in range(40):
        found = client("sqs").receive_message(
            QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10
        )
        if "Messages" in found:
            return [m["Body"] for m in found["Messages"]]
    raise AssertionError("nothing arrived")


def turned_away(client, platform, source, account=ME):
    """The denial of a delivery for ``source``, as the trail has it: of one message, or of what a topic sends together."""
    asked = {"decision": "denied", "action": "sqs:sendmessage"}
    for _ in range(2_400):
        _, page = ask(platform, "POST", "trail", asked, (account, "test"))
        for event in page["events"]:
            more = event["additionalEventData"]
            said = client("sts", account=account).decode_authorization_message(
                EncodedMessage=more["encodedAuthorizationMessage"]
            )
            keys = {
                k["key"]: k["values"]["items"][0]["value"]
                for k in json.loads(said["DecodedMessage"])["context"]["conditions"]["items"]
            }
            if keys.get("aws:sourcearn") == source:
                return event["userIdentity"], keys
        time.sleep(0.05)
    raise AssertionError(f"no denial for {source}")


def test_a_topic_sends_to_a_queue_only_for_the_topic_it_names(client, platform):
    good, evil = (client("sns").create_topic(Name=n)["TopicArn"] for n in ("good", "evil"))
    url, arn = queue(client, "q", "sns.amazonaws.com", {"ArnEquals": {"aws:SourceArn": good}})
    for topic in (evil, good):
        client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
        )
    client("sns").publish(TopicArn=evil, Message="from evil")
    client("sns").publish(TopicArn=good, Message="from good")
    assert received(client, url) == ["from good"]
    who, keys = turned_away(client, platform, evil)
    assert who == {"type": "AWSService", "invokedBy": "sns.amazonaws.com"}
    assert keys["aws:sourceaccount"] == ME


def test_a_rule_sends_to_a_queue_only_for_the_rule_it_names(client, platform):
    events = client("events")
    rules = {
        n: events.put_rule(Name=n, EventPattern='{"source": ["app"]}')["RuleArn"]
        for n in ("good", "evil")
    }
    url, arn = queue(
        client, "q", "events.amazonaws.com", {"ArnEquals": {"aws:SourceArn": rules["good"]}}
    )
    for name in rules:
        events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": arn, "Input": json.dumps(name)}])
    events.put_events(Entries=[{"Source": "app", "DetailType": "x", "Detail": "{}"}])
    assert received(client, url) == ['"good"']
    turned_away(client, platform, rules["evil"])


def test_a_bucket_sends_to_a_queue_only_for_its_own_account(client):
    """The name of a bucket says no account: aws:SourceAccount does."""
    url, arn = queue(client, "q", "s3.amazonaws.com", {"StringEquals": {"aws:SourceAccount": ME}})
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    theirs, mine = client("s3", account=OTHER), client("s3")
    theirs.create_bucket(Bucket="theirs")
    with pytest.raises(
        ClientError, match="Unable to validate the following destination configurations"
    ):
        theirs.put_bucket_notification_configuration(
            Bucket="theirs", NotificationConfiguration=wanted
        )
    mine.create_bucket(Bucket="mine")
    mine.put_bucket_notification_configuration(Bucket="mine", NotificationConfiguration=wanted)
    client("sqs").purge_queue(QueueUrl=url)
    mine.put_object(Bucket="mine", Key="k", Body=b"x")
    assert '"name":"mine"' in "".join(received(client, url))


def test_an_alarm_tells_a_topic_only_for_its_own_account(client):
    sns, cloudwatch = client("sns"), client("cloudwatch")
    topic = sns.create_topic(Name="t")["TopicArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish", "Resource": topic,
                 "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:*:{ME}:alarm:good*"}}}  # fmt: skip
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=policy(statement)
    )
    url, arn = queue(client, "q", "sns.amazonaws.com", {"ArnEquals": {"aws:SourceArn": topic}})
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    for name in ("evil-1", "good-1"):
        cloudwatch.put_metric_alarm(
            AlarmName=name, AlarmActions=[topic], MetricName="m", Namespace="n", Statistic="Sum", Period=60,
            EvaluationPeriods=1, Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    (said,) = received(client, url)
    assert json.loads(said)["AlarmName"] == "good-1"


def test_a_role_is_lambdas_only_for_the_function_its_trust_names(client):
    """A role's trust policy may name the function: its credentials are for no other."""
    trusted = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
               "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:lambda:us-east-1:{ME}:function:good"}}}  # fmt: skip
    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=policy(trusted))[
        "Role"
    ]["Arn"]

    def make(name):
        client("lambda").create_function(
            FunctionName=name,
            Role=role,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": zipped()},
        )

    make("good")
    with pytest.raises(
        ClientError, match="The role defined for the function cannot be assumed by Lambda"
    ):
        make("evil")


def test_an_api_invokes_a_function_only_where_the_function_lets_it(client, platform):
    """AddPermission with SourceArn: one route of one API, and no other API."""
    from stratolite.http import HttpRequest

    role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ))["Role"]["Arn"]  # fmt: skip
    arn = client("lambda").create_function(
        FunctionName="f", Role=role, Runtime="python3.13", Handler="index.handler",
        Code={"ZipFile": zipped("def handler(event, context): return 'hello'")},
    )["FunctionArn"]  # fmt: skip
    apis = {}
    for name in ("good", "evil"):
        api = client("apigatewayv2").create_api(Name=name, ProtocolType="HTTP", Target=arn)
        apis[name] = api["ApiId"]
    client("lambda").add_permission(
        FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:us-east-1:{ME}:{apis['good']}/*",
    )  # fmt: skip
    answers = {}
    for name, identity in apis.items():
        request = HttpRequest(
            "GET", f"/_aws/execute-api/{identity}/", "", {"host": "localhost:4566"}, b""
        )
        answers[name] = platform.send(request)[0]
    assert answers == {"good": 200, "evil": 500}


def test_other_accounts_come_in_by_resource_policy_and_role_and_not_otherwise(client):
    """reference_policies_evaluation-logic-cross-account.html: both sides have to allow."""
    s3, iam = client("s3"), client("iam", account=OTHER)
    s3.create_bucket(Bucket="shared")
    s3.put_object(Bucket="shared", Key="k", Body=b"x")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def may():
        try:
            return client("s3", **ann).get_object(Bucket="shared", Key="k")["Body"].read() == b"x"
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            return False

    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*"}
    assert not may()
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=policy(read))
    assert not may()
    named = {"Principal": {"AWS": f"arn:aws:iam::{OTHER}:user/ann"}}
    s3.put_bucket_policy(Bucket="shared", Policy=policy(read | named))
    assert may()
    iam.delete_user_policy(UserName="ann", PolicyName="p")
    assert not may()

    role = client("iam").create_role(RoleName="visitor", AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": "42"}}},
    ))["Role"]["Arn"]  # fmt: skip
    client("iam").put_role_policy(RoleName="visitor", PolicyName="p", PolicyDocument=policy(read))
    asked = {"RoleArn": role, "RoleSessionName": "ann", "ExternalId": "42"}
    with pytest.raises(
        ClientError, match="no identity-based policy allows the sts:AssumeRole action"
    ):
        client("sts", **ann).assume_role(**asked)
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role},
    ))  # fmt: skip
    with pytest.raises(ClientError, match="AccessDenied"):
        client("sts", **ann).assume_role(**(asked | {"ExternalId": "43"}))
    given = client("sts", **ann).assume_role(**asked)["Credentials"]
    inside = {
        "key": given["AccessKeyId"],
        "secret": given["SecretAccessKey"],
        "token": given["SessionToken"],
    }
    assert client("s3", **inside).get_object(Bucket="shared", Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        client("s3", **inside).put_object(Bucket="shared", Key="k", Body=b"y")

    own = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=policy(
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ))["Role"]["Arn"]  # fmt: skip
    function = client("lambda").create_function(
        FunctionName="f",
        Role=own,
        Runtime="python3.13",
        Handler="index.handler",
        Code={"ZipFile": zipped()},
    )["FunctionArn"]
    theirs = client("lambda", account=OTHER)
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.invoke(FunctionName=function, Payload=b"1")
    client("lambda").add_permission(
        FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER
    )
    assert theirs.invoke(FunctionName=function, Payload=b"1")["Payload"].read() == b"1"


def test_what_a_service_asks_with_the_callers_rights_says_which_service_asks(client):
    """aws:CalledVia and aws:ViaAWSService: tables through stacks alone; the caller's address does not come along."""
    iam, create = client("iam"), {"Effect": "Allow", "Action": ["dynamodb:*"], "Resource": "*"}
    iam.create_user(UserName="ann")
    via = {"ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"},
           "Bool": {"aws:ViaAWSService": "true"}, "Null": {"aws:SourceIp": "true"}}  # fmt: skip
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=policy(
        {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}, create | {"Condition": via},
    ))  # fmt: skip
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client("dynamodb", **ann).list_tables()
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": "made", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    }}  # fmt: skip
    stacks = client("cloudformation", **ann)
    stacks.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"T": table}}))
    for _ in range(6_000):
        status = stacks.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(0.02)
    assert status == "CREATE_COMPLETE"
    assert client("dynamodb").list_tables()["TableNames"] == ["made"]


def test_accounts_and_regions_on_one_endpoint_do_not_see_each_other(client):
    """The same names in each, and a list of one shows nothing of the others."""
    places = [(a, r) for a in (ME, OTHER) for r in ("us-east-1", "eu-west-1")]
    for number, (account, region) in enumerate(places):
        made = client("dynamodb", account=account, region=region).create_table(
            TableName="ttt", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST",
        )  # fmt: skip
        assert (
            made["TableDescription"]["TableArn"] == f"arn:aws:dynamodb:{region}:{account}:table/ttt"
        )
        client("dynamodb", account=account, region=region).put_item(
            TableName="ttt", Item={"k": {"S": str(number)}}
        )
    for number, (account, region) in enumerate(places):
        found = client("dynamodb", account=account, region=region).scan(TableName="ttt")["Items"]
        assert found == [{"k": {"S": str(number)}}]
    client("iam").create_user(UserName="ann")
    assert client("iam", account=OTHER).list_users()["Users"] == []
    assert len(client("iam", region="eu-west-1").list_users()["Users"]) == 1
