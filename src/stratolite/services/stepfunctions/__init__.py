"""Step Functions: state machines in the Amazon States Language, standard and express, and their executions.

Stored under (account, region, "stepfunctions"), JSON unless said otherwise:

    ("machine", name)                   -> {definition, role, type, status, logging, tracing, created_s, revision, versions, tags, token}
                                           definition: what its text is known by; versions: the number of the newest
    ("version", machine, number)        -> {definition, role, type, logging, tracing, revision, created_s, description}
    ("alias", machine, name)            -> {routes, description, created_s, updated_s}
    ("definition", machine, hash)       -> the text
    ("activity", name)                  -> {created_s, tags}
    ("execution", machine, name)        -> {status, started_s, stopped_s, error, cause, definition, role, machine_arn, version_arn,
                                           alias_arn, started_with, is_express, is_awaited, stamp, parent, revision, revised_s, ...}
                                           name of an express one: NAME:UUID. parent: the task of another execution that waits for it
    ("input", machine, name), ("output", machine, name)       -> JSON text
    ("event", machine, name, id)        -> an event of the history, in the API's shape
    ("memory", machine, name, ...)      -> what the engine remembers of it: ``workflow.memory``
    ("pending", machine, name, line, kind) -> the id of the job that is to be done (task) or to ring (wait, retry, timeout, heartbeat,
                                           time_up) for a line; held: the key below; child: the job that stops an execution it waits for
    ("listed", machine, stamp), ("status", machine, status, stamp) -> name, newest first
    ("waiting", activity, stamp)        -> {account, region, machine, name, line, wait, input}: a task to be fetched

Work    stepfunctions.task     {account, region, machine, name, line, wait, resource, parameters, credentials, role, machine_arn}
        stepfunctions.alarm    {account, region, machine, name, line, wait, kind}
        stepfunctions.step     {account, region, machine, name, kind, line, wait, output, error, cause}: an event from elsewhere
        stepfunctions.expire   {account, region, machine, name}: an execution that was over 90 days ago
        stepfunctions.drop     {account, region, machine}: a machine being deleted

Files   ``service`` what IAM must allow; ``machines`` machines, versions, aliases; ``executions`` executions, tokens, activities;
        ``running`` steps in transactions; ``worker`` tasks, alarms, ends; ``tasks`` what resources mean; ``history`` events in AWS's words;
        ``metrics`` what CloudWatch is told; ``names`` ARNs and tokens; ``bodies`` streams read within bounds; ``resources`` CloudFormation types

An execution is committed state: each step and its events are one transaction, a task is a job claimed, done and settled under the
machine's role. After a crash it goes on where it stood; a task under way is then done again.

Tasks: Lambda functions, activities, aws-sdk:SERVICE:ACTION of every service offered here, and the optimised integrations of Lambda,
SQS, SNS, DynamoDB, EventBridge and Step Functions (.sync, .sync:2), with .waitForTaskToken where AWS has it. Others are refused by
name when a machine is created, as are Map states of the mode DISTRIBUTED, customer managed keys, logging and tracing. RedriveExecution,
TestState and map runs are not offered. An express execution leaves nothing behind; run one with StartSyncExecution to see
what it came to (AWS_DISABLE_HOST_PREFIX_INJECTION=true, as ``stratolite env`` has it, keeps SDKs from asking sync-HOST).

Sources https://docs.aws.amazon.com/step-functions/latest/apireference/
        https://docs.aws.amazon.com/step-functions/latest/dg/
        answers recorded from AWS in localstack/localstack, tests/aws/services/stepfunctions
"""

from stratolite.services.stepfunctions.service import Stepfunctions as Stepfunctions
