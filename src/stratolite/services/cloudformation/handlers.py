"""The handler of a type without a running cloud: types are classes, their services need not have started."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from stratolite.service import Resource, Service
from stratolite.services import OFFERS, resource_owner


@cache
def handlers_of_service(name: str) -> tuple[Resource, ...]:
    offer = next(offer for offer in OFFERS if offer.service == name)
    module, _, class_name = offer.place.partition(":")
    cls: type[Service] = getattr(import_module(f"stratolite.services.{module}"), class_name)
    return tuple(cls.resources(None))  # type: ignore[arg-type]  # it needs no instance


def handler_of(kind: str) -> Resource | None:
    """None for a type that no service here offers."""
    owner = resource_owner(kind)
    if owner is None:
        return None
    known = handlers_of_service(owner)
    exact = next((r for r in known if r.type == kind), None)
    return exact or next(
        (r for r in known if r.type[-1] == "*" and kind.startswith(r.type[:-1])), None
    )


def all_handlers() -> list[Resource]:
    """Every type offered, by name."""
    found = [r for offer in OFFERS if offer.types for r in handlers_of_service(offer.service)]
    return sorted(found, key=lambda r: r.type)
