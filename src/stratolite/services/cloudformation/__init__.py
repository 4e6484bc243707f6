"""CloudFormation: stacks made, changed and removed as durable jobs.

What happens to a template, and where:

    template_text   JSON or YAML with short forms -> plain data
    template        its structure, capabilities, order of dependencies
    parameters      what it declares against what is given, and against Parameter Store; ``aws_types``: things of an account
    macros          its transforms in their order: macros by Lambda, AWS::Include, ``extensions`` (ForEach and the like),
                    ``sam`` (AWS::Serverless-2016-10-31, by the official translator in a child, sam_child)
    intrinsics      Ref, Fn::..., conditions -> plain values, or Unknown as long as a resource is not there
    dynamic         {{resolve:...}}: kept as they stand, looked up for a handler at its step
    schema          AWS's resource schemas: forms, types, attributes; what a handler does not offer
    values          what a resource's service would refuse of them
    resolution      a template beside what is known: properties, needs, outputs
    examination     all of that before anything is touched, and the changes against what is there
    places          a fault that knows its place in the template, and the line of a place
    checking        the same without a server, all mistakes at once (``stratolite check``); ``handlers`` finds types for it
    template_source, proposal       from a request to what a stack shall become, nested stacks with it
    stacks, change_sets, reading, drift     the operations; ``change_tree``: a change set with those of nested stacks
    costs                           what a template's resources are billed by: EstimateTemplateCost and its page
    drift_aware, differing          change sets against what resources are, and what counts as a difference
    stack_sets, stack_set_drift     one template as stacks in accounts and regions
    registry                        which types there are, with AWS's schemas
    stack_policy, roles             what an update may do, and whom it works as
    engine          carries an operation out and survives a crash; steps, forward, rollback, removal are its parts
    nested, custom, signals         its own types, and the doors through which others answer (``resources`` lists the types)
    notices         NotificationARNs;  bus: what the default event bus is told of stacks, drift and stack sets
    state           keys

Resources are made by the services that own their types (``Resource`` of ``stratolite.service``). A handler whose
``create`` fails after it made something names it: ``Fault(..., PhysicalResourceId=...)``; the rollback deletes it.
Handlers work as the caller or the stack's role, with aws:CalledVia = cloudformation.amazonaws.com.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/
         https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
Missing, refused by name: modules, hooks, UpdatePolicy, CreationPolicy of other types than WaitCondition, DeletionPolicy
Snapshot (no type here has snapshots), in Rules Fn::ValueOf, Fn::ValueOfAll and Fn::RefAll of what is not here
(all but availability zones), SERVICE_MANAGED stack sets, registering types, generated templates, stack refactoring. A new value of an ssm dynamic reference alone changes nothing until its resource changes.
With IncludeNestedStacks a nested stack has a change set of its own if it would change; it has none, and says nothing of what is
inside, where a condition, rule or transform of its template hangs on a value that only a resource still to be made has.
Of AWS-specific parameter types the form is checked and availability zones are looked up; networks, instances, keys and
hosted zones cannot be (``stratolite check`` names such parameters). DeploymentConfig EXPRESS waits for resources as STANDARD does. ResourceProperties in events are left out.
"""

from stratolite.services.cloudformation.service import Cloudformation as Cloudformation
