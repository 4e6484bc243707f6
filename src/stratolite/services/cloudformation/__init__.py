"""CloudFormation: stacks made, changed and removed as durable jobs.

What happens to a template, and where:

    template_text   JSON or YAML with short forms -> plain data
    template        its structure, capabilities, order of dependencies
    parameters      what it declares against what is given
    sam             AWS::Serverless-2016-10-31, by the official translator in a child (sam_child)
    intrinsics      Ref, Fn::..., conditions -> plain values, or Unknown as long as a resource is not there
    schema          AWS's resource schemas: forms, types, attributes
    resolution      a template beside what is known: properties, needs, outputs
    examination     all of that before anything is touched, and the changes against what is there
    template_source, proposal       from a request to what a stack shall become
    stacks, change_sets, reading    the operations
    engine          carries an operation out and survives a crash; steps, forward, rollback, removal are its parts
    state           keys

Resources are made by the services that own their types (``Resource`` of ``stratolite.service``). A handler whose
``create`` fails after it made something names it: ``Fault(..., PhysicalResourceId=...)``; the rollback deletes it.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/
         https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
Missing (refused by name): nested stacks, custom resources, macros and other transforms, dynamic references, SSM
parameter types, stack policies, rollback triggers, notifications, imports, drift, stack sets, DisableRollback of updates.
ResourceProperties in events are left out.
"""

from stratolite.services.cloudformation.service import Cloudformation as Cloudformation
