"""Multipart uploads: an object is its parts in order, whatever order they came in."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from awscrt import checksums
from awscrt.checksums import XXHash
from botocore.exceptions import ClientError

MIB = 1 << 20
FIVE = 5 * MIB


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="parts")
    return made


@pytest.fixture
def plain(client, s3):
    """Without the checksums boto3 adds by itself."""
    return client("s3", request_checksum_calculation="when_required")


def code_of(error) -> str:
    return error.value.response["Error"]["Code"]


def body_of(size: int, seed: int) -> bytes:
    return (hashlib.sha256(b"%d" % seed).digest() * (size // 32 + 1))[:size]


def upload(s3, key: str, parts: dict[int, bytes], order=None, **options):
    upload_id = s3.create_multipart_upload(Bucket="parts", Key=key, **options)["UploadId"]
    done = {}
    checked = {k: v for k, v in options.items() if k == "ChecksumAlgorithm"}
    for number in order or parts:
        answer = s3.upload_part(
            Bucket="parts",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            Body=parts[number],
            **checked,
        )
        done[number] = {
            "PartNumber": number,
            **{k: v for k, v in answer.items() if k == "ETag" or k[:8] == "Checksum"},
        }
    return upload_id, [done[number] for number in sorted(done)]


def complete(s3, key, upload_id, parts, **options):
    return s3.complete_multipart_upload(
        Bucket="parts", Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **options
    )


def test_the_object_is_its_parts_in_order(s3, platform):
    """Parts of different sizes, numbers with gaps, uploaded backwards, read after a restart."""
    bodies = {2: body_of(FIVE, 1), 7: body_of(FIVE, 2), 8: body_of(FIVE + 1, 3), 9: body_of(100, 4)}
    upload_id, parts = upload(s3, "k", bodies, order=[9, 8, 7, 2], ContentType="text/x")
    assert "Contents" not in s3.list_objects_v2(Bucket="parts")
    made = complete(s3, "k", upload_id, parts)
    md5s = b"".join(hashlib.md5(b).digest() for b in bodies.values())
    assert made["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-4"'
    platform.reopen()
    whole = b"".join(bodies.values())
    got = s3.get_object(Bucket="parts", Key="k")
    assert (got["Body"].read(), got["ContentType"]) == (whole, "text/x")
    for start, stop in (
        (0, 1),
        (FIVE - 1, FIVE + 1),
        (FIVE * 2 - 3, FIVE * 3 + 50),
        (len(whole) - 5, len(whole)),
    ):
        got = s3.get_object(Bucket="parts", Key="k", Range=f"bytes={start}-{stop - 1}")
        assert got["Body"].read() == whole[start:stop]
    second = s3.get_object(Bucket="parts", Key="k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (bodies[7], 4)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="parts", Key="k", PartNumber=5)
    assert code_of(error) == "InvalidPartNumber"


def test_completing_again_gives_the_same_answer(s3):
    """A client whose connection broke repeats it."""
    upload_id, parts = upload(s3, "k", {1: b"only"})
    first = complete(s3, "k", upload_id, parts)
    again = complete(s3, "k", upload_id, parts)
    assert first["ETag"] == again["ETag"]
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(Bucket="parts", Key="k", UploadId=upload_id, PartNumber=2, Body=b"late")


def test_a_part_may_be_replaced_and_left_out(s3, platform):
    upload_id, _ = upload(s3, "k", {1: body_of(FIVE, 1), 2: body_of(FIVE, 2)})
    answer = s3.upload_part(
        Bucket="parts", Key="k", UploadId=upload_id, PartNumber=1, Body=b"short"
    )
    part = {"PartNumber": 1, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]}
    complete(s3, "k", upload_id, [part])
    assert s3.get_object(Bucket="parts", Key="k")["Body"].read() == b"short"
    assert linked(platform) == 0


def linked(platform) -> int:
    import msgspec

    from stratolite.core.blobs import _REF

    async def count():
        rows = await platform.cloud.db.transact(lambda tx: list(tx.scan(_REF.span())))
        return sum(msgspec.msgpack.decode(value)[0] > 0 for _, value in rows)

    return platform.run(count())


def test_aborting_and_deleting_leave_nothing(s3, platform):
    upload_id, _ = upload(s3, "k", {1: body_of(FIVE, 1), 2: b"x"})
    s3.abort_multipart_upload(Bucket="parts", Key="k", UploadId=upload_id)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.list_parts(Bucket="parts", Key="k", UploadId=upload_id)
    upload_id, parts = upload(s3, "k", {1: body_of(FIVE, 1), 2: b"x"})
    complete(s3, "k", upload_id, parts)
    s3.put_object(Bucket="parts", Key="k", Body=b"over it")
    assert linked(platform) == 0
    s3.delete_object(Bucket="parts", Key="k")
    s3.delete_bucket(Bucket="parts")
    assert rows_of_s3(platform) == 0


def rows_of_s3(platform) -> int:
    from stratolite.core import Keyspace

    spans = [Keyspace(account, region, "s3").span() for account, region in
             (("", ""), ("000000000000", ""), ("000000000000", "us-east-1"))]  # fmt: skip

    async def count():
        return await platform.cloud.db.transact(
            lambda tx: sum(len(list(tx.scan(s))) for s in spans)
        )

    return platform.run(count())


def test_a_deleted_bucket_takes_its_unfinished_uploads_along(s3, platform):
    """More parts than one transaction removes; the rest is work that survives."""
    from stratolite.services.s3 import worker

    upload_id, _ = upload(s3, "k", {1: body_of(FIVE, 1)})
    for number in range(2, worker.SWEEP_COUNT_MAX + 60):
        s3.upload_part(Bucket="parts", Key="k", UploadId=upload_id, PartNumber=number, Body=b"x")
    s3.delete_bucket(Bucket="parts")
    s3.create_bucket(Bucket="parts")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="parts")
    s3.delete_bucket(Bucket="parts")

    async def swept():
        for _ in range(5_000):
            if await platform.cloud.db.transact(lambda tx: not list(tx.scan(_s3_span(), limit=1))):
                return True
            await platform.world.sleep(0.02)
        return False

    assert platform.run(swept())
    assert linked(platform) == 0


def _s3_span():
    from stratolite.core import Keyspace

    return Keyspace("000000000000", "us-east-1", "s3").span()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [parts[0], parts[0]], "InvalidPartOrder"),
        (lambda parts: [parts[0], {**parts[1], "ETag": '"' + "0" * 32 + '"'}], "InvalidPart"),
        (lambda parts: [*parts, {**parts[1], "PartNumber": 3}], "InvalidPart"),
        (lambda parts: [], "InvalidRequest"),
    ],
)
def test_a_wrong_list_of_parts_changes_nothing(s3, change, code):
    upload_id, parts = upload(s3, "k", {1: body_of(FIVE, 1), 2: b"end"})
    with pytest.raises(ClientError) as error:
        complete(s3, "k", upload_id, change(parts))
    assert code_of(error) == code
    assert len(s3.list_parts(Bucket="parts", Key="k", UploadId=upload_id)["Parts"]) == 2
    complete(s3, "k", upload_id, parts)


def test_only_the_last_part_may_be_small(s3):
    upload_id, parts = upload(s3, "k", {1: b"small", 2: b"end"})
    with pytest.raises(ClientError) as error:
        complete(s3, "k", upload_id, parts)
    assert code_of(error) == "EntityTooSmall"
    assert error.value.response["Error"]["PartNumber"] == "1"


def test_a_composite_checksum_is_of_the_parts_checksums(s3):
    bodies = {1: body_of(FIVE, 1), 2: b"end"}
    upload_id, parts = upload(s3, "k", bodies, ChecksumAlgorithm="CRC32")
    made = complete(s3, "k", upload_id, parts)
    crcs = b"".join(zlib.crc32(b).to_bytes(4, "big") for b in bodies.values())
    expected = base64.b64encode(zlib.crc32(crcs).to_bytes(4, "big")).decode() + "-2"
    assert (made["ChecksumCRC32"], made["ChecksumType"]) == (expected, "COMPOSITE")
    got = s3.get_object_attributes(Bucket="parts", Key="k", ObjectAttributes=["ObjectParts"])
    assert [p["Size"] for p in got["ObjectParts"]["Parts"]] == [FIVE, 3]
    for number, body in bodies.items():  # LocalStack's recorded test_get_object_part_checksum
        part = s3.get_object(Bucket="parts", Key="k", PartNumber=number, ChecksumMode="ENABLED")
        assert part["Body"].read() == body
        own = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        assert (part["ChecksumCRC32"], part["ChecksumType"]) == (own, "COMPOSITE")


@pytest.mark.parametrize(
    ("name", "digest"),
    [("SHA512", lambda d: hashlib.sha512(d).digest()), ("XXHASH128", XXHash.compute_xxhash3_128)],
)
def test_hashes_of_uploads_are_composite(s3, name, digest):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html"""
    bodies = {1: body_of(FIVE, 1), 2: b"end"}
    upload_id, parts = upload(s3, "k", bodies, ChecksumAlgorithm=name)
    made = complete(s3, "k", upload_id, parts)
    joined = b"".join(digest(body) for body in bodies.values())
    assert made[f"Checksum{name}"] == base64.b64encode(digest(joined)).decode() + "-2"
    with pytest.raises(ClientError) as error:
        upload(s3, "k", bodies, ChecksumAlgorithm=name, ChecksumType="FULL_OBJECT")
    assert error.value.response["Error"]["Message"] == (
        f"The FULL_OBJECT checksum type cannot be used with the {name.lower()} checksum algorithm."
    )


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_is_that_of_the_bytes(s3, name):
    """Combined from the parts' without reading them; the same object put whole must agree."""
    bodies = {1: body_of(FIVE, 1), 2: body_of(FIVE + 3, 2), 3: b"end"}
    upload_id, parts = upload(s3, "k", bodies, ChecksumAlgorithm=name, ChecksumType="FULL_OBJECT")
    made = complete(s3, "k", upload_id, [{k: p[k] for k in ("PartNumber", "ETag")} for p in parts])
    whole = s3.put_object(
        Bucket="parts", Key="w", Body=b"".join(bodies.values()), ChecksumAlgorithm=name
    )
    assert made[f"Checksum{name}"] == whole[f"Checksum{name}"]
    upload_id, parts = upload(s3, "k", bodies, ChecksumAlgorithm=name, ChecksumType="FULL_OBJECT")
    with pytest.raises(ClientError) as error:
        complete(
            s3,
            "k",
            upload_id,
            parts,
            **{f"Checksum{name}": made[f"Checksum{name}"][::-1].replace("=", "") + "="},
        )
    assert code_of(error) in ("BadDigest", "InvalidRequest")


def test_an_upload_without_a_checksum_gets_crc64nvme(plain):
    bodies = {1: body_of(FIVE, 1), 2: b"end"}
    upload_id, parts = upload(plain, "k", bodies)
    made = complete(
        plain, "k", upload_id, [{k: p[k] for k in ("PartNumber", "ETag")} for p in parts]
    )
    whole = plain.put_object(Bucket="parts", Key="w", Body=b"".join(bodies.values()))
    assert made["ChecksumCRC64NVME"] == whole["ChecksumCRC64NVME"]


@pytest.mark.parametrize(
    "options", [{}, {"ServerSideEncryption": "AES256"}], ids=["plain", "sealed"]
)
def test_a_part_checked_with_another_checksum_is_not_read_again(plain, monkeypatch, options):
    """Both are made as it arrives."""

    async def again(*_):
        raise AssertionError("read once more")

    monkeypatch.setattr("stratolite.services.s3.content.digests", again)
    upload_id = plain.create_multipart_upload(Bucket="parts", Key="k", **options)["UploadId"]
    bodies = {1: body_of(FIVE, 1), 2: body_of(100, 2)}
    done = [
        {
            "PartNumber": number,
            "ETag": plain.upload_part(
                Bucket="parts", Key="k", UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
            )["ETag"],
        }
        for number, body in bodies.items()
    ]  # fmt: skip
    made = plain.complete_multipart_upload(
        Bucket="parts", Key="k", UploadId=upload_id, MultipartUpload={"Parts": done}
    )
    value = checksums.crc64nvme(bodies[1] + bodies[2]).to_bytes(8, "big")
    assert made["ChecksumCRC64NVME"] == base64.b64encode(value).decode()


def test_a_part_must_carry_the_upload_s_checksum(s3, plain):
    upload_id = s3.create_multipart_upload(Bucket="parts", Key="k", ChecksumAlgorithm="SHA256")[
        "UploadId"
    ]
    with pytest.raises(ClientError) as error:
        plain.upload_part(Bucket="parts", Key="k", UploadId=upload_id, PartNumber=1, Body=b"x")
    assert code_of(error) == "InvalidRequest"
    with pytest.raises(ClientError) as error:
        s3.create_multipart_upload(
            Bucket="parts", Key="k", ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT"
        )
    assert code_of(error) == "InvalidRequest"


def test_parts_copied_from_objects_share_their_bytes(s3, plain, platform):
    """From a blob, from an object held inline, across the seam of a multipart object."""
    bodies = {1: body_of(FIVE, 1), 2: body_of(FIVE, 2), 3: b"tail"}
    upload_id, parts = upload(plain, "source", bodies)
    complete(plain, "source", upload_id, parts)
    source = b"".join(bodies.values())
    plain.put_object(Bucket="parts", Key="small", Body=b"0123456789")
    ranges = [("source", 3, FIVE + 9), ("source", FIVE, 2 * FIVE + 4), ("small", 2, 5)]
    upload_id = plain.create_multipart_upload(Bucket="parts", Key="k")["UploadId"]
    parts, expected = [], b""
    for number, (key, start, stop) in enumerate(ranges, 1):
        answer = plain.upload_part_copy(
            Bucket="parts", Key="k", UploadId=upload_id, PartNumber=number, CopySource=f"parts/{key}",
            CopySourceRange=f"bytes={start}-{stop - 1}",
        )  # fmt: skip
        piece = (source if key == "source" else b"0123456789")[start:stop]
        assert answer["CopyPartResult"]["ETag"] == f'"{hashlib.md5(piece).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        expected += piece
    complete(plain, "k", upload_id, parts)
    plain.delete_object(Bucket="parts", Key="source")
    assert plain.get_object(Bucket="parts", Key="k")["Body"].read() == expected
    with pytest.raises(ClientError) as error:
        upload_id = plain.create_multipart_upload(Bucket="parts", Key="k")["UploadId"]
        plain.upload_part_copy(
            Bucket="parts", Key="k", UploadId=upload_id, PartNumber=1, CopySource="parts/small",
            CopySourceRange="bytes=5-10",
        )  # fmt: skip
    assert code_of(error) == "InvalidArgument"


def test_a_copy_of_a_multipart_object_has_an_etag_of_its_bytes(s3, platform):
    bodies = {1: body_of(FIVE, 1), 2: b"end"}
    upload_id, parts = upload(s3, "a", bodies)
    complete(s3, "a", upload_id, parts)
    blobs = linked(platform)
    s3.copy_object(Bucket="parts", Key="b", CopySource="parts/a")
    assert linked(platform) == blobs
    s3.delete_object(Bucket="parts", Key="a")
    got = s3.get_object(Bucket="parts", Key="b")
    whole = b"".join(bodies.values())
    assert (got["ETag"], got["Body"].read()) == (f'"{hashlib.md5(whole).hexdigest()}"', whole)
    s3.delete_object(Bucket="parts", Key="b")
    assert linked(platform) == 0


def test_listing_parts_and_uploads_goes_page_by_page(s3):
    upload_id, _ = upload(s3, "a/1", dict.fromkeys((1, 2, 5, 9), b"x"))
    first = s3.list_parts(Bucket="parts", Key="a/1", UploadId=upload_id, MaxParts=3)
    assert ([p["PartNumber"] for p in first["Parts"]], first["IsTruncated"]) == ([1, 2, 5], True)
    rest = s3.list_parts(
        Bucket="parts",
        Key="a/1",
        UploadId=upload_id,
        PartNumberMarker=first["NextPartNumberMarker"],
    )
    assert ([p["PartNumber"] for p in rest["Parts"]], rest["IsTruncated"]) == ([9], False)
    again = s3.create_multipart_upload(Bucket="parts", Key="a/1")["UploadId"]
    s3.create_multipart_upload(Bucket="parts", Key="b")
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="parts", PaginationConfig={"PageSize": 1}
    )
    seen = [(u["Key"], u["UploadId"]) for page in pages for u in page.get("Uploads", ())]
    assert [k for k, _ in seen] == ["a/1", "a/1", "b"]
    assert [i for _, i in seen[:2]] == [upload_id, again]  # by when they began
    grouped = s3.list_multipart_uploads(Bucket="parts", Delimiter="/")
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/"]


def test_a_condition_guards_completing(s3):
    upload_id, parts = upload(s3, "k", {1: b"x"})
    s3.put_object(Bucket="parts", Key="k", Body=b"first")
    with pytest.raises(ClientError) as error:
        complete(s3, "k", upload_id, parts, IfNoneMatch="*")
    assert code_of(error) == "PreconditionFailed"
    assert s3.get_object(Bucket="parts", Key="k")["Body"].read() == b"first"


def test_many_parts_are_read_page_by_page(s3, monkeypatch):
    """Completing and reading thousands of parts must not hold up everybody else: here a page is small."""
    from stratolite.services.s3 import content, multipart

    monkeypatch.setattr(multipart, "PARTS_IN_TX_MAX", 2)
    monkeypatch.setattr(content, "PARTS_PER_PAGE", 2)
    bodies = {n: body_of(FIVE + n % 2, n) for n in range(1, 6)} | {9: b"end"}
    upload_id, parts = upload(s3, "k", bodies)
    s3.upload_part(Bucket="parts", Key="k", UploadId=upload_id, PartNumber=7, Body=b"left out")
    with pytest.raises(ClientError) as error:
        complete(s3, "k", upload_id, [*parts, {**parts[0], "PartNumber": 10}])
    assert code_of(error) == "InvalidPart"
    complete(s3, "k", upload_id, parts)
    complete(s3, "k", upload_id, parts)
    whole = b"".join(bodies.values())
    assert s3.get_object(Bucket="parts", Key="k")["Body"].read() == whole
    start, stop = FIVE + 5, 4 * FIVE + 8
    got = s3.get_object(Bucket="parts", Key="k", Range=f"bytes={start}-{stop - 1}")
    assert got["Body"].read() == whole[start:stop]
    with pytest.raises(s3.exceptions.NoSuchUpload):
        complete(s3, "other", upload_id, parts)


def test_parts_left_out_are_removed_even_when_they_are_many(s3, platform, monkeypatch):
    from stratolite.services.s3 import worker

    monkeypatch.setattr(worker, "SWEEP_COUNT_MAX", 3)
    upload_id, parts = upload(s3, "k", dict.fromkeys(range(1, 12), b"x"))
    complete(s3, "k", upload_id, [parts[4]])

    async def parts_left():
        from stratolite.services.s3 import state

        for _ in range(5_000):
            bucket = await platform.cloud.db.transact(lambda tx: state.bucket(tx, "parts"))
            found = await platform.cloud.db.transact(
                lambda tx: [n for n, _ in state.parts(tx, bucket, upload_id)]  # noqa: B023
            )
            if found == [5]:
                break
            await platform.world.sleep(0.02)
        return found

    assert platform.run(parts_left()) == [5]
    assert s3.get_object(Bucket="parts", Key="k")["Body"].read() == b"x"


def test_who_was_let_in_by_an_acl_may_end_what_he_began(client, s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions"""
    s3.create_bucket(Bucket="open", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="open")
    s3.put_bucket_acl(Bucket="open", ACL="public-read-write")
    other = client("s3", account="111111111111")
    third = client("s3", account="222222222222")
    about = {"Bucket": "open", "Key": "k"}
    about["UploadId"] = other.create_multipart_upload(**about)["UploadId"]
    other.upload_part(**about, PartNumber=1, Body=b"x")
    assert len(other.list_parts(**about)["Parts"]) == 1
    for call in (third.list_parts, third.abort_multipart_upload):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**about)
    other.abort_multipart_upload(**about)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.list_parts(**about)


def test_what_came_in_between_is_a_conflict(s3, platform):
    """LocalStack's recorded test_multipart_if_match_with_put and test_multipart_if_none_match_with_delete."""
    about = {"Bucket": "parts", "Key": "k"}
    first = s3.put_object(**about, Body=b"1")["ETag"]
    upload_id, parts = upload(s3, "k", {1: b"x"})
    platform.run(platform.cloud.db.transact(lambda tx: platform.cloud.clock.advance(tx, 1.0)))
    second = s3.put_object(**about, Body=b"2")["ETag"]
    for etag, code in ((first, "PreconditionFailed"), (second, "ConditionalRequestConflict")):
        with pytest.raises(ClientError) as error:
            complete(s3, "k", upload_id, parts, IfMatch=etag)
        assert code_of(error) == code
    upload_id, parts = upload(s3, "k", {1: b"x"})
    complete(s3, "k", upload_id, parts, IfMatch=second)


def test_a_copy_of_parts_is_one_object(s3):
    upload_id, parts = upload(s3, "k", {1: body_of(FIVE, 1), 2: b"end"}, ChecksumAlgorithm="CRC32")
    made = complete(s3, "k", upload_id, parts)
    asked = {"Bucket": "parts", "ObjectAttributes": ["ObjectParts", "Checksum"]}
    shown = s3.get_object_attributes(Key="k", **asked)
    assert shown["ObjectParts"]["TotalPartsCount"] == 2
    assert shown["Checksum"]["ChecksumCRC32"] + "-2" == made["ChecksumCRC32"]
    s3.copy_object(Bucket="parts", Key="c", CopySource="parts/k")
    assert "ObjectParts" not in s3.get_object_attributes(Key="c", **asked)
    part = s3.head_object(Bucket="parts", Key="c", PartNumber=1)
    assert (part["ContentLength"], part.get("PartsCount")) == (FIVE + 3, None)


def test_a_copied_part_says_no_checksum_that_was_not_chosen(s3):
    """LocalStack's recorded test_upload_part_copy_range."""
    s3.put_object(Bucket="parts", Key="source", Body=b"0123456789")
    about = {"Bucket": "parts", "Key": "k", "PartNumber": 1, "CopySource": "parts/source"}
    for options, member in (({}, None), ({"ChecksumAlgorithm": "SHA1"}, "ChecksumSHA1")):
        upload_id = s3.create_multipart_upload(Bucket="parts", Key="k", **options)["UploadId"]
        result = s3.upload_part_copy(**about, UploadId=upload_id, CopySourceRange="bytes=0-8")[
            "CopyPartResult"
        ]
        assert [m for m in result if m.startswith("Checksum")] == ([member] if member else [])
    for wrong, code in (("1-0", "InvalidArgument"), ("100-200", "InvalidRequest")):
        with pytest.raises(ClientError) as error:
            s3.upload_part_copy(**about, UploadId=upload_id, CopySourceRange=f"bytes={wrong}")
        assert code_of(error) == code
