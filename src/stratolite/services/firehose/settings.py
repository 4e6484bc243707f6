"""What a delivery stream's destination may say, with AWS's defaults, and how it is described."""

from __future__ import annotations

import base64
import importlib.util
import re
from typing import Any

from stratolite.errors import Fault
from stratolite.services.firehose import parsing, prefixes, quotas

Config = dict[str, Any]
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/.+\Z")
_BUCKET = re.compile(r"arn:aws:s3:::[\w.-]{1,255}\Z")
_FUNCTION = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(:[\w$-]+)?\Z")
_SECRET = re.compile(r"arn:aws:secretsmanager:[a-z0-9-]+:\d{12}:secret:[a-zA-Z0-9\-/_+=.@!]+\Z")
_MODULES = re.compile(r"(^|;)\s*(import|include|module)\b")
_PROCESSORS = (
    "Lambda", "MetadataExtraction", "AppendDelimiterToRecord", "RecordDeAggregation", "Decompression", "CloudWatchLogProcessing",
)  # fmt: skip
DESTINATIONS = {
    "S3DestinationConfiguration": "s3",
    "ExtendedS3DestinationConfiguration": "extended-s3",
    "HttpEndpointDestinationConfiguration": "http",
}
_NOT_OFFERED = (
    "RedshiftDestination", "ElasticsearchDestination", "AmazonopensearchserviceDestination", "SplunkDestination",
    "AmazonOpenSearchServerlessDestination", "SnowflakeDestination", "IcebergDestination",
)  # fmt: skip


def refuse_others(request: dict[str, Any]) -> None:
    for member in request:
        if member.startswith(_NOT_OFFERED) or member in (
            "MSKSourceConfiguration",
            "DatabaseSourceConfiguration",
        ):
            raise not_offered(member)


def s3(given: Config) -> Config:
    """A plain S3 destination. Raises Fault."""
    config = _s3_part(given)
    _buffering(config, given, quotas.SIZE_MB, 1)
    _prefixes(config, is_partitioned=False)
    return config


def extended_s3(given: Config) -> Config:
    """Raises Fault."""
    config = _s3_part(given)
    partitioning = given.get("DynamicPartitioningConfiguration") or {}
    conversion = given.get("DataFormatConversionConfiguration") or {}
    is_partitioned = bool(partitioning.get("Enabled"))
    is_converted = bool(conversion) and conversion.get("Enabled", True)
    least = quotas.PARTITIONED_SIZE_MB_MIN if is_partitioned or is_converted else 1
    _buffering(config, given, 128 if least > 1 else quotas.SIZE_MB, least)
    if partitioning:
        config["DynamicPartitioningConfiguration"] = {
            "Enabled": is_partitioned,
            "RetryOptions": partitioning.get("RetryOptions", {"DurationInSeconds": 300}),
        }
    if processing := _processing(given):
        config["ProcessingConfiguration"] = processing
    if zone := given.get("CustomTimeZone"):
        config["CustomTimeZone"] = zone
    _prefixes(config, is_partitioned=is_partitioned)
    if is_converted:
        config["DataFormatConversionConfiguration"] = _conversion(conversion)
        if config["CompressionFormat"] != "UNCOMPRESSED":
            raise bad(
                "Compression format must be UNCOMPRESSED when data format conversion is enabled."
            )
    elif conversion:
        config["DataFormatConversionConfiguration"] = conversion
    mode = given.get("S3BackupMode", "Disabled")
    if mode not in ("Disabled", "Enabled"):
        raise bad(f"S3BackupMode {mode} is not one of Disabled, Enabled.")
    config["S3BackupMode"] = mode
    if mode == "Enabled":
        if not given.get("S3BackupConfiguration"):
            raise bad("S3BackupConfiguration is required when S3BackupMode is Enabled.")
        config["S3BackupConfiguration"] = s3(given["S3BackupConfiguration"])
    if extension := given.get("FileExtension"):
        if not re.match(r"\.[0-9a-z!\-_.*'()]+\Z", extension):
            raise bad(f"FileExtension {extension} is not valid.")
        config["FileExtension"] = extension
    return config


def http(given: Config) -> Config:
    """Raises Fault. The endpoint's AccessKey is still in it: take it out and seal it."""
    endpoint = given.get("EndpointConfiguration") or {}
    if not re.match(r"https?://", endpoint.get("Url") or ""):
        raise bad("EndpointConfiguration.Url must be an HTTP or HTTPS URL.")
    _check_logging(given)
    config: Config = {"EndpointConfiguration": endpoint}
    if secret := given.get("SecretsManagerConfiguration"):
        config["SecretsManagerConfiguration"] = _secret(secret, given)
    _buffering(config, given, quotas.SIZE_MB, 1, 64)
    for member in ("CloudWatchLoggingOptions", "RoleARN"):
        if member in given:
            config[member] = given[member]
    config["RequestConfiguration"] = {
        "ContentEncoding": "NONE",
        "CommonAttributes": [],
        **(given.get("RequestConfiguration") or {}),
    }
    config["RetryOptions"] = given.get("RetryOptions") or {"DurationInSeconds": 300}
    mode = given.get("S3BackupMode", "FailedDataOnly")
    if mode not in ("FailedDataOnly", "AllData"):
        raise bad(f"S3BackupMode {mode} is not one of FailedDataOnly, AllData.")
    config["S3BackupMode"] = mode
    config["S3Configuration"] = s3(given["S3Configuration"])
    if processing := _processing(given):
        if any(p["Type"] == "MetadataExtraction" for p in processing["Processors"]):
            raise bad("MetadataExtraction is for destinations in S3 only.")
        config["ProcessingConfiguration"] = processing
    return config


def _secret(secret: Config, given: Config) -> Config:
    """Where the access key is, if not in the configuration.

    https://docs.aws.amazon.com/firehose/latest/dev/using-secrets-manager.html
    """
    if secret.get("Enabled"):
        if not _SECRET.match(secret.get("SecretARN") or ""):
            raise bad("SecretARN is required when SecretsManagerConfiguration is enabled.")
        if not secret.get("RoleARN") and not given.get("RoleARN"):
            raise bad("SecretsManagerConfiguration needs a RoleARN, its own or the destination's.")
    return secret


def _s3_part(given: Config) -> Config:
    role, bucket = given.get("RoleARN", ""), given.get("BucketARN", "")
    if not _ROLE.match(role):
        raise bad(f"RoleARN {role} is not the ARN of a role.")
    if not _BUCKET.match(bucket):
        raise bad(f"BucketARN {bucket} is not the ARN of a bucket.")
    _check_logging(given)
    form = given.get("CompressionFormat") or "UNCOMPRESSED"
    if form not in prefixes.EXTENSIONS:
        raise bad(f"CompressionFormat {form} is not one of {', '.join(prefixes.EXTENSIONS)}.")
    if form in ("Snappy", "HADOOP_SNAPPY"):
        _needs_pyarrow(f"CompressionFormat {form}")
    config: Config = {
        "RoleARN": role,
        "BucketARN": bucket,
        "CompressionFormat": form,
        "EncryptionConfiguration": given.get("EncryptionConfiguration")
        or {"NoEncryptionConfig": "NoEncryption"},
        "CloudWatchLoggingOptions": given.get("CloudWatchLoggingOptions") or {"Enabled": False},
    }
    for member in ("Prefix", "ErrorOutputPrefix"):
        if given.get(member):
            config[member] = given[member]
    return config


def _buffering(config: Config, given: Config, size_mb: int, least: int, most: int = 128) -> None:
    hints = given.get("BufferingHints") or {}
    if len(hints.keys() & {"SizeInMBs", "IntervalInSeconds"}) == 1:
        raise bad("BufferingHints must have both SizeInMBs and IntervalInSeconds, or neither.")
    size = hints.get("SizeInMBs", size_mb)
    interval = hints.get("IntervalInSeconds", quotas.INTERVAL_S)
    if not least <= size <= most:
        why = " when dynamic partitioning or format conversion is enabled" if least > 1 else ""
        raise bad(f"BufferingHints.SizeInMBs must be between {least} and {most}{why}.")
    if not 0 <= interval <= quotas.INTERVAL_S_MAX:
        raise bad(
            f"BufferingHints.IntervalInSeconds must be between 0 and {quotas.INTERVAL_S_MAX}."
        )
    config["BufferingHints"] = {"SizeInMBs": size, "IntervalInSeconds": interval}


def _prefixes(config: Config, *, is_partitioned: bool) -> None:
    prefix, error = config.get("Prefix", ""), config.get("ErrorOutputPrefix", "")
    try:
        prefixes.check(prefix, is_error=False, is_partitioned=is_partitioned)
        prefixes.check(error, is_error=True, is_partitioned=is_partitioned)
        prefixes.zone(config.get("CustomTimeZone"))
    except ValueError as fault:
        raise bad(f"The prefix is not valid: {fault}.") from fault
    if prefixes.has_expressions(prefix) and not error:
        raise bad("ErrorOutputPrefix cannot be null or empty when Prefix contains expressions.")
    if prefixes.has_expressions(error) and not prefixes.has_error_type(error):
        raise bad("ErrorOutputPrefix with expressions must contain !{firehose:error-output-type}.")
    if is_partitioned:
        keys = prefixes.wanted_keys(prefix, "partitionKeyFromQuery")
        by_function = prefixes.wanted_keys(prefix, "partitionKeyFromLambda")
        if not keys and not by_function:
            raise bad(
                "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled"
            )


def parameters(processor: Config) -> dict[str, str]:
    return {p["ParameterName"]: p["ParameterValue"] for p in processor.get("Parameters") or ()}


def _processing(given: Config) -> Config | None:
    processing = given.get("ProcessingConfiguration")
    if not processing:
        return None
    for processor in processing.get("Processors") or ():
        kind, wanted = processor.get("Type"), parameters(processor)
        if kind not in _PROCESSORS:
            raise not_offered(f"The processor {kind}")
        for name in wanted.keys() - _PARAMETERS[kind]:
            raise bad(f"{name} is not a parameter of a {kind} processor.")
        for name, (low, high) in _NUMBERS.items():
            if name in wanted and not _is_between(wanted[name], low, high):
                raise bad(f"{name} must be a number between {low:g} and {high:g}.")
        if kind == "Lambda" and not _FUNCTION.match(wanted.get("LambdaArn", "")):
            raise bad("A Lambda processor needs the LambdaArn of a function.")
        if kind == "MetadataExtraction":
            query = wanted.get("MetadataExtractionQuery", "")
            if wanted.get("JsonParsingEngine", "JQ-1.6") != "JQ-1.6":
                raise bad("JsonParsingEngine must be JQ-1.6.")
            if not query or len(query) > quotas.QUERY_BYTES_MAX:
                raise bad(
                    f"MetadataExtractionQuery must have 1 to {quotas.QUERY_BYTES_MAX} characters."
                )
            if _MODULES.search(query):
                raise bad("MetadataExtractionQuery must not import modules.")
        if kind == "Decompression" and wanted.get("CompressionFormat") != "GZIP":
            raise bad("CompressionFormat of a Decompression processor must be GZIP.")
        if kind == "CloudWatchLogProcessing":
            if wanted.get("DataMessageExtraction", "").lower() != "true":
                raise bad("DataMessageExtraction of a CloudWatchLogProcessing processor must be true.")  # fmt: skip
            if not any(p.get("Type") == "Decompression" for p in processing["Processors"]):
                raise bad("CloudWatchLogProcessing needs a Decompression processor.")
        if kind == "RecordDeAggregation":
            if wanted.get("SubRecordType") not in ("JSON", "DELIMITED"):
                raise bad("SubRecordType must be JSON or DELIMITED.")
            if wanted["SubRecordType"] == "DELIMITED" and not _is_base64(wanted.get("Delimiter")):
                raise bad("A DELIMITED SubRecordType needs a Delimiter in base64.")
        if kind == "AppendDelimiterToRecord" and not _is_escaped(wanted.get("Delimiter", "")):
            raise bad("Delimiter is not valid.")
    return {
        "Enabled": processing.get("Enabled", True),
        "Processors": processing.get("Processors") or [],
    }


_PARAMETERS = {
    "Lambda": {"LambdaArn", "NumberOfRetries", "RoleArn", "BufferSizeInMBs", "BufferIntervalInSeconds"},
    "MetadataExtraction": {"MetadataExtractionQuery", "JsonParsingEngine"},
    "RecordDeAggregation": {"SubRecordType", "Delimiter"},
    "AppendDelimiterToRecord": {"Delimiter"},
    "Decompression": {"CompressionFormat"},
    "CloudWatchLogProcessing": {"DataMessageExtraction"},
}  # fmt: skip
_NUMBERS = {
    "NumberOfRetries": (0, 300),
    "BufferSizeInMBs": (0.2, 3),
    "BufferIntervalInSeconds": (0, 900),
}


def _is_between(text: str, low: float, high: float) -> bool:
    return bool(re.match(r"[0-9]{1,4}(\.[0-9]{1,6})?\Z", text)) and low <= float(text) <= high


def _is_base64(text: str | None) -> bool:
    try:
        return bool(base64.b64decode(text or "", validate=True))
    except ValueError:
        return False


def _is_escaped(text: str) -> bool:
    try:
        text.encode().decode("unicode_escape").encode()
    except ValueError:
        return False
    return True


def _check_logging(given: Config) -> None:
    options = given.get("CloudWatchLoggingOptions") or {}
    if options.get("Enabled") and not (options.get("LogGroupName") and options.get("LogStreamName")):  # fmt: skip
        raise bad("LogGroupName and LogStreamName are required when CloudWatchLoggingOptions is enabled.")  # fmt: skip


def _conversion(given: Config) -> Config:
    _needs_pyarrow("DataFormatConversionConfiguration")
    schema = given.get("SchemaConfiguration") or {}
    for member in ("DatabaseName", "TableName", "RoleARN"):
        if not schema.get(member):
            raise bad(f"SchemaConfiguration.{member} is required for data format conversion.")
    serializer = ((given.get("OutputFormatConfiguration") or {}).get("Serializer")) or {}
    if len([s for s in ("ParquetSerDe", "OrcSerDe") if s in serializer]) != 1:
        raise bad("Serializer must have one of ParquetSerDe and OrcSerDe.")
    deserializer = ((given.get("InputFormatConfiguration") or {}).get("Deserializer")) or {}
    if len([s for s in ("OpenXJsonSerDe", "HiveJsonSerDe") if s in deserializer]) != 1:
        raise bad("Deserializer must have one of OpenXJsonSerDe and HiveJsonSerDe.")
    for form in (deserializer.get("HiveJsonSerDe") or {}).get("TimestampFormats") or ():
        try:
            parsing.check(form)
        except ValueError as fault:
            raise bad(f"TimestampFormats {form} is not valid: {fault}.") from fault
    _check_serializer(serializer)
    defaults = {"VersionId": "LATEST"}
    return {**given, "Enabled": True, "SchemaConfiguration": {**defaults, **schema}}


def _needs_pyarrow(what: str) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise bad(f"{what} needs pyarrow, which is not installed: pip install stratolite[parquet]")


def bad(message: str) -> Fault:
    return Fault("InvalidArgumentException", message)


def not_offered(what: str) -> Fault:
    return bad(f"{what} is not offered by Stratolite; see docs/coverage.md")


_SERIALIZERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "ParquetSerDe": {
        "BlockSizeBytes": (64 << 20, None), "PageSizeBytes": (64 << 10, None), "MaxPaddingBytes": (0, None),
        "Compression": ("UNCOMPRESSED", "GZIP", "SNAPPY"), "WriterVersion": ("V1", "V2"),
    },
    "OrcSerDe": {
        "StripeSizeBytes": (8 << 20, None), "BlockSizeBytes": (64 << 20, None), "RowIndexStride": (1000, None),
        "PaddingTolerance": (0, 1), "BloomFilterFalsePositiveProbability": (0, 1), "DictionaryKeyThreshold": (0, 1),
        "Compression": ("NONE", "ZLIB", "SNAPPY"), "FormatVersion": ("V0_11", "V0_12"),
    },
}  # fmt: skip
"""Member -> (least, most or None), or the words it may be."""


def _check_serializer(serializer: Config) -> None:
    for name, members in _SERIALIZERS.items():
        for member, value in (serializer.get(name) or {}).items():
            bounds = members.get(member)
            if bounds is None:
                continue
            if isinstance(bounds[0], str):
                if value not in bounds:
                    raise bad(f"{name}.{member} {value} is not one of {', '.join(bounds)}.")
            elif value < bounds[0] or (bounds[1] is not None and value > bounds[1]):
                most = "" if bounds[1] is None else f" and at most {bounds[1]}"
                raise bad(f"{name}.{member} must be at least {bounds[0]}{most}.")
