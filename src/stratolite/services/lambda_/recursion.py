"""Loops of functions: how often one chain of requests has come by a function, as the trace header of its requests says.

    X-Amzn-Trace-Id: Root=...;Sampled=0;Lineage=HASH:COUNT|HASH:COUNT       HASH is the CRC-32 of a function's ARN, hex

A function is told the header (_X_AMZN_TRACE_ID), its SDK sends it with every request, SQS keeps it beside the message
(AWSTraceHeader), SNS and S3 with what they deliver, and Invoke hands it on; so it comes back with what the function sets off. A
function that has been invoked ``CHAIN_MAX`` times in one chain is not invoked again, unless its RecursiveLoop is Allow. What goes by
any other service begins a new chain.

Source  https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from zlib import crc32

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, trace_of
from stratolite.services.lambda_ import names, state
from stratolite.services.lambda_.names import LATEST, Ref

CHAIN_MAX = 16
CODE = "RecursiveInvocationException"
MESSAGE = (
    "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources and"
    " stopped your function's invocation."
)
Chain = Mapping[str, int]
"""HASH -> how often the function has been invoked."""
NO_CHAIN: Chain = {}
_WAYS = ("Allow", "Terminate")
_FUNCTIONS_MAX = 32
"""Whose invocations a header counts; the least invoked are left out."""
_LINEAGE = re.compile(r"(?:^|;)Lineage=([0-9a-f]{8}:\d{1,5}(?:\|[0-9a-f]{8}:\d{1,5})*)(?:;|$)")


class Recursion(Service):
    def put_function_recursion_config(self, call: Call, request: Request) -> Response:
        ref, record = _known(call, request)
        way = request["RecursiveLoop"]
        if way not in _WAYS:
            raise names.bad(
                "recursiveLoop", way, "Member must satisfy enum value set: [Terminate, Allow]"
            )
        state.put_function(call.tx, ref, {**record, "recursive": way})
        return {"RecursiveLoop": way}

    def get_function_recursion_config(self, call: Call, request: Request) -> Response:
        _, record = _known(call, request)
        return {"RecursiveLoop": record.get("recursive", "Terminate")}


def _known(call: Call, request: Request) -> tuple[Ref, state.Record]:
    ref = names.function(call, request["FunctionName"])._replace(qualifier=None)
    record = state.get_function(call.tx, ref)
    if record is None:
        raise names.no_function(ref._replace(qualifier=LATEST))
    return ref, record


def chain_of(call: Call) -> Chain:
    """Of a request that a function made."""
    header = trace_of(call)
    return read((header,)) if header else NO_CHAIN


def read(headers: Iterable[str]) -> Chain:
    """What trace headers say, the largest count of each function where they differ."""
    found: dict[str, int] = {}
    for header in headers:
        match = _LINEAGE.search(header)
        for pair in match[1].split("|") if match else ():
            mark, _, count = pair.partition(":")
            found[mark] = max(found.get(mark, 0), int(count))
    return found


def longer(chain: Chain, ref: Ref) -> tuple[Chain, bool]:
    """The chain with one more invocation of ``ref``; whether that is one too many."""
    mark = f"{crc32(ref.function_arn.encode()):08x}"
    count = chain.get(mark, 0) + 1
    return {**chain, mark: count}, count > CHAIN_MAX


def written(chain: Chain) -> str:
    """As a trace header has it, with the ; before."""
    kept = sorted(chain.items(), key=lambda pair: -pair[1])[:_FUNCTIONS_MAX]
    return ";Lineage=" + "|".join(f"{mark}:{count}" for mark, count in kept) if kept else ""


def stopped() -> Fault:
    return Fault(CODE, MESSAGE, status=400, Type="User")
