"""S3's pure rules over large input spaces: ranges, runs of parts, slices of pieces, CRCs put together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.errors import Fault
from stratolite.services.s3 import checksums, content, state
from stratolite.services.s3.conditions import slice_of
from stratolite.services.s3.multipart import runs_of


@given(
    size=st.integers(0, 30), first=st.integers(0, 35), last=st.one_of(st.none(), st.integers(0, 35))
)
def test_a_range_of_bytes_is_python_s_slice(size, first, last):
    data = bytes(range(size))
    header = f"bytes={first}-{'' if last is None else last}"
    expected = data[first : None if last is None else last + 1]
    if last is not None and last < first:
        assert slice_of(header, size) is None
    elif not expected:
        with pytest.raises(Fault) as error:
            slice_of(header, size)
        assert error.value.status == 416
    else:
        start, stop = slice_of(header, size)
        assert data[start:stop] == expected


@given(size=st.integers(0, 30), suffix=st.integers(0, 35))
def test_a_suffix_range_is_python_s_slice(size, suffix):
    data = bytes(range(size))
    if not data or not suffix:
        with pytest.raises(Fault):
            slice_of(f"bytes=-{suffix}", size)
    else:
        start, stop = slice_of(f"bytes=-{suffix}", size)
        assert data[start:stop] == data[-suffix:]


@given(st.text(alphabet="bytes=-,0123456789 x", max_size=16))
def test_any_range_header_is_a_slice_or_nothing_or_416(header):
    try:
        found = slice_of(header, 10)
    except Fault as fault:
        assert fault.code == "InvalidRange"
    else:
        assert found is None or 0 <= found[0] < found[1] <= 10


class Rows(dict):
    """As much of a Tx as the state functions use here."""

    def put(self, key, value):
        self[key] = value

    def scan(self, span):
        return iter(sorted((k, v) for k, v in self.items() if span[0] <= k < span[1]))


PARTS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 6), st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(parts=PARTS, ends=st.tuples(st.integers(0, 50), st.integers(0, 50)))
def test_any_slice_of_any_parts_is_that_of_their_bytes(parts, ends):
    """Part numbers with gaps, empty parts, inline ones, ones of one or several extents."""
    tx, bucket = Rows(), state.Bucket("b", "a", "r", 1)
    blobs: dict[str, bytes] = {}
    number, whole, sizes = 0, b"", []
    for step, size, inline, cut in parts:
        number += step
        data = bytes((len(whole) + i) % 251 for i in range(size))
        extents = []
        if inline or not size:
            state.put_part_body(tx, bucket, "u", number, data)
        else:
            for low, high in ((0, min(cut, size)), (min(cut, size), size)):
                if low < high:
                    blobs[f"{number}/{low}"] = b"??" + data[low:high]
                    extents.append((f"{number}/{low}", 2, high - low))
        state.put_part(tx, bucket, "u", number, state.Part("", size, 0, "", extents))
        sizes.append((number, size))
        whole += data
    head = state.Head(
        "", len(whole), 0, "STANDARD", "", "", "", state.IN_PARTS, b"", "", "u", runs_of(sizes), {}, {}, {}, ""
    )  # fmt: skip
    start, stop = sorted(min(end, len(whole)) for end in ends)
    got = b""
    for piece in content.pieces(tx, bucket, b"k", head, start, stop):
        got += (
            piece if isinstance(piece, bytes) else blobs[piece[0]][piece[1] : piece[1] + piece[2]]
        )
    assert got == whole[start:stop]


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 3)), unique_by=lambda part: part[0])
)
def test_runs_say_which_parts_in_which_order(sizes):
    sizes.sort()
    unrolled = [(first + i, size) for first, count, size in runs_of(sizes) for i in range(count)]
    assert unrolled == sizes


@pytest.mark.parametrize("name", checksums.CRC_BYTES)
@given(pieces=st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_crcs_of_parts_make_the_crc_of_the_whole(name, pieces):
    parts = [(checksums.of_bytes(name, piece), len(piece)) for piece in pieces]
    assert checksums.combined(name, parts) == checksums.of_bytes(name, b"".join(pieces))


@given(st.binary(max_size=50), st.sampled_from(checksums.ALGORITHMS), st.integers(0, 50))
def test_a_running_checksum_does_not_depend_on_the_chunks(data, name, at):
    from base64 import b64encode

    running = checksums.running(name)
    running.update(data[:at])
    running.update(data[at:])
    assert b64encode(running.digest()).decode() == checksums.of_bytes(name, data)


@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    page=st.integers(1, 5),
    ends=st.tuples(st.integers(0, 90), st.integers(0, 90)),
)
def test_pages_of_parts_cover_a_slice_without_gaps(sizes, page, ends):
    """Each page ends where a part does, and none holds more parts than it may."""
    from unittest import mock

    numbered = list(enumerate(sizes, 1))
    total = sum(sizes)
    start, stop = sorted(min(end, total) for end in ends)
    head = state.Head(
        "", total, 0, "STANDARD", "", "", "", state.IN_PARTS, b"", "", "u", runs_of(numbered), {}, {}, {}, ""
    )  # fmt: skip
    with mock.patch.object(content, "PARTS_PER_PAGE", page):
        seams = content.page_seams(head, start, stop)
    assert seams == sorted(set(seams))
    assert seams[-1] == stop
    ends_of_parts = [sum(sizes[:n]) for n in range(1, len(sizes) + 1)]
    for low, high in zip([start, *seams], seams, strict=False):
        assert high == stop or high in ends_of_parts
        inside = [
            e
            for e, size in zip(ends_of_parts, sizes, strict=True)
            if e > low and e - size < high and size
        ]
        assert len(inside) <= page + 1
