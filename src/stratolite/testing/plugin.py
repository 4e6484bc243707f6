"""The pytest plugin: fixture ``cloud``, fresh for every test or one for the run.

A server takes a quarter of a second to start, so the next test's is started while this one runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from stratolite.testing.cloud import Cloud

_SPARE = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "Whether each test gets a fresh cloud (function) or all share one (session)."
    group = parser.getgroup("stratolite")
    group.addoption("--cloud-scope", choices=["function", "session"], default=None, help=text)
    parser.addini("cloud_scope", text, default="function")


def _scope(fixture_name: str, config: pytest.Config) -> Literal["function", "session"]:  # noqa: ARG001 - as pytest calls it
    chosen = config.getoption("--cloud-scope", None) or config.getini("cloud_scope")
    if chosen not in ("function", "session"):
        raise pytest.UsageError(f"cloud_scope = {chosen}: it is function or session")
    return "session" if chosen == "session" else "function"


@pytest.fixture(scope=_scope)
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A running cloud; the environment leads to it."""
    from stratolite.testing.cloud import Cloud

    stash = request.config.stash
    made: Cloud = stash.get(_SPARE, None) or Cloud()
    stash[_SPARE] = None
    made.start()
    if request.scope == "function" and _more_to_come(request):
        stash[_SPARE] = Cloud().launch()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made
    made.stop()


def _more_to_come(request: pytest.FixtureRequest) -> bool:
    """Whether a later test of this process wants a cloud, too."""
    items = request.session.items
    at = items.index(request.node) if request.node in items else len(items)
    return any("cloud" in getattr(item, "fixturenames", ()) for item in items[at + 1 : at + 50])


def pytest_unconfigure(config: pytest.Config) -> None:
    spare = config.stash.get(_SPARE, None)
    if spare is not None:
        spare.stop()
