"""S3: buckets, their policies, access points."""

from __future__ import annotations

from typing import Any

from makers import R, allow, att, function, key_policy, made, ref, role, sub, tags

ROOT = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
LOGS = R("AWS::S3::Bucket", {"AccessControl": "LogDeliveryWrite", "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}})  # fmt: skip
TAGGED = [{"Key": "k", "Value": "v"}]
made(
    "s3-bucket-basics-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "BucketNamePrefix": "corpus-basics",
                "BucketNamespace": "global",
                "AbacStatus": abac,
                "AccessControl": acl,
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {
                            "BlockedEncryptionTypes": {"EncryptionType": [blocked]},
                            "BucketKeyEnabled": abac == "Enabled",
                            "ServerSideEncryptionByDefault": {
                                "SSEAlgorithm": "aws:kms",
                                "KMSMasterKeyID": att("Key", "Arn"),
                            },
                        }
                    ]
                },
                "CorsConfiguration": {
                    "CorsRules": [
                        {
                            "Id": acl,
                            "AllowedHeaders": ["*"],
                            "AllowedMethods": ["GET"],
                            "AllowedOrigins": ["https://example.com"],
                            "ExposedHeaders": [f"x-{acl}"],
                            "MaxAge": len(acl),
                        }
                    ]
                },
                "VersioningConfiguration": {"Status": "Enabled" if abac == "Enabled" else "Suspended"},
            }
            for abac, acl, blocked in (
                ("Disabled", "BucketOwnerRead", "SSE-C"),
                ("Enabled", "BucketOwnerFullControl", "NONE"),
                ("Disabled", "Private", "SSE-C"),
            )
        ),
    ),
)  # fmt: skip
made(
    "s3-bucket-of-the-account",
    Bucket=R(
        "AWS::S3::Bucket",
        {"BucketNamespace": "account-regional", "BucketNamePrefix": "corpus-own"},
        {"Tags": tags(a="1")},
        {"BucketNamePrefix": "corpus-mine"},
    ),
)
made(
    "s3-bucket-lifecycle-whole",
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "VersioningConfiguration": {"Status": "Enabled"},
                "LifecycleConfiguration": {
                    "TransitionDefaultMinimumObjectSize": size,
                    "Rules": [
                        {
                            "Id": "ages",
                            "Status": "Enabled",
                            "Prefix": "logs/",
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": n},
                            "ExpirationInDays": 400 + n,
                            "NoncurrentVersionExpiration": {
                                "NewerNoncurrentVersions": n,
                                "NoncurrentDays": 200 + n,
                            },
                            "NoncurrentVersionTransitions": [
                                {
                                    "NewerNoncurrentVersions": n,
                                    "StorageClass": "STANDARD_IA",
                                    "TransitionInDays": 30 + n,
                                }
                            ],
                            "Transitions": [
                                {"StorageClass": "STANDARD_IA", "TransitionInDays": 30 + n},
                                {"StorageClass": "GLACIER", "TransitionInDays": 90 + n},
                            ],
                        },
                        {
                            "Id": "dates",
                            "Status": "Enabled",
                            "Prefix": "dated/",
                            "Transitions": [
                                {
                                    "StorageClass": "STANDARD_IA",
                                    "TransitionDate": f"208{n}-01-01T00:00:00Z",
                                }
                            ],
                        },
                        {
                            "Id": "older-word",
                            "Status": "Enabled",
                            "Prefix": "cold/",
                            "Transition": {"StorageClass": "Glacier", "TransitionInDays": n},
                        },
                        {
                            "Id": "sizes",
                            "Status": "Disabled",
                            "ObjectSizeGreaterThan": str(n),
                            "ObjectSizeLessThan": str(1000 + n),
                            "TagFilters": [{"Key": "k", "Value": str(n)}],
                            "ExpirationDate": f"209{n}-01-01T00:00:00Z",
                            "Transition": {
                                "StorageClass": "GLACIER",
                                "TransitionDate": f"208{n}-01-01T00:00:00Z",
                            },
                        },
                        {
                            "Id": "older",
                            "Status": "Enabled",
                            "ExpiredObjectDeleteMarker": True,
                            "NoncurrentVersionExpirationInDays": 100 + n,
                            "NoncurrentVersionTransition": {
                                "StorageClass": "GLACIER",
                                "TransitionInDays": 10 + n,
                                "NewerNoncurrentVersions": n,
                            },
                        },
                    ],
                },
            }
            for n, size in (
                (1, "varies_by_storage_class"),
                (2, "all_storage_classes_128K"),
                (3, "varies_by_storage_class"),
            )
        ),
    ),
)
made(
    "s3-bucket-reports-whole",
    Reports=LOGS,
    Other=LOGS,
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "AnalyticsConfigurations": [
                    {
                        "Id": "a",
                        "Prefix": f"p{n}/",
                        "TagFilters": TAGGED,
                        "StorageClassAnalysis": {
                            "DataExport": {
                                "OutputSchemaVersion": "V_1",
                                "Destination": {
                                    "BucketArn": att("Reports", "Arn"),
                                    "BucketAccountId": ref("AWS::AccountId"),
                                    "Format": "CSV",
                                    "Prefix": f"ages/{n}",
                                },
                            }
                        },
                    },
                    {"Id": "b", "StorageClassAnalysis": {}},
                ],
                "IntelligentTieringConfigurations": [
                    {
                        "Id": "t",
                        "Prefix": f"p{n}/",
                        "Status": "Enabled",
                        "TagFilters": TAGGED,
                        "Tierings": [{"AccessTier": "ARCHIVE_ACCESS", "Days": 90 + n}],
                    }
                ],
                "InventoryConfigurations": [
                    {
                        "Id": "i",
                        "Enabled": n != 2,
                        "Prefix": f"p{n}/",
                        "IncludedObjectVersions": "Current" if n == 2 else "All",
                        "OptionalFields": ["Size", "ETag"][: 2 if n == 2 else 1],
                        "ScheduleFrequency": "Weekly" if n == 2 else "Daily",
                        "Destination": {
                            "BucketArn": att("Reports", "Arn"),
                            "BucketAccountId": ref("AWS::AccountId"),
                            "Format": "CSV",
                            "Prefix": f"inventory/{n}",
                        },
                    }
                ],
                "MetricsConfigurations": [
                    {"Id": "m", "Prefix": f"p{n}/", "TagFilters": TAGGED},
                    {"Id": "p", "AccessPointArn": sub("arn:${AWS::Partition}:s3:${AWS::Region}:${AWS::AccountId}:accesspoint/corpus-" + str(n))},
                ],
                "LoggingConfiguration": {
                    "DestinationBucketName": ref(target),
                    "LogFilePrefix": f"logs/{n}/",
                    "TargetObjectKeyFormat": how,
                },
            }
            for n, target, how in (
                (1, "Reports", {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}),
                (2, "Other", {"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}}),
                (3, "Reports", {"SimplePrefix": {}}),
            )
        ),
    ),
)  # fmt: skip
FILTER = {"S3Key": {"Rules": [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".csv"}]}}  # fmt: skip
made(
    "s3-bucket-notifications-whole",
    Role=role(),
    Function=function(),
    Permission=R(
        "AWS::Lambda::Permission",
        {
            "FunctionName": ref("Function"),
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
            "SourceAccount": ref("AWS::AccountId"),
        },
    ),
    Queue=R("AWS::SQS::Queue"),
    QueuePolicy=R(
        "AWS::SQS::QueuePolicy",
        {
            "Queues": [ref("Queue")],
            "PolicyDocument": allow("sqs:SendMessage", att("Queue", "Arn"), Principal={"Service": "s3.amazonaws.com"}),
        },
    ),
    Topic=R("AWS::SNS::Topic"),
    TopicPolicy=R(
        "AWS::SNS::TopicPolicy",
        {
            "Topics": [ref("Topic")],
            "PolicyDocument": allow("sns:Publish", ref("Topic"), Principal={"Service": "s3.amazonaws.com"}),
        },
    ),
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "NotificationConfiguration": {
                    "EventBridgeConfiguration": {"EventBridgeEnabled": True},
                    "LambdaConfigurations": [
                        {"Event": event, "Function": att("Function", "Arn"), "Filter": FILTER}
                    ],
                    "QueueConfigurations": [
                        {"Event": "s3:ObjectRemoved:*", "Queue": att("Queue", "Arn"), "Filter": FILTER}
                    ],
                    "TopicConfigurations": [
                        {"Event": "s3:ObjectTagging:*", "Topic": ref("Topic"), "Filter": FILTER}
                    ],
                }
            }
            for event in ("s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post")
        ),
        DependsOn=["Permission", "QueuePolicy", "TopicPolicy"],
    ),
)  # fmt: skip
made(
    "s3-bucket-lock-whole",
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "ObjectLockEnabled": True,
                "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled", **rule},
            }
            for rule in (
                {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1, "DefaultEventHold": {"Days": 30}}}},
                {"Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1, "DefaultEventHold": {"Years": 2}}}},
                {},
            )
        ),
    ),
)  # fmt: skip
made(
    "s3-bucket-replicated-whole",
    Role=role("s3.amazonaws.com"),
    Other=role("s3.amazonaws.com"),
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Copy=R("AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled"}}),
    Bucket=R(
        "AWS::S3::Bucket",
        *(
            {
                "VersioningConfiguration": {"Status": "Enabled"},
                "ReplicationConfiguration": {
                    "Role": att(boss, "Arn"),
                    "Rules": [
                        {
                            "Id": "some",
                            "Priority": n,
                            "Status": "Disabled" if n == 2 else "Enabled",
                            "DeleteMarkerReplication": {"Status": "Disabled"},
                            "Filter": {"And": {"Prefix": f"p{n}/", "TagFilters": TAGGED}},
                            "SourceSelectionCriteria": {
                                "ReplicaModifications": {"Status": "Enabled"},
                                "SseKmsEncryptedObjects": {"Status": "Enabled"},
                            },
                            "Destination": {
                                "AccessControlTranslation": {"Owner": "Destination"},
                                "Account": ref("AWS::AccountId"),
                                "Bucket": att("Copy", "Arn"),
                                "EncryptionConfiguration": {"ReplicaKmsKeyID": att("Key", "Arn")},
                                "Metrics": {"EventThreshold": {"Minutes": 15}, "Status": "Enabled"},
                                "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                                "StorageClass": "STANDARD_IA",
                            },
                        },
                        {
                            "Id": "tagged",
                            "Priority": 10 + n,
                            "Status": "Enabled",
                            "DeleteMarkerReplication": {"Status": "Disabled"},
                            "Filter": {"TagFilter": {"Key": "k", "Value": str(n)}},
                            "Destination": {"Bucket": att("Copy", "Arn")},
                        },
                        {
                            "Id": "prefixed",
                            "Priority": 20 + n,
                            "Status": "Enabled",
                            "DeleteMarkerReplication": {"Status": "Enabled"},
                            "Filter": {"Prefix": f"q{n}/"},
                            "Destination": {"Bucket": att("Copy", "Arn")},
                        },
                    ],
                },
            }
            for n, boss in ((1, "Role"), (2, "Other"), (3, "Role"))
        ),
    ),
    Older=R(
        "AWS::S3::Bucket",
        *(
            {
                "VersioningConfiguration": {"Status": "Enabled"},
                "ReplicationConfiguration": {
                    "Role": att("Role", "Arn"),
                    "Rules": [
                        {"Prefix": prefix, "Status": "Enabled", "Destination": {"Bucket": att("Copy", "Arn")}}
                    ],
                },
            }
            for prefix in "abc"
        ),
    ),
)  # fmt: skip


def routing(n: int) -> list[dict[str, Any]]:
    return [
        {
            "RoutingRuleCondition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": f"a{n}/"},
            "RedirectRule": {
                "HostName": f"{n}.example.com",
                "HttpRedirectCode": "302",
                "Protocol": "https",
                "ReplaceKeyPrefixWith": f"b{n}/",
            },
        },
        {
            "RoutingRuleCondition": {"KeyPrefixEquals": f"c{n}/"},
            "RedirectRule": {"ReplaceKeyWith": f"gone{n}.html"},
        },
    ]  # fmt: skip


made(
    "s3-bucket-website-whole",
    Bucket=R(
        "AWS::S3::Bucket",
        {"WebsiteConfiguration": {"IndexDocument": "index.html", "ErrorDocument": "error.html", "RoutingRules": routing(1)}},
        {"WebsiteConfiguration": {"IndexDocument": "home.html", "ErrorDocument": "oops.html", "RoutingRules": routing(2)}},
        {"WebsiteConfiguration": {"RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "https"}}},
    ),
)  # fmt: skip


def point_policy(action: str) -> dict[str, Any]:
    return allow(
        action,
        sub("arn:${AWS::Partition}:s3:${AWS::Region}:${AWS::AccountId}:accesspoint/corpus-whole/object/*"),
        Principal=ROOT,
    )  # fmt: skip


made(
    "s3-access-point-whole",
    Bucket=R("AWS::S3::Bucket"),
    Point=R(
        "AWS::S3::AccessPoint",
        *(
            {
                "Bucket": ref("Bucket"),
                "BucketAccountId": ref("AWS::AccountId"),
                "Name": "corpus-whole",
                "Policy": point_policy(action),
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": n != 2,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": n != 2,
                    "RestrictPublicBuckets": True,
                },
                "Tags": tags(a=str(n)),
            }
            for n, action in ((1, "s3:GetObject"), (2, "s3:PutObject"), (3, "s3:GetObject"))
        ),
    ),
)

# -- who may have what, and tables
made(
    "s3-access-grants",
    Bucket=R("AWS::S3::Bucket"),
    Role=role("access-grants.s3.amazonaws.com"),
    Boss=role("access-grants.s3.amazonaws.com"),
    Reader=R("AWS::IAM::User"),
    Instance=R(
        "AWS::S3::AccessGrantsInstance",
        {"Tags": tags(a="1")},
        {"Tags": tags(a="2", b="1")},
        {"Tags": tags(b="2")},
    ),
    Location=R(
        "AWS::S3::AccessGrantsLocation",
        {"LocationScope": sub("s3://${Bucket}/*"), "IamRoleArn": att("Role", "Arn"), "Tags": tags(a="1")},
        {"IamRoleArn": att("Boss", "Arn"), "Tags": tags(a="2")},
        {"Tags": tags(b="1")},
        DependsOn="Instance",
    ),
    Grant=R(
        "AWS::S3::AccessGrant",
        *(
            {
                "AccessGrantsLocationId": ref("Location"),
                "AccessGrantsLocationConfiguration": {"S3SubPrefix": f"{prefix}.txt"},
                "Grantee": {"GranteeType": "IAM", "GranteeIdentifier": att("Reader", "Arn")},
                "Permission": "READ",
                "S3PrefixType": "Object",
                "Tags": tags(a=tag),
            }
            for prefix, tag in (("a", "1"), ("a", "2"), ("b", "3"))
        ),
    ),
)  # fmt: skip
SEALS = allow("kms:*", Principal="*")
made(
    "s3tables-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": SEALS}),
    Lake=R(
        "AWS::S3Tables::TableBucket",
        *(
            {
                "TableBucketName": "corpus-whole",
                "EncryptionConfiguration": {"SSEAlgorithm": "aws:kms", "KMSKeyArn": att("Key", "Arn")}
                if n == 2
                else {"SSEAlgorithm": "AES256"},
                "StorageClassConfiguration": {
                    "StorageClass": "INTELLIGENT_TIERING" if n == 2 else "STANDARD"
                },
                "MetricsConfiguration": {"Status": "Disabled"} if n == 1 else None,
            }
            for n in (1, 2, 3)
        ),
    ),
    Raw=R("AWS::S3Tables::Namespace", {"TableBucketARN": ref("Lake"), "Namespace": "raw"}),
    Numbered=R(
        "AWS::S3Tables::Table",
        {
            "TableBucketARN": ref("Lake"),
            "Namespace": "raw",
            "TableName": "numbered",
            "OpenTableFormat": "ICEBERG",
            "IcebergMetadata": {
                "IcebergSchemaV2": {
                    "SchemaId": 0,
                    "SchemaV2FieldType": "struct",
                    "SchemaV2FieldList": [
                        {"Id": 1, "Name": "id", "Type": "long", "Required": True, "Doc": "its number"}
                    ],
                    "IdentifierFieldIds": [1],
                },
                "IcebergPartitionSpec": {
                    "SpecId": 0,
                    "Fields": [
                        {"FieldId": 1000, "SourceId": 1, "Transform": "identity", "Name": "p"}
                    ],
                },
                "IcebergSortOrder": {
                    "OrderId": 1,
                    "Fields": [
                        {
                            "SourceId": 1,
                            "Transform": "identity",
                            "Direction": "asc",
                            "NullOrder": "nulls-last",
                        }
                    ],
                },
            },
        },
        DependsOn="Raw",
    ),
)  # fmt: skip
SEALED = {"SseAlgorithm": "aws:kms", "KmsKeyArn": att("Key", "Arn")}
made(
    "s3-bucket-metadata-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": SEALS}),
    Reader=role("metadata.s3.amazonaws.com"),
    Other=role("metadata.s3.amazonaws.com"),
    Sealed=R(
        "AWS::S3::Bucket",
        *(
            {
                "MetadataConfiguration": {
                    "AnnotationTableConfiguration": {
                        "ConfigurationState": "ENABLED",
                        "EncryptionConfiguration": SEALED,
                        "Role": att("Reader", "Arn"),
                    }
                    if days == 7
                    else {"ConfigurationState": "DISABLED", "Role": att("Other", "Arn")},
                    "InventoryTableConfiguration": {
                        "ConfigurationState": "ENABLED",
                        "EncryptionConfiguration": SEALED,
                    },
                    "JournalTableConfiguration": {
                        "EncryptionConfiguration": SEALED,
                        "RecordExpiration": {"Expiration": "ENABLED", "Days": days},
                    },
                }
            }
            for days in (7, 8, 9)
        ),
    ),
    Described=R(
        "AWS::S3::Bucket",
        *(
            {
                "MetadataTableConfiguration": {
                    "S3TablesDestination": {
                        "TableBucketArn": {"Fn::ImportValue": "corpus-lake"},
                        "TableName": name,
                    }
                }
            }
            for name in ("one", "two", "three")
        ),
    ),
)
