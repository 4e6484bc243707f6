"""The operations on repositories, and what IAM must allow for each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Access, Call, Request, Resource, Response, Service
from stratolite.services.ecr import state
from stratolite.services.ecr.state import Record

_ARN = re.compile(r"arn:aws:ecr:([a-z0-9-]+):(\d{12}):repository/(.+)\Z")
_PAGE = 100
_TAGS_MAX = 50
_EXCLUSIONS_MAX = 5
_INVALID_POLICY = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"


class Ecr(Service):
    name: ClassVar[str] = "ecr"
    validated: ClassVar[bool] = True

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html"""
        action = f"ecr:{operation}"
        if arn := request.get("resourceArn"):
            return ((action, str(arn)),)
        where = _registry(call, request)
        names = request.get("repositoryNames") or [request.get("repositoryName") or "*"]
        return tuple((action, _arn(where, str(name))) for name in names)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        tags = request.get("tags") or ()
        found = {f"aws:requesttag/{t['Key'].lower()}": [t["Value"]] for t in tags}
        if keys := [t["Key"] for t in tags] or request.get("tagKeys"):
            found["aws:tagkeys"] = list(keys)
        match = _ARN.match(needed[1])
        record = match and state.get(call.tx, call.keys("ecr"), match[3])
        for key, value in (record["tags"] if record else {}).items():
            found[f"aws:resourcetag/{key.lower()}"] = [value]
            found[f"ecr:resourcetag/{key.lower()}"] = [value]
        return found

    def resource_policy(self, call: Call, resource: str) -> str | None:
        match = _ARN.match(resource)
        if match is None:
            return None
        record = state.get(call.tx, call.scoped(match[2], match[1]).keys("ecr"), match[3])
        return (record["policy"] or None) if record else None

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.ecr.resources import RESOURCES

        return RESOURCES

    # -- repositories

    def create_repository(self, call: Call, request: Request) -> Response:
        where, name = _registry(call, request), request["repositoryName"]
        known = state.get(call.tx, where.keys("ecr"), name)
        token = request.get("StackToken")  # not AWS's: a repeat of a stack's step finds its own
        if known is not None:
            if token and known["token"] == token:
                return {"repository": _described(where, name, known)}
            raise Fault(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry with id '{where.account}'",
            )
        kind = (request.get("encryptionConfiguration") or {}).get("encryptionType", "AES256")
        if kind != "AES256":
            raise Fault(
                "InvalidParameterException",
                f"encryptionType {kind} is not offered by Stratolite; see docs/coverage.md",
            )
        record = {
            "made_s": call.tx.time_s,
            "scan": bool((request.get("imageScanningConfiguration") or {}).get("scanOnPush")),
            "tags": _joined({}, request.get("tags") or ()),
            "policy": "",
            "lifecycle": "",
            "token": token,
            **_mutability(request),
        }
        state.put(call.tx, where.keys("ecr"), name, record)
        return {"repository": _described(where, name, record)}

    def describe_repositories(self, call: Call, request: Request) -> Response:
        where = _registry(call, request)
        if names := request.get("repositoryNames"):
            if "maxResults" in request or "nextToken" in request:
                raise Fault(
                    "InvalidParameterException",
                    "Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'repositoryNames"
                    " can not be used with nextToken or maxResults'",
                )
            return {"repositories": [_described(where, n, _found(where, n)) for n in names]}
        most = request.get("maxResults", _PAGE)
        shown: list[Response] = []
        for name, record in state.after(call.tx, where.keys("ecr"), request.get("nextToken") or ""):
            if len(shown) == most:
                return {"repositories": shown, "nextToken": shown[-1]["repositoryName"]}
            shown.append(_described(where, name, record))
        return {"repositories": shown}

    def delete_repository(self, call: Call, request: Request) -> Response:
        """``force`` asks for nothing more: there are no images."""
        where, name = _registry(call, request), request["repositoryName"]
        record = _found(where, name)
        state.delete(call.tx, where.keys("ecr"), name)
        return {"repository": _described(where, name, record)}

    def put_image_tag_mutability(self, call: Call, request: Request) -> Response:
        changed = _mutability(request)
        record = _change(call, request, **changed)
        shown = _described(_registry(call, request), request["repositoryName"], record)
        return _answer(call, request) | {
            k: v for k, v in shown.items() if k.startswith("imageTagMutability")
        }

    def put_image_scanning_configuration(self, call: Call, request: Request) -> Response:
        scan = bool(request["imageScanningConfiguration"].get("scanOnPush"))
        _change(call, request, scan=scan)
        return _answer(call, request) | {"imageScanningConfiguration": {"scanOnPush": scan}}

    # -- policies

    def set_repository_policy(self, call: Call, request: Request) -> Response:
        text = request["policyText"]
        try:
            Document.parse(_with_resource(text), has_principal=True)
        except Malformed as error:
            raise Fault("InvalidParameterException", _INVALID_POLICY) from error
        if principals.unknown(call, text):
            raise Fault("InvalidParameterException", _INVALID_POLICY)
        _change(call, request, policy=_with_resource(text))
        return _answer(call, request) | {"policyText": text}

    def get_repository_policy(self, call: Call, request: Request) -> Response:
        text = _found(_registry(call, request), request["repositoryName"])["policy"]
        if not text:
            raise _without(call, request, "RepositoryPolicyNotFoundException", "Repository policy")
        return _answer(call, request) | {"policyText": _without_resource(text)}

    def delete_repository_policy(self, call: Call, request: Request) -> Response:
        answer = self.get_repository_policy(call, request)
        _change(call, request, policy="")
        return answer

    def put_lifecycle_policy(self, call: Call, request: Request) -> Response:
        text = request["lifecyclePolicyText"]
        _check_lifecycle(text)
        _change(call, request, lifecycle=text)
        return _answer(call, request) | {"lifecyclePolicyText": text}

    def get_lifecycle_policy(self, call: Call, request: Request) -> Response:
        text = _found(_registry(call, request), request["repositoryName"])["lifecycle"]
        if not text:
            raise _without(call, request, "LifecyclePolicyNotFoundException", "Lifecycle policy")
        return _answer(call, request) | {"lifecyclePolicyText": text}

    def delete_lifecycle_policy(self, call: Call, request: Request) -> Response:
        answer = self.get_lifecycle_policy(call, request)
        _change(call, request, lifecycle="")
        return answer

    # -- images, of which there are none

    def list_images(self, call: Call, request: Request) -> Response:
        _found(_registry(call, request), request["repositoryName"])
        return {"imageIds": []}

    def describe_images(self, call: Call, request: Request) -> Response:
        where, name = _registry(call, request), request["repositoryName"]
        _found(where, name)
        for asked in request.get("imageIds") or ():
            digest = f"'{asked['imageDigest']}'" if asked.get("imageDigest") else "'null'"
            tag = f"'{asked['imageTag']}'" if asked.get("imageTag") else "'null'"
            raise Fault(
                "ImageNotFoundException",
                f"The image with imageId {{imageDigest:{digest}, imageTag:{tag}}} does not exist within"
                f" the repository with name '{name}' in the registry with id '{where.account}'",
            )
        return {"imageDetails": []}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        where, name = _of_arn(call, request["resourceArn"])
        record = _found(where, name)
        tags = _joined(record["tags"], request["tags"])
        state.put(call.tx, where.keys("ecr"), name, {**record, "tags": tags})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        where, name = _of_arn(call, request["resourceArn"])
        record = _found(where, name)
        tags = {k: v for k, v in record["tags"].items() if k not in request["tagKeys"]}
        state.put(call.tx, where.keys("ecr"), name, {**record, "tags": tags})
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        tags = _found(*_of_arn(call, request["resourceArn"]))["tags"]
        return {"tags": [{"Key": k, "Value": v} for k, v in tags.items()]}


def _registry(call: Call, request: Request) -> Call:
    """A registry's id is its account's."""
    account = request.get("registryId") or call.account
    return call if account == call.account else call.scoped(account, call.region)


def _arn(where: Call, name: str) -> str:
    return f"arn:aws:ecr:{where.region}:{where.account}:repository/{name}"


def _of_arn(call: Call, arn: str) -> tuple[Call, str]:
    match = _ARN.match(arn)
    if match is None:
        raise Fault(
            "InvalidParameterException",
            "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'",
        )
    return call.scoped(match[2], match[1]), match[3]


def _found(where: Call, name: str) -> Record:
    record = state.get(where.tx, where.keys("ecr"), name)
    if record is None:
        raise Fault(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id '{where.account}'",
        )
    return record


def _without(call: Call, request: Request, code: str, what: str) -> Fault:
    where, name = _registry(call, request), request["repositoryName"]
    return Fault(
        code,
        f"{what} does not exist for the repository with name '{name}' in the registry with id '{where.account}'",
    )


def _change(call: Call, request: Request, **changed: Any) -> Record:
    where, name = _registry(call, request), request["repositoryName"]
    record = {**_found(where, name), **changed}
    state.put(call.tx, where.keys("ecr"), name, record)
    return record


def _answer(call: Call, request: Request) -> Response:
    account = _registry(call, request).account
    return {"registryId": account, "repositoryName": request["repositoryName"]}


def _described(where: Call, name: str, record: Record) -> Response:
    shown = {
        "repositoryArn": _arn(where, name),
        "registryId": where.account,
        "repositoryName": name,
        "repositoryUri": f"{where.account}.dkr.ecr.{where.region}.amazonaws.com/{name}",
        "createdAt": record["made_s"],
        "imageTagMutability": record["mutability"],
        "imageScanningConfiguration": {"scanOnPush": record["scan"]},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    if record["exclusions"]:
        shown["imageTagMutabilityExclusionFilters"] = record["exclusions"]
    return shown


def _mutability(request: Request) -> dict[str, Any]:
    kind = request.get("imageTagMutability", "MUTABLE")
    filters = request.get("imageTagMutabilityExclusionFilters") or []
    if bool(filters) != kind.endswith("_WITH_EXCLUSION") or len(filters) > _EXCLUSIONS_MAX:
        raise Fault(
            "InvalidParameterException",
            "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint:"
            f" 'between 1 and {_EXCLUSIONS_MAX} filters go with a mutability WITH_EXCLUSION, none with others'",
        )
    return {"mutability": kind, "exclusions": filters}


def _joined(tags: dict[str, str], more: Sequence[dict[str, str]]) -> dict[str, str]:
    for tag in more:
        if not 1 <= len(tag["Key"]) <= 128 or len(tag["Value"]) > 256:
            raise Fault(
                "InvalidTagParameterException",
                "A tag's key has 1 to 128 characters, its value up to 256.",
            )
    joined = tags | {t["Key"]: t["Value"] for t in more}
    if len(joined) > _TAGS_MAX:
        raise Fault("TooManyTagsException", f"A repository has up to {_TAGS_MAX} tags.")
    return joined


def _with_resource(text: str) -> str:
    """A repository's policy names no Resource: it is about the repository it hangs on.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
    """
    try:
        document = orjson.loads(text)
        listed = document["Statement"]
        for one in listed if isinstance(listed, list) else [listed]:
            one["Resource"] = "*"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return text  # the grammar says what is wrong with it
    return orjson.dumps(document).decode()


def _without_resource(text: str) -> str:
    document = orjson.loads(text)
    listed = document["Statement"]
    for one in listed if isinstance(listed, list) else [listed]:
        one.pop("Resource", None)
    return orjson.dumps(document).decode()


def _check_lifecycle(text: str) -> None:
    """https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html"""
    try:
        rules = orjson.loads(text)["rules"]
        numbers = [rule["rulePriority"] for rule in rules]
        good = bool(rules) and all(
            isinstance(rule["selection"], dict)
            and rule["action"]["type"] in ("expire", "transition")
            for rule in rules
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        good, numbers = False, []
    if not good or len(set(numbers)) != len(numbers):
        raise Fault(
            "InvalidParameterException",
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint:"
            " 'Lifecycle policy validation failure'",
        )
