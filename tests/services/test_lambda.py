"""Functions, versions, aliases, permissions and their settings, through boto3.

Messages are those AWS gave, recorded in LocalStack's tests/aws/services/lambda_/test_lambda_api.snapshot.json.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from lambdas import create, role, zipped

from stratolite.http import HttpRequest
from stratolite.runtime import programs
from stratolite.services.lambda_ import settings

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def refused(call: Any, **request: Any) -> tuple[str, str, int]:
    """Code, message and status of the error a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    said = caught.value.response
    return (
        said["Error"]["Code"],
        said["Error"]["Message"],
        said["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_a_function_is_answered_as_aws_answers_it(client):
    """Templates, SDK waiters and `aws lambda` read these members."""
    made = create(
        client, "fn", Description="d", Environment={"Variables": {"AA": "1"}}, Tags={"k": "v"}
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["FunctionArn"] == f"{ARN}fn"
    assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(zipped()).digest()).decode()
    assert (made["Timeout"], made["MemorySize"], made["Version"]) == (3, 128, "$LATEST")
    assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/fn"}
    lam = client("lambda")
    lam.get_waiter("function_active_v2").wait(FunctionName="fn")
    lam.get_waiter("function_updated_v2").wait(FunctionName=f"{ARN}fn")
    got = lam.get_function(FunctionName="fn")
    assert got["Tags"] == {"k": "v"}
    assert got["Configuration"]["Environment"] == {"Variables": {"AA": "1"}}
    assert got["Configuration"]["RevisionId"] == made["RevisionId"]
    named = lam.get_function_configuration(FunctionName="fn", Qualifier="$LATEST")
    assert named["FunctionArn"] == f"{ARN}fn:$LATEST"


def test_a_function_and_its_code_survive_a_restart(client, platform):
    """The unpacked code is a cache: the blob is the truth."""
    create(client, "fn", "def handler(event, context): return 'kept'")
    platform.run(platform.cloud.close())
    shutil.rmtree(f"{platform.folder}/cache")
    platform._open()
    got = client("lambda").get_function(FunctionName="fn")["Configuration"]
    assert got["Handler"] == "index.handler"
    assert client("lambda").invoke(FunctionName="fn")["Payload"].read() == b'"kept"'


def test_the_code_can_be_downloaded_by_its_link_and_by_no_other(client, platform):
    create(client, "fn")
    link = urlsplit(client("lambda").get_function(FunctionName="fn")["Code"]["Location"])

    def get(path: str) -> tuple[int, bytes]:
        status, _, body = platform.send(
            HttpRequest("GET", path, link.query, {"host": link.netloc}, b"")
        )
        return status, body

    assert get(link.path) == (200, zipped())
    head, _, tail = link.path.rpartition(".")
    head, _, mark = head.rpartition(".")
    assert get(f"{head}.{'0' * 32}{mark[32:]}.{tail}")[0] == 403


def test_a_function_can_be_made_from_s3(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="a.zip", Body=zipped("def handler(e, c): return 's3'"))
    create(client, "fn", Code={"S3Bucket": "code", "S3Key": "a.zip"})
    assert client("lambda").invoke(FunctionName="fn")["Payload"].read() == b'"s3"'
    said = refused(
        client("lambda").update_function_code, FunctionName="fn", S3Bucket="code", S3Key="b.zip"
    )
    assert said == (
        "InvalidParameterValueException",
        (
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does"
            " not exist."
        ),
        400,
    )


OFFERED = (*settings.RUNTIMES, *programs.offered())
RUNTIMES = (
    "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25,"
    " python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x,"
    " dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2]"
)


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (
            {"Role": "r1"},
            "ValidationException",
            (
                "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy"
                r" regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
            ),
        ),
        (
            {"Role": "arn:aws:iam::000000000000:role/nobody"},
            "InvalidParameterValueException",
            "The role defined for the function cannot be assumed by Lambda.",
        ),
        (
            {"Runtime": "PYTHON3.9"},
            "InvalidParameterValueException",
            (
                "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set:"
                f" {RUNTIMES} or be a valid ARN"
            ),
        ),
        (
            {"Runtime": "java21"},
            "InvalidParameterValueException",
            f"The runtime java21 is not offered by Stratolite yet; offered: {', '.join(OFFERED)}",
        ),
        (
            {"Architectures": ["x86_64", "arm64"]},
            "ValidationException",
            (
                "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy"
                " constraint: Member must have length less than or equal to 1"
            ),
        ),
        (
            {"Code": {"ZipFile": b"no zip"}},
            "InvalidParameterValueException",
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
        (
            {"MemorySize": 10241},
            "ValidationException",
            (
                "1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member"
                " must have value less than or equal to 10240"
            ),
        ),
        (
            {"Timeout": 901},
            "ValidationException",
            (
                "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must"
                " have value less than or equal to 900"
            ),
        ),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "InvalidParameterValueException",
            (
                "Lambda was unable to configure your environment variables because the environment variables you"
                " have provided contains reserved keys that are currently not supported for modification."
                " Reserved keys used in this request: AWS_REGION"
            ),
        ),
        (
            {"Environment": {"Variables": {"LARGE_VAR": "x" * 4096}}},
            "InvalidParameterValueException",
            "Lambda was unable to configure your environment variables because the environment variables you"
            " have provided exceeded the 4KB limit. String measured: "
            + json.dumps({"LARGE_VAR": "x" * 4096}, separators=(",", ":")),
        ),
        (
            {"Tags": {str(n): "" for n in range(51)}},
            "InvalidParameterValueException",
            "Number of tags exceeds resource tag limit.",
        ),
        (
            {"FunctionName": "a" * 65},
            "InvalidParameterValueException",
            (
                f"1 validation error detected: Value '{'a' * 65}' at 'functionName' failed to satisfy constraint:"
                " Member must have length less than or equal to 64"
            ),
        ),
        (
            {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
            "InvalidParameterValueException",
            "VpcConfig is not offered by Stratolite; see docs/coverage.md",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_awss_words_and_nothing_is_made(client, wrong, code, message):
    said = refused(lambda **more: create(client, **({"name": "fn"} | more)), **_renamed(wrong))
    assert said == (code, message, 400)
    assert client("lambda").list_functions()["Functions"] == []


def _renamed(wrong: dict[str, Any]) -> dict[str, Any]:
    return {("name" if key == "FunctionName" else key): value for key, value in wrong.items()}


def test_a_zip_above_50_mib_must_come_from_s3(client):
    said = refused(lambda: create(client, Code={"ZipFile": bytes((50 << 20) + 1)}))
    assert said == (
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes",
        413,
    )


def test_names_that_lead_nowhere_say_so(client):
    lam = client("lambda")
    create(client, "fn")
    assert refused(lam.get_function, FunctionName="no") == (
        "ResourceNotFoundException",
        f"Function not found: {ARN}no",
        404,
    )
    assert (
        refused(lam.get_function, FunctionName="fn", Qualifier="7")[1]
        == f"Function not found: {ARN}fn:7"
    )
    assert refused(lam.get_function, FunctionName=f"{ARN}fn:1", Qualifier="2") == (
        "InvalidParameterValueException",
        "The derived qualifier from the function name does not match the specified qualifier.",
        400,
    )
    assert refused(lam.get_function, FunctionName=f"{ARN}fn".replace("us-east-1", "eu-west-1")) == (
        "ResourceNotFoundException",
        "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        404,
    )
    assert refused(lam.delete_function, FunctionName="fn", Qualifier="$LATEST")[1] == (
        "$LATEST version cannot be deleted without deleting the function."
    )
    assert refused(lambda: create(client, "fn"))[:2] == (
        "ResourceConflictException",
        "Function already exist: fn",
    )


def test_functions_are_listed_in_pages(client):
    for n in range(5):
        create(client, f"fn{n}")
    lam, seen, more = client("lambda"), [], {}
    while True:
        page = lam.list_functions(MaxItems=2, **more)
        assert len(page["Functions"]) <= 2
        seen += [f["FunctionName"] for f in page["Functions"]]
        if "NextMarker" not in page:
            break
        more = {"Marker": page["NextMarker"]}
    assert seen == [f"fn{n}" for n in range(5)]
    assert lam.get_account_settings()["AccountUsage"]["FunctionCount"] == 5


def test_updates_change_what_they_name_and_check_the_revision(client):
    lam = client("lambda")
    made = create(client, "fn", Environment={"Variables": {"AA": "1"}})
    changed = lam.update_function_configuration(
        FunctionName="fn", Timeout=9, RevisionId=made["RevisionId"]
    )
    assert (changed["Timeout"], changed["Environment"]) == (9, {"Variables": {"AA": "1"}})
    assert refused(
        lam.update_function_code,
        FunctionName="fn",
        ZipFile=zipped("x=1"),
        RevisionId=made["RevisionId"],
    ) == (
        "PreconditionFailedException",
        (
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to"
            " retrieve the latest Revision Id"
        ),
        412,
    )
    dry = lam.update_function_code(FunctionName="fn", ZipFile=zipped("x=1"), DryRun=True)
    assert dry["CodeSha256"] != made["CodeSha256"]
    assert lam.get_function_configuration(FunctionName="fn")["CodeSha256"] == made["CodeSha256"]


def test_code_is_let_go_of_with_the_function(client, platform):
    """A blob that nobody names is collected; one that a version still names is not."""
    create(client, "fn", Publish=True)
    lam = client("lambda")
    lam.update_function_code(FunctionName="fn", ZipFile=zipped("def handler(e, c): return 2"))
    blobs = [
        platform.run(platform.cloud.db.transact(lambda tx, q=q: _blob(tx, q)))
        for q in ("$LATEST", "1")
    ]
    assert _links(platform, blobs) == [1, 1]
    lam.delete_function(FunctionName="fn")
    assert _links(platform, blobs) == [0, 0]
    assert lam.get_account_settings()["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}


def _blob(tx: Any, qualifier: str) -> str:
    from stratolite.services.lambda_ import state
    from stratolite.services.lambda_.names import Ref

    found = state.resolve(tx, Ref("000000000000", "us-east-1", "fn", qualifier))
    assert found is not None
    return str(found[0]["code"]["blob"])


def _links(platform: Any, blobs: list[str]) -> list[int]:
    count = platform.cloud.blobs.links
    return [platform.run(platform.cloud.db.transact(lambda tx, b=b: count(tx, b))) for b in blobs]


# -- versions and aliases


def test_a_version_keeps_what_the_function_was(client):
    lam = client("lambda")
    create(client, "fn", "def handler(e, c): return c.function_version")
    assert lam.publish_version(FunctionName="fn")["Version"] == "1"
    assert lam.publish_version(FunctionName="fn")["Version"] == "1", "nothing has changed"
    lam.update_function_configuration(FunctionName="fn", Timeout=7)
    second = lam.publish_version(FunctionName="fn", Description="two")
    assert (second["Version"], second["FunctionArn"], second["Description"]) == (
        "2",
        f"{ARN}fn:2",
        "two",
    )
    listed = lam.list_versions_by_function(FunctionName="fn")["Versions"]
    assert [(v["Version"], v["Timeout"]) for v in listed] == [("$LATEST", 7), ("1", 3), ("2", 7)]
    assert lam.invoke(FunctionName="fn", Qualifier="1")["Payload"].read() == b'"1"'
    lam.delete_function(FunctionName="fn", Qualifier="1")
    assert refused(lam.invoke, FunctionName="fn:1")[0] == "ResourceNotFoundException"


def test_a_deletion_answers_that_there_is_no_content(client):
    """Programs compare the status with 204; 200 reads as a deletion that did not happen."""
    create(client, "fn", Publish=True)
    for which in ({"Qualifier": "1"}, {}):
        answer = client("lambda").delete_function(FunctionName="fn", **which)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == answer["StatusCode"] == 204


def test_an_alias_leads_to_its_version(client):
    lam = client("lambda")
    create(
        client,
        "fn",
        "def handler(e, c): return [c.function_version, c.invoked_function_arn]",
        Publish=True,
    )
    made = lam.create_alias(FunctionName="fn", Name="live", FunctionVersion="1")
    assert made["AliasArn"] == f"{ARN}fn:live"
    answer = lam.invoke(FunctionName="fn", Qualifier="live")
    assert answer["ExecutedVersion"] == "1"
    assert json.loads(answer["Payload"].read()) == ["1", f"{ARN}fn:live"]
    assert refused(lam.create_alias, FunctionName="fn", Name="live", FunctionVersion="1") == (
        "ResourceConflictException",
        f"Alias already exists: {ARN}fn:live",
        409,
    )
    assert (
        refused(lam.get_alias, FunctionName="fn", Name="x")[1]
        == f"Cannot find alias arn: {ARN}fn:x"
    )
    assert refused(lam.create_alias, FunctionName="fn", Name="b", FunctionVersion="9")[1] == (
        f"Function not found: {ARN}fn:9"
    )
    assert (
        refused(lam.delete_function, FunctionName="fn", Qualifier="1")[0]
        == "ResourceConflictException"
    )
    assert [a["Name"] for a in lam.list_aliases(FunctionName="fn")["Aliases"]] == ["live"]
    lam.delete_alias(FunctionName="fn", Name="live")
    assert lam.list_aliases(FunctionName="fn")["Aliases"] == []


def test_an_alias_shares_its_calls_by_weight(client):
    lam = client("lambda")
    create(client, "fn", Publish=True)
    lam.update_function_configuration(FunctionName="fn", Timeout=7)
    lam.publish_version(FunctionName="fn")
    lam.create_alias(
        FunctionName="fn",
        Name="all",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}},
    )
    assert lam.invoke(FunctionName="fn:all")["ExecutedVersion"] == "2"
    said = refused(
        lam.update_alias,
        FunctionName="fn",
        Name="all",
        RoutingConfig={"AdditionalVersionWeights": {"2": 2.0}},
    )
    assert said[1].startswith(
        "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed"
    )


# -- permissions


def test_the_policy_is_what_was_added(client):
    lam = client("lambda")
    create(client, "fn")
    assert refused(lam.get_policy, FunctionName="fn") == (
        "ResourceNotFoundException",
        "The resource you requested does not exist.",
        404,
    )
    added = lam.add_permission(
        FunctionName="fn",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::b",
    )
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{ARN}fn",
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}},
    }
    assert json.loads(added["Statement"]) == statement
    assert json.loads(lam.get_policy(FunctionName="fn")["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [statement],
    }
    again = {"FunctionName": "fn", "StatementId": "s3", "Action": "lambda:InvokeFunction"}
    assert refused(lam.add_permission, Principal="s3.amazonaws.com", **again) == (
        "ResourceConflictException",
        (
            "The statement id (s3) provided already exists. Please provide a new statement id, or remove the"
            " existing statement."
        ),
        409,
    )
    assert refused(lam.add_permission, Principal="invalid.nonaws.com", **again)[1] == (
        "The provided principal was invalid. Please check the principal and try again."
    )
    assert refused(lam.remove_permission, FunctionName="fn", StatementId="x")[1] == (
        "Statement x is not found in resource policy."
    )
    lam.remove_permission(FunctionName="fn", StatementId="s3")
    assert refused(lam.get_policy, FunctionName="fn")[0] == "ResourceNotFoundException"


def test_another_account_may_invoke_only_when_the_policy_says_so(client):
    create(client, "fn")
    theirs = client("lambda", account="111111111111")
    assert refused(theirs.invoke, FunctionName=f"{ARN}fn")[0] == "AccessDeniedException"
    client("lambda").add_permission(
        FunctionName="fn",
        StatementId="other",
        Action="lambda:InvokeFunction",
        Principal="111111111111",
    )
    assert theirs.invoke(FunctionName=f"{ARN}fn", Payload=b"1")["Payload"].read() == b"1"


# -- layers

LAYER = ARN.replace(":function:", ":layer:")
IMPORTS = "import one, two\ndef handler(event, context): return [one.X, two.X, one.__file__]"


def publish(client: Any, name: str, code: str, module: str) -> str:
    content = {"ZipFile": zipped(code, f"python/{module}")}
    made = client("lambda").publish_layer_version(LayerName=name, Content=content)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    return str(made["LayerVersionArn"])


def test_a_functions_layers_are_under_opt_later_ones_over_earlier_ones(client, platform):
    """https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html"""
    first, second = publish(client, "a", "X = 1", "one"), publish(client, "b", "X = 2", "two")
    third = publish(client, "c", "X = 3", "one")
    assert (first, third) == (f"{LAYER}a:1", f"{LAYER}c:1")
    made = create(client, "fn", IMPORTS, Layers=[first, second, third])
    assert [layer["Arn"] for layer in made["Layers"]] == [first, second, third]
    lam = client("lambda")
    payload = json.loads(lam.invoke(FunctionName="fn")["Payload"].read())
    assert payload[:2] == [3, 2]
    if "mounts" in platform.cloud.runtime.guards:
        assert payload[2] == "/opt/python/one.py"
    lam.update_function_configuration(FunctionName="fn", Layers=[first, second])
    assert json.loads(lam.invoke(FunctionName="fn")["Payload"].read())[0] == 1
    lam.update_function_configuration(FunctionName="fn", Timeout=9)
    assert len(lam.get_function_configuration(FunctionName="fn")["Layers"]) == 2, "they stay"


def test_a_deleted_layer_goes_on_working_where_it_is_used(client, platform):
    first, second = publish(client, "a", "X = 1", "one"), publish(client, "b", "X = 2", "two")
    create(client, "fn", IMPORTS, Layers=[first, second], Publish=True)
    lam = client("lambda")
    for name in ("a", "b"):
        lam.delete_layer_version(LayerName=name, VersionNumber=1)
    assert (
        refused(lam.get_layer_version, LayerName="a", VersionNumber=1)[0]
        == "ResourceNotFoundException"
    )
    assert refused(lambda: create(client, "fn2", Layers=[first]))[1] == (
        f"Layer version {first} does not exist."
    )
    platform.reopen()
    assert json.loads(lam.invoke(FunctionName="fn:1")["Payload"].read())[:2] == [1, 2]
    lam.delete_function(FunctionName="fn")
    assert lam.get_account_settings()["AccountUsage"]["TotalCodeSize"] == 0


def test_layer_versions_are_numbered_listed_newest_first_and_never_reused(client):
    lam = client("lambda")
    for _ in range(3):
        publish(client, "a", "X = 1", "one")
    publish(client, "b", "X = 1", "one")
    lam.delete_layer_version(LayerName="a", VersionNumber=3)
    assert publish(client, "a", "X = 1", "one") == f"{LAYER}a:4"
    page = lam.list_layer_versions(LayerName="a", MaxItems=2)
    rest = lam.list_layer_versions(LayerName="a", MaxItems=2, Marker=page["NextMarker"])
    assert [v["Version"] for v in page["LayerVersions"] + rest["LayerVersions"]] == [4, 2, 1]
    layers = lam.list_layers()["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in layers] == [
        ("a", 4),
        ("b", 1),
    ]
    got = lam.get_layer_version_by_arn(Arn=f"{LAYER}a:2")
    assert got["LayerVersionArn"] == f"{LAYER}a:2"
    assert got["Content"]["CodeSize"] > 0


# -- tags, concurrency, asynchronous settings


def test_tags_belong_to_the_function(client):
    lam = client("lambda")
    create(client, "fn", Tags={"a": "1"})
    lam.tag_resource(Resource=f"{ARN}fn", Tags={"b": "2"})
    lam.untag_resource(Resource=f"{ARN}fn", TagKeys=["a"])
    assert lam.list_tags(Resource=f"{ARN}fn")["Tags"] == {"b": "2"}
    assert refused(lam.tag_resource, Resource=f"{ARN}fn:1", Tags={"b": "2"})[1] == (
        "Tags on function aliases and versions are not supported. Please specify a function ARN."
    )


def test_reserved_concurrency_throttles(client):
    lam = client("lambda")
    create(client, "fn")
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName="fn")
    assert refused(
        lam.put_function_concurrency, FunctionName="fn", ReservedConcurrentExecutions=901
    )[1] == (
        "Specified ReservedConcurrentExecutions for function decreases account's"
        " UnreservedConcurrentExecution below its minimum value of [100]."
    )
    lam.put_function_concurrency(FunctionName="fn", ReservedConcurrentExecutions=0)
    with pytest.raises(lam.exceptions.TooManyRequestsException) as caught:
        lam.invoke(FunctionName="fn")
    assert caught.value.response["Error"]["Message"] == "Rate Exceeded."
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    lam.delete_function_concurrency(FunctionName="fn")
    assert lam.invoke(FunctionName="fn")["StatusCode"] == 200
    assert lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


def test_settings_of_asynchronous_invocations(client):
    lam = client("lambda")
    create(client, "fn")
    assert refused(lam.get_function_event_invoke_config, FunctionName="fn") == (
        "ResourceNotFoundException",
        f"The function {ARN}fn:$LATEST doesn't have an EventInvokeConfig",
        404,
    )
    assert refused(lam.put_function_event_invoke_config, FunctionName="fn")[1] == (
        "You must specify at least one of error handling or destination setting."
    )
    lam.put_function_event_invoke_config(FunctionName="fn", MaximumEventAgeInSeconds=60)
    lam.update_function_event_invoke_config(FunctionName="fn", MaximumRetryAttempts=1)
    got = lam.get_function_event_invoke_config(FunctionName="fn")
    assert (got["MaximumRetryAttempts"], got["MaximumEventAgeInSeconds"]) == (1, 60)
    assert got["FunctionArn"] == f"{ARN}fn:$LATEST"


@pytest.mark.parametrize(
    "operation",
    [
        "add_layer_version_permission",
        "put_provisioned_concurrency_config",
    ],
)
def test_what_is_not_offered_says_so(client, operation):
    lam = client("lambda")
    request: dict[str, Any] = {
        "add_layer_version_permission": {
            "LayerName": "l",
            "VersionNumber": 1,
            "StatementId": "s",
            "Action": "lambda:GetLayerVersion",
            "Principal": "*",
        },
        "put_provisioned_concurrency_config": {
            "FunctionName": "fn",
            "Qualifier": "1",
            "ProvisionedConcurrentExecutions": 1,
        },
    }[operation]
    code, message, status = refused(getattr(lam, operation), **request)
    assert (code, status) == ("NotImplemented", 501)
    assert "is not offered by Stratolite" in message


def test_a_user_needs_to_be_allowed(client):
    """Each operation asks for its own action on the function's ARN."""
    create(client, "fn")
    iam = client("iam")
    iam.create_user(UserName="u")
    keys = iam.create_access_key(UserName="u")["AccessKey"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": f"{ARN}fn"}
        ],
    }
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy))
    theirs = client("lambda", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    assert theirs.invoke(FunctionName="fn", Payload=b"1")["Payload"].read() == b"1"
    code, message, _ = refused(theirs.get_function, FunctionName="fn")
    assert code == "AccessDeniedException"
    assert f"lambda:GetFunction on resource: {ARN}fn" in message
    assert role(client)


def test_a_role_is_only_passed_by_who_may_and_never_to_another_account(client):
    """Else whoever may make functions is every role that Lambda may assume, in every account."""
    create(client, "fn")
    theirs = client("lambda", account="111111111111")
    stolen = {
        "FunctionName": "fn",
        "Runtime": "python3.12",
        "Role": role(client),
        "Handler": "main.handler",
        "Code": {"ZipFile": zipped("def handler(event, context): return 1")},
    }
    code, message, _ = refused(theirs.create_function, **stolen)
    assert code == "AccessDeniedException"
    assert f"iam:PassRole on resource: {role(client)}" in message
    assert theirs.list_functions()["Functions"] == []

    iam = client("iam")
    iam.create_user(UserName="maker")
    keys = iam.create_access_key(UserName="maker")["AccessKey"]
    maker = client("lambda", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])

    def allow(*more: dict[str, object]) -> None:
        statements = [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}, *more]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName="maker", PolicyName="p", PolicyDocument=policy)

    allow()
    change = {"FunctionName": "fn", "Role": role(client)}
    assert "iam:PassRole" in refused(maker.create_function, **stolen)[1]
    assert "iam:PassRole" in refused(maker.update_function_configuration, **change)[1]
    to_lambda = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    allow({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": to_lambda})
    maker.update_function_configuration(**change)
