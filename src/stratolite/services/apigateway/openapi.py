"""A definition in Swagger 2.0 or OpenAPI 3.0 with Amazon's extensions, read into the parts of a REST API.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-import-api.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/import-export-api-basepath.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from stratolite.errors import Fault
from stratolite.services.apigateway.parts import bad, not_offered

BODY_BYTES_MAX = 6 << 20
_ANY = "x-amazon-apigateway-any-method"
_VERBS = {v.lower(): v for v in ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD")} | {_ANY: "ANY"}  # fmt: skip
_PLACES = {"path": "path", "query": "querystring", "header": "header"}
_MODEL_REFERENCE = re.compile(r"#/(?:definitions|components/schemas)/(.+)\Z")
_DEPTH_MAX = 40
Json = dict[str, Any]


@dataclass(slots=True)
class Operation:
    """A method as the definition has it; authorizer, validator and models are named, not yet found."""

    path: str
    verb: str
    authorization: str = "NONE"
    authorizer: str | None = None
    key_required: bool = False
    name: str | None = None
    parameters: dict[str, bool] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    validator: str | None = None
    responses: dict[str, Json] = field(default_factory=dict)
    """Status -> members of a method response."""
    integration: Json | None = None
    """Members of PutIntegration."""
    integration_responses: list[Json] = field(default_factory=list)
    """Members of PutIntegrationResponse."""


@dataclass(slots=True)
class Definition:
    api: Json
    models: list[Json] = field(default_factory=list)
    """Members of CreateModel; references are still the document's."""
    validators: dict[str, Json] = field(default_factory=dict)
    authorizers: list[Json] = field(default_factory=list)
    """Members of CreateAuthorizer."""
    responses: list[Json] = field(default_factory=list)
    """Members of PutGatewayResponse."""
    operations: list[Operation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(body: bytes, parameters: dict[str, str]) -> Definition:
    """Raises Fault BadRequestException for what is no definition or asks for what is not offered."""
    if len(body) > BODY_BYTES_MAX:
        raise bad("The definition is larger than 6 MB")
    document = _parsed(body)
    version = str(document.get("openapi") or document.get("swagger") or "")
    if not version.startswith(("2", "3.0")):
        raise bad("Invalid OpenAPI input.")
    return _Reader(document, parameters.get("basepath", "ignore")).read()


def _parsed(body: bytes) -> Json:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = _yaml(body)
    if not isinstance(document, dict):
        raise bad("Invalid OpenAPI input.")
    return document


def _yaml(body: bytes) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # few aliases can stand for gigabytes
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, loader)):
            raise bad("Invalid OpenAPI input: aliases are not offered by Stratolite")
        # dates and the like stay as JSON has them
        return json.loads(json.dumps(yaml.load(body, loader), default=str))  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise bad("Invalid OpenAPI input.") from error


class _Reader:
    def __init__(self, document: Json, base_path: str) -> None:
        self._document = document
        self._is_3 = "openapi" in document
        components = document.get("components") or {}
        schemes = components.get("securitySchemes") if self._is_3 else document.get("securityDefinitions")  # fmt: skip
        self._schemes: Json = schemes or {}
        self._schemas: Json = (components.get("schemas") if self._is_3 else document.get("definitions")) or {}  # fmt: skip
        self._base_path = base_path
        self._made = Definition({})

    def read(self) -> Definition:
        try:
            return self._read()
        except Fault:
            raise
        except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
            raise bad("Invalid OpenAPI input.") from error

    def _read(self) -> Definition:
        document, made = self._document, self._made
        made.api = self._api()
        for name, schema in self._schemas.items():
            model = {"name": name, "contentType": "application/json", "schema": schema}
            if isinstance(schema, dict) and schema.get("description"):
                model["description"] = schema["description"]
            made.models.append(model)
        made.validators = document.get("x-amazon-apigateway-request-validators") or {}
        for name, scheme in self._schemes.items():
            if authorizer := self._authorizer(name, scheme):
                made.authorizers.append(authorizer)
        said = document.get("x-amazon-apigateway-gateway-responses") or {}
        made.responses = [self._response_of_gateway(kind, one) for kind, one in said.items()]
        base = self._base()
        for path, item in (document.get("paths") or {}).items():
            shared = item.get("parameters") or []
            for method, operation in item.items():
                if verb := _VERBS.get(method.lower()):
                    where = f"{base}/{path.lstrip('/')}".rstrip("/") or "/"
                    made.operations.append(self._operation(where, verb, operation or {}, shared))
        return made

    # -- the API

    def _api(self) -> Json:
        document = self._document
        info = document.get("info") or {}
        api: Json = {
            "name": str(info.get("title") or ""),
            "description": info.get("description"),
            "version": None if info.get("version") is None else str(info["version"]),
            "binaryMediaTypes": document.get("x-amazon-apigateway-binary-media-types"),
            "minimumCompressionSize": document.get("x-amazon-apigateway-minimum-compression-size"),
            "apiKeySource": document.get("x-amazon-apigateway-api-key-source"),
            "policy": document.get("x-amazon-apigateway-policy"),
        }
        servers = document.get("servers") or [{}]
        found = document.get("x-amazon-apigateway-endpoint-configuration")
        found = found or servers[0].get("x-amazon-apigateway-endpoint-configuration") or {}
        if "disableExecuteApiEndpoint" in found:
            api["disableExecuteApiEndpoint"] = bool(found["disableExecuteApiEndpoint"])
        if found.get("vpcEndpointIds"):
            api["endpointConfiguration"] = {"vpcEndpointIds": found["vpcEndpointIds"]}
        return {name: value for name, value in api.items() if value is not None}

    def _base(self) -> str:
        """What stands before every path: nothing, the base path, or all of it but its first part."""
        if self._is_3:
            server = (self._document.get("servers") or [{}])[0]
            variables = server.get("variables") or {}
            url = re.sub(
                r"\{([^}]+)\}",
                lambda m: str((variables.get(m[1]) or {}).get("default", "")),
                str(server.get("url") or ""),
            )
            base = urlsplit(url).path
        else:
            base = str(self._document.get("basePath") or "")
        base = "/" + base.strip("/")
        if self._base_path == "ignore" or base == "/":
            return ""
        if self._base_path == "prepend":
            return base
        if self._base_path == "split":
            rest = base[1:].partition("/")[2]
            return f"/{rest}" if rest else ""
        raise bad(f"Invalid basepath parameter: {self._base_path}")

    # -- who may call

    def _authorizer(self, name: str, scheme: Json) -> Json | None:
        said = scheme.get("x-amazon-apigateway-authorizer")
        if not said:
            return None
        kind = str(said.get("type", "")).upper()
        if kind == "COGNITO_USER_POOLS":
            raise not_offered("An authorizer of type COGNITO_USER_POOLS")
        members = ("authorizerUri", "authorizerCredentials", "identitySource", "identityValidationExpression")  # fmt: skip
        made: Json = {"name": name, "type": kind} | {m: said[m] for m in members if said.get(m)}
        if said.get("authorizerResultTtlInSeconds") is not None:
            made["authorizerResultTtlInSeconds"] = int(said["authorizerResultTtlInSeconds"])
        if scheme.get("x-amazon-apigateway-authtype"):
            made["authType"] = scheme["x-amazon-apigateway-authtype"]
        if kind == "TOKEN" and "identitySource" not in made:
            made["identitySource"] = f"method.request.header.{scheme.get('name', 'Authorization')}"
        return made

    def _secure(self, made: Operation, operation: Json) -> None:
        own = operation.get("x-amazon-apigateway-auth") or {}
        wanted = operation.get("security")
        if wanted is None:
            wanted = self._document.get("security") or []
        for requirement in wanted:
            for name in requirement:
                self._require(made, name, requirement[name])
        if own.get("type"):
            kind = str(own["type"]).upper()
            if kind == "NONE" or made.authorization == "NONE":
                made.authorization = kind
            if kind == "NONE":
                made.authorizer = None

    def _require(self, made: Operation, name: str, scopes: Any) -> None:
        scheme = self._schemes.get(name)
        if scheme is None:
            if name != "NONE":
                self._made.warnings.append(f"Security definition {name} is not there")
            return
        if str(scheme.get("x-amazon-apigateway-authtype", "")).lower() == "awssigv4":
            made.authorization = "AWS_IAM"
        elif scheme.get("x-amazon-apigateway-authorizer"):
            if scopes:
                raise not_offered("authorizationScopes")
            made.authorization, made.authorizer = "CUSTOM", name
        elif scheme.get("type") == "apiKey" and str(scheme.get("name", "")).lower() == "x-api-key":
            made.key_required = True
        else:
            self._made.warnings.append(f"Security definition {name} has no meaning for API Gateway")

    # -- operations

    def _operation(self, path: str, verb: str, operation: Json, shared: list[Json]) -> Operation:
        made = Operation(path, verb, name=operation.get("operationId"))
        self._secure(made, operation)
        last = path.rsplit("/", 1)[1]
        if last.startswith("{") and not last.endswith("+}"):
            made.parameters[f"method.request.path.{last[1:-1]}"] = True
        for one in (*shared, *(operation.get("parameters") or [])):
            self._parameter(made, operation, self._resolved(one))
        if self._is_3 and operation.get("requestBody"):
            content = self._resolved(operation["requestBody"]).get("content") or {}
            for kind, media in content.items():
                self._body_model(made, kind, (media or {}).get("schema"))
        made.validator = operation.get(
            "x-amazon-apigateway-request-validator",
            self._document.get("x-amazon-apigateway-request-validator"),
        )
        for status, response in (operation.get("responses") or {}).items():
            if re.fullmatch(r"[1-5]\d\d", str(status)):
                made.responses[str(status)] = self._response(self._resolved(response or {}), str(status))  # fmt: skip
        said = operation.get("x-amazon-apigateway-integration")
        if said is not None:
            made.integration = self._integration(verb, said)
            made.integration_responses = list(self._integration_responses(said))
        return made

    def _parameter(self, made: Operation, operation: Json, one: Json) -> None:
        if one.get("in") == "body":
            for kind in operation.get("consumes") or self._document.get("consumes") or ["application/json"]:  # fmt: skip
                self._body_model(made, kind, one.get("schema"))
        elif place := _PLACES.get(one.get("in", "")):
            made.parameters[f"method.request.{place}.{one['name']}"] = bool(one.get("required"))

    def _body_model(self, made: Operation, kind: str, schema: Any) -> None:
        if name := self._model(schema):
            made.models[kind] = name

    def _model(self, schema: Any) -> str | None:
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        found = _MODEL_REFERENCE.match(reference) if isinstance(reference, str) else None
        if found is None:
            return None
        return found[1] if found[1] in self._schemas or found[1] in ("Empty", "Error") else None

    def _response(self, response: Json, status: str) -> Json:
        made: Json = {"statusCode": status}
        models: Json = {}
        if self._is_3:
            for kind, media in (response.get("content") or {}).items():
                if name := self._model((media or {}).get("schema")):
                    models[kind] = name
        elif name := self._model(response.get("schema")):
            models["application/json"] = name
        if models:
            made["responseModels"] = models
        headers = response.get("headers") or {}
        if headers:
            made["responseParameters"] = {f"method.response.header.{name}": False for name in headers}  # fmt: skip
        return made

    def _integration(self, verb: str, said: Json) -> Json:
        kind = str(said.get("type", "")).upper()
        made: Json = {
            "type": kind,
            "integrationHttpMethod": said.get("httpMethod"),
            "passthroughBehavior": str(said.get("passthroughBehavior") or "when_no_match").upper(),
            "timeoutInMillis": said.get("timeoutInMillis"),
            "cacheKeyParameters": said.get("cacheKeyParameters"),
            "cacheNamespace": said.get("cacheNamespace"),
            "connectionId": said.get("connectionId"),
            "connectionType": said.get("connectionType"),
            "tlsConfig": said.get("tlsConfig"),
            "responseTransferMode": said.get("responseTransferMode"),
        }
        for member in ("uri", "credentials", "requestTemplates", "contentHandling"):
            made[member] = said.get(member)
        parameters = said.get("requestParameters") or {}
        for name, source in parameters.items():
            if not isinstance(source, str):
                self._made.warnings.append(
                    f"Invalid format for 'requestParameters'. Expected type string for property '{name}'"
                )
        made["requestParameters"] = {k: v for k, v in parameters.items() if isinstance(v, str)}
        if kind == "AWS_PROXY":
            made["integrationHttpMethod"] = made["integrationHttpMethod"] or "POST"
        elif kind != "MOCK":
            made["integrationHttpMethod"] = str(made["integrationHttpMethod"] or verb).upper()
        else:
            made["integrationHttpMethod"] = None
        return {name: value for name, value in made.items() if value is not None}

    def _integration_responses(self, said: Json) -> Iterator[Json]:
        for pattern, one in (said.get("responses") or {}).items():
            made: Json = {"statusCode": str(one.get("statusCode", 200))}
            if pattern != "default":
                made["selectionPattern"] = pattern
            for member in ("responseParameters", "responseTemplates", "contentHandling"):
                if one.get(member) is not None:
                    made[member] = one[member]
            yield made

    def _response_of_gateway(self, kind: str, one: Json) -> Json:
        made: Json = {"responseType": kind}
        if one.get("statusCode") is not None:
            made["statusCode"] = str(one["statusCode"])
        for member in ("responseParameters", "responseTemplates"):
            if one.get(member):
                made[member] = one[member]
        return made

    def _resolved(self, one: Json) -> Json:
        """What a reference inside the document leads to."""
        for _ in range(_DEPTH_MAX):
            reference = one.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return one
            found: Any = self._document
            for part in reference[2:].split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            one = found
        raise bad("Invalid OpenAPI input.")


def model_schema(api: str, schema: Any, depth: int = 0) -> Any:
    """A schema whose references to other schemas of the document are API Gateway's, which name models."""
    if depth > _DEPTH_MAX:
        raise bad("Invalid OpenAPI input.")
    if isinstance(schema, list):
        return [model_schema(api, one, depth + 1) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: model_schema(api, value, depth + 1) for key, value in schema.items()}
    found = _MODEL_REFERENCE.match(made["$ref"]) if isinstance(made.get("$ref"), str) else None
    if found is not None:
        made["$ref"] = f"https://apigateway.amazonaws.com/restapis/{api}/models/{found[1]}"
    return made
