"""Installs a code folder's requirements.txt beside the code, for the Python and machine that functions run on here.

pip of this very Python does it, or uv; both with their own configuration (index, proxies, caches). Nothing is compiled and no
scripts are kept, so that the same packages give the same zip.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import click

_SECONDS_MAX = 600


def install(name: str, file: str, target: str) -> None:
    """Into the folder ``target``. Raises ClickException with what the installer said last."""
    command = _installer()
    if command is None:
        raise click.ClickException(
            f"{name}: {file} needs pip or uv, and neither is here; install one of them, or run `sam build`"
        )
    asked = [*command, "--target", target, "--requirement", os.path.basename(file)]
    try:
        done = subprocess.run(  # noqa: S603 - our own words; the file is the caller's
            asked,
            cwd=os.path.dirname(file) or ".",
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise click.ClickException(f"{name}: {file} could not be installed: {error}") from error
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith("error")] or said
        raise click.ClickException(
            f"{name}: {file} could not be installed: {errors[-1] if errors else done.returncode}"
        )
    shutil.rmtree(os.path.join(target, "bin"), ignore_errors=True)  # scripts name this Python


def _installer() -> list[str] | None:
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
        return [sys.executable, "-m", "pip", "install", *quiet]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return None
