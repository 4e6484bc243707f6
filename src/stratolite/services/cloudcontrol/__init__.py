"""Cloud Control: one create, read, update, delete and list for every resource type, over CloudFormation's handlers.

    models      a resource as Cloud Control shows and takes it: its JSON, its identifier, what a patch makes of it
    requests    the operations that change something, as durable jobs with a ProgressEvent each
    reading     GetResource, ListResources
    state       keys

A type is offered if its handler (``Resource`` of ``stratolite.service``) can ``read`` and needs no more than the primary
identifier for it (``by_identifier``). Handlers work as the caller, or as RoleArn (a role that trusts
cloudformation.amazonaws.com), with aws:CalledVia = cloudformation.amazonaws.com. This is a second API of what the
service ``cloudformation`` knows of types, so it may import it, as ``dynamodbstreams`` may DynamoDB.

Sources  https://docs.aws.amazon.com/cloudcontrolapi/latest/APIReference/
         https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-operations.html
Missing, refused by name: TypeVersionId, ListResources of types that need a ResourceModel (parts of an API, of a group).
ListResources gives the properties of the identifier; GetResource all. A cancel stops a request between its steps; what a
handler has made by then stays, as on AWS.
"""

from stratolite.services.cloudcontrol.service import Cloudcontrol as Cloudcontrol
