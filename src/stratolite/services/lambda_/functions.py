"""Functions themselves: create, read, update, delete, tags, reserved concurrency."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from stratolite.errors import Fault
from stratolite.limits import SANDBOXES_MAX
from stratolite.service import Call, Request, Response, is_number, prepared
from stratolite.services.lambda_ import bundle, destinations, layers, names, settings, state
from stratolite.services.lambda_.credentials import Credentials
from stratolite.services.lambda_.names import LATEST, Ref, invalid
from stratolite.services.lambda_.versions import blobs_of, published

_CONCURRENCY_MAX = 1000
_UNRESERVED_MIN = 100
_PAGE_COUNT_MAX = 50
_CODE_TOTAL_BYTES_MAX = 80_530_636_800


async def _before_create(service: Credentials, call: Call, request: Request) -> Request:
    ref = _own(call, request["FunctionName"])
    if len(ref.name) > 64:
        raise invalid(
            f"1 validation error detected: Value '{ref.name}' at 'functionName' failed to satisfy"
            " constraint: Member must have length less than or equal to 64"
        )
    settings.check(request, creating=True)
    await _check_role(service, call, request["Role"], ref)
    return {**request, "Code": await bundle.fetch(call, request["Code"])}


async def _before_code(_: Credentials, call: Call, request: Request) -> Request:
    names.function(call, request["FunctionName"])
    if request.get("PublishTo"):
        raise names.not_offered("PublishTo")
    if request.get("ImageUri"):
        raise invalid(
            "Please don't provide ImageUri when updating a function with packageType Zip."
        )
    settings.check({"Architectures": request.get("Architectures")}, creating=False)
    return {**request, "Code": await bundle.fetch(call, request)}


async def _before_configuration(service: Credentials, call: Call, request: Request) -> Request:
    ref = names.function(call, request["FunctionName"])
    settings.check(request, creating=False)
    if "Role" in request:
        await _check_role(service, call, request["Role"], ref)
    return request


class Functions(Credentials):
    @prepared(_before_create)
    def create_function(self, call: Call, request: Request) -> Response:
        ref, code = _own(call, request["FunctionName"]), request["Code"]
        token = request.get(
            "StackToken"
        )  # not AWS's: a stack's step finds what it made before a crash
        if (known := state.get_function(call.tx, ref)) is not None:
            if token and known.get("token") == token:
                return _answer(known, ref)
            raise names.conflict(f"Function already exist: {ref.name}")
        base = {"FunctionName": ref.name, "FunctionArn": ref.arn, **settings.DEFAULTS}
        config = settings.configured(request, base)
        _check_dead_letters(call, ref, config, request)
        found = layers.used(call, request.get("Layers") or [])
        record = {
            "layers": found,
            "config": _with_code(call, {**_layered(config, found), "State": "Active"}, code),
            "code": code._asdict(),
            "generation": call.world.uuid(),
            "reserved": None,
            "next_version": 1,
            "tags": request.get("Tags", {}),
            "token": token,
        }
        for blob in blobs_of(record):
            call.cloud.blobs.link(call.tx, blob)
        state.put_function(call.tx, ref, record)
        state.count(call.tx, ref, functions=1, code_bytes=code.size)
        if request.get(
            "Publish"
        ):  # the version's number, but, unlike an update's, the function's ARN
            return {**published(call, ref, None), "FunctionArn": ref.function_arn}
        return _answer(record, ref)

    @prepared(_before_code)
    def update_function_code(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        record, code = _get(call, ref), request["Code"]
        _check_revision(record, request)
        config = dict(record["config"])
        if request.get("Architectures"):
            config["Architectures"] = request["Architectures"]
        if request.get("DryRun"):
            return _with_code(call, config, code)
        call.cloud.blobs.link(call.tx, code.blob)
        call.cloud.blobs.unlink(call.tx, record["code"]["blob"])
        state.count(call.tx, ref, code_bytes=code.size - record["code"]["size"])
        record = {
            **record,
            "config": _with_code(call, config, code),
            "code": code._asdict(),
            "generation": call.world.uuid(),
        }
        state.put_function(call.tx, ref, record)
        if request.get("Publish"):
            return published(call, ref, None)
        return _answer(record, ref)

    @prepared(_before_configuration)
    def update_function_configuration(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        record = _get(call, ref)
        _check_revision(record, request)
        before, found = record, record["layers"]
        if "Layers" in request:
            found = layers.used(call, request["Layers"])
        config = _layered(settings.configured(request, record["config"]), found)
        _check_dead_letters(call, ref, config, request)
        record = {
            **record,
            "config": _revised(call, config),
            "layers": found,
            "generation": call.world.uuid(),
        }
        for blob in blobs_of(record):  # first link, then unlink: what stays must not die in between
            call.cloud.blobs.link(call.tx, blob)
        for blob in blobs_of(before):
            call.cloud.blobs.unlink(call.tx, blob)
        state.put_function(call.tx, ref, record)
        return _answer(record, ref)

    def get_function(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        record = _resolved(call, ref)
        answer: Response = {
            "Configuration": _answer(record, ref),
            "Code": {
                "RepositoryType": "S3",
                "Location": bundle.location(call, ref.name, record["code"]),
            },
        }
        if function := state.get_function(call.tx, ref):
            if function["tags"]:
                answer["Tags"] = function["tags"]
            if function["reserved"] is not None:
                answer["Concurrency"] = {"ReservedConcurrentExecutions": function["reserved"]}
        return answer

    def get_function_configuration(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        return _answer(_resolved(call, ref), ref)

    def list_functions(self, call: Call, request: Request) -> Response:
        every = request.get("FunctionVersion")
        if every not in (None, "ALL"):
            raise names.bad("functionVersion", every, "Member must satisfy enum value set: [ALL]")
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        last = ""
        for name, record in state.functions(
            call.tx, call.account, call.region, after(request.get("Marker"))
        ):
            if len(found) >= most:
                return {"Functions": found, "NextMarker": marker(last)}
            last, ref = name, Ref(call.account, call.region, name, None)
            if every:
                found.append(_answer(record, ref._replace(qualifier=LATEST)))
                found += [v["config"] for _, v in state.versions(call.tx, ref)]
            else:
                found.append(_answer(record, ref))
        return {"Functions": found}

    async def delete_function(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"], request.get("Qualifier"))
        if ref.qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        await call.transact(lambda inner: _delete(inner, ref))
        edition = f"{ref.function_arn}:{ref.qualifier}" if ref.qualifier else None
        call.cloud.runtime.end(ref.function_arn, edition)
        # the model leaves the status to the answer; done at once is 204, as AWS's own examples expect
        # docs.aws.amazon.com/lambda/latest/dg/example_lambda_DeleteFunction_section.html
        return {"StatusCode": 204}

    # -- reserved concurrency

    def put_function_concurrency(self, call: Call, request: Request) -> Response:
        ref = _unqualified(call, request["FunctionName"])
        record = state.get_function(call.tx, ref)
        if record is None:
            raise names.no_function(ref._replace(qualifier=LATEST))
        wanted = request["ReservedConcurrentExecutions"]
        if wanted < 0:
            raise names.bad(
                "reservedConcurrentExecutions",
                wanted,
                "Member must have value greater than or equal to 0",
            )
        now = record["reserved"] or 0
        reserved = state.usage(call.tx, ref.account, ref.region)["reserved"] - now + wanted
        if _CONCURRENCY_MAX - reserved < _UNRESERVED_MIN:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's"
                f" UnreservedConcurrentExecution below its minimum value of [{_UNRESERVED_MIN}]."
            )
        state.put_function(call.tx, ref, {**record, "reserved": wanted})
        state.count(call.tx, ref, reserved=wanted - now)
        return {"ReservedConcurrentExecutions": wanted}

    def get_function_concurrency(self, call: Call, request: Request) -> Response:
        reserved = _get(call, _unqualified(call, request["FunctionName"]))["reserved"]
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def get_function_code_signing_config(self, call: Call, request: Request) -> Response:
        """No function here has one: CreateFunction refuses it."""
        ref = _unqualified(call, request["FunctionName"])
        _get(call, ref)
        return {"FunctionName": ref.name}

    def delete_function_concurrency(self, call: Call, request: Request) -> Response:
        ref = _unqualified(call, request["FunctionName"])
        record = _get(call, ref)
        state.count(call.tx, ref, reserved=-(record["reserved"] or 0))
        state.put_function(call.tx, ref, {**record, "reserved": None})
        return {}

    def get_account_settings(self, call: Call, request: Request) -> Response:
        used = state.usage(call.tx, call.account, call.region)
        return {
            "AccountLimit": {
                "TotalCodeSize": _CODE_TOTAL_BYTES_MAX,
                "CodeSizeUnzipped": bundle.UNZIPPED_BYTES_MAX,
                "CodeSizeZipped": bundle.ZIPPED_BYTES_MAX,
                "ConcurrentExecutions": _CONCURRENCY_MAX,
                "UnreservedConcurrentExecutions": _CONCURRENCY_MAX - used["reserved"],
            },
            "AccountUsage": {
                "TotalCodeSize": used["code_bytes"],
                "FunctionCount": used["functions"],
            },
        }

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        ref = names.resource(call, request["Resource"])
        record = _get(call, ref)
        if not request.get("Tags"):
            raise invalid("An error occurred and the request cannot be processed.")
        tags = {**record["tags"], **request["Tags"]}
        settings.check_tags(tags)
        state.put_function(call.tx, ref, {**record, "tags": tags})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        ref = names.resource(call, request["Resource"])
        record = _get(call, ref)
        gone = request.get("TagKeys")
        if not gone:
            raise Fault(
                "ValidationException",
                "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint:"
                " Member must not be null",
            )
        kept = {k: v for k, v in record["tags"].items() if k not in gone}
        state.put_function(call.tx, ref, {**record, "tags": kept})
        return {}

    def list_tags(self, call: Call, request: Request) -> Response:
        return {"Tags": _get(call, names.resource(call, request["Resource"]))["tags"]}


def after(given: str | None) -> str:
    """What a Marker stands behind. Raises Fault for one that is none of ours."""
    try:
        return base64.urlsafe_b64decode(given.encode()).decode() if given else ""
    except (binascii.Error, UnicodeError) as error:
        raise invalid("Invalid pagination token") from error


def marker(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _delete(call: Call, ref: Ref) -> None:
    unlink = call.cloud.blobs.unlink
    if ref.qualifier is None:
        record = _get(call, ref)
        gone = state.delete_function(call.tx, ref)
        for each in gone:
            for blob in blobs_of(each):
                unlink(call.tx, blob)
        size = sum(each["code"]["size"] for each in gone)
        reserved = record["reserved"] or 0
        state.count(call.tx, ref, functions=-1, code_bytes=-size, reserved=-reserved)
        return
    if state.get_function(call.tx, ref) is None:
        raise names.no_function(ref._replace(qualifier=None))
    if not is_number(ref.qualifier):
        raise invalid("Deletion of aliases is not currently supported.")
    found = state.get_version(call.tx, ref, int(ref.qualifier))
    if found is None:
        return
    for name, alias in state.named(call.tx, ref, "alias"):
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if ref.qualifier in (alias["FunctionVersion"], *weights):
            raise names.conflict(f"Version {ref.qualifier} is referenced by the alias {name}.")
    state.delete_version(call.tx, ref, int(ref.qualifier))
    for blob in blobs_of(found):
        unlink(call.tx, blob)
    state.count(call.tx, ref, code_bytes=-found["code"]["size"])


def _own(call: Call, given: str) -> Ref:
    ref = names.function(call, given)
    if ref.account != call.account:
        raise invalid("A function can only be created in the caller's own account.")
    return ref._replace(qualifier=None)


def _unqualified(call: Call, given: str) -> Ref:
    ref = names.function(call, given)
    if ref.qualifier:
        raise invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support"
            " this operation. Please specify either a function name or an unqualified function ARN."
        )
    return ref


def _get(call: Call, ref: Ref) -> state.Record:
    record = state.get_function(call.tx, ref)
    if record is None:
        raise names.no_function(ref._replace(qualifier=None))
    return record


def _resolved(call: Call, ref: Ref) -> state.Record:
    found = state.resolve(call.tx, ref)
    if found is None:
        raise names.no_function(ref)
    return found[0]


def _answer(record: state.Record, ref: Ref) -> Response:
    """The configuration, under the ARN it was asked by."""
    config = {**record["config"], "FunctionArn": ref.arn}
    config.setdefault("Version", LATEST)
    return config


def _layered(config: state.Record, found: list[state.Record]) -> state.Record:
    config = {
        **config,
        "Layers": [{"Arn": layer["arn"], "CodeSize": layer["code"]["size"]} for layer in found],
    }
    if not found:
        del config["Layers"]
    return config


def _with_code(call: Call, config: state.Record, code: bundle.Code) -> state.Record:
    revised = _revised(call, config)
    revised.update(CodeSize=code.size, CodeSha256=code.sha256_base64)
    return revised


def _revised(call: Call, config: state.Record) -> state.Record:
    now = datetime.fromtimestamp(call.tx.time_s, UTC)
    return {
        **config,
        "LastModified": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}+0000",
        "RevisionId": call.world.uuid(),
        "LastUpdateStatus": "Successful",
    }


def _check_revision(record: state.Record, request: Request) -> None:
    wanted = request.get("RevisionId")
    if wanted is not None and wanted != record["config"]["RevisionId"]:
        raise names.stale()


async def _check_role(service: Credentials, call: Call, role_arn: str, ref: Ref) -> None:
    if role_arn.split(":")[4] != ref.account:
        raise Fault("AccessDeniedException", "Cross-account pass role is not allowed.", status=403)
    try:
        await service.assume(call, role_arn, ref)
    except Fault as fault:
        raise invalid("The role defined for the function cannot be assumed by Lambda.") from fault


assert SANDBOXES_MAX <= _CONCURRENCY_MAX


def _check_dead_letters(call: Call, ref: Ref, config: dict[str, Any], request: Request) -> None:
    target = (request.get("DeadLetterConfig") or {}).get("TargetArn") or ""
    destinations.check_dead_letters(call, ref, config["Role"], target)
