"""CloudFormation types."""

RESOURCES = ()
