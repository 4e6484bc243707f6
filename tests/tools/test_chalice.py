"""Chalice, unmodified: functions by themselves, on a queue, on a bucket and on a schedule. Its REST APIs want API Gateway's version 1."""

from __future__ import annotations

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


def test_a_rest_api_is_refused_by_name(shop: Shop) -> None:
    chalice = find("chalice/bin/chalice")
    route = '\n@app.route("/")\ndef index():\n    return {}\n'
    shop.write(app__py='from chalice import Chalice\napp = Chalice(app_name="web")\n' + route)
    shop.write(requirements__txt="")
    (shop.project / ".chalice").mkdir()
    (shop.project / ".chalice" / "config.json").write_text(CONFIG.replace("jobs", "web"))
    said = " ".join(shop.run(chalice, "deploy", fails=True).split())
    assert "service apigateway is not offered by Stratolite" in said
