"""Projects that ``stratolite new`` starts: their own tests pass, and their templates are AWS's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stratolite.cli import dev

SRC = str(Path(__file__).parents[2] / "src")
BIN = Path(sys.executable).parent
KINDS = ["api", "worker", "stream", "site", "workflow"]


def stratolite(folder, *words, code=0):
    environment = os.environ | {"PYTHONPATH": SRC}
    done = subprocess.run([sys.executable, "-m", "stratolite", *words], cwd=folder, env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.live
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_is_tested_as_it_is(tmp_path, kind):
    """In an environment that knows nothing but the package: the fixture comes with it."""
    stratolite(tmp_path, "new", "my-app", "--template", kind)
    project = tmp_path / "my-app"
    assert subprocess.run([BIN / "cfn-lint", "template.yaml"], cwd=project).returncode == 0
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTEST_"))}
    environment |= {"PYTHONPATH": SRC, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "stratolite.testing.plugin", "-p", "no:cacheprovider"]  # fmt: skip
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("years of it")
    assert "not an empty folder" in stratolite(tmp_path, "new", "mine", code=1)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["work.txt"]
    assert "cannot name a stack" in stratolite(tmp_path, "new", "1st_app", code=2)


def test_what_changed_in_a_folder_is_seen_and_what_tools_leave_there_is_not(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("1")
    before = dev.snapshot(str(tmp_path))
    for noise in ("__pycache__/app.pyc", "node_modules/x.js", ".git/HEAD", "app.pyc"):
        place = tmp_path / "src" / noise
        place.parent.mkdir(exist_ok=True)
        place.write_text("noise")
    assert dev.snapshot(str(tmp_path)) == before
    (tmp_path / "src" / "app.py").write_text("22")
    (tmp_path / "src" / "more.py").write_text("1")
    now = dev.snapshot(str(tmp_path))
    assert [Path(p).name for p in dev.changed(before, now)] == ["app.py", "more.py"]


@pytest.mark.live
@pytest.mark.timeout(400)
def test_dev_deploys_again_when_the_code_changes_and_shows_what_it_prints(tmp_path):
    from stratolite.testing import Cloud

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "template.yaml").write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources: {Hello: {Type: AWS::Serverless::Function, Properties:"
        " {Runtime: python3.12, Handler: app.handler, CodeUri: ., FunctionName: hello}}}\n"
    )
    code = tmp_path / "app" / "app.py"
    code.write_text("def handler(e, c): print('one')")
    with Cloud() as cloud:
        watching = subprocess.Popen(
            [sys.executable, "-u", "-m", "stratolite", "dev", str(tmp_path / "app" / "template.yaml")],
            env=os.environ | cloud.environment | {"PYTHONPATH": SRC}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

        def until(text):
            for line in watching.stdout:
                if text in line:
                    return
            raise AssertionError(f"it ended without saying {text}")

        try:
            until("watching")
            cloud.invoke("hello")
            until("one")
            code.write_text("def handler(e, c): print('two')")
            until("changed app.py")
            until("watching")
            cloud.invoke("hello")
            until("two")
            code.write_text("def handler(e, c: print('broken')")
            until("watching")
        finally:
            watching.terminate()
            watching.wait()
            watching.stdout.close()
