"""CloudFormation's types of Lambda and Logs: made through the API, repeatable, honest about what they cannot do."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from harness import run_in_cloud
from lambdas import TRUST, zipped

from stratolite.errors import Fault
from stratolite.service import Spec

FUNCTION = "AWS::Lambda::Function"
CODE = "def handler(event, context): return [event, context.function_version]"


def spec(kind: str, token: str = "step-000000000001", **properties: Any) -> Spec:
    return Spec(kind, "Thing", "App", "arn:stack", token, properties)


async def function(h: Any, **more: Any) -> Spec:
    with contextlib.suppress(Fault):
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    wanted = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Code": {"ZipFile": CODE},
    }
    return spec(FUNCTION, **(wanted | more))


async def invoke(h: Any, name: str) -> Any:
    answer = await h("lambda", "Invoke", FunctionName=name, Payload=b'"e"')
    return json.loads(answer["Payload"])


def test_a_function_is_made_once_changed_in_place_and_deleted(tmp_path):
    """Numbers and booleans may come as text; a step that is repeated after a crash finds its own."""

    async def body(h: Any) -> None:
        call, kind = h.call(), h.cloud.resource(FUNCTION)
        first = await function(
            h,
            Timeout="5",
            Environment={"Variables": {"ON": True}},
            Tags=[{"Key": "a", "Value": "b"}],
            ReservedConcurrentExecutions=2,
        )
        made = await kind.create(call, first)
        assert await kind.create(call, first) == made
        name = made.physical_id
        assert made.attributes["Arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
        got = await h("lambda", "GetFunction", FunctionName=name)
        assert got["Configuration"]["Timeout"] == 5
        assert got["Configuration"]["Environment"] == {"Variables": {"ON": "true"}}
        assert (got["Tags"], got["Concurrency"]) == (
            {"a": "b"},
            {"ReservedConcurrentExecutions": 2},
        )
        assert await invoke(h, name) == ["e", "$LATEST"]
        second = await function(h, Code={"ZipFile": "def handler(e, c): return 2"}, Tags=[])
        for _ in range(2):
            assert await kind.update(call, name, first, second) == made
        got = await h("lambda", "GetFunction", FunctionName=name)
        assert got["Configuration"]["Timeout"] == 3, (
            "what is not given any more is the default again"
        )
        assert got["Configuration"]["Environment"] == {"Variables": {}}
        assert "Tags" not in got
        assert "Concurrency" not in got
        assert await invoke(h, name) == 2
        for _ in range(2):
            await kind.delete(call, name, second)

    run_in_cloud(str(tmp_path / "cloud"), body)


def test_a_name_that_is_someone_elses_fails_the_step(tmp_path):
    async def body(h: Any) -> None:
        call, kind = h.call(), h.cloud.resource(FUNCTION)
        mine = await function(h, FunctionName="taken")
        await kind.create(call, mine)
        theirs = Spec(FUNCTION, "Other", "App2", "arn:stack2", "step-000000000002", mine.properties)
        with pytest.raises(Fault, match="Function already exist: taken"):
            await kind.create(call, theirs)

    run_in_cloud(str(tmp_path / "cloud"), body)


@pytest.mark.parametrize(
    "properties",
    [
        {"Layers": ["arn:aws:lambda:us-east-1:111111111111:layer:l:1"]},
        {"PackageType": "Image"},
        {"FileSystemConfigs": [{"Arn": "arn:x", "LocalMountPath": "/mnt/x"}]},
    ],
)
def test_what_is_not_offered_fails_the_step_by_name(tmp_path, properties):
    async def body(h: Any) -> None:
        wanted = await function(h, **properties)
        with pytest.raises(Fault, match="not offered by Stratolite"):
            await h.cloud.resource(FUNCTION).create(h.call(), wanted)

    run_in_cloud(str(tmp_path / "cloud"), body)


def test_what_sam_makes_of_a_function_url(tmp_path):
    """Function, Version, Alias, Permission, Url and EventInvokeConfig, each made twice, then deleted."""

    async def body(h: Any) -> None:
        call = h.call()
        wanted = await function(h)
        name = (await h.cloud.resource(FUNCTION).create(call, wanted)).physical_id

        async def make(kind: str, **properties: Any) -> Any:
            handler, step = h.cloud.resource(kind), spec(kind, **properties)
            made = await handler.create(call, step)
            assert await handler.create(call, step) == made
            steps.append((handler, made.physical_id, step))
            return made

        steps: list[Any] = []
        version = await make("AWS::Lambda::Version", FunctionName=name)
        assert version.attributes["Version"] == "1"
        assert version.physical_id.endswith(f":{name}:1")
        alias = await make(
            "AWS::Lambda::Alias", FunctionName=name, Name="live", FunctionVersion="1"
        )
        await make(
            "AWS::Lambda::Permission",
            FunctionName=alias.physical_id,
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        url = await make(
            "AWS::Lambda::Url",
            TargetFunctionArn=alias.physical_id,
            AuthType="NONE",
            Cors={"AllowOrigins": ["*"], "MaxAge": "5", "AllowCredentials": "true"},
        )
        assert url.attributes["FunctionUrl"].startswith(f"{call.endpoint}/_aws/lambda-url/")
        got = await h("lambda", "GetFunctionUrlConfig", FunctionName=name, Qualifier="live")
        assert got["Cors"] == {"AllowOrigins": ["*"], "MaxAge": 5, "AllowCredentials": True}
        layer = await make("AWS::Lambda::LayerVersion", Content={"ZipFile": zipped()})
        assert layer.physical_id.endswith(":1")
        await make(
            "AWS::Lambda::EventInvokeConfig",
            FunctionName=name,
            Qualifier="live",
            MaximumRetryAttempts="1",
        )
        for _ in range(2):
            for handler, id_, step in reversed(steps):
                await handler.delete(call, id_, step)
        versions = await h("lambda", "ListVersionsByFunction", FunctionName=name)
        assert len(versions["Versions"]) == 1

    run_in_cloud(str(tmp_path / "cloud"), body)


def test_a_log_group_and_its_stream(tmp_path):
    async def body(h: Any) -> None:
        call, kind = h.call(), h.cloud.resource("AWS::Logs::LogGroup")
        first = spec("AWS::Logs::LogGroup", LogGroupName="/a", RetentionInDays="7")
        made = await kind.create(call, first)
        assert await kind.create(call, first) == made
        assert made.attributes["Arn"] == "arn:aws:logs:us-east-1:000000000000:log-group:/a:*"
        stream = h.cloud.resource("AWS::Logs::LogStream")
        step = spec("AWS::Logs::LogStream", LogGroupName="/a")
        assert await stream.create(call, step) == await stream.create(call, step)
        (group,) = (await h("logs", "DescribeLogGroups"))["logGroups"]
        assert group["retentionInDays"] == 7
        second = spec("AWS::Logs::LogGroup", LogGroupName="/a", Tags=[{"Key": "k", "Value": "v"}])
        await kind.update(call, "/a", first, second)
        (group,) = (await h("logs", "DescribeLogGroups"))["logGroups"]
        assert "retentionInDays" not in group
        assert await h("logs", "ListTagsLogGroup", logGroupName="/a") == {"tags": {"k": "v"}}
        for _ in range(2):
            await kind.delete(call, "/a", second)
        assert (await h("logs", "DescribeLogGroups"))["logGroups"] == []

    run_in_cloud(str(tmp_path / "cloud"), body)
