"""CloudFormation's S3 types: made through the API, repeatable, and honest about what they cannot do."""

from __future__ import annotations

import pytest
from harness import run_in_cloud

from stratolite.errors import Fault
from stratolite.service import Spec
from stratolite.services.cloudformation.schema import not_offered

BUCKET, POLICY = "AWS::S3::Bucket", "AWS::S3::BucketPolicy"


def spec(kind, token="step-000000000001", **properties):
    return Spec(kind, "Site", "App", "arn:stack", token, properties)


def test_a_bucket_as_a_template_wants_it(tmp_path):
    async def body(h):
        call, kind = h.call(), h.cloud.resource(BUCKET)
        wanted = spec(
            BUCKET,
            WebsiteConfiguration={
                "IndexDocument": "index.html",
                "RoutingRules": [
                    {
                        "RedirectRule": {"ReplaceKeyWith": "x", "HttpRedirectCode": 302},
                        "RoutingRuleCondition": {"HttpErrorCodeReturnedEquals": 404},
                    }
                ],
            },
            CorsConfiguration={
                "CorsRules": [
                    {
                        "AllowedMethods": ["GET"],
                        "AllowedOrigins": ["*"],
                        "MaxAge": 9,
                        "ExposedHeaders": ["ETag"],
                    }
                ]
            },
            PublicAccessBlockConfiguration={"BlockPublicPolicy": "false"},
            OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
            BucketEncryption={
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            Tags=[{"Key": "a", "Value": "b"}],
        )
        made = await kind.create(call, wanted)
        name = made.physical_id
        assert (name, await kind.create(call, wanted)) == ("app-site-000000000001", made)
        assert made.attributes["Arn"] == f"arn:aws:s3:::{name}"
        assert made.attributes["WebsiteURL"] == f"{call.endpoint}/_aws/s3-website/{name}"
        website = await h("s3", "GetBucketWebsite", Bucket=name)
        assert website["RoutingRules"][0]["Redirect"]["HttpRedirectCode"] == "302"
        (rule,) = (await h("s3", "GetBucketCors", Bucket=name))["CORSRules"]
        assert (rule["MaxAgeSeconds"], rule["ExposeHeaders"]) == (9, ["ETag"])
        block = await h("s3", "GetPublicAccessBlock", Bucket=name)
        assert not any(block["PublicAccessBlockConfiguration"].values())
        policy = spec(
            POLICY,
            Bucket=name,
            PolicyDocument={
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": "*",
                        "Action": "s3:GetObject",
                        "Resource": f"arn:aws:s3:::{name}/*",
                    }
                ],
            },
        )
        attached = await h.cloud.resource(POLICY).create(call, policy)
        assert (await h("s3", "GetBucketPolicyStatus", Bucket=name))["PolicyStatus"]["IsPublic"]
        less = spec(BUCKET, Tags=[{"Key": "a", "Value": "c"}])
        await kind.update(call, name, wanted, less)
        assert (await h("s3", "GetBucketTagging", Bucket=name))["TagSet"] == [
            {"Key": "a", "Value": "c"}
        ]
        with pytest.raises(Fault, match="does not have a website"):
            await h("s3", "GetBucketWebsite", Bucket=name)
        for _ in range(2):
            await h.cloud.resource(POLICY).delete(call, attached.physical_id, policy)
            await kind.delete(call, name, less)

    run_in_cloud(str(tmp_path), body)


def test_somebody_s_bucket_is_not_taken_over(tmp_path):
    """A template that names an existing bucket fails, a repeat of its own step does not."""

    async def body(h):
        kind = h.cloud.resource(BUCKET)
        await h("s3", "CreateBucket", Bucket="mine")
        with pytest.raises(Fault) as error:
            await kind.create(h.call(), spec(BUCKET, BucketName="mine"))
        assert error.value.code == "BucketAlreadyOwnedByYou"
        await kind.create(h.call(), spec(BUCKET, BucketName="named"))
        await kind.create(h.call(), spec(BUCKET, BucketName="named"))
        with pytest.raises(Fault):
            await kind.create(h.call(), spec(BUCKET, token="step-000000000002", BucketName="named"))

    run_in_cloud(str(tmp_path), body)


def test_the_first_version_of_s3_metadata_is_set_and_changed(tmp_path):
    """Its table is in a table bucket of one's own, where it stays when the configuration goes."""

    async def body(h):
        kind = h.cloud.resource(BUCKET)
        lake = (await h("s3tables", "CreateTableBucket", name="lake"))["arn"]

        def told(name):
            target = {"TableBucketArn": lake, "TableName": name}
            return spec(BUCKET, MetadataTableConfiguration={"S3TablesDestination": target})

        made = await kind.create(h.call(), told("one"))
        place = made.attributes["MetadataTableConfiguration"]["S3TablesDestination"]
        assert place["TableNamespace"] == "aws_s3_metadata"

        async def ready(wanted):
            for _ in range(500):
                if await kind.stabilise(h.call(), made.physical_id, wanted):
                    return
                await h.cloud.world.sleep(0.01)
            raise AssertionError("the table is not made")

        await ready(told("one"))
        assert (await h("s3tables", "GetTable", tableArn=place["TableArn"]))["name"] == "one"
        await kind.update(h.call(), made.physical_id, told("one"), told("two"))
        await ready(told("two"))
        read = await kind.read(h.call(), made.physical_id, told("two"))
        assert read["MetadataTableConfiguration"] == told("two").properties["MetadataTableConfiguration"]  # fmt: skip
        await kind.update(h.call(), made.physical_id, told("two"), spec(BUCKET))
        read = await kind.read(h.call(), made.physical_id, told("two"))
        assert "MetadataTableConfiguration" not in read
        named = await h("s3tables", "ListTables", tableBucketARN=lake)
        assert [t["name"] for t in named["tables"]] == ["one", "two"]
        await kind.update(h.call(), made.physical_id, spec(BUCKET), told("two"))
        with pytest.raises(Fault, match="identical name"):
            await ready(told("two"))

    run_in_cloud(str(tmp_path), body)


def test_a_metadata_table_that_stays_is_not_encrypted_anew(tmp_path):
    async def body(h):
        kind = h.cloud.resource(BUCKET)
        key = (await h("kms", "CreateKey"))["KeyMetadata"]["Arn"]

        def sealed(encryption):
            journal = {"RecordExpiration": {"Expiration": "DISABLED"}, **encryption}
            return spec(BUCKET, MetadataConfiguration={"JournalTableConfiguration": journal})

        made = await kind.create(h.call(), sealed({}))
        anew = sealed({"EncryptionConfiguration": {"SseAlgorithm": "aws:kms", "KmsKeyArn": key}})
        with pytest.raises(Fault, match="settled when it is made"):
            await kind.update(h.call(), made.physical_id, sealed({}), anew)

    run_in_cloud(str(tmp_path), body)


def test_a_bucket_with_objects_is_not_deleted(tmp_path):
    async def body(h):
        kind = h.cloud.resource(BUCKET)
        made = await kind.create(h.call(), spec(BUCKET))
        await h("s3", "PutObject", Bucket=made.physical_id, Key="k", Body=b"x")
        with pytest.raises(Fault) as error:
            await kind.delete(h.call(), made.physical_id, spec(BUCKET))
        assert error.value.code == "BucketNotEmpty"

    run_in_cloud(str(tmp_path), body)


def test_every_other_property_reaches_the_bucket(tmp_path):
    async def body(h):
        kind, call = h.cloud.resource(BUCKET), h.call()
        target = (await kind.create(call, spec(BUCKET, BucketName="target"))).physical_id
        point = "arn:aws:s3:us-east-1:000000000000:accesspoint/p"
        wanted = spec(
            BUCKET,
            token="step-000000000009",
            ObjectLockEnabled="true",
            VersioningConfiguration={"Status": "Enabled"},
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": "1"}},
            },
            LifecycleConfiguration={
                "Rules": [
                    {
                        "Id": "r", "Status": "Enabled", "Prefix": "a/", "ExpirationInDays": "9",
                        "TagFilters": [{"Key": "k", "Value": "v"}],
                        "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": "1"}],
                        "NoncurrentVersionExpiration": {"NoncurrentDays": "3"},
                        "NoncurrentVersionTransitions": [
                            {"StorageClass": "Glacier", "TransitionInDays": "2", "NewerNoncurrentVersions": "4"}
                        ],
                    }
                ],
                "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
            },
            LoggingConfiguration={"DestinationBucketName": target, "LogFilePrefix": "l/"},
            AccelerateConfiguration={"AccelerationStatus": "Enabled"},
            InventoryConfigurations=[
                {
                    "Id": "i", "Enabled": "true", "IncludedObjectVersions": "All", "ScheduleFrequency": "Daily",
                    "Destination": {"BucketArn": f"arn:aws:s3:::{target}", "Format": "CSV"},
                }
            ],
            MetricsConfigurations=[
                {"Id": "m", "Prefix": "p/"},
                {"Id": "n", "AccessPointArn": point},
                {"Id": "o", "AccessPointArn": point, "Prefix": "p/"},
            ],
            BucketEncryption={
                "ServerSideEncryptionConfiguration": [
                    {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}
                ]
            },
            AbacStatus="Enabled",
            Tags=[{"Key": "a", "Value": "b"}],
        )  # fmt: skip
        name = (await kind.create(call, wanted)).physical_id
        found = await h("s3", "GetBucketLifecycleConfiguration", Bucket=name)
        assert found["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
        rule = found["Rules"][0]
        assert rule["NoncurrentVersionTransitions"] == [
            {"StorageClass": "GLACIER", "NoncurrentDays": 2, "NewerNoncurrentVersions": 4}
        ]
        metrics = await h("s3", "ListBucketMetricsConfigurations", Bucket=name)
        assert [one["Filter"] for one in metrics["MetricsConfigurationList"]] == [
            {"Prefix": "p/"},
            {"AccessPointArn": point},
            {"And": {"Prefix": "p/", "AccessPointArn": point}},
        ]
        sealed = await h("s3", "GetBucketEncryption", Bucket=name)
        (sealing,) = sealed["ServerSideEncryptionConfiguration"]["Rules"]
        assert sealing["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
        assert (await kind.read(call, name, wanted))["AbacStatus"] == "Enabled"
        tagged = spec(BUCKET, **{**wanted.properties, "Tags": [{"Key": "a", "Value": "c"}]})
        await kind.update(call, name, wanted, tagged)
        tags = await h("s3", "GetBucketTagging", Bucket=name)
        assert tags["TagSet"] == [{"Key": "a", "Value": "c"}]
        assert rule["Expiration"] == {"Days": 9}
        assert rule["Filter"]["And"]["Prefix"] == "a/"
        lock = await h("s3", "GetObjectLockConfiguration", Bucket=name)
        assert lock["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Days"] == 1
        logs = await h("s3", "GetBucketLogging", Bucket=name)
        assert logs["LoggingEnabled"]["TargetBucket"] == target
        found = await h("s3", "GetBucketInventoryConfiguration", Bucket=name, Id="i")
        assert found["InventoryConfiguration"]["IsEnabled"] is True
        kept = spec(BUCKET, VersioningConfiguration={"Status": "Enabled"})
        await kind.update(call, name, wanted, kept)
        assert (await kind.read(call, name, wanted))["AbacStatus"] == "Disabled"
        for gone in ("LifecycleConfiguration", "InventoryConfiguration"):
            more = {"Id": "i"} if gone[0] == "I" else {}
            with pytest.raises(Fault):
                await h("s3", f"GetBucket{gone}", Bucket=name, **more)

    run_in_cloud(str(tmp_path), body)


def test_a_bucket_s_name_is_made_of_a_prefix(tmp_path):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html"""
    suffix = "-000000000000-us-east-1-an"

    async def body(h):
        kind, call = h.cloud.resource(BUCKET), h.call()

        async def made(number, **properties):
            wanted = spec(BUCKET, token=f"step-{number:012}", **properties)
            name = (await kind.create(call, wanted)).physical_id
            assert (await kind.create(call, wanted)).physical_id == name
            return name

        own = {"BucketNamespace": "account-regional"}
        assert await made(1, BucketNamePrefix="data", **own) == f"data{suffix}"
        assert await made(2, BucketName=f"more{suffix}", **own) == f"more{suffix}"
        generated = await made(3, **own)
        assert generated.startswith("app-site")
        assert generated.endswith(suffix)
        assert await made(4, BucketNamePrefix="data") == "data-000000000004"
        for wrong in (
            {"BucketName": "data", **own},
            {"BucketName": "data", "BucketNamePrefix": "data"},
        ):
            with pytest.raises(Fault):
                await made(5, **wrong)

    run_in_cloud(str(tmp_path), body)


def test_an_access_point_is_changed_read_and_adopted(tmp_path):
    async def body(h):
        kind, call = h.cloud.resource("AWS::S3::AccessPoint"), h.call()
        await h("s3", "CreateBucket", Bucket="box")
        block = {"BlockPublicAcls": "true", "IgnorePublicAcls": True, "BlockPublicPolicy": "false"}
        first = spec(
            "AWS::S3::AccessPoint",
            Bucket="box",
            Name="door",
            PublicAccessBlockConfiguration=block,
            Tags=[{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}],
        )
        await kind.create(call, first)
        found = await kind.read(call, "door", first)
        assert found["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": False,
            "RestrictPublicBuckets": False,
        }
        assert found["Tags"] == first.properties["Tags"]
        arn = "arn:aws:s3:us-east-1:000000000000:accesspoint/door"
        own = {"AWS": "arn:aws:iam::000000000000:root"}
        statement = {
            "Effect": "Allow",
            "Principal": own,
            "Action": "s3:GetObject",
            "Resource": f"{arn}/object/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        second = spec(
            "AWS::S3::AccessPoint",
            Bucket="box",
            Name="door",
            Policy=policy,
            Tags=[{"Key": "a", "Value": "e"}],
        )
        await kind.update(call, "door", first, second)
        found = await kind.read(call, "door", second)
        assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
        assert (found["Policy"], found["Tags"]) == (policy, [{"Key": "a", "Value": "e"}])
        assert (await kind.adopt(call, "door", second)).attributes["Arn"] == arn
        assert await kind.identifiers(call, "") == (["door"], "")
        assert "VpcConfiguration" in not_offered(kind, {"VpcConfiguration": {"VpcId": "v"}})[0]

    run_in_cloud(str(tmp_path), body)


def test_an_access_point_comes_and_goes(tmp_path):
    async def body(h):
        kind, call = h.cloud.resource("AWS::S3::AccessPoint"), h.call()
        await h("s3", "CreateBucket", Bucket="box")
        wanted = spec("AWS::S3::AccessPoint", Bucket="box")
        for _ in range(2):  # a repeat finds its own
            made = await kind.create(call, wanted)
        await h("s3", "PutObject", Bucket=made.attributes["Alias"], Key="k", Body=b"x")
        assert (await h("s3", "GetObject", Bucket="box", Key="k"))["Body"] == b"x"
        for _ in range(2):
            await kind.delete(call, made.physical_id, wanted)
        with pytest.raises(Fault, match="does not exist"):
            await h("s3", "HeadBucket", Bucket=made.attributes["Alias"])

    run_in_cloud(str(tmp_path), body)
