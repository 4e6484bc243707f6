"""DynamoDB: tables and global tables."""

from __future__ import annotations

from typing import Any

from makers import R, allow, att, key_policy, made, ref, sub, table, tags

ROOT = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
KEYS = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
}
LOCAL = {
    "IndexName": "local",
    "KeySchema": KEYS["KeySchema"],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]},
}


def policy(action: str) -> dict[str, Any]:
    return {"PolicyDocument": allow(action, "*", Principal=ROOT)}


def index(**more: Any) -> dict[str, Any]:
    return {
        "IndexName": "global",
        "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "b"]},
        **more,
    }


made(
    "dynamodb-table-on-demand-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Other=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Out=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Table=R(
        "AWS::DynamoDB::Table",
        *(
            {
                **KEYS,
                "BillingMode": "PAY_PER_REQUEST",
                "ContributorInsightsSpecification": {"Enabled": False} if n < 3 else None,
                "GlobalSecondaryIndexes": [
                    index(
                        ContributorInsightsSpecification={"Enabled": False},
                        OnDemandThroughput={"MaxReadRequestUnits": n, "MaxWriteRequestUnits": n},
                        WarmThroughput={"ReadUnitsPerSecond": warm, "WriteUnitsPerSecond": warm},
                    )
                ],
                "LocalSecondaryIndexes": [LOCAL],
                "KinesisStreamSpecification": {
                    "StreamArn": att("Out", "Arn"),
                    "ApproximateCreationDateTimePrecision": "MICROSECOND" if n == 2 else "MILLISECOND",
                },
                "OnDemandThroughput": {"MaxReadRequestUnits": 10 * n, "MaxWriteRequestUnits": n},
                "PointInTimeRecoverySpecification": {
                    "PointInTimeRecoveryEnabled": True,
                    "RecoveryPeriodInDays": n,
                },
                "ResourcePolicy": policy("dynamodb:GetItem" if n == 2 else "dynamodb:Query"),
                "StreamSpecification": {
                    "StreamViewType": "NEW_IMAGE" if n == 1 else "OLD_IMAGE",
                    "ResourcePolicy": policy("dynamodb:GetRecords" if n == 2 else "dynamodb:DescribeStream"),
                },
                "WarmThroughput": {"ReadUnitsPerSecond": warm, "WriteUnitsPerSecond": warm},
            }
            for n, warm in ((1, 12_000), (2, 13_000), (3, 13_000))
        ),
    ),
    Sealed=table(
        {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": ref("Key")}},
        {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": ref("Other")}},
        {"SSESpecification": {"SSEEnabled": False}},
    ),
)  # fmt: skip
made(
    "dynamodb-table-provisioned-whole",
    Table=R(
        "AWS::DynamoDB::Table",
        *(
            {
                **KEYS,
                "ProvisionedThroughput": {"ReadCapacityUnits": n, "WriteCapacityUnits": n},
                "GlobalSecondaryIndexes": [
                    index(
                        ProvisionedThroughput={"ReadCapacityUnits": n, "WriteCapacityUnits": 4 - n}
                    )
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
)
made(
    "dynamodb-table-of-a-file",
    Table=table(
        {
            "ImportSourceSpecification": {
                "InputCompressionType": "NONE",
                "InputFormat": "CSV",
                "InputFormatOptions": {"Csv": {"Delimiter": ",", "HeaderList": ["pk", "n"]}},
                "S3BucketSource": {
                    "S3Bucket": "corpus-code",
                    "S3BucketOwner": ref("AWS::AccountId"),
                    "S3KeyPrefix": "import.csv",
                },
            }
        },
        {"Tags": tags(a="1")},
        {"Tags": tags(b="1")},
    ),
)
made(
    "dynamodb-global-table-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Other=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Out=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Table=R(
        "AWS::DynamoDB::GlobalTable",
        *(
            {
                **KEYS,
                "TableName": "corpus-global",
                "BillingMode": "PAY_PER_REQUEST",
                "MultiRegionConsistency": "EVENTUAL" if n < 3 else None,
                "GlobalSecondaryIndexes": [
                    index(
                        ReadOnDemandThroughputSettings={"MaxReadRequestUnits": n},
                        WriteOnDemandThroughputSettings={"MaxWriteRequestUnits": n},
                        WarmThroughput={"ReadUnitsPerSecond": warm, "WriteUnitsPerSecond": warm},
                    )
                ],
                "LocalSecondaryIndexes": [LOCAL],
                "ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": n},
                "WriteOnDemandThroughputSettings": {"MaxWriteRequestUnits": n},
                "WarmThroughput": {"ReadUnitsPerSecond": warm, "WriteUnitsPerSecond": warm},
                "StreamSpecification": {"StreamViewType": "NEW_IMAGE" if n == 2 else "OLD_IMAGE"},
                "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"} if n < 3 else {"SSEEnabled": False},
                "Replicas": [
                    {
                        "Region": ref("AWS::Region"),
                        "ContributorInsightsSpecification": {"Enabled": False},
                        "DisassociationProtectionEnabled": False,
                        "KinesisStreamSpecification": {
                            "StreamArn": att("Out", "Arn"),
                            "ApproximateCreationDateTimePrecision": "MICROSECOND" if n == 2 else "MILLISECOND",
                        },
                        "PointInTimeRecoverySpecification": {
                            "PointInTimeRecoveryEnabled": True,
                            "RecoveryPeriodInDays": n,
                        },
                        "ResourcePolicy": policy("dynamodb:GetItem" if n == 2 else "dynamodb:Query"),
                        **({"SSESpecification": {"KMSMasterKeyId": att("Key" if n == 1 else "Other", "Arn")}} if n < 3 else {}),
                        "TableClass": "STANDARD_INFREQUENT_ACCESS" if n == 2 else "STANDARD",
                        "Tags": tags(a=str(n)),
                    }
                ],
            }
            for n, warm in ((1, 12_000), (2, 13_000), (3, 13_000))
        ),
    ),
    Attributes=R(
        "AWS::DynamoDB::GlobalTable",
        {
            "AttributeDefinitions": KEYS["AttributeDefinitions"][:1],
            "KeySchema": KEYS["KeySchema"][:1],
            "BillingMode": "PAY_PER_REQUEST",
            "Replicas": [{"Region": ref("AWS::Region")}],
        },
        {
            "AttributeDefinitions": KEYS["AttributeDefinitions"],
            "GlobalSecondaryIndexes": [index()],
        },
    ),
)  # fmt: skip


def scaled(n: int) -> dict[str, Any]:
    return {
        "MinCapacity": n,
        "MaxCapacity": 10 * n,
        "SeedCapacity": n,
        "TargetTrackingScalingPolicyConfiguration": {
            "DisableScaleIn": n == 2,
            "ScaleInCooldown": n,
            "ScaleOutCooldown": n,
            "TargetValue": 50 + n,
        },
    }


def reads(n: int) -> dict[str, Any]:
    return {"ReadProvisionedThroughputSettings": {"ReadCapacityAutoScalingSettings": scaled(n)}}


def fixed(n: int) -> dict[str, Any]:
    return {"ReadProvisionedThroughputSettings": {"ReadCapacityUnits": n}}


def writes(n: int) -> dict[str, Any]:
    return {"WriteProvisionedThroughputSettings": {"WriteCapacityAutoScalingSettings": scaled(n)}}


def limit(n: int) -> dict[str, Any]:
    return {"ReadOnDemandThroughputSettings": {"MaxReadRequestUnits": n}}


made(
    "dynamodb-global-table-scaled",
    Table=R(
        "AWS::DynamoDB::GlobalTable",
        *(
            {
                **KEYS,
                "BillingMode": "PROVISIONED",
                **writes(n),
                **fixed(n),
                "GlobalSecondaryIndexes": [index(**writes(n), **fixed(n))],
                "Replicas": [
                    {
                        "Region": ref("AWS::Region"),
                        **(reads(n) if n != 2 else fixed(n)),
                        "GlobalSecondaryIndexes": [
                            {
                                "IndexName": "global",
                                "ContributorInsightsSpecification": {"Enabled": False},
                                **(reads(n) if n != 2 else fixed(n)),
                            }
                        ],
                    }
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
    Plainly=R(
        "AWS::DynamoDB::GlobalTable",
        {
            "AttributeDefinitions": KEYS["AttributeDefinitions"][:1],
            "KeySchema": KEYS["KeySchema"][:1],
            "BillingMode": "PROVISIONED",
            **writes(1),
            **fixed(1),
            "Replicas": [{"Region": ref("AWS::Region")}],
        },
        {
            "BillingMode": "PAY_PER_REQUEST",
            **dict.fromkeys((*writes(1), *fixed(1))),
        },
    ),
    Everywhere=R(
        "AWS::DynamoDB::GlobalTable",
        *(
            {
                **KEYS,
                "BillingMode": "PAY_PER_REQUEST",
                "GlobalSecondaryIndexes": [index()],
                "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
                "Replicas": [
                    {
                        "Region": ref("AWS::Region"),
                        "ReplicaStreamSpecification": {"ResourcePolicy": policy("dynamodb:GetRecords" if n == 2 else "dynamodb:DescribeStream")},
                    },
                    {
                        "Region": "eu-west-1",
                        **limit(n),
                        "GlobalSecondaryIndexes": [{"IndexName": "global", **limit(n)}],
                    },
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
)  # fmt: skip
made(
    "dynamodb-global-table-strong",
    Table=R(
        "AWS::DynamoDB::GlobalTable",
        *(
            {
                "AttributeDefinitions": KEYS["AttributeDefinitions"][:1],
                "KeySchema": KEYS["KeySchema"][:1],
                "BillingMode": "PAY_PER_REQUEST",
                "MultiRegionConsistency": "STRONG",
                "GlobalTableWitnesses": [{"Region": "us-west-2"}],
                "Replicas": [
                    {"Region": ref("AWS::Region"), "Tags": tags(a=str(n))},
                    {"Region": "us-east-2"},
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
)
