"""What CloudFormation has and Stratolite does not offer says so by its name; none of it answers success."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

TEMPLATE = "Resources: {Q: {Type: 'AWS::SQS::Queue'}}"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("RegisterType", {"TypeName": "My::Own::Type", "SchemaHandlerPackage": "s3://b/k"}),
    ("ActivateType", {"TypeName": "My::Own::Type"}),
    ("CreateGeneratedTemplate", {"GeneratedTemplateName": "t"}),
    ("StartResourceScan", {}),
    ("CreateStackRefactor", {"StackDefinitions": [{"StackName": "s", "TemplateBody": TEMPLATE}]}),
    ("ListHookResults", {}),
]


def test_what_is_not_offered_is_refused_by_name(client: Any) -> None:
    """Nothing can be registered: the types are AWS's own."""
    cfn = client("cloudformation")
    from stratolite.service import snake

    for operation, request in CALLS:
        with pytest.raises(ClientError, match=f"{operation} is not offered") as caught:
            getattr(cfn, snake(operation))(**request)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501, operation
