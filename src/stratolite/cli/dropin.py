"""What users of LocalStack and MiniStack bring along: init hooks, and variables that mean nothing here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import click

_NO_MEANING = (
    "SERVICES", "EAGER_SERVICE_LOADING", "STRICT_SERVICE_LOADING", "PERSISTENCE", "ENFORCE_IAM", "IAM_SOFT_MODE", "DISABLE_CORS_CHECKS",
    "LAMBDA_EXECUTOR", "LAMBDA_RUNTIME_EXECUTOR", "LAMBDA_KEEPALIVE_MS", "LAMBDA_DOCKER_NETWORK", "DOCKER_HOST_FROM_CONTAINER", "GATEWAY_LISTEN",
    "LOCALSTACK_HOST", "LOCALSTACK_AUTH_TOKEN", "LOCALSTACK_API_KEY", "ACTIVATE_PRO", "SQS_ENDPOINT_STRATEGY", "MINISTACK_PERSIST",
)  # fmt: skip
_HOOK_S_MAX = 600.0


def note_foreign_variables() -> None:
    """One line on stderr if the environment holds settings of theirs."""
    found = [name for name in _NO_MEANING if name in os.environ]
    if found:
        click.echo(f"note: {', '.join(found)} {'have' if len(found) > 1 else 'has'} no meaning here: all services are there, state is kept, IAM is on (docs/migrate.md)", err=True)  # fmt: skip


def scripts_of(folder: str) -> list[str]:
    """The hooks of ``FOLDER/ready.d``, in the order they run. Raises ClickException if there is no such folder."""
    place = os.path.join(folder, "ready.d")
    if not os.path.isdir(place):
        raise click.ClickException(f"--init {folder}: there is no folder {place}")
    found = []
    for here, folders, names in os.walk(place):
        folders.sort()
        found += [os.path.join(here, name) for name in names if name.endswith((".sh", ".py"))]
    return sorted(found)


def run_hooks(scripts: list[str], endpoint: str) -> None:
    """Run them one after another beside the server, as LocalStack does; one that fails is said and does not stop the rest."""
    threading.Thread(target=_run, args=(scripts, endpoint), name="init hooks", daemon=True).start()


def _run(scripts: list[str], endpoint: str) -> None:
    environment = os.environ | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    for script in scripts:
        program = sys.executable if script.endswith(".py") else "bash"
        try:
            done = subprocess.run(  # noqa: S603 - the user's own script, which they asked for
                [program, script], env=environment, stdout=sys.stderr, timeout=_HOOK_S_MAX, check=False
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            click.echo(f"init hook {script}: {error}", err=True)
            continue
        said = "done" if done.returncode == 0 else f"failed with exit code {done.returncode}"
        click.echo(f"init hook {script}: {said}", err=True)
