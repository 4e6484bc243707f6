"""Whether the principals that a resource policy names are there: AWS lets nobody in who does not exist.

Every service says it in words of its own; who is there is IAM's to know.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import json

from stratolite.service import Call, root


def unknown(call: Call, policy: str) -> tuple[str, str] | None:
    """(kind, value) of the first principal of ``policy`` that cannot be, None if all can: ("AWS", "arn:aws:iam::...").

    ``policy`` is one that ``Document.parse`` takes. Runs in the transaction.
    """
    inside = call.scoped(call.account, call.region, root(call.account))
    found = inside.invoke("iam", "FindUnknownPrincipal", {"Policy": policy})
    return (found["Kind"], found["Value"]) if found else None


def is_known(call: Call, arn: str) -> bool:
    """The same of one principal of the kind AWS, an ARN or an account id."""
    return unknown(call, json.dumps({"Statement": [{"Principal": {"AWS": arn}}]})) is None
