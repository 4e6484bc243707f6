"""EventBridge Pipes: one source, filters, an enrichment, one target.

Stored under (account, region, "pipes"), JSON:

    ("pipe", name)              -> {request, state, wanted, reason, epoch, created_s, modified_s, tags, token, sealed}
                                   request: what was asked for, in the API's shape; epoch: grows with each start, stop and update
                                   sealed: its filters and input templates under the pipe's KMS key, null: there is no key
    ("checkpoint", name, shard) -> {sequence, done}: the last record of a stream's shard that was carried out, by every lane; of one
                                   that has not begun {type, and as that asks iterator, time (cloud clock)}

Work    pipes.change  {account, region, name}: bring a pipe to the state that is wanted of it
        pipes.read    {account, region, name, epoch, shard}: read a queue (shard "") or a shard for as long as the epoch holds.
                      Endless; one owner for each, which a restart gives to the next

Files   ``service`` the operations; ``checks`` what a pipe may say; ``journal`` its logs; ``reading`` queues and shards (``stratolite.shards``);
        ``carrying`` what was read, through the enrichment to the target; ``targets`` their APIs; ``worker``; ``items`` records as a
        pipe's events; ``sealing``; ``resources`` the CloudFormation type

All of it is done as the pipe's role, which must trust pipes.amazonaws.com, in one session until something fails or an hour is over. Sources: SQS, Kinesis, DynamoDB streams.
Enrichment: Lambda, express state machines, API destinations, REST APIs. Targets: these, SQS, SNS, Kinesis, Firehose, Step Functions, log
groups, event buses; each takes as many events at once as on AWS. Everything else is refused by name. A message whose target fails
goes back to its queue; a batch of a stream is tried again until its retries or its age are used up, then goes to the dead-letter
queue. With a ParallelizationFactor a shard's keys go in lanes, each in order.

Sources https://docs.aws.amazon.com/eventbridge/latest/pipes-reference/
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes.html
"""

from stratolite.services.pipes.service import Pipes as Pipes
