"""Builds a function's code before it is packaged: dependencies installed, sources bundled, a makefile run.

What is built is decided as ``sam build`` decides it: by the resource's ``Metadata`` (BuildMethod, BuildProperties), else by
its runtime and what lies beside the code (requirements.txt, package.json). Dependencies are kept in a cache named by
what they were made from, so that a redeploy with other code installs nothing.
Source  https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-build.html
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

_TIME_S_MAX = 900.0
_KEPT_COUNT_MAX = 50  # builds in the cache; the oldest go
_OUTPUT_SHOWN = 2_000
_SAM_BUILT = ".aws-sam"


class Part(NamedTuple):
    """A folder that goes into the zip, under ``prefix``."""

    folder: str
    prefix: str = ""
    whole: bool = False
    """Whether nothing of it is left out (dependencies); sources leave caches and the like out."""


class Unit(NamedTuple):
    """A function or a layer to build."""

    name: str
    folder: str
    runtime: str
    metadata: Mapping[str, Any]
    is_layer: bool


def build(unit: Unit) -> list[Part]:
    """What the unit's zip is made of. Raises ClickException saying what went wrong."""
    method = str(unit.metadata.get("BuildMethod") or "")
    if unit.metadata.get("SkipBuild") or _SAM_BUILT in unit.folder.split(os.sep):
        return [Part(unit.folder)]
    if method == "makefile":
        return [Part(_made(unit), whole=True)]
    if method == "esbuild":
        return [Part(_bundled(unit), whole=True)]
    language = method or unit.runtime
    if method and not language.startswith(("python", "nodejs")):
        raise click.ClickException(
            f"{unit.name}: BuildMethod {method} is not offered; offered: python, nodejs, esbuild, makefile"
        )
    if language.startswith("python"):
        return _with_requirements(unit)
    if language.startswith("nodejs"):
        return _with_modules(unit)
    return [Part(unit.folder)]


def _with_requirements(unit: Unit) -> list[Part]:
    prefix = "python/" if unit.is_layer and unit.metadata.get("BuildMethod") else ""
    path = os.path.join(unit.folder, "requirements.txt")
    if not os.path.isfile(path) or not _has_lines(path):
        return [Part(unit.folder, prefix)]
    version = ".".join(map(str, sys.version_info[:2]))

    def install(out: str) -> None:
        if uv := shutil.which("uv"):
            command = [uv, "pip", "install", "--python", sys.executable, "--quiet"]
        else:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
            command += ["--disable-pip-version-check", "--no-compile"]
        _run(unit, [*command, "-r", "requirements.txt", "--target", out], unit.folder)

    return [
        Part(_cached(["python", version], [path], install), prefix, whole=True),
        Part(unit.folder, prefix),
    ]


def _has_lines(path: str) -> bool:
    with open(path, encoding="utf-8") as file:
        return any(line.strip() and not line.lstrip().startswith("#") for line in file)


def _with_modules(unit: Unit) -> list[Part]:
    path = os.path.join(unit.folder, "package.json")
    prefix = "nodejs/" if unit.is_layer and unit.metadata.get("BuildMethod") else ""
    if not os.path.isfile(path) or os.path.isdir(os.path.join(unit.folder, "node_modules")):
        return [Part(unit.folder, prefix)]
    modules = _modules(unit, production=True)
    return [Part(modules, prefix, whole=True), Part(unit.folder, prefix)]


def _modules(unit: Unit, *, production: bool) -> str:
    """A folder with the node_modules that package.json asks for."""
    files = [os.path.join(unit.folder, n) for n in ("package.json", "package-lock.json", ".npmrc")]
    there = [file for file in files if os.path.isfile(file)]

    def install(out: str) -> None:
        for file in there:
            shutil.copy(file, out)
        npm = _tool(unit, "npm")
        locked = os.path.isfile(os.path.join(out, "package-lock.json"))
        flags = ["--no-audit", "--no-fund", *(["--omit=dev"] if production else [])]
        _run(unit, [npm, "ci" if locked else "install", *flags], out)

    return _cached(["node", str(production)], there, install)


def _bundled(unit: Unit) -> str:
    """esbuild with the BuildProperties of the SAM specification."""
    wanted = dict(unit.metadata.get("BuildProperties") or {})
    flags = ["--bundle", "--platform=node", f"--format={wanted.get('Format', 'cjs')}"]
    flags.append(f"--target={wanted.get('Target', 'es2020')}")
    for name, flag in (
        ("Minify", "--minify"),
        ("Sourcemap", "--sourcemap"),
        ("KeepNames", "--keep-names"),
        ("PreserveSymlinks", "--preserve-symlinks"),
    ):
        if wanted.get(name, name == "Minify"):
            flags.append(flag)
    for name, flag in (
        ("External", "--external:"),
        ("Loader", "--loader:"),
        ("Define", "--define:"),
        ("Banner", "--banner:"),
        ("Footer", "--footer:"),
        ("MainFields", "--main-fields="),
        ("ResolveExtensions", "--resolve-extensions="),
        ("Alias", "--alias:"),
        ("OutExtension", "--out-extension:"),
    ):
        given = wanted.get(name) or []
        pairs = [f"{k}={v}" for k, v in given.items()] if isinstance(given, dict) else list(given)
        flags += [f"{flag}{','.join(pairs)}"] if flag.endswith("=") and pairs else []
        flags += [f"{flag}{value}" for value in pairs] if flag.endswith(":") else []
    entries = list(wanted.get("EntryPoints") or ["index.js"])
    modules = ""
    if os.path.isfile(os.path.join(unit.folder, "package.json")) and not os.path.isdir(
        os.path.join(unit.folder, "node_modules")
    ):
        modules = _modules(unit, production=False)
    own = os.path.join(modules or unit.folder, "node_modules", ".bin", "esbuild")
    esbuild = own if os.path.exists(own) else _tool(unit, "esbuild")
    out = tempfile.mkdtemp(prefix="stratolite-build-")
    environment = {"NODE_PATH": os.path.join(modules, "node_modules")} if modules else {}
    _run(unit, [esbuild, *entries, *flags, f"--outdir={out}"], unit.folder, environment)
    return out


def _made(unit: Unit) -> str:
    """``make build-NAME`` in the code's folder, which puts what it made into ARTIFACTS_DIR."""
    if not os.path.isfile(os.path.join(unit.folder, "Makefile")):
        raise click.ClickException(f"{unit.name}: there is no {unit.folder}/Makefile")
    out = tempfile.mkdtemp(prefix="stratolite-build-")
    _run(unit, [_tool(unit, "make"), f"build-{unit.name}"], unit.folder, {"ARTIFACTS_DIR": out})
    return out


def _tool(unit: Unit, name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise click.ClickException(f"{unit.name}: its build needs {name}, which is not on PATH")
    return found


def _run(
    unit: Unit, command: list[str], folder: str, environment: Mapping[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own build
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIME_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise click.ClickException(
            f"{unit.name}: {command[0]} took more than {_TIME_S_MAX:.0f} s"
        ) from error
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()[-_OUTPUT_SHOWN:]
        what = " ".join([os.path.basename(command[0]), *command[1:3]])
        raise click.ClickException(f"{unit.name}: {what} failed ({done.returncode})\n{said}")


# -- the cache


def cache_folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("STRATOLITE_BUILD_CACHE") or os.path.join(base, "stratolite", "builds")


def _cached(said: list[str], files: list[str], make: Callable[[str], None]) -> str:
    """A folder made by ``make(folder)`` once for the same words and the same contents of ``files``."""
    digest = hashlib.sha256("\0".join(said).encode())
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    base = cache_folder()
    place = os.path.join(base, digest.hexdigest()[:32])
    if os.path.isdir(place):
        with contextlib.suppress(OSError):
            os.utime(place)
        return place
    os.makedirs(base, exist_ok=True)
    out = tempfile.mkdtemp(dir=base, prefix="tmp-")
    try:
        make(out)
        try:
            os.rename(out, place)
        except OSError:  # somebody else has just made the same
            if not os.path.isdir(place):
                raise
    finally:
        shutil.rmtree(out, ignore_errors=True)
    _forget_old(base)
    return place


def _forget_old(base: str) -> None:
    there = [os.path.join(base, n) for n in os.listdir(base) if not n.startswith("tmp-")]
    dated = []
    for path in there:
        with contextlib.suppress(OSError):
            dated.append((os.path.getmtime(path), path))
    for _, path in sorted(dated)[:-_KEPT_COUNT_MAX]:
        shutil.rmtree(path, ignore_errors=True)
