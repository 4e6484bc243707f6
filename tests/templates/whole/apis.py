"""API Gateway: REST APIs and HTTP APIs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from makers import R, allow, att, function, made, ref, role, sub, tags

PARTS = Path(__file__).parents[1] / "parts"
API = {"RestApiId": ref("Api")}
INVOKED = sub(
    "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
)


def invoke_policy(source: str) -> dict[str, Any]:
    where = {"IpAddress": {"aws:SourceIp": source}}
    return allow("execute-api:Invoke", "execute-api:/*", Principal="*", Condition=where)


made(
    "apigateway-api-whole",
    Api=R(
        "AWS::ApiGateway::RestApi",
        {
            "Name": "corpus-pets",
            "Description": "pets",
            "Version": "1",
            "ApiKeySourceType": "HEADER",
            "BinaryMediaTypes": ["image/png"],
            "DisableExecuteApiEndpoint": False,
            "EndpointConfiguration": {"Types": ["REGIONAL"], "IpAddressType": "ipv4"},
            "MinimumCompressionSize": 100,
            "Policy": invoke_policy("10.0.0.0/8"),
            "Tags": tags(a="1"),
        },
        {
            "Version": "2",
            "ApiKeySourceType": "AUTHORIZER",
            "DisableExecuteApiEndpoint": True,
            "EndpointConfiguration": {"Types": ["EDGE"], "IpAddressType": "dualstack"},
            "Policy": invoke_policy("192.168.0.0/16"),
        },
        {
            "Version": None,
            "ApiKeySourceType": None,
            "DisableExecuteApiEndpoint": None,
            "EndpointConfiguration": None,
            "Policy": None,
        },
    ),
)
PETS = {
    "openapi": "3.0.1",
    "info": {"title": "corpus-body", "version": "1"},
    "paths": {
        "/pets": {
            "get": {
                "responses": {"200": {"description": "all of them"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {"default": {"statusCode": "200"}},
                },
            }
        }
    },
}
made(
    "apigateway-api-of-a-definition",
    Api=R(
        "AWS::ApiGateway::RestApi",
        {
            "Body": PETS,
            "FailOnWarnings": True,
            "Mode": "overwrite",
            "Parameters": {"endpointConfigurationTypes": "REGIONAL"},
        },
        {
            "Body": {**PETS, "paths": {**PETS["paths"], "/dogs": PETS["paths"]["/pets"]}},
            "FailOnWarnings": False,
            "Mode": "merge",
            "Parameters": {"endpointConfigurationTypes": "EDGE"},
        },
        {"Body": PETS, "FailOnWarnings": None, "Mode": None, "Parameters": None},
    ),
    Stored=R(
        "AWS::ApiGateway::RestApi",
        {
            "Name": "corpus-stored",
            "BodyS3Location": {
                "Bucket": "corpus-code",
                "Key": "api.json",
                "Version": "null",
                "ETag": hashlib.md5((PARTS / "api.json").read_bytes()).hexdigest(),
            },
        },
        {"BodyS3Location": {"Bucket": "corpus-code", "Key": "api.json"}},
        {"BodyS3Location": None},
    ),
)
made(
    "apigateway-method-whole",
    Role=role("apigateway.amazonaws.com"),
    Runner=role(),
    Function=function({"Role": att("Runner", "Arn")}),
    Other=function({"Role": att("Runner", "Arn")}),
    Api=R("AWS::ApiGateway::RestApi", {"Name": "corpus"}),
    Pets=R(
        "AWS::ApiGateway::Resource",
        {**API, "ParentId": att("Api", "RootResourceId"), "PathPart": "pets"},
        {"PathPart": "animals"},
    ),
    Pet=R(
        "AWS::ApiGateway::Model",
        {
            **API,
            "Name": "Pet",
            "ContentType": "application/json",
            "Description": "a pet",
            "Schema": {"type": "object"},
        },
        {"Schema": {"type": "object", "required": ["name"]}, "Description": None},
    ),
    Check=R(
        "AWS::ApiGateway::RequestValidator",
        {**API, "Name": "all", "ValidateRequestBody": True, "ValidateRequestParameters": True},
        {"ValidateRequestBody": False, "ValidateRequestParameters": None},
        {"ValidateRequestBody": None, "ValidateRequestParameters": True},
    ),
    Post=R(
        "AWS::ApiGateway::Method",
        *(
            {
                **API,
                "ResourceId": ref("Pets"),
                "HttpMethod": "POST",
                "AuthorizationType": "NONE",
                "OperationName": f"addPet{n}",
                "RequestValidatorId": ref("Check"),
                "RequestParameters": {"method.request.header.x-step": n != 2},
                "RequestModels": {"application/json": ref("Pet")},
                "MethodResponses": [
                    {
                        "StatusCode": str(200 + n),
                        "ResponseModels": {"application/json": ref("Pet")},
                        "ResponseParameters": {"method.response.header.x-step": True},
                    }
                ],
                "Integration": {
                    "Type": "AWS",
                    "IntegrationHttpMethod": "POST",
                    "Uri": INVOKED,
                    "CacheNamespace": f"n{n}",
                    "ConnectionType": "INTERNET",
                    "ContentHandling": "CONVERT_TO_TEXT" if n == 2 else "CONVERT_TO_BINARY",
                    "Credentials": att("Role", "Arn"),
                    "PassthroughBehavior": "NEVER" if n == 2 else "WHEN_NO_TEMPLATES",
                    "RequestParameters": {"integration.request.header.x-step": f"'{n}'"},
                    "RequestTemplates": {"application/json": f'{{"step": {n}}}'},
                    "ResponseTransferMode": "BUFFERED",
                    "TimeoutInMillis": 1000 * n,
                    "IntegrationResponses": [
                        {
                            "StatusCode": str(200 + n),
                            "SelectionPattern": f"{n}.*",
                            "ContentHandling": "CONVERT_TO_TEXT",
                            "ResponseParameters": {"method.response.header.x-step": f"'{n}'"},
                            "ResponseTemplates": {"application/json": f'{{"step": {n}}}'},
                        }
                    ],
                },
            }
            for n in (1, 2, 3)
        ),
    ),
    Denied=R(
        "AWS::ApiGateway::GatewayResponse",
        {
            **API,
            "ResponseType": "DEFAULT_4XX",
            "StatusCode": "404",
            "ResponseParameters": {"gatewayresponse.header.x": "'1'"},
            "ResponseTemplates": {"application/json": '{"message": $context.error.messageString}'},
        },
        {"StatusCode": "410", "ResponseTemplates": {"application/json": "{}"}},
        {"StatusCode": None, "ResponseParameters": None},
    ),
    Judge=R(
        "AWS::ApiGateway::Authorizer",
        {
            **API,
            "Name": "judge",
            "Type": "TOKEN",
            "AuthType": "custom",
            "AuthorizerCredentials": att("Role", "Arn"),
            "AuthorizerResultTtlInSeconds": 60,
            "AuthorizerUri": INVOKED,
            "IdentitySource": "method.request.header.Authorization",
            "IdentityValidationExpression": "^a",
        },
        {
            "AuthType": "oauth2",
            "AuthorizerResultTtlInSeconds": 120,
            "AuthorizerUri": sub(
                "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Other.Arn}/invocations"
            ),
            "IdentitySource": "method.request.header.x-token",
            "IdentityValidationExpression": "^b",
        },
        {
            "AuthType": None,
            "AuthorizerCredentials": None,
            "AuthorizerResultTtlInSeconds": None,
            "IdentityValidationExpression": None,
        },
    ),
)


def settings(n: int) -> dict[str, Any]:
    return {
        "CacheDataEncrypted": n == 2,
        "CacheTtlInSeconds": 60 * n,
        "CachingEnabled": False,
        "DataTraceEnabled": False,
        "HttpMethod": "GET",
        "LoggingLevel": "OFF",
        "MetricsEnabled": n == 2,
        "ResourcePath": "/",
        "ThrottlingBurstLimit": n,
        "ThrottlingRateLimit": n,
    }


ROOT_METHOD = R(
    "AWS::ApiGateway::Method",
    {
        **API,
        "ResourceId": att("Api", "RootResourceId"),
        "HttpMethod": "GET",
        "AuthorizationType": "NONE",
        "Integration": {
            "Type": "MOCK",
            "RequestTemplates": {"application/json": '{"statusCode": 200}'},
        },
    },
)
made(
    "apigateway-stage-whole",
    Logs=role("apigateway.amazonaws.com"),
    Other=role("apigateway.amazonaws.com"),
    Account=R(
        "AWS::ApiGateway::Account",
        {"CloudWatchRoleArn": att("Logs", "Arn")},
        {"CloudWatchRoleArn": att("Other", "Arn")},
        {"CloudWatchRoleArn": None},
    ),
    Api=R("AWS::ApiGateway::RestApi", {"Name": "corpus"}),
    Method=ROOT_METHOD,
    Deployment=R(
        "AWS::ApiGateway::Deployment",
        *(
            {
                **API,
                "Description": f"deployed {n}",
                "StageName": "dev",
                "StageDescription": {
                    **{k: v for k, v in settings(n).items() if k not in ("HttpMethod", "ResourcePath")},
                    "CacheClusterEnabled": False,
                    "Description": f"stage {n}",
                    "MethodSettings": [settings(n)],
                    "Tags": tags(a=str(n)),
                    "TracingEnabled": False,
                    "Variables": {"step": str(n)},
                },
            }
            for n in (1, 2, 3)
        ),
        DependsOn="Method",
    ),
    Next=R("AWS::ApiGateway::Deployment", API, DependsOn="Method"),
    Stage=R(
        "AWS::ApiGateway::Stage",
        *(
            {
                **API,
                "StageName": "prod",
                "DeploymentId": ref(deployment),
                "Description": f"stage {n}",
                "CacheClusterEnabled": False if n < 3 else None,
                "TracingEnabled": False if n < 3 else None,
                "MethodSettings": [settings(n)],
                "Tags": tags(a=str(n)),
                "Variables": {"step": str(n)},
            }
            for n, deployment in ((1, "Deployment"), (2, "Next"), (3, "Next"))
        ),
    ),
    Key=R(
        "AWS::ApiGateway::ApiKey",
        {
            "Name": "corpus-key",
            "CustomerId": "shop-1",
            "Description": "the shop's",
            "Enabled": True,
            "GenerateDistinctId": True,
            "StageKeys": [{**API, "StageName": ref("Stage")}],
            "Value": "corpus01234567890123456789",
            "Tags": tags(a="1"),
        },
        {"CustomerId": "shop-2", "Enabled": False, "StageKeys": None, "Tags": tags(a="2")},
        {"CustomerId": None, "Description": None, "Enabled": None},
    ),
    Plan=R(
        "AWS::ApiGateway::UsagePlan",
        {
            "UsagePlanName": "silver",
            "Description": "a little",
            "ApiStages": [
                {
                    "ApiId": ref("Api"),
                    "Stage": ref("Stage"),
                    "Throttle": {"//GET": {"BurstLimit": 2, "RateLimit": 1}},
                }
            ],
            "Quota": {"Limit": 100, "Offset": 1, "Period": "WEEK"},
            "Throttle": {"BurstLimit": 20, "RateLimit": 10},
            "Tags": tags(a="1"),
        },
        {
            "UsagePlanName": "gold",
            "Description": "more",
            "ApiStages": [
                {
                    "ApiId": ref("Api"),
                    "Stage": ref("Stage"),
                    "Throttle": {"//GET": {"BurstLimit": 4, "RateLimit": 3}},
                }
            ],
            "Quota": {"Limit": 1000, "Offset": 2, "Period": "MONTH"},
            "Throttle": {"BurstLimit": 40, "RateLimit": 30},
            "Tags": tags(a="2", b="1"),
        },
        {"Description": None, "ApiStages": None, "Quota": None, "Throttle": None, "Tags": None},
    ),
    PlanKey=R(
        "AWS::ApiGateway::UsagePlanKey",
        {"KeyId": ref("Key"), "KeyType": "API_KEY", "UsagePlanId": ref("Plan")},
    ),
)  # fmt: skip

# -- HTTP APIs
SAID_ANYWAY = {
    "DisableSchemaValidation": False,
    "FailOnWarnings": False,
    "IpAddressType": "ipv4",
    "RouteSelectionExpression": "$request.method $request.path",
}
made(
    "apigatewayv2-whole",
    Role=role(),
    Function=function(),
    Other=function(),
    Api=R(
        "AWS::ApiGatewayV2::Api",
        *(
            {
                "Name": f"corpus-{n}",
                "ProtocolType": "HTTP",
                "CorsConfiguration": {
                    "AllowCredentials": n != 2,
                    "AllowHeaders": [f"x-{n}"],
                    "AllowMethods": ["GET"],
                    "AllowOrigins": [f"https://{n}.example.com"],
                    "ExposeHeaders": [f"y-{n}"],
                    "MaxAge": n,
                },
                **(SAID_ANYWAY if n == 1 else dict.fromkeys(SAID_ANYWAY)),
            }
            for n in (1, 2, 3)
        ),
    ),
    Integration=R(
        "AWS::ApiGatewayV2::Integration",
        {
            "ApiId": ref("Api"),
            "ConnectionType": "INTERNET",
            "Description": "to the function",
            "IntegrationMethod": "POST",
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": att("Function", "Arn"),
            "PayloadFormatVersion": "2.0",
            "TimeoutInMillis": 5000,
        },
        {
            "IntegrationUri": att("Other", "Arn"),
            "PayloadFormatVersion": "1.0",
            "ConnectionType": None,
            "IntegrationMethod": None,
        },
        {"Description": None, "TimeoutInMillis": None},
    ),
    Next=R(
        "AWS::ApiGatewayV2::Integration",
        {
            "ApiId": ref("Api"),
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": att("Other", "Arn"),
            "PayloadFormatVersion": "2.0",
        },
    ),
    Route=R(
        "AWS::ApiGatewayV2::Route",
        {
            "ApiId": ref("Api"),
            "ApiKeyRequired": False,
            "AuthorizationType": "NONE",
            "RouteKey": "GET /",
            "Target": sub("integrations/${Integration}"),
        },
        {"Target": sub("integrations/${Next}"), "ApiKeyRequired": None, "AuthorizationType": None},
        {"Target": None},
    ),
    First=R("AWS::ApiGatewayV2::Deployment", {"ApiId": ref("Api")}, DependsOn="Route"),
    Second=R("AWS::ApiGatewayV2::Deployment", {"ApiId": ref("Api")}, DependsOn="Route"),
    Stage=R(
        "AWS::ApiGatewayV2::Stage",
        {
            "ApiId": ref("Api"),
            "StageName": "prod",
            "AutoDeploy": False,
            "DeploymentId": ref("First"),
            "DefaultRouteSettings": {
                "DataTraceEnabled": False,
                "DetailedMetricsEnabled": True,
                "LoggingLevel": "OFF",
            },
        },
        {"DeploymentId": ref("Second"), "DefaultRouteSettings": {"DetailedMetricsEnabled": False}},
        {"DefaultRouteSettings": None},
    ),
    Bare=R(
        "AWS::ApiGatewayV2::Stage",
        {"ApiId": ref("Api"), "StageName": "test"},
        {"DeploymentId": ref("First")},
        {"DeploymentId": ref("Second")},
    ),
    Third=R(
        "AWS::ApiGatewayV2::Deployment",
        {"ApiId": ref("Api"), "StageName": ref("Bare"), "Description": "last"},
        DependsOn="Route",
    ),
    Auto=R(
        "AWS::ApiGatewayV2::Stage",
        {"ApiId": ref("Api"), "StageName": "dev", "AutoDeploy": True},
        {"AutoDeploy": False},
        {"AutoDeploy": True},
        DependsOn="Route",
    ),
)


def http(path: str) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "corpus-of-a-body", "version": "1"},
        "paths": {
            path: {
                "get": {
                    "responses": {},
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "payloadFormatVersion": "2.0",
                        "uri": att("Function", "Arn"),
                    },
                }
            }
        },
    }


made(
    "apigatewayv2-of-a-definition",
    Role=role(),
    Function=function(),
    Api=R("AWS::ApiGatewayV2::Api", *({"Body": http(path)} for path in ("/a", "/b", "/c"))),
)
