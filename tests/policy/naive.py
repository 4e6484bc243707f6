"""A second evaluator, slow and simple, written from AWS's documented flow and sharing no code with ours.

It works on plain dicts as they stand in the JSON. Sources, in the order of the functions:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from __future__ import annotations

import base64
import ipaddress
from datetime import datetime
from typing import Any

OUTSIDE = (
    "service",
    "anonymous",
    "provider",
)  # AWS services, anybody, whom an identity provider sends


def allowed(
    ask: dict[str, Any],
    *,
    identity: list[dict[str, Any]],
    resource: dict[str, Any] | None,
    boundary: dict[str, Any] | None,
    sessions: list[dict[str, Any]] | None,
    levels: list[list[dict[str, Any]]],
    trust: bool = False,
) -> bool:
    """``trust``: the resource is a role, whose own policy has to allow whatever else does."""
    is_member = ask["kind"] not in OUTSIDE
    everything = [*identity, *([boundary] if boundary else []), *(sessions or [])]
    if is_member:
        everything += [policy for level in levels for policy in level]
    if any(says(policy, "Deny", ask) for policy in everything):
        return False
    if resource and any(
        s["Effect"] == "Deny" and names(s, ask) and fits(s, ask) for s in resource["Statement"]
    ):
        return False
    granting = [
        names(s, ask)
        for s in (resource["Statement"] if resource else [])
        if s["Effect"] == "Allow" and names(s, ask) and fits(s, ask)
    ]
    if not is_member:
        return bool(granting)
    for level in levels:
        if not any(says(policy, "Allow", ask) for policy in level):
            return False
    by_identity = ask["kind"] == "root" or any(says(p, "Allow", ask) for p in identity)
    within = (boundary is None or says(boundary, "Allow", ask)) and (
        sessions is None or any(says(p, "Allow", ask) for p in sessions)
    )
    if ask["account"] != ask["owner"]:
        return bool(granting) and by_identity and within
    if "itself" in granting:
        return True
    if "wider" in granting:
        return within
    if trust and ask["kind"] != "root" and "account" not in granting:
        return False
    return by_identity and within


def says(policy: dict[str, Any], effect: str, ask: dict[str, Any]) -> bool:
    return any(s["Effect"] == effect and fits(s, ask) for s in policy["Statement"])


def names(statement: dict[str, Any], ask: dict[str, Any]) -> str:
    """How the statement names the one who asks: "itself", "wider" (role, all), "account" or "" (not)."""
    negated = "NotPrincipal" in statement
    raw = statement["NotPrincipal" if negated else "Principal"]
    listed = [("AWS", "*")] if raw == "*" else [(k, v) for k in raw for v in aslist(raw[k])]
    found = {how(kind, value, ask) for kind, value in listed}
    if negated:
        return "" if found & {"itself", "wider"} else "wider"
    for best in ("itself", "wider", "account"):
        if best in found:
            return best
    return ""


def how(kind: str, value: str, ask: dict[str, Any]) -> str:
    if kind == "Service":
        return "itself" if (ask["kind"], ask["name"]) == ("service", value) else ""
    if kind == "Federated":
        return "itself" if (ask["kind"], ask["name"]) == ("provider", value) else ""
    if value == "*":
        return "wider"
    if ask["kind"] in OUTSIDE:
        return ""
    if value == ask["account"] or value == "arn:aws:iam::" + ask["account"] + ":root":
        if ask["kind"] == "root":
            return "itself"
        return "account"
    if value == ask["arn"]:
        return "itself"
    return "wider" if ask["role"] and value == ask["role"] else ""


def fits(statement: dict[str, Any], ask: dict[str, Any]) -> bool:
    keys = ask["context"]
    if "Action" in statement:
        if not any(glob(a.lower(), ask["action"].lower()) for a in aslist(statement["Action"])):
            return False
    elif any(glob(a.lower(), ask["action"].lower()) for a in aslist(statement["NotAction"])):
        return False
    wanted = aslist(statement.get("Resource", statement.get("NotResource", "*")))
    hit = any(
        filled is not None and glob(filled, ask["resource"])
        for filled in (expand(w, keys) for w in wanted)
    )
    if hit is ("NotResource" in statement):
        return False
    return all(
        holds(operator, key, aslist(values), keys)
        for operator, pairs in statement.get("Condition", {}).items()
        for key, values in pairs.items()
    )


def aslist(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


STAR, MARK = "\ue000", "\ue001"  # a literal * or ? in an expanded pattern


def expand(pattern: str, keys: dict[str, list[str]]) -> str | None:
    """Variables by their values; wildcards that come from a value are literal."""
    out, rest = "", pattern
    while "${" in rest and "}" in rest.split("${", 1)[1]:
        before, rest = rest.split("${", 1)
        inner, rest = rest.split("}", 1)
        key, _, default = inner.partition(",")
        if inner in ("*", "?", "$"):
            value: str | None = inner
        else:
            values = keys.get(key.strip().lower(), [])
            value = values[0] if len(values) == 1 else default.strip(" '") if default else None
        if value is None:
            return None
        out += before + value.replace("*", STAR).replace("?", MARK)
    return out + rest


def glob(pattern: str, value: str) -> bool:
    """Row by row as in the school book; no regular expressions."""
    reach = [True] + [False] * len(value)
    for c in pattern:
        if c == "*":
            seen = False
            reach = [(seen := seen or r) for r in reach]
        else:
            wanted = {STAR: "*", MARK: "?"}.get(c, c)
            reach = [False] + [
                reach[i] and (c == "?" or value[i] == wanted) for i in range(len(value))
            ]
    return reach[-1]


def holds(operator: str, key: str, wanted: list[Any], keys: dict[str, list[str]]) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    optional = rest.endswith("IfExists")
    name = rest[: -len("IfExists")] if optional else rest
    values = keys.get(key.lower(), [])
    if name == "Null":
        return ("false" if values else "true") in [str(w).lower() for w in wanted]
    if not values:
        if quantifier == "ForAllValues" or optional:
            return True
        return quantifier != "ForAnyValue" and "Not" in name
    filled = [f for f in (expand(str(w), keys) for w in wanted) if f is not None]
    results = []
    for value in values:
        one = any(compare(name.replace("Not", ""), value, f) for f in filled)
        results.append(not one if "Not" in name else one)
    return any(results) if quantifier == "ForAnyValue" else all(results)


def moment(said: str) -> float:
    """ISO 8601 or seconds since 1970, both of which a date may be."""
    if said.replace(".", "", 1).isdigit():
        return float(said)
    return datetime.fromisoformat(said).timestamp()


def compare(name: str, value: str, pattern: str) -> bool:
    plain = pattern.replace(STAR, "*").replace(MARK, "?")
    if name in ("ArnEquals", "ArnLike"):
        ours, theirs = value.split(":", 5), pattern.split(":", 5)
        return len(ours) == len(theirs) == 6 and all(
            glob(t, o) for t, o in zip(theirs, ours, strict=True)
        )
    if name == "StringLike":
        return glob(pattern, value)
    if name == "StringEquals":
        return value == plain
    if name in ("StringEqualsIgnoreCase", "Bool"):
        return value.lower() == plain.lower()
    try:
        if name == "BinaryEquals":
            return base64.b64decode(value, validate=True) == base64.b64decode(plain, validate=True)
        if name == "IpAddress":
            return ipaddress.ip_address(value) in ipaddress.ip_network(plain, strict=False)
        if name.startswith("Date"):
            a, b = moment(value), moment(plain)
        else:
            a, b = float(value), float(plain)
    except ValueError:
        return False
    ending = name.removeprefix("Numeric").removeprefix("Date")
    return {
        "Equals": a == b,
        "LessThan": a < b,
        "LessThanEquals": a <= b,
        "GreaterThan": a > b,
        "GreaterThanEquals": a >= b,
    }[ending]
