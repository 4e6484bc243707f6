"""Amazon EventBridge: buses, rules with patterns or timetables, targets, archives and replays, API destinations.

    PutEvents -> events.route -> one events.deliver for each target of each rule that matches -> the target's own API

    names       ARNs and faults                            state       keys and stored formats, in full
    buses       buses, their policies, tags                rules       rules and targets, checked before they are kept
    putting     PutEvents                                  rendering   what a target is sent of an event
    archives    archives and replays                       connections connections and API destinations
    secrets     what connections have in Secrets Manager   authorizing the tokens of OAuth connections
    worker      routing, timers, replays, expiry           outgoing    one event to one target, or to its dead-letter queue
    service     all of them as one Service, and its IAM    destinations  one document to an API destination; pipes', too
    resources   CloudFormation types

This cloud's own events on default buses (``service_events``): S3 (buckets that ask for it), CloudFormation (stacks, resources, drift,
stack sets), Step Functions, CloudWatch alarms, Parameter Store, KMS, Glue's catalog, Application Auto Scaling (scaled to the most),
Scheduled Event; and management calls ("AWS API Call via CloudTrail") for rules that name that detail type, on AWS for all where there
is a trail. Not there: Tag Change on Resource, events of CloudTrail that are no calls, images of ECR (there are none).
An event that no rule and no archive of its bus could want costs a look at one key.

Entries of a request are 1 MB together, as on AWS; a target whose own limit is less (SNS and Step Functions: 256 KB) refuses, and the
event goes to the dead-letter queue, which takes 1 MiB with its attributes.

An event that PutEvents answered with an id is routed, however often the cloud is killed; a target may see it twice, as
on AWS. Matching is ``stratolite.patterns``, whose index is kept in memory and read again when the bus's ``edition``
has changed. Targets: SQS, SNS, Lambda, Kinesis, Firehose, Step Functions, log groups, buses of this and other accounts, API
destinations, REST APIs, each as far as its service is offered; every other kind is refused by name.

Different from AWS, knowingly: what is sent to a destination is proved by the connection's own sealed copy, not by its secret in
Secrets Manager, which is written with it. An event that has come over 5 buses goes no further. A firing that fell into more than a
day without a running cloud is not made up for.

Missing, refused by name: partner event sources, global endpoints, KMS keys, logging of buses, private connectivity.

Sources  https://docs.aws.amazon.com/eventbridge/latest/APIReference/
         https://docs.aws.amazon.com/eventbridge/latest/userguide/
"""

from stratolite.services.events.service import Events as Events
