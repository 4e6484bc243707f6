"""The stored formats of KMS: keys and ciphertexts of each kind ever written must still open."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stratolite.services.kms import blobs, keys, lookup, material, state

GOLDEN = Path(__file__).parents[1] / "golden" / "kms.json"
PLACE = state.Place("000000000000", "eu-central-1")
PLAIN_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MULTI_ID = "mrk-1234abcd12ab34cd56ef1234567890ab"
MATERIAL, NONCE, CONTEXT = b"m" * 32, b"n" * 12, {"b": "2", "a": "ü"}
ENTRY = {"sealed": "c2VhbGVk", "at_s": 1.5, "kind": ""}
IMPORTED = {**ENTRY, "digest": "d" * 64, "valid_to_s": 9e9, "about": "mine"}


def record(key_id, **more):
    told = {
        "id": key_id, "created_s": 1.5, "description": "d", "usage": "ENCRYPT_DECRYPT", "spec": "SYMMETRIC_DEFAULT",
        "manager": "CUSTOMER", "enabled": True, "deletion_s": None, "policy": lookup.default_policy(PLACE.account),
        "tags": {"a": "b"}, "materials": [ENTRY], "rotation": {"on": True, "days": 90, "next_s": 7e9},
    }  # fmt: skip
    return told | more


MULTI = {"primary": "us-east-1", "replicas": ["eu-central-1"]}
RECORDS = {
    "plain key": record(PLAIN_ID),
    "replica": record(MULTI_ID, multi=MULTI),
    "imported": record(
        PLAIN_ID, origin="EXTERNAL", pending=IMPORTED, materials=[IMPORTED, IMPORTED], rotation=None
    ),
    "waiting primary": record(
        MULTI_ID, multi={"primary": "eu-central-1", "replicas": ["us-east-1"]}, window_days=7
    ),
}


def sealed(key_id):
    head = blobs.head(PLACE.account, key_id, 3)
    bound = blobs.bound(head, CONTEXT)
    return head + NONCE + material.seal(MATERIAL, NONCE, b"secret", bound)


def written():
    rows = {
        name: {"record": value, "shown": keys.shown(state.Key(PLACE, value))}
        for name, value in RECORDS.items()
    }
    return {
        **rows,
        "key": PLACE.rows["key"].key(MULTI_ID).hex(),
        "ciphertext": sealed(PLAIN_ID).hex(),
        "ciphertext of a multi-region key": sealed(MULTI_ID).hex(),
    }


def test_what_is_written_is_what_was_written():
    """A change here needs a reader of the old form, and the old form stays in the file beside the new."""
    assert json.loads(json.dumps(written())) == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize(
    ("name", "key_id"),
    [("ciphertext", PLAIN_ID), ("ciphertext of a multi-region key", MULTI_ID)],
)
def test_what_was_sealed_opens(name, key_id):
    raw = bytes.fromhex(json.loads(GOLDEN.read_text())[name])
    blob = blobs.parse(raw)
    assert blob is not None
    assert (blob.account, blob.key_id, blob.number) == (PLACE.account, key_id, 3)
    bound = blobs.bound(blob.head, CONTEXT)
    assert material.open_sealed(MATERIAL, blob.nonce, blob.sealed, bound) == b"secret"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(written(), indent=1) + "\n")
