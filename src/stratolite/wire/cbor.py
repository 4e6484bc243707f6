"""CBOR bodies, in and out, as smithy-rpc-v2-cbor has them (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html).

And as Kinesis has spoken since before that (``amz-cbor``, application/x-amz-cbor-1.1): JSON's X-Amz-Target with a
CBOR body, times in milliseconds under tag 1. AWS's SDK for Java and the client libraries above it use it by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import Malformed
from stratolite.wire.tree import DEPTH_MAX, Readers, Writers


class CborBodies:
    """Readers and writers of one model's CBOR bodies; ``millis``: as ``amz-cbor`` has them."""

    def __init__(self, model: Model, *, millis: bool = False) -> None:
        self._millis = millis
        self._readers = Readers(model, cbor=True)
        self._writers = Writers(model, cbor=True, millis=millis)

    def reader(self, ref: Ref) -> Callable[[bytes], dict[str, Any]]:
        """Body bytes -> dict of the model. Raises Malformed."""
        strict = self._readers.of(ref)
        millis = self._millis
        return lambda body: strict(parse(body, millis=millis))

    def writer(self, ref: Ref) -> Callable[[Any], bytes]:
        from cbor2 import dumps

        convert = self._writers.of(ref)
        if convert is None:
            return dumps
        return lambda value: dumps(convert(value))


def parse(body: bytes, *, millis: bool = False) -> Any:
    """Any CBOR value no deeper than DEPTH_MAX. Raises Malformed."""
    import cbor2

    try:
        return cbor2.loads(
            body,
            max_depth=DEPTH_MAX,
            strict_hashable_types=True,
            semantic_decoders=_refused_tags() | (_MILLIS if millis else {}),
        )
    except Exception as error:  # the decoder of a tag may raise whatever its type raises
        raise Malformed("Invalid CBOR payload") from error


_MILLIS: dict[int, Callable[..., Any]] = {1: lambda value, *_: value / 1000}
_REFUSED: dict[int, Callable[..., Any]] = {}


def _refused_tags() -> dict[int, Callable[..., Any]]:
    """All tags but 1 (epoch seconds) that the library knows and AWS does not use: shared
    references could tie knots, bignums and fractions cost more than they weigh, regexes run."""
    if not _REFUSED:

        def refuse(_: Any, *__: Any) -> Any:
            raise ValueError("unexpected tag")

        known = (
            0,
            2,
            3,
            4,
            5,
            25,
            28,
            29,
            30,
            35,
            36,
            37,
            52,
            54,
            100,
            256,
            258,
            260,
            261,
            1004,
            43000,
            55799,
        )
        for tag in known:
            _REFUSED[tag] = refuse
    return _REFUSED
