"""API Gateway HTTP APIs: routes that hand HTTP requests to functions.

Keys    ("", "", apigatewayv2)              home/<api> -> JSON {account, region}; the door knows only the id
        (account, region, apigatewayv2)     api/<api> -> JSON        stage/<api>/<stage> -> JSON
                                            route/<api>/<route> -> JSON   integration/<api>/<id> -> JSON
                                            deployment/<api>/<id> -> JSON
                                            live/<api> -> JSON table of the routes as they are now
                                            frozen/<api>/<deployment> -> the same, as deployed
Values  the AWS shape of the thing as JSON. A table is [[route key, integration id, integration], ...],
        written with every change, so a request reads one key and compiles it once.
Sources https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/
        https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
Not yet WebSocket APIs, authorizers (JWT, Lambda, IAM), HTTP and AWS-service integrations, VPC links,
        domain names, models, parameter mappings, exports, throttling: refused by name.
"""

from stratolite.services.apigatewayv2.service import Apigatewayv2 as Apigatewayv2
