"""A deployment as requests meet it: what the API was when it was deployed, ready to be asked."""

from __future__ import annotations

from typing import Any

from stratolite.services.apigateway.routing import Match, Router

Record = dict[str, Any]


class Deployed:
    """``definition`` as ``state.freeze`` writes it. Frozen: many requests share one."""

    def __init__(self, definition: Record) -> None:
        self.api: Record = definition["api"]
        self.models: dict[str, Record] = {m["name"]: m for m in definition["models"]}
        self.validators: dict[str, Record] = {v["id"]: v for v in definition["validators"]}
        self.authorizers: dict[str, Record] = {a["id"]: a for a in definition["authorizers"]}
        self.responses: dict[str, Record] = {r["responseType"]: r for r in definition["responses"]}
        self.policy: str | None = self.api.get("policy")
        self.binary_types: list[str] = self.api.get("binaryMediaTypes") or []
        self._router = Router(definition["resources"])
        self.resources: list[Record] = definition["resources"]

    def match(self, method: str, path: str) -> Match | None:
        return self._router.match(method, path)

    def is_binary(self, content_type: str | None) -> bool:
        """Whether a media type is one of the API's binary ones; of several the first counts."""
        kind = (content_type or "").split(",")[0].split(";")[0].strip().lower()
        for one in self.binary_types:
            wanted = one.split(";")[0].strip().lower()
            if wanted == "*/*" or (kind and wanted == kind):
                return True
            if wanted.endswith("/*") and kind.startswith(wanted[:-1]):
                return True
        return False
