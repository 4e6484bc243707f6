"""Runtimes that are programs of their own: which there are here, and how each is started."""

from __future__ import annotations

import os
import shutil
from functools import cache
from typing import Any

CUSTOM = ("provided.al2023", "provided.al2")
NODE = ("nodejs24.x", "nodejs22.x", "nodejs20.x", "nodejs18.x")
_HEAP_SHARE = 0.9  # of the function's memory, for JavaScript's own
HEADROOM_MB = 1024
"""What such a program may ask the system for beyond the function's memory and never touch; the control group counts what is touched."""


MODULES = "runtimes/nodejs/node_modules"
"""In the data folder: packages that Node functions find without bringing them, as AWS's runtime has its SDK."""
SDK = (
    "api-gateway", "apigatewaymanagementapi", "apigatewayv2", "application-auto-scaling", "cloudcontrol", "cloudformation",
    "cloudtrail", "cloudwatch", "cloudwatch-logs", "dynamodb", "dynamodb-streams", "ecr", "eventbridge", "firehose", "glue",
    "iam", "kinesis", "kms", "lambda", "organizations", "pipes", "resource-groups-tagging-api", "s3", "s3-control", "scheduler",
    "secrets-manager", "sfn", "sns", "sqs", "ssm", "sts",
)  # fmt: skip
"""Clients of the SDK for JavaScript, of the services there are here."""
PACKAGES = (
    *(f"@aws-sdk/client-{name}" for name in SDK),
    "@aws-sdk/credential-providers", "@aws-sdk/lib-dynamodb", "@aws-sdk/lib-storage", "@aws-sdk/s3-request-presigner",
    "@aws-sdk/util-dynamodb", "@smithy/signature-v4",
)  # fmt: skip


@cache
def node() -> str:
    """The machine's Node, "" if there is none."""
    found = shutil.which("node")
    return os.path.realpath(found) if found else ""


def offered() -> tuple[str, ...]:
    return CUSTOM + (NODE if node() else ())


def folders() -> list[str]:
    """What must be readable in a sandbox for them, beside the system."""
    program = node()
    return [os.path.dirname(os.path.dirname(program))] if program else []


def start(runtime: str, memory_mb: int) -> dict[str, Any] | None:
    """For ``guest/bootstrap.py``: None for Python, else {"argv": [...], "env": {}}.

    In ``argv`` stands {runtime} for the folder with our own files; a single word is looked for in the code, then in /opt.
    """
    if runtime.startswith("provided"):
        return {"argv": ["bootstrap"], "env": {}, "headroom_mb": HEADROOM_MB}
    if runtime.startswith("nodejs"):
        major = runtime.removeprefix("nodejs").partition(".")[0]
        heap = f"--max-old-space-size={int(memory_mb * _HEAP_SHARE)}"
        modules = f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules"
        argv = [node(), heap, "{runtime}/node.mjs"]
        return {"argv": argv, "env": {"NODE_PATH": modules}, "headroom_mb": HEADROOM_MB}
    return None
