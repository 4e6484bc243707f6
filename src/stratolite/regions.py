"""The regions there are, from botocore's data, which is where SDKs have them from.

Asked wherever a request names a region that is to hold something: a replica, a bucket. A request *signed* for a region
that is none is answered all the same, as in a region of its own: SDKs sign for whatever they are configured with, and
a name nobody else uses keeps a test by itself.
"""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.util import find_spec

_PARTITION = "aws"


def beside(region: str) -> frozenset[str]:
    """All regions of the partition ``region`` is in, itself included; those of ``aws`` if it is in none."""
    partitions = _partitions()
    for found in partitions.values():
        if region in found:
            return found
    return partitions[_PARTITION]


@cache
def _partitions() -> dict[str, frozenset[str]]:
    """Raises LookupError where botocore's data files are missing."""
    spec = find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError("botocore, which carries the list of regions, is not installed")
    path = os.path.join(spec.submodule_search_locations[0], "data", "partitions.json")
    with open(path, "rb") as file:
        listed = json.load(file)["partitions"]
    return {
        one["id"]: frozenset(name for name in one["regions"] if not name.endswith("-global"))
        for one in listed
    }
