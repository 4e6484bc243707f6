"""Templates that set every property a type offers, and change in an update every one that can be changed."""

from whole import apis, events, identity, lambdas, storage, streams, tables, watching, workflows

__all__ = [
    "apis",
    "events",
    "identity",
    "lambdas",
    "storage",
    "streams",
    "tables",
    "watching",
    "workflows",
]
