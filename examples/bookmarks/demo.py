"""Uses the bookmarks application as its page would."""

from __future__ import annotations

import mimetypes
import urllib.parse
from pathlib import Path

from driving import ask, check, say

SITE = Path(__file__).with_name("site")


def put_site(cloud, bucket, api):
    s3 = cloud.client("s3")
    for path in sorted(SITE.iterdir()):
        body = (
            path.read_bytes() if path.name != "config.js" else f'window.API = "{api}";\n'.encode()
        )
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        s3.put_object(Bucket=bucket, Key=path.name, Body=body, ContentType=kind)


def drive(cloud):
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
    killed(cloud, base)
    logged(cloud)


def killed(cloud, base):
    """What was acknowledged is there after kill -9."""
    _, before = ask("GET", base)
    port = urllib.parse.urlsplit(cloud.endpoint).port
    cloud.kill()
    cloud.start(port)
    _, after = ask("GET", base)
    check(after == before and len(after["bookmarks"]) == 3, f"after kill -9: {after}")
    say("  killed with SIGKILL and started again: nothing lost")


def logged(cloud):
    """What the function printed is in its log."""
    functions = [f["FunctionName"] for f in cloud.client("lambda").list_functions()["Functions"]]
    name = next(f for f in functions if "-Bookmarks-" in f)
    log = cloud.command("logs", name).splitlines()
    check(any("REPORT RequestId" in line for line in log), "no log lines")
    say(f"  its log: {len(log)} lines, the last: {log[-1][:100]}")
