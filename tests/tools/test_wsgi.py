"""A Flask application: by Zappa behind a function URL, unmodified; by the adapter apig-wsgi behind an HTTP API."""

from __future__ import annotations

import json
import re

import pytest
from tools.toolbox import Shop, find, get

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

APP = """
from flask import Flask, request
app = Flask(__name__)

@app.get("/hello")
def hello():
    return {"greeting": "hello " + request.args["name"]}

@app.post("/echo")
def echo():
    return request.get_data(), 201, {"X-Seen": request.headers["Content-Type"]}
"""
SETTINGS = {
    "dev": {
        "app_function": "app.app", "project_name": "notes", "runtime": "python3.11", "s3_bucket": "zappa-code", "aws_region": "us-east-1",
        "apigateway_enabled": False, "function_url_enabled": True, "function_url_config": {"authorizer": "NONE"}, "keep_warm": False,
    }
}  # fmt: skip
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Web:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Handler: main.handler
      Runtime: python3.11
      Timeout: 30
      Events:
        All: {Type: HttpApi}
Outputs:
  ApiId: {Value: !Ref ServerlessHttpApi}
"""
MAIN = "from apig_wsgi import make_lambda_handler\nfrom app import app\nhandler = make_lambda_handler(app)\n"


def test_zappa_deploys_updates_and_undeploys(shop: Shop) -> None:
    zappa = find("zappa/bin/zappa")
    shop.write(app__py=APP, zappa_settings__json=json.dumps(SETTINGS))
    inside = {"VIRTUAL_ENV": find("zappa"), "PATH": f"{find('zappa/bin')}:{shop.environment['PATH']}"}  # fmt: skip
    said = shop.run(zappa, "deploy", "dev", **inside)
    assert "Deployment complete" in said
    url = re.search(r"function URL address: (\S+)", said)[1].rstrip("/")
    assert json.loads(get(f"{url}/hello?name=Ann")) == {"greeting": "hello Ann"}
    shop.change("app.py", '"hello "', '"hi "')
    assert "is live" in shop.run(zappa, "update", "dev", **inside)
    assert json.loads(get(f"{url}/hello?name=Ann")) == {"greeting": "hi Ann"}
    assert "notes-dev" in shop.run(zappa, "status", "dev", **inside)
    assert "Done!" in shop.run(zappa, "undeploy", "dev", "--yes", **inside)
    assert shop.client("lambda").list_functions()["Functions"] == []


def test_a_wsgi_application_answers_behind_an_http_api(shop: Shop) -> None:
    sam = find("sam/bin/sam")
    requirements = "flask\napig-wsgi\n"
    shop.write(template__yaml=TEMPLATE, src___app__py=APP, src___main__py=MAIN)
    shop.write(src___requirements__txt=requirements)
    shop.run(sam, "build")
    shop.run(sam, "deploy", "--stack-name", "web", "--resolve-s3", "--capabilities", "CAPABILITY_IAM")  # fmt: skip
    api_id = shop.outputs("web")["ApiId"]
    assert json.loads(shop.api(api_id, "/hello?name=Ann")) == {"greeting": "hello Ann"}
