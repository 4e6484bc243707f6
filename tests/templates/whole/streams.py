"""Kinesis streams and Firehose's deliveries, and the catalog their files are described in."""

from __future__ import annotations

from typing import Any

from makers import R, allow, att, function, key_policy, made, ref, role, tags

made(
    "kinesis-stream-changes",
    Stream=R(
        "AWS::Kinesis::Stream",
        {
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
            "ShardCount": 1,
            "MaxRecordSizeInKiB": 2048,
            "RecordDistributionStrategy": "USER_PARTITION_KEY",
        },
        {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "ShardCount": None},
        {"MaxRecordSizeInKiB": 4096, "RecordDistributionStrategy": "AUTO"},
    ),
    Consumer=R(
        "AWS::Kinesis::StreamConsumer",
        {"ConsumerName": "corpus", "StreamARN": att("Stream", "Arn"), "Tags": tags(a="1")},
    ),
)
made(
    "kinesis-stream-warm",
    Stream=R(
        "AWS::Kinesis::Stream",
        *(
            {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "WarmThroughputMiBps": mib}
            for mib in (5, 6, 4)
        ),
    ),
    Is=R("AWS::SSM::Parameter", {"Type": "String", "Value": att("Stream", "WarmThroughputObject.CurrentMiBps")}),
)  # fmt: skip
DELIVERS = role(
    "firehose.amazonaws.com",
    Policies=[
        {"PolicyName": "p", "PolicyDocument": allow(["s3:*", "kinesis:*", "glue:*", "lambda:*", "kms:*"])}
    ],
)  # fmt: skip


def s3(n: int, **more: Any) -> dict[str, Any]:
    return {
        "RoleARN": att("Role", "Arn"),
        "BucketARN": att("Bucket", "Arn"),
        "Prefix": f"data/{n}/",
        "ErrorOutputPrefix": f"errors/{n}/",
        "BufferingHints": {"IntervalInSeconds": 60 * n, "SizeInMBs": n},
        "CompressionFormat": "GZIP" if n == 2 else "UNCOMPRESSED",
        "CloudWatchLoggingOptions": {
            "Enabled": True,
            "LogGroupName": f"/corpus/{n}",
            "LogStreamName": "delivery",
        },
        "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"}
        if n == 2
        else {"KMSEncryptionConfig": {"AWSKMSKeyARN": att("Key", "Arn")}},
        **more,
    }


def processing(n: int, *more: dict[str, Any]) -> dict[str, Any]:
    by_function = {
        "Type": "Lambda",
        "Parameters": [
            {"ParameterName": "LambdaArn", "ParameterValue": att("Function", "Arn")},
            {"ParameterName": "NumberOfRetries", "ParameterValue": str(n)},
        ],
    }
    return {"Enabled": True, "Processors": [by_function, *more]}


QUERY = {
    "Type": "MetadataExtraction",
    "Parameters": [
        {"ParameterName": "MetadataExtractionQuery", "ParameterValue": "{kind: .kind}"},
        {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"},
    ],
}
made(
    "firehose-whole",
    Role=DELIVERS,
    Runner=role(),
    Function=function({"Role": att("Runner", "Arn")}),
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Bucket=R("AWS::S3::Bucket"),
    Secret=R("AWS::SecretsManager::Secret", {"SecretString": '{"api_key": "k"}'}),
    Source=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    FromStream=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "DeliveryStreamName": "corpus-from-stream",
                "DeliveryStreamType": "KinesisStreamAsSource",
                "KinesisStreamSourceConfiguration": {
                    "KinesisStreamARN": att("Source", "Arn"),
                    "RoleARN": att("Role", "Arn"),
                },
                "S3DestinationConfiguration": s3(n),
            }
            for n in (1, 2, 3)
        ),
    ),
    Partitioned=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "DeliveryStreamType": "DirectPut",
                "DeliveryStreamEncryptionConfigurationInput": encryption,
                "ExtendedS3DestinationConfiguration": s3(
                    n,
                    Prefix=f"{n}/!{{partitionKeyFromQuery:kind}}/",
                    ErrorOutputPrefix=f"errors/{n}/!{{firehose:error-output-type}}/",
                    BufferingHints={"IntervalInSeconds": 60 * n, "SizeInMBs": 64 + n},
                    CustomTimeZone="Europe/Zurich",
                    FileExtension=".json",
                    DynamicPartitioningConfiguration={
                        "Enabled": True,
                        "RetryOptions": {"DurationInSeconds": 300 + n},
                    },
                    ProcessingConfiguration=processing(n, QUERY),
                    S3BackupMode="Enabled",
                    S3BackupConfiguration=s3(n, Prefix=f"backup/{n}/"),
                ),
            }
            for n, encryption in (
                (1, {"KeyType": "CUSTOMER_MANAGED_CMK", "KeyARN": att("Key", "Arn")}),
                (2, {"KeyType": "AWS_OWNED_CMK"}),
                (3, None),
            )
        ),
    ),
    ToEndpoint=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "DeliveryStreamType": "DirectPut",
                "HttpEndpointDestinationConfiguration": {
                    "EndpointConfiguration": {
                        "AccessKey": f"secret-{n}",
                        "Name": f"endpoint {n}",
                        "Url": f"https://example.com/{n}",
                    },
                    "BufferingHints": {"IntervalInSeconds": 60 * n, "SizeInMBs": n},
                    "CloudWatchLoggingOptions": {
                        "Enabled": True,
                        "LogGroupName": f"/corpus/{n}",
                        "LogStreamName": "endpoint",
                    },
                    "ProcessingConfiguration": processing(n),
                    "RequestConfiguration": {
                        "CommonAttributes": [{"AttributeName": "step", "AttributeValue": str(n)}],
                        "ContentEncoding": "GZIP" if n == 2 else "NONE",
                    },
                    "RetryOptions": {"DurationInSeconds": n},
                    "RoleARN": att("Role", "Arn"),
                    "S3BackupMode": "AllData" if n == 2 else "FailedDataOnly",
                    "S3Configuration": s3(n),
                    "SecretsManagerConfiguration": {
                        "Enabled": n == 2,
                        "SecretARN": ref("Secret"),
                        "RoleARN": att("Role", "Arn"),
                    },
                },
                "DirectPutSourceConfiguration": {"ThroughputHintInMBs": 5},
            }
            for n in (1, 2, 3)
        ),
    ),
)
COLUMNS = [{"Name": "id", "Type": "string"}, {"Name": "at", "Type": "timestamp", "Comment": "when"}]


def storage(n: int, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "BucketColumns": ["id"],
        "Columns": COLUMNS,
        "Compressed": n == 2,
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "Location": f"s3://corpus/{n}/",
        "NumberOfBuckets": n,
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "Parameters": {"step": str(n)},
        "SchemaReference": schema,
        "SerdeInfo": {
            "Name": "json",
            "Parameters": {"paths": "id,at"},
            "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
        },
        "SkewedInfo": {
            "SkewedColumnNames": ["id"],
            "SkewedColumnValueLocationMaps": {"a": f"s3://corpus/{n}/a/"},
            "SkewedColumnValues": ["a"],
        },
        "SortColumns": [{"Column": "at", "SortOrder": n % 2}],
        "StoredAsSubDirectories": n == 2,
    }


BY_NAME = {
    "SchemaId": {"RegistryName": "shop", "SchemaName": "orders"},
    "SchemaVersionNumber": 1,
}
BY_ARN = {
    "SchemaId": {"SchemaArn": "arn:aws:glue:us-east-1:000000000000:schema/shop/orders"},
    "SchemaVersionId": "3a1c5b7e-1111-4222-8333-444455556666",
}
CATALOG = {"CatalogId": ref("AWS::AccountId")}
made(
    "glue-whole",
    Role=role("glue.amazonaws.com"),
    Db=R(
        "AWS::Glue::Database",
        *(
            {
                **CATALOG,
                "DatabaseName": "corpus_whole",
                "DatabaseInput": {
                    "Description": f"step {n}",
                    "LocationUri": f"s3://corpus/{n}/",
                    "Parameters": {"step": str(n)},
                    "CreateTableDefaultPermissions": [
                        {
                            "Permissions": ["ALL"],
                            "Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
                        }
                    ],
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    Linked=R(
        "AWS::Glue::Database",
        *(
            {
                **CATALOG,
                "DatabaseInput": {
                    "Name": "corpus_linked",
                    "TargetDatabase": {
                        "CatalogId": ref("AWS::AccountId"),
                        "DatabaseName": ref("Db"),
                        "Region": region,
                    },
                },
            }
            for region in ("us-east-1", "eu-west-1", "us-east-1")
        ),
    ),
    Table=R(
        "AWS::Glue::Table",
        *(
            {
                **CATALOG,
                "DatabaseName": ref("Db"),
                "Name": "orders",
                "TableInput": {
                    "Description": f"step {n}",
                    "Owner": f"owner {n}",
                    "Parameters": {"step": str(n)},
                    "PartitionKeys": [{"Name": "day", "Type": "string", "Comment": f"step {n}"}],
                    "Retention": n,
                    "StorageDescriptor": storage(n, BY_ARN if n == 2 else BY_NAME),
                    "TableType": "EXTERNAL_TABLE",
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    View=R(
        "AWS::Glue::Table",
        *(
            {
                **CATALOG,
                "DatabaseName": ref("Db"),
                "TableInput": {
                    "Name": "recent",
                    "TableType": "VIRTUAL_VIEW",
                    "ViewOriginalText": f"/* Presto View: {n} */",
                    "ViewExpandedText": f"/* {n} */",
                    "ViewDefinition": {
                        "Definer": att("Role", "Arn"),
                        "IsProtected": n == 2,
                        "Representations": [
                            {
                                "Dialect": "ATHENA",
                                "DialectVersion": str(n),
                                "ValidationConnection": "none",
                                "ViewExpandedText": f"select {n}",
                                "ViewOriginalText": f"select {n}",
                            }
                        ],
                        "SubObjects": [
                            "arn:aws:glue:us-east-1:000000000000:table/corpus_whole/orders"
                        ],
                    },
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    Shared=R(
        "AWS::Glue::Table",
        *(
            {
                **CATALOG,
                "DatabaseName": ref("Db"),
                "TableInput": {
                    "Name": "shared",
                    "TargetTable": {
                        "CatalogId": ref("AWS::AccountId"),
                        "DatabaseName": ref("Db"),
                        "Name": name,
                        "Region": "us-east-1",
                    },
                },
            }
            for name in ("orders", "recent", "orders")
        ),
    ),
    Partition=R(
        "AWS::Glue::Partition",
        *(
            {
                **CATALOG,
                "DatabaseName": ref("Db"),
                "TableName": ref("Table"),
                "PartitionInput": {
                    "Values": [day],
                    "Parameters": {"step": str(n)},
                    "StorageDescriptor": storage(n, BY_ARN if n == 2 else BY_NAME),
                },
            }
            for n, day in ((1, "a"), (2, "a"), (3, "a"))
        ),
    ),
)


def converted(n: int, serializer: dict[str, Any], deserializer: dict[str, Any]) -> dict[str, Any]:
    return {
        "RoleARN": att("Role", "Arn"),
        "BucketARN": att("Bucket", "Arn"),
        "BufferingHints": {"IntervalInSeconds": 60, "SizeInMBs": 64 + n},
        "DataFormatConversionConfiguration": {
            "Enabled": True,
            "InputFormatConfiguration": {"Deserializer": deserializer},
            "OutputFormatConfiguration": {"Serializer": serializer},
            "SchemaConfiguration": {
                "CatalogId": ref("AWS::AccountId"),
                "DatabaseName": ref("Db"),
                "Region": ref("AWS::Region"),
                "RoleARN": att("Role", "Arn"),
                "TableName": ref("Table"),
                "VersionId": "LATEST",
            },
        },
    }


made(
    "firehose-converted",
    Role=DELIVERS,
    Bucket=R("AWS::S3::Bucket"),
    Db=R("AWS::Glue::Database", {**CATALOG, "DatabaseInput": {"Name": "corpus_converted"}}),
    Table=R(
        "AWS::Glue::Table",
        {
            **CATALOG,
            "DatabaseName": ref("Db"),
            "TableInput": {"Name": "t", "StorageDescriptor": {"Columns": COLUMNS}},
        },
    ),
    Parquet=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "ExtendedS3DestinationConfiguration": converted(
                    n,
                    {
                        "ParquetSerDe": {
                            "BlockSizeBytes": 67108864 * n,
                            "Compression": "GZIP" if n == 2 else "SNAPPY",
                            "EnableDictionaryCompression": n == 2,
                            "MaxPaddingBytes": n,
                            "PageSizeBytes": 65536 * n,
                            "WriterVersion": "V2" if n == 2 else "V1",
                        }
                    },
                    {
                        "OpenXJsonSerDe": {
                            "CaseInsensitive": n != 2,
                            "ColumnToJsonKeyMappings": {"at": f"at{n}"},
                            "ConvertDotsInJsonKeysToUnderscores": n == 2,
                        }
                    },
                )
            }
            for n in (1, 2, 3)
        ),
    ),
    Orc=R(
        "AWS::KinesisFirehose::DeliveryStream",
        *(
            {
                "ExtendedS3DestinationConfiguration": converted(
                    n,
                    {
                        "OrcSerDe": {
                            "BlockSizeBytes": 67108864 * n,
                            "BloomFilterColumns": ["id"],
                            "BloomFilterFalsePositiveProbability": 0.01 * n,
                            "Compression": "ZLIB" if n == 2 else "SNAPPY",
                            "DictionaryKeyThreshold": 0.1 * n,
                            "EnablePadding": n == 2,
                            "FormatVersion": "V0_11" if n == 2 else "V0_12",
                            "PaddingTolerance": 0.01 * n,
                            "RowIndexStride": 1000 * n,
                            "StripeSizeBytes": 8388608 * n,
                        }
                    },
                    {"HiveJsonSerDe": {"TimestampFormats": ["millis", "yyyy-MM-dd HH:mm:ss"]}},
                )
            }
            for n in (1, 2, 3)
        ),
    ),
)
