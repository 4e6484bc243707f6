"""Access points: create, describe, list, drop, their policies and tags; the account's public access block."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from stratolite.errors import Fault
from stratolite.policy import Document
from stratolite.policy.document import Malformed
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3control import state
from stratolite.services.s3control.job_rules import invalid
from stratolite.services.s3control.jobs import check_account, page_size

PAGE_COUNT_MAX = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,48}[a-z0-9]")
_PLACE = re.compile(r"[a-z0-9.-]{3,50}")
"""What is read as a name at all: https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_CreateAccessPoint.html"""
_TAG = re.compile(r"[\w\s+\-=._:/@]*")
_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
TAGS_COUNT_MAX = 50


class AccessPoints(Service):
    def create_access_point(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        name, bucket = request["Name"], request["Bucket"]
        if not _PLACE.fullmatch(name):
            raise Fault(
                "InvalidURI",
                "Couldn't parse the specified URI.",
                status=400,
                URI=f"accesspoint/{name}",
            )
        if not _NAME.fullmatch(name) or name.endswith("-s3alias"):
            raise invalid("Your Amazon S3 AccessPoint name is invalid")
        for member in ("VpcConfiguration", "Scope"):
            if request.get(member):
                raise Fault(
                    "NotImplemented",
                    f"s3control: access points with {member} are not offered by Stratolite",
                    status=501,
                )
        rows = state.space(call.account, call.region)
        if state.point(call.tx, rows, name) is not None:
            raise Fault(
                "AccessPointAlreadyOwnedByYou",
                "Your previous request to create the named accesspoint succeeded and you already own it.",
                status=409,
            )
        record = {
            "name": name,
            "bucket": bucket,
            "created_s": call.tx.time_s,
            "alias": f"{name[:30]}-{call.world.token(17).hex()[:34]}-s3alias"[-63:].lstrip("-"),
            "policy": None,
        }
        if (owner := request.get("BucketAccountId") or call.account) != call.account:
            record["owner"] = owner
        if tags := given_tags(request.get("Tags") or ()):
            record["tags"] = tags
        if opened := _open(request.get("PublicAccessBlockConfiguration")):
            record["open"] = opened
        try:
            self._keep(call, record)
        except Fault as fault:
            if fault.code != "NoSuchBucket":
                raise
            raise invalid(
                "Amazon S3 AccessPoint can only be created for existing bucket"
            ) from fault
        state.put_point(call.tx, rows, record)
        return {"AccessPointArn": _arn(call, name), "Alias": record["alias"]}

    def _keep(self, call: Call, record: dict[str, Any], *, fresh: bool = False) -> bool:
        """S3's copy of it, by which it finds the bucket. Whether its policy is public; ``fresh`` refuses what is blocked."""
        asked = {
            "Arn": _arn(call, record["name"]),
            "Bucket": record["bucket"],
            "Owner": record.get("owner", call.account),
            "Alias": record["alias"],
            "Policy": record["policy"],
            "Tags": record.get("tags", {}),
            "Open": record.get("open", ()),
            "Fresh": fresh,
        }
        return bool(call.invoke("s3", "KeepAccessPoint", asked)["IsPublic"])

    def keep_access_point_block(self, call: Call, asked: Request) -> Response:
        """For a stack that changes it: AWS's API has no operation for that, and no wire carries this one."""
        record = dict(self._point(call, asked))
        record["open"] = _open(asked.get("PublicAccessBlockConfiguration"))
        self._keep(call, record, fresh=True)
        state.put_point(call.tx, state.space(call.account, call.region), record)
        return {}

    def _tags_of_point(self, call: Call, name: str) -> dict[str, str]:
        return dict(self._point(call, {"Name": name}).get("tags", {}))

    def _put_tags_of_point(self, call: Call, name: str, tags: dict[str, str]) -> None:
        record = {**self._point(call, {"Name": name}), "tags": tags}
        self._keep(call, record)
        state.put_point(call.tx, state.space(call.account, call.region), record)

    def _point(self, call: Call, request: Request) -> dict[str, Any]:
        check_account(call, request)
        name = request["Name"].rpartition("/")[2]
        found = state.point(call.tx, state.space(call.account, call.region), name)
        if found is None:
            raise Fault(
                "NoSuchAccessPoint",
                "The specified accesspoint does not exist",
                status=404,
                AccessPointName=name,
            )
        return found

    def get_access_point(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        return {
            **_shown(call, found),
            "CreationDate": found["created_s"],
            "PublicAccessBlockConfiguration": {
                name: name not in found.get("open", ()) for name in _BLOCK
            },
        }

    def list_access_points(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        most = page_size(request, PAGE_COUNT_MAX)
        rows = state.space(call.account, call.region)
        every = state.points(call.tx, rows, request.get("NextToken") or "")
        if bucket := request.get("Bucket"):
            every = (one for one in every if one["bucket"] == bucket)
        listed = list(islice(every, most + 1))
        response: Response = {"AccessPointList": [_shown(call, one) for one in listed[:most]]}
        if len(listed) > most:
            response["NextToken"] = listed[most - 1]["name"]
        return response

    def delete_access_point(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        asked = {"Arn": _arn(call, found["name"]), "Alias": found["alias"]}
        call.invoke("s3", "DropAccessPoint", asked)
        state.delete_point(call.tx, state.space(call.account, call.region), found["name"])
        return {}

    def put_access_point_policy(self, call: Call, request: Request) -> Response:
        found = self._point(call, request)
        text = request["Policy"]
        arn = _arn(call, found["name"])
        try:
            document = Document.parse(text, has_principal=True)
        except Malformed as error:
            raise Fault("MalformedPolicy", str(error), status=400) from error
        for statement in document.statements:
            for resource in statement.resources:
                if resource != arn and not resource.startswith(f"{arn}/object/"):
                    raise Fault("MalformedPolicy", "Policy has invalid resource", status=400)
        self._set_policy(call, found, text)
        return {}

    def _set_policy(self, call: Call, found: dict[str, Any], text: str | None) -> None:
        record = {**found, "policy": text}
        self._keep(call, record, fresh=True)
        state.put_point(call.tx, state.space(call.account, call.region), record)

    def get_access_point_policy(self, call: Call, request: Request) -> Response:
        return {"Policy": self._policy(call, request)}

    def get_access_point_policy_status(self, call: Call, request: Request) -> Response:
        self._policy(call, request)
        return {"PolicyStatus": {"IsPublic": self._keep(call, self._point(call, request))}}

    def _policy(self, call: Call, request: Request) -> str:
        text = self._point(call, request)["policy"]
        if text is None:
            raise Fault(
                "NoSuchAccessPointPolicy",
                "The specified accesspoint policy does not exist",
                status=404,
            )
        return str(text)

    def delete_access_point_policy(self, call: Call, request: Request) -> Response:
        self._set_policy(call, self._point(call, request), None)
        return {}

    # -- the account's public access block

    def get_public_access_block(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        block = call.invoke("s3", "KeepAccountBlock", {})["Block"]
        if block is None:
            raise Fault(
                "NoSuchPublicAccessBlockConfiguration",
                "The public access block configuration was not found",
                status=404,
                AccountId=call.account,
            )
        return {"PublicAccessBlockConfiguration": dict(block)}

    def put_public_access_block(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        wanted = request["PublicAccessBlockConfiguration"]
        if not any(name in wanted for name in _BLOCK):
            raise invalid("Must specify at least one configuration.")
        call.invoke("s3", "KeepAccountBlock", {"Put": {n: bool(wanted.get(n)) for n in _BLOCK}})
        return {}

    def delete_public_access_block(self, call: Call, request: Request) -> Response:
        check_account(call, request)
        call.invoke("s3", "KeepAccountBlock", {"Put": None})
        return {}


def _open(block: dict[str, Any] | None) -> list[str]:
    """What a block leaves open; all is closed where nothing is said."""
    return [name for name in _BLOCK if not (block or {}).get(name, block is None)]


def given_tags(given: Iterable[dict[str, str]]) -> dict[str, str]:
    """Raises Fault for what is no tag, a key that is there twice, and for too many."""
    listed = list(given)
    if any("Key" not in tag or "Value" not in tag for tag in listed):
        raise Fault(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
            status=400,
        )
    tags = {tag["Key"]: tag["Value"] for tag in listed}
    if len(tags) < len(listed):
        raise _bad_tag(
            "There are duplicate tag keys in your request. Remove the duplicate tag keys and try again."
        )
    if any(key.startswith("aws:") for key in tags):
        raise _bad_tag(
            'User-defined tag keys can\'t start with "aws:". This prefix is reserved for system tags. Remove "aws:"'
            " from your tag keys and try again."
        )
    if not all(
        0 < len(k) <= 128 and len(v) <= 256 and _TAG.fullmatch(k) and _TAG.fullmatch(v)
        for k, v in tags.items()
    ):
        raise _bad_tag(
            "This request contains a tag key or value that isn't valid. Valid characters include the following:"
            " [a-zA-Z+-=._:/]. Tag keys can contain up to 128 characters. Tag values can contain up to 256 characters."
        )
    if len(tags) > TAGS_COUNT_MAX:
        raise Fault("TooManyTags", f"The number of tags exceeds {TAGS_COUNT_MAX}", status=400)
    return tags


def _bad_tag(message: str) -> Fault:
    return Fault("InvalidTag", message, status=400)


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:s3:{call.region}:{call.account}:accesspoint/{name}"


def _shown(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "Name": record["name"],
        "NetworkOrigin": "Internet",
        "Bucket": record["bucket"],
        "AccessPointArn": _arn(call, record["name"]),
        "Alias": record["alias"],
        "BucketAccountId": record.get("owner", call.account),
    }
