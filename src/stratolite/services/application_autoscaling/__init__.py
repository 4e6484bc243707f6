"""Application Auto Scaling for DynamoDB: provisioned capacity of tables and global indexes follows what is consumed.

Stored under (account, region, "application-autoscaling"), JSON. ``place`` is a resource id and a scalable dimension:

    ("target", place)          -> {id, min, max, role, created_s, suspended, tags, timer}
                                  timer: the stamp its pending ``application-autoscaling.look`` job must carry
    ("policy", place, name)    -> {id, created_s, config, out_s, in_s}    config: TargetTrackingScalingPolicyConfiguration
                                  out_s, in_s: when it last scaled out and in
    ("action", place, name)    -> {id, created_s, request, anchor_s, timer}    a scheduled action
    ("id", id)                 -> [resource id, dimension]    of a target, by the last part of its ARN
    ("activity", stamp)        -> ScalingActivity in the API's shape, kept for six weeks
    ("of", resource id, stamp) -> ""

Work    application-autoscaling.look  {account, region, resource, dimension, timer}: a target looked at, once a minute of the cloud clock
        application-autoscaling.act   {..., name, timer, due_s}: a scheduled action come due

Files   ``service`` the operations; ``checks`` what they may say; ``scaling`` the workers; ``resources`` CloudFormation types

A policy scales out when the last two whole minutes each consumed more than the target, to what the busier of them needs, and in
when fifteen consumed less than the target less a fifth of it. A minute without a metric is no data, as on AWS: a table nobody asks
does not scale in. DynamoDB counts what provisioned tables consume (``dynamodb.meter``) and CloudWatch keeps it.

Different from AWS, knowingly: no CloudWatch alarms are made, ``Alarms`` is empty (the metric is read); activities that scaled
nothing are not recorded. Refused by name: other services' targets, step and predictive policies, customized metrics.

Sources https://docs.aws.amazon.com/autoscaling/application/APIReference/
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/AutoScaling.html
        https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
"""

from stratolite.services.application_autoscaling.service import (
    ApplicationAutoscaling as ApplicationAutoscaling,
)
