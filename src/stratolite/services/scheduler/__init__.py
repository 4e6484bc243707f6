"""EventBridge Scheduler: at, rate and cron schedules with time zones and flexible windows, each calling one API.

Stored under (account, region, "scheduler"), JSON:

    ("group", name)           -> {created_s, modified_s, state, tags, token}; "default" is there unwritten
    ("schedule", group, name) -> {request, created_s, modified_s, timer, anchor_s, token, sealed}
                                 request: what CreateSchedule or UpdateSchedule asked for, in the API's shape
                                 sealed: the target's input under the schedule's KMS key, null: there is no key
                                 timer: the stamp its pending ``scheduler.fire`` job must carry, 0: none

Work    scheduler.fire     {account, region, group, name, timer, due_s, at_s}: one invocation, then the next. at_s: in the window
        scheduler.deliver  {..., target, document, execution, attempts, first_s, dead}: the call of the target, or of the
                           dead-letter queue, repeated as RetryPolicy says
        scheduler.drop     {account, region, group}: the schedules of a deleted group, a page a transaction

Files   ``service`` the operations; ``checks`` what a schedule may say; ``worker`` when and how targets are called; ``sealing``;
        ``resources`` CloudFormation types

Targets are called under the schedule's role, which must trust scheduler.amazonaws.com. Templated: Lambda, SQS, SNS, Kinesis,
Firehose, Step Functions, PutEvents. Universal (arn:aws:scheduler:::aws-sdk:SERVICE:action): every operation of this cloud that
does not only read, its input in the SDK's spelling or the API's (``wire.documents``). Others are refused by name.
Invocations that were missed while the cloud was off, or leapt over by its clock, are made up for as far as a day back.
A rate without a StartDate begins at once.

Sources https://docs.aws.amazon.com/scheduler/latest/APIReference/
        https://docs.aws.amazon.com/scheduler/latest/UserGuide/
"""

from stratolite.services.scheduler.service import Scheduler as Scheduler
