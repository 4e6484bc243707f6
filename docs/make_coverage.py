"""Write docs/coverage.md: every operation of every service, offered or not, from the services themselves.

usage: make_coverage.py [--check]     --check exits 1 if what the file says of our own offer is not so

What AWS has and we have not grows with every botocore release; a new name there must not turn a checkout red.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

from stratolite import wire
from stratolite.service import Service, snake
from stratolite.services import OFFERS

TARGET = Path(__file__).with_name("coverage.md")
# Spoken by the wire already. Those without a line in the registry are listed as not offered yet.
SPOKEN = (
    "sqs", "sns", "events", "scheduler", "pipes", "kinesis", "firehose", "apigateway", "stepfunctions", "cloudwatch", "kms",
    "secretsmanager", "ssm", "athena", "glue", "rds-data", "cognito-idp", "appsync", "xray", "s3control", "dynamodbstreams",
)  # fmt: skip
# Why somebody who looks for an operation does not find it, where the service's front page is not the place to look. Names may be
# patterns; an operation belongs to the first reason that names it.
REASONS: dict[str, dict[str, tuple[str, ...]]] = {
    "dynamodb": {
        "their results are read from rules of CloudWatch Contributor Insights, which are not offered": (
            "DescribeContributorInsights", "ListContributorInsights", "UpdateContributorInsights",
        ),
        "only of global tables of version 2017.11.29, which AWS says should be avoided; UpdateTable makes replicas of version "
        "2019.11.21, UpdateTableReplicaAutoScaling scales them": (
            "CreateGlobalTable", "DescribeGlobalTable", "DescribeGlobalTableSettings", "ListGlobalTables",
            "UpdateGlobalTable", "UpdateGlobalTableSettings",
        ),
        "an exact search would read every vector for each answer, and an index of what is near is not kept": (
            "SearchVectors",
        ),
        "ImportTable makes a table of the same files, BatchWriteItem adds to one that is there": (
            "CancelBulkOperation", "DescribeBulkOperation", "ListBulkOperations", "StartBulkPutItems",
        ),
    },
    "iam": {
        "keys and passwords of CodeCommit, Keyspaces and Bedrock, which are not offered": (
            "CreateServiceSpecificCredential", "DeleteServiceSpecificCredential", "ListServiceSpecificCredentials",
            "ResetServiceSpecificCredential", "UpdateServiceSpecificCredential",
        ),
        "a partner's request for access, which somebody answers in AWS's console": (
            "AcceptDelegationRequest", "AssociateDelegationRequest", "CreateDelegationRequest", "GetDelegationRequest",
            "GetHumanReadableSummary", "ListDelegationRequests", "RejectDelegationRequest", "SendDelegationToken",
            "UpdateDelegationRequest",
        ),
        "roles made from templates that AWS keeps": (
            "AcquireRole", "GetAccountProperties", "GetRoleTemplateVersion", "PutAccountProperties",
        ),
        "each account's root is let in by `stratolite root-keys` and the default keys": (
            "DisableOrganizationsRootCredentialsManagement", "DisableOrganizationsRootSessions",
            "EnableOrganizationsRootCredentialsManagement", "EnableOrganizationsRootSessions", "ListOrganizationsFeatures",
        ),
        "a token for elsewhere is believed where its issuer can be reached, which a server of one's own cannot": (
            "DisableOutboundWebIdentityFederation", "EnableOutboundWebIdentityFederation",
            "GetOutboundWebIdentityFederationInfo",
        ),
        "GenerateServiceLastAccessedDetails says it account by account": (
            "GenerateOrganizationsAccessReport", "GetOrganizationsAccessReport",
        ),
        "IAM Identity Center is not offered": ("UpdateOpenIDConnectProvider",),
    },
    "kms": {
        "a custom key store is a CloudHSM cluster or an external key manager, which is not offered": (
            "ConnectCustomKeyStore", "CreateCustomKeyStore", "DeleteCustomKeyStore", "DescribeCustomKeyStores",
            "DisconnectCustomKeyStore", "UpdateCustomKeyStore",
        ),
        "it would be a write to the log for each use of a key; CloudTrail says who used which key and when": (
            "GetKeyLastUsage",
        ),
    },
    "s3": {
        "only directory buckets (S3 Express One Zone) have it": ("CreateSession", "ListDirectoryBuckets", "RenameObject"),
        "Object Lambda takes no new customers since November 2025": ("WriteGetObjectResponse",),
        "BitTorrent, which AWS has in no region launched after May 2016": ("GetObjectTorrent",),
    },
    "s3control": {
        "Object Lambda takes no new customers since November 2025": (
            "CreateAccessPointForObjectLambda", "DeleteAccessPointForObjectLambda",
            "DeleteAccessPointPolicyForObjectLambda", "GetAccessPointConfigurationForObjectLambda",
            "GetAccessPointForObjectLambda", "GetAccessPointPolicyForObjectLambda",
            "GetAccessPointPolicyStatusForObjectLambda", "ListAccessPointsForObjectLambda",
            "PutAccessPointConfigurationForObjectLambda", "PutAccessPointPolicyForObjectLambda",
        ),
        "for buckets on Outposts; s3 has it for the others": (
            "CreateBucket", "DeleteBucket", "DeleteBucketLifecycleConfiguration", "DeleteBucketPolicy",
            "DeleteBucketReplication", "DeleteBucketTagging", "GetBucket", "GetBucketLifecycleConfiguration",
            "GetBucketPolicy", "GetBucketReplication", "GetBucketTagging", "GetBucketVersioning", "ListRegionalBuckets",
            "PutBucketLifecycleConfiguration", "PutBucketPolicy", "PutBucketReplication", "PutBucketTagging",
            "PutBucketVersioning",
        ),
        "only access points of directory buckets have it": (
            "DeleteAccessPointScope", "GetAccessPointScope", "ListAccessPointsForDirectoryBuckets", "PutAccessPointScope",
        ),
        "which region's bucket is nearest has no answer where all regions are one machine, and its requests are signed"
        " with SigV4A": (
            "CreateMultiRegionAccessPoint", "DeleteMultiRegionAccessPoint", "DescribeMultiRegionAccessPointOperation",
            "GetMultiRegionAccessPoint", "GetMultiRegionAccessPointPolicy", "GetMultiRegionAccessPointPolicyStatus",
            "GetMultiRegionAccessPointRoutes", "ListMultiRegionAccessPoints", "PutMultiRegionAccessPointPolicy",
            "SubmitMultiRegionAccessPointRoutes",
        ),
        "it fills dashboards of AWS's console, which are not offered; an inventory says what is stored, object by object": (
            "CreateStorageLensGroup", "DeleteStorageLensConfiguration", "DeleteStorageLensConfigurationTagging",
            "DeleteStorageLensGroup", "GetStorageLensConfiguration", "GetStorageLensConfigurationTagging",
            "GetStorageLensGroup", "ListStorageLensConfigurations", "ListStorageLensGroups",
            "PutStorageLensConfiguration", "PutStorageLensConfigurationTagging", "UpdateStorageLensGroup",
        ),
        "IAM Identity Center is not offered": (
            "AssociateAccessGrantsIdentityCenter", "DissociateAccessGrantsIdentityCenter",
        ),
    },
    "cloudformation": {
        "types are AWS's own and those of services offered here; none can be registered, activated or published": (
            "ActivateType", "BatchDescribeTypeConfigurations", "DeactivateType", "DeregisterType", "DescribePublisher",
            "DescribeTypeRegistration", "ListTypeRegistrations", "PublishType", "RecordHandlerProgress", "RegisterPublisher",
            "RegisterType", "SetTypeConfiguration", "SetTypeDefaultVersion", "TestType",
        ),
        "a stack keeps the one name it was made with": ("RemoveAlias", "SetAlias"),
        "hooks, which are such types": ("DescribeChangeSetHooks", "GetHookResult", "ListHookResults"),
        "stack sets with permissions that AWS Organizations manages": (
            "ActivateOrganizationsAccess", "DeactivateOrganizationsAccess", "DescribeOrganizationsAccess",
            "ListStackSetAutoDeploymentTargets",
        ),
        "CreateStackInstances makes a set's stacks": ("ImportStacksToStackSet",),
        "a template from what is there: a change set of type IMPORT takes it in under one that was written": (
            "CreateGeneratedTemplate", "DeleteGeneratedTemplate", "DescribeGeneratedTemplate", "DescribeResourceScan",
            "GetGeneratedTemplate", "ListGeneratedTemplates", "ListResourceScanRelatedResources", "ListResourceScanResources",
            "ListResourceScans", "StartResourceScan", "UpdateGeneratedTemplate",
        ),
        "a resource moves by DeletionPolicy Retain in the one template and an import into the other": (
            "CreateStackRefactor", "DescribeStackRefactor", "ExecuteStackRefactor", "ListStackRefactorActions",
            "ListStackRefactors",
        ),
    },
    "resourcegroupstaggingapi": {
        "there are no tag policies here that something could comply with": (
            "DescribeReportCreation", "GetComplianceSummary", "ListRequiredTags", "StartReportCreation",
        ),
    },
    "secretsmanager": {
        "replicas lie in other regions of the same account": ("AssociateCrossAccountReplica", "DisassociateCrossAccountReplica"),
        "GetResourcePolicy has a secret's one policy": ("ListResourcePolicies",),
    },
    "serverlessrepo": {
        "an application is its account's own": ("GetApplicationPolicy", "PutApplicationPolicy", "UnshareApplication"),
        "nested applications are in the template, which GetCloudFormationTemplate has": ("ListApplicationDependencies",),
    },
    "ssm": {
        "a parameter is its account's own": ("DeleteResourcePolicy", "GetResourcePolicies", "PutResourcePolicy"),
        "Systems Manager beyond its Parameter Store looks after machines, of which there are none here": ("*",),
    },
    "cloudwatch": {
        "AWS's models learn what is usual for a metric; there is nothing like them here": ("*AnomalyDetector*",),
        "Contributor Insights: rules over log groups that need CloudWatch Logs Insights": ("*Insight*", "DescribeAlarmContributors"),
        "a metric goes to whoever asks for it; streams of them to Firehose are for others' systems": ("*MetricStream*",),
        "pictures are drawn by the console": ("GetMetricWidgetImage",),
        "no alarm can be muted: switch its actions off (DisableAlarmActions)": ("*AlarmMuteRule*",),
        "an alarm over a query of CloudWatch Logs Insights": ("PutLogAlarm",),
        "OpenTelemetry's way in, its data sets and the queries kept for it": ("*OTel*", "*Dataset*", "*MetricDataQueryDefinition*", "*ResourceMetricsConfiguration*"),
    },
    "events": {
        "a Route 53 health check decides which Region a global endpoint sends to, and Route 53 is not offered": (
            "CreateEndpoint", "DeleteEndpoint", "DescribeEndpoint", "ListEndpoints", "UpdateEndpoint",
        ),
        "partner event sources are set up between AWS and the partner": (
            "ActivateEventSource", "DeactivateEventSource", "DescribeEventSource", "ListEventSources", "*Partner*",
        ),
    },
    "glue": {
        "ETL: jobs, sessions, workflows, triggers and blueprints are Spark's and Python shell's, and no engine is here": (
            "*Job*", "*Session*", "*Statement*", "*Workflow*", "*Trigger*", "*Blueprint*", "*DevEndpoint*", "*Script*", "GetPlan", "GetMapping",
            "GetDataflowGraph", "*UsageProfile*", "*SecurityConfiguration*", "GetDashboardUrl",
        ),
        "crawlers look for tables; here they are made": ("*Crawler*", "*Crawls*", "*Classifier*"),
        "connections, entities and integrations reach databases and applications elsewhere": (
            "*Connection*", "*Entity*", "*Entities*", "*Integration*", "*IdentityCenter*",
        ),
        "the Schema Registry is a service of its own": ("*Registry*", "*Registries*", "*Schema*"),
        "data quality, machine learning and statistics of columns run over the data, which the catalog does not read": (
            "*DataQuality*", "*MLT*", "*MLE*", "*MLL*", "*LabelsTaskRun*", "*ColumnStatistics*",
        ),
        "the business catalog: glossaries, assets and forms": ("*Glossar*", "*Asset*", "*Attachment*", "*FormType*", "*IterableForms*"),
        "one catalog, the account's own, read by who IAM lets": (
            "*Catalog*", "*ResourcePolic*", "GetUnfiltered*",
        ),
        "what only engines use: partition indexes, optimizers, functions, materialized views, searching": (
            "*PartitionIndex*", "*TableOptimizer*", "*UserDefinedFunction*", "*MaterializedView*", "SearchTables",
        ),
    },
    "kinesis": {
        "channels write a stream to S3 or S3 Tables: Firehose does the former": ("*Channel*",),
        "queues hand out a stream's records one by one: an event source mapping, a consumer of the Kinesis Client Library or SQS does": ("*Queue*",),
    },
    "lambda": {
        "durable functions need an SDK of AWS's and a runtime that goes on where it stood; Step Functions is offered": ("*DurableExecution*",),
        "functions run on this machine, not on instances of one's own": ("*CapacityProvider*", "*FunctionScalingConfig*"),
        "nobody signs code here": ("*CodeSigningConfig*",),
        "a sandbox starts in some 10 ms; there is nothing to provision": ("*ProvisionedConcurrency*",),
        "layers and functions are shared by AddPermission on the function; a layer's own policy and resource policies as such are not kept": (
            "*LayerVersionPermission", "GetLayerVersionPolicy", "*ResourcePolicy",
        ),
        "the runtime is this machine's": ("*RuntimeManagementConfig",),
    },
    "logs": {
        "CloudWatch Logs Insights and what is made with it: queries, fields, indexes, scheduled queries, lookup tables": (
            "*Quer*", "*Index*", "GetLogGroupFields", "GetLogFields", "GetLogRecord", "GetLogObject", "*LookupTable*",
        ),
        "StartLiveTail answers on a host of its own; FilterLogEvents from the last event on does as well": ("StartLiveTail",),
        "exports and imports between services: a subscription filter to Firehose writes to S3": ("*ExportTask*", "*Import*", "*S3TableIntegration", "*Integration*"),
        "logs that other services of AWS deliver": ("*Deliver*", "*ConfigurationTemplates", "*Syslog*", "*BearerToken*"),
        "logical destinations are for subscriptions across accounts; a function or stream is named by its ARN": ("*Destination*",),
        "AWS's models: anomalies, masking of personal data, transformers": ("*Anomal*", "*DataProtection*", "*Transformer*"),
        "policies of an account for all of its groups: each group has its own filters": ("*AccountPolic*",),
        "all groups are of the class STANDARD, and DescribeLogGroups lists them": ("ListLogGroups", "ListAggregate*", "*StorageTier*", "*DeletionProtection"),
    },
    "sns": {
        "AWS's models find personal data in messages": ("GetDataProtectionPolicy", "PutDataProtectionPolicy"),
    },
    "sts": {
        "AssumeRole and GetFederationToken with a policy give a narrower session": ("GetScopedCredentials",),
        "see iam": ("AssumeRoot", "GetDelegatedAccessToken", "GetWebIdentityToken"),
    },
}  # fmt: skip


def service_class(place: str) -> type[Service]:
    module, _, name = place.partition(":")
    found: type[Service] = getattr(import_module(f"stratolite.services.{module}"), name)
    return found


def page() -> str:
    out = [
        "# Coverage",
        "",
        "Generated by `docs/make_coverage.py` from the services themselves; do not edit. An operation that is not offered",
        "answers 501 `NotImplemented` and names itself; a parameter that is not offered is refused by name. What is weak or",
        "missing inside an offered operation is in the front page of its service (`src/stratolite/services/*/__init__.py`).",
        "",
        "| service | offered | of | CloudFormation types |",
        "| --- | ---: | ---: | --- |",
    ]
    details: list[str] = []
    for offer in OFFERS:
        cls = service_class(offer.place)
        names = wire.operations(offer.service)
        offered = [n for n in names if hasattr(cls, snake(n))]
        missing = [n for n in names if n not in offered]
        types = sorted(r.type for r in cls.resources(None))  # type: ignore[arg-type]
        out.append(
            f"| [{offer.service}](#{offer.service}) | {len(offered)} | {len(names)} | {', '.join(t.removeprefix('AWS::') for t in types)} |"
        )
        details += ["", f"## {offer.service}", "", f"**Offered:** {', '.join(offered)}."]
        left = missing
        for why, of_this in REASONS.get(offer.service, {}).items():
            named = [n for n in left if any(fnmatchcase(n, pattern) for pattern in of_this)]
            if named:
                details += ["", f"Not offered: {', '.join(named)} - {why}."]
                left = [n for n in left if n not in named]
        if left:
            details += ["", f"Not offered: {', '.join(left)}."]
    offered_services = {offer.service for offer in OFFERS}
    absent = [name for name in SPOKEN if name not in offered_services]
    if absent:
        out += ["", f"Not offered yet, as whole services: {', '.join(absent)}."]
    return "\n".join([*out, *details, ""])


def promises(text: str) -> str:
    """What a page says is offered, without what AWS has beside it."""
    text = re.sub(r"^Not offered: .*\n\n?", "", text, flags=re.MULTILINE)
    return re.sub(r"^(\| \[.*?\| \d+ \|) \d+ \|", r"\1", text, flags=re.MULTILINE)


def main() -> None:
    text = page()
    if "--check" in sys.argv:
        if promises(TARGET.read_text()) != promises(text):
            sys.exit("docs/coverage.md is not what docs/make_coverage.py writes: run `make docs`")
        return
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
