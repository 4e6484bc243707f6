"""CloudWatch, its logs, and scaling by what it measures."""

from __future__ import annotations

from typing import Any

from makers import R, allow, att, made, ref, role, sub, table, tags

made(
    "cloudwatch-alarm-of-one-metric",
    Topic=R("AWS::SNS::Topic"),
    Other=R("AWS::SNS::Topic"),
    Alarm=R(
        "AWS::CloudWatch::Alarm",
        *(
            {
                "AlarmName": "corpus-one",
                "AlarmDescription": f"step {n}",
                "ActionsEnabled": n != 2,
                "AlarmActions": [ref(topic)],
                "InsufficientDataActions": [ref(topic)],
                "OKActions": [ref(topic)],
                "ComparisonOperator": comparison,
                "DatapointsToAlarm": n,
                "Dimensions": [{"Name": "FunctionName", "Value": f"f{n}"}],
                "EvaluateLowSampleCountPercentile": "evaluate" if n == 2 else "ignore",
                "EvaluationPeriods": n + 1,
                "ExtendedStatistic": f"p9{n}",
                "MetricName": f"Duration{n}",
                "Namespace": f"corpus/{n}",
                "Period": 60 * n,
                "Tags": tags(a=str(n)),
                "Threshold": n + 0.5,
                "TreatMissingData": "ignore" if n == 2 else "missing",
                "Unit": "Seconds" if n == 2 else "Milliseconds",
            }
            for n, topic, comparison in (
                (1, "Topic", "GreaterThanThreshold"),
                (2, "Other", "LessThanThreshold"),
                (3, "Topic", "GreaterThanOrEqualToThreshold"),
            )
        ),
    ),
    Simple=R(
        "AWS::CloudWatch::Alarm",
        *(
            {
                "ComparisonOperator": "GreaterThanThreshold",
                "EvaluationPeriods": 1,
                "MetricName": "Errors",
                "Namespace": "AWS/Lambda",
                "Period": 60,
                "Statistic": statistic,
                "Threshold": 1,
            }
            for statistic in ("Sum", "Maximum", "Average")
        ),
    ),
    Metrics=R(
        "AWS::CloudWatch::Alarm",
        *(
            {
                "ComparisonOperator": "GreaterThanThreshold",
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "Metrics": [
                    {"Id": "e", "Expression": f"m * {n}", "Label": f"times {n}", "ReturnData": True, "Period": 60},
                    {
                        "Id": "m",
                        "Label": f"m {n}",
                        "ReturnData": False,
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "corpus",
                                "MetricName": "m",
                                "Dimensions": [{"Name": "d", "Value": str(n)}],
                            },
                            "Period": 60,
                            "Stat": "Sum",
                            "Unit": "Count",
                        },
                    },
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
    Both=R(
        "AWS::CloudWatch::CompositeAlarm",
        *(
            {
                "AlarmRule": sub("ALARM(${Simple}) OR ALARM(${Metrics})" if n == 2 else "ALARM(${Simple})"),
                "ActionsSuppressor": ref("Metrics") if n != 2 else att("Simple", "Arn"),
                "ActionsSuppressorExtensionPeriod": 60 * n,
                "ActionsSuppressorWaitPeriod": 30 * n,
                "AlarmActions": [ref(topic)],
                "AlarmDescription": f"step {n}",
                "ActionsEnabled": n != 2,
                "InsufficientDataActions": [ref(topic)],
                "OKActions": [ref(topic)],
                "Tags": tags(a=str(n)),
            }
            for n, topic in ((1, "Topic"), (2, "Other"), (3, "Topic"))
        ),
    ),
    Board=R(
        "AWS::CloudWatch::Dashboard",
        *(
            {
                "DashboardBody": f'{{"widgets": [], "start": "-PT{n}H"}}',
                "Tags": tags(a=str(n)),
            }
            for n in (1, 2, 3)
        ),
    ),
)  # fmt: skip
OPEN = allow("kms:*", Principal="*")
SAID_ANYWAY = {
    "BearerTokenAuthenticationEnabled": False,
    "DeletionProtectionEnabled": False,
    "LogGroupClass": "STANDARD",
}
WRITES = role(
    "logs.amazonaws.com",
    Policies=[{"PolicyName": "p", "PolicyDocument": allow("kinesis:*")}],
)
made(
    "logs-whole",
    Key=R("AWS::KMS::Key", {"KeyPolicy": OPEN}),
    OtherKey=R("AWS::KMS::Key", {"KeyPolicy": OPEN}),
    Role=WRITES,
    Boss=WRITES,
    Out=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Other=R("AWS::Kinesis::Stream", {"ShardCount": 1}),
    Group=R(
        "AWS::Logs::LogGroup",
        {
            "LogGroupName": "/corpus/whole",
            "KmsKeyId": att("Key", "Arn"),
            "RetentionInDays": 7,
            "Tags": tags(a="1"),
            **SAID_ANYWAY,
        },
        {
            "KmsKeyId": att("OtherKey", "Arn"),
            "RetentionInDays": 14,
            "Tags": tags(a="2"),
            **dict.fromkeys(SAID_ANYWAY),
        },
        {"KmsKeyId": None, "RetentionInDays": None, "Tags": None},
    ),
    Filter=R(
        "AWS::Logs::SubscriptionFilter",
        *(
            {
                "ApplyOnTransformedLogs": False if n == 1 else None,
                "DestinationArn": att(out, "Arn"),
                "Distribution": "Random" if n == 2 else "ByLogStream",
                "FilterName": "corpus",
                "FilterPattern": f"ERROR{n}",
                "LogGroupName": ref("Group"),
                "RoleArn": att(boss, "Arn"),
            }
            for n, out, boss in ((1, "Out", "Role"), (2, "Other", "Boss"), (3, "Out", "Role"))
        ),
    ),
    Counted=R(
        "AWS::Logs::MetricFilter",
        *(
            {
                "ApplyOnTransformedLogs": False if n == 1 else None,
                "FilterName": "corpus",
                "FilterPattern": f'{{ $.code = {n} && $.name = "*" }}',
                "LogGroupName": ref("Group"),
                "MetricTransformations": [
                    {
                        "MetricNamespace": f"corpus/{n}",
                        "MetricName": f"m{n}",
                        "MetricValue": "$.code" if n == 2 else "1",
                        "Unit": "Bytes" if n == 2 else "Count",
                        "Dimensions": [{"Key": f"d{n}", "Value": "$.name"}],
                    }
                ],
            }
            for n in (1, 2, 3)
        ),
    ),
    Writers=R(
        "AWS::Logs::ResourcePolicy",
        *(
            {
                "PolicyName": "corpus",
                "PolicyDocument": policy,
            }
            for policy in (
                allow("logs:PutLogEvents", Principal={"Service": "events.amazonaws.com"}),
                allow("logs:CreateLogStream", Principal={"Service": "events.amazonaws.com"}),
                '{"Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*", "Principal": {"Service": "es.amazonaws.com"}}]}',
            )
        ),
    ),
    Zeroes=R(
        "AWS::Logs::MetricFilter",
        *(
            {
                "FilterPattern": pattern,
                "LogGroupName": ref("Group"),
                "MetricTransformations": [
                    {
                        "MetricNamespace": "corpus",
                        "MetricName": "errors",
                        "MetricValue": "1",
                        "DefaultValue": default,
                    }
                ],
            }
            for pattern, default in (
                ("?ERROR ?WARN", 0),
                ("[level = ERROR, ...]", 0.5),
                ("%ERR%", 1),
            )
        ),
    ),
)
PLACE = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": sub("table/${Table}"),
    "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
}
SUSPENDED = (
    "DynamicScalingInSuspended",
    "DynamicScalingOutSuspended",
    "ScheduledScalingSuspended",
)


def tracking(n: int) -> dict[str, Any]:
    return {
        "DisableScaleIn": n == 2,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "DynamoDBReadCapacityUtilization"
        },
        "ScaleInCooldown": n,
        "ScaleOutCooldown": n,
        "TargetValue": 50.0 + n,
    }


made(
    "application-autoscaling-whole",
    Boss=role("application-autoscaling.amazonaws.com"),
    Role=role("application-autoscaling.amazonaws.com"),
    Table=table(
        {
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
        }
    ),
    Target=R(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        *(
            {
                **PLACE,
                "MinCapacity": n,
                "MaxCapacity": 10 * n,
                "RoleARN": att(boss, "Arn"),
                "ScheduledActions": [
                    {
                        "ScheduledActionName": "morning",
                        "Schedule": f"cron(0 {n} * * ? *)",
                        "Timezone": "Europe/Zurich",
                        "StartTime": f"209{n}-01-01T00:00:00Z",
                        "EndTime": f"209{n}-02-01T00:00:00Z",
                        "ScalableTargetAction": {"MinCapacity": n, "MaxCapacity": 20 * n},
                    }
                ],
                "SuspendedState": dict.fromkeys(SUSPENDED, n == 2),
                "Tags": tags(a=str(n)),
            }
            for n, boss in ((1, "Role"), (2, "Boss"), (3, "Role"))
        ),
    ),
    Policy=R(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        *(
            {
                **PLACE,
                "PolicyName": "corpus",
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": tracking(n),
            }
            for n in (1, 2, 3)
        ),
        DependsOn="Target",
    ),
)
