"""The stored formats of S3: what was ever written must still open, and is written the same today."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from stratolite.services.s3 import analysis, state

FIRST = Path(__file__).parents[1] / "golden" / "s3.json"
"""Before objects had versions."""
GOLDEN = FIRST.with_name("s3-2.json")


def head(place, **body):
    told = {"data": b"", "blob": "", "upload": "", "runs": []} | body
    told = {"etag": "5d41402abc4b2a76b9719d911017c592"} | told
    return state.Head(
        size_bytes=5,
        modified_ms=1_700_000_000_123,
        storage_class="STANDARD",
        checksum="CRC64NVME",
        checksum_type="FULL_OBJECT",
        checksum_value="M3eFcAZSQlc=",
        place=place,
        headers={"ContentType": "text/plain", "Expires": 1.5},
        metadata={"a": "ü"},
        tags={"t": "1"},
        acl="private",
        **told,
    )


VALUES = {
    "head in head": head(state.IN_HEAD, data=b"hello"),
    "head in row": head(state.IN_ROW),
    "head in blob": head(state.IN_BLOB, blob="0123456789abcdef0123456789abcdef"),
    "head in parts": head(state.IN_PARTS, upload="u1", runs=[(1, 9, 5 << 20), (12, 1, 7)]),
    "head of a version": head(
        state.IN_ROW, order=7 << 24, version="A" * 32,
        more={"mode": "COMPLIANCE", "until_ms": 1_800_000_000_000, "hold": False},
    ),
    "head under an event hold": head(
        state.IN_HEAD, order=9 << 24, version="C" * 32,
        more={"mode": "GOVERNANCE", "until_ms": 0, "event": ["Days", 30]},
    ),
    "head of a marker": head(state.MARKER, etag="", order=8 << 24, version="B" * 32),
    "upload": state.Upload(
        1_700_000_000_123, "STANDARD", "CRC32", "COMPOSITE", True, "arn:aws:iam::000000000000:root",
        {"ContentType": "text/plain"}, {"a": "b"}, {}, "private", 77,
    ),
    "part inline": state.Part("5d41402abc4b2a76b9719d911017c592", 5, 1_700_000_000_123, "NhCmhg==", []),
    "annotation": state.Annotation("e" * 32, 9, 1, "CRC64NVME", "M3eFcAZSQlc=", "0" * 32, b"sealed"),
    "analysed day": analysis.Record(
        {"STANDARD": {"000-014": analysis.Counts(1, 2, 3, 4, 5), "": analysis.Counts(6)}},
        {"STANDARD": {"000-014": 2.0, "ALL": 0.5}}, 30,
    ),
    "part of blobs": state.Part("e" * 32, 9, 1, "NhCmhg==", [("0" * 32, 2, 4), ("1" * 32, 0, 5)]),
}  # fmt: skip
BUCKET = state.Bucket(
    "name",
    "000000000000",
    "us-east-1",
    5,
    1_700_000_000_123,
    "ObjectWriter",
    True,
    ["notification"],
    "Enabled",
)
CODECS = {
    "analysed": analysis._decode,
    "annotation": state.decode_annotation,
    "head": state._decode_head,
    "upload": state.decode_upload,
    "part": state._decode_part,
}


class Rows(dict):
    def put(self, key, value):
        self[key] = value


def written() -> dict[str, str]:
    tx = Rows()
    state.put_bucket(tx, BUCKET)
    rows = {"bucket record": next(iter(tx.values())).hex(), "bucket key": next(iter(tx)).hex()}
    rows |= {name: state._encode(value).hex() for name, value in VALUES.items()}
    rows |= {
        "head key": BUCKET.heads.key(b"a\x00b").hex(),
        "body key": BUCKET.bodies.key(b"a/b").hex(),
        "upload key": BUCKET.uploads.key(b"a/b", "u1").hex(),
        "part key": BUCKET.parts.key("u1", 7).hex(),
        "part body key": BUCKET.part_bodies.key("u1", 7).hex(),
        "body key of a version": BUCKET.bodies.key(b"a/b", 7).hex(),
        "version key": BUCKET.versions.key(b"a/b", -7).hex(),
        "null key": BUCKET.nulls.key(b"a/b").hex(),
        "annotation key": BUCKET.annotations.key(7 << 24, "a.b").hex(),
        "annotation body key": BUCKET.annotation_bodies.key(7 << 24, "a.b").hex(),
        "counts key": BUCKET.analysis.key("config", "c", "STANDARD", "000-014").hex(),
        "analysed day key": BUCKET.analysis.key("config", "h", 20_000).hex(),
        "config key": BUCKET.config.key("website").hex(),
    }
    return rows


def test_what_is_written_is_what_was_written():
    """A change here needs a reader of the old form, and the old form stays in the file beside the new."""
    assert written() == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("file", [FIRST, GOLDEN], ids=["first", "today"])
@pytest.mark.parametrize("name", VALUES)
def test_what_was_written_opens(name, file):
    if (text := json.loads(file.read_text()).get(name)) is None:
        assert file is FIRST
        return
    raw = bytes.fromhex(text)
    assert CODECS[name.split()[0]](raw) == VALUES[name]
    if name.startswith("head"):
        assert state.decode_listed(raw).etag == VALUES[name].etag


@pytest.mark.parametrize("file", [FIRST, GOLDEN], ids=["first", "today"])
def test_a_bucket_s_record_opens(file):
    raw = bytes.fromhex(json.loads(file.read_text())["bucket record"])
    found = state._parse_bucket(raw)
    assert orjson.loads(raw)["id"] == found.id
    assert (found.name, found.ownership, found.has_policy) == ("name", "ObjectWriter", True)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(written(), indent=1) + "\n")
