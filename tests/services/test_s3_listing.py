"""Listings: any keys, prefix, delimiter and page size give what sorting all keys by their bytes would give."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from harness import run_in_cloud
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.core import Keyspace
from stratolite.services.s3 import listing, state

# Few letters, so that prefixes and groups meet; NUL, 0x01 and letters of 2 and 4 bytes for the order.
TEXT = st.text(alphabet="ab/\x00\x01ü😀", min_size=1, max_size=6)


def model(keys, prefix, delimiter):
    """Entries in byte order: keys, and each group once."""
    found = []
    for key in sorted(k.encode() for k in keys):
        if not key.startswith(prefix.encode()):
            continue
        at = key.find(delimiter.encode(), len(prefix.encode())) if delimiter else -1
        entry = key if at < 0 else key[: at + len(delimiter.encode())]
        kind = "key" if at < 0 else "group"
        if (entry, kind) not in found:
            found.append((entry, kind))
    return found


def entries_of(answer, contents="Contents", groups="CommonPrefixes"):
    keys = [(c["Key"].encode(), "key") for c in answer.get(contents, ())]
    return sorted(keys + [(g["Prefix"].encode(), "group") for g in answer.get(groups, ())])


@pytest.fixture(scope="module")
def loop_cloud(tmp_path_factory):
    """One cloud for all examples; each takes a bucket of its own."""
    from harness import Harness

    from stratolite.clock import World
    from stratolite.server import open_cloud

    loop = asyncio.new_event_loop()
    cloud = loop.run_until_complete(open_cloud(str(tmp_path_factory.mktemp("c")), World()))
    counter = iter(range(10**6))
    yield lambda body: loop.run_until_complete(body(Harness(cloud), f"bucket-{next(counter)}"))
    loop.run_until_complete(cloud.close())
    loop.close()


@settings(max_examples=120, deadline=None)
@given(
    keys=st.sets(TEXT, max_size=14),
    prefix=st.text(alphabet="ab/\x00", max_size=2),
    delimiter=st.sampled_from(["", "/", "a", "ü", "/a"]),
    size=st.integers(1, 5),
    start_after=st.one_of(st.just(""), TEXT),
    steps=st.sampled_from([1, 2, listing.STEPS_IN_GROUP_MAX]),
)
def test_pages_put_together_are_the_model(
    loop_cloud, keys, prefix, delimiter, size, start_after, steps
):
    async def body(h, bucket):
        await h("s3", "CreateBucket", Bucket=bucket)
        for key in keys:
            await h("s3", "PutObject", Bucket=bucket, Key=key, Body=b"")
        expected = model(keys, prefix, delimiter)
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": size}

        async def all_pages(operation, token, next_token, **first):
            found, more = [], first
            for _ in range(100):
                answer = await h("s3", operation, **asked, **more)
                listed = entries_of(answer, "Versions" if "Versions" in operation else "Contents")
                assert len(listed) <= size
                if "KeyCount" in answer:
                    assert answer["KeyCount"] == len(listed)
                found += listed
                if not answer["IsTruncated"]:
                    return found
                assert len(listed) == size
                following = answer.get(next_token) or answer["Contents"][-1]["Key"]
                more = {token: following}
                if "NextVersionIdMarker" in answer:
                    more["VersionIdMarker"] = answer["NextVersionIdMarker"]
            raise AssertionError("no end")

        assert (
            await all_pages("ListObjectsV2", "ContinuationToken", "NextContinuationToken")
            == expected
        )
        assert await all_pages("ListObjects", "Marker", "NextMarker") == expected
        assert await all_pages("ListObjectVersions", "KeyMarker", "NextKeyMarker") == expected
        later = model({k for k in keys if k.encode() > start_after.encode()}, prefix, delimiter)
        token, following = "ContinuationToken", "NextContinuationToken"
        assert await all_pages("ListObjectsV2", token, following, StartAfter=start_after) == later

    with mock.patch.object(listing, "STEPS_IN_GROUP_MAX", steps):  # groups here are small
        loop_cloud(body)


def test_a_group_of_many_keys_costs_a_few_rows(tmp_path):
    """Counted where rows come from the store: 20,000 keys in one group, then one in another."""

    async def body(h):
        await h("s3", "CreateBucket", Bucket="counted")

        def fill(call):
            bucket = state.bucket(call.tx, "counted")
            for at in range(20_000):
                call.tx.put(bucket.heads.key(b"big/%06d" % at), b"x")
            call.tx.put(bucket.heads.key(b"other/1"), b"x")

        await h.call().transact(fill)

        def count(call):
            bucket, rows = state.bucket(call.tx, "counted"), 0
            scan = call.tx.scan

            class Counting:
                def scan(self, span):
                    nonlocal rows
                    for row in scan(span):
                        rows += 1
                        yield row

            found = [e.key for e in listing.entries(Counting(), bucket.heads, b"", b"/", b"")]
            return found, rows

        found, rows = await h.call().transact(count)
        assert found == [b"big/", b"other/"]
        assert rows <= 2 * (listing.STEPS_IN_GROUP_MAX + 1)

    run_in_cloud(str(tmp_path), body)


def test_bounds_hold_for_any_keys():
    """The rows of a key, its uploads and its group lie between the bounds that ``state`` names."""
    rows = Keyspace("a", "b", "s3", "o", 1)

    @settings(max_examples=300, deadline=None)
    @given(a=TEXT, b=TEXT)
    def check(a, b):
        one, two = a.encode(), b.encode()
        row = rows.key(one)
        assert state.key_of(rows, row) == one
        assert state.key_of(rows, rows.key(one, "upload")) == one
        assert (
            rows.prefix + state.at_prefix(two) <= row < rows.prefix + state.past_prefix(two)
        ) == (one.startswith(two))
        assert (row < rows.prefix + state.past_key(two)) == (one <= two)
        assert (rows.key(one, "up") < rows.prefix + state.past_key(two)) == (one <= two)

    check()


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="listed")
    return made


def test_keys_come_back_whatever_letters_they_have(s3):
    keys = [
        "a b+c%20.txt",
        "a/b?c&d=e",
        "ü/😀",
        "x<y>\"'&amp;",
        "tab\there",
        "#frag",
        "..",
        "/lead",
    ]
    for key in keys:
        s3.put_object(Bucket="listed", Key=key, Body=b"")
    listed = [c["Key"] for c in s3.list_objects_v2(Bucket="listed")["Contents"]]
    assert listed == sorted(keys, key=str.encode)
    listed = [c["Key"] for c in s3.list_objects(Bucket="listed")["Contents"]]
    assert listed == sorted(keys, key=str.encode)
    listed = [c["Key"] for c in s3.list_object_versions(Bucket="listed")["Versions"]]
    assert listed == sorted(keys, key=str.encode)


def test_what_a_listing_says(s3):
    put = s3.put_object(Bucket="listed", Key="a/b", Body=b"hello")
    answer = s3.list_objects_v2(Bucket="listed", FetchOwner=True, Prefix="a/")
    (one,) = answer["Contents"]
    assert (one["ETag"], one["Size"], one["StorageClass"]) == (put["ETag"], 5, "STANDARD")
    assert one["ChecksumAlgorithm"] == ["CRC32"]
    assert len(one["Owner"]["ID"]) == 64
    assert (answer["KeyCount"], answer["MaxKeys"], answer["Name"]) == (1, 1000, "listed")
    assert "Owner" not in s3.list_objects_v2(Bucket="listed")["Contents"][0]
    none = s3.list_objects_v2(Bucket="listed", MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"]) == (0, False)


@pytest.mark.parametrize(
    "wrong",
    [{"MaxKeys": -1}, {"ContinuationToken": "%%%"}, {"ContinuationToken": "YWJj"}],
)
def test_wrong_parameters_of_a_listing_are_named(s3, wrong):
    with pytest.raises(ClientError) as error:
        s3.list_objects_v2(Bucket="listed", **wrong)
    assert error.value.response["Error"]["Code"] == "InvalidArgument"


def test_the_restore_status_of_objects_never_archived_is_asked_in_vain(client):
    """Backup programs ask for it in every listing; S3 leaves it out where nothing was archived."""
    s3 = client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"")
    for lists, found in (
        (s3.list_objects_v2, "Contents"),
        (s3.list_objects, "Contents"),
        (s3.list_object_versions, "Versions"),
    ):
        (entry,) = lists(Bucket="bucket", OptionalObjectAttributes=["RestoreStatus"])[found]
        assert entry["Key"] == "k"
        assert "RestoreStatus" not in entry
        with pytest.raises(ClientError, match="InvalidArgument"):
            lists(Bucket="bucket", OptionalObjectAttributes=["Colour"])
