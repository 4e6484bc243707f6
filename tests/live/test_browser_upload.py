"""A browser uploads through a presigned POST: a form that a page sends, and a script's FormData from an allowed origin.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingHTTPPOST.html
"""

from __future__ import annotations

import functools
import html
import http.server
import json
import threading

import pytest
from live import browser
from live.browser import Browser
from live.server_process import ServerProcess

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(browser.PROGRAM is None, reason="needs Chromium"),
]
BYTES = bytes(range(256)) * 2000


@pytest.fixture
def pages(tmp_path):
    """A web application's own server: (its folder, its origin)."""
    folder = tmp_path / "pages"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


def choose(opened: Browser, selector: str, path: str) -> None:
    """Pick a file in a form's field, as a person does in the dialogue."""
    root = opened.ask("DOM.getDocument")["root"]["nodeId"]
    node = opened.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
    opened.ask("DOM.setFileInputFiles", files=[path], nodeId=node)


def test_a_browser_uploads_through_a_presigned_post(tmp_path, pages):
    folder, origin = pages
    server = ServerProcess(str(tmp_path / "data"))
    opened = Browser()
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="uploads")
        rule = {"AllowedOrigins": [origin], "AllowedMethods": ["POST"], "ExposeHeaders": ["ETag"]}
        s3.put_bucket_cors(Bucket="uploads", CORSConfiguration={"CORSRules": [rule]})
        chosen = tmp_path / "a picture ü.bin"
        chosen.write_bytes(BYTES)
        (folder / "done.html").write_text("<!doctype html><title>done</title>")

        def form(name: str, **fields: str) -> str:
            post = s3.generate_presigned_post(
                "uploads",
                f"{name}/${{filename}}",
                Fields={"Content-Type": "image/x-test", **fields},
                Conditions=[
                    {"Content-Type": "image/x-test"},
                    ["content-length-range", 1, len(BYTES)],
                    *({key: value} for key, value in fields.items()),
                ],
            )
            inputs = "".join(
                f'<input type="hidden" name="{html.escape(key)}" value="{html.escape(value)}">'
                for key, value in post["fields"].items()
            )
            return (
                f'<form action="{post["url"]}" method="post" enctype="multipart/form-data">{inputs}'
                '<input type="file" name="file"><button>send</button></form>'
            )

        page = f"<!doctype html><meta charset='utf-8'>{form('form', success_action_redirect=f'{origin}/done.html')}"
        (folder / "form.html").write_text(page)
        opened.go(f"{origin}/form.html")
        choose(opened, "input[type=file]", str(chosen))
        opened.run("document.querySelector('button').click()")
        opened.until("document.title === 'done' && document.readyState === 'complete'", 120)
        said = opened.run("location.search")
        assert "bucket=uploads" in said, said
        assert "etag=" in said, said

        (folder / "script.html").write_text(
            f"<!doctype html><meta charset='utf-8'>{form('script', success_action_status='201')}"
        )
        opened.go(f"{origin}/script.html")
        choose(opened, "input[type=file]", str(chosen))
        send = """
            (async () => {
                const form = document.querySelector('form');
                const answer = await fetch(form.action, {method: 'POST', body: new FormData(form)});
                return JSON.stringify([answer.status, answer.headers.get('ETag'), await answer.text()]);
            })()"""
        status, etag, text = json.loads(opened.run(send))
        assert status == 201, text
        for name in ("form", "script"):
            key = f"{name}/{chosen.name}"
            got = s3.get_object(Bucket="uploads", Key=key)
            assert (got["Body"].read(), got["ContentType"]) == (BYTES, "image/x-test")
        assert got["ETag"] == etag

        chosen.write_bytes(BYTES + b"x")  # longer than the form's policy lets in
        choose(opened, "input[type=file]", str(chosen))
        status, _, text = json.loads(opened.run(send))
        assert (status, "EntityTooLarge" in text) == (400, True)
        chosen.write_bytes(b"unwanted")
        choose(opened, "input[type=file]", str(chosen))
        s3.delete_bucket_cors(Bucket="uploads")
        assert opened.run(f"{send.strip()}.catch(error => error.name)") == "TypeError"
        assert s3.head_object(Bucket="uploads", Key=key)["ContentLength"] == len(BYTES)
    finally:
        opened.close()
        assert server.stop() == 0
