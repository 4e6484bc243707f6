"""Records that CloudWatch Logs sends to a stream: gzipped documents with the events of a log stream in them.

    decompressed(items, failures)    the documents in clear; what is not gzip fails
    messages(items, failures)        only what the events say, a line each; messages that control the subscription are left out

Sources  https://docs.aws.amazon.com/firehose/latest/dev/writing-with-cloudwatch-logs-decompression.html
         https://docs.aws.amazon.com/firehose/latest/dev/decomp-faq.html
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import orjson

from stratolite.services.firehose.items import Failure, Item

_DOCUMENT_BYTES_MAX = 16 << 20
"""In clear; CloudWatch Logs gathers 256 KB, or one event of up to 1 MB."""
_GZIP = 31


def decompressed(items: Sequence[Item], failures: list[Failure]) -> list[Item]:
    done = []
    for item in items:
        opener = zlib.decompressobj(_GZIP)
        try:
            item.data = opener.decompress(item.data, _DOCUMENT_BYTES_MAX)
            if not opener.eof:
                raise ValueError("more than its end, or no end")
        except (zlib.error, ValueError) as error:
            why = f"Data could not be decompressed: {error}"
            failures.append(Failure(item.row, "Decompression.Failed", why, 1, kind="decompression-failed"))  # fmt: skip
        else:
            done.append(item)
    return done


def messages(items: Sequence[Item], failures: list[Failure]) -> list[Item]:
    done = []
    for item in items:
        try:
            said = orjson.loads(item.data)
            if said["messageType"] == "CONTROL_MESSAGE":
                continue
            item.data = "".join(f"{event['message']}\n" for event in said["logEvents"]).encode()
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            why = f"The record is not one of CloudWatch Logs: {error}"
            failures.append(Failure(item.row, "CloudWatchLogProcessing.Failed", why[:500], 1))
        else:
            done.append(item)
    return done
