"""Chalice, unmodified: functions by themselves, on a queue, on a bucket and on a schedule. And a REST API with an authorizer."""

from __future__ import annotations

import json
import re
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tools.toolbox import Shop, find, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

APP = """
from chalice import Chalice
app = Chalice(app_name="jobs")

@app.lambda_function(name="hello")
def hello(event, context):
    print("hello from chalice")
    return {"greeting": "hello"}

@app.on_sqs_message(queue="work", batch_size=1)
def work(event):
    for record in event:
        print("got", record.body)

@app.on_s3_event(bucket="chalice-photos", events=["s3:ObjectCreated:*"])
def photo(event):
    print("photo", event.key)

@app.schedule("rate(1 hour)")
def hourly(event):
    print("hour")
"""
CONFIG = '{"version": "2.0", "app_name": "jobs", "stages": {"dev": {}}}'


def test_chalice_deploys_updates_invokes_shows_and_deletes(shop: Shop) -> None:
    chalice = find("chalice/bin/chalice")
    shop.write(app__py=APP, requirements__txt="")
    (shop.project / ".chalice").mkdir()
    (shop.project / ".chalice" / "config.json").write_text(CONFIG)
    sqs, s3 = shop.client("sqs"), shop.client("s3")
    queue_url = sqs.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "90"})["QueueUrl"]  # fmt: skip
    s3.create_bucket(Bucket="chalice-photos")
    assert "function:jobs-dev-hello" in shop.run(chalice, "deploy")
    assert shop.run(chalice, "invoke", "-n", "hello").strip() == '{"greeting": "hello"}'
    assert "hello from chalice" in shop.run(chalice, "logs", "-n", "hello")
    sqs.send_message(QueueUrl=queue_url, MessageBody="one")
    s3.put_object(Bucket="chalice-photos", Key="cat.png", Body=b"1")
    logs = shop.client("logs")

    def lines(function: str) -> str:
        groups = {g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]}
        group = f"/aws/lambda/jobs-dev-{function}"
        if group not in groups:
            return ""
        return "".join(e["message"] for e in logs.filter_log_events(logGroupName=group)["events"])

    until(lambda: "got one" in lines("work"))
    until(lambda: "photo cat.png" in lines("photo"))
    shop.change("app.py", '"hello"}', '"again"}')
    assert "Updating lambda function: jobs-dev-hello" in shop.run(chalice, "deploy")
    assert shop.run(chalice, "invoke", "-n", "hello").strip() == '{"greeting": "again"}'
    assert "Deleting IAM role: jobs-dev" in shop.run(chalice, "delete")
    assert shop.client("lambda").list_functions()["Functions"] == []


WEB = """
from chalice import AuthResponse, Chalice, NotFoundError, Response
app = Chalice(app_name="web")
app.api.cors = True

@app.authorizer(ttl_seconds=0)
def judge(request):
    return AuthResponse(routes=["/guarded"] if request.token == "good" else [], principal_id="ann")

@app.route("/hello/{name}")
def hello(name):
    return {"greeting": f"hello {name}", "q": (app.current_request.query_params or {}).get("q")}

@app.route("/notes", methods=["POST"])
def note():
    return Response(body=app.current_request.json_body["text"], status_code=201, headers={"X-Note": "1", "Content-Type": "text/plain"})

@app.route("/none")
def none():
    raise NotFoundError("no such note")

@app.route("/guarded", authorizer=judge)
def guarded():
    return {"who": app.current_request.context["authorizer"]["principalId"]}
"""


def test_a_rest_api_is_deployed_served_changed_and_deleted(shop: Shop) -> None:
    chalice = find("chalice/bin/chalice")
    shop.write(app__py=WEB, requirements__txt="")
    (shop.project / ".chalice").mkdir()
    (shop.project / ".chalice" / "config.json").write_text(CONFIG.replace("jobs", "web"))
    said = shop.run(chalice, "deploy")
    api_id = re.search(r"https://([a-z0-9]+)\.execute-api", said)[1]

    def ask(path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        url = f"{shop.server.endpoint}/_aws/execute-api/{api_id}/api{path}"
        try:
            with urlopen(Request(url, body, headers), timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    status, text = ask("/hello/Ann?q=1")
    assert (status, json.loads(text)) == (200, {"greeting": "hello Ann", "q": "1"})
    posted = ask("/notes", b'{"text": "one"}', **{"Content-Type": "application/json"})
    assert posted == (201, "one")
    assert ask("/none")[0] == 404
    assert ask("/nowhere") == (403, '{"message":"Missing Authentication Token"}')
    assert ask("/guarded")[0] == 401
    assert json.loads(ask("/guarded", Authorization="good")[1]) == {"who": "ann"}
    assert ask("/guarded", Authorization="bad")[0] == 403
    assert api_id in shop.run(chalice, "url")
    shop.change("app.py", "hello {name}", "hi {name}")
    assert api_id in shop.run(chalice, "deploy"), "the API stays the same"
    assert json.loads(ask("/hello/Ann")[1])["greeting"] == "hi Ann"
    shop.run(chalice, "delete")
    assert shop.client("apigateway").get_rest_apis()["items"] == []
