"""EstimateTemplateCost: a page of this server that says what a template's resources cost here and are billed by on AWS.

AWS answers the URL of its calculator with a query string that describes the resources; so does this. Prices are not in it:
they change, and on AWS almost all of them hang on use that a template does not know.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_EstimateTemplateCost.html
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door, Request, Response, Service
from stratolite.services.cloudformation.examination import Before
from stratolite.services.cloudformation.finding import stack_arn
from stratolite.services.cloudformation.proposal import Proposal, prepare
from stratolite.services.cloudformation.resolution import CUSTOM
from stratolite.services.cloudformation.stacks import needed_text

DOOR = "cloudformation-cost"
_NAME = "estimate"
_COUNT_LENGTH_MAX = 6
_FREE = ("ApplicationAutoScaling", "CDK", "IAM")
_BILLED = {
    "AWS::ApiGateway::RestApi": "requests; data transferred out",
    "AWS::ApiGateway::Stage": "hours of its cache, if it has one",
    "AWS::ApiGatewayV2::Api": "requests (HTTP), or messages and connection minutes (WebSocket); data transferred out",
    CUSTOM: "what the function or topic behind it does",
    "AWS::CloudFormation::Stack": "what is in it: counted here where its template is known",
    "AWS::CloudWatch::Alarm": "alarms by month and resolution",
    "AWS::CloudWatch::CompositeAlarm": "alarms by month",
    "AWS::CloudWatch::Dashboard": "dashboards by month, beyond the free ones",
    "AWS::DynamoDB::GlobalTable": "replicated writes, reads, storage, in each region",
    "AWS::DynamoDB::Table": "reads and writes (on demand, or capacity by the hour), storage, backups, stream reads, data transferred out",
    "AWS::ECR::Repository": "storage; data transferred out",
    "AWS::Events::ApiDestination": "invocations",
    "AWS::Events::Archive": "events archived, storage, events replayed",
    "AWS::Events::EventBus": "events put",
    "AWS::Events::Rule": "nothing for a schedule or AWS's own events; events put, and what its targets do",
    "AWS::Glue::Database": "objects of the catalog beyond the free million, requests to it",
    "AWS::Glue::Partition": "objects of the catalog beyond the free million, requests to it",
    "AWS::Glue::Table": "objects of the catalog beyond the free million, requests to it",
    "AWS::KMS::Key": "keys by month, requests",
    "AWS::Kinesis::Stream": "shard hours and PUT payload units, or data in and out (on demand); longer retention",
    "AWS::Kinesis::StreamConsumer": "consumer-shard hours, data retrieved",
    "AWS::KinesisFirehose::DeliveryStream": "data ingested, and converted if it is; data delivered",
    "AWS::Lambda::Function": "requests, duration by memory size, /tmp above 512 MB; data transferred out",
    "AWS::Lambda::EventSourceMapping": "what the function it invokes does, and the requests to its source",
    "AWS::Logs::LogGroup": "data ingested, storage, data scanned by queries",
    "AWS::Pipes::Pipe": "requests, beyond its source, enrichment and target",
    "AWS::S3::Bucket": "storage by class, requests, data transferred out, replication, transitions",
    "AWS::SNS::Topic": "requests, deliveries by protocol, data transferred out",
    "AWS::SQS::Queue": "requests, data transferred out",
    "AWS::SSM::Parameter": "nothing in the standard tier; advanced parameters by month, requests at higher throughput",
    "AWS::Scheduler::Schedule": "invocations",
    "AWS::SecretsManager::RotationSchedule": "what the rotating function does, and requests",
    "AWS::SecretsManager::Secret": "secrets by month, requests",
    "AWS::StepFunctions::StateMachine": "state transitions (Standard), or requests and duration by memory (Express)",
}
_PRICES = {
    "ApiGateway": "api-gateway",
    "ApiGatewayV2": "api-gateway",
    "CloudFormation": "cloudformation",
    "CloudWatch": "cloudwatch",
    "DynamoDB": "dynamodb",
    "ECR": "ecr",
    "Events": "eventbridge",
    "Glue": "glue",
    "KMS": "kms",
    "Kinesis": "kinesis/data-streams",
    "KinesisFirehose": "firehose",
    "Lambda": "lambda",
    "Logs": "cloudwatch",
    "Pipes": "eventbridge",
    "S3": "s3",
    "SNS": "sns",
    "SQS": "sqs",
    "SSM": "systems-manager",
    "Scheduler": "eventbridge",
    "SecretsManager": "secrets-manager",
    "StepFunctions": "step-functions",
}
"""Service in a type -> its page under https://aws.amazon.com/, with /pricing/ behind it."""


class Costs(Service):
    async def estimate_template_cost(self, call: Call, request: Request) -> Response:
        asked = dict(request)
        if asked.get("TemplateBody"):
            asked.pop("TemplateURL", None)  # as documented: only the body is used
        text = await needed_text(call, asked)
        before = Before(_NAME, stack_arn(call, _NAME, call.world.uuid()))
        proposal = await prepare(call, text, request.get("Parameters") or [], {}, before)
        counted = urlencode(sorted(_count(proposal).items()))
        return {"Url": f"{call.endpoint}/_aws/{DOOR}/{_NAME}?{counted}"}


def _count(proposal: Proposal) -> Counter[str]:
    """Type -> how many, nested stacks' own with them; every custom resource under one name."""
    found: Counter[str] = Counter()
    for change in proposal.changes:
        found[CUSTOM if change.type.startswith("Custom::") else change.type] += 1
    for inside in proposal.inside.values():
        found.update(_count(inside.proposal))
    return found


def serve(call: Call, door: Door, request: HttpRequest) -> HttpResponse:
    """The page. What its query string says is shown only where it names types that are offered."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(405, [("allow", "GET, HEAD")], b"")
    rows = [_row(call, kind, count) for kind, count in parse_qsl(request.query)]
    if door.label != _NAME or door.path != "/" or not all(rows):
        said = b"this is no estimate that EstimateTemplateCost gave out\n"
        return HttpResponse(404, [("content-type", "text/plain")], said)
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Estimated cost</title></head><body>',
        "<h1>Estimated cost</h1>",
        "<p>Here: 0.00 a month, on your own disk. On AWS what follows is billed by these dimensions; Stratolite keeps no prices,",
        "and what is used a template does not say.</p>",
        "<table border=1><tr><th>Resource type<th>How many<th>Here<th>On AWS billed by<th>Prices</tr>",
        *(row for row in rows if row),
        "</table></body></html>",
        "",
    ]
    body = "\n".join(lines).encode()
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", "default-src 'none'"),
    ]
    if request.method == "HEAD":
        return HttpResponse(200, [*headers, ("content-length", str(len(body)))], b"")
    return HttpResponse(200, headers, body)


def _row(call: Call, kind: str, count: str) -> str:
    """Empty for what cannot have come from us."""
    if call.cloud.resource(kind) is None or kind.startswith("Custom::"):
        return ""
    if not count.isdecimal() or not count.isascii() or len(count) > _COUNT_LENGTH_MAX:
        return ""
    service = kind.split("::")[1]
    default = "nothing of its own" if service in (*_PRICES, *_FREE) else "not known to Stratolite"
    cells: list[Any] = [kind, count, "0.00", _BILLED.get(kind, default)]
    page = _PRICES.get(service)
    url = f"https://aws.amazon.com/{page}/pricing/" if page else ""
    link = f'<a rel="noreferrer" href="{escape(url)}">{escape(url)}</a>' if url else ""
    return f"<tr>{''.join(f'<td>{escape(str(cell))}' for cell in cells)}<td>{link}</tr>"
