"""make demo: start the cloud, deploy both examples, drive them with real requests, show the result.

Everything goes through the front door: the stratolite command, boto3, plain HTTP. Exits 1 at the first thing
that is not as it should be.
"""

from __future__ import annotations

import json
import mimetypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

HERE = Path(__file__).resolve().parent
STRATOLITE = [sys.executable, "-m", "stratolite"]


class Cloud:
    """A running server on a folder and a free port."""

    def __init__(self, folder):
        self.folder = folder
        self.start(port=0)

    def start(self, port):
        began = time.monotonic()
        command = [*STRATOLITE, "up", "--data", self.folder, "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("ready "), f"the server said {line!r}")
        self.endpoint = line.split()[1]
        say(f"{line.strip()}  ({(time.monotonic() - began) * 1000:.0f} ms)")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        check(self.process.wait(20) == 0, "the server did not stop cleanly")

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(s3={"addressing_style": "path"}),
        )

    def command(self, *words):
        environment = os.environ | {"AWS_ENDPOINT_URL": self.endpoint}
        environment.pop("AWS_PROFILE", None)
        environment |= {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        done = subprocess.run(
            [*STRATOLITE, *words], env=environment, capture_output=True, text=True
        )
        check(done.returncode == 0, f"stratolite {' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def deploy(self, example):
        began = time.monotonic()
        out = json.loads(self.command("deploy", str(HERE / example / "template.yaml"), "--json"))
        say(f"{example}: {out['status']} in {time.monotonic() - began:.1f} s")
        return out["outputs"]


def say(text):
    print(text, flush=True)


def check(good, complaint):
    if not good:
        print(f"demo failed: {complaint}", file=sys.stderr)
        sys.exit(1)


def ask(method, url, body=None, headers=None):
    """(status, parsed JSON or text)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"content-type": "application/json"} | (headers or {}), method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, kind, raw = answer.status, answer.headers.get("content-type", ""), answer.read()
    except urllib.error.HTTPError as error:
        status, kind, raw = error.code, error.headers.get("content-type", ""), error.read()
    text = raw.decode()
    return status, json.loads(text) if "json" in kind and text else text


def put_site(cloud, bucket, api):
    s3 = cloud.client("s3")
    site = HERE / "bookmarks" / "site"
    for path in sorted(site.iterdir()):
        body = (
            path.read_bytes() if path.name != "config.js" else f'window.API = "{api}";\n'.encode()
        )
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        s3.put_object(Bucket=bucket, Key=path.name, Body=body, ContentType=kind)


def bookmarks(cloud):
    out = cloud.deploy("bookmarks")
    put_site(cloud, out["SiteBucket"], out["ApiUrl"])
    status, page = ask("GET", out["SiteUrl"])
    check(status == 200 and "<title>Bookmarks</title>" in page, f"the page: {status}")
    status, ann = ask(
        "POST", f"{out['ApiUrl']}/customers", {"name": "Ann", "email": "ann@example.org"}
    )
    check(status == 201, f"a customer: {status} {ann}")
    base = f"{out['ApiUrl']}/customers/{ann['customerId']}/bookmarks"
    for title, url, folder in (
        ("FoundationDB", "https://apple.github.io/foundationdb/", "databases"),
        ("SQLite", "https://sqlite.org/", "databases"),
        ("Python", "https://python.org/", "languages"),
    ):
        status, added = ask("POST", base, {"title": title, "url": url, "folder": folder})
        check(status == 201, f"a bookmark: {status} {added}")
    status, refused = ask("POST", base, {"title": "x", "url": "javascript:alert(1)"})
    check(status == 400, f"a bad bookmark: {status} {refused}")
    _, listed = ask("GET", f"{base}?folder=databases")
    titles = [b["title"] for b in listed["bookmarks"]]
    check(titles == ["FoundationDB", "SQLite"], f"the folder: {listed}")
    say(f"  Ann's folder “databases”: {', '.join(titles)}")
    say(f"  page {out['SiteUrl']}   api {out['ApiUrl']}")
    return base


def zerocal(cloud):
    url = cloud.deploy("zerocal")["CalendarUrl"]
    status, form = ask("GET", url)
    check(status == 200 and "<form" in form, f"the form: {status} {form[:200]}")
    query = {
        "start": "24 Dec 2026 6pm",
        "duration": "1h30m",
        "title": "Dinner",
        "timezone": "Europe/Berlin",
    }
    status, text = ask("GET", f"{url}?{urllib.parse.urlencode(query)}")
    check(
        status == 200 and "DTSTART:20261224T170000Z" in text, f"the calendar: {status} {text[:300]}"
    )
    say(
        f"  {query['title']}, {query['start']} in {query['timezone']}: {text.split('DTSTART:')[1].split()[0]}"
    )
    status, text = ask("GET", f"{url}?start=someday")
    check(status == 400, f"a bad date: {status}")
    say(f"  form {url}")


def killed(cloud, base):
    """What was acknowledged is there after kill -9."""
    _, before = ask("GET", base)
    port = urllib.parse.urlsplit(cloud.endpoint).port
    cloud.kill()
    cloud.start(port)
    _, after = ask("GET", base)
    check(after == before and len(after["bookmarks"]) == 3, f"after kill -9: {after}")
    say("  killed with SIGKILL and started again: nothing lost")


def main():
    with tempfile.TemporaryDirectory(prefix="stratolite-demo-") as folder:
        cloud = Cloud(folder)
        try:
            base = bookmarks(cloud)
            zerocal(cloud)
            killed(cloud, base)
            functions = [
                f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]
            ]
            name = next(f for f in functions if "-Bookmarks-" in f)
            log = cloud.command("logs", name).splitlines()
            check(any("REPORT RequestId" in line for line in log), "no log lines")
            say(f"  its log: {len(log)} lines, the last: {log[-1][:100]}")
            for stack in ("zerocal",):
                cloud.command("delete", stack)
                say(f"{stack}: deleted")
        finally:
            if cloud.process.poll() is None:
                cloud.stop()
    say("demo done")


if __name__ == "__main__":
    main()
