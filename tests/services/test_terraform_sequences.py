"""What Terraform's AWS provider calls for the resources people have most, in its order: create, refresh, update, destroy.

There is no terraform here, so its calls are replayed, from the provider's Go code (hashicorp/terraform-provider-aws,
``internal/service/...``, named at each): the calls of ``resource...Create``, then ``resource...Read`` twice, the same
each time and as was asked for (else every plan would show a difference), ``...Update``, ``...Read``, ``...Delete``, and that the
last ``Read`` finds nothing by the error the provider takes for that.
"""

# ruff: noqa: RUF012 - what a kind is asked for is written at its class and changed by nobody
from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from eventing import advance

Client = Callable[[str], Any]
ACCOUNT = "000000000000"
TAGS = {"team": "a"}
LISTED = [{"Key": "team", "Value": "a"}]


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str, resource: str = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def code(text: str = "def handler(e, c): return e") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", text)
    return packed.getvalue()


def unless(codes: set[str], ask: Callable[[], Any]) -> Any:
    """None where the provider takes one of these errors for "there is none"."""
    try:
        answer = ask()
    except ClientError as error:
        if error.response["Error"]["Code"] in codes:
            return None
        raise
    answer.pop("ResponseMetadata", None)
    return answer


def until(look: Callable[[], Any], wanted: Any) -> None:
    """The provider's waiters."""
    deadline = time.monotonic() + 120
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


class Kind:
    """A resource of Terraform's. ``read`` gives its state; raises ClientError with ``gone`` when it is not there."""

    name: str
    gone: set[str]

    def __init__(self, client: Client, made: dict[str, Any]) -> None:
        self.client, self.made = client, made

    def create(self) -> None:
        raise NotImplementedError

    def read(self) -> dict[str, Any]:
        raise NotImplementedError

    first: dict[str, Any] = {}
    then: dict[str, Any] = {}

    def update(self) -> None:
        raise NotImplementedError

    def destroy(self) -> None:
        raise NotImplementedError


class Bucket(Kind):
    """s3/bucket.go (asks for the region without credentials: ``manager.GetBucketRegion``); bucket_versioning.go, bucket_policy.go, bucket_public_access_block.go, bucket_lifecycle_configuration.go,
    bucket_server_side_encryption_configuration.go, bucket_notification.go, bucket_cors_configuration.go, bucket_ownership_controls.go
    """

    name = "aws_s3_bucket"
    gone = {"404", "NoSuchBucket", "NoSuchResource"}  # the last is what S3 Control says of its tags
    first = {"versioning": "Enabled", "tags": LISTED, "payer": "BucketOwner", "lock": None}
    then = {"versioning": "Suspended", "tags": [], "policy": None}

    def create(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket="tf-bucket")
        s3.head_bucket(Bucket="tf-bucket")
        self.client("s3control").tag_resource(
            AccountId=ACCOUNT, ResourceArn="arn:aws:s3:::tf-bucket", Tags=LISTED
        )
        s3.put_bucket_versioning(Bucket="tf-bucket", VersioningConfiguration={"Status": "Enabled"})
        s3.put_public_access_block(
            Bucket="tf-bucket",
            PublicAccessBlockConfiguration=dict.fromkeys(
                ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
            ),
        )  # fmt: skip
        s3.put_bucket_policy(
            Bucket="tf-bucket",
            Policy=allow(
                "s3:GetObject",
                "arn:aws:s3:::tf-bucket/*",
                Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            ),
        )
        rule = {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "tmp/"},
            "Expiration": {"Days": 3},
        }
        s3.put_bucket_lifecycle_configuration(
            Bucket="tf-bucket",
            LifecycleConfiguration={"Rules": [rule]},
            TransitionDefaultMinimumObjectSize="all_storage_classes_128K",
        )
        algorithm = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(
            Bucket="tf-bucket", ServerSideEncryptionConfiguration={"Rules": [algorithm]}
        )
        s3.put_bucket_ownership_controls(
            Bucket="tf-bucket",
            OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        )
        s3.put_bucket_cors(
            Bucket="tf-bucket",
            CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]},
        )
        s3.put_bucket_notification_configuration(
            Bucket="tf-bucket", NotificationConfiguration={"EventBridgeConfiguration": {}}
        )

    def read(self) -> dict[str, Any]:
        """All of ``resourceBucketRead``; each with the errors it takes for "not configured"."""
        s3, where = self.client("s3"), {"Bucket": "tf-bucket"}
        with pytest.raises(ClientError) as nobody:
            self.client("s3 unsigned").head_bucket(**where)
        answered = nobody.value.response["ResponseMetadata"]["HTTPHeaders"]
        tags = self.client("s3control").list_tags_for_resource(
            AccountId=ACCOUNT, ResourceArn="arn:aws:s3:::tf-bucket"
        )["Tags"]
        old_way = unless({"NoSuchTagSet"}, lambda: s3.get_bucket_tagging(**where))
        assert tags == (old_way or {}).get("TagSet", [])
        lifecycle = unless(
            {"NoSuchLifecycleConfiguration"},
            lambda: s3.get_bucket_lifecycle_configuration(**where),
        )
        return {
            "region": answered["x-amz-bucket-region"],
            "policy": unless({"NoSuchBucketPolicy"}, lambda: s3.get_bucket_policy(**where)),
            "acl": s3.get_bucket_acl(**where)["Grants"],
            "cors": unless({"NoSuchCORSConfiguration"}, lambda: s3.get_bucket_cors(**where)),
            "website": unless(
                {"NoSuchWebsiteConfiguration"}, lambda: s3.get_bucket_website(**where)
            ),
            "versioning": s3.get_bucket_versioning(**where).get("Status"),
            "acceleration": s3.get_bucket_accelerate_configuration(**where).get("Status"),
            "payer": s3.get_bucket_request_payment(**where)["Payer"],
            "logging": s3.get_bucket_logging(**where).get("LoggingEnabled"),
            "lifecycle": lifecycle,
            "replication": unless(
                {"ReplicationConfigurationNotFoundError"},
                lambda: s3.get_bucket_replication(**where),
            ),
            "encryption": s3.get_bucket_encryption(**where)["ServerSideEncryptionConfiguration"],
            "lock": unless(
                {"ObjectLockConfigurationNotFoundError"},
                lambda: s3.get_object_lock_configuration(**where),
            ),
            "location": s3.get_bucket_location(**where)["LocationConstraint"],
            "tags": tags,
            "block": unless(
                {"NoSuchPublicAccessBlockConfiguration"},
                lambda: s3.get_public_access_block(**where),
            ),
            "ownership": unless(
                {"OwnershipControlsNotFoundError"},
                lambda: s3.get_bucket_ownership_controls(**where),
            ),
            "notification": unless(
                set(), lambda: s3.get_bucket_notification_configuration(**where)
            ),
        }

    def update(self) -> None:
        s3, where = self.client("s3"), {"Bucket": "tf-bucket"}
        self.client("s3control").untag_resource(
            AccountId=ACCOUNT, ResourceArn="arn:aws:s3:::tf-bucket", TagKeys=["team"]
        )
        s3.put_bucket_versioning(**where, VersioningConfiguration={"Status": "Suspended"})
        s3.delete_bucket_policy(**where)
        s3.delete_bucket_cors(**where)
        s3.delete_bucket_lifecycle(**where)
        s3.delete_public_access_block(**where)
        s3.put_bucket_notification_configuration(**where, NotificationConfiguration={})

    def destroy(self) -> None:
        s3 = self.client("s3")
        assert "Versions" not in s3.list_object_versions(Bucket="tf-bucket")
        s3.delete_bucket_encryption(Bucket="tf-bucket")
        s3.delete_bucket_ownership_controls(Bucket="tf-bucket")
        s3.delete_bucket(Bucket="tf-bucket")


class Table(Kind):
    """dynamodb/table.go, in its order: an update deletes indexes, changes the table in one call, makes indexes one by one, then
    changes encryption, time to live, tags and recovery, each awaited as wait.go does"""

    name = "aws_dynamodb_table"
    gone = {"ResourceNotFoundException"}
    first = {
        "ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"},
        "recovery": "ENABLED",
        "tags": LISTED,
        "billing": "PAY_PER_REQUEST",
        "indexes": ["by-g"],
        "stream": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }
    then = {
        "ttl": {"TimeToLiveStatus": "DISABLED"},
        "recovery": "DISABLED",
        "tags": [{"Key": "owner", "Value": "b"}],
        "billing": "PROVISIONED",
        "indexes": ["by-h"],
        "stream": None,
    }
    table = {"TableName": "tf-table"}

    def create(self) -> None:
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(
            **self.table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "k", "AttributeType": "S"},
                {"AttributeName": "g", "AttributeType": "S"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-g",
                    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            DeletionProtectionEnabled=False,
            TableClass="STANDARD",
            Tags=LISTED,
        )
        self.settle()
        self.live_until(enabled=True)
        self.recover(enabled=True)

    def described(self) -> dict[str, Any]:
        found = self.client("dynamodb").describe_table(**self.table)
        return dict(found["Table"])

    def settle(self) -> None:
        """waitTableActive wants it twice in a row."""
        for _ in range(2):
            until(lambda: self.described()["TableStatus"], "ACTIVE")

    def indexes(self) -> dict[str, str]:
        found = self.described().get("GlobalSecondaryIndexes") or []
        return {index["IndexName"]: index["IndexStatus"] for index in found}

    def live_until(self, *, enabled: bool) -> None:
        dynamodb, wanted = self.client("dynamodb"), "ENABLED" if enabled else "DISABLED"
        rule = {"Enabled": enabled, "AttributeName": "until"}
        dynamodb.update_time_to_live(**self.table, TimeToLiveSpecification=rule)
        pending = {"DISABLED", "ENABLING"} if enabled else {"ENABLED", "DISABLING"}

        def status() -> str:
            said = dynamodb.describe_time_to_live(**self.table)["TimeToLiveDescription"]
            found = str(said["TimeToLiveStatus"])
            assert found in {*pending, wanted}, "waitTTLUpdated gives up at any other"
            return found

        until(status, wanted)

    def recovery(self) -> str:
        said = self.client("dynamodb").describe_continuous_backups(**self.table)
        found = said["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        return str(found["PointInTimeRecoveryStatus"])

    def recover(self, *, enabled: bool) -> None:
        rule = {"PointInTimeRecoveryEnabled": enabled}
        dynamodb = self.client("dynamodb")
        dynamodb.update_continuous_backups(**self.table, PointInTimeRecoverySpecification=rule)
        until(self.recovery, "ENABLED" if enabled else "DISABLED")

    def read(self) -> dict[str, Any]:
        dynamodb, table = self.client("dynamodb"), self.described()
        ttl = dynamodb.describe_time_to_live(**self.table)["TimeToLiveDescription"]
        return {
            "table": {
                key: table.get(key)
                for key in (
                    "AttributeDefinitions", "BillingModeSummary", "DeletionProtectionEnabled", "GlobalSecondaryIndexes", "KeySchema",
                    "LocalSecondaryIndexes", "ProvisionedThroughput", "Replicas", "SSEDescription", "LatestStreamArn", "LatestStreamLabel",
                    "TableArn", "TableClassSummary",
                )
            },
            "billing": (table.get("BillingModeSummary") or {"BillingMode": "PROVISIONED"})["BillingMode"],
            "indexes": sorted(self.indexes()),
            "stream": table.get("StreamSpecification"),
            "ttl": ttl,
            "recovery": self.recovery(),
            "tags": dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"],
        }  # fmt: skip

    def update(self) -> None:
        dynamodb = self.client("dynamodb")
        gone = [{"Delete": {"IndexName": "by-g"}}]
        dynamodb.update_table(**self.table, GlobalSecondaryIndexUpdates=gone)
        until(self.indexes, {})
        units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
        dynamodb.update_table(
            **self.table,
            BillingMode="PROVISIONED",
            ProvisionedThroughput=units,
            StreamSpecification={"StreamEnabled": False},
            DeletionProtectionEnabled=True,
        )
        self.settle()
        made = {
            "IndexName": "by-h",
            "KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]},
            "ProvisionedThroughput": units,
        }
        dynamodb.update_table(
            **self.table,
            AttributeDefinitions=[
                {"AttributeName": "k", "AttributeType": "S"},
                {"AttributeName": "h", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexUpdates=[{"Create": made}],
        )
        until(self.indexes, {"by-h": "ACTIVE"})
        dynamodb.update_table(**self.table, SSESpecification={"Enabled": True})
        until(lambda: self.described()["SSEDescription"]["Status"], "ENABLED")
        self.live_until(enabled=False)
        arn = self.described()["TableArn"]
        dynamodb.untag_resource(ResourceArn=arn, TagKeys=["team"])
        dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "b"}])
        self.recover(enabled=False)

    def destroy(self) -> None:
        dynamodb = self.client("dynamodb")
        with pytest.raises(ClientError, match="protected against deletion"):
            dynamodb.delete_table(**self.table)
        dynamodb.update_table(**self.table, DeletionProtectionEnabled=False)
        self.settle()
        dynamodb.delete_table(**self.table)
        until(
            lambda: unless(self.gone, lambda: dynamodb.describe_table(**self.table)) is None, True
        )


class Queue(Kind):
    """sqs/queue.go (what is zero is not sent, ``waitQueueAttributesPropagated`` wants back exactly what it set), queue_policy.go"""

    name = "aws_sqs_queue"
    gone = {"AWS.SimpleQueueService.NonExistentQueue"}
    asked = {
        "MaximumMessageSize": "262144",
        "MessageRetentionPeriod": "345600",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    first = {"tags": TAGS}
    then = {"tags": {"team": "b"}}

    def create(self) -> None:
        sqs = self.client("sqs")
        self.url = sqs.create_queue(QueueName="tf-queue", Attributes=self.asked, tags=TAGS)[
            "QueueUrl"
        ]
        assert len(self.url.split("/")) == 5, "queueNameFromURL wants /ACCOUNT/NAME"
        found = self.read()["attributes"]
        for name, value in self.asked.items():
            assert found[name] == value, name
        policy = allow("sqs:SendMessage", found["QueueArn"], Principal="*")
        sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        assert json.loads(self.read()["attributes"]["Policy"]) == json.loads(policy)

    def read(self) -> dict[str, Any]:
        sqs = self.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        tags = sqs.list_queue_tags(QueueUrl=self.url).get("Tags", {})
        kept = {k: v for k, v in found.items() if not k.startswith("Approximate")}
        return {"attributes": kept, "tags": tags}

    def update(self) -> None:
        sqs = self.client("sqs")
        sqs.tag_queue(QueueUrl=self.url, Tags={"team": "b"})
        sqs.set_queue_attributes(
            QueueUrl=self.url, Attributes={"VisibilityTimeout": "31", "Policy": ""}
        )
        found = self.read()["attributes"]
        assert (found["VisibilityTimeout"], found.get("Policy", "")) == ("31", "")

    def destroy(self) -> None:
        self.client("sqs").delete_queue(QueueUrl=self.url)


class Topic(Kind):
    """sns/topic.go (each attribute by a call of its own: ``putTopicAttributes``), topic_subscription.go"""

    name = "aws_sns_topic"
    gone = {"NotFound"}
    first = {"tags": LISTED, "display": "one"}
    then = {"tags": [], "display": "two"}

    def create(self) -> None:
        sns, sqs = self.client("sns"), self.client("sqs")
        self.arn = sns.create_topic(Name="tf-topic", Tags=LISTED)["TopicArn"]
        sns.set_topic_attributes(
            TopicArn=self.arn, AttributeName="DisplayName", AttributeValue="one"
        )
        url = sqs.create_queue(QueueName="tf-listener")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        self.subscription = sns.subscribe(
            TopicArn=self.arn,
            Protocol="sqs",
            Endpoint=queue["QueueArn"],
            Attributes={"RawMessageDelivery": "true", "FilterPolicyScope": "MessageAttributes"},
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]

    def read(self) -> dict[str, Any]:
        sns = self.client("sns")
        attributes = sns.get_topic_attributes(TopicArn=self.arn)["Attributes"]
        found = sns.get_subscription_attributes(SubscriptionArn=self.subscription)["Attributes"]
        assert found["PendingConfirmation"] == "false"
        return {
            "display": attributes["DisplayName"],
            "policy": json.loads(attributes["Policy"]),
            "owner": attributes["Owner"],
            "subscription": found,
            "tags": sns.list_tags_for_resource(ResourceArn=self.arn)["Tags"],
        }

    def update(self) -> None:
        sns = self.client("sns")
        sns.set_topic_attributes(
            TopicArn=self.arn, AttributeName="DisplayName", AttributeValue="two"
        )
        sns.set_subscription_attributes(
            SubscriptionArn=self.subscription,
            AttributeName="FilterPolicy",
            AttributeValue='{"kind":["a"]}',
        )
        sns.untag_resource(ResourceArn=self.arn, TagKeys=["team"])

    def destroy(self) -> None:
        sns = self.client("sns")
        sns.unsubscribe(SubscriptionArn=self.subscription)
        sns.delete_topic(TopicArn=self.arn)


class Role(Kind):
    """iam/role.go, role_policy.go, role_policy_attachment.go, policy.go"""

    name = "aws_iam_role"
    gone = {"NoSuchEntity"}
    first = {"tags": LISTED, "session": 3600}
    then = {"tags": [], "session": 7200}

    def create(self) -> None:
        iam = self.client("iam")
        iam.create_role(
            RoleName="tf-role",
            Path="/",
            MaxSessionDuration=3600,
            AssumeRolePolicyDocument=trust("lambda.amazonaws.com"),
            Tags=LISTED,
        )
        self.policy = iam.create_policy(
            PolicyName="tf-policy", Path="/", PolicyDocument=allow("s3:ListAllMyBuckets"), Tags=[]
        )["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="tf-role", PolicyArn=self.policy)
        iam.put_role_policy(
            RoleName="tf-role", PolicyName="inline", PolicyDocument=allow("s3:GetObject")
        )

    def read(self) -> dict[str, Any]:
        iam = self.client("iam")
        role = iam.get_role(RoleName="tf-role")["Role"]
        policy = iam.get_policy(PolicyArn=self.policy)["Policy"]
        version = iam.get_policy_version(
            PolicyArn=self.policy, VersionId=policy["DefaultVersionId"]
        )
        inline = {
            name: iam.get_role_policy(RoleName="tf-role", PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName="tf-role")["PolicyNames"]
        }
        return {
            "id": role["RoleId"],
            "trust": role["AssumeRolePolicyDocument"],
            "session": role["MaxSessionDuration"],
            "tags": role.get("Tags", []),
            "attached": iam.list_attached_role_policies(RoleName="tf-role")["AttachedPolicies"],
            "inline": inline,
            "document": version["PolicyVersion"]["Document"],
            "boundary": role.get("PermissionsBoundary"),
        }

    def update(self) -> None:
        iam = self.client("iam")
        iam.update_assume_role_policy(
            RoleName="tf-role", PolicyDocument=trust("events.amazonaws.com")
        )
        iam.update_role_description(RoleName="tf-role", Description="d")
        iam.update_role(RoleName="tf-role", MaxSessionDuration=7200)
        iam.untag_role(RoleName="tf-role", TagKeys=["team"])
        versions = iam.list_policy_versions(PolicyArn=self.policy)["Versions"]
        assert len(versions) < 5, "else it deletes the oldest first"
        iam.create_policy_version(
            PolicyArn=self.policy, PolicyDocument=allow("s3:*"), SetAsDefault=True
        )

    def destroy(self) -> None:
        iam = self.client("iam")
        iam.detach_role_policy(RoleName="tf-role", PolicyArn=self.policy)
        for version in iam.list_policy_versions(PolicyArn=self.policy)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=self.policy, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=self.policy)
        iam.delete_role_policy(RoleName="tf-role", PolicyName="inline")
        assert iam.list_instance_profiles_for_role(RoleName="tf-role")["InstanceProfiles"] == []
        iam.delete_role(RoleName="tf-role")


class User(Kind):
    """iam/user.go, access_key.go, user_policy.go"""

    name = "aws_iam_user"
    gone = {"NoSuchEntity"}
    first = {"path": "/"}
    then = {"path": "/people/"}

    def create(self) -> None:
        iam = self.client("iam")
        iam.create_user(UserName="tf-user", Path="/", Tags=LISTED)
        iam.put_user_policy(UserName="tf-user", PolicyName="p", PolicyDocument=allow("s3:*"))
        self.key = iam.create_access_key(UserName="tf-user")["AccessKey"]["AccessKeyId"]

    def read(self) -> dict[str, Any]:
        iam = self.client("iam")
        user = iam.get_user(UserName="tf-user")["User"]
        keys = iam.list_access_keys(UserName="tf-user")["AccessKeyMetadata"]
        return {
            "path": user["Path"],
            "arn": user["Arn"],
            "tags": user["Tags"],
            "keys": [(k["AccessKeyId"], k["Status"]) for k in keys],
            "used": iam.get_access_key_last_used(AccessKeyId=self.key)["UserName"],
            "policy": iam.get_user_policy(UserName="tf-user", PolicyName="p")["PolicyDocument"],
        }

    def update(self) -> None:
        iam = self.client("iam")
        iam.update_user(UserName="tf-user", NewPath="/people/")
        iam.update_access_key(UserName="tf-user", AccessKeyId=self.key, Status="Inactive")

    def destroy(self) -> None:
        iam = self.client("iam")
        iam.delete_access_key(UserName="tf-user", AccessKeyId=self.key)
        iam.delete_user_policy(UserName="tf-user", PolicyName="p")
        assert iam.list_groups_for_user(UserName="tf-user")["Groups"] == []
        iam.delete_user(UserName="tf-user")


class Function(Kind):
    """lambda/function.go (GetFunctionCodeSigningConfig must not fail), permission.go, alias.go, event_source_mapping.go,
    function_url.go
    """

    name = "aws_lambda_function"
    gone = {"ResourceNotFoundException"}
    first = {"memory": 128, "concurrency": None, "signing": None, "tags": TAGS}
    then = {"memory": 256, "concurrency": 2, "signing": None, "tags": TAGS}

    def create(self) -> None:
        lambda_, iam, sqs = self.client("lambda"), self.client("iam"), self.client("sqs")
        role = iam.create_role(
            RoleName="tf-exec", AssumeRolePolicyDocument=trust("lambda.amazonaws.com")
        )["Role"]["Arn"]
        iam.put_role_policy(RoleName="tf-exec", PolicyName="p", PolicyDocument=allow("sqs:*"))
        lambda_.create_function(
            FunctionName="tf-function",
            Code={"ZipFile": code()},
            Description="",
            MemorySize=128,
            PackageType="Zip",
            Publish=True,
            Role=role,
            Tags=TAGS,
            Timeout=3,
            Handler="app.handler",
            Runtime="python3.12",
            Architectures=["x86_64"],
            EphemeralStorage={"Size": 512},
            LoggingConfig={"LogFormat": "Text", "LogGroup": "/aws/lambda/tf-function"},
        )
        self.settle()
        lambda_.add_permission(
            FunctionName="tf-function",
            StatementId="s3",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn="arn:aws:s3:::b",
            SourceAccount=ACCOUNT,
        )
        lambda_.create_alias(FunctionName="tf-function", Name="live", FunctionVersion="1")
        lambda_.create_function_url_config(
            FunctionName="tf-function", AuthType="AWS_IAM", InvokeMode="BUFFERED"
        )
        url = sqs.create_queue(QueueName="tf-source")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        self.mapping = lambda_.create_event_source_mapping(
            FunctionName="tf-function",
            EventSourceArn=arn["QueueArn"],
            Enabled=True,
            BatchSize=5,
            Tags=TAGS,
        )["UUID"]
        self.mapped("Enabled")

    def settle(self) -> None:
        lambda_ = self.client("lambda")
        ask = lambda: lambda_.get_function(FunctionName="tf-function")["Configuration"]  # noqa: E731
        until(lambda: ask()["State"], "Active")
        until(lambda: ask()["LastUpdateStatus"], "Successful")

    def mapped(self, state: str) -> None:
        lambda_ = self.client("lambda")
        until(lambda: lambda_.get_event_source_mapping(UUID=self.mapping)["State"], state)

    def read(self) -> dict[str, Any]:
        lambda_, where = self.client("lambda"), {"FunctionName": "tf-function"}
        found = lambda_.get_function(**where)
        about = found["Configuration"]
        latest = lambda_.list_versions_by_function(**where, MaxItems=10_000)["Versions"][-1]
        signing = lambda_.get_function_code_signing_config(**where)
        policy = json.loads(lambda_.get_policy(**where)["Policy"])
        alias = lambda_.get_alias(**where, Name="live")
        url = lambda_.get_function_url_config(**where)
        mapping = lambda_.get_event_source_mapping(UUID=self.mapping)
        tags = lambda_.list_tags(Resource=mapping["EventSourceMappingArn"])["Tags"]
        for answer in (alias, url, mapping):
            answer.pop("ResponseMetadata")
            answer.pop("LastModified", None)
        return {
            "memory": about["MemorySize"],
            "concurrency": found.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
            "signing": signing.get("CodeSigningConfigArn"),
            "tags": found["Tags"],
            "configuration": {
                key: about.get(key)
                for key in (
                    "Architectures", "CodeSha256", "CodeSize", "Description", "Environment", "EphemeralStorage", "Handler", "Layers",
                    "LoggingConfig", "PackageType", "Role", "Runtime", "SnapStart", "Timeout", "TracingConfig", "VpcConfig",
                )
            },
            "version": (latest["Version"], latest["FunctionArn"]),
            "policy": policy,
            "alias": alias,
            "url": url,
            "mapping": (mapping, tags),
        }  # fmt: skip

    def update(self) -> None:
        lambda_, where = self.client("lambda"), {"FunctionName": "tf-function"}
        lambda_.update_function_configuration(**where, MemorySize=256)
        self.settle()
        lambda_.update_function_code(**where, ZipFile=code("def handler(e, c): return 2"))
        self.settle()
        lambda_.put_function_concurrency(**where, ReservedConcurrentExecutions=2)
        version = lambda_.publish_version(**where)["Version"]
        lambda_.update_alias(**where, Name="live", FunctionVersion=version)
        lambda_.update_event_source_mapping(UUID=self.mapping, BatchSize=6)
        self.mapped("Enabled")
        lambda_.update_function_url_config(**where, AuthType="AWS_IAM", InvokeMode="BUFFERED")

    def destroy(self) -> None:
        lambda_, where = self.client("lambda"), {"FunctionName": "tf-function"}
        lambda_.delete_event_source_mapping(UUID=self.mapping)
        until(
            lambda: (
                unless(self.gone, lambda: lambda_.get_event_source_mapping(UUID=self.mapping))
                is None
            ),
            True,
        )
        lambda_.delete_function_url_config(**where)
        lambda_.delete_alias(**where, Name="live")
        lambda_.remove_permission(**where, StatementId="s3")
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            lambda_.get_policy(**where)
        lambda_.delete_function(**where)


class Group(Kind):
    """logs/group.go (finds its group in DescribeLogGroups by prefix)"""

    name = "aws_cloudwatch_log_group"
    gone = {"none"}
    first = {"retention": 3, "tags": TAGS}
    then = {"retention": None, "tags": {}}

    def create(self) -> None:
        logs = self.client("logs")
        logs.create_log_group(logGroupName="tf/group", logGroupClass="STANDARD", tags=TAGS)
        logs.put_retention_policy(logGroupName="tf/group", retentionInDays=3)
        logs.create_log_group(logGroupName="tf/group-2")

    def read(self) -> dict[str, Any]:
        logs = self.client("logs")
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="tf/group")
        found = [g for page in pages for g in page["logGroups"] if g["logGroupName"] == "tf/group"]
        if not found:
            raise ClientError({"Error": {"Code": "none"}}, "DescribeLogGroups")
        arn = found[0]["logGroupArn"]
        assert found[0]["arn"] == f"{arn}:*", "TrimLogGroupARNWildcardSuffix"
        tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
        return {
            "retention": found[0].get("retentionInDays"),
            "class": found[0]["logGroupClass"],
            "tags": tags,
        }

    def update(self) -> None:
        logs = self.client("logs")
        logs.delete_retention_policy(logGroupName="tf/group")
        arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:tf/group"
        logs.untag_resource(resourceArn=arn, tagKeys=["team"])

    def destroy(self) -> None:
        self.client("logs").delete_log_group(logGroupName="tf/group")


class Rule(Kind):
    """events/bus.go, rule.go (an update repeats the tags, which change nothing: they are for aws:RequestTag), target.go"""

    name = "aws_cloudwatch_event_rule"
    gone = {"ResourceNotFoundException"}
    first = {"state": "ENABLED", "tags": LISTED}
    then = {"state": "DISABLED", "tags": []}
    where = {"Name": "tf-rule", "EventBusName": "tf-bus"}

    def create(self) -> None:
        events = self.client("events")
        self.bus = events.create_event_bus(Name="tf-bus", Tags=LISTED)["EventBusArn"]
        self.arn = events.put_rule(
            **self.where, EventPattern='{"source":["x"]}', State="ENABLED", Tags=LISTED
        )["RuleArn"]
        target = {"Id": "one", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "Input": '{"a":1}'}
        answer = events.put_targets(Rule="tf-rule", EventBusName="tf-bus", Targets=[target])
        assert answer["FailedEntryCount"] == 0

    def read(self) -> dict[str, Any]:
        events = self.client("events")
        rule = events.describe_rule(**self.where)
        bus = events.describe_event_bus(Name="tf-bus")
        targets = events.list_targets_by_rule(Rule="tf-rule", EventBusName="tf-bus")["Targets"]
        return {
            "state": rule["State"],
            "pattern": rule["EventPattern"],
            "description": (rule.get("Description"), bus.get("Description")),
            "bus": bus["Arn"],
            "targets": targets,
            "tags": events.list_tags_for_resource(ResourceARN=self.arn)["Tags"],
            "bus_tags": events.list_tags_for_resource(ResourceARN=self.bus)["Tags"],
        }

    def update(self) -> None:
        events = self.client("events")
        events.untag_resource(ResourceARN=self.arn, TagKeys=["team"])
        changed = {"EventPattern": '{"source":["x","y"]}', "State": "DISABLED", "Description": "d"}
        events.put_rule(**self.where, **changed, Tags=LISTED)
        events.update_event_bus(Name="tf-bus", Description="d")

    def destroy(self) -> None:
        events = self.client("events")
        answer = events.remove_targets(Rule="tf-rule", EventBusName="tf-bus", Ids=["one"])
        assert answer["FailedEntryCount"] == 0
        events.delete_rule(**self.where)
        events.delete_event_bus(Name="tf-bus")


class Schedule(Kind):
    """scheduler/schedule.go, schedule_group.go"""

    name = "aws_scheduler_schedule"
    gone = {"ResourceNotFoundException"}
    first = {"state": "ENABLED"}
    then = {"state": "DISABLED"}

    def create(self) -> None:
        role = self.client("iam").create_role(
            RoleName="tf-scheduler", AssumeRolePolicyDocument=trust("scheduler.amazonaws.com")
        )["Role"]["Arn"]
        scheduler = self.client("scheduler")
        scheduler.create_schedule_group(Name="tf-group", Tags=LISTED)
        self.asked = {
            "Name": "tf-schedule",
            "GroupName": "tf-group",
            "ScheduleExpression": "cron(0 0 1 1 ? 2099)",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q",
                "RoleArn": role,
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
            },
        }
        scheduler.create_schedule(**self.asked, State="ENABLED")

    def read(self) -> dict[str, Any]:
        scheduler = self.client("scheduler")
        found = scheduler.get_schedule(Name="tf-schedule", GroupName="tf-group")
        group = scheduler.get_schedule_group(Name="tf-group")
        tags = scheduler.list_tags_for_resource(ResourceArn=group["Arn"])["Tags"]
        assert tags == LISTED
        assert {key: found[key] for key in self.asked} == self.asked
        return {"state": found["State"], "arn": found["Arn"], "group": group["State"]}

    def update(self) -> None:
        self.client("scheduler").update_schedule(**self.asked, State="DISABLED")

    def destroy(self) -> None:
        scheduler = self.client("scheduler")
        scheduler.delete_schedule(Name="tf-schedule", GroupName="tf-group")
        scheduler.delete_schedule_group(Name="tf-group")


class Pipe(Kind):
    """pipes/pipe.go"""

    name = "aws_pipes_pipe"
    gone = {"NotFoundException"}
    first = {"state": "STOPPED", "tags": TAGS}
    then = {"description": "two", "tags": {}}

    def create(self) -> None:
        iam, sqs = self.client("iam"), self.client("sqs")
        role = iam.create_role(
            RoleName="tf-pipe", AssumeRolePolicyDocument=trust("pipes.amazonaws.com")
        )["Role"]["Arn"]
        iam.put_role_policy(RoleName="tf-pipe", PolicyName="p", PolicyDocument=allow("sqs:*"))
        arns = []
        for name in ("tf-in", "tf-out"):
            url = sqs.create_queue(QueueName=name)["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            arns.append(found["Attributes"]["QueueArn"])
        self.role, self.target = role, arns[1]
        self.client("pipes").create_pipe(
            Name="tf-pipe",
            Source=arns[0],
            Target=arns[1],
            RoleArn=role,
            DesiredState="STOPPED",
            Description="one",
            Tags=TAGS,
        )
        self.settle()

    def settle(self) -> None:
        pipes = self.client("pipes")
        until(lambda: pipes.describe_pipe(Name="tf-pipe")["CurrentState"], "STOPPED")

    def read(self) -> dict[str, Any]:
        pipes = self.client("pipes")
        found = pipes.describe_pipe(Name="tf-pipe")
        assert pipes.list_tags_for_resource(resourceArn=found["Arn"])["tags"] == found.get("Tags", {})  # fmt: skip
        return {
            "state": found["DesiredState"],
            "description": found["Description"],
            "tags": found.get("Tags", {}),
            "source": (found["Source"], found.get("SourceParameters")),
            "target": (found["Target"], found.get("TargetParameters"), found.get("Enrichment")),
        }

    def update(self) -> None:
        pipes = self.client("pipes")
        pipes.update_pipe(
            Name="tf-pipe",
            Target=self.target,
            RoleArn=self.role,
            DesiredState="STOPPED",
            Description="two",
        )
        self.settle()
        arn = pipes.describe_pipe(Name="tf-pipe")["Arn"]
        pipes.untag_resource(resourceArn=arn, tagKeys=["team"])

    def destroy(self) -> None:
        pipes = self.client("pipes")
        pipes.delete_pipe(Name="tf-pipe")
        until(lambda: unless(self.gone, lambda: pipes.describe_pipe(Name="tf-pipe")) is None, True)


class Stream(Kind):
    """kinesis/stream.go (sets the retention period after every create, the default too), tags_gen.go"""

    name = "aws_kinesis_stream"
    gone = {"ResourceNotFoundException"}
    first = {"hours": 24, "tags": LISTED}
    then = {"hours": 48, "tags": []}

    def create(self) -> None:
        kinesis = self.client("kinesis")
        kinesis.create_stream(
            StreamName="tf-stream",
            ShardCount=1,
            StreamModeDetails={"StreamMode": "PROVISIONED"},
            Tags=TAGS,
        )
        self.settle()
        kinesis.increase_stream_retention_period(StreamName="tf-stream", RetentionPeriodHours=24)
        self.settle()

    def summary(self) -> dict[str, Any]:
        answer = self.client("kinesis").describe_stream_summary(StreamName="tf-stream")
        return answer["StreamDescriptionSummary"]

    def settle(self) -> None:
        until(lambda: self.summary()["StreamStatus"], "ACTIVE")

    def read(self) -> dict[str, Any]:
        found = self.summary()
        found.pop("StreamCreationTimestamp")
        tags = self.client("kinesis").list_tags_for_stream(StreamName="tf-stream")["Tags"]
        return {"hours": found["RetentionPeriodHours"], "summary": found, "tags": tags}

    def update(self) -> None:
        kinesis = self.client("kinesis")
        kinesis.remove_tags_from_stream(StreamName="tf-stream", TagKeys=["team"])
        kinesis.increase_stream_retention_period(StreamName="tf-stream", RetentionPeriodHours=48)
        self.settle()
        kinesis.enable_enhanced_monitoring(
            StreamName="tf-stream", ShardLevelMetrics=["IncomingBytes"]
        )
        self.settle()
        kinesis.start_stream_encryption(
            StreamName="tf-stream", EncryptionType="KMS", KeyId="alias/aws/kinesis"
        )
        self.settle()

    def destroy(self) -> None:
        kinesis = self.client("kinesis")
        kinesis.delete_stream(StreamName="tf-stream", EnforceConsumerDeletion=False)
        until(lambda: unless(self.gone, lambda: dict(self.summary())) is None, True)


class Firehose(Kind):
    """firehose/delivery_stream.go"""

    name = "aws_kinesis_firehose_delivery_stream"
    gone = {"ResourceNotFoundException"}
    first = {"seconds": 300, "tags": LISTED}
    then = {"seconds": 60, "tags": []}

    def create(self) -> None:
        self.client("s3").create_bucket(Bucket="tf-lake")
        role = self.client("iam").create_role(
            RoleName="tf-firehose", AssumeRolePolicyDocument=trust("firehose.amazonaws.com")
        )["Role"]["Arn"]
        self.asked = {
            "RoleARN": role,
            "BucketARN": "arn:aws:s3:::tf-lake",
            "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
            "CompressionFormat": "UNCOMPRESSED",
            "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
            "S3BackupMode": "Disabled",
        }
        self.client("firehose").create_delivery_stream(
            DeliveryStreamName="tf-firehose",
            DeliveryStreamType="DirectPut",
            ExtendedS3DestinationConfiguration=self.asked,
            Tags=LISTED,
        )
        until(lambda: self.found()["DeliveryStreamStatus"], "ACTIVE")

    def found(self) -> dict[str, Any]:
        answer = self.client("firehose").describe_delivery_stream(DeliveryStreamName="tf-firehose")
        return answer["DeliveryStreamDescription"]

    def read(self) -> dict[str, Any]:
        found = self.found()
        destination = found["Destinations"][0]["ExtendedS3DestinationDescription"]
        tags = self.client("firehose").list_tags_for_delivery_stream(
            DeliveryStreamName="tf-firehose"
        )["Tags"]
        return {
            "seconds": destination["BufferingHints"]["IntervalInSeconds"],
            "destination": destination,
            "encryption": found.get("DeliveryStreamEncryptionConfiguration"),
            "arn": found["DeliveryStreamARN"],
            "tags": tags,
        }

    def update(self) -> None:
        found, firehose = self.found(), self.client("firehose")
        changed = {
            **self.asked,
            "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 60},
        }
        firehose.update_destination(
            DeliveryStreamName="tf-firehose",
            CurrentDeliveryStreamVersionId=found["VersionId"],
            DestinationId=found["Destinations"][0]["DestinationId"],
            ExtendedS3DestinationUpdate=changed,
        )
        firehose.untag_delivery_stream(DeliveryStreamName="tf-firehose", TagKeys=["team"])

    def destroy(self) -> None:
        self.client("firehose").delete_delivery_stream(DeliveryStreamName="tf-firehose")
        until(lambda: unless(self.gone, lambda: dict(self.found())) is None, True)


class Key(Kind):
    """kms/key.go, alias.go (goes through all of ListAliases)"""

    name = "aws_kms_key"
    gone = {"none"}
    first = {"rotation": False, "description": "one", "tags": [{"TagKey": "team", "TagValue": "a"}]}
    then = {"rotation": True, "description": "two", "tags": []}

    def create(self) -> None:
        kms = self.client("kms")
        self.id = kms.create_key(
            BypassPolicyLockoutSafetyCheck=False,
            CustomerMasterKeySpec="SYMMETRIC_DEFAULT",
            KeyUsage="ENCRYPT_DECRYPT",
            Description="one",
            Tags=[{"TagKey": "team", "TagValue": "a"}],
        )["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/tf", TargetKeyId=self.id)

    def read(self) -> dict[str, Any]:
        kms = self.client("kms")
        about = kms.describe_key(KeyId=self.id)["KeyMetadata"]
        if about["KeyState"] == "PendingDeletion":
            raise ClientError({"Error": {"Code": "none"}}, "DescribeKey")
        aliases = [
            (a["AliasName"], a["AliasArn"], a.get("TargetKeyId"))
            for page in kms.get_paginator("list_aliases").paginate()
            for a in page["Aliases"]
            if a["AliasName"] == "alias/tf"
        ]
        return {
            "about": {k: about[k] for k in ("Arn", "KeySpec", "KeyUsage", "MultiRegion", "Enabled")},
            "description": about["Description"],
            "policy": json.loads(kms.get_key_policy(KeyId=self.id, PolicyName="default")["Policy"]),
            "rotation": kms.get_key_rotation_status(KeyId=self.id)["KeyRotationEnabled"],
            "tags": kms.list_resource_tags(KeyId=self.id)["Tags"],
            "aliases": aliases,
        }  # fmt: skip

    def update(self) -> None:
        kms = self.client("kms")
        kms.enable_key_rotation(KeyId=self.id)
        kms.update_key_description(KeyId=self.id, Description="two")
        kms.untag_resource(KeyId=self.id, TagKeys=["team"])

    def destroy(self) -> None:
        kms = self.client("kms")
        kms.delete_alias(AliasName="alias/tf")
        kms.schedule_key_deletion(KeyId=self.id, PendingWindowInDays=30)


class Secret(Kind):
    """secretsmanager/secret.go, secret_version.go, secret_policy.go"""

    name = "aws_secretsmanager_secret"
    gone = {"ResourceNotFoundException"}
    first = {"value": "one", "tags": LISTED}
    then = {"value": "two", "tags": []}

    def create(self) -> None:
        manager = self.client("secretsmanager")
        asked = {"Description": "", "ForceOverwriteReplicaSecret": False}
        token = "terraform-" + "1" * 26
        self.arn = manager.create_secret(
            Name="tf-secret", ClientRequestToken=token, Tags=LISTED, **asked
        )["ARN"]
        self.put("one")

    def put(self, value: str) -> None:
        answer = self.client("secretsmanager").put_secret_value(
            SecretId=self.arn, SecretString=value
        )
        self.version = answer["VersionId"]

    def read(self) -> dict[str, Any]:
        manager = self.client("secretsmanager")
        found = manager.describe_secret(SecretId=self.arn)
        if "DeletedDate" in found:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeSecret")
        policy = manager.get_resource_policy(SecretId=self.arn).get("ResourcePolicy")
        value = manager.get_secret_value(SecretId=self.arn, VersionId=self.version)
        return {
            "name": found["Name"],
            "description": found.get("Description", ""),
            "kms": found.get("KmsKeyId"),
            "replicas": found.get("ReplicationStatus", []),
            "policy": policy,
            "value": value["SecretString"],
            "stages": value["VersionStages"],
            "tags": found.get("Tags", []),
        }

    def update(self) -> None:
        manager = self.client("secretsmanager")
        manager.untag_resource(SecretId=self.arn, TagKeys=["team"])
        token = "terraform-" + "2" * 26
        manager.update_secret(SecretId=self.arn, ClientRequestToken=token, Description="d")
        self.put("two")

    def destroy(self) -> None:
        self.client("secretsmanager").delete_secret(SecretId=self.arn, RecoveryWindowInDays=30)


class Parameter(Kind):
    """ssm/parameter.go (an AllowedPattern is always sent, empty if there is none)"""

    name = "aws_ssm_parameter"
    gone = {"ParameterNotFound"}
    first = {"value": "one", "version": 1, "tags": LISTED}
    then = {"value": "two", "version": 2, "tags": []}

    def create(self) -> None:
        self.client("ssm").put_parameter(
            Name="/tf/p",
            Type="SecureString",
            Value="one",
            AllowedPattern="",
            Overwrite=False,
            Tags=LISTED,
        )

    def read(self) -> dict[str, Any]:
        ssm = self.client("ssm")
        found = ssm.get_parameter(Name="/tf/p", WithDecryption=True)["Parameter"]
        wanted = [{"Key": "Name", "Option": "Equals", "Values": ["/tf/p"]}]
        about = ssm.describe_parameters(ParameterFilters=wanted)["Parameters"][0]
        tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/tf/p")["TagList"]
        return {
            "value": found["Value"],
            "version": found["Version"],
            "arn": found["ARN"],
            "about": {k: about.get(k) for k in ("AllowedPattern", "DataType", "Description", "KeyId", "Tier")},
            "tags": tags,
        }  # fmt: skip

    def update(self) -> None:
        ssm = self.client("ssm")
        ssm.remove_tags_from_resource(
            ResourceType="Parameter", ResourceId="/tf/p", TagKeys=["team"]
        )
        asked = {"Value": "two", "AllowedPattern": "", "Tier": "Standard", "Overwrite": True}
        ssm.put_parameter(Name="/tf/p", Type="SecureString", **asked)

    def destroy(self) -> None:
        self.client("ssm").delete_parameter(Name="/tf/p")


class Api(Kind):
    """apigatewayv2/api.go, integration.go, route.go, stage.go"""

    name = "aws_apigatewayv2_api"
    gone = {"NotFoundException"}
    first = {"name": "one", "tags": TAGS}
    then = {"name": "two", "tags": {}}

    def create(self) -> None:
        api = self.client("apigatewayv2")
        self.id = api.create_api(Name="one", ProtocolType="HTTP", Tags=TAGS)["ApiId"]
        function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:tf-function"
        self.integration = api.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationMethod="POST",
            IntegrationUri=function,
            PayloadFormatVersion="2.0",
            ConnectionType="INTERNET",
        )["IntegrationId"]
        self.route = api.create_route(
            ApiId=self.id,
            RouteKey="GET /x",
            ApiKeyRequired=False,
            AuthorizationType="NONE",
            Target=f"integrations/{self.integration}",
        )["RouteId"]
        api.create_stage(ApiId=self.id, StageName="$default", AutoDeploy=True, Tags=TAGS)

    def read(self) -> dict[str, Any]:
        api, where = self.client("apigatewayv2"), {"ApiId": self.id}
        found = api.get_api(**where)
        parts = {
            "integration": api.get_integration(**where, IntegrationId=self.integration),
            "route": api.get_route(**where, RouteId=self.route),
            "stage": api.get_stage(**where, StageName="$default"),
        }
        for part in (found, *parts.values()):
            for member in ("ResponseMetadata", "CreatedDate", "LastUpdatedDate", "DeploymentId"):
                part.pop(member, None)
        return {"name": found["Name"], "tags": found.get("Tags", {}), "api": found, **parts}

    def update(self) -> None:
        api, where = self.client("apigatewayv2"), {"ApiId": self.id}
        api.update_api(**where, Name="two", Description="d")
        arn = f"arn:aws:apigateway:us-east-1::/apis/{self.id}"
        api.untag_resource(ResourceArn=arn, TagKeys=["team"])
        api.update_route(**where, RouteId=self.route, RouteKey="GET /y")
        api.update_stage(**where, StageName="$default", Description="d")
        api.update_integration(
            **where, IntegrationId=self.integration, TimeoutInMillis=1000, IntegrationMethod="POST"
        )

    def destroy(self) -> None:
        api, where = self.client("apigatewayv2"), {"ApiId": self.id}
        api.delete_stage(**where, StageName="$default")
        api.delete_route(**where, RouteId=self.route)
        api.delete_integration(**where, IntegrationId=self.integration)
        api.delete_api(**where)


class RestApi(Kind):
    """apigateway/rest_api.go, resource.go, method.go, integration.go, method_response.go, integration_response.go,
    deployment.go, stage.go, method_settings.go, usage_plan.go, api_key.go, usage_plan_key.go
    """

    name = "aws_api_gateway_rest_api"
    gone = {"NotFoundException"}
    first = {"name": "one", "tags": TAGS, "variables": {"a": "1"}}
    then = {"name": "two", "tags": {}, "variables": {"b": "2"}}

    def create(self) -> None:
        api = self.client("apigateway")
        made = api.create_rest_api(
            name="one", endpointConfiguration={"types": ["REGIONAL"]}, tags=TAGS,
            policy=allow("execute-api:Invoke", "execute-api:/*", Principal="*", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}),
        )  # fmt: skip
        self.id = made["id"]
        (root,) = [r for r in api.get_resources(restApiId=self.id)["items"] if r["path"] == "/"]
        where = {"restApiId": self.id}
        self.resource = api.create_resource(**where, parentId=root["id"], pathPart="pets")["id"]
        self.method = {**where, "resourceId": self.resource, "httpMethod": "GET"}
        api.put_method(
            **self.method,
            authorizationType="NONE",
            apiKeyRequired=True,
            requestParameters={},
            requestModels={},
        )
        api.put_integration(
            **self.method,
            type="MOCK",
            passthroughBehavior="WHEN_NO_MATCH",
            timeoutInMillis=29000,
            requestTemplates={"application/json": '{"statusCode": 200}'},
        )
        api.put_method_response(**self.method, statusCode="200", responseModels={})
        api.put_integration_response(
            **self.method, statusCode="200", responseTemplates={"application/json": ""}
        )
        self.deployment = api.create_deployment(**where)["id"]
        api.create_stage(
            **where, stageName="prod", deploymentId=self.deployment, variables={"a": "1"}, tracingEnabled=False
        )  # fmt: skip
        self.stage = {**where, "stageName": "prod"}
        api.update_stage(**self.stage, patchOperations=[
            {"op": "replace", "path": "/*/*/metrics/enabled", "value": "true"},
            {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "7"},
        ])  # fmt: skip
        stages = [{"apiId": self.id, "stage": "prod"}]
        self.plan = api.create_usage_plan(name="tf", apiStages=stages)["id"]
        self.key = api.create_api_key(name="tf", enabled=True)["id"]
        api.create_usage_plan_key(usagePlanId=self.plan, keyId=self.key, keyType="API_KEY")

    def read(self) -> dict[str, Any]:
        api, where = self.client("apigateway"), {"restApiId": self.id}
        found = api.get_rest_api(**where)
        # flattenAPIPolicy: it is read as the inside of a quoted text
        policy = json.loads(json.loads(f'"{found["policy"]}"'))
        assert policy["Statement"][0]["Resource"].endswith(f":{self.id}/*")
        parts = {
            "resource": api.get_resource(**where, resourceId=self.resource),
            "method": api.get_method(**self.method),
            "integration": api.get_integration(**self.method),
            "method_response": api.get_method_response(**self.method, statusCode="200"),
            "response": api.get_integration_response(**self.method, statusCode="200"),
            "deployment": api.get_deployment(**where, deploymentId=self.deployment),
            "stage": api.get_stage(**self.stage),
            "plan": api.get_usage_plan(usagePlanId=self.plan),
            "key": api.get_api_key(apiKey=self.key, includeValue=True),
            "plan_key": api.get_usage_plan_key(usagePlanId=self.plan, keyId=self.key),
        }
        assert parts["stage"]["methodSettings"]["*/*"]["throttlingRateLimit"] == 7.0
        for part in (found, *parts.values()):
            for member in ("ResponseMetadata", "createdDate", "lastUpdatedDate"):
                part.pop(member, None)
        state = {"name": found["name"], "tags": found["tags"]}
        return {**state, "variables": parts["stage"]["variables"], "api": found, **parts}

    def update(self) -> None:
        api, where = self.client("apigateway"), {"restApiId": self.id}
        replace = {"op": "replace"}
        api.update_rest_api(**where, patchOperations=[
            {**replace, "path": "/description", "value": "d"},
            {**replace, "path": "/endpointConfiguration/types/0", "value": "EDGE"},
            {"op": "add", "path": "/binaryMediaTypes/image~1png"},
            {**replace, "path": "/minimumCompressionSize", "value": "7"},
            {**replace, "path": "/name", "value": "two"},
        ])  # fmt: skip
        arn = f"arn:aws:apigateway:us-east-1::/restapis/{self.id}"
        api.untag_resource(resourceArn=arn, tagKeys=["team"])
        api.update_method(
            **self.method,
            patchOperations=[{**replace, "path": "/apiKeyRequired", "value": "false"}],
        )
        self.deployment = api.create_deployment(**where)["id"]
        api.update_stage(**self.stage, patchOperations=[
            {**replace, "path": "/deploymentId", "value": self.deployment},
            {"op": "remove", "path": "/variables/a"},
            {**replace, "path": "/variables/b", "value": "2"},
        ])  # fmt: skip
        place = f"{self.id}:prod"
        api.update_usage_plan(usagePlanId=self.plan, patchOperations=[
            {"op": "remove", "path": "/apiStages", "value": place},
            {"op": "add", "path": "/apiStages", "value": place},
            {**replace, "path": f"/apiStages/{place}/throttle//pets/GET/rateLimit", "value": "3"},
            {**replace, "path": f"/apiStages/{place}/throttle//pets/GET/burstLimit", "value": "4"},
            {"op": "add", "path": "/quota/limit", "value": "9"},
            {"op": "add", "path": "/quota/offset", "value": "0"},
            {"op": "add", "path": "/quota/period", "value": "DAY"},
        ])  # fmt: skip
        (stage,) = api.get_usage_plan(usagePlanId=self.plan)["apiStages"]
        assert stage["throttle"] == {"/pets/GET": {"rateLimit": 3.0, "burstLimit": 4}}

    def destroy(self) -> None:
        api, where = self.client("apigateway"), {"restApiId": self.id}
        api.delete_usage_plan_key(usagePlanId=self.plan, keyId=self.key)
        api.delete_api_key(apiKey=self.key)
        remove = {"op": "remove", "path": "/apiStages", "value": f"{self.id}:prod"}
        api.update_usage_plan(usagePlanId=self.plan, patchOperations=[remove])
        api.delete_usage_plan(usagePlanId=self.plan)
        api.update_stage(**self.stage, patchOperations=[{"op": "remove", "path": "/*/*"}])
        api.delete_stage(**self.stage)
        api.delete_deployment(**where, deploymentId=self.deployment)
        api.delete_integration_response(**self.method, statusCode="200")
        api.delete_method_response(**self.method, statusCode="200")
        api.delete_integration(**self.method)
        api.delete_method(**self.method)
        api.delete_resource(**where, resourceId=self.resource)
        api.delete_rest_api(**where)


class Stack(Kind):
    """cloudformation/stack.go (everything by the stack's id; what failed is looked for among the events by the request's token)"""

    name = "aws_cloudformation_stack"
    gone = {"none"}
    first = {"days": "1", "outputs": "1", "tags": LISTED}
    then = {"days": "3", "outputs": "3", "tags": []}
    text = json.dumps(
        {
            "Parameters": {"Days": {"Type": "Number", "Default": 1}},
            "Resources": {
                "G": {
                    "Type": "AWS::Logs::LogGroup",
                    "Properties": {"RetentionInDays": {"Ref": "Days"}},
                }
            },
            "Outputs": {"Days": {"Value": {"Ref": "Days"}}},
        }
    )

    def create(self) -> None:
        self.id = self.client("cloudformation").create_stack(
            StackName="tf-stack",
            TemplateBody=self.text,
            ClientRequestToken="terraform-1",
            Tags=LISTED,
        )["StackId"]
        self.settle("CREATE_COMPLETE")

    def found(self) -> dict[str, Any]:
        return self.client("cloudformation").describe_stacks(StackName=self.id)["Stacks"][0]

    def settle(self, status: str) -> None:
        until(lambda: self.found()["StackStatus"], status)

    def read(self) -> dict[str, Any]:
        found = self.found()
        if found["StackStatus"] == "DELETE_COMPLETE":
            raise ClientError({"Error": {"Code": "none"}}, "DescribeStacks")
        text = self.client("cloudformation").get_template(
            StackName=self.id, TemplateStage="Original"
        )["TemplateBody"]
        body = text if isinstance(text, dict) else json.loads(text)
        assert body == json.loads(self.text)
        return {
            "days": found["Parameters"][0]["ParameterValue"],
            "outputs": found["Outputs"][0]["OutputValue"],
            "tags": found.get("Tags", []),
            "rest": (found.get("Capabilities"), found["DisableRollback"], found.get("RoleARN")),
        }

    def update(self) -> None:
        self.client("cloudformation").update_stack(
            StackName=self.id,
            TemplateBody=self.text,
            Parameters=[{"ParameterKey": "Days", "ParameterValue": "3"}],
            ClientRequestToken="terraform-2",
            Tags=[],
        )
        self.settle("UPDATE_COMPLETE")
        pages = self.client("cloudformation").get_paginator("describe_stack_events")
        events = [e for page in pages.paginate(StackName=self.id) for e in page["StackEvents"]]
        tokens = {e["ClientRequestToken"] for e in events}
        assert tokens == {"terraform-1", "terraform-2"}

    def destroy(self) -> None:
        self.client("cloudformation").delete_stack(
            StackName=self.id, ClientRequestToken="terraform-3"
        )
        self.settle("DELETE_COMPLETE")


class Alarm(Kind):
    """cloudwatch/metric_alarm.go"""

    name = "aws_cloudwatch_metric_alarm"
    gone = {"none"}
    first = {"threshold": 1.0, "tags": LISTED}
    then = {"threshold": 2.0, "tags": LISTED}
    asked = {
        "AlarmName": "tf-alarm",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "EvaluationPeriods": 2,
        "MetricName": "m",
        "Namespace": "n",
        "Period": 60,
        "Statistic": "Average",
        "ActionsEnabled": True,
        "TreatMissingData": "missing",
        "Dimensions": [{"Name": "d", "Value": "v"}],
    }

    def create(self) -> None:
        self.client("cloudwatch").put_metric_alarm(**self.asked, Threshold=1.0, Tags=LISTED)

    def read(self) -> dict[str, Any]:
        cloudwatch = self.client("cloudwatch")
        found = cloudwatch.describe_alarms(AlarmNames=["tf-alarm"], AlarmTypes=["MetricAlarm"])
        if not found["MetricAlarms"]:
            raise ClientError({"Error": {"Code": "none"}}, "DescribeAlarms")
        alarm = found["MetricAlarms"][0]
        assert {key: alarm[key] for key in self.asked} == self.asked
        return {
            "threshold": alarm["Threshold"],
            "actions": [alarm.get(k) for k in ("AlarmActions", "OKActions", "InsufficientDataActions")],
            "tags": cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"],
        }  # fmt: skip

    def update(self) -> None:
        self.client("cloudwatch").put_metric_alarm(**self.asked, Threshold=2.0)

    def destroy(self) -> None:
        self.client("cloudwatch").delete_alarms(AlarmNames=["tf-alarm"])


class Catalog(Kind):
    """glue/catalog_database.go, catalog_table.go (asks for partition indexes each time)"""

    name = "aws_glue_catalog_table"
    gone = {"EntityNotFoundException"}
    first = {"description": "one", "indexes": []}
    then = {"description": "two", "indexes": []}

    def table(self, description: str) -> dict[str, Any]:
        return {
            "Name": "tf_table",
            "Description": description,
            "TableType": "EXTERNAL_TABLE",
            "Retention": 0,
            "Parameters": {"EXTERNAL": "TRUE"},
            "PartitionKeys": [{"Name": "day", "Type": "string"}],
            "StorageDescriptor": {
                "Columns": [{"Name": "a", "Type": "int"}],
                "Location": "s3://b/t",
                "NumberOfBuckets": 0,
                "StoredAsSubDirectories": False,
            },
        }

    def create(self) -> None:
        glue = self.client("glue")
        glue.create_database(
            CatalogId=ACCOUNT, DatabaseInput={"Name": "tf_db", "Description": "d"}, Tags=TAGS
        )
        glue.create_table(CatalogId=ACCOUNT, DatabaseName="tf_db", TableInput=self.table("one"))

    def read(self) -> dict[str, Any]:
        glue = self.client("glue")
        database = glue.get_database(CatalogId=ACCOUNT, Name="tf_db")["Database"]
        arn = f"arn:aws:glue:us-east-1:{ACCOUNT}:database/tf_db"
        assert glue.get_tags(ResourceArn=arn)["Tags"] == TAGS
        found = glue.get_table(CatalogId=ACCOUNT, DatabaseName="tf_db", Name="tf_table")["Table"]
        indexes = glue.get_partition_indexes(
            CatalogId=ACCOUNT, DatabaseName="tf_db", TableName="tf_table"
        )["PartitionIndexDescriptorList"]
        asked = self.table(found["Description"])
        assert {key: found[key] for key in asked} == asked
        return {
            "description": found["Description"],
            "indexes": indexes,
            "database": (database["Description"], database.get("LocationUri")),
        }

    def update(self) -> None:
        self.client("glue").update_table(
            CatalogId=ACCOUNT, DatabaseName="tf_db", TableInput=self.table("two"), SkipArchive=True
        )

    def destroy(self) -> None:
        glue = self.client("glue")
        glue.delete_table(CatalogId=ACCOUNT, DatabaseName="tf_db", Name="tf_table")
        glue.delete_database(CatalogId=ACCOUNT, Name="tf_db")


class Lake(Kind):
    """s3tables/table_bucket.go, namespace.go, table.go (maintenance is read each time), s3/bucket_metadata_configuration.go"""

    name = "aws_s3tables_table"
    gone = {"NotFoundException"}
    arn = f"arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/tf-lake"
    first = {
        "name": "t",
        "namespace": "raw",
        "keep": 1,
        "days": 3,
        "tags": TAGS,
        "expires": "ENABLED",
    }
    then = {
        "name": "u",
        "namespace": "raw",
        "keep": 2,
        "days": 5,
        "tags": {},
        "expires": "DISABLED",
    }

    def place(self) -> dict[str, Any]:
        return {"tableBucketARN": self.arn, "namespace": "raw", "name": self.made["name"]}

    def create(self) -> None:
        tables, s3 = self.client("s3tables"), self.client("s3")
        assert tables.create_table_bucket(name="tf-lake", tags=TAGS)["arn"] == self.arn
        tables.create_namespace(tableBucketARN=self.arn, namespace=["raw"])
        self.made["name"] = "t"
        fields = [{"name": "id", "type": "long", "required": True}]
        iceberg = {"schema": {"fields": fields}}
        tables.create_table(**self.place(), format="ICEBERG", metadata={"iceberg": iceberg})
        s3.create_bucket(Bucket="tf-told")
        s3.create_bucket_metadata_configuration(
            Bucket="tf-told",
            MetadataConfiguration={
                "JournalTableConfiguration": {
                    "RecordExpiration": {"Expiration": "ENABLED", "Days": 7}
                },
                "InventoryTableConfiguration": {"ConfigurationState": "DISABLED"},
            },
        )
        until(lambda: self.told()["JournalTableConfigurationResult"]["TableStatus"], "ACTIVE")

    def told(self) -> dict[str, Any]:
        answer = self.client("s3").get_bucket_metadata_configuration(Bucket="tf-told")
        return answer["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]

    def read(self) -> dict[str, Any]:
        tables = self.client("s3tables")
        bucket = tables.get_table_bucket(tableBucketARN=self.arn)
        kept = tables.get_table_bucket_maintenance_configuration(tableBucketARN=self.arn)
        removal = kept["configuration"]["icebergUnreferencedFileRemoval"]
        tables.get_table_bucket_encryption(tableBucketARN=self.arn)
        tables.get_namespace(tableBucketARN=self.arn, namespace="raw")
        table = tables.get_table(**self.place())
        upkeep = tables.get_table_maintenance_configuration(**self.place())["configuration"]
        snapshots = upkeep["icebergSnapshotManagement"]["settings"]["icebergSnapshotManagement"]
        encryption = tables.get_table_encryption(**self.place())
        told = self.told()
        return {
            "name": table["name"],
            "namespace": table["namespace"][0],
            "keep": snapshots["minSnapshotsToKeep"],
            "days": removal["settings"]["icebergUnreferencedFileRemoval"]["unreferencedDays"],
            "tags": tables.list_tags_for_resource(resourceArn=self.arn)["tags"],
            "expires": told["JournalTableConfigurationResult"]["RecordExpiration"]["Expiration"],
            "else": (bucket["createdAt"], table["versionToken"], table["warehouseLocation"], encryption["encryptionConfiguration"], told["DestinationResult"]),
        }  # fmt: skip

    def update(self) -> None:
        tables = self.client("s3tables")
        tables.put_table_bucket_maintenance_configuration(
            tableBucketARN=self.arn, type="icebergUnreferencedFileRemoval",
            value={"status": "enabled", "settings": {"icebergUnreferencedFileRemoval": {"unreferencedDays": 5, "nonCurrentDays": 10}}},
        )  # fmt: skip
        tables.untag_resource(resourceArn=self.arn, tagKeys=list(TAGS))
        tables.rename_table(**self.place(), newName="u")
        self.made["name"] = "u"
        tables.put_table_maintenance_configuration(
            **self.place(), type="icebergSnapshotManagement",
            value={"status": "enabled", "settings": {"icebergSnapshotManagement": {"minSnapshotsToKeep": 2, "maxSnapshotAgeHours": 120}}},
        )  # fmt: skip
        self.client("s3").update_bucket_metadata_journal_table_configuration(
            Bucket="tf-told",
            JournalTableConfiguration={"RecordExpiration": {"Expiration": "DISABLED"}},
        )

    def destroy(self) -> None:
        tables, s3 = self.client("s3tables"), self.client("s3")
        s3.delete_bucket_metadata_configuration(Bucket="tf-told")
        s3.delete_bucket(Bucket="tf-told")
        tables.delete_table(**self.place())
        tables.delete_namespace(tableBucketARN=self.arn, namespace="raw")
        tables.delete_table_bucket(tableBucketARN=self.arn)


KINDS = [
    Bucket, Table, Queue, Topic, Role, User, Function, Group, Rule, Schedule, Pipe, Stream, Firehose, Key, Secret, Parameter, Api, RestApi,
    Stack, Alarm, Catalog, Lake,
]  # fmt: skip


@pytest.mark.timeout(900)
def test_a_plan_is_empty_after_every_apply_and_destroy_leaves_nothing(
    platform: Any, client: Any
) -> None:
    """Every kind in one account, as one configuration would have them."""
    known: dict[str, Any] = {}

    def cached(service: str) -> Any:
        if service not in known:
            name, _, how = service.partition(" ")
            known[service] = client(name, signature_version=UNSIGNED) if how else client(name)
        return known[service]

    assert cached("sts").get_caller_identity()["Account"] == ACCOUNT
    made = [kind(cached, {}) for kind in KINDS]
    for one in made:
        one.create()
    for one in made:
        refreshed = one.read()
        assert one.read() == refreshed, one.name
        for key, value in one.first.items():
            assert refreshed[key] == value, (one.name, key)
    advance(platform, 3601)  # a table's time to live changes once an hour
    for one in made:
        one.update()
    for one in made:
        refreshed = one.read()
        assert one.read() == refreshed, one.name
        for key, value in one.then.items():
            assert refreshed[key] == value, (one.name, key)
    for one in made:
        one.destroy()
    for one in made:
        with pytest.raises(ClientError) as caught:
            one.read()
        assert caught.value.response["Error"]["Code"] in one.gone, one.name
