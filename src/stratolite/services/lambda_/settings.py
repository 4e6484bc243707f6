"""What a function's configuration may say, in AWS's own words where it may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from stratolite.runtime import programs
from stratolite.services.lambda_.names import bad, invalid, mismatch, not_offered, too_long

Record = dict[str, Any]

RUNTIMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9")
_RUNTIMES_OF_AWS = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25,"
    " python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x,"
    " dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)
_ROLE = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
_VARIABLE = r"[a-zA-Z]([a-zA-Z0-9_])+"
_RESERVED = frozenset({
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
})  # fmt: skip
_ENVIRONMENT_BYTES_MAX = 4096
_TAGS_MAX = 50

# Members that are refused when they ask for something; what asks for nothing is let through.
_NOT_OFFERED: dict[str, Callable[[Any], Any]] = {
    "VpcConfig": lambda v: v.get("SubnetIds") or v.get("SecurityGroupIds"),
    "KMSKeyArn": bool,
    "FileSystemConfigs": bool,
    "CodeSigningConfigArn": bool,
    "ImageConfig": bool,
    "SnapStart": lambda v: v.get("ApplyOn", "None") != "None",
    "TenancyConfig": bool,
    "CapacityProviderConfig": bool,
    "DurableConfig": bool,
    "RuntimeConfig": bool,
    "AcceleratorConfig": bool,
    "PublishTo": bool,
}
DEFAULTS: Record = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "EphemeralStorage": {"Size": 512},
    "TracingConfig": {"Mode": "PassThrough"},
    "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
}


def check(request: Record, *, creating: bool) -> None:
    """Raises Fault for anything a configuration may not have."""
    for field, wants in _NOT_OFFERED.items():
        if field in request and wants(request[field]):
            raise not_offered(field)
    if request.get("PackageType", "Zip") != "Zip":
        raise not_offered("PackageType Image")
    if (role := request.get("Role")) is not None and not re.fullmatch(_ROLE, role):
        raise mismatch("role", role, _ROLE)
    if (runtime := request.get("Runtime")) is not None:
        check_runtime(runtime)
    elif creating:
        raise invalid("Runtime is mandatory for functions created with deployment packages.")
    handler = request.get("Handler")
    if handler is None and creating:
        raise invalid("Handler is mandatory for functions created with deployment packages.")
    if handler is not None:
        if len(handler) > 128:
            raise too_long("handler", handler, 128)
        if not re.fullmatch(r"[^\s]+", handler):
            raise mismatch("handler", handler, r"[^\s]+")
    if len(description := request.get("Description", "")) > 256:
        raise too_long("description", description, 256)
    _range(request, "Timeout", "timeout", 1, 900)
    _range(request, "MemorySize", "memorySize", 128, 10240)
    if storage := request.get("EphemeralStorage"):
        _range(storage, "Size", "ephemeralStorage.size", 512, 10240)
    mode = request.get("TracingConfig", {}).get("Mode", "PassThrough")
    if mode not in ("PassThrough", "Active"):
        raise bad(
            "tracingConfig.mode", mode, "Member must satisfy enum value set: [Active, PassThrough]"
        )
    _architectures(request.get("Architectures"))
    _logging(request.get("LoggingConfig", {}))
    if "Environment" in request:
        _environment(request["Environment"].get("Variables", {}))
    check_tags(request.get("Tags", {}))


def check_runtime(runtime: str) -> None:
    here = (*RUNTIMES, *programs.offered())
    if runtime in here:
        return
    if runtime in programs.NODE:
        raise invalid(
            f"The runtime {runtime} needs Node, which is not on the server's machine (node in its PATH)."
        )
    if runtime in _RUNTIMES_OF_AWS.split(", "):
        offered = ", ".join(here)
        raise invalid(f"The runtime {runtime} is not offered by Stratolite yet; offered: {offered}")
    raise invalid(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set:"
        f" [{_RUNTIMES_OF_AWS}] or be a valid ARN"
    )


def check_tags(tags: dict[str, str]) -> None:
    if len(tags) > _TAGS_MAX:
        raise invalid("Number of tags exceeds resource tag limit.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise invalid(f"Tag key or value is invalid: {key}")


def configured(request: Record, base: Record) -> Record:
    """``base`` with what ``request`` sets, in the shape AWS answers."""
    config = dict(base)
    for field in ("Role", "Handler", "Runtime", "Description", "Timeout", "MemorySize"):
        if field in request:
            config[field] = request[field]
    for field in ("EphemeralStorage", "TracingConfig", "Architectures"):
        if request.get(field):
            config[field] = request[field]
    if "DeadLetterConfig" in request:
        if request["DeadLetterConfig"].get("TargetArn"):
            config["DeadLetterConfig"] = {"TargetArn": request["DeadLetterConfig"]["TargetArn"]}
        else:
            config.pop("DeadLetterConfig", None)
    if "Environment" in request:
        if request["Environment"].get("Variables") is not None:
            config["Environment"] = {"Variables": request["Environment"]["Variables"]}
        else:
            config.pop("Environment", None)
    given = request.get("LoggingConfig", {})
    logging = dict(base.get("LoggingConfig") or {})
    logging.update(given)
    logging.setdefault("LogFormat", "Text")
    logging.setdefault("LogGroup", f"/aws/lambda/{config['FunctionName']}")
    config["LoggingConfig"] = logging
    config["RuntimeVersionConfig"] = {
        "RuntimeVersionArn": f"arn:aws:lambda:{config['FunctionArn'].split(':')[3]}::runtime:{config['Runtime']}"
    }
    return config


def _range(request: Record, member: str, field: str, least: int, most: int) -> None:
    value = request.get(member)
    if value is None:
        return
    if value < least:
        raise bad(field, value, f"Member must have value greater than or equal to {least}")
    if value > most:
        raise bad(field, value, f"Member must have value less than or equal to {most}")


def _architectures(given: list[str] | None) -> None:
    if not given:
        return
    shown = f"[{', '.join(given)}]"
    if len(given) > 1:
        raise bad("architectures", shown, "Member must have length less than or equal to 1")
    if given[0] not in ("x86_64", "arm64"):
        raise bad(
            "architectures",
            shown,
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64],"
            " Member must not be null]",
        )


def _logging(config: Record) -> None:
    if config.get("LogFormat", "Text") != "Text":
        raise not_offered("LoggingConfig LogFormat JSON")
    for level in ("ApplicationLogLevel", "SystemLogLevel"):
        if config.get(level):
            raise invalid(f"{level} is only supported with LogFormat JSON.")


def _environment(variables: dict[str, str]) -> None:
    for name in variables:
        if not re.fullmatch(_VARIABLE, name):
            raise bad(
                "environment.variables",
                "{" + ", ".join(f"{k}={v}" for k, v in variables.items()) + "}",
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern:"
                f" {_VARIABLE}]",
            )
    if taken := [name for name in variables if name in _RESERVED]:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables"
            " you have provided contains reserved keys that are currently not supported for modification."
            f" Reserved keys used in this request: {', '.join(taken)}"
        )
    measured = orjson.dumps(variables)
    if len(measured) > _ENVIRONMENT_BYTES_MAX:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables"
            f" you have provided exceeded the 4KB limit. String measured: {measured.decode()}"
        )
