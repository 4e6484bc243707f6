"""AWS Lambda: functions in Python, versions, aliases, function URLs, invocations.

Stored, all JSON, under (account, region, "lambda"); configurations are in the shape AWS answers them:

    ("function", name)               -> {config, code, layers, generation, reserved, next_version, tags, token, recursive}: $LATEST
    ("version", name, number)        -> {config, code, layers, generation}
    ("alias", name, alias)           -> AliasConfiguration
    ("policy", name, qualifier)      -> {statements, revision}; qualifier "" is the function itself
    ("url", name, qualifier)         -> FunctionUrlConfig and its id
    ("async", name, qualifier)       -> FunctionEventInvokeConfig
    ("layer", name, number)          -> {config, code, token}
    ("layer-next", name)             -> number of the next version, decimal
    ("usage",)                       -> {functions, code_bytes, reserved}: what GetAccountSettings sums up
    global ("url", id)               -> {account, region, name, qualifier}

``code`` is {blob, size, sha256}: the zip is a blob, linked once per function and version that has it.

Files  ``functions`` ``versions`` ``permissions`` ``urls`` ``layers`` operations by topic, one class in ``service``
       ``invoking`` from Invoke to a sandbox and back; ``worker`` the same for events, later and again
       ``recursion`` loops of functions, told by the trace header
       ``destinations`` where events end: records and dead letters, sent under the function's role
       ``doors`` function URLs and code downloads; ``output`` what functions print, on its way to the logs
       ``mappings`` event source mappings: ``mapping_worker`` switches them, ``mapping_queue`` and ``mapping_stream`` read
       for them, ``mapping_state`` has their keys
       ``settings`` what a configuration may say; ``names`` ARNs and qualifiers; ``bundle`` where code comes from

How far  python3.9 .. python3.14 are accepted and all run on the server's own Python version (a function's
``sys.version`` says which). nodejs18.x .. nodejs24.x run on the machine's node, if there is one, with AWS's SDK once `stratolite runtime nodejs` was run;
provided.al2 and provided.al2023 on this machine's system and processor. They are spoken to over Lambda's Runtime API, without
extensions. InvokeWithResponseStream and URLs of mode RESPONSE_STREAM answer once the handler has returned.
Other runtimes, AWS_LAMBDA_EXEC_WRAPPER, container images, VPC, file systems, SnapStart, layer permissions, code signing and
provisioned concurrency are refused by name. TracingConfig Active is kept, but nothing is traced: there is no X-Ray. Functions are Active when CreateFunction answers. A
function may be invoked at most ``SANDBOXES_MAX`` times at once, all functions together; more is throttled as by AWS's
account limit. Output is written to the logs by the platform: the function's role need not allow it, as it must on AWS.
What a sandbox is kept from: ``stratolite.runtime``.

Loops are looked for through SQS, SNS, S3 and Invoke, as by AWS; nobody is mailed about one.

Event source mappings read SQS queues, Kinesis and DynamoDB streams as the function's role, woken by what is written.
A mapping of a stream's consumer reads by iterator, too. Provisioned pollers of a queue only bound how
many batches are in hand: reading is woken by what is written. Kafka, MQ and DocumentDB sources, and with them logs of mappings, are
refused by name.

Sources  https://docs.aws.amazon.com/lambda/latest/api/ and .../latest/dg/urls-invocation.html
"""

from stratolite.services.lambda_.service import Lambda as Lambda
