"""API Gateway REST APIs: definitions, deployments and stages, and the requests that go through them.

    rest_apis tree methods integrations      the definition, piece by piece or from Swagger 2.0 / OpenAPI 3.0
    models authorizers gateway_responses     (``openapi`` reads one, ``importing`` writes it), changed by ``patches``
    stages (``deployed``)                    a deployment keeps the definition as it is; a stage serves a deployment
    api_keys usage_plans account             whom methods with apiKeyRequired let in
    doors callers admission validation       a request's way in: policy, IAM or Lambda authorizer, key, rate, parameters
    backends proxy mapping (``vtl``)         and through: the event of a proxy, or mapping templates; ``aws_apis``: to a service itself
    refusals                                 what an API says by itself, as its gateway responses have it

Keys    ("", "", apigateway)                home/<api> -> JSON {account, region}; the door knows only the id
        (account, region, apigateway)       api/<api>   resource/<api>/<id>   model/<api>/<name>   validator/<api>/<id>
                                            authorizer/<api>/<id>   response/<api>/<type>   stage/<api>/<name>
                                            deployment/<api>/<id>   key/<id>   plan/<id>   account/settings
                                            -> the AWS shape of the thing as JSON. A resource has its methods, a method
                                            its integration and responses; a key its value, sealed
                                            frozen/<api>/<deployment> -> zlib of JSON {api, resources, models, validators,
                                            authorizers, responses}: what was deployed
                                            value/<sha256 of an API key's value> -> its id
                                            plan-key/<plan>/<key>, key-plan/<key>/<plan> -> ""
                                            used/<plan>/<key>/<day> -> requests that day, decimal
Sources https://docs.aws.amazon.com/apigateway/latest/api/API_Operations.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-rest-api.html
Offered Lambda (proxy and not), the APIs of the services offered (SQS, DynamoDB, Step Functions, ...), HTTP, HTTP_PROXY (through ``egress``) and MOCK integrations, mapping templates (Velocity
        without #macro, #define, #parse, #include, #evaluate; no filters in JSONPath; no groups in replaceAll), request
        validation, TOKEN and REQUEST authorizers, IAM, API keys, quotas, throttling, resource policies, CORS by
        MOCK methods and gateway responses, binary media types, compression, metrics.
Not yet COGNITO_USER_POOLS, VPC links, private APIs, custom domain names, canaries,
        caches, access and execution logs, X-Ray, client certificates, documentation parts, exports, SDKs, TestInvoke:
        refused by name. A proxy event has no CloudFront-... headers: nothing of CloudFront stands before it.
"""

from stratolite.services.apigateway.service import Apigateway as Apigateway
