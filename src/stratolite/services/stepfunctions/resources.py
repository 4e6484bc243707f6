"""CloudFormation types of Step Functions."""

RESOURCES = ()
