"""The corpus: every good template deploys, updates twice, does not drift by itself, deletes and leaves nothing; every bad one
is refused before anything exists, with its message and line.

Good ones have a parameter Step. What is left is looked for in two ways: types that can read are asked for what the stack
had made, and the keys the services hold are compared with those before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ENDPOINT, Platform
from harness import Harness

from stratolite.clock import World
from stratolite.core.keys import unpack
from stratolite.errors import Fault
from stratolite.service import Spec
from stratolite.services.cloudformation.checking import findings
from stratolite.services.cloudformation.handlers import handler_of
from stratolite.services.cloudformation.template_text import read_template

HERE = Path(__file__).parents[1] / "templates"
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))
CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
KEPT_BEHIND = {
    "blob",  # code that is gone is collected later
    "cloudformation",  # deleted stacks are shown for 90 days
    "cloudtrail",  # events of everything that was asked
    "cloudwatch",  # metrics of everything; alarms are asked for
    "kms",  # keys wait for their deletion, seven days at least
    "secretsmanager",  # so do secrets
    "work",  # jobs of what is due later
}
COUNTERS = {
    ("lambda", "usage"),
    ("lambda", "layer-next"),  # a layer's numbers are never given out again
    ("dynamodb", "stream"),  # of a table that is gone, for 24 hours
    ("events", "edition"),
    ("iam", "count"),
    ("iam", "stamp"),
    ("iam", "folded-all"),  # that all names of a kind are known in small letters
    ("kinesis", "usage"),
    ("s3", "l"),  # an access log's lines, forgotten with their bucket five minutes later
    ("sqs", "gone"),  # a name is free again after a minute
}
BUCKET = "corpus-code"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(str(tmp_path_factory.mktemp("corpus") / "cloud"), World())
    harness = Harness(made.cloud)
    made.run(harness("s3", "CreateBucket", Bucket=BUCKET))
    for path in sorted((HERE / "parts").iterdir()):
        body = path.read_bytes()
        made.run(harness("s3", "PutObject", Bucket=BUCKET, Key=path.name, Body=body))
    assert ENDPOINT
    yield made
    made.close()


def held(platform: Platform) -> set[bytes]:
    """Every key of every service that is there for itself."""

    def look(tx: Any) -> set[bytes]:
        found = set()
        for key, _ in tx.scan((b"\x00", b"\xfe")):
            parts = unpack(key)
            if len(parts) < 3 or parts[2] in KEPT_BEHIND or parts[2:4] in COUNTERS:
                continue
            if parts[2] == "s3tables" and "aws-s3" in parts:
                continue  # AWS's own table bucket, once made for S3 Metadata, stays
            if parts[2] == "iam" and str(parts[-1]).lower().startswith("awsservicerolefor"):
                continue  # a service makes itself one, and it stays, as on AWS
            found.add(key)
        return found

    return platform.run(platform.cloud.db.transact(look))  # type: ignore[no-any-return]


def drop_metadata_tables(platform: Platform) -> None:
    """What a bucket's metadata configuration leaves behind: on AWS, too, its tables are deleted by hand."""
    h = Harness(platform.cloud)
    where = {"tableBucketARN": "arn:aws:s3tables:us-east-1:000000000000:bucket/aws-s3"}
    try:
        tables = platform.run(h("s3tables", "ListTables", **where))["tables"]
    except Fault:
        return
    for one in tables:
        place = {"namespace": one["namespace"][0], "name": one["name"]}
        platform.run(h("s3tables", "DeleteTable", **where, **place))


def ended(platform: Platform, operation: str, name: str, **request: Any) -> dict[str, Any]:
    """The stack when the operation has ended."""
    h = Harness(platform.cloud)
    answer = platform.run(h("cloudformation", operation, StackName=name, **request))
    stack_id = answer.get("StackId", name)
    for _ in range(6_000):
        stack = platform.run(h("cloudformation", "DescribeStacks", StackName=stack_id))["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack  # type: ignore[no-any-return]
        platform.run(platform.cloud.world.sleep(0.02))
    raise AssertionError(stack)


def why(platform: Platform, stack_id: str) -> str:
    h = Harness(platform.cloud)
    events = platform.run(h("cloudformation", "DescribeStackEvents", StackName=stack_id))
    said = [
        f"{e['LogicalResourceId']}: {e['ResourceStatusReason']}"
        for e in events["StackEvents"]
        if e["ResourceStatus"].endswith("FAILED")
    ]
    return "\n".join(said)


def drifted(platform: Platform, stack_id: str) -> list[Any]:
    h = Harness(platform.cloud)
    started = platform.run(h("cloudformation", "DetectStackDrift", StackName=stack_id))
    for _ in range(6_000):
        status = platform.run(h("cloudformation", "DescribeStackDriftDetectionStatus", **started))
        if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        platform.run(platform.cloud.world.sleep(0.01))
    shown = platform.run(h("cloudformation", "DescribeStackResourceDrifts", StackName=stack_id))
    return [
        (d["LogicalResourceId"], d.get("PropertyDifferences"), d.get("DriftStatusReason"))
        for d in shown["StackResourceDrifts"]
        if d["StackResourceDriftStatus"] not in ("IN_SYNC", "NOT_CHECKED")
    ]


def still_there(platform: Platform, stack_id: str) -> list[str]:
    """Physical resources of a deleted stack that their types still read."""
    h = Harness(platform.cloud)
    resources = platform.run(h("cloudformation", "DescribeStackResources", StackName=stack_id))
    found = []
    for one in resources["StackResources"]:
        handler = platform.cloud.resource(one["ResourceType"])
        if handler is None or not handler.can("read") or not one.get("PhysicalResourceId"):
            continue
        if one["ResourceType"].startswith(("AWS::KMS::", "AWS::CloudFormation::")):
            continue
        spec = Spec(one["ResourceType"], one["LogicalResourceId"], "s", stack_id, "", {})
        try:
            left = platform.run(handler.read(h.call(), one["PhysicalResourceId"], spec))
        except (Fault, KeyError):
            continue  # it needs its parent's name, which went with the stack
        if left is not None:
            found.append(one["PhysicalResourceId"])
    return found


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_a_template_lives_its_whole_life(platform: Platform, path: Path) -> None:
    before = held(platform)
    text, name = path.read_text(), f"corpus-{path.stem}"
    stack = ended(platform, "CreateStack", name, TemplateBody=text, Capabilities=CAPABILITIES)
    stack_id = stack["StackId"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", why(platform, stack_id)
    for step in ("2", "3"):
        stack = ended(
            platform,
            "UpdateStack",
            name,
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": "Step", "ParameterValue": step}],
            Capabilities=CAPABILITIES,
        )
        assert stack["StackStatus"] == "UPDATE_COMPLETE", (step, why(platform, stack_id))
    assert drifted(platform, stack_id) == []
    stack = ended(platform, "DeleteStack", stack_id)
    stack = platform.run(
        Harness(platform.cloud)("cloudformation", "DescribeStacks", StackName=stack_id)
    )["Stacks"][0]
    assert stack["StackStatus"] == "DELETE_COMPLETE", why(platform, stack_id)
    assert still_there(platform, stack_id) == []
    drop_metadata_tables(platform)
    for _ in range(3_000):  # what is taken away by jobs
        if not (left := held(platform) - before):
            break
        platform.run(platform.cloud.world.sleep(0.02))
    # that queues of an account are measured is a fact of the account's, not of the stack's
    assert [unpack(key)[:6] for key in sorted(left) if unpack(key)[3] != "sampled"] == []


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_a_bad_template_is_refused_before_anything_exists(platform: Platform, path: Path) -> None:
    """The first line of the file says the message, ``^`` under nothing: its line is marked ``# here``."""
    text = path.read_text()
    first = text.splitlines()[0]
    assert first.startswith("# "), "the message is missing"
    marked = [n for n, line in enumerate(text.splitlines(), 1) if line.rstrip().endswith("# here")]
    before = held(platform)
    with pytest.raises(Fault) as caught:
        ended(platform, "CreateStack", "bad", TemplateBody=text, Capabilities=CAPABILITIES)
    message = caught.value.message
    assert first[2:] in message
    lines = [int(n) for n in re.findall(r"\(line (\d+)[,)]", message)]
    if message.startswith("Nested stack"):
        lines = lines[-1:]  # the one before is the nested template's own
    assert lines == marked, message
    assert held(platform) == before


def test_a_template_that_deploys_has_no_error_in_check() -> None:
    """What is refused beforehand may never be what would have worked."""
    found = []
    for path in GOOD:
        text = path.read_text()
        found += [
            (path.name, one.message)
            for one in findings(read_template(text), text, "us-east-1", {}, handler_of)
            if one.level == "error"
        ]
    assert found == []
