"""The corpus: every good template deploys, updates twice, drifts when it is changed behind its back and not before, deletes and
leaves nothing; every bad one is refused before anything exists, with its message and line.

Good ones have a parameter Step. Behind its back means: each resource that can be updated is brought to how an earlier
step had it, by its handler, and the stack does not know; and of each type one is deleted so. What is left is looked for
in two ways: types that can read are asked for what the stack had made, and the keys the services hold are compared with
those before. The cloud clock is moved on while a test waits, so that what is due later comes at once.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from conftest import Platform
from harness import Harness

from stratolite.clock import World
from stratolite.core.keys import unpack
from stratolite.errors import Fault
from stratolite.gateway.listener import Server, serve, serve_sandbox
from stratolite.http import HttpRequest
from stratolite.runtime import Gateway
from stratolite.service import Resource, Spec
from stratolite.services.cloudformation import differing, state
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
    ("apigateway", "account"),  # the account has its settings for good
    ("lambda", "usage"),
    ("lambda", "layer-next"),  # a layer's numbers are never given out again
    ("dynamodb", "stream"),  # of a table that is gone, for 24 hours
    ("dynamodb", "import"),  # imports are listed when their tables are gone, too
    ("dynamodb", "import-token"),
    ("events", "edition"),
    ("iam", "count"),
    ("iam", "deletion-task"),  # what became of the deletion of a service's role can be asked later
    ("iam", "stamp"),
    ("iam", "folded-all"),  # that all names of a kind are known in small letters
    ("kinesis", "usage"),
    ("s3", "l"),  # an access log's lines, forgotten with their bucket five minutes later
    ("sns", "signing"),  # the key that all topics' messages are signed with
    ("sqs", "sampled"),  # that an account's queues are measured is a fact of the account's
    ("sqs", "gone"),  # a name is free again after a minute
}
UNSEEN = {
    (
        "AWS::SQS::QueuePolicy",
        "Queues",
    ): "a queue that has the policy too is not known to be one of them",
    ("AWS::SNS::TopicPolicy", "Topics"): "likewise",
    (
        "AWS::DynamoDB::GlobalTable",
        "ReadProvisionedThroughputSettings",
    ): "nowhere in force where each replica has its own",
    ("AWS::IAM::UserToGroupAddition", "GroupName"): "in another group it is another one",
    ("AWS::IAM::UserToGroupAddition", "Users"): "nor is a user that the group has otherwise",
}
ONE_WAY = {
    (
        "AWS::S3::Bucket",
        "MetadataConfiguration",
    ): "its tables stay when it goes, and their names are taken",
    ("AWS::S3::Bucket", "MetadataTableConfiguration"): "likewise",
}
"""What cannot go back to how it was."""
DEFAULTS = {
    ("AWS::Lambda::EventSourceMapping", "Enabled"): True,
    ("AWS::SNS::Topic", "TracingConfig"): "PassThrough",
}
"""Where a template states what goes without saying, taking it away changes nothing."""
BUCKET = "corpus-code"
TAKEN: set[str] = set()
"""Types of which one has been taken away behind its stack's back."""


class Behind(NamedTuple):
    handler: Resource
    physical_id: str
    now: Spec
    """As the stack has it."""
    was: Spec
    """As an earlier step had it."""
    differ: set[str]
    """What a drift must name."""
    may: set[str]
    """And what it may besides: where only one of them states something, and that is nothing."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(str(tmp_path_factory.mktemp("corpus") / "cloud"), World())
    harness = Harness(made.cloud)
    made.run(harness("s3", "CreateBucket", Bucket=BUCKET))
    for path in sorted((HERE / "parts").iterdir()):
        body = path.read_bytes()
        made.run(harness("s3", "PutObject", Bucket=BUCKET, Key=path.name, Body=body))
    committed = {"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}}
    made.run(harness("kinesis", "UpdateAccountSettings", **committed))
    server = made.run(listening(made))
    exports = (HERE / "parts" / "exports.yaml").read_text()
    elsewhere = harness.call(region="eu-west-1").request("kms", "CreateKey", {"MultiRegion": True})
    key = {
        "ParameterKey": "PrimaryKey",
        "ParameterValue": made.run(elsewhere)["KeyMetadata"]["Arn"],
    }
    ended(made, "CreateStack", "corpus-exports", TemplateBody=exports, Parameters=[key])
    yield made
    made.run(server.close(graceful=False))
    made.close()


async def listening(platform: Platform) -> Server:
    """A door for the sandboxes of functions, as the server has one: custom resources answer through it."""
    server = await serve(platform.app, "127.0.0.1", 0)
    platform.cloud.endpoint = f"http://127.0.0.1:{server.port}"
    platform.cloud.runtime.gateway = Gateway(
        platform.cloud.endpoint, server.port, lambda listener: serve_sandbox(platform.app, listener)
    )
    return server


async def further(world: World, seconds: float = 60.0) -> None:
    world.set_cloud_offset(world.cloud_offset_s + seconds)


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


def until(platform: Platform, look: Callable[[], Any], *, patience: int = 10) -> Any:
    """What ``look`` gives once it gives something; the cloud clock goes a minute further with every look after ``patience``."""
    for n in range(1_200):
        if found := look():
            return found
        if n > patience:
            platform.run(further(platform.world))
        platform.run(platform.cloud.world.sleep(0.005 if n < 50 else 0.02))
    return None


def drop_metadata_tables(platform: Platform) -> None:
    """What a bucket's metadata configuration leaves behind: on AWS, too, its tables are deleted by hand."""
    h = Harness(platform.cloud)
    for bucket in ("aws-s3", "corpus-described"):
        where = {"tableBucketARN": f"arn:aws:s3tables:us-east-1:000000000000:bucket/{bucket}"}
        try:
            tables = platform.run(h("s3tables", "ListTables", **where))["tables"]
        except Fault:
            continue
        for one in tables:
            place = {"namespace": one["namespace"][0], "name": one["name"]}
            platform.run(h("s3tables", "DeleteTable", **where, **place))
        if bucket == "corpus-described":
            for space in platform.run(h("s3tables", "ListNamespaces", **where))["namespaces"]:
                named = {"namespace": space["namespace"][0]}
                platform.run(h("s3tables", "DeleteNamespace", **where, **named))


def ended(platform: Platform, operation: str, name: str, **request: Any) -> dict[str, Any]:
    """The stack when the operation has ended."""
    h = Harness(platform.cloud)
    answer = platform.run(h("cloudformation", operation, StackName=name, **request))
    stack_id = answer.get("StackId", name)

    def look() -> Any:
        if "AWS::CloudFormation::WaitCondition" in request.get("TemplateBody", ""):
            signal(platform, stack_id)
        stack = platform.run(h("cloudformation", "DescribeStacks", StackName=stack_id))["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    stack = until(platform, look, patience=400)  # who is asked something answers in real time
    assert stack is not None, why(platform, stack_id)
    return stack  # type: ignore[no-any-return]


def signal(platform: Platform, stack_id: str) -> None:
    """What the world outside tells those that wait: through the API, and two times through each handle's URL."""
    h = Harness(platform.cloud)
    shown = platform.run(h("cloudformation", "DescribeStackResources", StackName=stack_id))
    for one in shown["StackResources"]:
        kind, status = one["ResourceType"], one["ResourceStatus"]
        name, physical_id = one["LogicalResourceId"], one.get("PhysicalResourceId")
        if kind == "AWS::CloudFormation::WaitCondition" and status == "CREATE_IN_PROGRESS":
            said = {"StackName": stack_id, "LogicalResourceId": name}
            with contextlib.suppress(Fault):  # not every condition takes signals so
                platform.run(
                    h("cloudformation", "SignalResource", **said, UniqueId="u", Status="SUCCESS")
                )
        if kind == "AWS::CloudFormation::WaitConditionHandle" and physical_id:
            for n in "ab":
                said = {"Status": "SUCCESS", "UniqueId": n, "Data": n, "Reason": "done"}
                url = urlsplit(physical_id)
                headers = {"host": url.netloc, "content-type": ""}
                body = json.dumps(said).encode()
                platform.send(HttpRequest("PUT", url.path, url.query, headers, body))


def why(platform: Platform, stack_id: str) -> str:
    h = Harness(platform.cloud)
    events = platform.run(h("cloudformation", "DescribeStackEvents", StackName=stack_id))
    said = [
        f"{e['LogicalResourceId']}: {e['ResourceStatusReason']}"
        for e in events["StackEvents"]
        if e["ResourceStatus"].endswith("FAILED")
    ]
    return "\n".join(said)


def drifted(platform: Platform, stack_id: str) -> dict[str, Any]:
    """Logical id -> the top-level properties that differ, with how; or why nothing could be said."""
    h = Harness(platform.cloud)
    started = platform.run(h("cloudformation", "DetectStackDrift", StackName=stack_id))

    def look() -> bool:
        status = platform.run(h("cloudformation", "DescribeStackDriftDetectionStatus", **started))
        return bool(status["DetectionStatus"] == "DETECTION_COMPLETE")

    assert until(platform, look)
    shown = platform.run(h("cloudformation", "DescribeStackResourceDrifts", StackName=stack_id))
    found = {}
    for d in shown["StackResourceDrifts"]:
        if d["StackResourceDriftStatus"] not in ("IN_SYNC", "NOT_CHECKED"):
            at = {
                one["PropertyPath"].split("/")[1]: one for one in d.get("PropertyDifferences", ())
            }
            found[d["LogicalResourceId"]] = at or d.get("DriftStatusReason") or "DELETED"
    return found


def records(platform: Platform, stack_id: str) -> dict[str, dict[str, Any]]:
    """What the engine keeps of a stack's resources."""
    call = Harness(platform.cloud).call()
    rows = state.rows_of(call)
    uuid = stack_id.rpartition("/")[2]
    found = platform.run(platform.cloud.db.transact(lambda tx: state.records(tx, rows, uuid)))
    return {record["id"]: record for record in found}


def behind(platform: Platform, steps: list[dict[str, dict[str, Any]]]) -> list[Behind]:
    """What of a stack an earlier step had otherwise, with what a drift back to it must name."""
    found = []
    ids = [{name: r["physical_id"] for name, r in step.items()} for step in steps]
    for name, record in steps[-1].items():
        handler = platform.cloud.resource(record["type"])
        if handler is None or not (handler.can("read") and handler.can("update")):
            continue
        if record["type"] == "AWS::CloudFormation::Stack":
            continue  # its update is part of an operation on the stack around it
        now = record["private"]["properties"]
        compared = differing.compared("us-east-1", handler, now)
        for n, earlier in reversed(list(enumerate(steps[:-1]))):
            then = earlier.get(name)
            if then is None or any(ids[n][it] != ids[-1].get(it) for it in (name, *then["needs"])):
                break  # it or what it names was another one
            was = then["private"]["properties"]
            if any((record["type"], k) in ONE_WAY and now[k] != was.get(k) for k in compared):
                break
            differ = {
                key
                for key in compared
                if differing.differences("us-east-1", handler, {key: compared[key]}, was)
                and (record["type"], key) not in UNSEEN
                and not (key not in was and DEFAULTS.get((record["type"], key)) == now[key])
            }
            if differ and not differ & handler.create_only:
                one, other = (
                    Spec(record["type"], name, "s", "arn:s/s/s", record["token"], p, "behind")
                    for p in (now, was)
                )
                may = {key for key in compared if now[key] != was.get(key)}
                found.append(Behind(handler, record["physical_id"], one, other, differ, may))
                break
    return found


def bring(platform: Platform, changes: list[Behind], *, back: bool) -> None:
    call = Harness(platform.cloud).call()
    for handler, physical_id, now, was, *_ in changes:
        old, new = (was, now) if back else (now, was)
        new = replace(new, step=platform.world.uuid())
        platform.run(handler.update(call, physical_id, old, new))
        if handler.can("stabilise"):
            asked = partial(handler.stabilise, call, physical_id, new)
            assert until(platform, lambda asked=asked: platform.run(asked()))


def take_away(platform: Platform, resources: dict[str, dict[str, Any]]) -> str:
    """Delete a resource that no other needs, of a type that no template before had; its logical id."""
    call = Harness(platform.cloud).call()
    needed = {name for record in resources.values() for name in record["needs"]}
    for name, record in resources.items():
        kind, physical_id = record["type"], record["physical_id"]
        handler = platform.cloud.resource(kind)
        if name in needed or kind in TAKEN or handler is None or not handler.can("read"):
            continue
        if kind.startswith("AWS::CloudFormation::") or kind == "AWS::ApiGateway::Account":
            continue
        TAKEN.add(kind)
        properties = record["private"]["properties"]
        spec = Spec(kind, name, "s", "arn:s/s/s", record["token"], properties, "behind")
        platform.run(handler.delete(call, physical_id, spec))
        asked = partial(handler.deleted, call, physical_id, spec)
        assert until(platform, lambda asked=asked: platform.run(asked()))
        return name
    return ""


def forget_lines(platform: Platform) -> None:
    """What functions that ran wrote stays when they are gone, as on AWS: whoever wants it away deletes the group."""
    h = Harness(platform.cloud)
    found = platform.run(h("logs", "DescribeLogGroups", logGroupNamePrefix="/aws/lambda/"))
    for group in found["logGroups"]:
        platform.run(h("logs", "DeleteLogGroup", logGroupName=group["logGroupName"]))


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
        if one["ResourceType"] == "AWS::ApiGateway::Account":
            continue  # it has its settings for good
        spec = Spec(one["ResourceType"], one["LogicalResourceId"], "s", stack_id, "", {})
        try:
            left = platform.run(handler.read(h.call(), one["PhysicalResourceId"], spec))
        except (Fault, KeyError):
            continue  # it needs its parent's name, which went with the stack
        if left is not None:
            found.append(one["PhysicalResourceId"])
    return found


def let_an_hour_pass(platform: Platform, text: str) -> None:
    """Where a table's time to live changes, which it does once an hour of the cloud clock."""
    if "TimeToLiveSpecification" in text:
        platform.run(further(platform.world, 3601.0))


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_a_template_lives_its_whole_life(platform: Platform, path: Path) -> None:
    before = held(platform)
    text, name = path.read_text(), f"corpus-{path.stem}"
    stack = ended(platform, "CreateStack", name, TemplateBody=text, Capabilities=CAPABILITIES)
    stack_id = stack["StackId"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", why(platform, stack_id)
    assert drifted(platform, stack_id) == {}
    steps = [records(platform, stack_id)]
    for step in ("2", "3"):
        let_an_hour_pass(platform, text)
        stack = ended(
            platform,
            "UpdateStack",
            name,
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": "Step", "ParameterValue": step}],
            Capabilities=CAPABILITIES,
        )
        assert stack["StackStatus"] == "UPDATE_COMPLETE", (step, why(platform, stack_id))
        assert drifted(platform, stack_id) == {}, step
        steps.append(records(platform, stack_id))
    if changes := behind(platform, steps):
        let_an_hour_pass(platform, text)
        bring(platform, changes, back=False)
        found = {name: set(at) for name, at in drifted(platform, stack_id).items()}
        expected = {change.now.logical_id: change.differ for change in changes}
        may = {change.now.logical_id: change.may for change in changes}
        assert found.keys() == expected.keys(), (found, expected)
        for name, differ in found.items():
            assert expected[name] <= differ <= may[name], (name, differ, expected[name])
        let_an_hour_pass(platform, text)
        bring(platform, changes[::-1], back=True)
        assert drifted(platform, stack_id) == {}, "brought back"
    if taken := take_away(platform, steps[-1]):
        assert drifted(platform, stack_id) == {taken: "DELETED"}
    stack = ended(platform, "DeleteStack", stack_id)
    assert stack["StackStatus"] == "DELETE_COMPLETE", why(platform, stack_id)
    assert still_there(platform, stack_id) == []

    drop_metadata_tables(platform)

    def left() -> list[Any]:
        forget_lines(platform)
        rows = [unpack(key)[:6] for key in sorted(held(platform) - before)]
        # that queues of an account are measured is a fact of the account's, not of the stack's
        return [row for row in rows if row[3] != "sampled"]

    assert until(platform, lambda: not left()), left()  # what is taken away by jobs


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
