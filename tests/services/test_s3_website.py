"""The website endpoint, as browsers see it: index and error documents, redirects, conditions, who may."""

from __future__ import annotations

import json

import pytest
from access_logging import delivered_lines, log_into_logs

from stratolite.http import HttpRequest

BASE = "/_aws/s3-website/site"
OPEN = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}  # fmt: skip
READ = {"Sid": "r", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*"}  # fmt: skip
LIST = {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::site"}  # fmt: skip


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="site")
    made.put_public_access_block(Bucket="site", PublicAccessBlockConfiguration=OPEN)
    allow(made, READ, LIST)
    for key, body in (
        ("index.html", b"<h1>home</h1>"),
        ("docs/index.html", b"docs"),
        ("error.html", b"sorry"),
        ("a b/ü.txt", b"letters"),
    ):
        kind = "text/html" if key.endswith("html") else "text/plain"
        made.put_object(
            Bucket="site", Key=key, Body=body, ContentType=kind, CacheControl="max-age=5"
        )
    configure(made)
    return made


def allow(s3, *statements):
    document = {"Version": "2012-10-17", "Statement": statements}
    s3.put_bucket_policy(Bucket="site", Policy=json.dumps(document))


def configure(s3, **more):
    config = {"IndexDocument": {"Suffix": "index.html"}, **more}
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=config)


@pytest.fixture
def get(platform):
    def ask(path, method="GET", host="localhost:4566", query="", **headers):
        sent = {"host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
        status, found, body = platform.send(HttpRequest(method, path, query, sent, b""))
        return status, {name.lower(): value for name, value in found}, body

    return ask


def test_folders_are_their_index_document(s3, get):
    status, headers, body = get(f"{BASE}/")
    assert (status, body) == (200, b"<h1>home</h1>")
    assert (headers["content-type"], headers["cache-control"]) == ("text/html", "max-age=5")
    assert headers["content-length"] == "13"
    assert get(f"{BASE}/docs/")[::2] == (200, b"docs")
    assert get(f"{BASE}/a%20b/%C3%BC.txt")[::2] == (200, b"letters")


def test_a_folder_without_its_slash_is_redirected(s3, get):
    status, headers, _ = get(f"{BASE}/docs")
    assert (status, headers["location"]) == (302, f"{BASE}/docs/")
    status, headers, _ = get(BASE)
    assert (status, headers["location"]) == (302, f"{BASE}/")


def test_the_host_form_serves_from_the_root(s3, get):
    host = "site.s3-website.us-east-1.localhost:4566"
    assert get("/", host=host)[::2] == (200, b"<h1>home</h1>")
    assert get("/docs", host=host)[1]["location"] == "/docs/"


def test_a_missing_page_is_an_html_error_or_the_error_document(s3, get):
    status, headers, body = get(f"{BASE}/nope<b>")
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<li>Code: NoSuchKey</li>" in body
    assert b"<li>Key: nope&lt;b&gt;</li>" in body
    configure(s3, ErrorDocument={"Key": "error.html"})
    status, headers, body = get(f"{BASE}/nope")
    assert (status, headers["content-type"], body) == (404, "text/html", b"sorry")
    configure(s3, ErrorDocument={"Key": "missing.html"})
    status, _, body = get(f"{BASE}/nope")
    assert status == 404
    assert b"An Error Occurred While Attempting to Retrieve a Custom Error Document" in body
    assert b"<li>Key: missing.html</li>" in body


def test_only_what_the_policy_opens_is_served(s3, get):
    allow(s3, READ)
    assert get(f"{BASE}/nope")[0] == 403  # who may not list does not learn what is missing
    s3.delete_bucket_policy(Bucket="site")
    status, _, body = get(f"{BASE}/")
    assert status == 403
    assert b"<li>Code: AccessDenied</li>" in body


def test_no_bucket_and_no_website_are_404(s3, client, get):
    client("s3").create_bucket(Bucket="plain")
    assert b"NoSuchBucket" in get("/_aws/s3-website/nobucket/")[2]
    status, _, body = get("/_aws/s3-website/plain/")
    assert status == 404
    assert b"NoSuchWebsiteConfiguration" in body


def test_only_get_and_head_are_answered(s3, get):
    status, headers, body = get(f"{BASE}/", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "13", b"")
    assert get(f"{BASE}/", method="POST")[0] == 405
    assert get(f"{BASE}/", method="DELETE")[0] == 405


def test_conditions_and_ranges_work_for_browsers(s3, get):
    _, headers, _ = get(f"{BASE}/")
    status, again, body = get(f"{BASE}/", if_none_match=headers["etag"])
    assert (status, again["etag"], body) == (304, headers["etag"], b"")
    assert get(f"{BASE}/", if_modified_since=headers["last-modified"])[0] == 304
    assert get(f"{BASE}/", if_match='"other"')[0] == 412
    status, part, body = get(f"{BASE}/", range="bytes=1-2")
    assert (status, part["content-range"], body) == (206, "bytes 1-2/13", b"h1")
    assert get(f"{BASE}/", range="bytes=99-")[0] == 416
    assert get(f"{BASE}/", range="bytes=1-2", if_range=headers["etag"])[0] == 206
    assert get(f"{BASE}/", range="bytes=1-2", if_range='"other"')[0] == 200


def test_everything_can_be_redirected(s3, get):
    s3.put_bucket_website(
        Bucket="site",
        WebsiteConfiguration={
            "RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "https"}
        },
    )
    status, headers, _ = get(f"{BASE}/x/y", query="a=b")
    assert (status, headers["location"]) == (301, "https://example.com/x/y?a=b")


def test_routing_rules_before_and_after_an_error(s3, get):
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "docs/"}},
        {
            "Condition": {"KeyPrefixEquals": "api/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {
                "HostName": "api.example.com",
                "Protocol": "https",
                "HttpRedirectCode": "307",
            },
        },
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"ReplaceKeyWith": "index.html"},
        },
    ]
    configure(s3, RoutingRules=rules)
    status, headers, _ = get(f"{BASE}/old/a b")
    assert (status, headers["location"]) == (301, f"http://localhost:4566{BASE}/docs/a%20b")
    status, headers, _ = get(f"{BASE}/api/x")
    assert (status, headers["location"]) == (307, "https://api.example.com/api/x")
    assert get(f"{BASE}/gone")[1]["location"] == f"http://localhost:4566{BASE}/index.html"
    assert get(f"{BASE}/docs/")[0] == 200


def test_an_object_may_redirect_by_itself(s3, get):
    for key, to in (("in", "/docs/"), ("out", "https://example.com/")):
        s3.put_object(Bucket="site", Key=key, Body=b"", WebsiteRedirectLocation=to)
    assert get(f"{BASE}/in")[1]["location"] == f"{BASE}/docs/"
    assert get(f"{BASE}/out")[1]["location"] == "https://example.com/"


def test_a_page_of_any_size_is_served(s3, get):
    s3.put_object(Bucket="site", Key="big.bin", Body=b"z" * 2_000_000)
    status, headers, body = get(f"{BASE}/big.bin")
    assert (status, headers["content-length"], len(body)) == (200, "2000000", 2_000_000)


def test_cors_rules_hold_on_the_website(s3, get):
    s3.put_bucket_cors(
        Bucket="site",
        CORSConfiguration={
            "CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://x.org"]}]
        },
    )
    assert (
        get(f"{BASE}/", origin="https://x.org")[1]["access-control-allow-origin"] == "https://x.org"
    )
    assert "access-control-allow-origin" not in get(f"{BASE}/", origin="https://y.org")[1]
    asked = {"origin": "https://x.org", "access_control_request_method": "GET"}
    assert get(f"{BASE}/", method="OPTIONS", **asked)[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"IndexDocument": {"Suffix": "a/b"}},
        {"ErrorDocument": {"Key": "e"}},
        {"RedirectAllRequestsTo": {"HostName": "x"}, "IndexDocument": {"Suffix": "i"}},
        {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Condition": {"HttpErrorCodeReturnedEquals": "200"}, "Redirect": {"HostName": "h"}}]},
        {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "200"}}]},
        {"IndexDocument": {"Suffix": "i"}, "RoutingRules": [{"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}]},
    ],
)  # fmt: skip
def test_a_wrong_website_configuration_is_refused(s3, wrong):
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as error:
        s3.put_bucket_website(Bucket="site", WebsiteConfiguration=wrong)
    assert error.value.response["Error"]["Code"] in ("InvalidArgument", "InvalidRequest")
    assert "RoutingRules" not in s3.get_bucket_website(Bucket="site")


def test_visits_are_in_the_access_log(platform, client, s3, get):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html: WEBSITE.HTTP_method.resource_type"""
    log_into_logs(s3, "site")
    assert get(f"{BASE}/docs/", query="a=1")[0] == 200
    assert get(f"{BASE}/index.html", method="HEAD")[0] == 200
    assert get(f"{BASE}/none.txt")[0] == 404
    chosen = s3.select_object_content(
        Bucket="site", Key="docs/index.html", Expression="SELECT * FROM s3object", ExpressionType="SQL",
        InputSerialization={"CSV": {}}, OutputSerialization={"CSV": {}},
    )  # fmt: skip
    assert (
        b"".join(e["Records"]["Payload"] for e in chosen["Payload"] if "Records" in e) == b"docs\n"
    )
    lines = delivered_lines(platform, s3)
    said = [line[line.index("] ") :].split(" ", 4)[4].rsplit(' "', 2)[0] for line in lines]
    assert [line for line in said if "WEBSITE" in line or "SELECT" in line] == [
        'WEBSITE.GET.OBJECT docs/index.html "GET /docs/?a=1 HTTP/1.1" 200 - 4 4 - -',
        'WEBSITE.HEAD.OBJECT index.html "HEAD /index.html HTTP/1.1" 200 - - 13 - -',
        'WEBSITE.GET.OBJECT none.txt "GET /none.txt HTTP/1.1" 404 NoSuchKey - - - -',
        'REST.SELECT.OBJECT docs/index.html "POST /site/docs/index.html HTTP/1.1" 200 - 5 4 - -',
    ]
